//! The second factor: time-based codes (RFC 6238) from a secret that a device shares with us, and
//! recovery codes for the day the device is lost.
//!
//! SHA-1, six digits, thirty seconds: what every authenticator app understands. A code one step early
//! or late is taken, for clocks that differ; that none is taken twice is for whoever remembers the
//! step ([`FactorSecret::step_of`]).

use std::fmt;

use chrono::{DateTime, Utc};
use domain::{ids::UserId, second_factor::RECOVERY_CODES};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::{
    digest,
    keyring::{Keyring, KeyringError, WrappedKey},
    random,
};

/// Unit: bytes. As long as SHA-1's output, which RFC 4226, section 4, recommends.
const SECRET_LEN: usize = 20;
/// Unit: seconds.
const STEP_SECONDS: u64 = 30;
/// How many steps early or late a code may be (RFC 6238, section 5.2).
const SKEW_STEPS: u16 = 1;
/// Unit: bytes. 80 bits, 16 letters and digits: beyond guessing even where their hashes are stolen.
const RECOVERY_LEN: usize = 10;
/// How an authenticator app names us.
const ISSUER: &str = "MediTrustAl";

/// What a device shares with us. Wiped when dropped, and never printed.
pub struct FactorSecret(Zeroizing<[u8; SECRET_LEN]>);

impl fmt::Debug for FactorSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FactorSecret(…)")
    }
}

impl FactorSecret {
    /// A new one.
    pub fn fresh() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// Reads what [`FactorSecret::base32`] wrote. `None` for anything else.
    pub fn from_base32(text: &str) -> Option<Self> {
        let secret = Secret::try_from_base32(text).ok()?;
        let bytes = secret.as_bytes().try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// What a person types into their app where they cannot scan: 32 letters and digits.
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(Secret::from(*self.0).to_base32())
    }

    /// What an app scans: the key URI, for the account with this name.
    pub fn uri(&self, username: &str) -> Zeroizing<String> {
        let totp = self.builder().with_account_name(username).build();
        let uri = totp.and_then(|totp| totp.to_url());
        Zeroizing::new(uri.expect("a user name is not empty and has no colon"))
    }

    /// The step that this code belongs to, if it is one of this moment. It must be later than any
    /// whose code was taken before.
    pub fn step_of(&self, code: &str, now: DateTime<Utc>) -> Option<i64> {
        let step = self.totp().check(code, seconds(now))?;
        i64::try_from(step).ok()
    }

    /// The code of this moment, as the device shows it.
    pub fn code_at(&self, moment: DateTime<Utc>) -> String {
        self.totp().generate(seconds(moment)).to_string()
    }

    fn totp(&self) -> Totp {
        let totp = self.builder().build();
        totp.expect("160 bits, six digits and thirty seconds are RFC 6238's")
    }

    fn builder(&self) -> Builder {
        Builder::new()
            .with_secret(*self.0)
            .with_skew(SKEW_STEPS)
            .with_step_duration(STEP_SECONDS)
            .with_issuer(Some(ISSUER))
    }
}

fn seconds(moment: DateTime<Utc>) -> u64 {
    moment.timestamp().max(0).cast_unsigned()
}

impl Keyring {
    /// Seals a secret for this user alone, under the newest master key.
    ///
    /// # Errors
    /// [`KeyringError::Unchecked`] where no key was compared with the database.
    pub fn seal_factor(
        &self,
        user: UserId,
        secret: &FactorSecret,
    ) -> Result<WrappedKey, KeyringError> {
        self.seal(|master| associated_data(user, master), secret.0.as_slice())
    }

    /// Opens a secret that was sealed for this user.
    ///
    /// # Errors
    /// [`KeyringError`] where its master key is missing or the bytes were changed or moved.
    pub fn open_factor(
        &self,
        user: UserId,
        sealed: &WrappedKey,
    ) -> Result<FactorSecret, KeyringError> {
        let secret = self.open(|master| associated_data(user, master), sealed)?;
        let bytes = secret.as_slice().try_into();
        let forged = |_| KeyringError::Forged(sealed.master_key_id.clone());
        Ok(FactorSecret(Zeroizing::new(bytes.map_err(forged)?)))
    }
}

fn associated_data(user: UserId, master: &str) -> Vec<u8> {
    [
        b"meditrustal second factor 1".as_slice(),
        user.0.as_bytes(),
        master.as_bytes(),
    ]
    .concat()
}

