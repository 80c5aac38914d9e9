//! Records in the schema.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use domain::ids::{RecordId, UserId};
use futures::future::join_all;
use serde_json::Value;
use store::records::{Record, search::Order};
use uuid::Uuid;
use vault::row::Content;

use super::{
    anchor::Anchor,
    create, decrypt,
    decrypted::{self, Withheld},
    disclosure::{DisclosedFor, DisclosureRequest, Wanted},
    draft::Stored,
    filter_input::{self, RecordFilterInput, RecordOrder},
    history, list,
    referred::ReferredRecords,
    summary::RecordSummary,
    verification::RecordVerification,
    verify::{Verifying, verify},
};
use crate::{
    audit::graphql::{AccessLogEntry, access_log_of},
    cursor::{Cursor, ListCursors},
    error::{Error, both},
    graphql::{
        asks_nodes_for, budget,
        document::Document,
        enums::{Completeness, PurposeOfUse, RecordType},
        global_id::{GlobalId, NodeKind},
        issue::{DocumentIssue, document_issues},
        loaders,
        payload::Payload,
        request, request_for,
        scalars::{Hash, Time, TxHash},
    },
    page::{Connection, Edge, Node, PageArguments, PageInfo, asks_total},
    users::graphql::User,
};

/// The fields of a record that disclose what it says.
const CONTENT: [&str; 3] = ["document", "canonical", "summary"];

/// One version of a medical record: an encrypted FHIR R4 document and what is known of it without
/// decrypting it.
#[derive(Debug, Clone)]
pub(crate) struct MedicalRecord {
    pub(super) record: Arc<Record>,
    pub(super) disclosed_for: DisclosedFor,
}

impl Node for MedicalRecord {
    const EDGE: &'static str = "MedicalRecordEdge";
    const CONNECTION: &'static str = "MedicalRecordVersionConnection";
}

impl MedicalRecord {
    pub(crate) fn new(record: Arc<Record>, disclosed_for: DisclosedFor) -> Self {
        Self {
            record,
            disclosed_for,
        }
    }

    /// Which it is.
    pub(crate) fn record_id(&self) -> RecordId {
        self.record.id
    }

    /// One that was stored a moment ago, with its anchor.
    pub(crate) async fn stored(ctx: &Context<'_>, stored: Stored) -> Result<Self, Error> {
        if let Some(anchor) = stored.anchor {
            loaders(ctx)?.keep_anchors([anchor]).await;
        }
        let disclosed_for = DisclosedFor {
            purpose: stored.purpose,
            on_behalf_of: stored.on_behalf_of,
        };
        Ok(Self::new(Arc::new(stored.record), disclosed_for))
    }

    /// Another version of the record; `None` where the caller may not see it.
    async fn other_version(&self, ctx: &Context<'_>, id: RecordId) -> Option<Result<Self>> {
        let found = history::version(ctx, id, self.disclosed_for).await;
        let found = found.map_err(async_graphql::Error::from).transpose()?;
        Some(found.map(|record| Self::new(record, self.disclosed_for)))
    }

    /// The exact bytes that were hashed: audited, opened, and compared with their hash.
    async fn bytes(&self, ctx: &Context<'_>) -> Result<Arc<Content>, Withheld> {
        // Boxed, as all that few fields need: each field of each record would be as large, asked for it or not.
        Box::pin(decrypted::bytes(ctx, self.record.id, self.disclosed_for)).await
    }
}

