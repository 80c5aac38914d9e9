//! Tags of cursors: a cursor that this product did not give out for this list is recognised.
//!
//! ```text
//! tag = first 8 bytes of HMAC-SHA-256(index key,
//!       "meditrustal cursor 1" ‖ length of list ‖ list ‖ key)
//! ```
//!
//! The list is what the cursor may be used for, as the api writes it; the length is 4 bytes big-endian; the
//! key is where the page goes on. The index key is the one secret that all api processes share and that is
//! never replaced, so a cursor outlives processes and log-ins.

use hkdf::hmac::Mac;

use crate::blind_index::IndexKey;

/// How long a tag is. Unit: bytes.
///
/// A cursor discloses nothing by itself, since every row is decided on again: 2⁶⁴ tries over HTTP are more
/// than enough to keep anybody from making one.
pub const TAG_LEN: usize = 8;

impl IndexKey {
    /// The tag of a cursor that goes on at `key` in `list`.
    pub fn cursor_tag(&self, list: &[u8], key: &[u8]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        let mac = self.cursor_mac(list, key).finalize().into_bytes();
        tag.copy_from_slice(&mac[..TAG_LEN]);
        tag
    }

    /// Whether `tag` is the one of [`IndexKey::cursor_tag`]; in constant time.
    pub fn is_cursor_tag(&self, list: &[u8], key: &[u8], tag: &[u8; TAG_LEN]) -> bool {
        let mac = self.cursor_mac(list, key);
        mac.verify_truncated_left(tag).is_ok()
    }

    fn cursor_mac(&self, list: &[u8], key: &[u8]) -> impl Mac {
        let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut mac = self.mac();
        mac.update(b"meditrustal cursor 1");
        mac.update(&length.to_be_bytes());
        mac.update(list);
        mac.update(key);
        mac
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn key(digits: &str) -> IndexKey {
        IndexKey::parse(&digits.repeat(32)).unwrap()
    }

    #[test]
    fn a_tag_is_what_another_implementation_computes() {
        // Python 3: hmac.new(bytes([0x2a] * 32), b"meditrustal cursor 1" + len(list).to_bytes(4, "big")
        //   + b'["users"]' + bytes(range(8)), "sha256").hexdigest()[:16]
        let tag = key("2a").cursor_tag(br#"["users"]"#, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(crate::digest::to_hex(&tag), VECTOR);
        assert!(key("2a").is_cursor_tag(br#"["users"]"#, &[0, 1, 2, 3, 4, 5, 6, 7], &tag));
    }

    #[test]
    fn a_tag_depends_on_key_list_and_place_and_where_one_ends() {
        let tag = key("2a").cursor_tag(b"list", b"key");
        for (other, list, place) in [
            ("2b", b"list".as_slice(), b"key".as_slice()),
            ("2a", b"lisT", b"key"),
            ("2a", b"list", b"kez"),
            ("2a", b"listk", b"ey"),
        ] {
            assert_ne!(key(other).cursor_tag(list, place), tag);
            assert!(!key(other).is_cursor_tag(list, place, &tag));
        }
    }

    const VECTOR: &str = "e1ccf2df55d053b7";
}
