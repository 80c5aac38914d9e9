//! Check values of keys: by what a key is recognised without being shown.
//!
//! The database keeps one for each key id. Another key under an id that is known would wrap what no
//! other program opens, so it is refused before it is used. A check value is derived from its key by
//! HKDF, with a label of its own: it says nothing of the key, nor of anything else derived from it.

/// What is stored to recognise a key by. 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckValue(pub [u8; 32]);

/// A key id, and the value of the key that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck {
    /// The id.
    pub id: String,
    /// The value.
    pub value: CheckValue,
}
