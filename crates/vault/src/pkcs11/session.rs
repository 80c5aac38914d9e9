//! One session of a token: finds keys, and wraps and unwraps by them.

use std::collections::HashMap;

use cryptoki::{
    error::Error as CallError,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
    types::Ulong,
};
use zeroize::Zeroizing;

use super::Pkcs11Error;
use crate::envelope::NONCE_LEN;

/// Unit: bits.
const TAG_BITS: Ulong = Ulong::new(128);

/// A session that is logged in, and the keys that were found by it.
pub(super) struct TokenSession {
    session: Session,
    keys: HashMap<String, ObjectHandle>,
}

impl TokenSession {
    /// One in which no key was found yet.
    pub(super) fn new(session: Session) -> Self {
        Self {
            session,
            keys: HashMap::new(),
        }
    }

    /// The only AES key with this label.
    pub(super) fn key(&mut self, label: &str) -> Result<ObjectHandle, Pkcs11Error> {
        if let Some(key) = self.keys.get(label) {
            return Ok(*key);
        }
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = self.session.find_objects(&wanted);
        match found.map_err(Pkcs11Error::Failed)?.as_slice() {
            [key] => {
                self.keys.insert(label.to_owned(), *key);
                Ok(*key)
            }
            [] => Err(Pkcs11Error::NoKey(label.to_owned())),
            _ => Err(Pkcs11Error::ManyKeys(label.to_owned())),
        }
    }

    /// Whether the key with this label never leaves the token, as far as the token tells.
    pub(super) fn is_guarded(&mut self, label: &str) -> Result<bool, Pkcs11Error> {
        let asked = [AttributeType::Sensitive, AttributeType::Extractable];
        let key = self.key(label)?;
        let told = self.session.get_attributes(key, &asked);
        Ok(stays_inside(&told.map_err(Pkcs11Error::Failed)?))
    }

    /// Gives the nonce that was used: a token that makes its own writes it in the place of ours.
    pub(super) fn wrap(
        &self,
        key: ObjectHandle,
        mut nonce: [u8; NONCE_LEN],
        associated_data: &[u8],
        secret: &[u8],
    ) -> Result<([u8; NONCE_LEN], Vec<u8>), CallError> {
        let params = GcmParams::new(&mut nonce, associated_data, TAG_BITS)?;
        let sealed = self
            .session
            .encrypt(&Mechanism::AesGcm(params), key, secret)?;
        Ok((nonce, sealed))
    }

    /// What was wrapped by this key with this nonce.
    pub(super) fn unwrap(
        &self,
        key: ObjectHandle,
        mut nonce: [u8; NONCE_LEN],
        associated_data: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let params = GcmParams::new(&mut nonce, associated_data, TAG_BITS)?;
        let secret = self
            .session
            .decrypt(&Mechanism::AesGcm(params), key, sealed)?;
        Ok(Zeroizing::new(secret))
    }
}

/// Whether a key with these attributes never leaves its token. What a token does not tell is not so.
fn stays_inside(told: &[Attribute]) -> bool {
    told.contains(&Attribute::Sensitive(true)) && told.contains(&Attribute::Extractable(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_inside_where_the_token_says_both() {
        let (sensitive, extractable) = (Attribute::Sensitive, Attribute::Extractable);
        for (told, stays) in [
            (vec![sensitive(true), extractable(false)], true),
            (vec![sensitive(true), extractable(true)], false),
            (vec![sensitive(false), extractable(false)], false),
            (vec![sensitive(true)], false),
            (vec![extractable(false)], false),
            (vec![], false),
        ] {
            assert_eq!(stays_inside(&told), stays, "{told:?}");
        }
    }
}
