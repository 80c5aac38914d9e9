//! Records in the schema.

use std::sync::Arc;

use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    ids::{RecordId, UserId},
    purpose::Purpose,
    stored::StoredRecord,
};
use serde_json::Value;
use store::records::{Record, search::Order};
use uuid::Uuid;
use vault::row::Content;

use super::{
    anchor::Anchor,
    content, create,
    disclosure::{Inquiry, Wanted},
    filter::{Criteria, RecordFilterInput, RecordOrder},
    history, list,
    opened::{self, Withheld},
    summary::RecordSummary,
    verification::RecordVerification,
    verify,
    writer::Stored,
};
use crate::{
    error::Error,
    graphql::{
        asks_nodes_for,
        document::Document,
        enums::{PurposeOfUse, RecordType},
        loaders, request,
        scalars::{Hash, TxHash},
    },
    page::{self, Connection, Cursor, Edge, PageInfo},
    users::graphql::User,
};

/// The fields of a record that disclose what it says.
const CONTENT: [&str; 3] = ["document", "canonical", "summary"];

/// A sealed FHIR R4 document and what is known of it in clear.
#[derive(Debug, Clone)]
pub(crate) struct MedicalRecord {
    pub(super) record: Arc<Record>,
    pub(super) purpose: Purpose,
}

impl MedicalRecord {
    pub(crate) fn new(record: Arc<Record>, purpose: Purpose) -> Self {
        Self { record, purpose }
    }

    /// One that was stored a moment ago, with its anchor.
    pub(crate) async fn stored(ctx: &Context<'_>, stored: Stored) -> Result<Self, Error> {
        if let Some(anchor) = stored.anchor {
            loaders(ctx)?.keep_anchors([anchor]).await;
        }
        Ok(Self::new(Arc::new(stored.record), stored.purpose))
    }

    /// The exact bytes that were hashed: audited, opened, and compared with their hash.
    async fn bytes(&self, ctx: &Context<'_>) -> Result<Arc<Content>, Withheld> {
        opened::bytes(ctx, self.record.id, self.purpose).await
    }
}

/// Whether a document has everything its record type asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Completeness {
    /// It has.
    Complete,
    /// See `missing`.
    Incomplete,
}

/// A sealed FHIR R4 document and what is known of it in clear.
#[Object]
impl MedicalRecord {
    /// Which.
    async fn id(&self) -> Uuid {
        self.record.id.0
    }

