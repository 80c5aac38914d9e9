//! The audit trail in the schema.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result};
use chrono::{DateTime, Utc};
use domain::{ids::UserId, purpose::Purpose};
use store::audit::{AuditFilter, AuditRow};
use uuid::Uuid;

use super::{read, sentence};
use crate::{
    error::Error,
    graphql::{asks_nodes_for, document::Document, loaders, request},
    page::{self, Connection, Cursor},
    users::graphql::User,
};

/// One row of the audit trail. Nobody can change or remove it.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog(Arc<AuditRow>);

impl AuditLog {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_number(self.0.id)
    }
}

/// One row of the audit trail. Nobody can change or remove it.
#[Object]
impl AuditLog {
    /// Its number.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// When it happened.
    async fn event_time(&self) -> DateTime<Utc> {
        self.0.event_time
    }

    /// Who did it.
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.0.user).await?)
    }

    /// What was done.
    async fn action_type(&self) -> &str {
        &self.0.action_type
    }

    /// To what kind of thing.
    async fn resource_type(&self) -> &str {
        &self.0.resource_type
    }

    /// To which one; the request's id where there is none.
    async fn resource_id(&self) -> Uuid {
        self.0.resource_id
    }

    /// What was before. Never health data.
    async fn old_value(&self) -> Option<Document> {
        self.0.old_value.clone().map(Into::into)
    }

    /// What is now, or why it was refused. Never health data.
    async fn new_value(&self) -> Option<Document> {
        self.0.new_value.clone().map(Into::into)
    }

    /// From where.
    async fn ip_address(&self) -> &str {
        &self.0.ip_address
    }

    /// With what.
    async fn user_agent(&self) -> Option<&str> {
        self.0.user_agent.as_deref()
    }

    /// In which request: the `X-Request-Id` of its answer.
    async fn request_id(&self) -> Uuid {
        self.0.request_id
    }

    /// Why: a code of PurposeOfUse.
    async fn purpose(&self) -> &str {
        &self.0.purpose
    }

    /// The consent that decided, for or against.
    async fn consent_reference(&self) -> Option<Uuid> {
        self.0.consent_reference
    }

    /// How long the row is kept, as ISO 8601 writes it.
    async fn retention_period(&self) -> String {
        format!("P{}D", self.0.retention_days)
    }

    /// How sensitive what was touched is.
    async fn data_classification(&self) -> &str {
        &self.0.data_classification
    }

    /// Whether data left the home country.
    async fn is_cross_border(&self) -> bool {
        self.0.is_cross_border
    }

    /// Where it went, ISO 3166-1 alpha-2.
    async fn destination_country(&self) -> Option<&str> {
        self.0.destination_country.as_deref()
    }

    /// In what form data was touched.
    async fn encryption_status(&self) -> &str {
        &self.0.encryption_status
    }

    /// When the row was written.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

/// Something that happened to your data.
#[derive(Debug, Clone)]
pub(crate) struct AccessLogEntry {
    row: Arc<AuditRow>,
    reader: UserId,
}

impl AccessLogEntry {
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor::of_number(self.row.id)
    }
}

/// Something that happened to your data.
#[Object]
impl AccessLogEntry {
    /// Its number.
    async fn id(&self) -> ID {
        self.row.id.into()
    }

    /// When.
    async fn at(&self) -> DateTime<Utc> {
        self.row.event_time
    }

    /// Who.
    async fn who(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::load(ctx, self.row.user).await?)
    }

    /// What was done.
    async fn action(&self) -> &str {
        &self.row.action_type
    }

    /// To which record.
    async fn record_id(&self) -> Option<Uuid> {
        (self.row.resource_type == "MEDICAL_RECORD" && self.row.resource_id != self.row.request_id)
            .then_some(self.row.resource_id)
    }

    /// Why: a code of PurposeOfUse.
    async fn purpose(&self) -> &str {
        &self.row.purpose
    }

    /// Whether it was allowed.
    async fn allowed(&self) -> bool {
        self.row.action_type != "ACCESS_DENIED"
    }

    /// Whether somebody broke the glass.
    async fn emergency(&self) -> bool {
        self.row.action_type != "ACCESS_DENIED"
            && self.row.consent_reference.is_none()
            && [Purpose::BreakGlass, Purpose::EmergencyTreatment]
                .iter()
                .any(|p| p.as_str() == self.row.purpose)
    }

    /// The consent that decided, for or against.
    async fn consent_id(&self) -> Option<Uuid> {
        self.row.consent_reference
    }

    /// All of it as a sentence.
    async fn sentence(&self, ctx: &Context<'_>) -> Result<String> {
        let who = loaders(ctx)?.user(self.row.user).await?;
        Ok(sentence::of(&self.row, who.as_deref(), self.reader))
    }
}

#[derive(Default)]
pub(crate) struct AuditQuery;

#[Object]
impl AuditQuery {
    /// The audit trail, newest first. Needs the role ADMIN. Reading it is written down, too.
    async fn audit_logs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what this account did.")] user_id: Option<Uuid>,
        #[graphql(desc = "Only what was done to this.")] resource_id: Option<Uuid>,
        #[graphql(desc = "Only this action, such as RECORD_READ.")] action_type: Option<String>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<AuditLog>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let before = position(after.as_ref())?;
        let filter = AuditFilter {
            user: user_id.map(UserId),
            resource: resource_id,
            action: action_type,
            patient: None,
        };
        let rows = read::all(app, &caller, &filter, before, size).await?;
        prepare(ctx, &rows).await?;
        let rows = rows
            .into_iter()
            .map(|row| AuditLog(Arc::new(row)))
            .collect();
        Ok(Connection::new(
            rows,
            size,
            after.is_some(),
            AuditLog::cursor,
        ))
    }

    /// Who did what with your data, newest first, refused attempts too.
    async fn my_access_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many, 1 to 100.", default = 20)] first: Option<i32>,
        #[graphql(desc = "Go on after this cursor.")] after: Option<Cursor>,
    ) -> Result<Connection<AccessLogEntry>> {
        let (app, caller) = request(ctx)?;
        let size = page::size(first)?;
        let before = position(after.as_ref())?;
        let rows = read::own(app, &caller, before, size).await?;
        prepare(ctx, &rows).await?;
        let reader = caller.user;
        let rows = rows
            .into_iter()
            .map(|row| AccessLogEntry {
                row: Arc::new(row),
                reader,
            })
            .collect();
        Ok(Connection::new(
            rows,
            size,
            after.is_some(),
            AccessLogEntry::cursor,
        ))
    }
}

fn position(after: Option<&Cursor>) -> Result<i64, Error> {
    after.map_or(Ok(i64::MAX), Cursor::number)
}

async fn prepare(ctx: &Context<'_>, rows: &[AuditRow]) -> Result<(), Error> {
    if asks_nodes_for(ctx, &["user", "who", "sentence"]) {
        loaders(ctx)?
            .prepare_users(rows.iter().map(|row| row.user).collect())
            .await;
    }
    Ok(())
}
