//! Everything about a person, for that person: section by section, a page at a time. What is in it is said here; how it leaves
//! is `bulk`'s.

pub(crate) mod graphql;
mod log;
mod pages;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus},
    consents::Category,
    countries::{Country, may_be_sent_to},
    ids::UserId,
    purpose::Purpose,
};
use serde_json::{Value, json};
use store::{Pool, audit, countries, cursor::Registry, my_data::DataCounts};
use uuid::Uuid;
use vault::blind_index::IndexKey;

use crate::{
    caller::{Caller, refuse},
    cursor::{Cursor, ListCursors, bad_cursor},
    error::Error,
    records::export::nothing_is_sent_to,
};

/// Where a page of a section goes on: after what has this time and this id or number.
pub(crate) type SectionKey = (DateTime<Utc>, Uuid);

/// A part of what is about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    /// The account.
    Account,
    /// What was allowed and refused, also what is over.
    Consents,
    /// Log-ins that are not over.
    LogIns,
    /// Wallets, also those that were unlinked.
    Wallets,
    /// What the person was told.
    Notifications,
    /// Requests to erase or restrict.
    DeletionRequests,
    /// Who acts for the person, and for whom the person acts.
    Representations,
    /// Representatives whom administrators proposed.
    RepresentativeProposals,
    /// Receipts of consents.
    ConsentReceipts,
    /// To which organisations the person belongs.
    Memberships,
    /// Emergency access.
    BreakGlassWindows,
    /// Every version of every record.
    Records,
    /// Who did what with the person's data, each entry with its proof.
    AccessLog,
}

impl Section {
    /// All, in their order.
    pub(crate) const ALL: [Self; 13] = [
        Self::Account,
        Self::Consents,
        Self::LogIns,
        Self::Wallets,
        Self::Notifications,
        Self::DeletionRequests,
        Self::Representations,
        Self::RepresentativeProposals,
        Self::ConsentReceipts,
        Self::Memberships,
        Self::BreakGlassWindows,
        Self::Records,
        Self::AccessLog,
    ];

    /// What its files are called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Consents => "consents",
            Self::LogIns => "log-ins",
            Self::Wallets => "wallets",
            Self::Notifications => "notifications",
            Self::DeletionRequests => "deletion-requests",
            Self::Representations => "representations",
            Self::RepresentativeProposals => "representative-proposals",
            Self::ConsentReceipts => "consent-receipts",
            Self::Memberships => "memberships",
            Self::BreakGlassWindows => "break-glass-windows",
            Self::Records => "records",
            Self::AccessLog => "access-log",
        }
    }

    /// What it is, for a person.
    pub(crate) const fn described(self) -> &'static str {
        match self {
            Self::Account => "Your account",
            Self::Consents => "Your consents and refusals, also those that are over",
            Self::LogIns => "Where you are logged in",
            Self::Wallets => "Your wallets",
            Self::Notifications => "What you were told",
            Self::DeletionRequests => "Your requests to erase or restrict data",
            Self::Representations => "Who acts for you, and for whom you act",
            Self::RepresentativeProposals => {
                "Representatives whom administrators proposed, for you or you for others"
            }
            Self::ConsentReceipts => "Receipts of your consents, with your signatures",
            Self::Memberships => "The organisations that you belong to",
            Self::BreakGlassWindows => {
                "Emergency access to your records, or by you, with the reasons and notes"
            }
            Self::Records => "Your medical records, every version",
            Self::AccessLog => "Who did what with your data, with proofs",
        }
    }

    /// How many there are of it.
    pub(crate) const fn count(self, counts: &DataCounts) -> i64 {
        match self {
            Self::Account => 1,
            Self::Consents => counts.consents,
            Self::LogIns => counts.log_ins,
            Self::Wallets => counts.wallets,
            Self::Notifications => counts.notifications,
            Self::DeletionRequests => counts.deletion_requests,
            Self::Representations => counts.representations,
            Self::RepresentativeProposals => counts.representative_proposals,
            Self::ConsentReceipts => counts.consent_receipts,
            Self::Memberships => counts.memberships,
            Self::BreakGlassWindows => counts.break_glass_windows,
            Self::Records => counts.records,
            Self::AccessLog => counts.access_log,
        }
    }
}

/// Where it goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataPlace {
    /// In which section.
    pub(crate) section: Section,
    /// After what; `None` at its beginning.
    pub(crate) after: Option<SectionKey>,
}

/// A page of a section.
#[derive(Debug)]
pub(crate) struct DataPage {
    /// What is in it, a line each.
    pub(crate) lines: Vec<Value>,
    /// After what the next page begins; `None` where there is none.
    pub(crate) next: Option<SectionKey>,
}

/// What somebody takes out.
#[derive(Debug, Clone)]
pub(crate) struct MyData {
    /// Whose.
    pub(crate) owner: UserId,
    /// Only what the trail said before.
    until: DateTime<Utc>,
    /// The country that it goes to, where that is not the home country.
    pub(crate) destination: Option<Country>,
    registry: Registry,
    key: Arc<IndexKey>,
}

