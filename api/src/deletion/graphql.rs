//! Requests to erase or restrict, as the schema has them.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    consents::Category,
    deletion::{Approval, Coverage, DeletionRequest, ScopeOfType},
    ids::{DeletionRequestId, LegalHoldId, RecordId, UserId},
    records::Reason,
};
use serde_json::{Value, json};
use store::deletion::execution::StoredCertificate;
use uuid::Uuid;

use super::{
    cancel, certificate, claim,
    holds::{self, NewHold, Release},
    reasons::Explained,
    requests,
    review::{self, Review},
    verify::{self, SubjectProof},
    wallet,
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::Error,
    graphql::{
        app, asks_nodes_for, context,
        document::Document,
        enums::{
            DataCategory, DeletionDecision, DeletionRequestType, DeletionStatus,
            DeletionVerificationMethod, RecordType,
        },
        global_id::{GlobalId, NodeKind},
        loaders,
        payload::Payload,
        request,
        scalars::{Address, Time},
    },
    page::{Connection, Node, PageArguments},
    records::graphql::{MedicalRecord, page_of_records},
    second_factor::check::Code,
    users::graphql::User,
};

/// A person's request to have data erased or restricted, and its status.
#[derive(Debug, Clone)]
pub(crate) struct DataDeletionRequest(Arc<Explained<DeletionRequest>>);

impl Node for DataDeletionRequest {
    const EDGE: &'static str = "DataDeletionRequestEdge";
    const CONNECTION: &'static str = "DataDeletionRequestConnection";
}

impl DataDeletionRequest {
    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.row.requested_at, self.0.row.id.0)
    }
}

/// A person's request to have data erased or restricted, and its status.
#[Object]
impl DataDeletionRequest {
    /// The global ID of the request: `node` gives the same object again.
    pub(crate) async fn node_id(&self) -> ID {
        GlobalId::of(NodeKind::DataDeletionRequest, self.0.row.id.0).into()
    }

    /// The ID of the request.
    async fn id(&self) -> Uuid {
        self.0.row.id.0
    }

    /// The person whose data the request is about. They made it themselves.
    async fn subject(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.row.user).await?)
    }

    /// What is to be done with the data.
    async fn request_type(&self) -> DeletionRequestType {
        self.0.row.request_type.into()
    }

    /// The status of the request. It is `PENDING` until the person has verified it
    /// (`verifyDeletionRequest`), `UNDER_REVIEW` until administrators have decided, and `ON_HOLD` while a
    /// legal hold covers some of it.
    async fn status(&self) -> DeletionStatus {
        self.0.row.status.into()
    }

    /// The categories of records that the request is about.
    async fn data_categories(&self) -> Vec<DataCategory> {
        categories_of(&self.0.row.asked)
    }

    /// The IDs of the single records that the request names, each version of a record by its own ID.
    async fn record_ids(&self) -> Vec<Uuid> {
        records_of(&self.0.row.asked)
    }

    /// The records that the request is about, in numbers, as they were when it was verified or decided;
    /// empty before that.
    async fn scope(&self) -> Vec<DeletionScope> {
        let scope = self.0.row.scope.iter();
        scope.map(|it| DeletionScope(it.clone())).collect()
    }

    /// The categories of records that administrators approved; empty while they approved nothing.
    async fn approved_categories(&self) -> Vec<DataCategory> {
        categories_of(&self.0.row.approved)
    }

    /// The IDs of the single records that administrators approved.
    async fn approved_record_ids(&self) -> Vec<Uuid> {
        records_of(&self.0.row.approved)
    }

    /// Whether records are erased although they are still to be kept.
    async fn overrides_retention(&self) -> bool {
        self.0.row.overrides_retention
    }

    /// The reason of the last decision of an administrator; null while there is none.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The ID of the administrator who approved the request first; null while nobody did.
    async fn first_approval_by(&self) -> Option<Uuid> {
        self.0.row.first_approval.map(|it| it.by.0)
    }

    /// The administrator who approved the request first; null while nobody did.
    async fn first_approver(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(administrator(ctx, self.0.row.first_approval).await?)
    }

    /// The ID of the second administrator who approved it, where an account is to be erased.
    async fn second_approval_by(&self) -> Option<Uuid> {
        self.0.row.second_approval.map(|it| it.by.0)
    }

    /// The second administrator who approved it, where an account is to be erased; null while nobody did.
    async fn second_approver(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(administrator(ctx, self.0.row.second_approval).await?)
    }

    /// By what the person verified the request; null before that.
    async fn verification_method(&self) -> Option<DeletionVerificationMethod> {
        self.0.row.verified_at?;
        Some(self.0.row.verification_method.into())
    }

    /// The time at which the person verified the request; null before that.
    async fn verified_at(&self) -> Option<Time> {
        self.0.row.verified_at.map(Time)
    }

    /// The time from which on the request is carried out; null where nothing is to be erased yet.
    async fn scheduled_for(&self) -> Option<Time> {
        self.0.row.scheduled_for.map(Time)
    }

    /// The time at which the request was made.
    async fn requested_at(&self) -> Time {
        Time(self.0.row.requested_at)
    }

    /// The time at which the request was carried out; null while it was not.
    async fn completed_at(&self) -> Option<Time> {
        self.0.row.completed_at.map(Time)
    }
}

