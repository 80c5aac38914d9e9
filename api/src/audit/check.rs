//! Compares the trail with its tree: every row with its leaf, every stored node with what is under it, and the roots with
//! those that were pinned. Rows are hashed here, from their columns, and not by the database.
//!
//! It goes through the leaves in order, a batch at a time, and holds one batch, the tree's edge and the checkpoints.

use std::collections::{BTreeMap, HashMap};

use chain::{Client, ClientError};
use domain::records::DataHash;
use serde_json::{Value, json};
use store::{
    PgConnection, Pool, StoreError,
    checkpoints::{self, AnchoredCheckpoint},
    cursor::Registry,
    findings::TrailTable,
    trail::{self as tree_of, HashedRow, Leaf},
};
use trail::{
    row::LAYOUT,
    tree::{Frontier, Place},
};

/// How many leaves are compared at a time: a multiple of what a node of the lowest stored level covers.
const AT_ONCE: i64 = 4096;
/// How many numbers of rows are looked through at a time for rows that have no place.
const NUMBERS_AT_ONCE: i64 = 20_000;
/// How many of the last checkpoints the registry is asked for: the last one proves all before it in its epoch.
const MOST_ASKED: usize = 100;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// A row does not say any more what was hashed.
    Changed,
    /// A row is gone.
    Removed,
    /// A row has no place although later ones have.
    Inserted,
    /// Two leaves stand in another order than their rows were written in, or another than when the tree was made.
    Reordered,
    /// A leaf is gone.
    NoLeaf,
    /// A node is not what is under it.
    Node,
    /// The tree is not what was pinned.
    Root,
    /// A checkpoint that counts as pinned is not in the registry.
    NotPinned,
}

impl FaultKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "CHANGED",
            Self::Removed => "REMOVED",
            Self::Inserted => "INSERTED",
            Self::Reordered => "REORDERED",
            Self::NoLeaf => "NO_LEAF",
            Self::Node => "NODE",
            Self::Root => "ROOT",
            Self::NotPinned => "NOT_PINNED",
        }
    }
}

/// Something that does not fit, by what it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// In which table.
    pub(crate) table: TrailTable,
    /// The number of the row there.
    pub(crate) number: i64,
    /// What.
    pub(crate) kind: FaultKind,
    /// From which place on.
    pub(crate) place: Option<i64>,
    /// Before which place; where it is not known more exactly.
    pub(crate) before: Option<i64>,
}

impl Fault {
    fn of_row(number: i64, kind: FaultKind, place: Option<i64>) -> Self {
        Self {
            table: TrailTable::Rows,
            number,
            kind,
            place,
            before: None,
        }
    }

    /// The evidence, without anything that the row says.
    pub(crate) fn details(&self) -> Value {
        json!({
            "reason": self.kind.as_str(), "table": self.table.as_str(), "row": self.number,
            "place": self.place, "before": self.before,
        })
    }

    /// For an operator.
    pub(crate) fn said(&self) -> String {
        let at = match (self.place, self.before) {
            (Some(from), Some(before)) => format!(" (places {from} to {})", before - 1),
            (Some(place), None) => format!(" (place {place})"),
            (None, _) => String::new(),
        };
        format!(
            "{} {}{at}: {}",
            self.table.as_str(),
            self.number,
            self.kind.as_str()
        )
    }
}

/// What a check came to.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// How many leaves.
    pub(crate) leaves: u64,
    /// The checkpoints that count as pinned, by size.
    pub(crate) pinned: Vec<AnchoredCheckpoint>,
    /// What does not fit, once each.
    pub(crate) faults: Vec<Fault>,
}

