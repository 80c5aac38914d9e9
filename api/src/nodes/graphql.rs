//! `node` and `nodes` in the schema: which types they give, and where each of them is found.

use std::collections::HashMap;

use async_graphql::{Context, ID, Interface, Object, Result};
use uuid::Uuid;

use crate::{
    audit::graphql::{self as audit, AuditLog},
    consents::graphql::{self as consents, Consent},
    deletion::graphql::{self as deletion, DataDeletionRequest},
    error::Error,
    facts::distinct,
    graphql::{
        enums::PurposeOfUse,
        global_id::{GlobalId, NodeKind},
        request,
    },
    notifications::graphql::{self as notifications, Notification},
    organizations::{graphql as organizations, shown::Organization},
    page::MAX_SIZE,
    records::graphql::{self as records, MedicalRecord},
    sessions::graphql::{self as sessions, Session},
    users::graphql::{self as users, User},
    wallets::graphql::{self as wallets, Wallet},
};

/// An object with an ID of its own among those of all types, so that a client can keep it and ask for it again.
#[derive(Debug, Clone, Interface)]
#[graphql(
    name = "Node",
    field(
        name = "node_id",
        ty = "ID",
        desc = "The global ID of the object: pass it to `node` or `nodes` to read the same object again."
    )
)]
pub(crate) enum AnyNode {
    /// An account.
    User(User),
    /// A version of a record.
    MedicalRecord(MedicalRecord),
    /// A consent.
    Consent(Consent),
    /// An organisation.
    Organization(Organization),
    /// A request to erase or restrict.
    DataDeletionRequest(DataDeletionRequest),
    /// A notification.
    Notification(Notification),
    /// A row of the audit trail.
    AuditLog(AuditLog),
    /// A link of a wallet.
    Wallet(Wallet),
    /// A log-in.
    Session(Session),
}

/// For what, and for whom, objects are asked for.
#[derive(Debug, Clone, Copy)]
struct AskedFor {
    purpose: Option<PurposeOfUse>,
    on_behalf_of: Option<Uuid>,
}

/// What became of objects of one type.
type Outcomes = Vec<(Uuid, Result<AnyNode>)>;

/// What became of each of these, in their order.
async fn find(ctx: &Context<'_>, ids: &[ID], asked_for: AskedFor) -> Result<Vec<Result<AnyNode>>> {
    // Who is nobody is told so, whatever they ask for.
    request(ctx)?;
    let read: Vec<Option<GlobalId>> = ids.iter().map(GlobalId::read).collect();
    let mut found: HashMap<GlobalId, Result<AnyNode>> = HashMap::new();
    // One type after the other: a field holds no more than one connection.
    for kind in NodeKind::ALL {
        let of_it = read.iter().flatten().filter(|it| it.kind == kind);
        let wanted = distinct(of_it.map(|it| it.id));
        if wanted.is_empty() {
            continue;
        }
        match Box::pin(of_kind(ctx, kind, &wanted, asked_for)).await {
            Ok(outcomes) => found.extend(
                outcomes
                    .into_iter()
                    .map(|(id, outcome)| (GlobalId::of(kind, id), outcome)),
            ),
            Err(error) => {
                let error = async_graphql::Error::from(error);
                let failed = wanted.into_iter();
                found.extend(failed.map(|id| (GlobalId::of(kind, id), Err(error.clone()))));
            }
        }
    }
    let outcome = |id: Option<GlobalId>| {
        let known = id.and_then(|id| found.get(&id).cloned());
        known.unwrap_or_else(|| Err(Error::NotFound("node").into()))
    };
    Ok(read.into_iter().map(outcome).collect())
}

/// Finds those of one type together. What is left out is not there, or not the caller's to see.
async fn of_kind(
    ctx: &Context<'_>,
    kind: NodeKind,
    ids: &[Uuid],
    AskedFor {
        purpose,
        on_behalf_of,
    }: AskedFor,
) -> Result<Outcomes, Error> {
    Ok(match kind {
        NodeKind::MedicalRecord => {
            let found = records::by_ids(ctx, ids, purpose, on_behalf_of).await;
            let found = found.into_iter();
            let node = |(id, it): (Uuid, Result<MedicalRecord, Error>)| {
                (id, it.map(AnyNode::from).map_err(Into::into))
            };
            found.map(node).collect()
        }
        NodeKind::Consent => shown(consents::by_ids(ctx, ids, on_behalf_of).await?),
        NodeKind::User => shown(users::by_ids(ctx, ids).await?),
        NodeKind::Organization => shown(organizations::by_ids(ctx, ids).await?),
        NodeKind::DataDeletionRequest => shown(deletion::by_ids(ctx, ids).await?),
        NodeKind::Notification => shown(notifications::by_ids(ctx, ids).await?),
        NodeKind::AuditLog => shown(audit::by_ids(ctx, ids).await?),
        NodeKind::Wallet => shown(wallets::by_ids(ctx, ids).await?),
        NodeKind::Session => shown(sessions::by_ids(ctx, ids).await?),
    })
}

fn shown<T: Into<AnyNode>>(found: Vec<(Uuid, T)>) -> Outcomes {
    let found = found.into_iter();
    found.map(|(id, it)| (id, Ok(it.into()))).collect()
}

#[derive(Default)]
pub(crate) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this global ID. Null with the error `NOT_FOUND` where there is none or the caller may not see it; the two
    /// cannot be told apart. It is decided and recorded in the audit trail as where the object is asked for by itself
    /// (`medicalRecord`, `me`), or as the list that shows it. The purpose of access to a record is the header's
    /// (`X-Purpose-Of-Use`), else PATRQT for one's own records and TREAT for a doctor.
    async fn node(
        &self,
        ctx: &Context<'_>,
        // Relay takes a field that has this argument and no other.
        #[graphql(desc = "The `nodeId` of an object, of whatever type.")] id: ID,
    ) -> Option<Result<AnyNode>> {
        let by_header = AskedFor {
            purpose: None,
            on_behalf_of: None,
        };
        match Box::pin(find(ctx, &[id], by_header)).await {
            Ok(mut found) => found.pop(),
            Err(error) => Some(Err(error)),
        }
    }

    /// The objects with these global IDs, in the order of the IDs, each as `node` returns it: null for an object that does not
    /// exist, with the error `NOT_FOUND` at its position. Objects of one type are read together.
    ///
    /// Error codes: `BAD_USER_INPUT` (`ids`).
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `nodeId`s of objects, at most 100.")] ids: Vec<ID>,
        #[graphql(
            desc = "The purpose of use that access to records is decided for; by default the header `X-Purpose-Of-Use`, else PATRQT for one's own records and TREAT for a doctor."
        )]
        purpose: Option<PurposeOfUse>,
        #[graphql(
            desc = "The ID of the patient whose records or consents a representative asks for; null for oneself."
        )]
        on_behalf_of: Option<Uuid>,
    ) -> Result<Vec<Option<Result<AnyNode>>>> {
        let most = usize::try_from(MAX_SIZE).unwrap_or(0);
        if ids.len() > most {
            let told = format!("at most {most} objects are asked for at a time");
            return Err(Error::bad("ids", told).into());
        }
        let asked_for = AskedFor {
            purpose,
            on_behalf_of,
        };
        let found = Box::pin(find(ctx, &ids, asked_for)).await?;
        Ok(found.into_iter().map(Some).collect())
    }
}