/// One version of a medical record: an encrypted FHIR R4 document and what is known of it without
/// decrypting it.
#[Object]
impl MedicalRecord {
    /// The global ID of this version: `node` discloses it again, for the purpose that is asked for with it.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::MedicalRecord, self.record.id.0).into()
    }

    /// The ID of this version of the record.
    async fn id(&self) -> Uuid {
        self.record.id.0
    }

    /// The patient whose record it is.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.record.patient).await?)
    }

    /// The account that stored the version, or for which a representative did; null where it is not known.
    async fn author(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        let author = self.record.author?;
        Some(User::load(ctx, author).await.map_err(Into::into))
    }

    /// The kind of document that the record holds.
    async fn record_type(&self) -> RecordType {
        self.record.record_type.into()
    }

    /// The number of the version, from 1. Each version has an ID, a hash and an anchor of its own.
    async fn version(&self) -> i32 {
        self.record.version
    }

    /// Whether it is the current version: no other one has superseded it.
    async fn is_current(&self) -> bool {
        self.record.is_current
    }

    /// Whether this version withdraws the record: its document is marked *entered in error*, and no
    /// version follows it.
    async fn is_withdrawn(&self) -> bool {
        self.record.is_withdrawn
    }

    /// The version before this one; null for the first, and where the caller may not see it.
    async fn predecessor(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let id = self.record.predecessor?;
        Box::pin(self.other_version(ctx, id)).await
    }

    /// The version that superseded this one; null for the current one, and where the caller may not see
    /// it.
    async fn successor(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let found = async { loaders(ctx)?.successor(self.record.id).await };
        match found.await.transpose()? {
            Ok(id) => Box::pin(self.other_version(ctx, id)).await,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The versions of the record that the caller may see, newest first, whichever of them this one is.
    async fn history(
        &self,
        ctx: &Context<'_>,
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
    ) -> Result<Connection<MedicalRecord>> {
        let of = (&self.record, self.disclosed_for);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let page = Box::pin(history::page(ctx, of, &asked)).await?;
        let versions = page.versions.into_iter();
        let versions = versions.map(|record| MedicalRecord::new(record, self.disclosed_for));
        let key = |it: &MedicalRecord| page.cursors.at(&i64::from(it.record.version));
        let last = page.last.map(|number| page.cursors.at(&number));
        let shown = Connection::whole_range(versions.collect(), page.has_more, &page.range, key);
        Ok(shown.looked_through(&page.range, last))
    }

    /// Why this version superseded the one before; null for the first. It is encrypted with the
    /// document: asking for it is a disclosure, as `document` is.
    async fn reason(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.record.predecessor?;
        let read = async {
            let document = decrypt::document(&self.bytes(ctx).await?)
                .ok_or(Error::Integrity(self.record.id))?;
            Ok(fhir::reason_of(&document).map(str::to_owned))
        };
        let read = read.await.map_err(|withheld: Withheld| withheld.into());
        read.transpose()
    }

    /// Whether the document has everything that its record type asks for.
    async fn completeness(&self) -> Completeness {
        if self.record.missing.is_none() {
            Completeness::Complete
        } else {
            Completeness::Incomplete
        }
    }

    /// What the document lacks of what its record type asks for; empty where it is complete.
    async fn missing(&self) -> Vec<String> {
        let missing = self.record.missing.as_ref().and_then(Value::as_array);
        missing
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// The clinically relevant time that the document states. Where it states a year, a month or a day,
    /// the beginning of it in UTC; where it has several resources, the latest. Null where it states
    /// none.
    async fn effective_at(&self) -> Option<Time> {
        self.record.effective_at.map(Time)
    }

    /// What is stored unencrypted for searching: dates, states and kinds read from the document, and
    /// the metadata given with it. Null where there is none.
    async fn metadata(&self) -> Option<Document> {
        self.record.metadata.clone().map(Into::into)
    }

    /// The SHA-256 hash of `canonical`, which the registry on the chain holds.
    async fn data_hash(&self) -> Hash {
        Hash(self.record.data_hash.clone())
    }

    /// The hash of the transaction that anchors the version on the chain.
    async fn blockchain_record_id(&self) -> TxHash {
        TxHash(self.record.blockchain_record_id.clone())
    }

    /// The state of the anchor on the chain.
    async fn anchor(&self, ctx: &Context<'_>) -> Result<Anchor> {
        let anchor = loaders(ctx)?
            .anchor(self.record.id)
            .await?
            .ok_or(Error::NotFound("anchor"))?;
        Ok(Anchor(anchor))
    }

    /// The time at which the version was stored.
    async fn created_at(&self) -> Time {
        Time(self.record.created_at)
    }

    /// The time at which the row of the version last changed.
    async fn updated_at(&self) -> Time {
        Time(self.record.updated_at)
    }

    /// Who saw this version, or tried to, newest first: what `myAccessLog` says of it, with the lists that showed it. Null for
    /// everybody but the patient; a representative asks `myAccessLog`. Reading it is recorded in the audit trail. The list is
    /// read forward alone, because its statement reads from the newest row.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`).
    async fn access_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Option<Result<Connection<AccessLogEntry>>> {
        let (_, caller) = match request(ctx) {
            Ok(request) => request,
            Err(error) => return Some(Err(error.into())),
        };
        if caller.user != self.record.patient {
            return None;
        }
        Some(Box::pin(access_log_of(ctx, self.record.id, first, after)).await)
    }

    /// The FHIR document, decrypted. Asking for `document`, `canonical` or `summary` is one disclosure:
    /// it is recorded in the audit trail before the content is decrypted and compared with its hash.
    /// Null with the error `INTEGRITY_VIOLATION` where they do not agree.
    async fn document(&self, ctx: &Context<'_>) -> Option<Result<Document>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            Ok(Document::Stored(bytes))
        };
        Some(read.await.map_err(|withheld: Withheld| withheld.into()))
    }

    /// The exact bytes that were hashed, as text: `sha256sum` of them gives `dataHash`. A disclosure,
    /// as `document` is.
    async fn canonical(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            String::from_utf8(bytes.to_vec()).map_err(|_| Error::Integrity(self.record.id).into())
        };
        Some(read.await.map_err(|withheld: Withheld| withheld.into()))
    }

    /// The main statements of the document, as fields that depend on its record type. A disclosure, as
    /// `document` is.
    async fn summary(&self, ctx: &Context<'_>) -> Option<Result<RecordSummary>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            RecordSummary::read(&bytes, self.record.id, self.record.record_type)
                .map_err(Withheld::from)
        };
        Some(read.await.map_err(Into::into))
    }
}

