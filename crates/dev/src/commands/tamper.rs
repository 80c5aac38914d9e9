//! The attacker of the demo: somebody with the database's highest rights and no key.

use dev::{Error, Result};
use sqlx::{Connection, PgConnection};

/// A superuser's connection to the product's database.
pub(crate) struct Tamper(PgConnection);

impl Tamper {
    pub(crate) async fn connect(superuser_url: &str) -> Result<Self> {
        let mut conn = PgConnection::connect(superuser_url).await?;
        // No trigger notices: a row that is put back is as it was, `updated_at` included.
        sqlx::raw_sql("SET session_replication_role = replica")
            .execute(&mut conn)
            .await?;
        Ok(Self(conn))
    }

    /// Overwrites the stored hash of one record, behind the back of both programs.
    #[expect(
        clippy::disallowed_methods,
        reason = "a checked statement would need crates/store, and this one is not the product's"
    )]
    pub(crate) async fn set_hash(&mut self, record: &str, hash: &str) -> Result<()> {
        let done = sqlx::query("UPDATE medical_records SET data_hash = $2 WHERE id = $1::uuid")
            .bind(record)
            .bind(hash)
            .execute(&mut self.0)
            .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(Error::Needs(format!(
            "there is no record {record} in the database"
        )))
    }
}
