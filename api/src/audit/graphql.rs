//! The audit trail in the schema.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, Subscription};
use chrono::{DateTime, Utc};
use domain::{
    audit::{self, Classification},
    ids::{ConsentId, RecordId, UserId},
    purpose::Purpose,
};
use futures::{Stream, StreamExt as _};
use serde_json::json;
use store::audit::{AuditFilter, AuditPage, AuditRow, RecordPage};
use uuid::Uuid;

use super::{
    access_events,
    access_logs::AccessLogs,
    filter_input::{self, AuditLogFilterInput},
    proof::{self, graphql::AuditProof},
    read, sentence,
    words::{AuditAction, DataClassification, EncryptionStatus, ResourceType},
};
use crate::{
    consents::graphql::{self as consents, Consent},
    cursor::{Cursor, ListCursors},
    error::{Error, both, check_period},
    graphql::{
        asks_nodes_for,
        document::Document,
        enums::{Language, PurposeOfUse},
        event::{EventCursor, stream_start},
        global_id::{GlobalId, NodeKind},
        loaders, request, request_for,
        scalars::Time,
    },
    page::{self, Connection, Node, PageArguments, PageRange},
    records::graphql::{self as records, MedicalRecord},
    users::graphql::User,
};

/// One row of the audit trail. Nobody can change or remove it.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog(Arc<AuditRow>);

impl Node for AuditLog {
    const EDGE: &'static str = "AuditLogEdge";
    const CONNECTION: &'static str = "AuditLogConnection";
}

impl AuditLog {
    fn page_key(&self) -> i64 {
        self.0.id
    }
}

/// One row of the audit trail. Nobody can change or remove it.
#[Object]
impl AuditLog {
    /// The global ID of the row: `node` gives it again, to administrators.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::AuditLog, id_of(self.0.id)).into()
    }

    /// The number of the row, given when it was inserted. Numbers have gaps and are not the order of commits: that is
    /// `AuditProof.position`.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// The time at which the action happened.
    async fn event_time(&self) -> Time {
        Time(self.0.event_time)
    }

    /// The account that acted; a system account where nobody was logged in.
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// What was done, such as `RECORD_READ`; `ACCESS_DENIED` where it was refused.
    async fn action_type(&self) -> AuditAction {
        AuditAction::of(&self.0.action_type)
    }

    /// The kind of thing it was done to, such as `MEDICAL_RECORD`.
    async fn resource_type(&self) -> ResourceType {
        ResourceType::of(&self.0.resource_type)
    }

    /// The ID of the thing it was done to; the ID of the request where there is none.
    async fn resource_id(&self) -> Uuid {
        self.0.resource_id
    }

    /// The IDs of the records that a list showed, all of one patient; empty where the row is about one thing.
    async fn record_ids(&self) -> &[Uuid] {
        &self.0.record_ids
    }

    /// The patient for whom the account acted as a representative, or claimed to; null where it acted for itself.
    async fn on_behalf_of(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(represented(ctx, &self.0).await?)
    }

    /// The state before the action; null where there is nothing to say. Never health data.
    async fn old_value(&self) -> Option<Document> {
        self.0.old_value.clone().map(Into::into)
    }

    /// The state after the action, or the reason of a refusal; null where there is nothing to say.
    /// Never health data.
    async fn new_value(&self) -> Option<Document> {
        self.0.new_value.clone().map(Into::into)
    }

    /// The network address that the request came from.
    async fn ip_address(&self) -> &str {
        &self.0.ip_address
    }

    /// The `User-Agent` header of the request; null where it sent none.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// The ID of the request: the `X-Request-Id` of its answer.
    async fn request_id(&self) -> Uuid {
        self.0.request_id
    }

    /// Why the data was accessed; null where the row states a purpose that is not known here: see `purposeCode`.
    async fn purpose(&self) -> Option<PurposeOfUse> {
        known_purpose(&self.0)
    }

    /// The purpose as the row states it, also where `purpose` is null because it is not known here.
    async fn purpose_code(&self) -> &str {
        &self.0.purpose
    }

    /// The ID of the consent that permitted or refused the action; null where none decided.
    async fn consent_reference(&self) -> Option<Uuid> {
        self.0.consent_reference
    }

    /// The consent that permitted or refused the action, as `consents` shows it, recorded in the audit trail as there. Null where
    /// `consentReference` is, and where the row is not about the caller's own data: nothing is recorded of those.
    async fn consent(&self, ctx: &Context<'_>) -> Option<Result<Consent>> {
        let id = self.0.consent_reference?;
        let found = async {
            let (_, caller) = request(ctx)?;
            // Nobody sees another's consents: to read everybody's rows is no attempt to.
            if self.0.patient != Some(caller.user) {
                return Ok(None);
            }
            consents::referred(ctx, ConsentId(id), None).await
        };
        let found: Result<Option<Consent>, Error> = Box::pin(found).await;
        found.map_err(Into::into).transpose()
    }

    /// How long the row is kept, as an ISO 8601 duration such as `P3650D`.
    async fn retention_period(&self) -> String {
        format!("P{}D", self.0.retention_days)
    }

    /// How sensitive the data is that was accessed, such as MEDICAL or SECURITY.
    async fn data_classification(&self) -> Result<DataClassification> {
        // The table holds no other words.
        let known = self.0.data_classification.parse::<Classification>();
        Ok(known.map_err(|_| Error::Internal)?.into())
    }

    /// Whether data was sent to another country.
    async fn is_cross_border(&self) -> bool {
        self.0.is_cross_border
    }

    /// The country that the data was sent to, as ISO 3166-1 alpha-2 writes it; null where it stayed.
    async fn destination_country(&self) -> Option<&str> {
        self.0.destination_country.as_deref()
    }

    /// In which form the data was accessed, such as `METADATA_ONLY` or `DECRYPTED_FOR_DISCLOSURE`.
    async fn encryption_status(&self) -> Result<EncryptionStatus> {
        let known = self.0.encryption_status.parse::<audit::EncryptionStatus>();
        Ok(known.map_err(|_| Error::Internal)?.into())
    }

    /// The time at which the row was written.
    async fn created_at(&self) -> Time {
        Time(self.0.created_at)
    }
}