/// Compares everything.
///
/// # Errors
/// The database's.
pub(crate) async fn all(pool: &Pool, registry: Option<&Registry>) -> Result<Checked, StoreError> {
    let mut conn = pool.acquire().await?;
    let pinned = match registry {
        Some(registry) => checkpoints::anchored(&mut conn, registry, 0, i64::MAX).await?,
        None => Vec::new(),
    };
    let mut walk = Walk::new(&pinned);
    let size = tree_of::size(&mut conn).await?;
    let mut from = 0;
    while u64::try_from(from).is_ok_and(|from| from < size) {
        let leaves = tree_of::leaves(&mut conn, from, AT_ONCE).await?;
        let to = (from + AT_ONCE).min(i64::try_from(size).unwrap_or(i64::MAX));
        walk.batch(&mut conn, from, to, &leaves).await?;
        from = to;
    }
    let last = tree_of::last_row(&mut conn).await?;
    let mut after = 0;
    while after < last {
        let to = after.saturating_add(NUMBERS_AT_ONCE);
        let passed_over = tree_of::passed_over(&mut conn, after, to).await?;
        let inserted = passed_over.into_iter();
        walk.faults
            .extend(inserted.map(|id| Fault::of_row(id, FaultKind::Inserted, None)));
        after = to;
    }
    Ok(walk.end(pinned))
}

/// Asks the registry for the last checkpoints themselves: one that it does not hold so is not pinned.
///
/// # Errors
/// The node's.
pub(crate) async fn ask_registry(
    client: &Client,
    checked: &mut Checked,
) -> Result<(), ClientError> {
    let number = |column: i64| u64::try_from(column).unwrap_or_default();
    for checkpoint in checked.pinned.iter().rev().take(MOST_ASKED) {
        let (epoch, size) = (number(checkpoint.epoch), number(checkpoint.tree_size));
        let root = client.checkpoint_root(epoch, size).await?;
        if root.map(|root| DataHash(root).to_string()).as_ref() != Some(&checkpoint.root) {
            let fault = of_checkpoint(checkpoint, FaultKind::NotPinned, None);
            checked.faults.push(fault);
        }
    }
    tidy(&mut checked.faults);
    Ok(())
}

/// Each row once.
fn tidy(faults: &mut Vec<Fault>) {
    faults.sort();
    faults.dedup_by(|a, b| (a.table, a.number) == (b.table, b.number));
}

/// One pass over the leaves.
struct Walk {
    frontier: Frontier,
    /// By size.
    pinned: BTreeMap<i64, Vec<AnchoredCheckpoint>>,
    /// The size of the last checkpoint whose root was right.
    right_up_to: i64,
    faults: Vec<Fault>,
}

impl Walk {
    fn new(pinned: &[AnchoredCheckpoint]) -> Self {
        let mut by_size: BTreeMap<i64, Vec<AnchoredCheckpoint>> = BTreeMap::new();
        let mut faults = Vec::new();
        for checkpoint in pinned {
            if !checkpoint.has_event {
                faults.push(of_checkpoint(checkpoint, FaultKind::NotPinned, None));
            }
            by_size
                .entry(checkpoint.tree_size)
                .or_default()
                .push(checkpoint.clone());
        }
        Self {
            frontier: Frontier::default(),
            pinned: by_size,
            right_up_to: 0,
            faults,
        }
    }

    /// Compares the leaves of places `from..to`.
    async fn batch(
        &mut self,
        conn: &mut PgConnection,
        from: i64,
        to: i64,
        leaves: &[Leaf],
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = leaves.iter().map(|leaf| leaf.audit_id).collect();
        let rows = tree_of::rows_of(conn, &ids).await?;
        let rows: HashMap<i64, &HashedRow> = rows.iter().map(|row| (row.row.id, row)).collect();
        let by_place: HashMap<i64, &Leaf> =
            leaves.iter().map(|leaf| (leaf.position, leaf)).collect();
        let mut nodes = Vec::new();
        for place in from..to {
            let leaf = by_place.get(&place).copied();
            self.faults.extend(leaf_fault(place, leaf, &rows));
            let hash = leaf.and_then(|leaf| leaf.leaf_hash.as_slice().try_into().ok());
            nodes.extend(self.frontier.push(hash.unwrap_or_default()));
            self.root(place + 1);
        }
        nodes.retain(|(place, _)| place.level > 0);
        let places: Vec<Place> = nodes.iter().map(|(place, _)| *place).collect();
        let stored = tree_of::stored(conn, &places).await?;
        for (place, hash) in nodes {
            if stored.get(&place) != Some(&hash) {
                self.node(place, &by_place, &rows);
            }
        }
        Ok(())
    }

