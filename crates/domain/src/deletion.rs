//! Requests to erase or restrict, and the states they pass through.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    consents::Category,
    ids::{DeletionRequestId, LegalHoldId, PatientKeyId, RecordId, UserId},
    records::RecordType,
    text::text_enum,
};

/// How long a request may be verified. After that it is expired.
pub const VERIFY_WITHIN: TimeDelta = TimeDelta::days(7);
/// How long what the subject's wallet is to sign waits for the signature.
pub const CHALLENGE_LASTS: TimeDelta = TimeDelta::minutes(10);
/// How many wrong proofs a request bears. With the last of them it is expired.
pub const MAX_VERIFICATION_TRIES: i16 = 5;
/// The most records that a request, a decision or a hold names; each stands for all of its versions.
pub const MAX_NAMED_RECORDS: usize = 100;
/// How many holds of a patient may be in force.
pub const MAX_HOLDS: usize = 50;

/// The most requests of one subject that can be open: there are four types, and each is about a set of
/// record types. More would say nothing new to the administrators who read all of them.
pub const MAX_OPEN_REQUESTS: usize = 10;

text_enum! {
    /// What a subject asks for.
    DeletionRequestType {
        /// Everything, the account included.
        AccountErasure = "ACCOUNT_ERASURE",
        /// Single records.
        RecordErasure = "RECORD_ERASURE",
        /// Every record of some types.
        CategoryErasure = "CATEGORY_ERASURE",
        /// Nothing erased, but nobody else reads.
        Restriction = "RESTRICTION",
    }
}

text_enum! {
    /// Where a request stands. Stored in lower case, as the specification's `pending` is.
    DeletionStatus {
        /// Recorded; the subject has not proved to be the subject.
        Pending = "pending",
        /// The subject has proved it.
        Verified = "verified",
        /// Not verified in time.
        Expired = "expired",
        /// Scope, holds and retention are being computed.
        UnderReview = "under_review",
        /// A legal hold stands in the way.
        OnHold = "on_hold",
        /// Granted.
        Approved = "approved",
        /// Granted in part.
        PartiallyApproved = "partially_approved",
        /// Refused.
        Rejected = "rejected",
        /// In the days of grace.
        Scheduled = "scheduled",
        /// Taken back by the subject.
        Cancelled = "cancelled",
        /// Being carried out.
        Executing = "executing",
        /// Done.
        Completed = "completed",
        /// Stopped half-way; will be resumed.
        Failed = "failed",
    }
}

text_enum! {
    /// By what the subject of a request proves to be the subject.
    VerificationMethod {
        /// By the password of the account.
        Password = "PASSWORD",
        /// By a signature of the wallet that is linked to it.
        Wallet = "WALLET",
    }
}

text_enum! {
    /// What an administrator decides about a request.
    DeletionDecision {
        /// All that is asked for.
        Approve = "APPROVE",
        /// Some of it.
        ApprovePartially = "APPROVE_PARTIALLY",
        /// Nothing.
        Reject = "REJECT",
    }
}

text_enum! {
    /// What moves a request from one state to the next.
    DeletionStep {
        /// The subject has proved to be the subject.
        Verify = "VERIFY",
        /// Time, or the number of tries, is over.
        Expire = "EXPIRE",
        /// Its scope is computed, or has become another one than was decided about.
        Review = "REVIEW",
        /// A hold covers some of it.
        Hold = "HOLD",
        /// No hold does any more, and nothing was decided before.
        Release = "RELEASE",
        /// No hold does any more, and it was scheduled before.
        Resume = "RESUME",
        /// All of it is granted.
        Approve = "APPROVE",
        /// Some of it is.
        ApprovePartially = "APPROVE_PARTIALLY",
        /// Nothing is.
        Reject = "REJECT",
        /// The days of grace begin.
        Schedule = "SCHEDULE",
        /// The subject takes it back.
        Cancel = "CANCEL",
        /// It begins to be carried out, or goes on.
        Begin = "BEGIN",
        /// It cannot be carried out now.
        Fail = "FAIL",
        /// It is carried out.
        Complete = "COMPLETE",
    }
}

