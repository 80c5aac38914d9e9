//! Requests to erase or restrict, and the states they pass through.

use crate::text::text_enum;

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
