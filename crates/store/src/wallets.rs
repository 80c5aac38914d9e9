//! Wallets: challenges that wait for a signature, and which wallet is, or was, whose.

use chrono::{DateTime, Utc};
use domain::{
    ids::{UserId, WalletId},
    wallets::{CHALLENGE_LIFETIME, ChallengePurpose, ProvenBy, Wallet},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    StoreError, Tx,
    keyset::{KeysetPage, either_way},
    rows,
};

/// Asks for wallets, as [`WalletRow`] holds them; `$which` says for which.
macro_rules! wallet_rows {
    ($which:tt $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            WalletRow,
            "SELECT id, user_id, address, chain_id, proven_by, linked_at, unlinked_at
             FROM wallets " + $which
            $(, $argument)*
        )
    };
}

/// How many challenges that are over one new one takes away, so that the table stays short without a
/// job: a flood brings its own broom.
const SWEPT_BY_ONE: i64 = 10;

/// A challenge by what names it: all of it must be right for it to be the one.
#[derive(Debug, Clone, Copy)]
pub struct ChallengeKey<'a> {
    /// The SHA-256 of its nonce, 64 hex digits.
    pub nonce_hash: &'a str,
    /// What it is good for.
    pub purpose: ChallengePurpose,
    /// Who is to sign, as EIP-55 writes it.
    pub address: &'a str,
    /// Who asked for it, where somebody was logged in.
    pub user: Option<UserId>,
}

/// Remembers a challenge; answers when it was made, by the database's clock. It is over after
/// [`CHALLENGE_LIFETIME`].
///
/// # Errors
/// [`StoreError`].
pub async fn insert_challenge(
    conn: &mut PgConnection,
    challenge: ChallengeKey<'_>,
) -> Result<DateTime<Utc>, StoreError> {
    Ok(sqlx::query_scalar!(
        "WITH swept AS (
             DELETE FROM wallet_challenges
             WHERE nonce_hash IN (
                 SELECT nonce_hash
                 FROM wallet_challenges
                 WHERE expires_at < CURRENT_TIMESTAMP
                 ORDER BY expires_at, nonce_hash
                 LIMIT $6
                 FOR UPDATE SKIP LOCKED
             )
         )
         INSERT INTO wallet_challenges (nonce_hash, purpose, address, user_id, expires_at)
         VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP + make_interval(secs => $5))
         RETURNING created_at",
        challenge.nonce_hash,
        challenge.purpose.as_str(),
        challenge.address,
        challenge.user.map(|user| user.0),
        CHALLENGE_LIFETIME.as_seconds_f64(),
        SWEPT_BY_ONE,
    )
    .fetch_one(conn)
    .await?)
}

/// Whether this challenge waits for its signature.
///
/// # Errors
/// [`StoreError`].
pub async fn challenge_waits(
    conn: &mut PgConnection,
    challenge: ChallengeKey<'_>,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT 1
             FROM wallet_challenges
             WHERE nonce_hash = $1
               AND purpose = $2
               AND address = $3
               AND user_id IS NOT DISTINCT FROM $4
               AND expires_at > CURRENT_TIMESTAMP
         ) AS "waits!""#,
        challenge.nonce_hash,
        challenge.purpose.as_str(),
        challenge.address,
        challenge.user.map(|user| user.0),
    )
    .fetch_one(conn)
    .await?)
}

/// Takes a challenge away, answered or failed: nobody answers it twice. False where it did not wait.
///
/// # Errors
/// [`StoreError`].
pub async fn take_challenge(
    conn: &mut PgConnection,
    challenge: ChallengeKey<'_>,
) -> Result<bool, StoreError> {
    let taken = sqlx::query!(
        "DELETE FROM wallet_challenges
         WHERE nonce_hash = $1
           AND purpose = $2
           AND address = $3
           AND user_id IS NOT DISTINCT FROM $4
           AND expires_at > CURRENT_TIMESTAMP",
        challenge.nonce_hash,
        challenge.purpose.as_str(),
        challenge.address,
        challenge.user.map(|user| user.0),
    )
    .execute(conn)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Why a wallet could not be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is linked to another account.
    #[error("this wallet is linked to another account")]
    Taken,
    /// This account has one.
    #[error("another wallet is linked to this account; unlink it first")]
    HasOne,
    /// The database gave no answer.
    #[error("the database could not answer")]
    Store(#[source] StoreError),
}

/// A wallet to be linked.
#[derive(Debug)]
pub struct NewWallet<'a> {
    /// Its id.
    pub id: WalletId,
    /// Whose.
    pub user: UserId,
    /// Its address, as EIP-55 writes it.
    pub address: &'a str,
    /// On which chain.
    pub chain_id: i64,
    /// How it proved itself.
    pub proven_by: ProvenBy,
}

