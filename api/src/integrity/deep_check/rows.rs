//! The deep check of rows that decide: each seal; and what else speaks of them, the audit trail, which
//! knows the consents that were given and taken back, and the account, which names its second factor. Of requests to erase and
//! of holds also the reason, which is sealed by itself.

use domain::{
    ids::UserId,
    integrity::CheckStage,
    seals::{Sealed, SealedTable, Tampered},
    users::SCHEDULER,
};
use store::{
    PgConnection, Pool, StoreError,
    deep_check::CheckPosition,
    deletion, findings, legal_holds, memberships, organizations, representatives,
    seals::{self, Walk},
};
use uuid::Uuid;
use vault::{keyring::Keyring, reasons::Reasoned, seal::Sealable};

use crate::{deletion::reasons::SealedReasons, seals::finding};

/// What came of some rows.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// How many there were.
    pub(super) count: usize,
    /// The last one; `None` where there was none.
    pub(super) last: Option<Uuid>,
    /// Those that are wrong.
    pub(super) wrong: Vec<Tampered>,
    /// Those that a finding is open about, and that are right.
    right_again: Vec<Tampered>,
}

/// Checks the next rows of this stage.
///
/// # Errors
/// The database's.
pub(super) async fn check(
    conn: &mut PgConnection,
    keyring: &Keyring,
    check_position: CheckPosition,
    limit: i64,
) -> Result<Checked, StoreError> {
    let walk = Walk {
        after: check_position.position,
        sealed_by: None,
        only: None,
        limit,
    };
    let (table, judged) = judged(conn, keyring, check_position.stage, walk).await?;
    let mut checked = Checked {
        count: judged.len(),
        last: judged.last().map(|row| row.id),
        ..Checked::default()
    };
    let contradicted = contradicted(conn, table, &judged).await?;
    let ids: Vec<Uuid> = judged.iter().map(|row| row.id).collect();
    let without = without_second_factor(&judged);
    let reported = findings::open_about_rows(conn, table, &ids).await?;
    for row in judged {
        let it = Tampered {
            table,
            row: row.id,
            of: row.of,
        };
        // A row that the trail contradicts is found with the account whose it is, too.
        let is_contradicted = contradicted.contains(&it);
        if !row.is_right || is_contradicted {
            checked.wrong.push(it);
        } else if reported.contains(&row.id) {
            checked.right_again.push(it);
        }
        checked.wrong.extend(row.missing);
    }
    if table == SealedTable::Users {
        let reported = findings::open_about_rows(conn, SealedTable::SecondFactors, &ids).await?;
        checked.lists_of_accounts(&without, reported, contradicted);
    }
    Ok(checked)
}

/// The next rows of this stage, each with what its seal says.
async fn judged(
    conn: &mut PgConnection,
    keyring: &Keyring,
    stage: CheckStage,
    walk: Walk<'_>,
) -> Result<(SealedTable, Vec<JudgedRow>), StoreError> {
    Ok(match stage {
        CheckStage::Consents => (SealedTable::Consents, consents(conn, keyring, walk).await?),
        CheckStage::Factors => (
            SealedTable::SecondFactors,
            judge_all(keyring, seals::walk_factors(conn, walk).await?),
        ),
        CheckStage::Sessions => (
            SealedTable::Sessions,
            judge_all(keyring, seals::walk_sessions(conn, walk).await?),
        ),
        CheckStage::Proposals => (
            SealedTable::RoleProposals,
            judge_all(keyring, seals::walk_proposals(conn, walk).await?),
        ),
        CheckStage::Codes => (SealedTable::AccessCodes, codes(conn, keyring, walk).await?),
        CheckStage::Windows => (
            SealedTable::BreakGlassWindows,
            judge_all(keyring, seals::walk_windows(conn, walk).await?),
        ),
        CheckStage::Deletions => {
            let found = deletion::walk(conn, walk).await?;
            (
                SealedTable::DeletionRequests,
                reasoned(conn, keyring, found).await?,
            )
        }
        CheckStage::Holds => {
            let found = legal_holds::walk(conn, walk).await?;
            let judged = reasoned(conn, keyring, found).await?;
            (SealedTable::LegalHolds, judged)
        }
        CheckStage::Receipts => (
            SealedTable::ConsentReceipts,
            receipts(conn, keyring, walk).await?,
        ),
        CheckStage::Representatives => (
            SealedTable::Representatives,
            judge_readable(keyring, representatives::walk(conn, walk).await?),
        ),
        CheckStage::Appointments => (
            SealedTable::RepresentativeProposals,
            judge_readable(keyring, representatives::walk_proposals(conn, walk).await?),
        ),
        CheckStage::Organizations => (
            SealedTable::Organizations,
            judge_all(keyring, organizations::walk(conn, walk).await?),
        ),
        CheckStage::Memberships => (
            SealedTable::Memberships,
            judge_all(keyring, memberships::walk(conn, walk).await?),
        ),
        CheckStage::Keys | CheckStage::Records | CheckStage::Trail | CheckStage::Accounts => {
            (SealedTable::Users, accounts(conn, keyring, walk).await?)
        }
    })
}

