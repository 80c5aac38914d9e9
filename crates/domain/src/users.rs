//! Accounts: names that are valid by construction, roles, and the system users that sign jobs.

pub(crate) mod names;

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    ids::{OrganizationId, UserId},
    language::{Language, Phrase},
    text::text_enum,
};
pub use names::{
    Email, InvalidAccount, MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, Password, Username, fold, words,
};

/// How long a role waits for a second administrator. A choice of ours: a working day, and its night.
pub const PROPOSAL_LASTS: chrono::TimeDelta = chrono::TimeDelta::hours(24);

/// How many proposals of one administrator may wait at once. A choice of ours: others have to read each of
/// them before they confirm it.
pub const MAX_OPEN_PROPOSALS: i64 = 50;

text_enum! {
    /// What an account may be used for.
    Role {
        /// Whose records they are.
        Patient = "PATIENT",
        /// Who treats.
        Doctor = "DOCTOR",
        /// Who runs the service; never sees content.
        Admin = "ADMIN",
    }
}

impl Role {
    /// As a sentence has it.
    pub const fn in_words(self) -> Phrase {
        match self {
            Self::Patient => Phrase::new("patient", "pasien"),
            Self::Doctor => Phrase::new("doctor", "dokter"),
            Self::Admin => Phrase::new("admin", "administrator"),
        }
    }
}

/// Signs what nobody logged in did, such as a failed log-in under an unknown name.
pub const ANONYMOUS: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
/// Signs what the relay did.
pub const RELAY: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0002));
/// Signs what the indexer did.
pub const INDEXER: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0003));
/// Signs what a timer did.
pub const SCHEDULER: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0004));

/// What signs what the service did, as a sentence has it.
const THE_SYSTEM: Phrase = Phrase::new("The system", "Sistem");
/// Whoever is not known, as a sentence has it.
pub const SOMEBODY: Phrase = Phrase::new("Somebody", "Seseorang");

/// An account as others may come to see it. Never holds the password hash.
#[derive(Clone)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// Where mail reaches them.
    pub email: String,
    /// What they call themselves.
    pub username: String,
    /// What they may be.
    pub role: Role,
    /// False once deactivated.
    pub is_active: bool,
    /// A linked wallet, as EIP-55 writes it.
    pub blockchain_address: Option<String>,
    /// The organisation they work for.
    pub organization: Option<OrganizationId>,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
}

impl User {
    /// Whether it is nobody's, but signs what the service did.
    pub fn is_system(&self) -> bool {
        [ANONYMOUS, RELAY, INDEXER, SCHEDULER].contains(&self.id)
    }

    /// Who it is, as a sentence has it: `dr.bo (doctor)`.
    pub fn in_words(&self, language: Language) -> String {
        if self.id == ANONYMOUS {
            return SOMEBODY.said_in(language).to_owned();
        }
        if self.is_system() {
            return THE_SYSTEM.said_in(language).to_owned();
        }
        let role = self.role.in_words().said_in(language);
        format!("{} ({role})", self.username)
    }
}

/// Which account it is, and nothing about the person.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_which_account_and_nothing_of_the_person() {
        let user = User {
            id: UserId(Uuid::nil()),
            email: "ana.lee@x.io".to_owned(),
            username: "ana.lee".to_owned(),
            role: Role::Patient,
            is_active: true,
            blockchain_address: Some("0xabc".to_owned()),
            organization: None,
            created_at: DateTime::UNIX_EPOCH,
        };

        let shown = format!("{user:?} {:?}", Email::parse("ana.lee@x.io"));

        assert!(shown.contains("00000000"), "{shown}");
        for hidden in ["ana", "x.io", "0xabc"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