fn categories_of(covered: &Coverage) -> Vec<DataCategory> {
    let categories = covered.categories.iter();
    categories.map(|category| (*category).into()).collect()
}

fn records_of(covered: &Coverage) -> Vec<Uuid> {
    covered.records.iter().map(|id| id.0).collect()
}

/// How many records of one type a request is about.
#[derive(Debug, Clone)]
pub(crate) struct DeletionScope(ScopeOfType);

/// How many records of one type a request is about.
#[Object]
impl DeletionScope {
    /// The type of the records.
    async fn record_type(&self) -> RecordType {
        self.0.record_type.into()
    }

    /// The number of the records, each version counted.
    async fn records(&self) -> i64 {
        self.0.records
    }

    /// The number of those that are still to be kept.
    async fn within_retention(&self) -> i64 {
        self.0.within_retention
    }

    /// The time at which the last of them has been kept long enough.
    async fn kept_until(&self) -> Time {
        Time(self.0.kept_until)
    }
}

/// A legal hold: while it is in force, nothing that it covers is erased.
#[derive(Debug, Clone)]
pub(crate) struct LegalHold(Arc<Explained<domain::deletion::LegalHold>>);

impl Node for LegalHold {
    const EDGE: &'static str = "LegalHoldEdge";
    const CONNECTION: &'static str = "LegalHoldConnection";
}

impl LegalHold {
    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.row.placed.at, self.0.row.id.0)
    }
}

/// A legal hold: while it is in force, nothing that it covers is erased.
#[Object]
impl LegalHold {
    /// The ID of the hold.
    async fn id(&self) -> Uuid {
        self.0.row.id.0
    }

    /// The ID of the person whose data is kept.
    async fn patient_id(&self) -> Uuid {
        self.0.row.patient.0
    }

    /// The person whose data is kept.
    async fn patient(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.row.patient).await?)
    }

    /// The categories of records that are kept.
    async fn data_categories(&self) -> Vec<DataCategory> {
        categories_of(&self.0.row.covers)
    }

    /// The IDs of the single records that are kept, each version by its own ID.
    async fn record_ids(&self) -> Vec<Uuid> {
        records_of(&self.0.row.covers)
    }

    /// The records of `recordIds` that the caller may see, by their IDs, as `medicalRecord` shows them, decided and recorded in the
    /// audit trail as there. An administrator is shown their own alone, and nothing is recorded of the others.
    ///
    /// Error codes: `BAD_USER_INPUT` (`first`, `after`, `last`, `before`).
    async fn records(
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
        let (app, caller) = request(ctx)?;
        let hold = json!(self.0.row.id);
        let cursors = ListCursors::of(&app.index_key, "holdRecords", caller.user, &hold);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let mut ids = self.0.row.covers.records.clone();
        ids.sort_unstable();
        // Boxed, as all that few holds need.
        Ok(Box::pin(page_of_records(ctx, &ids, &cursors, &asked)).await?)
    }

    /// The reason for the hold, for administrators alone; empty once the person's data was erased.
    async fn reason(&self) -> &str {
        self.0.reason.as_deref().unwrap_or_default()
    }

    /// The ID of the administrator who placed the hold.
    async fn placed_by(&self) -> Uuid {
        self.0.row.placed.by.0
    }

    /// The administrator who placed the hold.
    async fn placer(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.row.placed.by).await?)
    }

    /// The time at which the hold was placed.
    async fn placed_at(&self) -> Time {
        Time(self.0.row.placed.at)
    }

    /// The ID of the administrator who was the first to release it; null while nobody did.
    async fn release_proposed_by(&self) -> Option<Uuid> {
        self.0.row.release_proposed.map(|it| it.by.0)
    }

    /// The administrator who was the first to release it; null while nobody did.
    async fn release_proposer(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(administrator(ctx, self.0.row.release_proposed).await?)
    }

    /// The time at which a second administrator released it; null while it is in force.
    async fn released_at(&self) -> Option<Time> {
        self.0.row.released.map(|it| Time(it.at))
    }
}