/// One access, or attempted access, to the caller's own data.
#[derive(Debug, Clone)]
pub(crate) struct AccessLogEntry {
    row: Arc<AuditRow>,
    reader: UserId,
    /// Whether it is told as it happens. Reading what it names is an access, too: told of in its turn, it would never end.
    is_streamed: bool,
}

impl Node for AccessLogEntry {
    const EDGE: &'static str = "AccessLogEdge";
    const CONNECTION: &'static str = "AccessLogConnection";
}

impl AccessLogEntry {
    fn page_key(&self) -> i64 {
        self.row.run.oldest
    }

    /// The patient for whom the caller acts who reads it.
    fn on_behalf_of(&self, ctx: &Context<'_>) -> Result<Option<UserId>, Error> {
        let (_, caller) = request(ctx)?;
        Ok((caller.user != self.reader).then_some(self.reader))
    }
}

/// One access, or attempted access, to the caller's own data.
#[Object]
impl AccessLogEntry {
    /// The number of the row of the audit trail; of the newest one where the entry stands for several.
    async fn id(&self) -> ID {
        self.row.id.into()
    }

    /// The time of the access; of the latest one where the entry stands for several.
    async fn at(&self) -> Time {
        Time(self.row.event_time)
    }

    /// The time of the earliest access that the entry stands for; equal to `at` where it stands for one.
    async fn since(&self) -> Time {
        Time(self.row.run.since)
    }

