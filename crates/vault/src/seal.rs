//! Seals of rows that decide: whoever can write to the database, and holds no key, cannot give himself
//! access unnoticed.
//!
//! ```text
//! seal      = HMAC-SHA-256(seal key, encoding)
//! seal key  = HKDF-SHA-256(master key, no salt, "meditrustal row seal 1" ‖ master key id), 32 bytes
//! encoding  = field, field, …, in the order of the layout
//! field     = 00                                   nothing
//!           | 01 ‖ length 4, big-endian ‖ bytes    a value
//!           | 02 ‖ count 4, big-endian ‖ fields    a list
//! ```
//!
//! The first three fields are the table, the version of the layout, one byte, and the primary key. So a
//! seal is of one row of one table, no value runs into the next one, and nothing is not the empty text. A
//! column joins a layout by a new version of it. Times are microseconds since 1970, 8 bytes.

mod ledger;

use chrono::{DateTime, Utc};
use domain::{
    access_codes::PreparedConsent,
    break_glass::BreakGlassWindow,
    consents::{Consent, Grantee},
    deletion::{Approval, Coverage, DeletionRequest, LegalHold},
    organizations::{Membership, Organization},
    receipts::ConsentReceipt,
    representatives::{Representation, RepresentativeProposal},
    seals::{Authority, Factor, RoleProposal, Seal, Sealed, SealedTable, Session, Tampered},
    users::SCHEDULER,
};
use hkdf::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::keyring::{Keyring, KeyringError};

/// A row that carries a seal.
pub trait Sealable {
    /// Which table it is of.
    const TABLE: SealedTable;
    /// The version of its layout.
    const LAYOUT: u8;

    /// Its primary key.
    fn id(&self) -> Uuid;

    /// Whose it is.
    fn of(&self) -> domain::ids::UserId;

    /// Its columns, in the order of the layout.
    fn write(&self, out: &mut Encoding);
}

/// What is sealed of a row. Wiped when dropped, never printed.
pub struct Encoding(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoding(…)")
    }
}

impl Encoding {
    fn empty() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(512)))
    }

    fn of<T: Sealable>(row: &T) -> Self {
        let mut out = Self::empty();
        out.text(T::TABLE.as_str());
        out.bytes(&[T::LAYOUT]);
        out.bytes(row.id().as_bytes());
        row.write(&mut out);
        out
    }

    fn bytes(&mut self, value: &[u8]) {
        self.0.push(1);
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    fn length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("no column holds 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn flag(&mut self, value: bool) {
        self.bytes(&[u8::from(value)]);
    }

    fn time(&mut self, value: DateTime<Utc>) {
        self.bytes(&value.timestamp_micros().to_be_bytes());
    }

    fn maybe<V>(&mut self, value: Option<V>, write: impl FnOnce(&mut Self, V)) {
        match value {
            Some(value) => write(self, value),
            None => self.0.push(0),
        }
    }

    fn list<V>(&mut self, values: &[V], mut write: impl FnMut(&mut Self, &V)) {
        self.0.push(2);
        self.length(values.len());
        for value in values {
            write(self, value);
        }
    }
}

impl Sealable for Authority {
    const TABLE: SealedTable = SealedTable::Users;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.user.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.user
    }

    fn write(&self, out: &mut Encoding) {
        out.text(&self.email);
        out.text(&self.username);
        out.text(self.role.as_str());
        out.flag(self.is_active);
        out.flag(self.is_system);
        out.maybe(self.organization, |out, id| out.bytes(id.0.as_bytes()));
        out.text(&self.hashed_password);
        out.maybe(self.blockchain_address.as_deref(), Encoding::text);
        out.flag(self.has_second_factor);
        out.list(&self.refusals, |out, id| out.bytes(id.as_bytes()));
    }
}

impl Sealable for Consent {
    const TABLE: SealedTable = SealedTable::Consents;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.text(self.purpose.as_str());
        out.time(self.given_at);
        out.maybe(self.expires_at, Encoding::time);
        out.maybe(self.withdrawn_at, Encoding::time);
        out.list(&self.categories, |out, it| out.text(it.as_str()));
        out.list(&self.activities, |out, it| out.text(it.as_str()));
        out.list(&self.grantees, |out, grantee| match grantee {
            Grantee::User { id } => {
                out.text("user");
                out.bytes(id.0.as_bytes());
            }
            Grantee::Role { role } => {
                out.text("role");
                out.text(role.as_str());
            }
            Grantee::Org { id, country } => {
                out.text("org");
                out.bytes(id.0.as_bytes());
                out.text(country);
            }
        });
    }
}