#[derive(Default)]
pub(crate) struct DeletionQuery;

#[Object]
impl DeletionQuery {
    /// The caller's own requests for erasure or restriction, newest first; for administrators
    /// everybody's.
    async fn data_deletion_requests(
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
    ) -> Result<Connection<DataDeletionRequest>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(
            &app.index_key,
            "dataDeletionRequests",
            caller.user,
            &Value::Null,
        );
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, DeletionRequestId(id)));
        let found = requests::list(&app.pool, &app.seals, &caller, by_id).await?;
        let found = shown(ctx, found).await?;
        let page = Connection::of_range(found, &range, |it: &DataDeletionRequest| {
            cursors.at(&it.page_key())
        });
        Ok(page)
    }

    /// Everybody's requests with one status, oldest first: what administrators have to look at. Needs
    /// the role ADMIN (`FORBIDDEN` otherwise).
    async fn deletion_queue(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The status that the requests have.",
            default_with = "DeletionStatus::UnderReview"
        )]
        status: DeletionStatus,
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
    ) -> Result<Connection<DataDeletionRequest>> {
        let (app, caller) = request(ctx)?;
        let status: domain::deletion::DeletionStatus = status.into();
        let arguments = json!([status]);
        let cursors = ListCursors::of(&app.index_key, "deletionQueue", caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, DeletionRequestId(id)));
        let found = requests::queue(&app.pool, &app.seals, &caller, status, by_id).await?;
        let found = shown(ctx, found).await?;
        let page = Connection::of_range(found, &range, |it: &DataDeletionRequest| {
            cursors.at(&it.page_key())
        });
        Ok(page)
    }

    /// The certificate of a request that was carried out, for its subject and for administrators. Whose account was erased has it
    /// by `claimDeletionCertificate`.
    ///
    /// Error codes: `NOT_FOUND`.
    async fn deletion_certificate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the request that was carried out.")] id: Uuid,
    ) -> Result<DeletionCertificate> {
        let (app, caller) = request(ctx)?;
        let found = certificate::read(&app.pool, &caller, DeletionRequestId(id)).await?;
        Ok(DeletionCertificate::of(found)?)
    }

    /// Every legal hold, newest first, those that were released as well. Needs the role ADMIN
    /// (`FORBIDDEN` otherwise).
    async fn legal_holds(
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
    ) -> Result<Connection<LegalHold>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "legalHolds", caller.user, &Value::Null);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let by_id = range.by(|(at, id)| (at, LegalHoldId(id)));
        let found = holds::list(&app.pool, &app.seals, &caller, by_id).await?;
        prepare_people(ctx, &found).await?;
        let found = found.into_iter().map(|it| LegalHold(Arc::new(it)));
        let page = Connection::of_range(found.collect(), &range, |it: &LegalHold| {
            cursors.at(&it.page_key())
        });
        Ok(page)
    }
}

/// The administrator who took a step, if anybody did.
async fn administrator(ctx: &Context<'_>, step: Option<Approval>) -> Result<Option<User>, Error> {
    match step {
        Some(step) => Ok(Some(User::load(ctx, step.by).await?)),
        None => Ok(None),
    }
}

