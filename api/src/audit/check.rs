//! Compares the trail with its tree: every row with its leaf, every stored node with what is under it, and the roots with
//! those that were pinned. Rows are hashed here, from their columns, and not by the database.
//!
//! It goes through the leaves in order, a batch at a time, and holds one batch, the tree's edge and the checkpoints.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chain::{Client, ClientError, PinnedCheckpoint};
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
/// How many rows are looked through at a time for such as have no place.
const ROWS_AT_ONCE: i64 = 20_000;
/// How many of the last checkpoints the registry is asked for: the last one proves all before it in its epoch.
const MOST_ASKED: usize = 100;
/// How many faults are held, named and written down. Of more it is said how many there are.
const MOST_FAULTS: usize = 10_000;
/// By what number the checkpoint goes that the registry holds last, in a fault: it may be in no row.
pub(crate) const LAST_HELD: i64 = 0;

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
    /// The last checkpoint of the registry is in no row.
    Unknown,
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
            Self::Unknown => "UNKNOWN",
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
pub(crate) struct CheckedTrail {
    /// How many leaves.
    pub(crate) leaves: u64,
    /// The checkpoints that count as pinned, by size.
    pub(crate) pinned: Vec<AnchoredCheckpoint>,
    /// What does not fit, once each: at most [`MOST_FAULTS`].
    pub(crate) faults: Vec<Fault>,
    /// How many more there are.
    pub(crate) more: usize,
    /// The checkpoints of which everything was compared, the registry's word included.
    pub(crate) asked: BTreeSet<i64>,
}

/// Compares everything, also with the checkpoint that the registry holds last, where it was asked.
///
/// # Errors
/// The database's.
pub(crate) async fn all(
    pool: &Pool,
    registry: Option<&Registry>,
    held: Option<PinnedCheckpoint>,
) -> Result<CheckedTrail, StoreError> {
    let mut conn = pool.acquire().await?;
    let pinned = match registry {
        Some(registry) => checkpoints::anchored(&mut conn, registry, 0, i64::MAX).await?,
        None => Vec::new(),
    };
    let held = held.filter(|held| held.size > 0);
    let mut walk = TrailWalk::new(&pinned, held);
    if let (Some(registry), Some(held)) = (registry, held) {
        let (size, root) = (column(held.size), DataHash(held.root));
        if !checkpoints::is_ours(&mut conn, registry, size, root).await? {
            walk.add(of_held(held, FaultKind::Unknown, None));
        }
    }
    let size = tree_of::size(&mut conn).await?;
    let mut from = 0;
    while u64::try_from(from).is_ok_and(|from| from < size) {
        let leaves = tree_of::leaves(&mut conn, from, AT_ONCE).await?;
        let to = (from + AT_ONCE).min(i64::try_from(size).unwrap_or(i64::MAX));
        walk.batch(&mut conn, from, to, &leaves).await?;
        from = to;
    }
    let mut after = i64::MIN;
    while let Some(to) = tree_of::last_of(&mut conn, after, ROWS_AT_ONCE).await? {
        for id in tree_of::passed_over(&mut conn, after, to).await? {
            walk.add(Fault::of_row(id, FaultKind::Inserted, None));
        }
        after = to;
    }
    Ok(walk.end(pinned))
}

/// Asks the registry for the last checkpoints themselves, and for those of which something is open: one that it does not hold
/// so is not pinned.
///
/// # Errors
/// The node's.
pub(crate) async fn ask_registry(
    client: &Client,
    open: &BTreeSet<i64>,
    checked: &mut CheckedTrail,
) -> Result<(), ClientError> {
    let number = |column: i64| u64::try_from(column).unwrap_or_default();
    let last = checked.pinned.iter().rev().take(MOST_ASKED);
    let open = checked.pinned.iter().filter(|it| open.contains(&it.id));
    checked.asked = last.chain(open).map(|it| it.id).collect();
    for checkpoint in checked
        .pinned
        .iter()
        .filter(|it| checked.asked.contains(&it.id))
    {
        let (epoch, size) = (number(checkpoint.epoch), number(checkpoint.tree_size));
        let root = client.checkpoint_root(epoch, size).await?;
        if root.map(|root| DataHash(root).to_string()).as_ref() != Some(&checkpoint.root) {
            let fault = of_checkpoint(checkpoint, FaultKind::NotPinned, None);
            checked.faults.push(fault);
        }
    }
    checked.asked.insert(LAST_HELD);
    tidy(&mut checked.faults);
    Ok(())
}

fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Each row once.
fn tidy(faults: &mut Vec<Fault>) {
    faults.sort();
    faults.dedup_by(|a, b| (a.table, a.number) == (b.table, b.number));
}

/// One pass over the leaves.
struct TrailWalk {
    frontier: Frontier,
    /// By size.
    pinned: BTreeMap<i64, Vec<AnchoredCheckpoint>>,
    /// What the registry holds last.
    held: Option<PinnedCheckpoint>,
    /// The size of the last checkpoint whose root was right.
    right_up_to: i64,
    faults: Vec<Fault>,
    more: usize,
}

