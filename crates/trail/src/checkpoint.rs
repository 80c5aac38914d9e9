//! A checkpoint: what the trail's tree was at a size, as a text that is signed (c2sp.org/tlog-checkpoint), and the signed
//! note around it (c2sp.org/signed-note).
//!
//! The signature is that of the account that pins the checkpoint in the registry: an EIP-191 signature of the text, 65
//! bytes. Signed notes have no number for that; theirs for what has none is 0xff and a name.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};

use crate::Hash;

/// What stands for our kind of signature where a key's id is computed.
const ALGORITHM: &[u8] = b"\xffsecp256k1-eip191";
/// How many bytes a signature has.
pub const SIGNATURE_BYTES: usize = 65;

/// What the tree was at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: `eip155:<chain>:<registry>/audit`.
    pub origin: String,
    /// How many leaves it had.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Checkpoint {
    /// A checkpoint of the log that a registry pins.
    pub fn new(chain_id: u64, registry: &str, size: u64, root: Hash) -> Self {
        Self {
            origin: format!("eip155:{chain_id}:{registry}/audit"),
            size,
            root,
        }
    }

    /// What is signed: three lines.
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            BASE64_STANDARD.encode(self.root)
        )
    }

    /// The signed note: the text, an empty line, and a line with who signed: the origin, the key's id, the signature.
    pub fn note(&self, account: &[u8; 20], signature: &[u8; SIGNATURE_BYTES]) -> String {
        let signed = [&key_id(&self.origin, account)[..], signature].concat();
        format!(
            "{}\n— {} {}\n",
            self.text(),
            self.origin,
            BASE64_STANDARD.encode(signed)
        )
    }

    /// Reads a note, and who is said to have signed it. Whether they did is not looked at.
    pub fn parse(note: &str) -> Option<(Self, [u8; SIGNATURE_BYTES], [u8; 4])> {
        let (text, signatures) = note.split_once("\n\n")?;
        let [origin, size, root] = text.split('\n').collect::<Vec<_>>()[..] else {
            return None;
        };
        let checkpoint = Self {
            origin: origin.to_owned(),
            size: size.parse().ok()?,
            root: BASE64_STANDARD.decode(root).ok()?.try_into().ok()?,
        };
        let line = signatures.strip_prefix("— ")?.strip_suffix('\n')?;
        let signed: Vec<u8> = BASE64_STANDARD
            .decode(line.strip_prefix(origin)?.strip_prefix(' ')?)
            .ok()?;
        let (id, signature) = signed.split_first_chunk()?;
        let is_ours = checkpoint.text() == format!("{text}\n");
        is_ours.then_some((checkpoint, signature.try_into().ok()?, *id))
    }
}

/// By what a signed note names a key: the first four bytes of SHA-256(name, line feed, kind of signature, account).
pub fn key_id(origin: &str, account: &[u8; 20]) -> [u8; 4] {
    let hash: Hash = Sha256::new()
        .chain_update(origin)
        .chain_update("\n")
        .chain_update(ALGORITHM)
        .chain_update(account)
        .finalize()
        .into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_as_it_was_written() {
        let checkpoint = Checkpoint::new(
            31_337,
            "0x5FbDB2315678afecb367f032d93F642f64180aa3",
            7,
            [9; 32],
        );
        assert_eq!(
            checkpoint.text(),
            "eip155:31337:0x5FbDB2315678afecb367f032d93F642f64180aa3/audit\n7\n\
             CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=\n"
        );
        let note = checkpoint.note(&[1; 20], &[2; 65]);
        let id = key_id(&checkpoint.origin, &[1; 20]);
        assert_eq!(Checkpoint::parse(&note), Some((checkpoint, [2; 65], id)));
        for broken in [
            note.replace("\n7\n", "\n07\n"),
            note.replace("\n7\n", "\n7\nmore\n"),
            note.replace('—', "-"),
            note.replace("CQk=", "CQl="),
            format!("{note}more"),
        ] {
            assert_eq!(Checkpoint::parse(&broken), None, "{broken}");
        }
    }
}