/// Fetches whom holds name, in one statement.
async fn prepare_people(
    ctx: &Context<'_>,
    holds: &[Explained<domain::deletion::LegalHold>],
) -> Result<(), Error> {
    if asks_nodes_for(ctx, &["patient", "placer", "releaseProposer"]) {
        let named = |hold: &Explained<domain::deletion::LegalHold>| {
            let proposer = hold.row.release_proposed.map(|it| it.by);
            [Some(hold.row.patient), Some(hold.row.placed.by), proposer]
        };
        let people = holds.iter().flat_map(named).flatten();
        loaders(ctx)?.prepare_users(people.collect()).await;
    }
    Ok(())
}

/// Requests, with the people whose they are and who approved them.
async fn shown(
    ctx: &Context<'_>,
    found: Vec<Explained<DeletionRequest>>,
) -> Result<Vec<DataDeletionRequest>, Error> {
    let named = |request: &Explained<DeletionRequest>| {
        let approvals = [request.row.first_approval, request.row.second_approval];
        let [first, second] = approvals.map(|approval| approval.map(|it| it.by));
        [Some(request.row.user), first, second]
    };
    let people = found.iter().flat_map(named).flatten();
    loaders(ctx)?.prepare_users(people.collect()).await;
    let found = found.into_iter();
    Ok(found.map(|it| DataDeletionRequest(Arc::new(it))).collect())
}

/// Those of these requests that are the caller's, or for administrators whosever they are.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, DataDeletionRequest)>, Error> {
    let (app, caller) = request(ctx)?;
    let found = requests::by_ids(&app.pool, &app.seals, &caller, ids).await?;
    let found = shown(ctx, found).await?.into_iter();
    Ok(found.map(|it| (it.0.row.id.0, it)).collect())
}

/// What is to be erased or restricted.
#[derive(Debug, InputObject)]
pub(crate) struct RequestDataDeletionInput {
    /// What is to be done with the data.
    request_type: DeletionRequestType,
    /// The categories of records that the request is about; none where single records are to be erased.
    data_categories: Option<Vec<DataCategory>>,
    /// The IDs of the caller's records that are to be erased or restricted, at most 100; each stands for all of
    /// its versions.
    record_ids: Option<Vec<Uuid>>,
}

/// The result of `requestDataDeletion`: the stored request.
#[derive(Debug, SimpleObject)]
pub(crate) struct RequestDataDeletionPayload {
    /// The request, with the status `PENDING`.
    request: DataDeletionRequest,
}

/// What was erased, in bytes that can be shown to anybody who asks.
#[derive(Debug, SimpleObject)]
pub(crate) struct DeletionCertificate {
    /// The JSON document of the certificate, exactly as it was hashed.
    document: String,
    /// The SHA-256 of the document, which the audit row `DELETION_COMPLETE` holds.
    sha256: String,
    /// The time at which the certificate was issued.
    issued_at: Time,
}

impl DeletionCertificate {
    fn of(stored: StoredCertificate) -> Result<Self, Error> {
        Ok(Self {
            document: String::from_utf8(stored.document).map_err(|_| Error::Internal)?,
            sha256: stored.sha256,
            issued_at: Time(stored.issued_at),
        })
    }
}

/// The code of the certificate that is asked for.
#[derive(InputObject)]
pub(crate) struct ClaimDeletionCertificateInput {
    /// The code that `verifyDeletionRequest` gave as `claimCode`.
    code: String,
}

/// The result of `claimDeletionCertificate`: what was erased.
#[derive(Debug, SimpleObject)]
pub(crate) struct ClaimDeletionCertificatePayload {
    /// The certificate of the erased account.
    certificate: DeletionCertificate,
}

/// Which request the caller's wallet is to sign.
#[derive(Debug, InputObject)]
pub(crate) struct DeletionChallengeInput {
    /// The ID of the request.
    id: Uuid,
}

