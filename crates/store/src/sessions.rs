//! Log-ins.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use domain::ids::{SessionId, UserId};
use sqlx::PgConnection;

use crate::StoreError;

/// A log-in to be remembered.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// Its id: the `sid` of its access tokens.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// The SHA-256 of the refresh token, 64 hex digits.
    pub refresh_token_hash: &'a str,
    /// When it is over.
    pub expires_at: DateTime<Utc>,
    /// From where.
    pub address: IpAddr,
    /// With what.
    pub user_agent: Option<&'a str>,
}

/// Remembers a log-in. It begins a family of its own.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(conn: &mut PgConnection, session: &NewSession<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO sessions (
             id, user_id, refresh_token, expires_at, family_id, ip_address, user_agent
         )
         VALUES ($1, $2, $3, $4, $1, $5::text::inet, $6)",
        session.id.0,
        session.user.0,
        session.refresh_token_hash,
        session.expires_at,
        session.address.to_string(),
        session.user_agent,
    )
    .execute(conn)
    .await?;
    Ok(())
}
