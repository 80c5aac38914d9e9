//! Why administrators decided about a deletion request, and why they placed a legal hold. A reason may say something of
//! somebody's health, so it is sealed under the patient's key, as the words of an emergency are ([`crate::break_glass`]):
//! whoever destroys the key of a patient who is erased destroys it, too, and a rotation of the master keys leaves it as it is.
//!
//! ```text
//! key  = HKDF-SHA256(patient key, no salt, "meditrustal reason key 1" ‖ row)
//! AAD  = "meditrustal reason 1" ‖ row 16 ‖ patient 16 ‖ patient key 16 ‖ table
//! ```
//!
//! The bytes are laid out as an envelope's are ([`crate::envelope`]).

use domain::{
    deletion::{DeletionRequest, LegalHold, StoredReason},
    ids::{PatientKeyId, UserId},
    seals::SealedTable,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    envelope::{OpenError, PatientKey},
    seal::Sealable,
};

/// A row that has a reason of an administrator.
pub trait Reasoned: Sealable {
    /// The reason, as it is stored; `None` where there is none, and where the patient's data was erased.
    fn reason(&self) -> Option<&StoredReason>;
}

impl Reasoned for DeletionRequest {
    fn reason(&self) -> Option<&StoredReason> {
        self.reason.as_ref()
    }
}

impl Reasoned for LegalHold {
    fn reason(&self) -> Option<&StoredReason> {
        self.reason.as_ref()
    }
}

/// What a reason belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ReasonBinding {
    /// A row of which table.
    pub table: SealedTable,
    /// Which.
    pub row: Uuid,
    /// About which patient.
    pub patient: UserId,
    /// Under which key of the patient.
    pub key: PatientKeyId,
}

impl ReasonBinding {
    /// The reason of this row.
    pub fn of<T: Reasoned>(row: &T, key: PatientKeyId) -> Self {
        Self {
            table: T::TABLE,
            row: row.id(),
            patient: row.of(),
            key,
        }
    }

    fn key_info(&self) -> [&[u8]; 2] {
        [b"meditrustal reason key 1", self.row.as_bytes()]
    }

    fn associated_data(&self) -> Vec<u8> {
        [
            b"meditrustal reason 1".as_slice(),
            self.row.as_bytes(),
            self.patient.0.as_bytes(),
            self.key.0.as_bytes(),
            self.table.as_str().as_bytes(),
        ]
        .concat()
    }
}

impl PatientKey {
    /// Seals a reason for this row.
    pub fn seal_reason(&self, binding: &ReasonBinding, reason: &str) -> Vec<u8> {
        self.seal_text(&binding.key_info(), &binding.associated_data(), reason)
    }

    /// Opens a reason that was sealed for this row.
    ///
    /// # Errors
    /// [`OpenError`] where it was sealed for another, or under another key.
    pub fn open_reason(
        &self,
        binding: &ReasonBinding,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        self.open_text(&binding.key_info(), &binding.associated_data(), sealed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const REASON: &str = "a court asked for it";

    fn key(byte: u8) -> PatientKey {
        PatientKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    fn binding() -> ReasonBinding {
        ReasonBinding {
            table: SealedTable::LegalHolds,
            row: Uuid::from_u128(1),
            patient: UserId(Uuid::from_u128(2)),
            key: PatientKeyId(Uuid::from_u128(3)),
        }
    }

    #[test]
    fn a_reason_opens_that_another_implementation_sealed() {
        // Python's `cryptography`: HKDF(SHA256, 32, salt=None, info=…).derive(b"\x07"*32), then AESGCM with
        // the nonce 09 twelve times.
        let digits = VECTOR.as_bytes().chunks_exact(2);
        let sealed: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let opened = key(7).open_reason(&binding(), &sealed).unwrap();
        assert_eq!(opened.as_str(), REASON);
    }

    #[test]
    fn a_reason_opens_for_its_own_row_alone() {
        let sealed = key(7).seal_reason(&binding(), REASON);
        let opened = key(7).open_reason(&binding(), &sealed).unwrap();
        assert_eq!(opened.as_str(), REASON);
        assert_ne!(sealed, key(7).seal_reason(&binding(), REASON));
        let nine = Uuid::from_u128(9);
        let moved = [
            ReasonBinding {
                table: SealedTable::DeletionRequests,
                ..binding()
            },
            ReasonBinding {
                row: nine,
                ..binding()
            },
            ReasonBinding {
                patient: UserId(nine),
                ..binding()
            },
            ReasonBinding {
                key: PatientKeyId(nine),
                ..binding()
            },
        ];
        for other in moved {
            assert!(key(7).open_reason(&other, &sealed).is_err(), "{other:?}");
        }
        assert!(key(8).open_reason(&binding(), &sealed).is_err());
        for byte in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[byte] ^= 1;
            let opened = key(7).open_reason(&binding(), &forged);
            assert!(opened.is_err(), "byte {byte}");
        }
    }

    const VECTOR: &str = "0209090909090909090909090997ca1ad4b92e38b36b65ca343877ede827b00cbe1edbcc4d53a710c012cad5399c5b5bfa";
}