/// The result of `deletionChallenge`: what the caller's wallet is to sign, to be handed to it as it is.
#[derive(Debug, SimpleObject)]
pub(crate) struct DeletionChallengePayload {
    /// The typed data (EIP-712), for the wallet's `eth_signTypedData_v4`. It names the request, its subject and type, the wallet,
    /// and as `scope` the SHA-256 of what is asked for: `{"dataCategories":[…],"recordIds":[…]}`, without white space.
    typed_data: Document,
    /// The wallet that is to sign: the one that is linked to the caller's account.
    wallet: Address,
    /// The last second in which the signature is taken, ten minutes from now.
    expires_at: Time,
}

/// What a request is verified with: the password, or the signature of the linked wallet.
#[derive(InputObject)]
pub(crate) struct VerifyDeletionRequestInput {
    /// The ID of the request.
    id: Uuid,
    /// The present password of the caller.
    current_password: Option<String>,
    /// The signature of the caller's linked wallet on what `deletionChallenge` gave: `0x` and hexadecimal digits.
    signature: Option<String>,
    /// A code of the second factor, or a recovery code, where the account has one.
    code: Option<String>,
}

/// The result of `verifyDeletionRequest`: the verified request.
#[derive(SimpleObject)]
pub(crate) struct VerifyDeletionRequestPayload {
    /// The request, `UNDER_REVIEW` or `ON_HOLD`, with its scope.
    request: DataDeletionRequest,
    /// Where an account is to be erased: the code by which its certificate is had once nobody can log in any more
    /// (`claimDeletionCertificate`), 43 letters, digits, `-` and `_`. Keep it: it is not stored, and nobody is shown it again. Null
    /// for other requests.
    claim_code: Option<String>,
}

/// What an administrator decides about a request.
#[derive(Debug, InputObject)]
pub(crate) struct ReviewDeletionInput {
    /// The ID of the request.
    id: Uuid,
    /// The decision of the administrator.
    decision: DeletionDecision,
    /// The reason for it, 10 to 500 characters; the person can read it.
    reason: String,
    /// The categories that are approved, where the decision is `APPROVE_PARTIALLY`.
    data_categories: Option<Vec<DataCategory>>,
    /// The IDs of the records that are approved, where the decision is `APPROVE_PARTIALLY`.
    record_ids: Option<Vec<Uuid>>,
    /// Whether records are erased although they are still to be kept.
    #[graphql(default)]
    override_retention: bool,
}

/// The result of `reviewDeletion`: the request as it stands then.
#[derive(Debug, SimpleObject)]
pub(crate) struct ReviewDeletionPayload {
    /// The request; it stays `UNDER_REVIEW` where a second administrator has to approve it.
    request: DataDeletionRequest,
}

/// What is to be kept, and why.
#[derive(Debug, InputObject)]
pub(crate) struct PlaceHoldInput {
    /// The ID of the person whose data is kept.
    patient_id: Uuid,
    /// The categories of records that are kept; all records where nothing is named.
    data_categories: Option<Vec<DataCategory>>,
    /// The IDs of single records that are kept, at most 100; each stands for all of its versions.
    record_ids: Option<Vec<Uuid>>,
    /// The reason for the hold, 10 to 500 characters, for administrators alone.
    reason: String,
}

/// The result of `placeHold`: the hold that is in force.
#[derive(Debug, SimpleObject)]
pub(crate) struct PlaceHoldPayload {
    /// The hold, in force from now on.
    hold: LegalHold,
}

/// Which legal hold is to be released.
#[derive(Debug, InputObject)]
pub(crate) struct ReleaseHoldInput {
    /// The ID of the hold.
    id: Uuid,
}

/// The result of `releaseHold`: the hold as it is then.
#[derive(Debug, SimpleObject)]
pub(crate) struct ReleaseHoldPayload {
    /// The hold that was to be released.
    hold: LegalHold,
    /// Whether the hold is over; else a second administrator has to release it, too.
    is_released: bool,
}

/// Which request is to be taken back.
#[derive(Debug, InputObject)]
pub(crate) struct CancelDeletionInput {
    /// The ID of the request.
    id: Uuid,
}

/// The result of `cancelDeletion`: the request that was taken back.
#[derive(Debug, SimpleObject)]
pub(crate) struct CancelDeletionPayload {
    /// The request, with the status `CANCELLED`.
    request: DataDeletionRequest,
}

