//! The bytes of a row of `audit_logs`, by which its leaf is hashed.
//!
//! The trigger `hash_audit_row` computes the same in SQL when a row is written. This is the second opinion, for
//! whoever does not believe the database: it knows nothing of that function. Whoever adds a column makes the next
//! layout; the rows that are there keep theirs (`CONTRIBUTING.md`, add an audit column).

use std::net::IpAddr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Hash, leaf_hash};

/// The layout of rows that are written now.
pub const LAYOUT: i16 = 3;

/// The columns of layout 3, in the order of its bytes. Layout 2 ends before `on_behalf_of`, layout 1 before `record_ids`.
pub const COLUMNS_3: [&str; 24] = [
    "leaf_salt",
    "leaf_xid",
    "id",
    "event_time",
    "user_id",
    "action_type",
    "resource_type",
    "resource_id",
    "old_value",
    "new_value",
    "ip_address",
    "user_agent",
    "request_id",
    "purpose",
    "consent_reference",
    "retention_period",
    "data_classification",
    "is_cross_border",
    "destination_country",
    "encryption_status",
    "created_at",
    "patient_id",
    "record_ids",
    "on_behalf_of",
];

/// What stands before the fields of a row of layout 1.
const DOMAIN_1: &[u8] = b"MediTrustAl audit row 1\n";
/// The same of layout 2.
const DOMAIN_2: &[u8] = b"MediTrustAl audit row 2\n";
/// The same of layout 3.
const DOMAIN_3: &[u8] = b"MediTrustAl audit row 3\n";

/// PostgreSQL's epoch, 2000-01-01. Unit: microseconds after 1970-01-01.
const EPOCH: i64 = 946_684_800_000_000;

/// PostgreSQL's numbers of types, which stand before each field.
mod oid {
    pub(super) const BOOL: u32 = 16;
    pub(super) const INT8: u32 = 20;
    pub(super) const TEXT: u32 = 25;
    pub(super) const INET: u32 = 869;
    pub(super) const VARCHAR: u32 = 1043;
    pub(super) const TIMESTAMPTZ: u32 = 1184;
    pub(super) const INTERVAL: u32 = 1186;
    pub(super) const UUID: u32 = 2950;
    pub(super) const UUIDS: u32 = 2951;
    pub(super) const JSONB: u32 = 3802;
    pub(super) const XID8: u32 = 5069;
}

/// An interval as PostgreSQL keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Unit: microseconds.
    pub microseconds: i64,
    /// Unit: days.
    pub days: i32,
    /// Unit: months.
    pub months: i32,
}

/// A row of `audit_logs` as it is hashed. Fields are the table's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "docs/data-model.md says what each column holds"
)]
pub struct Row {
    pub leaf_salt: Uuid,
    pub leaf_xid: u64,
    pub id: i64,
    pub event_time: DateTime<Utc>,
    pub user_id: Uuid,
    pub action_type: String,
    pub resource_type: String,
    pub resource_id: Uuid,
    /// The text that PostgreSQL makes of the JSON.
    pub old_value: Option<String>,
    /// The same.
    pub new_value: Option<String>,
    pub ip_address: IpAddr,
    /// How many bits of the address count.
    pub ip_bits: u8,
    pub user_agent: Option<String>,
    pub request_id: Uuid,
    pub purpose: String,
    pub consent_reference: Option<Uuid>,
    pub retention_period: Interval,
    pub data_classification: String,
    pub is_cross_border: bool,
    pub destination_country: Option<String>,
    pub encryption_status: String,
    pub created_at: DateTime<Utc>,
    pub patient_id: Option<Uuid>,
    /// Since layout 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_ids: Option<Vec<Uuid>>,
    /// Since layout 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Uuid>,
}

impl Row {
    /// The hash of the row's leaf by a layout; `None` as for [`Row::bytes`].
    pub fn leaf_hash(&self, layout: i16) -> Option<Hash> {
        self.bytes(layout).map(|bytes| leaf_hash(&bytes))
    }

    /// [`Row::bytes`] in base 64.
    pub fn encoded(&self, layout: i16) -> Option<String> {
        self.bytes(layout)
            .map(|bytes| BASE64_STANDARD.encode(bytes))
    }

    /// What is hashed: the layout's name, the number of fields, and each field, as `record_send` of PostgreSQL writes them.
    /// `None` where there is no such layout, or it has no room for what a later column says.
    pub fn bytes(&self, layout: i16) -> Option<Vec<u8>> {
        match layout {
            1 if self.record_ids.is_none() && self.on_behalf_of.is_none() => {
                Some(self.fields_1().finish(DOMAIN_1))
            }
            2 if self.on_behalf_of.is_none() => Some(self.fields_2().finish(DOMAIN_2)),
            3 => {
                let mut record = self.fields_2();
                record.uuid(self.on_behalf_of);
                Some(record.finish(DOMAIN_3))
            }
            _ => None,
        }
    }

