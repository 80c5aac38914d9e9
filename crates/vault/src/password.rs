//! Passwords: Argon2id. Slow by design, so callers keep it off the async threads.
//!
//! The parameters stand in each hash, so that they may be raised: a hash of other parameters is
//! checked by its own, and [`renew`] makes a new one while the password is at hand.

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
/// The most memory that a stored hash may ask for: more was not written by us. Unit: KiB.
const MAX_MEMORY_KIB: u32 = 1 << 20;

fn argon2id(memory_kib: u32, passes: u32) -> Argon2<'static> {
    let params =
        Params::new(memory_kib, passes, LANES, None).expect("these parameters are Argon2's too");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash_with(memory_kib: u32, passes: u32, password: &str) -> String {
    argon2id(memory_kib, passes)
        .hash_password_with_salt(password.as_bytes(), &random::bytes::<16>())
        .expect("Argon2 takes any password below 4 GiB and a 16-byte salt")
        .to_string()
}

/// Hashes a password with a fresh 128-bit salt, in PHC form. Takes tens of milliseconds.
pub fn hash(password: &str) -> String {
    hash_with(MEMORY_KIB, PASSES, password)
}

/// Whether the password is the one that was hashed, by the parameters that stand in the hash.
///
/// Takes as long as [`refuse`] also where those are cheaper than today's, so that an account with
/// an old hash cannot be told from no account; as long as they say where they are dearer.
pub fn verify(password: &str, hashed: &str) -> bool {
    let Some(stored) = StoredHash::parse(hashed) else {
        return refuse(password);
    };
    let matches = argon2id(MEMORY_KIB, PASSES)
        .verify_password(password.as_bytes(), &stored.hash)
        .is_ok();
    // The rest of today's work, in as many passes as today: fresh memory costs more than used.
    let missing = (u64::from(MEMORY_KIB) * u64::from(PASSES)).saturating_sub(stored.work());
    match u32::try_from(missing / u64::from(PASSES)) {
        Ok(missing) if missing >= Params::MIN_M_COST => {
            matches & !refuse_with(missing, PASSES, password)
        }
        _ => matches,
    }
}

/// Spends the time of a verification and says no: for an account that does not exist.
pub fn refuse(password: &str) -> bool {
    refuse_with(MEMORY_KIB, PASSES, password)
}

fn refuse_with(memory_kib: u32, passes: u32, password: &str) -> bool {
    hash_with(memory_kib, passes, password).is_empty()
}

/// A new hash of a password that has just matched, where the old one was not made by today's
/// algorithm and parameters; `None` where it was. Takes the time of a hash where it makes one.
pub fn renew(password: &str, hashed: &str) -> Option<String> {
    let is_current = StoredHash::parse(hashed).is_some_and(|stored| stored.is_current());
    (!is_current).then(|| hash(password))
}

/// How a hash was made, to be written down: `argon2id m=19456,t=2,p=1`. Nothing of it is secret.
pub fn parameters(hashed: &str) -> String {
    StoredHash::parse(hashed).map_or_else(
        || "unknown".to_owned(),
        |stored| format!("{} {}", stored.hash.algorithm, stored.hash.params),
    )
}

/// How many guesses a password has to withstand. Unit: the decimal logarithm. At Argon2's cost a core needs
/// a month for so many; what is on a list of common passwords falls within the first hundred thousand.
const MIN_GUESSES_LOG10: f64 = 8.0;
/// How much of a password is looked at: what comes after makes it no easier. Unit: characters.
const LOOKED_AT: usize = 100;
/// A shorter part of a name is found in many words. Unit: characters.
const SHORTEST_NAME: usize = 3;
/// What is left of a password without its names has at least so many letters and digits: a year, or a few more
/// characters at the end, make it no harder to guess.
const LEFT_OVER: usize = 6;

/// Whether a password is easily guessed: on a list of common ones, a pattern, or made of these names of its
/// own account (NIST SP 800-63B-4, section 3.1.1.2). Takes milliseconds.
pub fn is_guessable(password: &str, names: &[&str]) -> bool {
    let password: String = password.chars().take(LOOKED_AT).collect();
    // An address is known by its parts, too.
    let is_between = |c: char| !c.is_alphanumeric();
    let parts = names.iter().flat_map(|name| name.split(is_between));
    let known: Vec<&str> = names
        .iter()
        .copied()
        .chain(parts)
        .chain(["meditrustal"])
        .filter(|name| !name.is_empty())
        .collect();
    is_made_of(&password, &known)
        || zxcvbn::zxcvbn(&password, &known).guesses_log10() < MIN_GUESSES_LOG10
}

