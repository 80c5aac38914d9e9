//! `meditrustal seal rows`: seals what an operator has changed by hand, or what was there before rows were
//! sealed, and says so in the audit trail. Whoever runs it says that these rows are right.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin},
    ids::{RequestId, UserId},
    purpose::Purpose,
    seals::{Authority, Sealed, SealedTable, Tampered},
    users::SCHEDULER,
};
use serde_json::{Value, json};
use store::{
    PgConnection, Pool, PoolSettings, StoreError, Tx, audit, deletion, legal_holds, memberships,
    migrate, organizations, receipts, representatives,
    seals::{self, Walk},
};
use uuid::Uuid;
use vault::{keyring::Keyring, seal::Sealable};

use super::output::{Failure, ResultForm, note, say};
use crate::{
    config::{Pkcs11Config, database_url},
    key_checks::{check_master_keys, compare_master_keys},
    seals::finding::{self, resource_of},
};

/// How many rows are sealed in one transaction.
const BATCH: i64 = 500;

/// What can be done about seals.
#[derive(Debug, Subcommand)]
pub(crate) enum SealCommand {
    /// Seal the rows that decide: accounts, consents and second factors once after the upgrade that brought
    /// seals (--all), and one of these, a log-in, a role that waits or a window of emergency access after it was changed by hand (--table, --id)
    Rows(SealRows),
}

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Table {
    /// Accounts
    Users,
    /// Consents
    DataProcessingConsents,
    /// Second factors, by the id of their account
    SecondFactors,
    /// Log-ins and their refresh tokens
    Sessions,
    /// Roles that wait for a second administrator
    RoleProposals,
    /// Consents that wait for whoever has their code
    AccessCodes,
    /// Windows of emergency access
    BreakGlassWindows,
    /// Deletion requests that were verified and are not over
    DataDeletionRequests,
    /// Legal holds in force
    LegalHolds,
    /// Organisations
    Organizations,
    /// Who belongs to organisations
    Memberships,
    /// Who acts for which patient
    Representatives,
    /// Representatives who wait for a second administrator
    RepresentativeProposals,
    /// Receipts of consents
    ConsentReceipts,
}

impl From<Table> for SealedTable {
    fn from(table: Table) -> Self {
        match table {
            Table::Users => Self::Users,
            Table::DataProcessingConsents => Self::Consents,
            Table::SecondFactors => Self::SecondFactors,
            Table::Sessions => Self::Sessions,
            Table::RoleProposals => Self::RoleProposals,
            Table::AccessCodes => Self::AccessCodes,
            Table::BreakGlassWindows => Self::BreakGlassWindows,
            Table::DataDeletionRequests => Self::DeletionRequests,
            Table::LegalHolds => Self::LegalHolds,
            Table::Organizations => Self::Organizations,
            Table::Memberships => Self::Memberships,
            Table::Representatives => Self::Representatives,
            Table::RepresentativeProposals => Self::RepresentativeProposals,
            Table::ConsentReceipts => Self::ConsentReceipts,
        }
    }
}

/// The master keys, which the keys of seals are derived from.
#[derive(Debug, Args)]
pub(crate) struct MasterKeys {
    /// The file of the master keys
    #[arg(long = "master-keys-file", env = "MEDITRUSTAL_MASTER_KEYS_FILE")]
    path: PathBuf,

    #[command(flatten)]
    pkcs11: Pkcs11Config,
}

impl MasterKeys {
    /// Reads them, and compares them with the database.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) async fn open(&self, pool: &Pool) -> Result<Keyring, Failure> {
        migrate::require_current(pool).await?;
        let keyring = self.pkcs11.keyring(&self.path)?;
        check_master_keys(pool, &keyring).await?;
        Ok(keyring)
    }

    /// As [`MasterKeys::open`], or, where nothing may change, as [`MasterKeys::open_to_try`].
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) async fn open_for(&self, pool: &Pool, is_dry: bool) -> Result<Keyring, Failure> {
        if is_dry {
            self.open_to_try(pool).await
        } else {
            self.open(pool).await
        }
    }

    /// The same for what changes nothing, not even what the database knows of keys.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) async fn open_to_try(&self, pool: &Pool) -> Result<Keyring, Failure> {
        migrate::require_current(pool).await?;
        let keyring = self.pkcs11.keyring(&self.path)?;
        compare_master_keys(pool, &keyring).await?;
        Ok(keyring)
    }
}

/// Settings of `seal rows`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["all", "id"]))]
pub(crate) struct SealRows {
    /// Where the database is, under the role meditrustal_api
    #[arg(long = "database-url", env = "DATABASE_URL", hide_env_values = true, value_parser = database_url)]
    url: String,