#[derive(Default)]
pub(crate) struct DeletionMutation;

#[Object]
impl DeletionMutation {
    /// Stores a request to have the caller's data erased or restricted. The caller verifies it within 7 days
    /// (`verifyDeletionRequest`), then administrators decide about it. A request that is open and asks for the
    /// same is answered instead of a second one; at most 10 can be open.
    ///
    /// Error codes: `BAD_USER_INPUT` (`dataCategories`, `recordIds`), `LIMIT_REACHED`.
    async fn request_data_deletion(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be erased or restricted.")] input: RequestDataDeletionInput,
    ) -> Result<Payload<RequestDataDeletionPayload>> {
        let (app, caller) = request(ctx)?;
        let request = requests::record(
            &app.pool,
            &app.seals,
            &caller,
            input.request_type.into(),
            categories(input.data_categories),
            records(input.record_ids),
        )
        .await?;
        Ok(Payload(RequestDataDeletionPayload {
            request: DataDeletionRequest(Arc::new(request)),
        }))
    }

    /// Makes what the caller's linked wallet is to sign to verify a request of theirs. The signature goes to
    /// `verifyDeletionRequest` within ten minutes; what was made before for the same request is good no more.
    ///
    /// Error codes: `NOT_FOUND`, `CONFLICT` (`id`: not PENDING, not in time, or no wallet is linked), `THROTTLED`.
    async fn deletion_challenge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which request is to be signed.")] input: DeletionChallengeInput,
    ) -> Result<Payload<DeletionChallengePayload>> {
        let (app, caller) = request(ctx)?;
        let id = DeletionRequestId(input.id);
        let to_sign = wallet::challenge(app.wallet_messages(), &app.throttle, &caller, id).await?;
        Ok(Payload(DeletionChallengePayload {
            typed_data: to_sign.typed_data.into(),
            wallet: Address(to_sign.wallet.to_string()),
            expires_at: Time(to_sign.expires_at),
        }))
    }

    /// Verifies a request of the caller by their password or by the signature of their linked wallet, and by a code where
    /// they have a second factor. Its scope is computed, and administrators can decide. With the fifth wrong proof the
    /// request is `EXPIRED`. Where an account is to be erased, `claimCode` is told this once.
    ///
    /// Error codes: `NOT_FOUND`, `CONFLICT` (`id`: not PENDING, or not in time; no wallet is linked, nothing waits for its
    /// signature, or its ten minutes are over), `BAD_USER_INPUT` (`currentPassword`: neither of the two was given;
    /// `signature`: both were, or it is of something else or of another wallet), `WRONG_CREDENTIALS`,
    /// `SECOND_FACTOR_REQUIRED`, `THROTTLED`, `BUSY`, `UNAVAILABLE` where the wallet is a contract and the chain does not
    /// answer.
    async fn verify_deletion_request(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which request, and what proves who asks.")]
        input: VerifyDeletionRequestInput,
    ) -> Result<Payload<VerifyDeletionRequestPayload>> {
        let (app, caller) = request(ctx)?;
        let proof = SubjectProof::of(input.current_password, input.signature)?;
        let verified = verify::verify(
            app.credentials(),
            app.wallet_messages(),
            &caller,
            DeletionRequestId(input.id),
            &proof,
            &Code(input.code),
        )
        .await?;
        Ok(Payload(VerifyDeletionRequestPayload {
            request: DataDeletionRequest(Arc::new(verified.request)),
            claim_code: verified.claim_code.map(|code| code.reveal()),
        }))
    }

    /// Gives the certificate of an erased account to whoever has its claim code, as often as they ask. Needs no session. Reading it is
    /// recorded in the audit trail. Who tries codes has to wait.
    ///
    /// Error codes: `BAD_USER_INPUT` (`code`: it is none, or not known), `CONFLICT` (`code`: the request is not carried out, so
    /// that there is no certificate), `THROTTLED`.
    async fn claim_deletion_certificate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The code of the certificate.")] input: ClaimDeletionCertificateInput,
    ) -> Result<Payload<ClaimDeletionCertificatePayload>> {
        let (app, context) = (app(ctx)?, context(ctx)?);
        let found = claim::claim(&app.pool, &app.throttle, context, &input.code).await?;
        Ok(Payload(ClaimDeletionCertificatePayload {
            certificate: DeletionCertificate::of(found)?,
        }))
    }

    /// Decides about a request that is under review. Needs the role ADMIN; the erasure of an account is
    /// approved by two administrators. What is approved, only its subject reads from then on.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (one's own request, what the request is not
    /// about, `reason`, `overrideRetention`), `CONFLICT` (not under review, or approved by the caller before).
    async fn review_deletion(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which request, the decision and its reason.")] input: ReviewDeletionInput,
    ) -> Result<Payload<ReviewDeletionPayload>> {
        let (app, caller) = request(ctx)?;
        let review = Review {
            id: DeletionRequestId(input.id),
            decision: input.decision.into(),
            reason: Reason::parse(&input.reason).map_err(Error::from)?,
            categories: categories(input.data_categories),
            records: records(input.record_ids),
            overrides_retention: input.override_retention,
        };
        let decided =
            review::review(&app.pool, &app.seals, app.deletion_grace, &caller, review).await?;
        Ok(Payload(ReviewDeletionPayload {
            request: DataDeletionRequest(Arc::new(decided)),
        }))
    }

    /// Places a legal hold: nothing that it covers is erased while it is in force, and requests that it covers are
    /// `ON_HOLD`, also those that are being carried out. Needs the role ADMIN.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (one's own data, `recordIds`, `reason`), `CONFLICT`
    /// (`patientId`: the data was erased), `LIMIT_REACHED`.
    async fn place_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be kept, and why.")] input: PlaceHoldInput,
    ) -> Result<Payload<PlaceHoldPayload>> {
        let (app, caller) = request(ctx)?;
        let new = NewHold {
            patient: UserId(input.patient_id),
            categories: categories(input.data_categories),
            records: records(input.record_ids),
            reason: Reason::parse(&input.reason).map_err(Error::from)?,
        };
        let hold = holds::place(&app.pool, &app.seals, &caller, new).await?;
        Ok(Payload(PlaceHoldPayload {
            hold: LegalHold(Arc::new(hold)),
        }))
    }

    /// Releases a legal hold. Needs the role ADMIN; two administrators have to ask for it. Requests that no other hold
    /// covers go on where they stood.
    ///
    /// Error codes: `FORBIDDEN`, `NOT_FOUND`, `BAD_USER_INPUT` (one's own data), `CONFLICT` (released before, or
    /// by the same administrator).
    async fn release_hold(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which hold is to be released.")] input: ReleaseHoldInput,
    ) -> Result<Payload<ReleaseHoldPayload>> {
        let (app, caller) = request(ctx)?;
        let id = LegalHoldId(input.id);
        let released = holds::release(&app.pool, &app.seals, &caller, id).await?;
        let (hold, is_released) = match released {
            Release::Done(hold) => (hold, true),
            Release::Waits(hold) => (hold, false),
        };
        Ok(Payload(ReleaseHoldPayload {
            hold: LegalHold(Arc::new(hold)),
            is_released,
        }))
    }

    /// Takes a request of the caller back, as long as nothing of it is carried out, or lifts a restriction. Whoever may
    /// read by a consent reads again.
    ///
    /// Error codes: `NOT_FOUND`, `CONFLICT` (over, or being carried out).
    async fn cancel_deletion(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which request is to be taken back.")] input: CancelDeletionInput,
    ) -> Result<Payload<CancelDeletionPayload>> {
        let (app, caller) = request(ctx)?;
        let id = DeletionRequestId(input.id);
        let cancelled = cancel::cancel(&app.pool, &app.seals, &caller, id).await?;
        Ok(Payload(CancelDeletionPayload {
            request: DataDeletionRequest(Arc::new(cancelled)),
        }))
    }
}

fn categories(named: Option<Vec<DataCategory>>) -> Vec<Category> {
    named
        .unwrap_or_default()
        .into_iter()
        .map(Into::into)
        .collect()
}

fn records(named: Option<Vec<Uuid>>) -> Vec<RecordId> {
    named
        .unwrap_or_default()
        .into_iter()
        .map(RecordId)
        .collect()
}
