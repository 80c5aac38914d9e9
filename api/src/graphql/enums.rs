//! The domain's enums as the schema names them. The compiler refuses a variant that one side lacks.

use async_graphql::Enum;
use domain::{consents::Category, records};

/// What an account may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::users::Role")]
pub(crate) enum Role {
    /// Whose records they are.
    Patient,
    /// Who treats.
    Doctor,
    /// Who runs the service; never sees content.
    Admin,
}

/// The kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::records::RecordType")]
pub(crate) enum RecordType {
    /// What was found to be wrong.
    Diagnosis,
    /// What the laboratory measured.
    LabResult,
    /// What was prescribed.
    Prescription,
    /// What is to be done.
    TreatmentPlan,
    /// What came before.
    MedicalHistory,
    /// What was measured at the bedside.
    VitalSigns,
    /// What pictures show.
    Imaging,
    /// What was given against infection.
    Vaccination,
}

/// What may be done with data, or that nothing may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::consents::Activity")]
pub(crate) enum ProcessingActivity {
    /// Open a record.
    Read,
    /// Find records.
    Search,
    /// Write a record.
    Create,
    /// Write a new version.
    Amend,
    /// Take a copy out.
    Export,
    /// Send abroad.
    Transfer,
    /// A refusal: nobody named may do anything.
    Deny,
}

/// Where a record's anchor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::AnchorState")]
pub(crate) enum AnchorState {
    /// Signed, waiting to be sent.
    Pending,
    /// Handed to a node.
    Submitted,
    /// In a block.
    Confirmed,
    /// In a block that cannot be undone.
    Finalized,
    /// A transaction with a higher fee took its place.
    Replaced,
    /// Its block was undone; it is being sent again.
    Reorged,
    /// Mined without effect.
    Failed,
}

/// What a subject asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::deletion::DeletionRequestType")]
pub(crate) enum DeletionRequestType {
    /// Everything, the account included.
    AccountErasure,
    /// Single records.
    RecordErasure,
    /// Every record of some types.
    CategoryErasure,
    /// Nothing erased, but nobody else reads.
    Restriction,
}

/// What can be found wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::FindingKind")]
pub(crate) enum FindingKind {
    /// A record is said to be anchored and the chain does not know it.
    MissingOnChain,
    /// The chain knows a hash that no record has.
    UnknownOnChain,
    /// A record's hash is not the one that was anchored.
    HashMismatch,
    /// Somebody else's account anchored it.
    ForeignRegistrar,
    /// A record's content is not what its hash says.
    ContentMismatch,
    /// A record does not open.
    Undecryptable,
    /// An audit row is not what was anchored.
    AuditTampered,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::FeedKind")]
pub(crate) enum IntegrityEventKind {
    /// A record was stored and its transaction signed.
    AnchorPending,
    /// Its transaction was handed to a node.
    AnchorSubmitted,
    /// It is in a block.
    AnchorConfirmed,
    /// Its block is final.
    AnchorFinalized,
    /// Its block was undone.
    AnchorReorged,
    /// Another transaction took its place.
    AnchorReplaced,
    /// It was mined without effect.
    AnchorFailed,
    /// Something is wrong.
    FindingOpened,
    /// It is right again.
    FindingResolved,
}

/// Why data is touched: a code of HL7 v3 PurposeOfUse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::purpose::Purpose")]
pub(crate) enum PurposeOfUse {
    /// Treatment.
    #[graphql(name = "TREAT")]
    Treatment,
    /// Emergency treatment.
    #[graphql(name = "ETREAT")]
    EmergencyTreatment,
    /// Break the glass.
    #[graphql(name = "BTG")]
    BreakGlass,
    /// Treatment in an emergency room.
    #[graphql(name = "ERTREAT")]
    EmergencyRoomTreatment,
    /// Coordination of care.
    #[graphql(name = "COC")]
    Coordination,
    /// A clinical trial.
    #[graphql(name = "CLINTRL")]
    ClinicalTrial,
    /// Population health.
    #[graphql(name = "POPHLTH")]
    PopulationHealth,
    /// Payment.
    #[graphql(name = "HPAYMT")]
    Payment,
    /// Running the organisation.
    #[graphql(name = "HOPERAT")]
    Operations,
    /// Running the system.
    #[graphql(name = "HSYSADMIN")]
    SystemAdministration,
    /// Complying with a law.
    #[graphql(name = "HCOMPL")]
    Compliance,
    /// Managing records.
    #[graphql(name = "RECORDMGT")]
    RecordManagement,
    /// Research.
    #[graphql(name = "HRESCH")]
    Research,
    /// Marketing.
    #[graphql(name = "HMARKT")]
    Marketing,
    /// Public health.
    #[graphql(name = "PUBHLTH")]
    PublicHealth,
    /// The patient asked for it.
    #[graphql(name = "PATRQT")]
    PatientRequest,
}

/// One record type, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum DataCategory {
    /// Every record.
    AllRecords,
    /// What was found to be wrong.
    Diagnosis,
    /// What the laboratory measured.
    LabResult,
    /// What was prescribed.
    Prescription,
    /// What is to be done.
    TreatmentPlan,
    /// What came before.
    MedicalHistory,
    /// What was measured at the bedside.
    VitalSigns,
    /// What pictures show.
    Imaging,
    /// What was given against infection.
    Vaccination,
}

impl From<DataCategory> for Category {
    fn from(category: DataCategory) -> Self {
        match category {
            DataCategory::AllRecords => Self::All,
            DataCategory::Diagnosis => Self::Only(records::RecordType::Diagnosis),
            DataCategory::LabResult => Self::Only(records::RecordType::LabResult),
            DataCategory::Prescription => Self::Only(records::RecordType::Prescription),
            DataCategory::TreatmentPlan => Self::Only(records::RecordType::TreatmentPlan),
            DataCategory::MedicalHistory => Self::Only(records::RecordType::MedicalHistory),
            DataCategory::VitalSigns => Self::Only(records::RecordType::VitalSigns),
            DataCategory::Imaging => Self::Only(records::RecordType::Imaging),
            DataCategory::Vaccination => Self::Only(records::RecordType::Vaccination),
        }
    }
}

impl From<Category> for DataCategory {
    fn from(category: Category) -> Self {
        match category {
            Category::All => Self::AllRecords,
            Category::Only(records::RecordType::Diagnosis) => Self::Diagnosis,
            Category::Only(records::RecordType::LabResult) => Self::LabResult,
            Category::Only(records::RecordType::Prescription) => Self::Prescription,
            Category::Only(records::RecordType::TreatmentPlan) => Self::TreatmentPlan,
            Category::Only(records::RecordType::MedicalHistory) => Self::MedicalHistory,
            Category::Only(records::RecordType::VitalSigns) => Self::VitalSigns,
            Category::Only(records::RecordType::Imaging) => Self::Imaging,
            Category::Only(records::RecordType::Vaccination) => Self::Vaccination,
        }
    }
}