/// Fresh recovery codes, as they are shown once: `abcd-efgh-ijkl-mnop`.
pub fn recovery_codes() -> Vec<Zeroizing<String>> {
    (0..RECOVERY_CODES).map(|_| recovery_code()).collect()
}

fn recovery_code() -> Zeroizing<String> {
    let random: Box<[u8]> = random::bytes::<RECOVERY_LEN>().into();
    let text = Zeroizing::new(Secret::new(random).to_base32().to_lowercase());
    let groups: Vec<&str> = (0..4)
        .filter_map(|nth| text.get(nth * 4..nth * 4 + 4))
        .collect();
    Zeroizing::new(groups.join("-"))
}

/// What is stored of a recovery code: a SHA-256, the same however the code is typed. 80 random bits
/// need no slow hash.
pub fn recovery_hash(code: &str) -> String {
    let bare: Zeroizing<String> = Zeroizing::new(
        code.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect(),
    );
    digest::hex_of(bare.as_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeSet;

    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    const ANA: UserId = UserId(Uuid::from_u128(1));
    const BUDI: UserId = UserId(Uuid::from_u128(2));

    fn rfc_secret() -> FactorSecret {
        FactorSecret(Zeroizing::new(*b"12345678901234567890"))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_codes_are_rfc_6238s() {
        // Appendix B, SHA-1: the last six of its eight digits.
        let table = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (time, code) in table {
            assert_eq!(rfc_secret().code_at(at(time)), code, "at {time}");
            assert_eq!(rfc_secret().step_of(code, at(time)), Some(time / 30));
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_one_step_late_and_no_more() {
        let noon = at(1_795_003_200);
        let step = 1_795_003_200 / 30;
        let code = rfc_secret().code_at(noon);
        let seen = |seconds| rfc_secret().step_of(&code, noon + TimeDelta::seconds(seconds));

        assert_eq!(seen(-31), None);
        assert_eq!(seen(-30), Some(step));
        assert_eq!(seen(0), Some(step));
        assert_eq!(seen(59), Some(step));
        assert_eq!(seen(60), None);
        for wrong in [
            "",
            "28708",
            "2870822",
            "287o82",
            " 287082",
            "-87082",
            "+87082",
            "２８７０８２",
        ] {
            assert_eq!(rfc_secret().step_of(wrong, at(59)), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_opens_for_its_owner_alone() {
        let keyring = Keyring::parse(&Keyring::generate("m")).unwrap();
        let secret = FactorSecret::fresh();
        let sealed = keyring.seal_factor(ANA, &secret).unwrap();

        let opened = keyring.open_factor(ANA, &sealed).unwrap();
        assert_eq!(*opened.0, *secret.0);
        assert!(matches!(
            keyring.open_factor(BUDI, &sealed),
            Err(KeyringError::Forged(_))
        ));
        let lost = WrappedKey {
            master_key_id: "gone".to_owned(),
            ..sealed.clone()
        };
        assert!(matches!(
            keyring.open_factor(ANA, &lost),
            Err(KeyringError::UnknownMaster(_))
        ));
        for byte in 0..sealed.bytes.len() {
            let mut forged = sealed.clone();
            forged.bytes[byte] ^= 1;
            assert!(keyring.open_factor(ANA, &forged).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn an_app_is_told_who_and_whose_and_nothing_prints_it() {
        let secret = rfc_secret();
        let uri = secret.uri("dr.bo");

        assert_eq!(
            *uri,
            "otpauth://totp/MediTrustAl:dr.bo?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=MediTrustAl"
        );
        assert_eq!(
            *FactorSecret::from_base32(&secret.base32()).unwrap().0,
            *secret.0
        );
        assert!(FactorSecret::from_base32("GEZDGNBV").is_none());
        assert_eq!(format!("{secret:?}"), "FactorSecret(…)");
    }

    #[test]
    fn recovery_codes_differ_and_are_the_same_however_they_are_typed() {
        let codes = recovery_codes();
        let hashes: BTreeSet<_> = codes.iter().map(|code| recovery_hash(code)).collect();

        assert_eq!(hashes.len(), RECOVERY_CODES);
        for code in &codes {
            assert_eq!(code.len(), 19, "16 characters of 5 bits, in four groups");
            let typed = format!(" {} ", code.replace('-', " ").to_uppercase());
            assert!(hashes.contains(&recovery_hash(&typed)));
        }
    }
}