/// One page of a list of records, and their total number.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct MedicalRecordConnection {
    /// The nodes of this page in the order of the list, each with its cursor.
    edges: Vec<Edge<MedicalRecord>>,
    /// The nodes of this page in the order of the list, without cursors.
    nodes: Vec<MedicalRecord>,
    /// Whether the list goes on after this page, and the cursor to go on with.
    page_info: PageInfo,
    /// The exact number of records on all pages that the caller may see. It is counted for each
    /// request, so ask for it with the first page only.
    total_count: i64,
}

/// One version of a record, if the caller may see it, with its content where the query asks the field that is being resolved for
/// it.
///
/// # Errors
/// [`Error::NotFound`] for what is refused and for what does not exist.
async fn disclosed(
    ctx: &Context<'_>,
    id: Uuid,
    purpose: Option<PurposeOfUse>,
    on_behalf_of: Option<Uuid>,
) -> Result<MedicalRecord, Error> {
    let (app, caller) = request_for(ctx, on_behalf_of)?;
    let on_behalf_of = caller.on_behalf_of;
    let look = ctx.look_ahead();
    // One decision and one row for both, where the content is asked for.
    let wanted = if CONTENT.iter().any(|field| look.field(field).exists()) {
        Wanted::Content
    } else {
        Wanted::Metadata
    };
    let inquiry = DisclosureRequest {
        caller,
        record: RecordId(id),
        purpose: purpose.map(Into::into),
        wanted,
        budget: Some(budget(ctx)?.clone()),
    };
    let disclosed = app.disclosure.ask(inquiry).await?;
    let disclosed_for = DisclosedFor {
        purpose: disclosed.purpose,
        on_behalf_of,
    };
    if let Some(sealed) = disclosed.sealed {
        decrypted::keep(ctx, disclosed_for, vec![sealed]).await?;
    }
    Ok(MedicalRecord::new(disclosed.record, disclosed_for))
}

/// A record that an event or an entry of a log names, decided and written down as `medicalRecord` is; null where the caller may not
/// see it, and where it is gone.
pub(crate) async fn referred(
    ctx: &Context<'_>,
    record: RecordId,
    on_behalf_of: Option<UserId>,
) -> Result<Option<MedicalRecord>, Error> {
    let found = ctx.data::<ReferredRecords>().map_err(|_| Error::Internal)?;
    let found = found.find(record, None, on_behalf_of).await?;
    Ok(found.map(|disclosed| {
        let disclosed_for = DisclosedFor {
            purpose: disclosed.purpose,
            on_behalf_of,
        };
        MedicalRecord::new(Arc::clone(&disclosed.record), disclosed_for)
    }))
}

/// A page of records that something else has the IDs of, which are in order: those of them that the caller may see, decided on
/// and written down as `medicalRecord` is, together.
///
/// # Errors
/// [`Error::BadInput`] for a page there is not.
pub(crate) async fn page_of_records(
    ctx: &Context<'_>,
    ids: &[RecordId],
    cursors: &ListCursors,
    asked: &PageArguments,
) -> Result<Connection<MedicalRecord>, Error> {
    let range = asked.range::<Uuid>(cursors)?;
    let (named, has_more) = range.of_list(ids, |id| id.0);
    let found = join_all(named.iter().map(|id| referred(ctx, *id, None))).await;
    let found: Result<Vec<Option<MedicalRecord>>, Error> = found.into_iter().collect();
    let shown = found?.into_iter().flatten().collect();
    let cursor = |it: &MedicalRecord| cursors.at(&it.record.id.0);
    let last = range.farthest(named).map(|id| cursors.at(&id.0));
    Ok(Connection::whole_range(shown, has_more, &range, cursor).looked_through(&range, last))
}

