//! A tar archive, member by member (POSIX.1-1988, ustar): the length of each is known before it is written, and nothing of it is kept.

use serde_json::{Value, json};
use vault::digest;

/// How long a block is. Unit: bytes.
const BLOCK: usize = 512;

/// A member: its header, what is in it, and the zeros that fill its last block.
pub(crate) fn member(name: &str, modified: i64, content: &[u8]) -> Vec<u8> {
    let padding = padding(content.len());
    let mut bytes = header(name, modified, content.len()).to_vec();
    bytes.reserve(content.len() + padding);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// How many zeros fill the last block of a member of this length.
pub(crate) const fn padding(length: usize) -> usize {
    length.next_multiple_of(BLOCK) - length
}

/// What `complete.json` says of a member.
pub(crate) fn named(name: &str, content: &[u8]) -> Value {
    summed(name, content.len(), &digest::hex_of(content))
}

/// The same of a member whose SHA-256 is known.
pub(crate) fn summed(name: &str, length: usize, sha256: &str) -> Value {
    json!({ "name": name, "bytes": length, "sha256": sha256 })
}

/// What says that there is no more: an archive without it was cut off.
pub(crate) const fn end() -> [u8; 2 * BLOCK] {
    [0; 2 * BLOCK]
}

/// What stands before the content of a member of this length.
pub(crate) fn header(name: &str, modified: i64, length: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        for (to, from) in header.iter_mut().skip(at).zip(text) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, format!("{:011o}\0", modified.max(0)).as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in header
        .iter_mut()
        .skip(148)
        .zip(format!("{sum:06o}\0 ").bytes())
    {
        *to = from;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_whole_blocks_and_its_header_sums_up() {
        for length in [0, 1, 511, 512, 513] {
            let bytes = member("records/000001.ndjson", 1_764_000_000, &vec![7; length]);
            assert_eq!(bytes.len(), BLOCK + length.next_multiple_of(BLOCK));
            let (header, content) = bytes.split_at(BLOCK);
            assert_eq!(&content[..length], &vec![7; length][..]);
            assert_eq!(&header[..21], b"records/000001.ndjson");
            let said =
                std::str::from_utf8(&header[148..154]).map(|text| u32::from_str_radix(text, 8));
            let mut blank = header.to_vec();
            blank[148..156].copy_from_slice(b"        ");
            let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
            assert_eq!(said, Ok(Ok(sum)));
        }
    }
}
