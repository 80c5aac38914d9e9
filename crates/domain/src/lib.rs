//! Types, rules and decisions of the product. No I/O, no async, no keys: everything here can be
//! tested as a table. The nouns name the files, as they do at every other layer.

pub mod access;
pub mod access_codes;
pub mod audit;
pub mod break_glass;
pub mod clock;
pub mod consents;
pub mod countries;
pub mod deletion;
pub mod environment;
pub mod ids;
pub mod integrity;
pub mod language;
pub mod monitoring;
pub mod organizations;
pub mod purpose;
pub mod receipts;
pub mod records;
pub mod representatives;
pub mod seals;
pub mod second_factor;
pub mod sessions;
pub mod sources;
pub mod stored;
mod text;
pub mod throttle;
pub mod users;
pub mod wallets;

pub use text::UnknownText;