text_enum! {
    /// What is done to carry a request out, in this order; each step in one transaction, or several.
    ErasureStep {
        /// The approvals and the holds were looked at once more.
        Begin = "BEGIN",
        /// Nobody is logged in any more, and nobody logs in.
        Sessions = "SESSIONS",
        /// Every consent is taken back.
        Consents = "CONSENTS",
        /// The records are erased.
        Records = "RECORDS",
        /// The keys are destroyed.
        Keys = "KEYS",
        /// The account says nothing of anybody.
        Account = "ACCOUNT",
        /// Nothing is left, and it is said so.
        Certificate = "CERTIFICATE",
    }
}

impl ErasureStep {
    /// The steps of a request of this type, in their order.
    pub const fn of(request_type: DeletionRequestType) -> &'static [Self] {
        match request_type {
            DeletionRequestType::AccountErasure => Self::ALL,
            DeletionRequestType::RecordErasure | DeletionRequestType::CategoryErasure => {
                &[Self::Begin, Self::Records, Self::Certificate]
            }
            DeletionRequestType::Restriction => &[],
        }
    }
}

impl DeletionRequestType {
    /// Whether data is destroyed.
    pub const fn erases(self) -> bool {
        match self {
            Self::AccountErasure | Self::RecordErasure | Self::CategoryErasure => true,
            Self::Restriction => false,
        }
    }

    /// How many administrators have to approve.
    pub const fn approvals(self) -> usize {
        match self {
            Self::AccountErasure => 2,
            Self::RecordErasure | Self::CategoryErasure | Self::Restriction => 1,
        }
    }
}

impl DeletionStatus {
    /// The state that a step leads to; `None` where it is not one of this state's.
    pub const fn after(self, step: DeletionStep) -> Option<Self> {
        use DeletionStep as Step;
        match (self, step) {
            (Self::Pending, Step::Verify) => Some(Self::Verified),
            (Self::Pending, Step::Expire) => Some(Self::Expired),
            (Self::Verified | Self::Scheduled | Self::Failed, Step::Review)
            | (Self::OnHold, Step::Release) => Some(Self::UnderReview),
            (Self::UnderReview | Self::Scheduled | Self::Executing | Self::Failed, Step::Hold) => {
                Some(Self::OnHold)
            }
            (Self::OnHold, Step::Resume)
            | (Self::Approved | Self::PartiallyApproved, Step::Schedule) => Some(Self::Scheduled),
            (Self::UnderReview, Step::Approve) => Some(Self::Approved),
            (Self::UnderReview, Step::ApprovePartially) => Some(Self::PartiallyApproved),
            (Self::UnderReview, Step::Reject) => Some(Self::Rejected),
            (
                Self::Pending
                | Self::Verified
                | Self::UnderReview
                | Self::OnHold
                | Self::Approved
                | Self::PartiallyApproved
                | Self::Scheduled,
                Step::Cancel,
            ) => Some(Self::Cancelled),
            (Self::Scheduled | Self::Failed, Step::Begin) => Some(Self::Executing),
            (Self::Executing, Step::Fail) => Some(Self::Failed),
            (Self::Executing, Step::Complete) => Some(Self::Completed),
            _ => None,
        }
    }

    /// Whether something is done or kept back because of the request: its row carries a seal.
    pub const fn decides(self) -> bool {
        match self {
            Self::Verified
            | Self::UnderReview
            | Self::OnHold
            | Self::Approved
            | Self::PartiallyApproved
            | Self::Scheduled
            | Self::Executing
            | Self::Failed => true,
            Self::Pending | Self::Expired | Self::Rejected | Self::Cancelled | Self::Completed => {
                false
            }
        }
    }

    /// Whether somebody has still to do something about it.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Pending
            | Self::Verified
            | Self::UnderReview
            | Self::OnHold
            | Self::Approved
            | Self::PartiallyApproved
            | Self::Scheduled
            | Self::Executing
            | Self::Failed => true,
            Self::Expired | Self::Rejected | Self::Cancelled | Self::Completed => false,
        }
    }
}

/// How long a record of this type is kept from the moment it was stored, where the operator has set nothing else
/// (`retention_rules`). Unit: years. Engineering defaults, to be checked by the operator's counsel
/// (`docs/decisions/0046-erasure-by-two-and-step-by-step.md`).
pub const fn retention_years(record_type: RecordType) -> i32 {
    match record_type {
        RecordType::Diagnosis => 15,
        RecordType::LabResult | RecordType::Imaging | RecordType::VitalSigns => 10,
        RecordType::TreatmentPlan
        | RecordType::Prescription
        | RecordType::MedicalHistory
        | RecordType::Vaccination => 20,
    }
}

