//! Seals of entries of the erasure ledger: what is erased again after a restore was erased by us, whoever can write the table or
//! the file. An entry is sealed together with the hash before it, so that it cannot be moved.

use domain::seals::Seal;

use super::Encoding;
use crate::{
    digest,
    keyring::{Keyring, KeyringError},
};

/// What stands in the place of a table's name: no sealed row is of this one.
const LEDGER: &str = "erasure_ledger";
/// The version of the layout.
const LAYOUT: u8 = 1;

fn encoding(before: &str, text: &str) -> Encoding {
    let mut out = Encoding::empty();
    out.text(LEDGER);
    out.bytes(&[LAYOUT]);
    out.text(before);
    out.text(text);
    out
}

impl Keyring {
    /// Seals an entry, without its seal, after the entry with this hash.
    ///
    /// # Errors
    /// [`KeyringError::Unchecked`] where no key was compared with the database.
    pub fn seal_ledger_entry(&self, before: &str, text: &str) -> Result<Seal, KeyringError> {
        let encoding = encoding(before, text);
        self.with_seal_key(|key_id, key| Seal {
            mac: key.seal(&encoding),
            key_id: key_id.to_owned(),
        })
    }

    /// Whether an entry, without its seal, was sealed after the entry with this hash. The seal is in hexadecimal digits. Not, where
    /// its key is not in the file.
    pub fn is_ledger_entry(&self, before: &str, text: &str, seal: &str, key_id: &str) -> bool {
        let Some(mac) = digest::from_hex(seal) else {
            return false;
        };
        let encoding = encoding(before, text);
        self.seal_key_of(key_id, |key| key.is_right(&encoding, &mac))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_believed_in_its_place_alone_and_with_its_text_alone() {
        let keyring = Keyring::parse(&Keyring::generate("one")).expect("a keyring");
        let other = Keyring::parse(&Keyring::generate("one")).expect("a keyring");
        let seal = keyring.seal_ledger_entry("aa", "{}").expect("it is sealed");
        let (mac, key) = (digest::to_hex(&seal.mac), seal.key_id.as_str());
        assert!(keyring.is_ledger_entry("aa", "{}", &mac, key));
        for (before, text, mac, key) in [
            ("ab", "{}", mac.as_str(), key),
            ("aa", "{ }", mac.as_str(), key),
            ("aa{", "}", mac.as_str(), key),
            ("aa", "{}", &mac[2..], key),
            ("aa", "{}", "", key),
            ("aa", "{}", "é", key),
            ("aa", "{}", mac.as_str(), "two"),
        ] {
            assert!(
                !keyring.is_ledger_entry(before, text, mac, key),
                "{before} {text} {mac} {key}"
            );
        }
        assert!(!other.is_ledger_entry("aa", "{}", &mac, key));
    }
}