/// The same of several, which go through the record disclosure together: what became of each.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
    purpose: Option<PurposeOfUse>,
    on_behalf_of: Option<Uuid>,
) -> Vec<(Uuid, Result<MedicalRecord, Error>)> {
    let one = |id: &Uuid| {
        let id = *id;
        async move { (id, disclosed(ctx, id, purpose, on_behalf_of).await) }
    };
    join_all(ids.iter().map(one)).await
}

#[derive(Default)]
pub(crate) struct RecordQuery;

#[Object]
impl RecordQuery {
    /// One version of a record. Null with the error `NOT_FOUND` where it does not exist or the caller
    /// may not see it; the two cannot be told apart. A patient may read their own records, a doctor
    /// those whose patients consented to READ, a representative those of the patient for whom they act.
    async fn medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of a version of a record.")] id: Uuid,
        #[graphql(
            desc = "The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`, else PATRQT for one's own records and TREAT for a doctor."
        )]
        purpose: Option<PurposeOfUse>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Option<Result<MedicalRecord>> {
        let read = disclosed(ctx, id, purpose, on_behalf_of).await;
        Some(read.map_err(Into::into))
    }

    /// The records that the caller may see, by default the current version of each, newest first. A
    /// patient sees their own, a doctor those of patients who consented to SEARCH. Cursors stay valid
    /// whatever is stored meanwhile.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`, `recordTypes`, `status`, `metadata`, `code`,
    /// `patientId`, `onBehalfOf`), `NOT_FOUND` where the caller may not act for this patient, or acts for another.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn medical_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only records of the patient with this ID.")] patient_id: Option<Uuid>,
        #[graphql(desc = "Only records of this type.")] record_type: Option<RecordType>,
        #[graphql(desc = "Only records that meet all of these conditions.")] filter: Option<
            RecordFilterInput,
        >,
        #[graphql(
            desc = "The order of the list.",
            default_with = "Some(RecordOrder::CreatedDesc)"
        )]
        order_by: Option<RecordOrder>,
        #[graphql(
            desc = "The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`, else PATRQT for one's own records and TREAT for a doctor."
        )]
        purpose: Option<PurposeOfUse>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(
            desc = "The cursor after which the page begins, from a list with the same filter and order; the first page without it."
        )]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<MedicalRecordConnection> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let patient_id = patient_id.or(on_behalf_of);
        let on_behalf_of = caller.on_behalf_of;
        // As for `first`: a variable that is left out comes as null.
        let order = Order::from(order_by.unwrap_or(RecordOrder::CreatedDesc));
        let criteria = filter_input::read(patient_id, record_type, filter.unwrap_or_default());
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let ((), criteria) = both(asked.check_size(), criteria)?;
        let arguments = criteria.arguments(order);
        let cursors = ListCursors::of(&app.index_key, "medicalRecords", caller.user, &arguments);
        let range = asked.range(&cursors)?;
        let search = list::Search {
            criteria,
            // From the end the list is the one of the opposite order.
            order: if range.backward {
                order.reversed()
            } else {
                order
            },
            purpose: purpose.map(Into::into),
            after: range.from,
            size: range.size,
            total: asks_total(ctx),
            with: list::With {
                people: asks_nodes_for(ctx, &["patient", "author"]),
                anchors: asks_nodes_for(ctx, &["anchor"]),
                content: asks_nodes_for(ctx, &CONTENT),
            },
            budget: budget(ctx)?.clone(),
        };
        let found = app.lists.ask(caller, search).await?;
        let loaders = loaders(ctx)?;
        loaders.keep_users(found.people).await;
        loaders.keep_anchors(found.anchors).await;
        // Nobody else holds them, unless another list of the same batch shows the same records.
        let sealed = found.sealed.into_iter().map(Arc::unwrap_or_clone);
        let disclosed_for = DisclosedFor {
            purpose: found.purpose,
            on_behalf_of,
        };
        decrypted::keep(ctx, disclosed_for, sealed.collect()).await?;
        prepare(ctx, &found.records).await?;
        let of_purpose = |record| MedicalRecord::new(Arc::new(record), disclosed_for);
        let records = found.records.into_iter().map(of_purpose).collect();
        let page = Connection::of_range(records, &range, |node: &MedicalRecord| {
            cursors.at(&order.page_key(&node.record))
        });
        Ok(MedicalRecordConnection {
            edges: page.edges,
            nodes: page.nodes,
            page_info: page.page_info,
            total_count: found.total,
        })
    }

    /// Decrypts a record, hashes it and compares the hash with the registry on the chain, at the time
    /// of the request. Shows no content. Of a record that was erased, its patient is told so.
    ///
    /// Error codes: `NOT_FOUND` where it does not exist or the caller may not read it; `UNAVAILABLE`
    /// where the chain does not answer, its node is behind the record's anchor, or two nodes contradict each other.
    async fn verify_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of a version of a record.")] id: Uuid,
        #[graphql(
            desc = "The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`, else PATRQT for one's own records and TREAT for a doctor."
        )]
        purpose: Option<PurposeOfUse>,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<RecordVerification> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let verifying = Verifying {
            disclosure: &app.disclosure,
            decryption: app.decryption(),
            chain: &app.chain,
            registrars: app.registrars,
            clock: &app.clock,
        };
        let found = verify(verifying, caller, RecordId(id), purpose.map(Into::into)).await?;
        Ok(RecordVerification(found))
    }
}

