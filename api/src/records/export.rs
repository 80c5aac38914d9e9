//! Taking records out: which ones, in groups, each decided on and written down by the record disclosure before
//! a byte of it leaves. Rights are read anew for every group; where they have become fewer, the export ends.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    access::{
        AccessRequest, Action, Actor, Decision, country_reached, decide, permitted_types_abroad,
    },
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, ResourceType},
    consents::Consent,
    countries::{Country, may_be_sent_to},
    ids::UserId,
    purpose::Purpose,
    records::{Availability, RecordType},
};
use futures::future::join_all;
use serde_json::json;
use store::{
    Pool, Tx, audit, countries,
    records::{
        Record,
        search::{self, Order, PageKey, Visible},
    },
};
use vault::{blind_index::IndexKey, row::Content};

use super::{
    decrypt,
    disclosure::{Disclosed, DisclosureRequest, RecordDisclosure, Wanted},
    filter::Criteria,
};
use crate::{
    caller::Caller, cursor::ListCursors, dependencies::Decryption, error::Error, facts::Facts,
};

/// How many records are decided on, written down and fetched together. Their envelopes are what an export
/// holds in memory; one of them is open at a time.
pub(crate) const GROUP: i64 = 16;
/// How much of them, all but the last. Unit: bytes.
const GROUP_BYTES: usize = 4 << 20;
/// Oldest first: a version comes after the one whose place it takes.
const ORDER: Order = Order::CreatedAscending;

/// What is to be taken out.
#[derive(Debug)]
pub(crate) struct Export {
    /// Whose records.
    pub(crate) patient: UserId,
    /// Which of them.
    pub(crate) criteria: Criteria,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// The country that it goes to, where that is not the home country.
    pub(crate) destination: Option<Country>,
    /// Whether the files beside records go with them.
    pub(crate) with_files: bool,
}

/// An export that was begun: what its caller may take out.
#[derive(Debug)]
pub(crate) struct ExportStart {
    export: Export,
    purpose: Purpose,
    types: Vec<RecordType>,
}

/// What somebody may do, as the database says now.
struct Rights {
    actor: Actor,
    purpose: Purpose,
    types: Vec<RecordType>,
    consents: Vec<Consent>,
    now: DateTime<Utc>,
}

impl Export {
    /// The cursors of this export.
    pub(crate) fn cursors(&self, index_key: &Arc<IndexKey>, caller: &Caller) -> ListCursors {
        let arguments = self.criteria.arguments(ORDER);
        // One that was given out for a country is good for that one.
        let list = match self.destination {
            Some(country) => json!([arguments, country.as_str()]),
            None => arguments,
        };
        ListCursors::of(index_key, "export", caller.user, &list)
    }

    /// Decides whether there is anything that this caller may take out, and writes it down.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is nothing, or no such patient; [`Error::BadInput`] for a country that nothing is
    /// sent to.
    pub(crate) async fn begin(self, pool: &Pool, caller: &Caller) -> Result<ExportStart, Error> {
        let mut tx = pool.begin().await?;
        let rights = self.rights(&mut tx, caller).await?;
        if let Some(country) = self.forbidden(&mut tx).await? {
            audit::insert(&mut tx, &[self.entry_of_country(caller, &rights)]).await?;
            tx.commit().await?;
            return Err(nothing_is_sent_to(country));
        }
        audit::insert(&mut tx, &[self.entry(caller, &rights)]).await?;
        tx.commit().await?;
        if rights.types.is_empty() {
            return Err(Error::NotFound("patient"));
        }
        Ok(ExportStart {
            export: self,
            purpose: rights.purpose,
            types: rights.types,
        })
    }