    #[command(flatten)]
    keys: MasterKeys,

    /// Every account, consent and second factor, of the tables in which nothing is sealed yet
    #[arg(long)]
    all: bool,

    /// Also the rows of other tables, log-ins and roles that wait among them, whose seal is missing or wrong: somebody may have written them by
    /// hand, so look at each of them first (--dry-run)
    #[arg(long, requires = "all")]
    wrong: bool,

    /// The table of one row
    #[arg(long, requires = "id")]
    table: Option<Table>,

    /// The id of one row, whatever its seal
    #[arg(long, requires = "table")]
    id: Option<Uuid>,

    /// Why, for the audit trail
    #[arg(long, required_unless_present = "dry_run")]
    reason: Option<String>,

    /// Only say which rows those are
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: ResultForm,
}

impl SealCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Rows(settings) => settings.run().await,
        }
    }
}

/// A row that is to be sealed.
#[derive(Debug, Clone, Copy)]
struct Due {
    row: Tampered,
    /// Whether it can be read at all.
    is_readable: bool,
}

impl SealRows {
    async fn run(self) -> Result<(), Failure> {
        let one = PoolSettings {
            min: 0,
            ..PoolSettings::default()
        };
        let pool = store::connect(&self.url, "meditrustal seal", one)?;
        let keyring = self.keys.open_for(&pool, self.dry_run).await?;
        let sealed_before = if self.all && !self.wrong {
            seals::sealed_tables(&mut *pool.acquire().await?).await?
        } else {
            Vec::new()
        };
        let (mut sealed, mut left, mut seen, mut doubtful) = (0, 0, 0, 0);
        let mut listed = Vec::new();
        for table in self.tables() {
            let mut after = Uuid::nil();
            while let Some((last, count, due)) = self.due(&pool, &keyring, table, after).await? {
                after = last;
                seen += count;
                if self.dry_run {
                    self.list(&due, &mut listed)?;
                }
                if sealed_before.contains(&table) {
                    doubtful += due.len();
                    continue;
                }
                if self.dry_run {
                    sealed += due.len();
                    continue;
                }
                let (done, not) = self.seal(&pool, &keyring, &due).await?;
                sealed += done;
                left += not;
            }
        }
        if self.id.is_some() && seen == 0 {
            return Err("there is no such row".into());
        }
        if self.dry_run {
            return self.form.say(
                &format!("{sealed} row(s) would be sealed, {doubtful} left as they are"),
                &json!({ "dryRun": true, "rows": listed, "wouldBeSealed": sealed, "doubtful": doubtful }),
            );
        }
        self.form.say(
            &format!("{sealed} row(s) are sealed now"),
            &json!({ "dryRun": false, "sealed": sealed, "unreadable": left, "doubtful": doubtful }),
        )?;
        if left > 0 {
            return Err(format!("{left} row(s) cannot be read and were left as they are").into());
        }
        if doubtful > 0 {
            return Err(format!(
                "{doubtful} row(s) of tables that are sealed already were left as they are: look at each of \
                 them (--dry-run), then seal it (--table, --id), or all of them (--all --wrong)"
            )
            .into());
        }
        Ok(())
    }

    /// Says which rows those are: at once, or with the result where a program asked for that.
    fn list(&self, due: &[Due], listed: &mut Vec<Value>) -> Result<(), Failure> {
        for it in due {
            let (table, row) = (it.row.table.as_str(), it.row.row);
            if self.form.json {
                listed.push(json!({ "table": table, "id": row }));
            } else {
                say(&format!("{table} {row}"))?;
            }
        }
        Ok(())
    }

    /// The tables that are gone through: accounts last, as they name what the others hold. Log-ins and roles
    /// that wait ended with the upgrade, and access codes came later.
    fn tables(&self) -> Vec<SealedTable> {
        let of_upgrade = [
            SealedTable::SecondFactors,
            SealedTable::Consents,
            SealedTable::Users,
        ];
        let more = [
            SealedTable::Sessions,
            SealedTable::RoleProposals,
            SealedTable::AccessCodes,
            SealedTable::BreakGlassWindows,
            SealedTable::DeletionRequests,
            SealedTable::LegalHolds,
            SealedTable::Organizations,
            SealedTable::Memberships,
            SealedTable::Representatives,
            SealedTable::RepresentativeProposals,
            SealedTable::ConsentReceipts,
        ];
        match self.table {
            Some(table) => vec![table.into()],
            None if self.wrong => [&more[..], &of_upgrade].concat(),
            None => of_upgrade.to_vec(),
        }
    }

