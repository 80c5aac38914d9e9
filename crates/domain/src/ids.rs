//! Typed identifiers. A `RecordId` is never a `UserId`, from the edge inward.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier: a UUIDv7, so that rows made together lie together.
            pub fn fresh() -> Self {
                #[expect(clippy::disallowed_methods, reason = "the one place that makes identifiers")]
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id!(
    /// An account: a patient, a doctor, an administrator or a system user.
    UserId
);
id!(
    /// One log-in.
    SessionId
);
id!(
    /// One version of one sealed document.
    RecordId
);
id!(
    /// One consent or refusal of a patient.
    ConsentId
);
id!(
    /// What a patient agreed to, or took back, by a consent.
    ReceiptId
);
id!(
    /// A consent that waits for whoever has its code.
    AccessCodeId
);
id!(
    /// The key a patient's records are sealed under.
    PatientKeyId
);
id!(
    /// A request to erase or restrict.
    DeletionRequestId
);
id!(
    /// A legal hold: what it covers is not erased.
    LegalHoldId
);
id!(
    /// A hospital or practice.
    OrganizationId
);
id!(
    /// That a doctor belongs to an organisation, from when to when.
    MembershipId
);
id!(
    /// One link of a wallet to an account.
    WalletId
);
id!(
    /// A role that waits for a second administrator.
    RoleProposalId
);
id!(
    /// A window of emergency access.
    BreakGlassWindowId
);
id!(
    /// That somebody acts for a patient.
    RepresentationId
);
id!(
    /// A representative who waits for a second administrator.
    RepresentativeProposalId
);
id!(
    /// Something that somebody is told.
    NotificationId
);
id!(
    /// One request to the api; every audit row it writes carries it.
    RequestId
);
id!(
    /// Something found wrong by the indexer, the deep check or the audit check.
    FindingId
);
