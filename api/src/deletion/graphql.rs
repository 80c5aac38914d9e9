//! Requests to erase or restrict, as the schema has them.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{consents::Category, ids::DeletionRequestId};
use serde_json::Value;
use store::deletion::DeletionRequest;
use uuid::Uuid;

use super::requests;
use crate::{
    cursor::{Cursor, ListCursors},
    graphql::{
        enums::{DataCategory, DeletionRequestType},
        loaders, request,
    },
    page::{self, Connection, Node},
    users::graphql::User,
};

/// A person's request to have data erased or restricted, and its status.
#[derive(Debug, Clone)]
pub(crate) struct DataDeletionRequest(Arc<DeletionRequest>);

impl Node for DataDeletionRequest {
    const EDGE: &'static str = "DataDeletionRequestEdge";
    const CONNECTION: &'static str = "DataDeletionRequestConnection";
}

impl DataDeletionRequest {
    fn page_key(&self) -> (DateTime<Utc>, Uuid) {
        (self.0.requested_at, self.0.id.0)
    }
}

/// A person's request to have data erased or restricted, and its status.
#[Object]
impl DataDeletionRequest {
    /// The ID of the request.
    async fn id(&self) -> Uuid {
        self.0.id.0
    }

    /// The person whose data the request is about. They made it themselves.
    async fn subject(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// What is to be done with the data.
    async fn request_type(&self) -> DeletionRequestType {
        self.0.request_type.into()
    }

    /// The status of the request. It is `pending` until the person's identity has been verified;
    /// nothing carries requests out yet.
    async fn status(&self) -> &str {
        self.0.status.as_str()
    }

    /// The categories of records that the request is about.
    async fn data_categories(&self) -> Vec<DataCategory> {
        self.0
            .categories
            .iter()
            .map(|category| (*category).into())
            .collect()
    }

    /// The time at which the request was made.
    async fn requested_at(&self) -> DateTime<Utc> {
        self.0.requested_at
    }

    /// The time at which the request was carried out; null while it was not.
    async fn completed_at(&self) -> Option<DateTime<Utc>> {
        self.0.completed_at
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
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<Connection<DataDeletionRequest>> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(
            &app.index_key,
            "dataDeletionRequests",
            caller.user,
            &Value::Null,
        );
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let from = from.map(|(at, id)| (at, DeletionRequestId(id)));
        let found = requests::list(&app.pool, &caller, from, size).await?;
        let subjects = found.iter().map(|request| request.user).collect();
        loaders(ctx)?.prepare_users(subjects).await;
        let found = found
            .into_iter()
            .map(|r| DataDeletionRequest(Arc::new(r)))
            .collect();
        let page = Connection::new(found, size, after.is_some(), |it: &DataDeletionRequest| {
            cursors.at(&it.page_key())
        });
        Ok(page)
    }
}

/// What is to be erased or restricted.
#[derive(Debug, InputObject)]
pub(crate) struct RequestDataDeletionInput {
    /// What is to be done with the data.
    request_type: DeletionRequestType,
    /// The categories of records that the request is about; at least one.
    data_categories: Vec<DataCategory>,
}

/// The result of `requestDataDeletion`: the stored request.
#[derive(Debug, SimpleObject)]
pub(crate) struct RequestDataDeletionPayload {
    /// The request, with the status `pending`.
    request: DataDeletionRequest,
}

#[derive(Default)]
pub(crate) struct DeletionMutation;

#[Object]
impl DeletionMutation {
    /// Stores a request to have the caller's data erased or restricted. It is stored and listed;
    /// nothing carries it out yet. A request that is open and asks for the same is answered instead of a
    /// second one; at most 10 can be open.
    ///
    /// Error codes: `BAD_USER_INPUT` (`dataCategories`), `LIMIT_REACHED`.
    async fn request_data_deletion(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to be erased or restricted.")] input: RequestDataDeletionInput,
    ) -> Result<RequestDataDeletionPayload> {
        let (app, caller) = request(ctx)?;
        let categories: Vec<Category> = input.data_categories.into_iter().map(Into::into).collect();
        let request =
            requests::record(&app.pool, &caller, input.request_type.into(), categories).await?;
        Ok(RequestDataDeletionPayload {
            request: DataDeletionRequest(Arc::new(request)),
        })
    }
}
