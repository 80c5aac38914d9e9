//! Passwords: Argon2id. Slow by design, so callers keep it off the async threads.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};

use crate::random;

/// Memory for one hash. Unit: KiB. OWASP's Password Storage Cheat Sheet asks for at least 19 MiB
/// with two passes and one lane.
const MEMORY_KIB: u32 = 19_456;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;

fn argon2id() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("OWASP's parameters are Argon2's too");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password with a fresh 128-bit salt, in PHC form. Takes tens of milliseconds.
pub fn hash(password: &str) -> String {
    argon2id()
        .hash_password_with_salt(password.as_bytes(), &random::bytes::<16>())
        .expect("Argon2 takes any password below 4 GiB and a 16-byte salt")
        .to_string()
}

/// Whether the password is the one that was hashed. Takes as long for a hash that is none.
pub fn verify(password: &str, hashed: &str) -> bool {
    match PasswordHash::new(hashed) {
        Ok(parsed) => argon2id()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok(),
        Err(_) => refuse(password),
    }
}

/// Spends the time of a verification and says no: for an account that does not exist.
pub fn refuse(password: &str) -> bool {
    hash(password).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_matches_its_own_hash_only() {
        let hashed = hash("correct horse battery");
        assert!(
            hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hashed}"
        );
        assert!(verify("correct horse battery", &hashed));
        assert!(!verify("correct horse batterz", &hashed));
        assert_ne!(hashed, hash("correct horse battery"));
    }

    #[test]
    fn nothing_matches_a_system_user() {
        assert!(!verify("!", "!"));
        assert!(!verify("", "!"));
        assert!(!refuse("anything"));
    }
}