impl TrailWalk {
    fn new(pinned: &[AnchoredCheckpoint], held: Option<PinnedCheckpoint>) -> Self {
        let mut walk = Self {
            frontier: Frontier::default(),
            pinned: BTreeMap::new(),
            held,
            right_up_to: 0,
            faults: Vec::new(),
            more: 0,
        };
        for checkpoint in pinned {
            if !checkpoint.has_event {
                walk.add(of_checkpoint(checkpoint, FaultKind::NotPinned, None));
            }
            let of_size = walk.pinned.entry(checkpoint.tree_size).or_default();
            of_size.push(checkpoint.clone());
        }
        walk
    }

    fn add(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more += 1;
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
        let (rows, unreadable) = readable(conn, &ids).await?;
        let rows: HashMap<i64, &HashedRow> = rows.iter().map(|row| (row.row.id, row)).collect();
        let by_place: HashMap<i64, &Leaf> =
            leaves.iter().map(|leaf| (leaf.position, leaf)).collect();
        let mut nodes = Vec::new();
        for place in from..to {
            let leaf = by_place.get(&place).copied();
            let fault = leaf_fault(place, leaf, &rows).map(|fault| match leaf {
                Some(leaf) if unreadable.contains(&leaf.audit_id) => Fault {
                    kind: FaultKind::Changed,
                    ..fault
                },
                _ => fault,
            });
            if let Some(fault) = fault {
                self.add(fault);
            }
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
        let held = self.held.filter(|held| column(held.size) == size);
        let pinned = self.pinned.get(&size).cloned().unwrap_or_default();
        if pinned.is_empty() && held.is_none() {
            return;
        }
        let (root, from) = (self.frontier.root(), Some(self.right_up_to));
        let shown = DataHash(root).to_string();
        let (right, wrong): (Vec<_>, Vec<_>) = pinned.into_iter().partition(|it| it.root == shown);
        for checkpoint in wrong {
            self.add(of_checkpoint(&checkpoint, FaultKind::Root, from));
        }
        match held {
            Some(held) if held.root != root => self.add(of_held(held, FaultKind::Root, from)),
            Some(_) => self.right_up_to = size,
            None if !right.is_empty() => self.right_up_to = size,
            None => {}
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
        // Rows of another server, whose transactions had other numbers, may stand in no order that can be told.
        self.add(Fault {
            table: TrailTable::Leaves,
            number: from,
            kind: FaultKind::Node,
            place: Some(from),
            before: Some(before),
        });
        for fault in out_of_order {
            self.add(fault);
        }
    }

    fn end(mut self, pinned: Vec<AnchoredCheckpoint>) -> CheckedTrail {
        let size = self.frontier.size();
        // Pinned, and longer than what is left.
        let reached = i64::try_from(size).unwrap_or(i64::MAX);
        let beyond = self.pinned.split_off(&reached.saturating_add(1));
        let from = Some(self.right_up_to);
        for checkpoint in beyond.values().flatten() {
            self.add(of_checkpoint(checkpoint, FaultKind::Root, from));
        }
        if let Some(held) = self.held.filter(|held| held.size > size) {
            self.add(of_held(held, FaultKind::Root, from));
        }
        tidy(&mut self.faults);
        CheckedTrail {
            leaves: size,
            pinned,
            faults: self.faults,
            more: self.more,
            asked: BTreeSet::new(),
        }
    }
}

/// The rows of these numbers that can be read, and the numbers of those that cannot.
async fn readable(
    conn: &mut PgConnection,
    ids: &[i64],
) -> Result<(Vec<HashedRow>, BTreeSet<i64>), StoreError> {
    let is_of_a_row = |error: &StoreError| {
        matches!(
            error,
            StoreError::Unreadable { .. } | StoreError::Refused(_)
        )
    };
    let mut rows = match tree_of::rows_of(conn, ids).await {
        Ok(rows) if rows.len() == ids.len() => return Ok((rows, BTreeSet::new())),
        Ok(rows) => rows,
        Err(error) if is_of_a_row(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let known: BTreeSet<i64> = rows.iter().map(|row| row.row.id).collect();
    let mut unreadable = BTreeSet::new();
    for id in tree_of::there(conn, ids).await? {
        if known.contains(&id) {
            continue;
        }
        match tree_of::rows_of(conn, &[id]).await {
            Ok(row) if !row.is_empty() => rows.extend(row),
            Err(error) if !is_of_a_row(&error) => return Err(error),
            _ => {
                unreadable.insert(id);
            }
        }
    }
    Ok((rows, unreadable))
}

fn of_held(held: PinnedCheckpoint, kind: FaultKind, from: Option<i64>) -> Fault {
    Fault {
        table: TrailTable::Checkpoints,
        number: LAST_HELD,
        kind,
        place: from,
        before: from.map(|_| column(held.size)),
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