/// Fetches what else the query asks of each record, in one statement each.
async fn prepare(ctx: &Context<'_>, records: &[Record]) -> Result<(), Error> {
    let loaders = loaders(ctx)?;
    let ids = || records.iter().map(|r| r.id).collect();
    if asks_nodes_for(ctx, &["successor"]) {
        loaders.prepare_successors(ids()).await;
    }
    if asks_nodes_for(ctx, &["history"]) {
        loaders.prepare_versions(ids()).await;
    }
    Ok(())
}

/// A new record and whose it is.
#[derive(Debug, InputObject)]
pub(crate) struct CreateMedicalRecordInput {
    /// The ID of the patient whose record it is. Where the document names its patient as a hospital does, by
    /// `Patient/7`, an URL, `urn:uuid:…`, a contained `Patient` or an identifier with its system, that is this
    /// account: the reference becomes `Patient/<patientId>`, and what it was stays as its `identifier`.
    patient_id: Uuid,
    /// The kind of document that the record holds.
    record_type: RecordType,
    /// A FHIR R4 resource that fits the record type, at most 1 MiB, about one patient. Send it as a variable.
    document: Document,
    /// Metadata to be stored unencrypted for searching: an object with the keys that the record type
    /// permits, and no free text. Null for none.
    metadata: Option<Document>,
    /// The purpose of use that the access is decided for; by default the header `X-Purpose-Of-Use`,
    /// else PATRQT for one's own record and TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// A key of the client's choice, 1 to 128 bytes: repeating the request with the same key gives the
    /// same record and stores no second one.
    idempotency_key: Option<String>,
}

/// The result of `createMedicalRecord`: the stored record.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateMedicalRecordPayload {
    /// The record. Its anchor begins as PENDING and may have advanced already.
    record: MedicalRecord,
    /// What is to be said of the profiles that the document declares, although it was stored: what of them was not checked, and
    /// which elements are not there that systems must support. Empty where the document declares none.
    notes: Vec<DocumentIssue>,
}

#[derive(Default)]
pub(crate) struct RecordMutation;

#[Object]
impl RecordMutation {
    /// Stores a new medical record and queues its anchor for the chain. It answers once the record is
    /// durable; follow the anchor with `integrityEvents`. A patient stores their own records, a doctor
    /// those of patients who consented to CREATE, a representative those of the patient for whom they act.
    ///
    /// The document is about `patientId`, however it names its patient, or where it names nobody. One that names another account,
    /// or two patients, is refused.
    ///
    /// Error codes: `INVALID_DOCUMENT`, `BAD_USER_INPUT` (`document`, `metadata`, `idempotencyKey`, `onBehalfOf`),
    /// `NOT_FOUND` where the patient does not exist or the caller may not store for them, `CONFLICT`
    /// (`idempotencyKey`: used for another request; `patientId`: the account is being erased).
    async fn create_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new record and whose it is.")] input: CreateMedicalRecordInput,
        #[graphql(
            desc = "The ID of the patient for whom the caller acts as a representative; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Payload<CreateMedicalRecordPayload>> {
        let (app, caller) = request_for(ctx, on_behalf_of)?;
        let submission = create::Submission {
            patient: UserId(input.patient_id),
            record_type: input.record_type.into(),
            document: input.document.into_json(),
            metadata: input.metadata.map(Into::into),
            purpose: input.purpose.map(Into::into),
            idempotency_key: input.idempotency_key,
        };
        let created = create::create(app.drafting(), &app.writer, &caller, submission).await?;
        let (stored, notes) = created;
        Ok(Payload(CreateMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
            notes: document_issues(notes),
        }))
    }
}