/// The consents, the memberships and the receipts of these people of which the trail says otherwise than the rows: of
/// accounts the first two, else those of the table. Of organisations, those themselves.
async fn contradicted(
    conn: &mut PgConnection,
    table: SealedTable,
    judged: &[JudgedRow],
) -> Result<Vec<Tampered>, StoreError> {
    let of: Vec<UserId> = judged.iter().map(|row| row.of).collect();
    let rows_of = |table, rows: Vec<(Uuid, UserId)>| {
        let tampered = move |(row, of)| Tampered { table, row, of };
        rows.into_iter().map(tampered)
    };
    let mut contradicted = Vec::new();
    if matches!(table, SealedTable::Users | SealedTable::Consents) {
        let found = seals::contradicted_consents(conn, &of).await?;
        contradicted.extend(rows_of(SealedTable::Consents, found));
    }
    if matches!(table, SealedTable::Users | SealedTable::Memberships) {
        let found = seals::contradicted_memberships(conn, &of).await?;
        contradicted.extend(rows_of(SealedTable::Memberships, found));
    }
    if table == SealedTable::Organizations {
        let ids: Vec<Uuid> = judged.iter().map(|row| row.id).collect();
        let found = seals::contradicted_organizations(conn, &ids).await?;
        let found = found.into_iter().map(|id| (id, SCHEDULER)).collect();
        contradicted.extend(rows_of(SealedTable::Organizations, found));
    }
    if matches!(table, SealedTable::ConsentReceipts) {
        let found = store::receipts::contradicted(conn, &of).await?;
        contradicted.extend(rows_of(SealedTable::ConsentReceipts, found));
    }
    Ok(contradicted)
}

/// The accounts that are as they were sealed and name no second factor.
fn without_second_factor(judged: &[JudgedRow]) -> Vec<Uuid> {
    let without = judged
        .iter()
        .filter(|row| row.is_right && !row.has_second_factor);
    without.map(|row| row.id).collect()
}

impl Checked {
    /// What accounts say of other rows: somebody without a second factor needs no row of one, and consents and
    /// memberships that the trail knows are to be there.
    fn lists_of_accounts(
        &mut self,
        without: &[Uuid],
        reported: Vec<Uuid>,
        contradicted: Vec<Tampered>,
    ) {
        let needless = reported.into_iter().filter(|row| without.contains(row));
        self.right_again.extend(needless.map(|row| Tampered {
            table: SealedTable::SecondFactors,
            row,
            of: UserId(row),
        }));
        self.wrong.extend(contradicted);
    }

    /// Opens and closes findings.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn write_down(&self, pool: &Pool) -> Result<(), StoreError> {
        for row in &self.wrong {
            finding::open(pool, *row).await?;
        }
        resolve(pool, &self.right_again).await
    }
}

/// Closes findings about rows that are right, or that decide nothing any more.
///
/// # Errors
/// The database's.
pub(super) async fn resolve(pool: &Pool, rows: &[Tampered]) -> Result<(), StoreError> {
    for row in rows {
        let mut tx = pool.begin().await?;
        finding::resolve(&mut tx, *row).await?;
        tx.commit().await?;
    }
    Ok(())
}

struct JudgedRow {
    id: Uuid,
    of: UserId,
    is_right: bool,
    has_second_factor: bool,
    /// Rows that this one names and that are not there.
    missing: Vec<Tampered>,
}