    /// Whose.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.record.patient).await?)
    }

    /// Who wrote it; null where that is not known.
    async fn author(&self, ctx: &Context<'_>) -> Option<Result<User>> {
        let author = self.record.author?;
        Some(User::load(ctx, author).await.map_err(Into::into))
    }

    /// The kind of document.
    async fn record_type(&self) -> RecordType {
        self.record.record_type.into()
    }

    /// Which version. Each version is a record of its own, with its own id, hash and anchor.
    async fn version(&self) -> i32 {
        self.record.version
    }

    /// Whether no other version has taken its place.
    async fn is_current(&self) -> bool {
        self.record.is_current
    }

    /// Whether it withdraws the record: its document says *entered in error* and nothing follows it.
    async fn is_withdrawn(&self) -> bool {
        self.record.is_withdrawn
    }

    /// The version before; null for the first.
    async fn predecessor(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let id = self.record.predecessor?;
        history::version(ctx, id, self.purpose).await
    }

    /// The version that took its place; null for the current one.
    async fn successor(&self, ctx: &Context<'_>) -> Option<Result<MedicalRecord>> {
        let found = async { loaders(ctx)?.successor(self.record.id).await };
        match found.await.transpose()? {
            Ok(id) => history::version(ctx, id, self.purpose).await,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// All versions, newest first, whichever of them this is.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<MedicalRecord>> {
        history::page(ctx, self, first, after.as_ref()).await
    }

    /// Why this version took the place of the one before; null for the first. It is sealed with the
    /// document: asking for it is a disclosure, as `document` is.
    async fn reason(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        self.record.predecessor?;
        let read = async {
            let document = content::document(&self.bytes(ctx).await?)
                .ok_or(Error::Integrity(self.record.id))?;
            Ok(fhir::reason_of(&document).map(str::to_owned))
        };
        let read = read.await.map_err(|withheld: Withheld| withheld.into());
        read.transpose()
    }

    /// Whether the document has everything its record type asks for.
    async fn completeness(&self) -> Completeness {
        if self.record.missing.is_none() {
            Completeness::Complete
        } else {
            Completeness::Incomplete
        }
    }

    /// What it lacks.
    async fn missing(&self) -> Vec<String> {
        let missing = self.record.missing.as_ref().and_then(Value::as_array);
        missing
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    /// When what the document says was so, as far as it says: of a year, a month or a day the beginning
    /// in UTC, of several resources the latest. Null where it does not say.
    async fn effective_at(&self) -> Option<DateTime<Utc>> {
        self.record.effective_at
    }

    /// What is searchable in clear: dates, states and kinds read off the document, and what was given
    /// with it.
    async fn metadata(&self) -> Option<Document> {
        self.record.metadata.clone().map(Into::into)
    }

    /// The SHA-256 of `canonical`: what the registry holds.
    async fn data_hash(&self) -> Hash {
        Hash(self.record.data_hash.clone())
    }

    /// The transaction that anchors it.
    async fn blockchain_record_id(&self) -> TxHash {
        TxHash(self.record.blockchain_record_id.clone())
    }

    /// Where its anchor stands.
    async fn anchor(&self, ctx: &Context<'_>) -> Result<Anchor> {
        let anchor = loaders(ctx)?
            .anchor(self.record.id)
            .await?
            .ok_or(Error::NotFound("anchor"))?;
        Ok(Anchor(anchor))
    }

    /// When it was stored.
    async fn created_at(&self) -> DateTime<Utc> {
        self.record.created_at
    }

    /// When its row last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.record.updated_at
    }

    /// The FHIR document. Asking for it, for `canonical` or for `summary` is a disclosure, one for all
    /// three: audited, opened, and compared with its hash.
    async fn document(&self, ctx: &Context<'_>) -> Option<Result<Document>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            Ok(Document::Stored(bytes))
        };
        Some(read.await.map_err(|withheld: Withheld| withheld.into()))
    }

    /// The exact bytes that were hashed: `sha256sum` of them prints `dataHash`. A disclosure, as
    /// `document` is.
    async fn canonical(&self, ctx: &Context<'_>) -> Option<Result<String>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            String::from_utf8(bytes.to_vec()).map_err(|_| Error::Integrity(self.record.id).into())
        };
        Some(read.await.map_err(|withheld: Withheld| withheld.into()))
    }

    /// What the document says, as its record type asks for it. A disclosure, as `document` is.
    async fn summary(&self, ctx: &Context<'_>) -> Option<Result<RecordSummary>> {
        let read = async {
            let bytes = self.bytes(ctx).await?;
            RecordSummary::read(&bytes, self.record.id, self.record.record_type)
                .map_err(Withheld::from)
        };
        Some(read.await.map_err(Into::into))
    }
}

/// One page of a list.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct MedicalRecordConnection {
    /// The nodes, each with its cursor.
    edges: Vec<Edge<MedicalRecord>>,
    /// The nodes alone.
    nodes: Vec<MedicalRecord>,
    /// Where this page stands.
    page_info: PageInfo,
    /// How many there are on all pages together, exactly: of those that you may see. Counted anew each
    /// time, so ask for it with the first page alone.
    total_count: i64,
}

#[derive(Default)]
pub(crate) struct RecordQuery;

