//! The domain's enums as the schema names them. The compiler refuses a variant that one side lacks.

use async_graphql::Enum;
use domain::{consents::Category, records};

/// What an account may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::users::Role")]
pub(crate) enum Role {
    /// A person whose records are stored, who gives and withdraws consents. Every new account has this
    /// role.
    Patient,
    /// A person who treats patients and, with their consent, reads and writes their records.
    Doctor,
    /// A person who runs the service: manages accounts and reads the audit trail, and never sees the
    /// content of a record.
    Admin,
}

/// The language of what the service writes in sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::language::Language")]
pub(crate) enum Language {
    /// Sentences are in English.
    English,
    /// Sentences are in Indonesian.
    Indonesian,
}

/// The kind of document that a record holds. It decides which FHIR R4 resources the document may have
/// and what it must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::records::RecordType")]
pub(crate) enum RecordType {
    /// A diagnosis: `Condition` resources.
    Diagnosis,
    /// A result of a laboratory: `Observation`, `DiagnosticReport` and `DocumentReference` resources.
    LabResult,
    /// A prescription of medicines: `MedicationRequest`, and where it is asked for `MedicationStatement` and
    /// `MedicationAdministration` resources.
    Prescription,
    /// A plan of the treatment, or a part of one by itself: `CarePlan`, `Goal`, `ServiceRequest` and
    /// `CareTeam` resources.
    TreatmentPlan,
    /// The patient's medical history: `Condition`, `Procedure`, `FamilyMemberHistory`,
    /// `AllergyIntolerance`, `MedicationStatement`, `MedicationAdministration`, `Observation`,
    /// `DiagnosticReport`, `DocumentReference`, `List` and `Composition` resources.
    MedicalHistory,
    /// Vital signs, such as blood pressure, pulse or temperature: `Observation` resources.
    VitalSigns,
    /// An examination by imaging and its report: `ImagingStudy`, `DiagnosticReport`, `Media`, `Observation` and
    /// `DocumentReference` resources.
    Imaging,
    /// A vaccination, given or recommended: `Immunization` and `ImmunizationRecommendation` resources.
    Vaccination,
}

/// What a consent permits to be done with data, or DENY, which forbids everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::consents::Activity")]
pub(crate) enum ProcessingActivity {
    /// To open a record and read its document.
    Read,
    /// To find records in lists, and to follow their integrity events.
    Search,
    /// To store a new record for the patient.
    Create,
    /// To store a new version of a record, or to withdraw it.
    Amend,
    /// To take a copy of a record out of the system.
    Export,
    /// To send data to a recipient in another country.
    Transfer,
    /// To refuse the named grantees every access for the purpose and the data categories of the
    /// consent. It stands alone, and takes precedence over every consent that permits.
    Deny,
}

/// How far the anchor of a record, its hash on the chain, has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::AnchorState")]
pub(crate) enum AnchorState {
    /// The transaction is signed and waits to be sent.
    Pending,
    /// The transaction was handed to a node of the chain, and waits to be mined.
    Submitted,
    /// The anchor was found in a block that may still be undone.
    Confirmed,
    /// The anchor is in a block that cannot be undone any more.
    Finalized,
    /// Another transaction with a higher fee was mined in place of this one.
    Replaced,
    /// The block of the anchor was undone by a reorganisation of the chain; the transaction is sent
    /// again.
    Reorged,
    /// The transaction came to nothing: it was mined and had no effect, or its nonce was used by another one. The hash is not on
    /// the chain; another transaction is signed for it.
    Failed,
}

/// How far the closing of a record on the chain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::ClosingState")]
pub(crate) enum ClosingState {
    /// It waits: for the anchor to be in a block, for the registry to be released from a pause, for the next
    /// hour where registrars have ended as many records as they may, or for a steward where another account
    /// anchored the record.
    Pending,
    /// The transaction is signed and waits to be mined.
    Submitted,
    /// It was found in a block.
    Confirmed,
}

/// The status that a closed record has on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::ClosedAs")]
pub(crate) enum ClosedAs {
    /// The record was declared wrong.
    Revoked,
    /// The document of the record was destroyed, with its key and its salt.
    Erased,
}

/// Why a record is closed on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::ClosingReason")]
pub(crate) enum ClosingReason {
    /// It should not have been stored: code 1 of the registry.
    EnteredInError,
    /// The patient asked for its erasure: code 2.
    PatientAsked,
    /// It was kept as long as it has to be: code 3. Reserved: nothing is erased yet.
    RetentionEnded,
    /// A court or an authority ordered it: code 4. Reserved: nothing is erased yet.
    LegalOrder,
    /// Another record says the same: code 5. Reserved: no operation gives this reason yet.
    Duplicate,
    /// Another reason: code 255. Reserved: no operation gives this reason yet.
    Other,
}