async fn accounts(
    conn: &mut PgConnection,
    keyring: &Keyring,
    walk: Walk<'_>,
) -> Result<Vec<JudgedRow>, StoreError> {
    let mut judged = Vec::new();
    for (id, sealed) in seals::walk_authorities(conn, walk).await? {
        let (of, mut missing) = (UserId(id), Vec::new());
        let account = keyring.open_row(sealed);
        let has_second_factor = account.as_ref().is_ok_and(|it| it.has_second_factor);
        if has_second_factor
            && !seals::named_by_rows(conn, of).await?.has_second_factor
            && still_has_one(conn, keyring, of).await?
        {
            missing.push(Tampered {
                table: SealedTable::SecondFactors,
                row: id,
                of,
            });
        }
        judged.push(JudgedRow {
            id,
            of,
            is_right: account.is_ok(),
            has_second_factor,
            missing,
        });
    }
    Ok(judged)
}

/// Whether the account names a second factor after its row was looked for: it may have been taken off in
/// between.
async fn still_has_one(
    conn: &mut PgConnection,
    keyring: &Keyring,
    user: UserId,
) -> Result<bool, StoreError> {
    let now = seals::authorities(conn, &[user]).await?.pop();
    let account = now.and_then(|sealed| keyring.open_row(sealed).ok());
    Ok(account.is_some_and(|account| account.has_second_factor))
}

async fn consents(
    conn: &mut PgConnection,
    keyring: &Keyring,
    walk: Walk<'_>,
) -> Result<Vec<JudgedRow>, StoreError> {
    let found = seals::walk_consents(conn, walk).await?;
    Ok(judge_readable(keyring, found))
}

async fn codes(
    conn: &mut PgConnection,
    keyring: &Keyring,
    walk: Walk<'_>,
) -> Result<Vec<JudgedRow>, StoreError> {
    let found = seals::walk_codes(conn, walk).await?;
    Ok(judge_readable(keyring, found))
}

async fn receipts(
    conn: &mut PgConnection,
    keyring: &Keyring,
    walk: Walk<'_>,
) -> Result<Vec<JudgedRow>, StoreError> {
    let found = store::receipts::walk(conn, walk).await?;
    Ok(judge_readable(keyring, found))
}

/// Rows with the reason of an administrator, which has to open as well.
async fn reasoned<T: Reasoned + Clone>(
    conn: &mut PgConnection,
    keyring: &Keyring,
    found: Vec<(Uuid, Sealed<T>)>,
) -> Result<Vec<JudgedRow>, StoreError> {
    let rows = found
        .iter()
        .map(|(_, sealed)| sealed.clone().into_parts().0);
    let explained = SealedReasons::of(conn, rows.collect()).await?;
    let explained = explained.open_where_possible(keyring).await;
    let judged = judge_all(keyring, found).into_iter().zip(explained);
    Ok(judged
        .map(|(row, explained)| JudgedRow {
            is_right: row.is_right && !explained.is_forged,
            ..row
        })
        .collect())
}

/// Rows of which some cannot even be read: those are wrong.
fn judge_readable<T: Sealable>(
    keyring: &Keyring,
    found: Vec<(Uuid, UserId, Option<Sealed<T>>)>,
) -> Vec<JudgedRow> {
    let judge = |(id, of, sealed): (Uuid, UserId, Option<Sealed<T>>)| JudgedRow {
        id,
        of,
        is_right: sealed.is_some_and(|sealed| keyring.open_row(sealed).is_ok()),
        has_second_factor: false,
        missing: Vec::new(),
    };
    found.into_iter().map(judge).collect()
}

fn judge_all<T: Sealable>(keyring: &Keyring, found: Vec<(Uuid, Sealed<T>)>) -> Vec<JudgedRow> {
    let judge = |(id, sealed): (Uuid, Sealed<T>)| {
        let (of, is_right) = match keyring.open_row(sealed) {
            Ok(row) => (row.of(), true),
            Err(tampered) => (tampered.of, false),
        };
        JudgedRow {
            id,
            of,
            is_right,
            has_second_factor: false,
            missing: Vec::new(),
        }
    };
    found.into_iter().map(judge).collect()
}