impl Sealable for Factor {
    const TABLE: SealedTable = SealedTable::SecondFactors;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.user.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.user
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(&self.sealed_secret);
        out.text(&self.master_key_id);
        out.maybe(self.confirmed_at, Encoding::time);
        out.list(&self.code_hashes, |out, hash| out.text(hash));
    }
}

impl Sealable for Session {
    const TABLE: SealedTable = SealedTable::Sessions;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.user
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.user.0.as_bytes());
        out.text(&self.refresh_token_hash);
        out.bytes(self.family.0.as_bytes());
        out.maybe(self.parent, |out, id| out.bytes(id.0.as_bytes()));
        out.time(self.expires_at);
        out.maybe(self.idle_expires_at, Encoding::time);
        out.maybe(self.used_at, Encoding::time);
        out.maybe(self.second_factor_at, Encoding::time);
    }
}

impl Sealable for RoleProposal {
    const TABLE: SealedTable = SealedTable::RoleProposals;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id
    }

    fn of(&self) -> domain::ids::UserId {
        self.user
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.user.0.as_bytes());
        out.text(self.role.as_str());
        out.bytes(self.proposed_by.0.as_bytes());
        out.time(self.proposed_at);
        out.time(self.expires_at);
    }
}

impl Sealable for PreparedConsent {
    const TABLE: SealedTable = SealedTable::AccessCodes;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.bytes(&self.code_hash);
        out.text(self.purpose.as_str());
        out.list(&self.categories, |out, it| out.text(it.as_str()));
        out.list(&self.activities, |out, it| out.text(it.as_str()));
        out.maybe(self.consent_expires_at, Encoding::time);
        out.time(self.created_at);
        out.time(self.expires_at);
    }
}

impl Sealable for BreakGlassWindow {
    const TABLE: SealedTable = SealedTable::BreakGlassWindows;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.bytes(self.doctor.0.as_bytes());
        out.text(self.purpose.as_str());
        out.time(self.opened_at);
        out.time(self.expires_at);
        out.maybe(self.closed_at, Encoding::time);
        out.bytes(self.patient_key.0.as_bytes());
        out.bytes(&self.sealed_reason);
    }
}

impl Encoding {
    fn coverage(&mut self, covered: &Coverage) {
        self.list(&covered.categories, |out, it| out.text(it.as_str()));
        self.list(&covered.records, |out, id| out.bytes(id.0.as_bytes()));
    }

    fn approval(&mut self, approval: Option<Approval>) {
        self.maybe(approval.map(|it| it.by), |out, id| {
            out.bytes(id.0.as_bytes());
        });
        self.maybe(approval.map(|it| it.at), Self::time);
    }
}

impl Sealable for DeletionRequest {
    const TABLE: SealedTable = SealedTable::DeletionRequests;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.user
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.user.0.as_bytes());
        out.text(self.request_type.as_str());
        out.text(self.status.as_str());
        out.coverage(&self.asked);
        out.time(self.requested_at);
        out.maybe(self.verified_at, Encoding::time);
        out.coverage(&self.approved);
        out.flag(self.overrides_retention);
        out.approval(self.first_approval);
        out.approval(self.second_approval);
        out.maybe(self.scheduled_for, Encoding::time);
    }
}

impl Sealable for LegalHold {
    const TABLE: SealedTable = SealedTable::LegalHolds;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.coverage(&self.covers);
        out.approval(Some(self.placed));
        out.approval(self.release_proposed);
        out.approval(self.released);
    }
}

impl Sealable for Organization {
    const TABLE: SealedTable = SealedTable::Organizations;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    /// Nobody's: an organisation is no person's, and administrators are told.
    fn of(&self) -> domain::ids::UserId {
        SCHEDULER
    }

    fn write(&self, out: &mut Encoding) {
        out.text(&self.name);
        out.text(self.country.as_str());
        out.flag(self.is_active);
        // A row can only become newer: a trigger refuses one of before, whose seal is right.
        out.time(self.updated_at);
    }
}