#[Object]
impl RecordQuery {
    /// One record. One that you may not see does not exist.
    async fn medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] id: Uuid,
        #[graphql(desc = "Why; by default PATRQT for your own, TREAT for a doctor.")]
        purpose: Option<PurposeOfUse>,
    ) -> Option<Result<MedicalRecord>> {
        let read = async {
            let (app, caller) = request(ctx)?;
            let look = ctx.look_ahead();
            // One decision and one row for both, where the content is asked for.
            let wanted = if CONTENT.iter().any(|field| look.field(field).exists()) {
                Wanted::Content
            } else {
                Wanted::Metadata
            };
            let inquiry = Inquiry {
                caller,
                record: RecordId(id),
                purpose: purpose.map(Into::into),
                wanted,
            };
            let disclosed = app.desk.ask(inquiry).await?;
            let (record, purpose) = (disclosed.record, disclosed.purpose);
            if let Some(sealed) = &disclosed.sealed {
                opened::keep(ctx, purpose, &[sealed]).await?;
            }
            Ok(MedicalRecord::new(record, purpose))
        };
        Some(read.await.map_err(|error: Error| error.into()))
    }

    /// The records you may see, newest first, each in its current version. A patient sees their own, a
    /// doctor those of patients who consented to SEARCH. Cursors go on where they were taken, however much is written meanwhile.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the field's, one by one"
    )]
    async fn medical_records(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only records of this patient.")] patient_id: Option<Uuid>,
        #[graphql(desc = "Only records of this type.")] record_type: Option<RecordType>,
        #[graphql(desc = "Only records of which all of this is true.")] filter: Option<
            RecordFilterInput,
        >,
        #[graphql(
            desc = "In which order.",
            default_with = "Some(RecordOrder::CreatedDesc)"
        )]
        order_by: Option<RecordOrder>,
        #[graphql(desc = "Why; by default PATRQT for your own, TREAT for a doctor.")]
        purpose: Option<PurposeOfUse>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor, of a list with the same filter and order.")]
        after: Option<Cursor>,
    ) -> Result<MedicalRecordConnection> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        // As for `first`: a variable that is left out comes as null.
        let order = Order::from(order_by.unwrap_or(RecordOrder::CreatedDesc));
        let criteria = Criteria::read(patient_id, record_type, filter.unwrap_or_default())?;
        let mark = criteria.mark(order);
        let search = list::Search {
            criteria,
            order,
            purpose: purpose.map(Into::into),
            after: after.as_ref().map(|it| it.place(mark)).transpose()?,
            size,
            total: ctx.look_ahead().field("totalCount").exists(),
            with: list::With {
                people: asks_nodes_for(ctx, &["patient", "author"]),
                anchors: asks_nodes_for(ctx, &["anchor"]),
                content: asks_nodes_for(ctx, &CONTENT),
            },
        };
        let found = app.lists.ask(caller, search).await?;
        let loaders = loaders(ctx)?;
        loaders.keep_users(found.people).await;
        loaders.keep_anchors(found.anchors).await;
        let sealed: Vec<&StoredRecord> = found.sealed.iter().map(Arc::as_ref).collect();
        opened::keep(ctx, found.purpose, &sealed).await?;
        prepare(ctx, &found.records).await?;
        let of_purpose = |record| MedicalRecord::new(Arc::new(record), found.purpose);
        let records = found.records.into_iter().map(of_purpose).collect();
        let page = Connection::new(records, size, after.is_some(), |node: &MedicalRecord| {
            Cursor::of_place(mark, order.place(&node.record))
        });
        Ok(MedicalRecordConnection {
            edges: page.edges,
            nodes: page.nodes,
            page_info: page.page_info,
            total_count: found.total,
        })
    }

    /// Opens a record, hashes it and asks the registry, now. Shows no content.
    async fn verify_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] id: Uuid,
        #[graphql(desc = "Why; by default PATRQT for your own, TREAT for a doctor.")]
        purpose: Option<PurposeOfUse>,
    ) -> Result<RecordVerification> {
        let (app, caller) = request(ctx)?;
        let found = verify::verify(app, caller, RecordId(id), purpose.map(Into::into)).await?;
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

/// A new record.
#[derive(Debug, InputObject)]
pub(crate) struct CreateMedicalRecordInput {
    /// Whose.
    patient_id: Uuid,
    /// The kind of document.
    record_type: RecordType,
    /// A FHIR R4 resource fit for the record type. Send it as a variable.
    document: Document,
    /// What may be searched in clear: listed keys only, no free text.
    metadata: Option<Document>,
    /// Why; by default PATRQT for your own, TREAT for a doctor.
    purpose: Option<PurposeOfUse>,
    /// The same key gives the same record: send one, and a retry is harmless.
    idempotency_key: Option<String>,
}

/// The new record.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateMedicalRecordPayload {
    /// The record. Its anchor begins as PENDING and may have moved on already.
    record: MedicalRecord,
}

#[derive(Default)]
pub(crate) struct RecordMutation;

#[Object]
impl RecordMutation {
    /// Stores a new medical record and queues its anchor on the chain. Answers once the record is
    /// durable; follow the anchor with `integrityEvents`.
    async fn create_medical_record(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new record.")] input: CreateMedicalRecordInput,
    ) -> Result<CreateMedicalRecordPayload> {
        let (app, caller) = request(ctx)?;
        let submission = create::Submission {
            patient: UserId(input.patient_id),
            record_type: input.record_type.into(),
            document: input.document.into_json(),
            metadata: input.metadata.map(Into::into),
            purpose: input.purpose.map(Into::into),
            idempotency_key: input.idempotency_key,
        };
        let stored = create::create(app, &caller, submission).await?;
        Ok(CreateMedicalRecordPayload {
            record: MedicalRecord::stored(ctx, stored).await?,
        })
    }
}
