//! Rows sealed anew under the first master key, a batch at a time.

use domain::{
    audit::Origin,
    ids::UserId,
    seals::{Seal, Sealed, SealedTable},
};
use serde_json::json;
use store::{
    Pool, StoreError, Tx, audit, deletion, legal_holds, memberships, organizations, receipts,
    representatives,
    seals::{self, Walk},
};
use uuid::Uuid;
use vault::{keyring::Keyring, seal::Sealable};

use super::{master_keys::entry, rewrap::BATCH};
use crate::commands::output::Failure;

/// The old seal and the new one of each row of a stretch; none of one that is not as it was sealed, or cannot be read.
async fn sealed_anew(
    tx: &mut Tx<'_>,
    keyring: &Keyring,
    table: SealedTable,
    walk: Walk<'_>,
) -> Result<Vec<(Uuid, Option<(Seal, Seal)>)>, StoreError> {
    Ok(match table {
        SealedTable::Users => all_anew(keyring, seals::walk_authorities(tx, walk).await?),
        SealedTable::Consents => readable_anew(keyring, seals::walk_consents(tx, walk).await?),
        SealedTable::SecondFactors => all_anew(keyring, seals::walk_factors(tx, walk).await?),
        SealedTable::Sessions => all_anew(keyring, seals::walk_sessions(tx, walk).await?),
        SealedTable::RoleProposals => all_anew(keyring, seals::walk_proposals(tx, walk).await?),
        SealedTable::AccessCodes => readable_anew(keyring, seals::walk_codes(tx, walk).await?),
        SealedTable::BreakGlassWindows => all_anew(keyring, seals::walk_windows(tx, walk).await?),
        SealedTable::DeletionRequests => all_anew(keyring, deletion::walk(tx, walk).await?),
        SealedTable::LegalHolds => all_anew(keyring, legal_holds::walk(tx, walk).await?),
        SealedTable::Organizations => all_anew(keyring, organizations::walk(tx, walk).await?),
        SealedTable::Memberships => all_anew(keyring, memberships::walk(tx, walk).await?),
        SealedTable::Representatives => {
            readable_anew(keyring, representatives::walk(tx, walk).await?)
        }
        SealedTable::RepresentativeProposals => {
            readable_anew(keyring, representatives::walk_proposals(tx, walk).await?)
        }
        SealedTable::ConsentReceipts => readable_anew(keyring, receipts::walk(tx, walk).await?),
    })
}

/// One batch of rows whose seals are by an older master key, one transaction. Gives the last id, how many
/// were sealed anew and how many are not as they were sealed; `None` at the end.
pub(super) async fn seals_of(
    pool: &Pool,
    keyring: &Keyring,
    origin: &Origin,
    (from, to): (&str, &str),
    (table, after): (SealedTable, Uuid),
) -> Result<Option<(Uuid, usize, usize)>, Failure> {
    let mut tx = pool.begin().await?;
    let walk = Walk {
        after,
        sealed_by: Some(from),
        only: None,
        limit: BATCH,
    };
    let rows = sealed_anew(&mut tx, keyring, table, walk).await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let (last, mut sealed, mut failed) = (*last, 0, 0);
    for (id, anew) in rows {
        let Some((old, new)) = anew else {
            failed += 1;
            tracing::error!(row.id = %id, "Row {id} of {table} is not as it was sealed, and left as it is");
            continue;
        };
        // One that somebody changes meanwhile is sealed by them, under the first master key.
        if seals::replace_seal(&mut tx, table, id, Some(&old), &new).await? {
            sealed += 1;
        }
    }
    let details =
        json!({ "from": from, "to": to, "table": table, "rows": sealed, "failed": failed });
    audit::insert(&mut tx, &[entry(origin, details)]).await?;
    tx.commit().await?;
    Ok(Some((last, sealed, failed)))
}

/// The seal that a row has, and a new one under the first master key; `None` where it is not right.
fn seal_anew<T: Sealable + Clone>(keyring: &Keyring, row: Sealed<T>) -> Option<(Seal, Seal)> {
    let (_, old) = row.clone().into_parts();
    let row = keyring.open_row(row).ok()?;
    Some((old?, keyring.seal_row(&row).ok()?))
}

/// The old seals and the new ones of these rows.
fn all_anew<T: Sealable + Clone>(
    keyring: &Keyring,
    rows: Vec<(Uuid, Sealed<T>)>,
) -> Vec<(Uuid, Option<(Seal, Seal)>)> {
    let rows = rows.into_iter();
    rows.map(|(id, row)| (id, seal_anew(keyring, row)))
        .collect()
}

/// The same of rows that perhaps cannot be read.
fn readable_anew<T: Sealable + Clone>(
    keyring: &Keyring,
    rows: Vec<(Uuid, UserId, Option<Sealed<T>>)>,
) -> Vec<(Uuid, Option<(Seal, Seal)>)> {
    let rows = rows.into_iter();
    rows.map(|(id, _, row)| (id, row.and_then(|row| seal_anew(keyring, row))))
        .collect()
}