impl Sealable for Membership {
    const TABLE: SealedTable = SealedTable::Memberships;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.doctor
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.doctor.0.as_bytes());
        out.bytes(self.organization.0.as_bytes());
        out.time(self.from);
        out.maybe(self.until, Encoding::time);
        out.maybe(self.ended_at, Encoding::time);
    }
}

impl Sealable for Representation {
    const TABLE: SealedTable = SealedTable::Representatives;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.bytes(self.representative.0.as_bytes());
        out.text(self.relationship.as_str());
        let activities: Vec<_> = self.activities.iter().collect();
        out.list(&activities, |out, it| out.text(it.as_str()));
        out.time(self.from);
        out.time(self.until);
        out.time(self.appointed_at);
        out.maybe(self.appointment, |out, by| {
            out.list(&[by.proposed_by, by.approved_by], |out, id| {
                out.bytes(id.0.as_bytes());
            });
        });
        out.maybe(self.ended_at, Encoding::time);
    }
}

impl Sealable for RepresentativeProposal {
    const TABLE: SealedTable = SealedTable::RepresentativeProposals;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.patient.0.as_bytes());
        out.bytes(self.representative.0.as_bytes());
        out.text(self.relationship.as_str());
        let activities: Vec<_> = self.activities.iter().collect();
        out.list(&activities, |out, it| out.text(it.as_str()));
        out.maybe(self.from, Encoding::time);
        out.time(self.until);
        out.text(&self.reason);
        out.bytes(self.proposed_by.0.as_bytes());
        out.time(self.proposed_at);
        out.time(self.expires_at);
    }
}

impl Sealable for ConsentReceipt {
    const TABLE: SealedTable = SealedTable::ConsentReceipts;
    const LAYOUT: u8 = 1;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn of(&self) -> domain::ids::UserId {
        self.patient
    }

    fn write(&self, out: &mut Encoding) {
        out.bytes(self.consent.0.as_bytes());
        out.bytes(self.patient.0.as_bytes());
        out.text(self.kind.as_str());
        out.text(&self.text);
        out.bytes(&self.details_hash.0);
        out.bytes(&self.registry_end.to_be_bytes());
        out.time(self.made_at);
        out.maybe(self.signature.as_ref(), |out, signed| {
            out.bytes(&signed.chain_id.to_be_bytes());
            out.text(&signed.contract);
            out.text(&signed.wallet);
            out.time(signed.deadline);
            out.bytes(&signed.signature);
            out.time(signed.signed_at);
        });
    }
}

/// The key that seals rows, derived from a master key. Wiped when dropped, never printed.
pub(crate) struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    pub(crate) const fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    fn mac(&self, encoding: &Encoding) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice())
            .expect("HMAC takes a key of any length");
        mac.update(&encoding.0);
        mac
    }

    fn seal(&self, encoding: &Encoding) -> Vec<u8> {
        self.mac(encoding).finalize().into_bytes().to_vec()
    }

    fn is_right(&self, encoding: &Encoding, seal: &[u8]) -> bool {
        self.mac(encoding).verify_slice(seal).is_ok()
    }
}

impl Keyring {
    /// Seals a row, under the first master key that the database knows.
    ///
    /// # Errors
    /// [`KeyringError::Unchecked`] where no key was compared with the database.
    pub fn seal_row<T: Sealable>(&self, row: &T) -> Result<Seal, KeyringError> {
        let encoding = Encoding::of(row);
        self.with_seal_key(|key_id, key| Seal {
            mac: key.seal(&encoding),
            key_id: key_id.to_owned(),
        })
    }

    /// Gives the row out, if its seal is right.
    ///
    /// # Errors
    /// [`Tampered`] where there is no seal, it is of another row or of other values, or its key is not in
    /// the file.
    pub fn open_row<T: Sealable>(&self, sealed: Sealed<T>) -> Result<T, Tampered> {
        let (row, seal) = sealed.into_parts();
        let encoding = Encoding::of(&row);
        let is_right = seal.is_some_and(|seal| {
            self.seal_key_of(&seal.key_id, |key| key.is_right(&encoding, &seal.mac))
                .unwrap_or_default()
        });
        if is_right {
            Ok(row)
        } else {
            Err(Tampered {
                table: T::TABLE,
                row: row.id(),
                of: row.of(),
            })
        }
    }
}

#[cfg(test)]
mod tests;