    /// The next rows of a table: the last id, their number, and those that are to be sealed. `None` at the
    /// end.
    async fn due(
        &self,
        pool: &Pool,
        keyring: &Keyring,
        table: SealedTable,
        after: Uuid,
    ) -> Result<Option<(Uuid, usize, Vec<Due>)>, StoreError> {
        let walk = Walk {
            after,
            sealed_by: None,
            only: self.id,
            limit: BATCH,
        };
        let whatever = self.id.is_some();
        let mut conn = pool.acquire().await?;
        let rows: Vec<JudgedSeal> = match table {
            SealedTable::Users => {
                let mut rows = Vec::new();
                for (id, sealed) in seals::walk_authorities(&mut conn, walk).await? {
                    let account = keyring.open_row(sealed);
                    // One that names what is not there any more is not right, either.
                    let is_right = match account {
                        Ok(account) => is_whole(&mut conn, &account).await?,
                        Err(_) => false,
                    };
                    rows.push((id, UserId(id), true, is_right));
                }
                rows
            }
            SealedTable::Consents => {
                readable_judged(keyring, seals::walk_consents(&mut conn, walk).await?)
            }
            SealedTable::SecondFactors => {
                let found = seals::walk_factors(&mut conn, walk).await?.into_iter();
                let judge = |(id, sealed)| (id, UserId(id), true, keyring.open_row(sealed).is_ok());
                found.map(judge).collect()
            }
            SealedTable::Sessions => {
                all_judged(keyring, seals::walk_sessions(&mut conn, walk).await?)
            }
            SealedTable::RoleProposals => {
                all_judged(keyring, seals::walk_proposals(&mut conn, walk).await?)
            }
            SealedTable::AccessCodes => {
                readable_judged(keyring, seals::walk_codes(&mut conn, walk).await?)
            }
            SealedTable::Representatives => {
                readable_judged(keyring, representatives::walk(&mut conn, walk).await?)
            }
            SealedTable::RepresentativeProposals => readable_judged(
                keyring,
                representatives::walk_proposals(&mut conn, walk).await?,
            ),
            SealedTable::BreakGlassWindows => {
                all_judged(keyring, seals::walk_windows(&mut conn, walk).await?)
            }
            SealedTable::DeletionRequests => {
                all_judged(keyring, deletion::walk(&mut conn, walk).await?)
            }
            SealedTable::LegalHolds => {
                all_judged(keyring, legal_holds::walk(&mut conn, walk).await?)
            }
            SealedTable::Organizations => {
                all_judged(keyring, organizations::walk(&mut conn, walk).await?)
            }
            SealedTable::Memberships => {
                all_judged(keyring, memberships::walk(&mut conn, walk).await?)
            }
            SealedTable::ConsentReceipts => {
                readable_judged(keyring, receipts::walk(&mut conn, walk).await?)
            }
        };
        let Some((last, ..)) = rows.last().copied() else {
            return Ok(None);
        };
        let due = rows.iter().filter(|(.., is_right)| whatever || !is_right);
        let due = due.map(|(row, of, is_readable, _)| Due {
            row: Tampered {
                table,
                row: *row,
                of: *of,
            },
            is_readable: *is_readable,
        });
        Ok(Some((last, rows.len(), due.collect())))
    }

    /// Seals rows, one transaction. Gives how many, and how many could not be read.
    async fn seal(
        &self,
        pool: &Pool,
        keyring: &Keyring,
        due: &[Due],
    ) -> Result<(usize, usize), Failure> {
        let Some(table) = due.first().map(|it| it.row.table) else {
            return Ok((0, 0));
        };
        let origin = Origin::job(RequestId::fresh());
        let mut tx = pool.begin().await?;
        let mut done = 0;
        for it in due {
            if !it.is_readable || !write(&mut tx, keyring, it.row).await? {
                let (table, row) = (it.row.table.as_str(), it.row.row);
                note(&format!(
                    "{table} {row} cannot be read, or was changed meanwhile"
                ));
                continue;
            }
            done += 1;
        }
        let entry = AuditEntry {
            resource_type: resource_of(table),
            resource_id: self.id.unwrap_or(origin.request.0),
            new_value: Some(json!({
                "table": table, "rows": done, "reason": self.reason, "by": "command line",
            })),
            classification: Classification::Security,
            encryption: EncryptionStatus::MetadataOnly,
            patient: self.id.and(due.first().map(|it| it.row.of)),
            ..AuditEntry::new(
                SCHEDULER,
                AuditAction::RowSeal,
                Purpose::SystemAdministration,
                &origin,
            )
        };
        audit::insert(&mut tx, &[entry]).await?;
        for it in due {
            finding::resolve(&mut tx, it.row).await?;
        }
        tx.commit().await?;
        Ok((done, due.len() - done))
    }
}