    async fn rights(&self, tx: &mut Tx<'_>, caller: &Caller) -> Result<Rights, Error> {
        let facts = Facts::gather(tx, [caller], [self.patient]).await?;
        let actor = facts.actor(caller)?;
        let now = facts.now;
        let said = self.purpose.or(caller.purpose);
        let purpose = said.unwrap_or_else(|| actor.default_purpose(Some(self.patient)));
        let consents = facts.consents_of(self.patient).to_vec();
        let destination = self.destination.as_ref().map(Country::as_str);
        let when = (now, destination);
        let types = permitted_types_abroad(
            Action::Export,
            actor,
            self.patient,
            purpose,
            &consents,
            when,
        );
        Ok(Rights {
            actor,
            purpose,
            types,
            consents,
            now,
        })
    }

    /// The country that it would go to, where nothing may be sent there.
    async fn forbidden(&self, tx: &mut Tx<'_>) -> Result<Option<Country>, Error> {
        let Some(country) = self.destination else {
            return Ok(None);
        };
        let rule = countries::rule(tx, country).await?;
        Ok((!may_be_sent_to(rule.as_ref())).then_some(country))
    }

    /// The row that says that nothing is sent to that country.
    fn entry_of_country(&self, caller: &Caller, rights: &Rights) -> AuditEntry {
        AuditEntry {
            action: AuditAction::AccessDenied,
            new_value: Some(json!({ "reason": "COUNTRY", "wanted": Action::Export })),
            consent: None,
            encryption: EncryptionStatus::NotApplicable,
            ..self.entry(caller, rights)
        }
    }

    /// The row that says what was asked for; each record has its own besides.
    fn entry(&self, caller: &Caller, rights: &Rights) -> AuditEntry {
        let decide_on = |record_type| {
            let access_request = AccessRequest {
                actor: rights.actor,
                patient: self.patient,
                action: Action::Export,
                purpose: rights.purpose,
                record_type,
                availability: Availability::Open,
                destination: self.destination.as_ref().map(Country::as_str),
                // No emergency lets anybody take a copy out.
                emergency: None,
                now: rights.now,
            };
            decide(&access_request, &rights.consents)
        };
        let reached =
            |of: &RecordType| country_reached(decide_on(*of), rights.actor, &rights.consents);
        let destination = self
            .destination
            .or_else(|| rights.types.iter().find_map(reached));
        let mut told = json!({ "export": true, "filters": self.criteria.names() });
        if self.with_files {
            told["attachments"] = json!(true);
        }
        let asked = AuditEntry {
            resource_type: ResourceType::MedicalRecord,
            new_value: Some(told),
            classification: Classification::Medical,
            encryption: EncryptionStatus::MetadataOnly,
            patient: Some(self.patient),
            destination: destination.map(|country| country.to_string()),
            ..caller.entry(AuditAction::RecordSearch, rights.purpose)
        };
        if let Some(first) = rights.types.first() {
            return AuditEntry {
                representation: decide_on(*first).representation(),
                ..asked
            };
        }
        let decision = decide_on(RecordType::ALL[0]);
        let reason = match decision {
            Decision::Deny(refusal) => refusal.as_str(),
            Decision::Permit(_) => "NO_CONSENT",
        };
        AuditEntry {
            action: AuditAction::AccessDenied,
            new_value: Some(json!({ "reason": reason, "wanted": Action::Export })),
            consent: decision.consent(),
            encryption: EncryptionStatus::NotApplicable,
            ..asked
        }
    }
}

impl ExportStart {
    /// Whose records they are.
    pub(crate) const fn patient(&self) -> UserId {
        self.export.patient
    }

    /// Whether the files beside records go with them.
    pub(crate) const fn has_files(&self) -> bool {
        self.export.with_files
    }

