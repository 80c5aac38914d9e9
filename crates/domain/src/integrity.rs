//! Where a record's anchor stands, and what can be found wrong.

use crate::text::text_enum;

text_enum! {
    /// Where a record's anchor stands.
    AnchorState {
        /// Signed, in the outbox.
        Pending = "PENDING",
        /// Handed to a node.
        Submitted = "SUBMITTED",
        /// In a block.
        Confirmed = "CONFIRMED",
        /// In a block that cannot be undone.
        Finalized = "FINALIZED",
        /// A transaction with a higher fee took its place.
        Replaced = "REPLACED",
        /// Its block was undone; it is being sent again.
        Reorged = "REORGED",
        /// Mined without effect.
        Failed = "FAILED",
    }
}

text_enum! {
    /// What can be found wrong.
    FindingKind {
        /// A record is said to be anchored and the chain does not know it.
        MissingOnChain = "MISSING_ON_CHAIN",
        /// The chain knows a hash that no record has.
        UnknownOnChain = "UNKNOWN_ON_CHAIN",
        /// A record's hash is not the one that was anchored.
        HashMismatch = "HASH_MISMATCH",
        /// Somebody else's account anchored it.
        ForeignRegistrar = "FOREIGN_REGISTRAR",
        /// Somebody superseded or closed a record on the chain, and it was not us.
        EndedOnChain = "ENDED_ON_CHAIN",
        /// Somebody paused the registry.
        RegistryPaused = "REGISTRY_PAUSED",
        /// A record's content is not what its hash says.
        ContentMismatch = "CONTENT_MISMATCH",
        /// A record does not open.
        Undecryptable = "UNDECRYPTABLE",
        /// An audit row is not what was anchored.
        AuditTampered = "AUDIT_TAMPERED",
        /// A row that decides, a consent, an account or a second factor, is not as it was sealed.
        RowTampered = "ROW_TAMPERED",
    }
}

text_enum! {
    /// What the deep check walks through.
    CheckStage {
        /// Patients' keys.
        Keys = "KEYS",
        /// Records.
        Records = "RECORDS",
        /// Accounts.
        Accounts = "ACCOUNTS",
        /// Consents.
        Consents = "CONSENTS",
        /// Second factors.
        Factors = "FACTORS",
        /// Log-ins.
        Sessions = "SESSIONS",
        /// Roles that wait for a second administrator.
        Proposals = "PROPOSALS",
    }
}

text_enum! {
    /// What a subscriber is told.
    FeedKind {
        /// A record was stored and its transaction signed.
        AnchorPending = "ANCHOR_PENDING",
        /// Its transaction was handed to a node.
        AnchorSubmitted = "ANCHOR_SUBMITTED",
        /// It is in a block.
        AnchorConfirmed = "ANCHOR_CONFIRMED",
        /// Its block is final.
        AnchorFinalized = "ANCHOR_FINALIZED",
        /// Its block was undone.
        AnchorReorged = "ANCHOR_REORGED",
        /// Another transaction took its place.
        AnchorReplaced = "ANCHOR_REPLACED",
        /// It was mined without effect.
        AnchorFailed = "ANCHOR_FAILED",
        /// Something is wrong.
        FindingOpened = "FINDING_OPENED",
        /// It is right again.
        FindingResolved = "FINDING_RESOLVED",
    }
}
