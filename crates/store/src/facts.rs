//! What decisions go by where one person asks: the clock, the account with its log-ins and memberships, and the patients'
//! consents, in one statement. Where several ask, they are [`crate::users::present`], [`crate::memberships::known_of`] and
//! [`consents::in_force`], a statement each.
//!
//! Whoever decides has the locks of all of them ([`crate::barrier`]), taken by an **earlier** message: what is read here is of
//! one moment, which lies after the locks.

use chrono::{DateTime, Utc};
use domain::{
    ids::{SessionId, UserId},
    seals::StoredConsents,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError,
    consents::{self, ConsentOfPatient, ConsentRow, named},
    memberships::{KnownMemberships, KnownRow},
    rows,
    seals::AuthorityRow,
    users::{Present, PresentRow},
};

/// What decisions about one person's requests go by.
#[derive(Debug)]
pub struct PersonFacts {
    /// The account and its log-ins, with the clock.
    pub present: Present,
    /// What is known of the person's memberships, if the account says that it is a doctor's; else nothing.
    pub memberships: KnownMemberships,
    /// Of the patients' consents in force those that can change what is decided about the person
    /// (`domain::access::overview::concerns`): every refusal, and what names the person, any role or, where a doctor asks, any
    /// organisation. Of a patient who has others in force, one of them, and that it was so, in `left_out`. And every refusal that
    /// the patients' accounts name, whatever its row says.
    pub consents: StoredConsents,
}

/// What a row of `of_person.sql` is.
const LOG_IN: i32 = 1;
const MEMBERSHIP: i32 = 2;

struct FactRow {
    part: i32,
    now: Option<DateTime<Utc>>,
    written: Option<i64>,
    timeline: Option<i32>,
    account_id: Option<Uuid>,
    email: Option<String>,
    username: Option<String>,
    role: Option<String>,
    is_active: Option<bool>,
    is_system: Option<bool>,
    account_organization_id: Option<Uuid>,
    hashed_password: Option<String>,
    blockchain_address: Option<String>,
    has_second_factor: Option<bool>,
    refusals: Option<Vec<Uuid>>,
    account_seal: Option<Vec<u8>>,
    account_seal_key: Option<String>,
    row_id: Option<Uuid>,
    owner_id: Option<Uuid>,
    row_seal: Option<Vec<u8>>,
    row_seal_key: Option<String>,
    refresh_token: Option<String>,
    family_id: Option<Uuid>,
    parent_id: Option<Uuid>,
    expires_at: Option<DateTime<Utc>>,
    idle_expires_at: Option<DateTime<Utc>>,
    used_at: Option<DateTime<Utc>>,
    second_factor_at: Option<DateTime<Utc>>,
    is_contradicted: Option<bool>,
    organization_id: Option<Uuid>,
    valid_from: Option<DateTime<Utc>>,
    valid_until: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: Option<DateTime<Utc>>,
    organization_name: Option<String>,
    organization_country: Option<String>,
    organization_is_active: Option<bool>,
    organization_created_at: Option<DateTime<Utc>>,
    organization_updated_at: Option<DateTime<Utc>>,
    organization_seal: Option<Vec<u8>>,
    organization_seal_key: Option<String>,
    may_be_sent_to: Option<bool>,
    is_left_out: Option<bool>,
    purpose: Option<String>,
    consent_given_at: Option<DateTime<Utc>>,
    consent_expires_at: Option<DateTime<Utc>>,
    consent_withdrawn_at: Option<DateTime<Utc>>,
    data_categories: Option<Value>,
    processing_activities: Option<Value>,
    third_parties: Option<Value>,
}

impl FactRow {
    fn log_in(self) -> Option<PresentRow> {
        Some(PresentRow {
            now: self.now?,
            written: self.written,
            timeline: self.timeline,
            session_id: self.row_id,
            id: self.account_id,
            email: self.email,
            username: self.username,
            role: self.role,
            is_active: self.is_active,
            is_system: self.is_system,
            organization_id: self.account_organization_id,
            hashed_password: self.hashed_password,
            blockchain_address: self.blockchain_address,
            has_second_factor: self.has_second_factor,
            refusals: self.refusals,
            seal: self.account_seal,
            seal_key: self.account_seal_key,
            refresh_token: self.refresh_token,
            family_id: self.family_id,
            parent_id: self.parent_id,
            expires_at: self.expires_at,
            idle_expires_at: self.idle_expires_at,
            used_at: self.used_at,
            second_factor_at: self.second_factor_at,
            session_seal: self.row_seal,
            session_seal_key: self.row_seal_key,
        })
    }

