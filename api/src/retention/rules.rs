//! For how long records are kept, as the trail says that it was set: what stands in the table is believed where it is the same.

use std::collections::BTreeMap;

use domain::{deletion::retention_years, records::RecordType};
use serde::Deserialize;
use store::{
    Pool, StoreError, retention,
    trail::{HashedRow, leaves_of},
};

use crate::audit::check::readable;

/// What a row of the trail says was set.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleOfRow {
    record_type: RecordType,
    years: i32,
}

/// The rules by type that the table and the trail agree about. Where a row of the trail that set one is not what was hashed,
/// there are none.
///
/// # Errors
/// The database's.
pub(super) async fn believed(pool: &Pool) -> Result<BTreeMap<RecordType, i32>, StoreError> {
    let mut tx = pool.begin().await?;
    let ids = retention::rows_of_rules(&mut tx).await?;
    let (mut rows, unreadable) = readable(&mut tx, &ids).await?;
    let leaves = leaves_of(&mut tx, &ids).await?.into_iter();
    let leaves: BTreeMap<i64, Vec<u8>> =
        leaves.map(|leaf| (leaf.audit_id, leaf.leaf_hash)).collect();
    let table = retention::rules(&mut tx).await?;
    tx.commit().await?;
    rows.sort_unstable_by_key(|row| row.row.id);
    let all = RecordType::ALL.iter();
    let mut said: BTreeMap<RecordType, i32> = all.map(|it| (*it, retention_years(*it))).collect();
    let set: Option<Vec<RuleOfRow>> = rows.iter().map(|row| set_by(row, &leaves)).collect();
    let Some(set) = set.filter(|_| unreadable.is_empty()) else {
        tracing::error!(
            "No record is erased: a row of the audit trail that set how long they are kept is not what was hashed (`meditrustal audit verify`)"
        );
        return Ok(BTreeMap::new());
    };
    for RuleOfRow { record_type, years } in set {
        said.insert(record_type, years);
    }
    let table: BTreeMap<RecordType, i32> = table
        .into_iter()
        .map(|rule| (rule.record_type, rule.years))
        .collect();
    said.retain(|record_type, years| table.get(record_type) == Some(&*years));
    Ok(said)
}

/// What a row set; `None` where it is not what was hashed. Its leaf is there some moments after it.
fn set_by(row: &HashedRow, leaves: &BTreeMap<i64, Vec<u8>>) -> Option<RuleOfRow> {
    let hash = row.computed()?;
    let leaf = leaves.get(&row.row.id);
    let is_right = row.leaf_hash == hash && leaf.is_none_or(|leaf| *leaf == hash);
    let said = row.row.new_value.as_deref().filter(|_| is_right)?;
    serde_json::from_str(said).ok()
}