/// Which records of a patient: all of some types, and single ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// All of these types.
    pub categories: Vec<Category>,
    /// These, each version by its own id.
    pub records: Vec<RecordId>,
}

impl Coverage {
    /// The types of which all records are covered.
    pub fn types(&self) -> Vec<RecordType> {
        let is_covered = |record_type: &RecordType| {
            let only = Category::Only(*record_type);
            self.categories.contains(&Category::All) || self.categories.contains(&only)
        };
        RecordType::ALL.iter().copied().filter(is_covered).collect()
    }

    /// Whether nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.categories.is_empty() && self.records.is_empty()
    }
}

/// What the subject's wallet is to sign waits for its signature. Who the wallet is, the account says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationChallenge {
    /// 32 random bytes, which are part of what is signed.
    pub nonce: [u8; 32],
    /// The last second in which the signature is taken.
    pub expires_at: DateTime<Utc>,
}

/// That an administrator approved a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub by: UserId,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why an administrator decided something, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub enum StoredReason {
    /// In clear: from before reasons were sealed.
    Clear(String),
    /// Sealed under this key of the patient.
    Sealed {
        /// Which.
        key: PatientKeyId,
        /// The sealed bytes.
        bytes: Vec<u8>,
    },
}

impl std::fmt::Debug for StoredReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredReason(…)")
    }
}

/// What a request is about, of one type.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeOfType {
    /// Which type.
    pub record_type: RecordType,
    /// How many records, each version counted.
    pub records: i64,
    /// How many of them are still to be kept.
    pub within_retention: i64,
    /// When the last of them has been kept long enough.
    pub kept_until: DateTime<Utc>,
}

/// A request as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionRequest {
    /// Which.
    pub id: DeletionRequestId,
    /// Whose data.
    pub user: UserId,
    /// What is asked for.
    pub request_type: DeletionRequestType,
    /// Where it stands.
    pub status: DeletionStatus,
    /// What it is about.
    pub asked: Coverage,
    /// When it was made.
    pub requested_at: DateTime<Utc>,
    /// When it was carried out.
    pub completed_at: Option<DateTime<Utc>>,
    /// By what the subject proves to be the subject. Decides nothing.
    pub verification_method: VerificationMethod,
    /// What waits for the signature of the subject's wallet.
    pub challenge: Option<VerificationChallenge>,
    /// How many wrong proofs were given.
    pub verification_tries: i16,
    /// When the subject proved to be the subject.
    pub verified_at: Option<DateTime<Utc>>,
    /// What it is about in numbers, when it was verified and when it was decided.
    pub scope: Vec<ScopeOfType>,
    /// What was approved.
    pub approved: Coverage,
    /// Whether records are erased that are still to be kept.
    pub overrides_retention: bool,
    /// Why the last decision was taken.
    pub reason: Option<StoredReason>,
    /// The first approval.
    pub first_approval: Option<Approval>,
    /// The second, where there have to be two.
    pub second_approval: Option<Approval>,
    /// When it is carried out.
    pub scheduled_for: Option<DateTime<Utc>>,
}

impl DeletionRequest {
    /// Goes a step; `None`, and nothing changed, where that is not one of this state's.
    #[must_use]
    pub fn after(&self, step: DeletionStep) -> Option<Self> {
        Some(Self {
            status: self.status.after(step)?,
            // A request leaves `pending` by its first step: no signature is waited for any more.
            challenge: None,
            ..self.clone()
        })
    }

    /// The state in which no hold leaves it any more.
    #[must_use]
    pub fn released(&self) -> Option<Self> {
        self.after(match self.scheduled_for {
            Some(_) => DeletionStep::Resume,
            None => DeletionStep::Release,
        })
    }

    /// The same with nothing approved.
    #[must_use]
    pub fn undecided(self) -> Self {
        Self {
            approved: Coverage::default(),
            overrides_retention: false,
            first_approval: None,
            second_approval: None,
            scheduled_for: None,
            ..self
        }
    }

    /// How many records are still to be kept.
    pub fn within_retention(&self) -> i64 {
        self.scope.iter().map(|it| it.within_retention).sum()
    }
}

