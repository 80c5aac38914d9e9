//! What people may be called: addresses, user names and passwords in any script, each with one spelling.
//!
//! Two keyboards write the same letter in different ways, and some letters cannot be seen. So what is
//! typed is brought to one form before it is stored or compared, and what could pose as another name is
//! refused: Unicode's NFKC and lower case (RFC 8265), and Unicode Technical Standard 39.

use std::fmt;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};
use unicode_security::{
    GeneralSecurityProfile as _, RestrictionLevel, RestrictionLevelDetection as _,
};

/// The longest address. Unit: characters; the column's.
const MAX_EMAIL_CHARS: usize = 255;
/// The shortest and the longest user name. Unit: characters; the longest is the column's.
const USERNAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;
/// The shortest password taken. Unit: characters.
///
/// NIST SP 800-63B asks for 8 with a second factor and 15 without; until the second factor is
/// there we take the middle that OWASP's ASVS 5 (6.2.1) allows and recommend more.
pub const MIN_PASSWORD_CHARS: usize = 12;
/// The longest password taken. Unit: bytes, as it is typed.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Why a name, an address or a password was refused. Never carries what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// Not `local@domain`, or longer than the column's 255 characters.
    #[error("an e-mail address looks like name@example.org and has at most 255 characters")]
    Email,
    /// Of other characters, shorter than 3 or longer than the column's 50 characters.
    #[error(
        "a user name has 3 to 50 letters, digits, dots, hyphens or underscores, and starts with a letter"
    )]
    Username,
    /// Of letters that are not written together, as if to look like another name.
    #[error("a user name is written in one script")]
    MixedScripts,
    /// Too short to resist guessing.
    #[error("a password has at least {MIN_PASSWORD_CHARS} characters")]
    PasswordTooShort,
    /// A common one, or one made of the account's own names.
    #[error(
        "this password is too easy to guess: it is a common one, follows a pattern, or is made of your own names; take several words that do not belong together"
    )]
    PasswordGuessable,
    /// Longer than any person types: refused before it costs hashing time.
    #[error("a password has at most {MAX_PASSWORD_BYTES} bytes")]
    PasswordTooLong,
}

/// The one form in which names and addresses are stored and looked for: NFKC, in lower case, both sigmas
/// one. PostgreSQL's `lower` leaves it as it is, so its unique indexes say what this function says.
pub fn fold(text: &str) -> String {
    let plain: String = text.trim().nfkc().collect();
    // The only letter whose lower case depends on where it stands.
    let lower = plain.to_lowercase().replace('ς', "σ");
    lower.nfkc().collect()
}

/// The words of a name, or of what is looked for in one, folded: what stands between dots, hyphens, underscores and
/// whatever else is neither a letter nor a digit nor a mark.
pub fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let words = folded.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c));
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Whether a character outside ASCII may stand in a name: a letter, a digit or a mark of a script that is
/// in use, and nothing invisible. Every one of them is either alphanumeric or combines with what is.
pub(crate) fn is_of_a_name(c: char) -> bool {
    (c.is_alphanumeric() || is_combining_mark(c)) && c.identifier_allowed()
}

/// One script, or a mixture that people write: Latin letters among Chinese, Japanese or Korean.
fn is_written_together(text: &str) -> bool {
    text.check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

/// An e-mail address, folded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// Reads an address and folds it, so that one person has one account.
    ///
    /// # Errors
    /// [`InvalidAccount::Email`] where no mail could arrive, or where it could pose as another one.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let text = fold(text);
        let (local, host) = text.split_once('@').ok_or(InvalidAccount::Email)?;
        let is_local = !local.is_empty()
            && local
                .chars()
                .all(|c| c.is_ascii_graphic() && c != '@' || is_of_a_name(c));
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || is_of_a_name(c))
                && is_written_together(label)
        };
        let is_host = host.contains('.') && host.split('.').all(is_label);
        let letters: String = local
            .chars()
            .filter(|c| !c.is_ascii_punctuation())
            .collect();
        let is_short = text.chars().count() <= MAX_EMAIL_CHARS;
        if !is_local || !is_host || !is_short || !is_written_together(&letters) {
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

/// A user name, folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Reads a name and folds it.
    ///
    /// # Errors
    /// [`InvalidAccount::Username`] or [`InvalidAccount::MixedScripts`].
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let text = fold(text);
        let is_known = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c) || is_of_a_name(c)
        };
        let is_lettered = text.starts_with(|c: char| c.is_alphabetic() && !is_combining_mark(c));
        let is_long = USERNAME_CHARS.contains(&text.chars().count());
        if !is_long || !is_lettered || !text.chars().all(is_known) {
            return Err(InvalidAccount::Username);
        }
        if !is_written_together(&text) {
            return Err(InvalidAccount::MixedScripts);
        }
        Ok(Self(text))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A password as it is hashed: in NFKC, once, so that two keyboards agree (NIST SP 800-63B-4, section
/// 3.1.1.2). Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// Reads what somebody types to log in.
    ///
    /// # Errors
    /// [`InvalidAccount::PasswordTooLong`]: no account has such a password.
    pub fn read(typed: &str) -> Result<Self, InvalidAccount> {
        if typed.len() > MAX_PASSWORD_BYTES {
            return Err(InvalidAccount::PasswordTooLong);
        }
        Ok(Self(typed.nfkc().collect()))
    }

    /// Reads what somebody chooses for a password: long enough to be worth hashing.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn choose(typed: &str) -> Result<Self, InvalidAccount> {
        let password = Self::read(typed)?;
        if password.0.chars().count() < MIN_PASSWORD_CHARS {
            return Err(InvalidAccount::PasswordTooShort);
        }
        Ok(password)
    }

    /// What is hashed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