    fn membership(self) -> Option<KnownRow> {
        Some(KnownRow {
            id: self.row_id?,
            user_id: self.owner_id?,
            is_contradicted: self.is_contradicted?,
            organization_id: self.organization_id,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            ended_at: self.ended_at,
            created_at: self.created_at,
            seal: self.row_seal,
            seal_key: self.row_seal_key,
            name: self.organization_name,
            country: self.organization_country,
            is_active: self.organization_is_active,
            organization_created_at: self.organization_created_at,
            organization_updated_at: self.organization_updated_at,
            organization_seal: self.organization_seal,
            organization_seal_key: self.organization_seal_key,
            may_be_sent_to: self.may_be_sent_to?,
        })
    }

    fn consent(mut self) -> Option<ConsentOfPatient> {
        let is_left_out = self.is_left_out == Some(true);
        let account = AuthorityRow {
            id: self.account_id?,
            email: self.email.take()?,
            username: self.username.take()?,
            role: self.role.take()?,
            is_active: self.is_active?,
            is_system: self.is_system?,
            organization_id: self.account_organization_id,
            hashed_password: self.hashed_password.take()?,
            blockchain_address: self.blockchain_address.take(),
            has_second_factor: self.has_second_factor?,
            refusals: self.refusals.take()?,
            seal: self.account_seal.take(),
            seal_key: self.account_seal_key.take(),
        };
        Some(ConsentOfPatient {
            account,
            consent: self.consent_alone(),
            is_left_out,
        })
    }

    fn consent_alone(self) -> Option<ConsentRow> {
        Some(ConsentRow {
            id: self.row_id?,
            user_id: self.owner_id?,
            purpose: self.purpose?,
            consent_given_at: self.consent_given_at?,
            consent_expires_at: self.consent_expires_at,
            consent_withdrawn_at: self.consent_withdrawn_at,
            data_categories: self.data_categories?,
            processing_activities: self.processing_activities?,
            third_parties: self.third_parties,
            seal: self.row_seal,
            seal_key: self.row_seal_key,
        })
    }
}

/// Who stands behind these log-ins of one person, one at least, at the moment that the clock says ([`crate::users::now`]), and
/// what of these patients' consents concerns the person. Served by `idx_memberships_user_id`, `idx_audit_logs_memberships` and
/// `idx_data_processing_consents_open`.
///
/// # Errors
/// [`StoreError`].
pub async fn of_person(
    conn: &mut PgConnection,
    person: UserId,
    sessions: &[SessionId],
    patients: &[UserId],
) -> Result<PersonFacts, StoreError> {
    let sessions: Vec<Uuid> = sessions.iter().map(|id| id.0).collect();
    let patients: Vec<Uuid> = patients.iter().map(|id| id.0).collect();
    let named = named::person_or_role(person);
    let found = sqlx::query_file_as!(
        FactRow,
        "src/facts/of_person.sql",
        person.0,
        &sessions,
        &patients,
        &named,
    )
    .fetch_all(conn)
    .await?;
    let (mut log_ins, mut known, mut of_patients) = (Vec::new(), Vec::new(), Vec::new());
    for row in found {
        match row.part {
            LOG_IN => log_ins.push(rows::whole(row.log_in(), "log-in")?),
            MEMBERSHIP => known.push(rows::whole(row.membership(), "membership")?),
            _ => of_patients.push(rows::whole(row.consent(), "account")?),
        }
    }
    // As `memberships::known_of` has them: of more than are remembered, and of two in one organisation, the first ones count.
    known.sort_by_key(|row| row.id);
    of_patients.sort_by_key(|it| (it.account.id, it.consent.as_ref().map(|consent| consent.id)));
    Ok(PersonFacts {
        present: Present::of(log_ins)?,
        memberships: KnownMemberships::of(known)?,
        consents: consents::gather(of_patients)?,
    })
}
