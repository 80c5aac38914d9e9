//! Finding records: pages in an order that writers do not disturb, and exact totals. What a caller may
//! not see is neither shown, skipped nor counted.
//!
//! There are two ways, each with an index for it. *Of these patients*: the caller has decided whose
//! records of which types may be seen, and each patient's newest are taken by
//! `idx_medical_records_patient_page` or `_patient_effective`, so that a page costs the same however
//! many records there are. *Of everybody*: the rule of `domain::access::decide` for SEARCH in SQL, for
//! what an index finds across patients (codes, an author, metadata), and for somebody whom so many
//! patients let in that naming them all would take longer. There the planner chooses by the values, so
//! that the rare one leads.
//!
//! The statements are files, in `search/`. Of each page there are four, one for each order: change the one named
//! `created_descending`, and the tests at the end of this file say how the others follow. What stands in several
//! files, the filter and the rule, is held equal there, too.

mod newest;

use chrono::{DateTime, Utc};
use domain::{
    access::Actor,
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::RecordType,
};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use self::newest::{NewestPage, NewestRecords, WithRecords, newest_of};
use super::{Record, RecordRow};
use crate::{StoreError, Tx, consents::named::NamedActor};

/// Which records. What is `None` or empty matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these types.
    pub record_types: Vec<RecordType>,
    /// Stored at or after.
    pub created_from: Option<DateTime<Utc>>,
    /// Stored before.
    pub created_to: Option<DateTime<Utc>>,
    /// So at or after: a year, a month, a day or a period counts to its end. What does not say when it was so counts by when it
    /// was stored.
    pub effective_from: Option<DateTime<Utc>>,
    /// So before.
    pub effective_to: Option<DateTime<Utc>>,
    /// Written by.
    pub author: Option<UserId>,
    /// Whether nothing of the record type's bullets is missing.
    pub complete: Option<bool>,
    /// With all of these keys and values among its metadata.
    pub metadata: Option<Value>,
    /// With a code among these tokens of the blind index.
    pub tokens: Option<Vec<Vec<u8>>>,
    /// Versions that another one has superseded, too.
    pub with_superseded: bool,
}

/// A moment before the year 1, in which no document is dated and nothing was stored. Unit: seconds of Unix.
const BEFORE_ALL: i64 = -720_000 * 24 * 60 * 60;

impl Filter {
    /// [`Self::effective_from`], or a moment before everything that is as good: the statements look a year further back, and the
    /// database holds no time before its first.
    fn effective_begin(&self) -> Option<DateTime<Utc>> {
        let from = self.effective_from?;
        Some(DateTime::from_timestamp(BEFORE_ALL, 0).map_or(from, |first| from.max(first)))
    }

    /// Whether it leaves nothing out but types and superseded versions.
    pub const fn is_of_types_alone(&self) -> bool {
        let Self {
            record_types: _,
            created_from: None,
            created_to: None,
            effective_from: None,
            effective_to: None,
            author: None,
            complete: None,
            metadata: None,
            tokens: None,
            with_superseded: false,
        } = self
        else {
            return false;
        };
        true
    }
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Last stored first.
    CreatedDescending,
    /// First stored first.
    CreatedAscending,
    /// Latest first by what the document says; by when it was stored where it says nothing.
    EffectiveDescending,
    /// Earliest first by the same.
    EffectiveAscending,
}

impl Order {
    /// The same from the end: what a page that goes back is found in.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::CreatedDescending => Self::CreatedAscending,
            Self::CreatedAscending => Self::CreatedDescending,
            Self::EffectiveDescending => Self::EffectiveAscending,
            Self::EffectiveAscending => Self::EffectiveDescending,
        }
    }

    /// Where a record stands in this order.
    pub fn page_key(self, record: &Record) -> PageKey {
        let at = match self {
            Self::CreatedDescending | Self::CreatedAscending => record.created_at,
            Self::EffectiveDescending | Self::EffectiveAscending => {
                record.effective_at.unwrap_or(record.created_at)
            }
        };
        (at, record.id)
    }
}

/// Where a page goes on: after this time and id of its order.
pub type PageKey = (DateTime<Utc>, RecordId);

/// A patient, and which of their records may be seen. No types: all.
#[derive(Debug, Clone)]
pub struct Visible {
    /// Whose.
    pub patient: UserId,
    /// Of which types, if not of all.
    pub types: Option<Vec<RecordType>>,
}