    /// The account that accessed the data, or tried to.
    async fn who(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.row.user).await?)
    }

    /// Whether the account acted for the patient as a representative, or claimed to.
    async fn as_representative(&self) -> bool {
        self.row.on_behalf_of == Some(self.reader)
    }

    /// What was done, such as `RECORD_READ`; `ACCESS_DENIED` where it was refused.
    async fn action(&self) -> AuditAction {
        AuditAction::of(&self.row.action_type)
    }

    /// The ID of the record that was accessed; null where the access was not to a single record, or the entry
    /// stands for accesses to several.
    async fn record_id(&self) -> Option<Uuid> {
        self.row.run.record.map(|id| id.0)
    }

    /// The record that was accessed, as `medicalRecord` shows it, decided and recorded in the audit trail as there. Null where
    /// `recordId` is, where the caller may not read the record, and in `accessEvents`, which would tell of that reading in its turn.
    async fn record(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let id = self.row.run.record.filter(|_| !self.is_streamed)?;
        let found = async { records::referred(ctx, id, self.on_behalf_of(ctx)?).await };
        let found = Box::pin(found).await;
        found.map_err(Into::into).transpose()
    }

    /// How many records of the caller the access was to, each counted once; 0 where it was to none.
    async fn records(&self) -> i32 {
        i32::try_from(self.row.run.records).unwrap_or(i32::MAX)
    }

    /// Why the data was accessed; null where the row states a purpose that is not known here: see `purposeCode`.
    async fn purpose(&self) -> Option<PurposeOfUse> {
        known_purpose(&self.row)
    }

    /// The purpose as the row states it, also where `purpose` is null because it is not known here.
    async fn purpose_code(&self) -> &str {
        &self.row.purpose
    }

    /// Whether the access was permitted; false where it was refused.
    async fn allowed(&self) -> bool {
        self.row.action_type != "ACCESS_DENIED"
    }

    /// How many times it happened: what was refused many times for one reason in one request is one entry,
    /// and so are like accesses that follow one another where the log is `grouped`.
    async fn times(&self) -> i32 {
        i32::try_from(self.row.run.times).unwrap_or(i32::MAX)
    }

    /// Whether the access was permitted as an emergency, without a consent.
    async fn emergency(&self) -> bool {
        // As page.sql has it: a list that showed nothing disclosed nothing.
        self.row.action_type != "ACCESS_DENIED"
            && self.row.consent_reference.is_none()
            && !sentence::showed_nothing(&self.row)
            && self
                .row
                .purpose
                .parse::<Purpose>()
                .is_ok_and(Purpose::is_emergency)
    }

    /// The ID of the consent that permitted or refused the access; null where none decided.
    async fn consent_id(&self) -> Option<Uuid> {
        self.row.consent_reference
    }

    /// The consent that permitted or refused the access, as `consents` shows it, recorded in the audit trail as there. Null where
    /// `consentId` is, and in `accessEvents`, which would tell of that reading in its turn.
    async fn consent(&self, ctx: &Context<'_>) -> Option<Result<Consent>> {
        let id = self.row.consent_reference.filter(|_| !self.is_streamed)?;
        let found = async { consents::referred(ctx, ConsentId(id), self.on_behalf_of(ctx)?).await };
        let found = Box::pin(found).await;
        found.map_err(Into::into).transpose()
    }

    /// The whole entry as one sentence, to be shown to the patient.
    async fn sentence(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The language of the sentence.",
            default_with = "Some(Language::English)"
        )]
        language: Option<Language>,
    ) -> Result<String> {
        let who = loaders(ctx)?.user(self.row.user).await?;
        // A variable that is left out comes as null.
        let language = language.unwrap_or(Language::English).into();
        let sentence = sentence::of(&self.row, who.as_deref(), self.reader, language);
        Ok(sentence)
    }
}

