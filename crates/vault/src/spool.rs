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
        envelope::wrap(&self.0, &number.to_be_bytes(), piece)
    }

    /// Opens the piece of this number.
    ///
    /// # Errors
    /// [`OpenError`] where it is another piece, or of another spool, or was changed.
    pub fn open(&self, number: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        envelope::unwrap(&self.0, &number.to_be_bytes(), sealed)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_piece_opens_in_its_place_of_its_spool_alone() {
        let key = SpoolKey::fresh();
        let sealed = key.seal(3, b"a document");
        assert_eq!(&*key.open(3, &sealed).unwrap(), b"a document");
        assert!(!sealed.windows(8).any(|part| part == b"document"));
        assert!(key.open(4, &sealed).is_err());
        assert!(SpoolKey::fresh().open(3, &sealed).is_err());
        assert!(key.open(3, &sealed[1..]).is_err());
    }
}
