//! Keys, and everything done with them: sealing, hashing, passwords, tokens.
//!
//! The only crate that names cipher, hash, password, code and token libraries, and the only one that sees
//! key material, which is wiped when dropped and never printed. The indexer does not link it.

pub mod access_code;
pub mod attachment;
pub mod backup;
pub mod blind_index;
pub mod break_glass;
pub mod claim_code;
pub mod cursor;
pub mod digest;
pub mod envelope;
pub mod key_check;
mod keyfile;
pub mod keyring;
mod masters;
pub mod password;
pub mod pkcs11;
pub mod random;
pub mod reasons;
pub mod refresh;
pub mod row;
pub mod seal;
pub mod second_factor;
mod source;
pub mod spool;
pub mod token;

pub use keyfile::{KeyFileError, sync_directory_of};