#[derive(Default)]
pub(crate) struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The audit trail, newest row first. Needs the role ADMIN (`FORBIDDEN` otherwise). Reading it is
    /// recorded in it, too.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`, `actionType`, `actionTypes`, `resourceType`, `from`,
    /// `to`).
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn audit_logs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only actions of the account with this ID.")] user_id: Option<Uuid>,
        #[graphql(
            desc = "Only actions on the thing with this ID; of a record also the lists that showed it."
        )]
        resource_id: Option<Uuid>,
        #[graphql(desc = "Only this action, such as `RECORD_READ`.")] action_type: Option<
            AuditAction,
        >,
        #[graphql(desc = "Only rows that meet all of these conditions, too.")] filter: Option<
            AuditLogFilterInput,
        >,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<Connection<AuditLog>> {
        let (app, caller) = request(ctx)?;
        let filter = filter.unwrap_or_default();
        let filter = filter_input::read(user_id, resource_id, action_type, filter);
        let arguments = json!(filter.as_ref().map(arguments).unwrap_or_default());
        let cursors = ListCursors::of(&app.index_key, "auditLogs", caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let (filter, range) = both(filter, asked.range(&cursors))?;
        let found = read::all(&app.pool, &app.reads, &caller, &filter, range).await?;
        let has_more = found.has_more;
        let rows = shown(ctx, found.rows).await?;
        let key = |row: &AuditLog| cursors.at(&row.page_key());
        Ok(Connection::whole_range(rows, has_more, &range, key))
    }

    /// Who did what with the caller's data, or that of the patient for whom the caller acts, newest first, refused attempts
    /// included. Open to every role. In the sentences *you* is the patient, also where a representative reads them.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`, `action`, `from`, `to`, `onBehalfOf`), `NOT_FOUND` where the
    /// caller may not act for this patient.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn my_access_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only the entries of what this account did or tried.")] user_id: Option<
            Uuid,
        >,
        #[graphql(desc = "Only the entries of this action, such as RECORD_READ.")] action: Option<
            AuditAction,
        >,
        #[graphql(desc = "True for permitted accesses only, false for refused ones only.")]
        allowed: Option<bool>,
        #[graphql(
            desc = "True for accesses that were permitted as an emergency only, without a consent; false for all others only."
        )]
        emergency: Option<bool>,
        #[graphql(desc = "Only what happened at this time or later.")] from: Option<DateTime<Utc>>,
        #[graphql(desc = "Only what happened before this time.")] to: Option<DateTime<Utc>>,
        #[graphql(
            desc = "True to be told accesses that follow one another as one entry with their number in `times` and that of the records in `records`, where they were on the same day (UTC), by the same account, the same action, for the same purpose, by the same consent and with the same outcome; more than 5,000 are told in parts.",
            default_with = "Some(false)"
        )]
        grouped: Option<bool>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Connection<AccessLogEntry>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let action = action.map(|one| filter_input::known("action", one.word()));
        let action = action.transpose();
        let filter = AuditFilter {
            user: user_id.map(UserId),
            actions: action.iter().flatten().map(ToString::to_string).collect(),
            allowed,
            emergency,
            from,
            to,
            // As for `first`: a variable that is left out comes as null.
            grouped: grouped.unwrap_or_default(),
            ..AuditFilter::default()
        };
        let arguments = json!(arguments(&filter));
        let cursors = ListCursors::of(&app.index_key, "myAccessLog", caller.subject(), &arguments);
        let times = check_period(from, to);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let (((), range), _) = both(both(times, asked.range(&cursors)), action)?;
        if range.backward && filter.grouped {
            // Where a run ends depends on what comes after it.
            let told =
                "a log that is `grouped` is read forward alone: ask with `first` and `after`";
            return Err(Error::bad("last", told).into());
        }
        let found = read::own(&app.pool, &app.reads, &caller, filter, range).await?;
        entries(ctx, caller.subject(), found, &cursors, &range).await
    }

    /// What proves that a row of the audit trail was written, and has not been changed since. Administrators ask about any
    /// row, everybody else about the rows of `myAccessLog` (`NOT_FOUND` otherwise). `BAD_USER_INPUT` (`knownSize`) where no
    /// checkpoint in the registry has as many rows, and this one among them.
    async fn audit_proof(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of the row, as the lists of the trail have it.")] id: ID,
        #[graphql(
            desc = "The size of a tree that the caller knows from an earlier checkpoint, to be proved the beginning of this one."
        )]
        known_size: Option<i64>,
    ) -> Result<AuditProof> {
        let (app, caller) = request(ctx)?;
        let id = id.parse().map_err(|_| Error::NotFound("row"))?;
        let registry = app.registry()?;
        let proof = proof::prove(&app.pool, &registry, &caller, id, known_size).await?;
        Ok(AuditProof::new(proof, registry))
    }
}

#[derive(Default)]
pub(crate) struct AuditSubscription;

#[Subscription]
impl AuditSubscription {
    /// Who accesses the caller's data, or tries to, as it happens: the entries of `myAccessLog`, one for each row of the audit
    /// trail, a second or two after it was written. Each entry is delivered at least once; those from before the stream began by
    /// their numbers, then all others as they are written. Open to every role; beginning a stream is recorded in the audit
    /// trail. The cursor of an entry is `cursor` in the `extensions` of its answer, and the `id` of its event in an event
    /// stream. A cursor of anything but an access to the caller's data is refused with `BAD_USER_INPUT`.
    async fn access_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The cursor of an earlier entry: the stream begins with the one after it. `earliest` begins with the first \
                    one there is; `latest`, like null, with the next one."
        )]
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<AccessLogEntry>>> {
        let (app, caller) = request(ctx)?;
        let reader = caller.user;
        let cursors = access_events::cursors(&app.index_key, &caller);
        let start = stream_start(ctx, &cursors, after.as_ref())?;
        let pool = app.pool.clone();
        let told = Box::pin(access_events::follow(pool, &app.feed, caller, start)).await?;
        let position = ctx.data::<EventCursor>()?.clone();
        Ok(told.map(move |told| {
            let (place, row) = told?;
            position.set(cursors.at(&place));
            let row = Arc::new(row);
            Ok::<_, async_graphql::Error>(AccessLogEntry {
                row,
                reader,
                is_streamed: true,
            })
        }))
    }
}