    /// The fields of layout 1, which every later one begins with.
    fn fields_1(&self) -> Record {
        let mut record = Record::default();
        record.uuid(Some(self.leaf_salt));
        record.field(oid::XID8, Some(&self.leaf_xid.to_be_bytes()));
        record.field(oid::INT8, Some(&self.id.to_be_bytes()));
        record.time(self.event_time);
        record.uuid(Some(self.user_id));
        record.text(oid::VARCHAR, Some(&self.action_type));
        record.text(oid::VARCHAR, Some(&self.resource_type));
        record.uuid(Some(self.resource_id));
        record.json(self.old_value.as_deref());
        record.json(self.new_value.as_deref());
        record.address(self.ip_address, self.ip_bits);
        record.text(oid::TEXT, self.user_agent.as_deref());
        record.uuid(Some(self.request_id));
        record.text(oid::VARCHAR, Some(&self.purpose));
        record.uuid(self.consent_reference);
        record.interval(self.retention_period);
        record.text(oid::VARCHAR, Some(&self.data_classification));
        record.field(oid::BOOL, Some(&[self.is_cross_border.into()]));
        record.text(oid::VARCHAR, self.destination_country.as_deref());
        record.text(oid::VARCHAR, Some(&self.encryption_status));
        record.time(self.created_at);
        record.uuid(self.patient_id);
        record
    }

    /// The fields of layout 2, which layout 3 begins with.
    fn fields_2(&self) -> Record {
        let mut record = self.fields_1();
        record.uuids(self.record_ids.as_deref());
        record
    }
}

/// Fields, one after the other: type, length, bytes; the length −1 and no bytes for NULL.
#[derive(Debug, Default)]
struct Record {
    count: u32,
    bytes: Vec<u8>,
}

impl Record {
    fn field(&mut self, oid: u32, value: Option<&[u8]>) {
        self.count += 1;
        self.bytes.extend(oid.to_be_bytes());
        let length = value.map_or(-1, |value| {
            i32::try_from(value.len()).expect("PostgreSQL holds no field of 2 GiB")
        });
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value.unwrap_or_default());
    }

    fn text(&mut self, oid: u32, value: Option<&str>) {
        self.field(oid, value.map(str::as_bytes));
    }

    fn uuid(&mut self, value: Option<Uuid>) {
        self.field(oid::UUID, value.as_ref().map(|value| &value.as_bytes()[..]));
    }

    /// An array of one dimension that counts from 1: dimensions, zero, the elements' type, how many there are, 1, and
    /// each with its length. One without elements has no dimensions.
    fn uuids(&mut self, values: Option<&[Uuid]>) {
        let bytes = values.map(|values| {
            let count = u32::try_from(values.len()).expect("PostgreSQL holds no field of 2 GiB");
            let mut bytes = Vec::with_capacity(20 + 20 * values.len());
            bytes.extend(u32::from(count > 0).to_be_bytes());
            bytes.extend(0_u32.to_be_bytes());
            bytes.extend(oid::UUID.to_be_bytes());
            if count > 0 {
                bytes.extend(count.to_be_bytes());
                bytes.extend(1_u32.to_be_bytes());
            }
            for value in values {
                bytes.extend(16_u32.to_be_bytes());
                bytes.extend(value.as_bytes());
            }
            bytes
        });
        self.field(oid::UUIDS, bytes.as_deref());
    }

    fn time(&mut self, value: DateTime<Utc>) {
        let since = value.timestamp_micros() - EPOCH;
        self.field(oid::TIMESTAMPTZ, Some(&since.to_be_bytes()));
    }

    /// The version of the format, 1, and the text.
    fn json(&mut self, value: Option<&str>) {
        let value = value.map(|value| [&[1], value.as_bytes()].concat());
        self.field(oid::JSONB, value.as_deref());
    }

    /// Family (2 or 3), bits that count, zero, how many bytes, the bytes.
    fn address(&mut self, value: IpAddr, bits: u8) {
        let value = match value {
            IpAddr::V4(value) => [&[2, bits, 0, 4], &value.octets()[..]].concat(),
            IpAddr::V6(value) => [&[3, bits, 0, 16], &value.octets()[..]].concat(),
        };
        self.field(oid::INET, Some(&value));
    }

    fn interval(&mut self, value: Interval) {
        let mut bytes = Vec::with_capacity(16);
        bytes.extend(value.microseconds.to_be_bytes());
        bytes.extend(value.days.to_be_bytes());
        bytes.extend(value.months.to_be_bytes());
        self.field(oid::INTERVAL, Some(&bytes));
    }

    fn finish(self, domain: &[u8]) -> Vec<u8> {
        [domain, &self.count.to_be_bytes(), &self.bytes].concat()
    }
}

#[cfg(test)]
mod tests;