/// Links a wallet: its row. `users.blockchain_address` is the account's to say.
///
/// # Errors
/// [`LinkError`]; an address counts as taken whatever its capitals.
pub async fn link(tx: &mut Tx<'_>, wallet: &NewWallet<'_>) -> Result<Wallet, LinkError> {
    let linked = sqlx::query_scalar!(
        "INSERT INTO wallets (id, user_id, address, chain_id, proven_by)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING linked_at",
        wallet.id.0,
        wallet.user.0,
        wallet.address,
        wallet.chain_id,
        wallet.proven_by.as_str(),
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(link_error)?;
    Ok(Wallet {
        id: wallet.id,
        user: wallet.user,
        address: wallet.address.to_owned(),
        chain_id: wallet.chain_id,
        proven_by: wallet.proven_by,
        linked_at: linked,
        unlinked_at: None,
    })
}

fn link_error(error: sqlx::Error) -> LinkError {
    StoreError::from(error).into()
}

impl From<StoreError> for LinkError {
    fn from(error: StoreError) -> Self {
        meaning(error)
    }
}

fn meaning(error: StoreError) -> LinkError {
    match error.constraint() {
        Some(
            "wallets_linked_address_key"
            | "users_blockchain_address_key"
            | "users_blockchain_address_folded_key",
        ) => LinkError::Taken,
        Some("wallets_linked_user_key") => LinkError::HasOne,
        _ => LinkError::Store(error),
    }
}

/// Unlinks the wallet of this account; `None` where there is none.
///
/// # Errors
/// [`StoreError`].
pub async fn unlink(tx: &mut Tx<'_>, user: UserId) -> Result<Option<Wallet>, StoreError> {
    let row = sqlx::query_as!(
        WalletRow,
        "UPDATE wallets
         SET unlinked_at = CURRENT_TIMESTAMP
         WHERE user_id = $1
           AND unlinked_at IS NULL
         RETURNING id, user_id, address, chain_id, proven_by, linked_at, unlinked_at",
        user.0,
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Wallet::try_from).transpose()
}

/// Whose account names the wallet at this address, whatever its capitals; `None` for nobody's. It stays so until
/// the transaction ends. Served by `users_blockchain_address_folded_key`.
///
/// # Errors
/// [`StoreError`].
pub async fn owner(conn: &mut PgConnection, address: &str) -> Result<Option<UserId>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT id
         FROM users
         WHERE lower(blockchain_address) = lower($1)
           AND NOT is_system
         FOR SHARE",
        address,
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(UserId))
}

struct WalletRow {
    id: Uuid,
    user_id: Uuid,
    address: String,
    chain_id: i64,
    proven_by: String,
    linked_at: DateTime<Utc>,
    unlinked_at: Option<DateTime<Utc>>,
}

impl TryFrom<WalletRow> for Wallet {
    type Error = StoreError;
    fn try_from(row: WalletRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: WalletId(row.id),
            user: UserId(row.user_id),
            address: row.address,
            chain_id: row.chain_id,
            proven_by: rows::text(&row.proven_by, "proof of a wallet")?,
            linked_at: row.linked_at,
            unlinked_at: row.unlinked_at,
        })
    }
}

/// Where a page of wallets goes on: after the one linked then, with that id.
pub type WalletCursor = (DateTime<Utc>, WalletId);

/// The wallets that are, or were, this account's, the newest link first. Served by
/// `idx_wallets_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn page(
    conn: &mut PgConnection,
    user: UserId,
    asked: KeysetPage<WalletCursor>,
) -> Result<Vec<Wallet>, StoreError> {
    let found = either_way!(
        conn,
        asked.backward,
        wallet_rows!(
            "WHERE user_id = $1
               AND ($2::timestamptz IS NULL OR (linked_at, id) < ($2, $3::uuid))
             ORDER BY linked_at DESC, id DESC
             LIMIT $4",
            "WHERE user_id = $1
               AND ($2::timestamptz IS NULL OR (linked_at, id) > ($2, $3::uuid))
             ORDER BY linked_at, id
             LIMIT $4",
            user.0,
            asked.from.map(|(at, _)| at),
            asked.from.map(|(_, id)| id.0),
            asked.limit,
        )
    );
    found.into_iter().map(Wallet::try_from).collect()
}

/// How many wallets are, or were, this account's. Served by `idx_wallets_user_page`.
///
/// # Errors
/// [`StoreError`].
pub async fn count(conn: &mut PgConnection, user: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM wallets WHERE user_id = $1"#,
        user.0,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// These wallets, as far as they are, or were, this account's.
///
/// # Errors
/// [`StoreError`].
pub async fn own_by_ids(
    conn: &mut PgConnection,
    user: UserId,
    ids: &[Uuid],
) -> Result<Vec<Wallet>, StoreError> {
    let found = sqlx::query_as!(
        WalletRow,
        "SELECT id, user_id, address, chain_id, proven_by, linked_at, unlinked_at
         FROM wallets
         WHERE id = ANY($2)
           AND user_id = $1
         ORDER BY id",
        user.0,
        ids,
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(Wallet::try_from).collect()
}