    /// The next group, each record decided on and written down. Those that may not be had any more, or
    /// never could, are left out; where `only` is given, of that type alone. `None` after the last.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the caller may take out less than when it began.
    pub(crate) async fn next(
        &self,
        pool: &Pool,
        disclosure: &RecordDisclosure,
        caller: &Caller,
        (after, only): (Option<PageKey>, Option<RecordType>),
    ) -> Result<Option<(Vec<Disclosed>, PageKey)>, Error> {
        let mut found = self.found(pool, caller, (after, only)).await?;
        found.truncate(at_once(&found));
        let Some(last) = found.last() else {
            return Ok(None);
        };
        let page_key = ORDER.page_key(last);
        let inquiries = found.iter().map(|record| self.inquiry(caller, record));
        let answers = join_all(inquiries.map(|inquiry| disclosure.ask(inquiry))).await;
        let mut disclosed = Vec::with_capacity(answers.len());
        for answer in answers {
            match answer {
                Ok(one) => disclosed.push(one),
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some((disclosed, page_key)))
    }

    /// Decides once more on a record that has waited to be sent, and writes it down again.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it may not be taken out any more.
    pub(crate) async fn again(
        &self,
        disclosure: &RecordDisclosure,
        caller: &Caller,
        waited: &Disclosed,
    ) -> Result<Disclosed, Error> {
        let inquiry = self.inquiry(caller, &waited.record);
        match disclosure.ask(inquiry).await {
            Err(Error::NotFound(_)) => Err(fewer()),
            answer => answer,
        }
    }

    fn inquiry(&self, caller: &Caller, record: &Record) -> DisclosureRequest {
        DisclosureRequest {
            caller: caller.clone(),
            record: record.id,
            purpose: Some(self.purpose),
            wanted: Wanted::Export(self.export.destination),
            budget: None,
        }
    }

    async fn found(
        &self,
        pool: &Pool,
        caller: &Caller,
        (after, only): (Option<PageKey>, Option<RecordType>),
    ) -> Result<Vec<Record>, Error> {
        let mut tx = pool.begin().await?;
        let rights = self.export.rights(&mut tx, caller).await?;
        if let Some(country) = self.export.forbidden(&mut tx).await? {
            let entry = self.export.entry_of_country(caller, &rights);
            audit::insert(&mut tx, &[entry]).await?;
            tx.commit().await?;
            return Err(nothing_is_sent_to(country));
        }
        if !self.types.iter().all(|one| rights.types.contains(one)) {
            return Err(fewer());
        }
        let asked = &self.export.criteria.filter.record_types;
        let types: Vec<RecordType> = self
            .types
            .iter()
            .copied()
            .filter(|one| asked.is_empty() || asked.contains(one))
            .filter(|one| only.is_none_or(|only| only == *one))
            .collect();
        let Some(visible) = Visible::of(self.export.patient, &types) else {
            return Ok(Vec::new());
        };
        let is_own = self.purpose == Purpose::PatientRequest;
        let filter = &self.export.criteria.filter;
        let visible = [visible];
        let found = search::page_of(&mut tx, &visible, is_own, filter, ORDER, after, GROUP).await?;
        tx.commit().await?;
        Ok(found)
    }
}

/// How many of these are had at once: as many as there is room for, and at least one.
fn at_once(found: &[Record]) -> usize {
    let mut left = GROUP_BYTES;
    let fits = found.iter().take_while(|record| {
        let has_room = left > 0;
        left = left.saturating_sub(record.sealed_bytes);
        has_room
    });
    fits.count()
}

/// That no rule lets anything be sent to a country.
pub(crate) fn nothing_is_sent_to(country: Country) -> Error {
    let told = format!(
        "no rule lets data be sent to {country}: an administrator sets it (setCountryRule)"
    );
    Error::bad("destination", told)
}

fn fewer() -> Error {
    Error::Conflict {
        field: "consent",
        message: "you may take out less than when this began: begin again".to_owned(),
    }
}

/// Opens what the record disclosure returned: exactly the bytes that were hashed.
///
/// # Errors
/// [`Error::Integrity`] where they are not, which is written down.
pub(crate) async fn open(
    decryption: Decryption<'_>,
    disclosed: &Disclosed,
) -> Result<Content, Error> {
    let sealed = disclosed.sealed.as_ref();
    let sealed = sealed.ok_or(Error::NotFound("record"))?;
    let opened = decrypt::open(decryption.keyring, sealed).await?;
    decrypt::intact(decryption.pool, sealed, opened).await
}

/// Where a record stands in an export.
pub(crate) fn page_key(record: &Record) -> PageKey {
    ORDER.page_key(record)
}
