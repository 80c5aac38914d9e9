//! What a document of another system is known by, without the names that the system gives it being stored: they may say who
//! somebody is, and where somebody is treated.
//!
//! ```text
//! token = HMAC-SHA-256(index key, purpose ‖ patient 16 ‖ part, part, …)
//! part  = length 4, big-endian ‖ bytes
//! ```
//!
//! The purposes are `meditrustal source name 1`, `meditrustal source content 1`, `meditrustal reserved record 1` and
//! `meditrustal source row 1`; the last authenticates a row of `record_sources`, which says which record is followed by what
//! comes next. The index key is not rotated.

use domain::{
    ids::{RecordId, UserId},
    sources::{RecordSource, SourceToken},
};
use hkdf::hmac::Mac as _;
use uuid::Uuid;

use crate::blind_index::IndexKey;

impl IndexKey {
    /// What stands for a document of this patient that is called so: source, kind, id and whatever tells it from others.
    pub fn source_token(&self, patient: UserId, name: &[&str]) -> SourceToken {
        let parts: Vec<&[u8]> = name.iter().map(|part| part.as_bytes()).collect();
        self.source_mac(b"meditrustal source name 1", patient, &parts)
    }

    /// What stands for what such a document says.
    pub fn content_token(&self, patient: UserId, content: &[u8]) -> SourceToken {
        self.source_mac(b"meditrustal source content 1", patient, &[content])
    }

    /// The MAC of a row.
    pub fn source_row_mac(&self, row: &RecordSource) -> SourceToken {
        let state = &row.state;
        let at = state
            .updated_at
            .map(|at| at.timestamp_micros().to_be_bytes());
        let flags = [u8::from(state.version.is_some()), u8::from(at.is_some())];
        self.source_mac(
            b"meditrustal source row 1",
            row.patient,
            &[
                row.record.0.as_bytes(),
                &row.number.to_be_bytes(),
                row.kind.as_bytes(),
                &state.token,
                &state.content.0,
                &flags,
                state.version.as_deref().unwrap_or_default().as_bytes(),
                &at.unwrap_or_default(),
            ],
        )
    }

    /// Whether a row is as it was written.
    pub fn is_source_row(&self, row: &RecordSource, mac: &[u8]) -> bool {
        let ours = self.source_row_mac(row);
        // Compared in constant time, by the MAC of both.
        self.content_token(row.patient, &ours) == self.content_token(row.patient, mac)
    }

    /// The id of a record that is reserved before it is stored: the same each time that the same is sent, so that an import
    /// that goes on after a break keeps what it reserved. A UUID of version 8.
    pub fn reserved_record(&self, patient: UserId, document: &[&[u8]]) -> RecordId {
        let mac = self.source_mac(b"meditrustal reserved record 1", patient, document);
        let mut id = [0; 16];
        id.copy_from_slice(&mac[..16]);
        id[6] = (id[6] & 0x0f) | 0x80;
        id[8] = (id[8] & 0x3f) | 0x80;
        RecordId(Uuid::from_bytes(id))
    }

    fn source_mac(&self, purpose: &[u8], patient: UserId, parts: &[&[u8]]) -> SourceToken {
        let mut mac = self.mac();
        mac.update(purpose);
        mac.update(patient.0.as_bytes());
        for part in parts {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            mac.update(&length.to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use chrono::DateTime;
    use domain::sources::{ContentToken, SourceState};

    use super::*;

    const ANA: UserId = UserId(Uuid::from_u128(1));
    const EVE: UserId = UserId(Uuid::from_u128(2));

    fn key() -> IndexKey {
        IndexKey::parse(&"2a".repeat(32)).unwrap()
    }

    #[test]
    fn a_token_is_of_one_patient_one_name_and_one_purpose() {
        let token = key().source_token(ANA, &["http://h", "Condition", "7"]);
        assert_eq!(
            token,
            key().source_token(ANA, &["http://h", "Condition", "7"])
        );
        let others = [
            key().source_token(EVE, &["http://h", "Condition", "7"]),
            key().source_token(ANA, &["http://h", "Condition", "77"]),
            key().source_token(ANA, &["http://h", "Condition7", ""]),
            key().source_token(ANA, &["http://hCondition", "", "7"]),
            key().content_token(ANA, b"7"),
            key().source_token(ANA, &["7"]),
        ];
        assert!(!others.contains(&token));
        assert_ne!(others[4], others[5]);
    }

    #[test]
    fn a_reserved_id_is_the_same_each_time_and_a_uuid_of_its_own_version() {
        let reserved = key().reserved_record(ANA, &[b"a", b"b"]);
        assert_eq!(reserved, key().reserved_record(ANA, &[b"a", b"b"]));
        assert_ne!(reserved, key().reserved_record(EVE, &[b"a", b"b"]));
        assert_ne!(reserved, key().reserved_record(ANA, &[b"ab", b""]));
        assert_eq!(reserved.0.get_version_num(), 8);
    }

    #[test]
    fn the_mac_of_a_row_is_of_everything_in_it() {
        let row = RecordSource {
            patient: ANA,
            record: RecordId(Uuid::from_u128(3)),
            number: 1,
            kind: "Goal".to_owned(),
            state: SourceState {
                token: [1; 32],
                version: None,
                updated_at: None,
                content: ContentToken([2; 32]),
                open: 0,
            },
        };
        let mac = key().source_row_mac(&row);
        assert!(key().is_source_row(&row, &mac));
        assert!(!key().is_source_row(&row, &mac[..31]) && !key().is_source_row(&row, &[]));
        let changes: [fn(&mut RecordSource); 8] = [
            |row| row.patient = EVE,
            |row| row.record = RecordId(Uuid::from_u128(4)),
            |row| row.number = 2,
            |row| row.kind = "Condition".to_owned(),
            |row| row.state.token = [3; 32],
            |row| row.state.version = Some(String::new()),
            |row| row.state.updated_at = DateTime::from_timestamp(0, 0),
            |row| row.state.content = ContentToken([3; 32]),
        ];
        for change in changes {
            let mut altered = row.clone();
            change(&mut altered);
            assert!(!key().is_source_row(&altered, &mac), "{altered:?}");
        }
    }
}