/// What a person asks to be done with their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::deletion::DeletionRequestType")]
pub(crate) enum DeletionRequestType {
    /// To erase all of the data, together with the account.
    AccountErasure,
    /// To erase single records of the account.
    RecordErasure,
    /// To erase every record of the named categories.
    CategoryErasure,
    /// To erase nothing, and to let nobody else read the data.
    Restriction,
}

/// Where a deletion request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::deletion::DeletionStatus")]
pub(crate) enum DeletionStatus {
    /// The person has not verified it.
    Pending,
    /// The person has verified it, and its scope is being computed.
    Verified,
    /// It was not verified in time, or too many proofs were wrong.
    Expired,
    /// Administrators have to decide about it.
    UnderReview,
    /// A legal hold covers some of it.
    OnHold,
    /// All of it was approved; of a restriction: it is in force.
    Approved,
    /// Some of it was approved; of a restriction: it is in force.
    PartiallyApproved,
    /// An administrator refused it.
    Rejected,
    /// It is carried out when the days of grace are over.
    Scheduled,
    /// The person took it back.
    Cancelled,
    /// It is being carried out.
    Executing,
    /// It was carried out.
    Completed,
    /// It could not be carried out, and will be tried again.
    Failed,
}

/// What an administrator decides about a deletion request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::deletion::DeletionDecision")]
pub(crate) enum DeletionDecision {
    /// To approve all that is asked for.
    Approve,
    /// To approve the named part of what is asked for.
    ApprovePartially,
    /// To refuse all of it.
    Reject,
}

/// By what the subject of a deletion request proves to be the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::deletion::VerificationMethod")]
pub(crate) enum DeletionVerificationMethod {
    /// By the password of the account.
    Password,
    /// By a signature of the wallet that is linked to the account.
    Wallet,
}

/// What kind of inconsistency was found between records, anchors, sealed rows, the audit trail and the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::FindingKind")]
pub(crate) enum FindingKind {
    /// The record counts as anchored, and the registry does not know its hash.
    MissingOnChain,
    /// The registry holds a hash that belongs to no record here, or the root of a batch: this service anchors none.
    UnknownOnChain,
    /// The hash in the record's row is not the hash that was anchored for it.
    HashMismatch,
    /// The hash of the record was anchored by an account that is not one of this service, or, whoever's account it was,
    /// out of a batch: this service anchors none. `details` names the `batch`.
    ForeignRegistrar,
    /// The record was superseded, revoked or erased on the chain by a transaction that this service did
    /// not send. A steward of the registry can annul it within 30 days.
    EndedOnChain,
    /// The registry of consents has a consent that nobody gave here.
    UnknownConsent,
    /// The registry of consents says otherwise of a consent than what was signed here.
    ConsentMismatch,
    /// The registry was paused: no record can be anchored until its administrator releases it.
    RegistryPaused,
    /// The anchor of the record was signed and does not come to the chain: `details` states the `reason`. It is closed when the
    /// anchor is in a block.
    AnchorStuck,
    /// The decrypted content of the record does not have the hash that was stored.
    ContentMismatch,
    /// The content of the record cannot be decrypted with its patient's key.
    Undecryptable,
    /// A row of the audit trail, or the tree over it, differs from what was hashed or anchored; or the registry holds a
    /// checkpoint that was not signed here, or that the trail never was.
    AuditTampered,
    /// A row that decides, a consent, an account or a second factor, was changed outside the service: it
    /// counts for nothing until an operator has looked. Or an event of the chain is not stored as the registry told it.
    /// `details` names table and row.
    RowTampered,
}

/// What the contract that records are anchored in says by an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::RegistryEventKind")]
pub(crate) enum RegistryEventKind {
    /// The hash of a record was anchored, maybe in the place of another: `RecordAnchored`.
    RecordAnchored,
    /// A record was revoked or erased: `RecordClosed`.
    RecordClosed,
    /// The end of a record was annulled, which stands again: `EndingAnnulled`.
    EndingAnnulled,
    /// How many records a registrar may end in a window was set: `EndingLimitSet`.
    EndingLimitSet,
    /// Many records were anchored as one tree: `BatchAnchored`.
    BatchAnchored,
    /// A record of a batch got a slot of its own: `RecordExtracted`.
    RecordExtracted,
    /// The audit trail was pinned: `CheckpointAnchored`.
    CheckpointAnchored,
    /// A new epoch of checkpoints was opened: `EpochOpened`.
    EpochOpened,
    /// The contract was paused or released: `PausedSet`.
    PausedSet,
    /// An account was given a role or lost it: `RoleChanged`.
    RoleChanged,
    /// A step towards another administrator or another delay was taken: `AdminStepTaken`.
    AdminStepTaken,
}