    /// Compares the root with what was pinned at this size.
    fn root(&mut self, size: i64) {
        let Some(pinned) = self.pinned.get(&size) else {
            return;
        };
        let root = DataHash(self.frontier.root()).to_string();
        let mut is_right = false;
        for checkpoint in pinned {
            if checkpoint.root == root {
                is_right = true;
            } else {
                let from = Some(self.right_up_to);
                self.faults
                    .push(of_checkpoint(checkpoint, FaultKind::Root, from));
            }
        }
        if is_right {
            self.right_up_to = size;
        }
    }

    /// What is wrong under a node that is not what is stored: rows that stand in another order, or else all under it.
    fn node(
        &mut self,
        place: Place,
        leaves: &HashMap<i64, &Leaf>,
        rows: &HashMap<i64, &HashedRow>,
    ) {
        let width = 1_i64 << place.level;
        let from = i64::try_from(place.index)
            .unwrap_or(i64::MAX)
            .saturating_mul(width);
        let before = from.saturating_add(width);
        let under = (from..before).filter_map(|place| leaves.get(&place));
        let written = |leaf: &Leaf| {
            let row = rows.get(&leaf.audit_id)?;
            Some((row.row.leaf_xid, row.row.id))
        };
        let mut last = None;
        let mut out_of_order = Vec::new();
        for leaf in under {
            let Some(now) = written(leaf) else {
                continue;
            };
            if last > Some(now) {
                let fault = Fault::of_row(leaf.audit_id, FaultKind::Reordered, Some(leaf.position));
                out_of_order.push(fault);
            }
            last = Some(now);
        }
        if out_of_order.is_empty() {
            self.faults.push(Fault {
                table: TrailTable::Leaves,
                number: from,
                kind: FaultKind::Node,
                place: Some(from),
                before: Some(before),
            });
        } else {
            self.faults.extend(out_of_order);
        }
    }

    fn end(mut self, pinned: Vec<AnchoredCheckpoint>) -> Checked {
        let size = self.frontier.size();
        // Pinned, and longer than what is left.
        let reached = i64::try_from(size).unwrap_or(i64::MAX);
        let beyond = self.pinned.split_off(&reached.saturating_add(1));
        for checkpoint in beyond.values().flatten() {
            let from = Some(self.right_up_to);
            self.faults
                .push(of_checkpoint(checkpoint, FaultKind::Root, from));
        }
        tidy(&mut self.faults);
        Checked {
            leaves: size,
            pinned,
            faults: self.faults,
        }
    }
}

fn of_checkpoint(checkpoint: &AnchoredCheckpoint, kind: FaultKind, from: Option<i64>) -> Fault {
    Fault {
        table: TrailTable::Checkpoints,
        number: checkpoint.id,
        kind,
        place: from,
        before: from.map(|_| checkpoint.tree_size),
    }
}

/// What is wrong with one leaf and its row.
fn leaf_fault(place: i64, leaf: Option<&Leaf>, rows: &HashMap<i64, &HashedRow>) -> Option<Fault> {
    let Some(leaf) = leaf else {
        return Some(Fault {
            table: TrailTable::Leaves,
            number: place,
            kind: FaultKind::NoLeaf,
            place: Some(place),
            before: None,
        });
    };
    let Some(row) = rows.get(&leaf.audit_id) else {
        return Some(Fault::of_row(
            leaf.audit_id,
            FaultKind::Removed,
            Some(place),
        ));
    };
    let hash = row.row.leaf_hash();
    let is_as_written =
        row.layout == LAYOUT && row.leaf_hash == hash && leaf.leaf_hash.as_slice() == hash;
    (!is_as_written).then(|| Fault::of_row(leaf.audit_id, FaultKind::Changed, Some(place)))
}