/// The purpose of a row. The table holds any text: rows of another version, or of somebody who wrote to the database.
fn known_purpose(row: &AuditRow) -> Option<PurposeOfUse> {
    row.purpose.parse::<Purpose>().ok().map(Into::into)
}

/// Rows of the trail, with the people whom they name.
async fn shown(ctx: &Context<'_>, found: Vec<AuditRow>) -> Result<Vec<AuditLog>, Error> {
    prepare(ctx, &found).await?;
    let rows = found.into_iter();
    Ok(rows.map(|row| AuditLog(Arc::new(row))).collect())
}

/// These rows of the trail, to administrators.
///
/// # Errors
/// As of the list of them, but for the role.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, AuditLog)>, Error> {
    let (app, caller) = request(ctx)?;
    // Other ids were never given out.
    let numbers: Vec<i64> = ids.iter().filter_map(|id| number_in(*id)).collect();
    let found = read::by_ids(&app.pool, &caller, &numbers).await?;
    let found = shown(ctx, found).await?.into_iter();
    Ok(found.map(|row| (id_of(row.0.id), row)).collect())
}

/// The number of a row as an id.
fn id_of(number: i64) -> Uuid {
    Uuid::from_u128(u128::from(number.cast_unsigned()))
}

/// The number of a row, if the id is of one.
fn number_in(id: Uuid) -> Option<i64> {
    i64::try_from(id.as_u128()).ok()
}

/// Who saw one of the caller's own records.
pub(crate) async fn access_log_of(
    ctx: &Context<'_>,
    record: RecordId,
    first: Option<i32>,
    after: Option<Cursor>,
) -> Result<Connection<AccessLogEntry>> {
    let (app, caller) = request(ctx)?;
    let arguments = json!([record]);
    let cursors = ListCursors::of(&app.index_key, "accessLog", caller.user, &arguments);
    let (size, from) = page::place(&cursors, first, after.as_ref())?;
    let range = PageRange {
        size,
        from,
        backward: false,
    };
    let asked = RecordPage {
        record,
        before: from.unwrap_or(i64::MAX),
        size,
    };
    let logs = ctx.data::<AccessLogs>().map_err(|_| Error::Internal)?;
    let found = AuditPage::clone(&*logs.page(asked).await?);
    entries(ctx, caller.user, found, &cursors, &range).await
}

/// A page of somebody's log.
async fn entries(
    ctx: &Context<'_>,
    reader: UserId,
    found: AuditPage,
    cursors: &ListCursors,
    range: &PageRange<i64>,
) -> Result<Connection<AccessLogEntry>> {
    prepare(ctx, &found.rows).await?;
    let entry = |row| AccessLogEntry {
        row: Arc::new(row),
        reader,
        is_streamed: false,
    };
    let entries = found.rows.into_iter().map(entry).collect();
    let key = |entry: &AccessLogEntry| cursors.at(&entry.page_key());
    let has_more = found.has_more;
    Ok(Connection::whole_range(entries, has_more, range, key))
}

/// All that a list of rows depends on: its cursors are good for no other.
pub(super) fn arguments(filter: &AuditFilter) -> serde_json::Value {
    json!([
        filter.user,
        filter.resource,
        filter.resource_type,
        filter.actions,
        filter.patient,
        filter.allowed,
        filter.emergency,
        filter.purpose,
        filter.consent,
        filter.classification,
        filter.is_cross_border,
        filter.request,
        filter.from,
        filter.to,
        filter.grouped,
    ])
}

async fn prepare(ctx: &Context<'_>, rows: &[AuditRow]) -> Result<(), Error> {
    if asks_nodes_for(ctx, &["user", "who", "sentence", "onBehalfOf"]) {
        let named = |row: &AuditRow| [Some(row.user), row.on_behalf_of];
        loaders(ctx)?
            .prepare_users(rows.iter().flat_map(named).flatten().collect())
            .await;
    }
    Ok(())
}

/// The patient for whom somebody acted, as far as there is one: what a refused request claimed need not be an account.
async fn represented(ctx: &Context<'_>, row: &AuditRow) -> Result<Option<User>, Error> {
    match row.on_behalf_of {
        Some(patient) => Ok(loaders(ctx)?.user(patient).await?.map(User::named)),
        None => Ok(None),
    }
}
