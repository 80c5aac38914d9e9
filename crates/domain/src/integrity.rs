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
        /// Its transaction came to nothing: mined without effect, or its nonce was used by another one. It is signed again.
        Failed = "FAILED",
    }
}

text_enum! {
    /// How far the closing of a record on the chain has come.
    ClosingState {
        /// To be done: it waits for the anchor, the registry or a steward.
        Pending = "PENDING",
        /// Signed, in the outbox.
        Submitted = "SUBMITTED",
        /// In a block.
        Confirmed = "CONFIRMED",
    }
}

text_enum! {
    /// What a closed record is on the chain.
    ClosedAs {
        /// Declared wrong.
        Revoked = "REVOKED",
        /// Its document, key and salt were destroyed.
        Erased = "ERASED",
    }
}

text_enum! {
    /// Why a record is closed on the chain. The registry holds a code, never a text (`docs/contracts.md`).
    ClosingReason {
        /// It should not have been stored.
        EnteredInError = "ENTERED_IN_ERROR",
        /// The patient asked for it.
        PatientAsked = "PATIENT_ASKED",
        /// It was kept as long as it has to be.
        RetentionEnded = "RETENTION_ENDED",
        /// A court or an authority ordered it.
        LegalOrder = "LEGAL_ORDER",
        /// Another record says the same.
        Duplicate = "DUPLICATE",
        /// None of these.
        Other = "OTHER",
    }
}

impl ClosingReason {
    /// The code that the registry holds.
    pub const fn code(self) -> u8 {
        match self {
            Self::EnteredInError => 1,
            Self::PatientAsked => 2,
            Self::RetentionEnded => 3,
            Self::LegalOrder => 4,
            Self::Duplicate => 5,
            Self::Other => 255,
        }
    }

    /// The reason of a code; `None` for one that we do not use.
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
    }

    /// What a record becomes that is closed for this reason: erased where its content is destroyed.
    pub const fn closes_as(self) -> ClosedAs {
        match self {
            Self::EnteredInError | Self::Duplicate | Self::Other => ClosedAs::Revoked,
            Self::PatientAsked | Self::RetentionEnded | Self::LegalOrder => ClosedAs::Erased,
        }
    }
}

text_enum! {
    /// What the registry says by an event.
    RegistryEventKind {
        /// A record was anchored; with a predecessor, it took its place.
        RecordAnchored = "RECORD_ANCHORED",
        /// A record was revoked or erased.
        RecordClosed = "RECORD_CLOSED",
        /// The end of a record was annulled.
        EndingAnnulled = "ENDING_ANNULLED",
        /// How many records a registrar may end in a window was set.
        EndingLimitSet = "ENDING_LIMIT_SET",
        /// Many records were anchored as one tree.
        BatchAnchored = "BATCH_ANCHORED",
        /// A record of a batch got a slot of its own.
        RecordExtracted = "RECORD_EXTRACTED",
        /// The audit log was pinned.
        CheckpointAnchored = "CHECKPOINT_ANCHORED",
        /// An epoch of checkpoints was opened.
        EpochOpened = "EPOCH_OPENED",
        /// The pause was switched.
        PausedSet = "PAUSED_SET",
        /// An account was given a role or lost it.
        RoleChanged = "ROLE_CHANGED",
        /// A step towards another admin or delay was taken.
        AdminStepTaken = "ADMIN_STEP_TAKEN",
    }
}

text_enum! {
    /// What can be found wrong.
    FindingKind {
        /// A record is said to be anchored and the chain does not know it.
        MissingOnChain = "MISSING_ON_CHAIN",
        /// The chain knows a hash that no record has, or a batch.
        UnknownOnChain = "UNKNOWN_ON_CHAIN",
        /// A record's hash is not the one that was anchored.
        HashMismatch = "HASH_MISMATCH",
        /// Somebody else anchored it: another account, or a batch, and we anchor none.
        ForeignRegistrar = "FOREIGN_REGISTRAR",
        /// Somebody superseded or closed a record on the chain, and it was not us.
        EndedOnChain = "ENDED_ON_CHAIN",
        /// The registry of consents has one that nobody agreed to here.
        UnknownConsent = "UNKNOWN_CONSENT",
        /// The registry of consents says otherwise of a consent than its receipt.
        ConsentMismatch = "CONSENT_MISMATCH",
        /// Somebody paused the registry.
        RegistryPaused = "REGISTRY_PAUSED",
        /// A record's anchor was signed and does not come to the chain.
        AnchorStuck = "ANCHOR_STUCK",
        /// A record's content is not what its hash says.
        ContentMismatch = "CONTENT_MISMATCH",
        /// A record does not open.
        Undecryptable = "UNDECRYPTABLE",
        /// An audit row is not what was anchored.
        AuditTampered = "AUDIT_TAMPERED",
        /// A row that decides, a consent, an account or a second factor, is not as it was sealed; or an event of the chain is not
        /// stored as the registry told it.
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
        /// Consents that wait for whoever has their code.
        Codes = "CODES",
        /// Windows of emergency access.
        Windows = "WINDOWS",
        /// Requests to erase or restrict.
        Deletions = "DELETIONS",
        /// Legal holds.
        Holds = "HOLDS",
        /// Organisations.
        Organizations = "ORGS",
        /// Who belongs to organisations.
        Memberships = "MEMBERS",
        /// The audit trail, its tree and its checkpoints.
        Trail = "TRAIL",
        /// Who acts for which patient.
        Representatives = "REPRESENTATIVES",
        /// Representatives who wait for a second administrator.
        Appointments = "APPOINTMENTS",
        /// Receipts of consents.
        Receipts = "RECEIPTS",
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
        /// It came to nothing, and is signed again.
        AnchorFailed = "ANCHOR_FAILED",
        /// It was closed on the chain, by us: that is in a block.
        ClosingConfirmed = "CLOSING_CONFIRMED",
        /// That block was undone; the closing is done again.
        ClosingReorged = "CLOSING_REORGED",
        /// Something is wrong.
        FindingOpened = "FINDING_OPENED",
        /// It is right again.
        FindingResolved = "FINDING_RESOLVED",
    }
}

impl FeedKind {
    /// Where an anchor stands of which this is told; `None` where it is about something else.
    pub const fn anchor_state(self) -> Option<AnchorState> {
        match self {
            Self::AnchorPending => Some(AnchorState::Pending),
            Self::AnchorSubmitted => Some(AnchorState::Submitted),
            Self::AnchorConfirmed | Self::AnchorReplaced => Some(AnchorState::Confirmed),
            Self::AnchorFinalized => Some(AnchorState::Finalized),
            Self::AnchorReorged => Some(AnchorState::Reorged),
            Self::AnchorFailed => Some(AnchorState::Failed),
            Self::ClosingConfirmed
            | Self::ClosingReorged
            | Self::FindingOpened
            | Self::FindingResolved => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_operators_list() {
        use ClosedAs::{Erased, Revoked};
        let codes = [
            (1, Revoked),
            (2, Erased),
            (3, Erased),
            (4, Erased),
            (5, Revoked),
            (255, Revoked),
        ];
        let listed = ClosingReason::ALL
            .iter()
            .map(|it| (it.code(), it.closes_as()));
        assert!(listed.eq(codes));
        for code in 0..=u8::MAX {
            let read = ClosingReason::of(code);
            assert_eq!(read.map(ClosingReason::code), read.map(|_| code));
            assert_eq!(
                read.is_some(),
                codes.iter().any(|(listed, _)| *listed == code),
                "{code}"
            );
        }
    }
}
