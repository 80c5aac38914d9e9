//! The access log with proofs: who did what with a person's data, and what shows that the row was written then and is what it was.

use chrono::{DateTime, Utc};
use domain::{ids::UserId, records::DataHash};
use serde_json::{Value, json};
use store::{
    Tx,
    cursor::Registry,
    trail::{self as tree_of, HashedRow, Stretch},
};
use trail::audit_event;
use uuid::Uuid;

use super::{DataPage, SectionKey};
use crate::{
    audit::{
        events::actors_of,
        proof::{PinnedProof, pinned},
    },
    error::Error,
};

/// How many rows a page has: a proof is some statements each.
const ROWS: i64 = 100;

/// A page, oldest first.
pub(super) async fn page(
    tx: &mut Tx<'_>,
    registry: &Registry,
    owner: UserId,
    until: DateTime<Utc>,
    after: Option<SectionKey>,
) -> Result<DataPage, Error> {
    let (from, number) = after.map_or((DateTime::UNIX_EPOCH, i64::MIN), |(at, id)| {
        (at, i64::try_from(id.as_u128()).unwrap_or(i64::MAX))
    });
    let stretch = Stretch {
        patient: Some(owner),
        from,
        after: number,
        to: until,
    };
    let Some((rows, next)) = tree_of::stretch(tx, stretch, ROWS).await? else {
        return Ok(DataPage {
            lines: Vec::new(),
            next: None,
        });
    };
    let actors = actors_of(tx, &rows).await?;
    let mut lines = Vec::new();
    for row in &rows {
        let user = UserId(row.row.user_id);
        // Who reads their own log is not told from where others came.
        let is_own = user == owner;
        let event = audit_event::of(&row.row, actors.get(&user), !is_own);
        lines.push(json!({ "event": event, "proof": proof(tx, registry, row, is_own).await? }));
    }
    let number = u128::try_from(next.after).unwrap_or_default();
    Ok(DataPage {
        lines,
        next: Some((next.from, Uuid::from_u128(number))),
    })
}

/// What `auditProof` of the row answers.
async fn proof(
    tx: &mut Tx<'_>,
    registry: &Registry,
    row: &HashedRow,
    is_own: bool,
) -> Result<Value, Error> {
    let hex = |hash: &trail::Hash| DataHash(*hash).to_string();
    let Some(leaf) = row.computed() else {
        return Ok(Value::Null);
    };
    let position = tree_of::position_of(tx, row.row.id).await?;
    let pinned = match position {
        Some(position) => pinned(tx, registry, position, None).await?,
        None => None,
    };
    let of_checkpoint = |pinned: PinnedProof| {
        let inclusion: Vec<String> = pinned.inclusion.iter().map(hex).collect();
        json!({
            "treeSize": pinned.checkpoint.tree_size, "root": pinned.checkpoint.root, "epoch": pinned.checkpoint.epoch,
            "note": pinned.checkpoint.note, "txHash": pinned.checkpoint.tx_hash, "inclusion": inclusion,
            "chainId": registry.chain_id, "registry": registry.address,
        })
    };
    Ok(json!({
        "id": row.row.id, "layout": row.layout, "leafHash": hex(&leaf),
        "leafData": row.row.encoded(row.layout).filter(|_| is_own),
        "position": position, "checkpoint": pinned.map(of_checkpoint),
    }))
}
