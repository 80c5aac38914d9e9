//! What is put aside on a disk for a while: sealed under a key that is nowhere but in memory, so that what is left of it, by
//! whatever end, is noise.

use zeroize::Zeroizing;

use crate::{
    envelope::{self, OpenError},
    random,
};

/// The key of one spool. Wiped when dropped, never printed.
pub struct SpoolKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SpoolKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpoolKey(…)")
    }
}

impl SpoolKey {
    /// A new one.
    pub fn fresh() -> Self {
        Self(Zeroizing::new(random::bytes()))
    }

    /// Seals the piece of this number.
    pub fn seal(&self, number: u64, piece: &[u8]) -> Vec<u8> {
        self.seal_parts(number, &[piece])
    }

    /// Seals the piece of this number, which comes in parts.
    pub fn seal_parts(&self, number: u64, parts: &[&[u8]]) -> Vec<u8> {
        envelope::wrap_parts(&self.0, &number.to_be_bytes(), parts)
    }

    /// Opens the piece of this number, in its own place.
    ///
    /// # Errors
    /// [`OpenError`] where it is another piece, or of another spool, or was changed.
    pub fn open(&self, number: u64, sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        envelope::unwrap_in_place(&self.0, &number.to_be_bytes(), sealed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_piece_opens_in_its_place_of_its_spool_alone() {
        let key = SpoolKey::fresh();
        let sealed = key.seal_parts(3, &[b"a ", b"document"]);
        assert_eq!(
            key.open(3, sealed.clone()).unwrap().as_slice(),
            b"a document"
        );
        assert!(!sealed.windows(8).any(|part| part == b"document"));
        assert!(key.open(4, sealed.clone()).is_err());
        assert!(SpoolKey::fresh().open(3, sealed.clone()).is_err());
        assert!(key.open(3, sealed[1..].to_vec()).is_err());
        assert!(key.open(3, Vec::new()).is_err());
    }
}