impl Visible {
    /// These of all their types; `None` where none is left.
    pub fn of(patient: UserId, types: &[RecordType]) -> Option<Self> {
        let types = (types.len() < RecordType::ALL.len()).then(|| types.to_vec());
        let some = types.as_ref().is_none_or(|types| !types.is_empty());
        some.then_some(Self { patient, types })
    }

    /// As statements take it: the types in one text.
    fn columns(&self) -> (Uuid, Option<String>) {
        let in_words = |types: &Vec<RecordType>| {
            let words: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
            words.join(",")
        };
        (self.patient.0, self.types.as_ref().map(in_words))
    }
}

/// The part of everybody's records that an actor may search for a purpose.
#[derive(Debug, Clone, Copy)]
pub struct Everybody {
    /// Who searches.
    pub actor: Actor,
    /// What for.
    pub purpose: Purpose,
    /// Of this patient alone.
    pub patient: Option<UserId>,
    /// When it is decided, by the primary's clock ([`crate::users::now`]).
    pub now: DateTime<Utc>,
}

/// Runs the page's statement of this order: the four files of a page differ in the order alone, which a test holds.
macro_rules! page {
    ($order:expr, $newest:literal, $oldest:literal, $latest:literal, $earliest:literal; $conn:expr, $($argument:expr),+ $(,)?) => {
        match $order {
            Order::CreatedDescending => {
                sqlx::query_file_as!(RecordRow, $newest, $($argument),+).fetch_all($conn).await
            }
            Order::CreatedAscending => {
                sqlx::query_file_as!(RecordRow, $oldest, $($argument),+).fetch_all($conn).await
            }
            Order::EffectiveDescending => {
                sqlx::query_file_as!(RecordRow, $latest, $($argument),+).fetch_all($conn).await
            }
            Order::EffectiveAscending => {
                sqlx::query_file_as!(RecordRow, $earliest, $($argument),+).fetch_all($conn).await
            }
        }
    };
}

/// A page of the records of these patients. `restricted` shows those in the grace time of a deletion,
/// too. Served by `idx_medical_records_patient_page` and `idx_medical_records_patient_effective`.
///
/// # Errors
/// [`StoreError`].
pub async fn page_of(
    conn: &mut PgConnection,
    visible: &[Visible],
    restricted: bool,
    filter: &Filter,
    order: Order,
    after: Option<PageKey>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    let (patients, types) = columns_of(visible);
    let found = page!(
        order,
        "src/records/search/page_of_patients_created_descending.sql",
        "src/records/search/page_of_patients_created_ascending.sql",
        "src/records/search/page_of_patients_effective_descending.sql",
        "src/records/search/page_of_patients_effective_ascending.sql";
        conn,
        filter.created_from,
        filter.created_to,
        filter.effective_begin(),
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &patients,
        &types as &[Option<String>],
        restricted,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )?;
    found.into_iter().map(Record::try_from).collect()
}