/// Whether hardly anything is left of a password when the names in it are taken out.
fn is_made_of(password: &str, names: &[&str]) -> bool {
    let mut rest = password.to_lowercase();
    let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    names.retain(|name| name.chars().count() >= SHORTEST_NAME);
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        rest = rest.replace(&name, " ");
    }
    rest.chars().filter(|c| c.is_alphanumeric()).count() < LEFT_OVER
}

struct StoredHash {
    hash: PasswordHash,
    params: Params,
}

impl StoredHash {
    fn parse(hashed: &str) -> Option<Self> {
        let hash = PasswordHash::new(hashed).ok()?;
        let params = Params::try_from(&hash).ok()?;
        (params.m_cost() <= MAX_MEMORY_KIB).then_some(Self { hash, params })
    }

    /// Unit: KiB written.
    fn work(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    fn is_current(&self) -> bool {
        let params = &self.params;
        let cost = (params.m_cost(), params.t_cost(), params.p_cost());
        self.hash.algorithm.as_str() == "argon2id"
            && self.hash.version == Some(Version::V0x13.into())
            && cost == (MEMORY_KIB, PASSES, LANES)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
    fn common_passwords_patterns_and_own_names_are_guessable() {
        let names = ["annabelle.smith", "annabelle.smith@hospital.example"];
        for password in [
            "password1234",
            "P@ssw0rd1234",
            "123456789012",
            "qwertyuiopas",
            "iloveyou1234",
            "aaaaaaaaaaaa",
            "administrator1",
            "Welcome2026!",
            "annabelle.smith",
            "smith.annabelle1",
            "Annabelle1990",
            "meditrustal2026",
            "hospital.example",
        ] {
            assert!(is_guessable(password, &names), "{password}");
        }
        for password in [
            "correct horse battery",
            "annabelle tells nobody",
            "kata sandi rahasia",
            "pqv7-0dmq-9zpl",
            "правильная лошадь",
        ] {
            assert!(!is_guessable(password, &names), "{password}");
        }
    }

    #[test]
    fn a_long_password_is_looked_at_in_no_time() {
        let begun = Instant::now();
        let long: String = (0..1024_u32)
            .filter_map(|nth| char::from_u32(33 + (nth * 7919 + nth * nth * 31) % 90))
            .collect();
        assert!(!is_guessable(&long, &[]));
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn nothing_matches_a_system_user() {
        assert!(!verify("!", "!"));
        assert!(!verify("", "!"));
        assert!(!refuse("anything"));
    }

    #[test]
    fn a_hash_of_other_parameters_is_checked_by_its_own_and_renewed() {
        for (memory, passes, shown) in [
            (8_192, 1, "argon2id m=8192,t=1,p=1"),
            (MEMORY_KIB, 1, "argon2id m=19456,t=1,p=1"),
            (MEMORY_KIB, 3, "argon2id m=19456,t=3,p=1"),
        ] {
            let old = hash_with(memory, passes, "correct horse battery");

            assert!(verify("correct horse battery", &old), "{shown}");
            assert!(!verify("correct horse batterz", &old), "{shown}");
            assert_eq!(parameters(&old), shown);
            let new = renew("correct horse battery", &old).expect("it is an old one");
            assert_eq!(parameters(&new), "argon2id m=19456,t=2,p=1");
            assert!(verify("correct horse battery", &new));
            assert_eq!(renew("correct horse battery", &new), None);
        }
        let of_today = hash("correct horse battery");
        let argon2i = of_today.replacen("argon2id", "argon2i", 1);
        assert!(renew("correct horse battery", &argon2i).is_some());
    }

    #[test]
    fn a_hash_that_asks_for_all_memory_matches_nothing() {
        let huge = hash("correct horse battery").replace("m=19456", "m=4294967295");
        assert!(!verify("correct horse battery", &huge));
        assert_eq!(parameters(&huge), "unknown");
    }

    #[test]
    fn a_cheap_old_hash_takes_no_less_time_than_none() {
        let old = hash_with(4_096, 1, "correct horse battery");
        let time = |work: &dyn Fn() -> bool| {
            let begun = Instant::now();
            assert!(!work());
            begun.elapsed()
        };
        // The shortest of some: whatever disturbs a measurement makes it longer.
        let shortest = |work: &dyn Fn() -> bool| -> Duration {
            let all = (0..7).map(|_| time(work));
            all.min().unwrap_or_default()
        };

        let of_old = shortest(&|| verify("wrong", &old));
        let of_none = shortest(&|| refuse("wrong"));

        assert!(of_old * 4 > of_none * 3, "{of_old:?}, {of_none:?}");
    }
}