/// A row that was read: its id, whose it is, whether it can be read, and whether its seal is right.
type JudgedSeal = (Uuid, UserId, bool, bool);

fn all_judged<T: Sealable>(keyring: &Keyring, rows: Vec<(Uuid, Sealed<T>)>) -> Vec<JudgedSeal> {
    let judge = |(id, sealed)| match keyring.open_row::<T>(sealed) {
        Ok(row) => (id, row.of(), true, true),
        Err(tampered) => (id, tampered.of, true, false),
    };
    rows.into_iter().map(judge).collect()
}

/// The same of rows that perhaps cannot be read.
fn readable_judged<T: Sealable>(
    keyring: &Keyring,
    rows: Vec<(Uuid, UserId, Option<Sealed<T>>)>,
) -> Vec<JudgedSeal> {
    let judge = |(id, of, sealed): (Uuid, UserId, Option<Sealed<T>>)| {
        let is_readable = sealed.is_some();
        let is_right = sealed.is_some_and(|it| keyring.open_row(it).is_ok());
        (id, of, is_readable, is_right)
    };
    rows.into_iter().map(judge).collect()
}

/// Puts a seal in the place of the one that a row was read with. False where it is gone.
async fn replace<T: Sealable>(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    found: Option<(Uuid, Sealed<T>)>,
) -> Result<bool, Failure> {
    let Some((id, sealed)) = found else {
        return Ok(false);
    };
    let (row, old) = sealed.into_parts();
    let seal = keyring.seal_row(&row)?;
    Ok(seals::replace_seal(tx, T::TABLE, id, old.as_ref(), &seal).await?)
}

/// A row as far as it can be read.
fn readable<T>((id, _, sealed): (Uuid, UserId, Option<Sealed<T>>)) -> Option<(Uuid, Sealed<T>)> {
    Some((id, sealed?))
}

/// Whether an account names the second factor and the refusals that are there.
async fn is_whole(conn: &mut PgConnection, account: &Authority) -> Result<bool, StoreError> {
    let rows = seals::named_by_rows(conn, account.user).await?;
    let named = &account.refusals;
    let is_there = |refusal| rows.refusals.contains(refusal) || rows.ended.contains(refusal);
    Ok(account.has_second_factor == rows.has_second_factor
        && rows.refusals.iter().all(|refusal| named.contains(refusal))
        && named.iter().all(is_there))
}

/// Writes the seal of a row as it is now. False where it is gone.
async fn write(tx: &mut Tx<'_>, keyring: &Keyring, row: Tampered) -> Result<bool, Failure> {
    let walk = Walk {
        after: Uuid::nil(),
        sealed_by: None,
        only: Some(row.row),
        limit: 1,
    };
    match row.table {
        SealedTable::Users => {
            let Some(sealed) = seals::lock_authority(tx, row.of).await? else {
                return Ok(false);
            };
            let (mut account, _) = sealed.into_parts();
            let rows = seals::named_by_rows(tx, row.of).await?;
            account.has_second_factor = rows.has_second_factor;
            account.refusals = rows.refusals;
            let seal = keyring.seal_row(&account)?;
            seals::write_authority(tx, &account, &seal).await?;
            Ok(true)
        }
        SealedTable::Consents => {
            let found = seals::walk_consents(tx, walk).await?.pop();
            replace(tx, keyring, found.and_then(readable)).await
        }
        SealedTable::SecondFactors => {
            let found = seals::walk_factors(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::Sessions => {
            let found = seals::walk_sessions(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::RoleProposals => {
            let found = seals::walk_proposals(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::AccessCodes => {
            let found = seals::walk_codes(tx, walk).await?.pop();
            replace(tx, keyring, found.and_then(readable)).await
        }
        SealedTable::BreakGlassWindows => {
            let found = seals::walk_windows(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::DeletionRequests => {
            let found = deletion::walk(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::LegalHolds => {
            let found = legal_holds::walk(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::Organizations => {
            let found = organizations::walk(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::Memberships => {
            let found = memberships::walk(tx, walk).await?.pop();
            replace(tx, keyring, found).await
        }
        SealedTable::Representatives => {
            let found = representatives::walk(tx, walk).await?.pop();
            replace(tx, keyring, found.and_then(readable)).await
        }
        SealedTable::RepresentativeProposals => {
            let found = representatives::walk_proposals(tx, walk).await?.pop();
            replace(tx, keyring, found.and_then(readable)).await
        }
        SealedTable::ConsentReceipts => {
            let found = receipts::walk(tx, walk).await?.pop();
            replace(tx, keyring, found.and_then(readable)).await
        }
    }
}
