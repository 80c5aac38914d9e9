//! Requests to erase or restrict, and the states they pass through.

use crate::text::text_enum;

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

impl DeletionStatus {
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