/// A legal hold: what it covers is not erased while it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegalHold {
    /// Which.
    pub id: LegalHoldId,
    /// Whose data.
    pub patient: UserId,
    /// What is kept.
    pub covers: Coverage,
    /// Why; `None` where the patient's data was erased.
    pub reason: Option<StoredReason>,
    /// Who placed it, and when.
    pub placed: Approval,
    /// Who was the first to release it.
    pub release_proposed: Option<Approval>,
    /// Who was the second: then it is over.
    pub released: Option<Approval>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_the_ways_that_are_drawn_and_no_other() {
        use DeletionStatus as Status;
        use DeletionStep as Step;
        let ways = [
            (Status::Pending, Step::Verify, Status::Verified),
            (Status::Pending, Step::Expire, Status::Expired),
            (Status::Pending, Step::Cancel, Status::Cancelled),
            (Status::Verified, Step::Review, Status::UnderReview),
            (Status::Verified, Step::Cancel, Status::Cancelled),
            (Status::UnderReview, Step::Hold, Status::OnHold),
            (Status::UnderReview, Step::Approve, Status::Approved),
            (
                Status::UnderReview,
                Step::ApprovePartially,
                Status::PartiallyApproved,
            ),
            (Status::UnderReview, Step::Reject, Status::Rejected),
            (Status::UnderReview, Step::Cancel, Status::Cancelled),
            (Status::OnHold, Step::Release, Status::UnderReview),
            (Status::OnHold, Step::Resume, Status::Scheduled),
            (Status::OnHold, Step::Cancel, Status::Cancelled),
            (Status::Approved, Step::Schedule, Status::Scheduled),
            (Status::Approved, Step::Cancel, Status::Cancelled),
            (Status::PartiallyApproved, Step::Schedule, Status::Scheduled),
            (Status::PartiallyApproved, Step::Cancel, Status::Cancelled),
            (Status::Scheduled, Step::Hold, Status::OnHold),
            (Status::Executing, Step::Hold, Status::OnHold),
            (Status::Failed, Step::Hold, Status::OnHold),
            (Status::Scheduled, Step::Review, Status::UnderReview),
            (Status::Failed, Step::Review, Status::UnderReview),
            (Status::Scheduled, Step::Cancel, Status::Cancelled),
            (Status::Scheduled, Step::Begin, Status::Executing),
            (Status::Executing, Step::Fail, Status::Failed),
            (Status::Executing, Step::Complete, Status::Completed),
            (Status::Failed, Step::Begin, Status::Executing),
        ];
        for from in Status::ALL {
            for step in Step::ALL {
                let drawn = ways
                    .iter()
                    .find(|(status, taken, _)| status == from && taken == step);
                let wanted = drawn.map(|(.., to)| *to);
                assert_eq!(from.after(*step), wanted, "{from} {step}");
            }
        }
        for over in [
            Status::Expired,
            Status::Rejected,
            Status::Cancelled,
            Status::Completed,
        ] {
            assert!(!over.is_open() && !over.decides(), "{over}");
        }
    }

    #[test]
    fn what_is_restricted_alone_has_no_step_and_an_account_has_all() {
        use ErasureStep as Step;
        let of = |request_type| ErasureStep::of(request_type).to_vec();
        assert!(of(DeletionRequestType::Restriction).is_empty());
        assert_eq!(of(DeletionRequestType::AccountErasure), Step::ALL);
        for single in [
            DeletionRequestType::RecordErasure,
            DeletionRequestType::CategoryErasure,
        ] {
            assert_eq!(of(single), [Step::Begin, Step::Records, Step::Certificate]);
        }
    }

    #[test]
    fn all_records_are_those_of_every_type() {
        let all = Coverage {
            categories: vec![Category::All],
            records: Vec::new(),
        };
        assert_eq!(all.types(), RecordType::ALL);
        let some = Coverage {
            categories: vec![Category::Only(RecordType::Imaging)],
            records: vec![RecordId::fresh()],
        };
        assert_eq!(some.types(), [RecordType::Imaging]);
        assert!(!some.is_empty());
        assert!(Coverage::default().is_empty());
    }

    #[test]
    fn each_type_is_kept_as_long_as_the_table_says() {
        let years = RecordType::ALL
            .iter()
            .map(|it| (it.as_str(), retention_years(*it)));
        let mut years: Vec<_> = years.collect();
        years.sort_unstable();
        assert_eq!(
            years,
            [
                ("DIAGNOSIS", 15),
                ("IMAGING", 10),
                ("LAB_RESULT", 10),
                ("MEDICAL_HISTORY", 20),
                ("PRESCRIPTION", 20),
                ("TREATMENT_PLAN", 20),
                ("VACCINATION", 20),
                ("VITAL_SIGNS", 10),
            ]
        );
    }
}