/// How many records of these patients there are, exactly.
///
/// # Errors
/// [`StoreError`].
pub async fn count_of(
    conn: &mut PgConnection,
    visible: &[Visible],
    restricted: bool,
    filter: &Filter,
) -> Result<i64, StoreError> {
    let (patients, types) = columns_of(visible);
    let count = sqlx::query_file_scalar!(
        "src/records/search/count_of_patients.sql",
        filter.created_from,
        filter.created_to,
        filter.effective_begin(),
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &patients,
        &types as &[Option<String>],
        restricted,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

fn columns_of(visible: &[Visible]) -> (Vec<Uuid>, Vec<Option<String>>) {
    visible.iter().map(Visible::columns).unzip()
}

/// The values of the rule's parameters.
struct RuleValues {
    covering: Vec<String>,
    named: NamedActor,
    own: bool,
}

impl From<&Everybody> for RuleValues {
    fn from(everybody: &Everybody) -> Self {
        let Everybody { actor, purpose, .. } = everybody;
        Self {
            covering: purpose.covering().iter().map(ToString::to_string).collect(),
            named: NamedActor::of(actor),
            own: *purpose == Purpose::PatientRequest,
        }
    }
}

/// A page of the records of everybody that this actor may search for this purpose. Served by
/// `idx_medical_records_code_tokens`, `idx_medical_records_author_id`,
/// `idx_medical_records_record_metadata` and `idx_medical_records_created` or `_effective`; and, where they are to have been so since
/// a time, by `idx_medical_records_periods` for what began more than a year before it.
///
/// # Errors
/// [`StoreError`].
pub async fn page_of_everybody(
    tx: &mut Tx<'_>,
    everybody: &Everybody,
    filter: &Filter,
    order: Order,
    after: Option<PageKey>,
    limit: i64,
) -> Result<Vec<Record>, StoreError> {
    plan_by_values(tx).await?;
    let rule = RuleValues::from(everybody);
    let types = names_of(&filter.record_types);
    let found = page!(
        order,
        "src/records/search/page_of_everybody_created_descending.sql",
        "src/records/search/page_of_everybody_created_ascending.sql",
        "src/records/search/page_of_everybody_effective_descending.sql",
        "src/records/search/page_of_everybody_effective_ascending.sql";
        &mut **tx,
        filter.created_from,
        filter.created_to,
        filter.effective_begin(),
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &rule.covering,
        &rule.named.admitted,
        &rule.named.admitted_abroad,
        &rule.named.refused,
        everybody.now,
        rule.own,
        everybody.actor.id.0,
        everybody.patient.map(|id| id.0),
        types.as_deref() as Option<&[String]>,
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.0),
        limit,
    )?;
    found.into_iter().map(Record::try_from).collect()
}

/// How many records of everybody this actor may search for this purpose, exactly.
///
/// # Errors
/// [`StoreError`].
pub async fn count_of_everybody(
    tx: &mut Tx<'_>,
    everybody: &Everybody,
    filter: &Filter,
) -> Result<i64, StoreError> {
    plan_by_values(tx).await?;
    let rule = RuleValues::from(everybody);
    let types = names_of(&filter.record_types);
    let all = names_of(RecordType::ALL).unwrap_or_default();
    let count = sqlx::query_file_scalar!(
        "src/records/search/count_of_everybody.sql",
        filter.created_from,
        filter.created_to,
        filter.effective_begin(),
        filter.effective_to,
        filter.author.map(|id| id.0),
        filter.complete,
        filter.metadata.as_ref(),
        filter.tokens.as_deref() as Option<&[Vec<u8>]>,
        filter.with_superseded,
        &rule.covering,
        &rule.named.admitted,
        &rule.named.admitted_abroad,
        &rule.named.refused,
        everybody.now,
        rule.own,
        everybody.actor.id.0,
        everybody.patient.map(|id| id.0),
        types.as_deref() as Option<&[String]>,
        &all,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

fn names_of(types: &[RecordType]) -> Option<Vec<String>> {
    (!types.is_empty()).then(|| types.iter().map(ToString::to_string).collect())
}

/// Until the end of the transaction, a plan is made for the values at hand: which index is best depends
/// on whether a filter is given, and how rare its value is.
pub(crate) async fn plan_by_values(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query!("SELECT set_config('plan_cache_mode', 'force_custom_plan', TRUE)")
        .fetch_one(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENTS: [&str; 4] = [
        include_str!("search/page_of_patients_created_descending.sql"),
        include_str!("search/page_of_patients_created_ascending.sql"),
        include_str!("search/page_of_patients_effective_descending.sql"),
        include_str!("search/page_of_patients_effective_ascending.sql"),
    ];
    const NEWEST: &str = include_str!("search/newest_of_patients.sql");
    const EVERYBODY: [&str; 4] = [
        include_str!("search/page_of_everybody_created_descending.sql"),
        include_str!("search/page_of_everybody_created_ascending.sql"),
        include_str!("search/page_of_everybody_effective_descending.sql"),
        include_str!("search/page_of_everybody_effective_ascending.sql"),
    ];
    const COUNTS: [&str; 2] = [
        include_str!("search/count_of_patients.sql"),
        include_str!("search/count_of_everybody.sql"),
    ];
    const ORDERS: [Order; 4] = [
        Order::CreatedDescending,
        Order::CreatedAscending,
        Order::EffectiveDescending,
        Order::EffectiveAscending,
    ];

    /// The statement that pages in another order than the first one.
    fn in_order(first: &str, order: Order) -> String {
        let (key, is_ascending) = match order {
            Order::CreatedDescending => ("record.created_at", false),
            Order::CreatedAscending => ("record.created_at", true),
            Order::EffectiveDescending => {
                ("COALESCE(record.effective_at, record.created_at)", false)
            }
            Order::EffectiveAscending => ("COALESCE(record.effective_at, record.created_at)", true),
        };
        let line = |line: &str| {
            let is_bound = line.trim_start().starts_with("< (COALESCE(");
            let line = match (is_ascending, is_bound) {
                (true, true) => line
                    .replace("< (", "> (")
                    .replace("'infinity'", "'-infinity'")
                    .replace('f', "0")
                    .replace("'-in0inity'", "'-infinity'"),
                (true, false) => line.replace(
                    "ORDER BY record.created_at DESC, record.id DESC",
                    "ORDER BY record.created_at ASC, record.id ASC",
                ),
                (false, _) => line.to_owned(),
            };
            line.replace(
                "(record.created_at, record.id)",
                &format!("({key}, record.id)"),
            )
            .replace("ORDER BY record.created_at ", &format!("ORDER BY {key} "))
        };
        first.lines().map(|it| line(it) + "\n").collect()
    }

    /// What stands between two comments, without its indentation.
    fn passage<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
        let from = text.split_once(begin).map(|(_, rest)| rest);
        let within = from.and_then(|rest| rest.split_once(end));
        let (within, _) = within.expect("the file has the passage");
        within.lines().map(str::trim).collect()
    }

    #[test]
    fn the_pages_differ_in_their_order_alone() {
        for files in [PATIENTS, EVERYBODY] {
            for (file, order) in files.into_iter().zip(ORDERS) {
                assert_eq!(file, in_order(files[0], order), "{order:?}");
            }
        }
    }

    #[test]
    fn the_newest_of_several_patients_are_the_page_of_each_without_a_filter() {
        let columns = |text| {
            let mut lines = passage(text, "SELECT", "FROM");
            // The indentation of the end is a line, too.
            lines.retain(|line| !line.is_empty());
            lines
        };
        let within = |text| passage(text, "CROSS JOIN LATERAL (", "AND (record.created_at");
        let as_page = |line: &str| {
            line.replace("visible.", "page.")
                .replace("$12", "page.restricted")
        };
        let page: Vec<String> = within(PATIENTS[0]).into_iter().map(as_page).collect();
        assert_eq!(within(NEWEST), page);
        // What the page calls for a macro, the other hands on.
        let named: Vec<String> = columns(PATIENTS[0])
            .into_iter()
            .map(|line| line.replace(" AS \"sealed_bytes!\"", ""))
            .collect();
        assert_eq!(columns(NEWEST), named);
        let order = ["ORDER BY record.created_at DESC, record.id DESC", "LIMIT"];
        for file in [NEWEST, PATIENTS[0]] {
            let lines: Vec<&str> = file.lines().map(str::trim).collect();
            let is_ordered = |two: &[&str]| two[0] == order[0] && two[1].starts_with(order[1]);
            assert!(lines.windows(2).any(is_ordered));
        }
    }

    #[test]
    fn all_of_them_filter_alike() {
        let filter =
            |text| passage(text, "-- The filter, $1 to $9.", "-- End of the filter.").join(" ");
        let first = filter(PATIENTS[0]);
        let first = first.trim().trim_start_matches("AND ");
        for file in PATIENTS.into_iter().chain(EVERYBODY).chain(COUNTS) {
            assert_eq!(filter(file).trim().trim_start_matches("AND "), first);
        }
    }

    #[test]
    fn both_halves_of_everybodys_pages_differ_in_their_bounds_alone() {
        let bounds = [
            "AND COALESCE(record.effective_at, record.created_at) >= COALESCE($3::timestamptz - INTERVAL '366 days', '-infinity')",
            "AND $3::timestamptz IS NOT NULL",
            "AND COALESCE(record.effective_at, record.created_at) < $3::timestamptz - INTERVAL '366 days'",
            "AND record.record_metadata ? 'dateEnd'",
        ];
        for file in EVERYBODY {
            let (first, second) = file.split_once("UNION ALL").expect("it has two halves");
            let half = |text| passage(text, "        SELECT\n", "        LIMIT $21");
            let (mut first, mut second) = (half(first), half(second));
            for bound in bounds {
                let found = [&first, &second].map(|half| half.contains(&bound));
                assert_eq!(found, [bound == bounds[0], bound != bounds[0]], "{bound}");
            }
            for half in [&mut first, &mut second] {
                half.retain(|line| !bounds.contains(line));
            }
            assert_eq!(first, second);
        }
    }

    #[test]
    fn no_statement_of_a_replica_asks_its_clock() {
        let pages = PATIENTS.into_iter().chain(EVERYBODY).chain([NEWEST]);
        for file in pages.chain(COUNTS) {
            for clock in ["_timestamp()", "now()", "decision_time", "CURRENT_"] {
                assert!(!file.contains(clock), "{clock} in {file}");
            }
        }
    }

    #[test]
    fn the_rule_is_the_same_for_pages_and_counts() {
        let rule = |text| passage(text, "-- The rule of", "-- End of the rule.");
        for file in EVERYBODY {
            assert_eq!(rule(file), rule(COUNTS[1]));
        }
    }
}