/// How much there is about the caller now. Written down before it is shown.
///
/// # Errors
/// [`Error::Unauthenticated`].
pub(crate) async fn count(pool: &Pool, caller: &Caller) -> Result<DataCounts, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let until = store::users::now(&mut tx).await?;
    let counts = store::my_data::counts(&mut tx, actor.id, until).await?;
    let entry = AuditEntry {
        resource_id: actor.id.0,
        classification: Classification::Personal,
        encryption: EncryptionStatus::MetadataOnly,
        ..caller.entry(AuditAction::UserRead, Purpose::PatientRequest)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(counts)
}

impl MyData {
    /// Writes down that somebody takes out everything about themselves, and counts it; gives the place that was handed back, too.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`]; [`Error::BadInput`] for a place that was not given out for this, of which nothing is written, and,
    /// with its audit row, for a country that nothing is sent to.
    pub(crate) async fn begin(
        pool: &Pool,
        caller: &Caller,
        (registry, key): (Registry, &Arc<IndexKey>),
        destination: Option<Country>,
        after: Option<&str>,
    ) -> Result<(Self, DataCounts, Option<DataPlace>), Error> {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        let data = Self {
            owner: actor.id,
            until: store::users::now(&mut tx).await?,
            destination,
            registry,
            key: Arc::clone(key),
        };
        let from = after.map(|text| data.place(text)).transpose()?;
        let entry = AuditEntry {
            resource_id: actor.id.0,
            new_value: Some(json!({ "export": "MY_DATA" })),
            classification: Classification::Medical,
            encryption: EncryptionStatus::ExportedPlaintext,
            patient: Some(actor.id),
            destination: destination.map(|country| country.to_string()),
            ..caller.entry(AuditAction::AuditExport, Purpose::PatientRequest)
        };
        if let Some(country) = destination
            && !may_be_sent_to(countries::rule(&mut tx, country).await?.as_ref())
        {
            let about = AuditEntry {
                encryption: EncryptionStatus::NotApplicable,
                ..entry
            };
            let refusal = ("COUNTRY", AuditAction::AuditExport);
            return refuse(tx, about, refusal, nothing_is_sent_to(country)).await;
        }
        let counts = store::my_data::counts(&mut tx, data.owner, data.until).await?;
        audit::insert(&mut tx, &[entry]).await?;
        tx.commit().await?;
        Ok((data, counts, from))
    }

    /// What to hand back to go on at a place.
    pub(crate) fn cursor(&self, place: DataPlace) -> String {
        let name = place.section.name();
        match place.after {
            Some(key) => format!("{name}.{}", self.cursors(place.section).at(&key).as_str()),
            None => name.to_owned(),
        }
    }

    /// The place that was handed back.
    ///
    /// # Errors
    /// [`Error::BadInput`] for what was not given out for this.
    fn place(&self, text: &str) -> Result<DataPlace, Error> {
        let (name, cursor) = match text.split_once('.') {
            Some((name, cursor)) => (name, Some(Cursor::of_text(cursor.to_owned()))),
            None => (text, None),
        };
        let section = Section::ALL.into_iter().find(|it| it.name() == name);
        let section = section.ok_or_else(bad_cursor)?;
        let after = self.cursors(section).read(cursor.as_ref())?;
        Ok(DataPlace { section, after })
    }

    fn cursors(&self, section: Section) -> ListCursors {
        // One that was given out for a country is good for that one.
        let arguments = match self.destination {
            Some(country) => json!([section.name(), country.as_str()]),
            None => json!([section.name()]),
        };
        ListCursors::of(&self.key, "myData", self.owner, &arguments)
    }

    /// A page of any section but that of records, which the record disclosure discloses.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] where the log-in is over.
    pub(crate) async fn page(
        &self,
        pool: &Pool,
        caller: &Caller,
        place: DataPlace,
    ) -> Result<DataPage, Error> {
        let mut tx = pool.begin().await?;
        let actor = caller.actor(&mut tx).await?;
        let owner = actor.id;
        let page = match place.section {
            Section::Account => pages::account(&mut tx, owner).await?,
            Section::Consents => pages::consents(&mut tx, owner, place.after).await?,
            Section::LogIns => pages::log_ins(&mut tx, owner, place.after).await?,
            Section::Wallets => pages::wallets(&mut tx, owner, place.after).await?,
            Section::Notifications => pages::notifications(&mut tx, owner, place.after).await?,
            Section::DeletionRequests => {
                let found = pages::requests(&mut tx, owner, place.after).await?;
                tx.commit().await?;
                let found = found.open(caller.seals.keyring()).await?;
                return Ok(pages::explained(found));
            }
            Section::Representations
            | Section::RepresentativeProposals
            | Section::ConsentReceipts
            | Section::Memberships => pages::lines(&mut tx, owner, place).await?,
            Section::BreakGlassWindows => {
                let found = pages::windows(&mut tx, owner, place.after).await?;
                tx.commit().await?;
                return pages::with_words(found, &caller.seals, &actor).await;
            }
            Section::Records => DataPage {
                lines: Vec::new(),
                next: None,
            },
            Section::AccessLog => {
                log::page(&mut tx, &self.registry, owner, self.until, place.after).await?
            }
        };
        tx.commit().await?;
        Ok(page)
    }
}

/// The categories that a request is about, as they are told.
fn categories(categories: &[Category]) -> Vec<&'static str> {
    categories
        .iter()
        .map(|category| category.as_str())
        .collect()
}