/// What an integrity event reports of a record, its anchor or a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::integrity::FeedKind")]
pub(crate) enum IntegrityEventKind {
    /// The record was stored and its anchoring transaction was signed.
    AnchorPending,
    /// The anchoring transaction was handed to a node of the chain.
    AnchorSubmitted,
    /// The anchor was found in a block that may still be undone.
    AnchorConfirmed,
    /// The block of the anchor cannot be undone any more.
    AnchorFinalized,
    /// The block of the anchor was undone; the transaction is sent again.
    AnchorReorged,
    /// Another transaction was mined in place of the one that was sent.
    AnchorReplaced,
    /// The transaction came to nothing: it was mined and had no effect, or its nonce was used by another one. Another one is
    /// signed.
    AnchorFailed,
    /// The record was closed on the chain by this service, because its life had ended here: that was found
    /// in a block that may still be undone.
    ClosingConfirmed,
    /// That block was undone; the record is closed again.
    ClosingReorged,
    /// An inconsistency was found: see `finding`.
    FindingOpened,
    /// An inconsistency that was found before is gone: see `finding`.
    FindingResolved,
}

/// Why data is accessed: a code of HL7 v3 PurposeOfUse. For their own records everybody acts for
/// PATRQT; for those of others doctors act for TREAT and what it contains, or HRESCH, and
/// administrators for HOPERAT and what it contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::purpose::Purpose")]
pub(crate) enum PurposeOfUse {
    /// Treatment of the patient. It contains ETREAT, COC, CLINTRL and POPHLTH.
    #[graphql(name = "TREAT")]
    Treatment,
    /// Treatment in an emergency. A consent to TREAT does not extend to it.
    #[graphql(name = "ETREAT")]
    EmergencyTreatment,
    /// Access in an emergency (break the glass). A consent to TREAT does not extend to it.
    #[graphql(name = "BTG")]
    BreakGlass,
    /// Treatment in an emergency room. A consent to TREAT does not extend to it.
    #[graphql(name = "ERTREAT")]
    EmergencyRoomTreatment,
    /// Coordination of the patient's care. A consent to TREAT extends to it.
    #[graphql(name = "COC")]
    Coordination,
    /// A clinical trial that the treatment is part of. A consent to TREAT does not extend to it.
    #[graphql(name = "CLINTRL")]
    ClinicalTrial,
    /// The health of a population. A consent to TREAT extends to it.
    #[graphql(name = "POPHLTH")]
    PopulationHealth,
    /// Payment for the patient's care.
    #[graphql(name = "HPAYMT")]
    Payment,
    /// Running the organisation. It contains HSYSADMIN, HCOMPL and RECORDMGT.
    #[graphql(name = "HOPERAT")]
    Operations,
    /// Administration of the computer system.
    #[graphql(name = "HSYSADMIN")]
    SystemAdministration,
    /// Compliance with a law or regulation.
    #[graphql(name = "HCOMPL")]
    Compliance,
    /// Management of the medical records.
    #[graphql(name = "RECORDMGT")]
    RecordManagement,
    /// Medical research beyond the treatment. Only a consent to HRESCH itself permits it.
    #[graphql(name = "HRESCH")]
    Research,
    /// Marketing of products or services.
    #[graphql(name = "HMARKT")]
    Marketing,
    /// Public health, such as reporting to an authority.
    #[graphql(name = "PUBHLTH")]
    PublicHealth,
    /// The patient's own request: what patients act for. It needs no consent.
    #[graphql(name = "PATRQT")]
    PatientRequest,
}

/// The records that a consent or a deletion request is about: those of one type, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum DataCategory {
    /// Every record, of whatever type.
    AllRecords,
    /// Every record of the type DIAGNOSIS.
    Diagnosis,
    /// Every record of the type `LAB_RESULT`.
    LabResult,
    /// Every record of the type PRESCRIPTION.
    Prescription,
    /// Every record of the type `TREATMENT_PLAN`.
    TreatmentPlan,
    /// Every record of the type `MEDICAL_HISTORY`.
    MedicalHistory,
    /// Every record of the type `VITAL_SIGNS`.
    VitalSigns,
    /// Every record of the type IMAGING.
    Imaging,
    /// Every record of the type VACCINATION.
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

/// What a representative may do for a patient, by the argument `onBehalfOf`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::representatives::RepresentedActivity")]
pub(crate) enum RepresentedActivity {
    /// To find and open records and their versions, and to verify them.
    ReadRecords,
    /// To store new records for the patient, one by one or by an import.
    CreateRecords,
    /// To take a copy of the records out.
    ExportRecords,
    /// To read who accessed the data of the patient.
    ReadAccessLog,
    /// To read the consents and the open access codes of the patient, and who has access.
    ReadConsents,
    /// To give consents for the patient, to preview and to withdraw them, and to make and cancel access codes; together with
    /// `READ_CONSENTS` only.
    ChangeConsents,
}

/// Whether a document has everything that its record type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Completeness {
    /// The document has everything that its record type asks for.
    Complete,
    /// The document lacks something: see `missing` of the record.
    Incomplete,
}
