//! Accounts: names that are valid by construction, roles, and the system users that sign jobs.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    ids::{OrganizationId, UserId},
    text::text_enum,
};

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

/// Signs what nobody logged in did, such as a failed log-in under an unknown name.
pub const ANONYMOUS: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
/// Signs what the relay did.
pub const RELAY: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0002));
/// Signs what the indexer did.
pub const INDEXER: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0003));
/// Signs what a timer did.
pub const SCHEDULER: UserId = UserId(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0004));

/// Why a name, an address or a password was refused. Never carries what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// Not `local@domain`, or longer than the column's 255 characters.
    #[error("an e-mail address looks like name@example.org and has at most 255 characters")]
    Email,
    /// Outside `[a-z0-9._-]`, shorter than 3 or longer than the column's 50 characters.
    #[error(
        "a user name has 3 to 50 letters, digits, dots, hyphens or underscores, and starts with a letter"
    )]
    Username,
    /// Too short to resist guessing.
    #[error("a password has at least {MIN_PASSWORD_CHARS} characters")]
    PasswordTooShort,
    /// Longer than any person types: refused before it costs hashing time.
    #[error("a password has at most {MAX_PASSWORD_BYTES} bytes")]
    PasswordTooLong,
}

/// The shortest password taken. Unit: characters.
///
/// NIST SP 800-63B asks for 8 with a second factor and 15 without; until the second factor is
/// there we take the middle that OWASP's ASVS 5 (6.2.1) allows and recommend more.
pub const MIN_PASSWORD_CHARS: usize = 12;
/// The longest password taken. Unit: bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// An e-mail address, in lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Reads an address; capitals are folded, so that one person has one account.
    ///
    /// # Errors
    /// [`InvalidAccount::Email`] where no mail could arrive.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let text = text.trim().to_lowercase();
        let (local, host) = text.split_once('@').ok_or(InvalidAccount::Email)?;
        let dotted = host.split('.').count() >= 2 && host.split('.').all(|label| !label.is_empty());
        let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if local.is_empty() || host.contains('@') || !dotted || !plain || text.len() > 255 {
            return Err(InvalidAccount::Email);
        }
        Ok(Self(text))
    }

    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

/// A user name, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Reads a name; capitals are folded.
    ///
    /// # Errors
    /// [`InvalidAccount::Username`] where the name breaks the rule it states.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let text = text.trim().to_lowercase();
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let lettered = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !(3..=50).contains(&text.len()) || !lettered || !text.chars().all(known) {
            return Err(InvalidAccount::Username);
        }
        Ok(Self(text))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a new password is long enough to be worth hashing, and short enough to be hashed.
///
/// # Errors
/// The rule it breaks.
pub fn check_password(password: &str) -> Result<(), InvalidAccount> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(InvalidAccount::PasswordTooLong);
    }
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(InvalidAccount::PasswordTooShort);
    }
    Ok(())
}

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
    fn an_address_is_folded_and_must_be_able_to_receive_mail() {
        assert_eq!(
            Email::parse(" Ana@X.Io ").map(|e| e.0),
            Ok("ana@x.io".to_owned())
        );
        for wrong in [
            "",
            "ana",
            "@x.io",
            "ana@",
            "ana@x",
            "ana@x..io",
            "a na@x.io",
            "a@b@c.io",
        ] {
            assert_eq!(Email::parse(wrong), Err(InvalidAccount::Email), "{wrong}");
        }
        assert!(Email::parse(&format!("{}@x.io", "a".repeat(255))).is_err());
    }

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

    #[test]
    fn a_name_is_folded_and_cannot_pose_as_a_system_user() {
        assert_eq!(
            Username::parse("Dr.Bo").map(|n| n.0),
            Ok("dr.bo".to_owned())
        );
        for wrong in [
            "",
            "ab",
            "1ab",
            "system:relay",
            "ana lee",
            "änne",
            &"a".repeat(51),
        ] {
            assert_eq!(
                Username::parse(wrong),
                Err(InvalidAccount::Username),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_password_is_measured_in_characters_and_bounded_in_bytes() {
        assert_eq!(
            check_password("elevenchars"),
            Err(InvalidAccount::PasswordTooShort)
        );
        assert_eq!(check_password("twelve chars"), Ok(()));
        assert_eq!(check_password(&"ü".repeat(12)), Ok(()));
        assert_eq!(
            check_password(&"a".repeat(1025)),
            Err(InvalidAccount::PasswordTooLong)
        );
    }
}
