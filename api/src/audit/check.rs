//! Compares the trail with its tree: every row with its leaf, every stored node with what is under it, and the roots with
//! those that were pinned. Rows are hashed here, from their columns, and not by the database.
//!
//! It goes through the leaves in order, a batch at a time, and holds one batch, the tree's edge and the checkpoints.

pub(crate) mod parts;
pub(crate) mod promises;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chain::{Client, ClientError, PinnedCheckpoint};
use domain::records::DataHash;
use serde_json::{Value, json};
use store::{
    Pool, StoreError, Tx,
    checkpoints::{self, AnchoredCheckpoint},
    cursor::Registry,
    findings::{OpenTrailFinding, TrailTable},
    retention,
    trail::{self as tree_of, HashedRow, Leaf},
};
use trail::{
    Hash,
    purge::{MetPurge, Purges},
    tree::{Frontier, Place},
};
use uuid::Uuid;

use super::purged;

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
    /// A row was promised, and there is none with its hash.
    Promised,
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
            Self::Promised => "PROMISED",
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

    /// The place that it is about, or the first one.
    fn at(&self) -> u64 {
        self.place
            .and_then(|place| u64::try_from(place).ok())
            .unwrap_or_default()
    }

    /// The rows of these places are gone, and not because they had been kept long enough.
    pub(super) fn of_range((from, before): (u64, u64)) -> Self {
        Self {
            table: TrailTable::Leaves,
            number: column(from),
            kind: FaultKind::Removed,
            place: Some(column(from)),
            before: Some(column(before)),
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
    /// The rows that were compared with their leaves, of those that were asked about.
    pub(crate) compared: BTreeSet<i64>,
    /// The checkpoints of which everything was compared, the registry's word included.
    pub(crate) asked: BTreeSet<i64>,
    /// What retention is said to have removed; where it was asked who signed that, by whom it may.
    pub(crate) purges: Vec<MetPurge>,
    /// What retention is said to have removed, where it cannot be known who signed that.
    pub(crate) unproven: Vec<MetPurge>,
    /// Those of which a row says so that has no place in the tree yet.
    pub(crate) unordered: BTreeSet<Uuid>,
    /// The rows whose promises were compared, and met.
    pub(crate) kept: BTreeSet<i64>,
    /// The rows whose promises were compared, and that retention removed.
    pub(crate) purged: BTreeSet<i64>,
    /// The root at the size of each checkpoint, by size.
    computed: Vec<(u64, Hash, Pinned)>,
}

impl CheckedTrail {
    /// One more fault.
    pub(super) fn add(&mut self, fault: Fault) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(fault);
        } else {
            self.more += 1;
        }
    }

    /// Each row once.
    pub(super) fn tidy(&mut self) {
        tidy(&mut self.faults);
    }

    /// Whether what an open finding is about was compared, and is right.
    pub(crate) fn is_right(&self, about: &OpenTrailFinding) -> bool {
        let is_wrong = |fault: &Fault| (fault.table, fault.number) == (about.table, about.number);
        // What was made again together with its hash is right but for the root, and the root as far as the registry says so.
        let has_root = self
            .faults
            .iter()
            .any(|fault| fault.kind == FaultKind::Root);
        if self.more > 0 || self.faults.iter().any(is_wrong) || self.asked.is_empty() {
            return false;
        }
        match about.table {
            TrailTable::Checkpoints => self.asked.contains(&about.number),
            _ if has_root => false,
            // Nobody but retention removed it, whatever was said of it before it was known who signed that.
            TrailTable::Rows if self.purged.contains(&about.number) => true,
            TrailTable::Rows if about.reason == FaultKind::Promised.as_str() => {
                self.kept.contains(&about.number)
            }
            TrailTable::Rows => {
                about.reason == FaultKind::Inserted.as_str()
                    || self.compared.contains(&about.number)
            }
            // A leaf beyond all others may have been taken away again.
            TrailTable::Leaves => {
                about.reason == FaultKind::NoLeaf.as_str()
                    || u64::try_from(about.number).is_ok_and(|place| place < self.leaves)
            }
        }
    }
}

/// Compares everything, also with the checkpoint that the registry holds last, where it was asked.
///
/// # Errors
/// The database's.
pub(crate) async fn all(
    pool: &Pool,
    registry: Option<&Registry>,
    held: Option<PinnedCheckpoint>,
    open: &[OpenTrailFinding],
) -> Result<CheckedTrail, StoreError> {
    let mut conn = pool.acquire().await?;
    let pinned = match registry {
        Some(registry) => checkpoints::anchored(&mut conn, registry, 0, i64::MAX).await?,
        None => Vec::new(),
    };
    let held = held.filter(|held| held.size > 0);
    let mut walk = TrailWalk::new(&pinned, held);
    let rows = open.iter().filter(|about| about.table == TrailTable::Rows);
    walk.open = rows.map(|about| about.number).collect();
    if let (Some(registry), Some(held)) = (registry, held) {
        let (size, root) = (column(held.size), DataHash(held.root));
        if !checkpoints::is_ours(&mut conn, registry, size, root).await? {
            walk.add(of_held(held, FaultKind::Unknown, None));
        }
    }
    let mut from = 0;
    while let Some(next) = walk.stretch(pool, from).await? {
        from = next;
    }
    let mut from = Some(i64::MIN);
    while let Some(first) = from
        && let Some(last) = tree_of::last_of(&mut conn, first, ROWS_AT_ONCE).await?
    {
        for id in tree_of::passed_over(&mut conn, first, last).await? {
            walk.add(Fault::of_row(id, FaultKind::Inserted, None));
        }
        from = last.checked_add(1);
    }
    let mut purges = std::mem::take(&mut walk.purges).end();
    let unordered = purged::ask_again(pool, &mut purges).await?;
    Ok(CheckedTrail {
        unordered,
        ..walk.end(pinned, purges)
    })
}

/// Asks the registry for the last checkpoints themselves, and for those of which something is open: one that it does not hold
/// so is not pinned. Says nothing where two nodes are on different chains.
///
/// # Errors
/// The node's; [`ClientError::NodesDiffer`].
pub(crate) async fn ask_registry(
    client: &Client,
    open: &[OpenTrailFinding],
    checked: &mut CheckedTrail,
) -> Result<(), ClientError> {
    client.require_agreement(None).await?;
    let number = |column: i64| u64::try_from(column).unwrap_or_default();
    let is_open = |checkpoint: &&AnchoredCheckpoint| {
        let mut open = open.iter();
        open.any(|it| (it.table, it.number) == (TrailTable::Checkpoints, checkpoint.id))
    };
    let last = checked.pinned.iter().rev().take(MOST_ASKED);
    let open = checked.pinned.iter().filter(is_open);
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
    if matches!(checked.computed.last(), Some((.., Pinned::Held(_)))) {
        checked.asked.insert(LAST_HELD);
    }
    let is_parted = |fault: &&mut Fault| fault.number == LAST_HELD && fault.kind == FaultKind::Root;
    if let Some(fault) = checked.faults.iter_mut().find(is_parted) {
        // The rows of the checkpoints may have been changed, too: only the registry says up to where all is right.
        let right = first_wrong(client, &checked.computed).await?;
        let size = |nth: usize| checked.computed.get(nth).map(|(size, ..)| column(*size));
        fault.place = Some(right.checked_sub(1).and_then(size).unwrap_or(0));
        fault.before = size(right).or(fault.before);
    }
    tidy(&mut checked.faults);
    Ok(())
}

fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What says which root a size had.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pinned {
    /// The registry, which holds it last.
    Held(Hash),
    /// The registry is said to hold it in this epoch.
    Claimed(u64),
}

/// Which of the roots, by size, is the first that the registry does not hold: as many as there are where it holds the last
/// one, which proves all before it.
///
/// # Errors
/// The node's.
pub(crate) async fn first_wrong(
    client: &Client,
    computed: &[(u64, Hash, Pinned)],
) -> Result<usize, ClientError> {
    let (mut right, mut wrong) = (0, computed.len());
    let mut next = wrong.saturating_sub(1);
    while right < wrong {
        let (size, root, pinned) = computed[next];
        let held = match pinned {
            Pinned::Held(root) => Some(root),
            Pinned::Claimed(epoch) => client.checkpoint_root(epoch, size).await?,
        };
        if held == Some(root) {
            right = next + 1;
        } else {
            wrong = next;
        }
        next = usize::midpoint(right, wrong);
    }
    Ok(right)
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
    /// The numbers of rows about which findings are open.
    open: BTreeSet<i64>,
    /// Those of them that stand in the tree with their rows.
    compared: BTreeSet<i64>,
    computed: Vec<(u64, Hash, Pinned)>,
    purges: Purges,
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
            open: BTreeSet::new(),
            compared: BTreeSet::new(),
            computed: Vec::new(),
            purges: Purges::default(),
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

    /// Compares the leaves from a place on, as many as there are at a time; gives where they end, `None` where there are none.
    async fn stretch(&mut self, pool: &Pool, from: i64) -> Result<Option<i64>, StoreError> {
        // Of each stretch all is seen as it was at one moment: what is purged is gone and named at once.
        let mut tx = pool.snapshot().await?;
        let mut leaves = tree_of::leaves(&mut tx, from, AT_ONCE).await?;
        let Some((first, last)) = leaves.first().zip(leaves.last()) else {
            return Ok(None);
        };
        let (first, last, whole) = (first.position, last.position, from.saturating_add(AT_ONCE));
        if first >= whole {
            // Whatever stands there is no part of this tree: nobody wants to hear of every place between.
            self.add(Fault {
                table: TrailTable::Leaves,
                number: from,
                kind: FaultKind::NoLeaf,
                place: Some(from),
                before: Some(first),
            });
            self.more += 1;
            return Ok(None);
        }
        let to = whole.min(last.saturating_add(1));
        leaves.retain(|leaf| leaf.position < to);
        self.batch(&mut tx, from, to, &leaves).await?;
        tx.commit().await?;
        Ok(Some(to))
    }

    /// Compares the leaves of places `from..to`.
    async fn batch(
        &mut self,
        tx: &mut Tx<'_>,
        from: i64,
        to: i64,
        leaves: &[Leaf],
    ) -> Result<(), StoreError> {
        let ids: Vec<i64> = leaves.iter().map(|leaf| leaf.audit_id).collect();
        let (rows, unreadable) = readable(tx, &ids).await?;
        let mut doubled = Vec::new();
        let (mut by_id, mut by_place) = (HashMap::new(), HashMap::new());
        for row in &rows {
            // Two of one number: one of them was put in.
            doubled.extend(by_id.insert(row.row.id, row).map(|row| row.row.id));
        }
        for leaf in leaves {
            doubled.extend(
                by_place
                    .insert(leaf.position, leaf)
                    .map(|leaf| leaf.audit_id),
            );
        }
        for id in doubled {
            self.add(Fault::of_row(id, FaultKind::Changed, None));
        }
        let rows = by_id;
        let seen = self.open.iter().filter(|&id| rows.contains_key(id));
        let seen: Vec<i64> = seen.copied().collect();
        self.compared.extend(seen);
        let purged = retention::purged_between(tx, from, to).await?;
        let purged: HashMap<i64, Uuid> = purged.into_iter().collect();
        let mut nodes = Vec::new();
        for place in from..to {
            let leaf = by_place.get(&place).copied();
            let hash = leaf.and_then(|leaf| leaf.leaf_hash.as_slice().try_into().ok());
            let fault = leaf_fault(place, leaf, &rows).map(|fault| match leaf {
                Some(leaf) if unreadable.contains(&leaf.audit_id) => Fault {
                    kind: FaultKind::Changed,
                    ..fault
                },
                _ => fault,
            });
            match (fault, purged.get(&place).zip(hash)) {
                // Whether that is so, the trail says later.
                (Some(fault), Some((purge, leaf))) if fault.kind == FaultKind::Removed => {
                    self.purges.removed(*purge, fault.at(), &leaf);
                }
                (Some(fault), _) => self.add(fault),
                (None, _) => {
                    let row = leaf.and_then(|leaf| rows.get(&leaf.audit_id));
                    if let Some(row) = row {
                        self.purges.row(&row.row);
                    }
                }
            }
            nodes.extend(self.frontier.push(hash.unwrap_or_default()));
            self.root(place + 1);
        }
        nodes.retain(|(place, _)| place.level > 0);
        let places: Vec<Place> = nodes.iter().map(|(place, _)| *place).collect();
        let stored = tree_of::stored(tx, &places).await?;
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
        let claimed = pinned
            .first()
            .map(|it| Pinned::Claimed(u64::try_from(it.epoch).unwrap_or_default()));
        let by = held.map(|held| Pinned::Held(held.root)).or(claimed);
        self.computed
            .extend(by.map(|by| (u64::try_from(size).unwrap_or_default(), root, by)));
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

    fn end(mut self, pinned: Vec<AnchoredCheckpoint>, purges: Vec<MetPurge>) -> CheckedTrail {
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
        let (purges, unsaid): (Vec<_>, Vec<_>) = purges
            .into_iter()
            .partition(|purge| purge.statement.is_some());
        for range in unsaid.into_iter().flat_map(|purge| purge.ranges) {
            self.add(Fault::of_range(range));
        }
        tidy(&mut self.faults);
        CheckedTrail {
            leaves: size,
            purges,
            pinned,
            faults: self.faults,
            more: self.more,
            compared: self.compared,
            computed: self.computed,
            ..CheckedTrail::default()
        }
    }
}

/// The rows of these numbers that can be read, and the numbers of those that cannot. The transaction goes on in any case; where
/// rows may be purged meanwhile, it is a snapshot.
///
/// # Errors
/// The database's.
pub(crate) async fn readable(
    tx: &mut Tx<'_>,
    ids: &[i64],
) -> Result<(Vec<HashedRow>, BTreeSet<i64>), StoreError> {
    let is_of_a_row = |error: &StoreError| {
        matches!(
            error,
            StoreError::Unreadable { .. } | StoreError::Refused(_)
        )
    };
    let mut rows = match tree_of::rows_within(tx, ids).await {
        Ok(rows) if rows.len() == ids.len() => return Ok((rows, BTreeSet::new())),
        Ok(rows) => rows,
        Err(error) if is_of_a_row(&error) => Vec::new(),
        Err(error) => return Err(error),
    };
    let known: BTreeSet<i64> = rows.iter().map(|row| row.row.id).collect();
    let mut unreadable = BTreeSet::new();
    for id in tree_of::there(tx, ids).await? {
        if known.contains(&id) {
            continue;
        }
        match tree_of::rows_within(tx, &[id]).await {
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
    let is_as_written = row
        .computed()
        .is_some_and(|hash| row.leaf_hash == hash && leaf.leaf_hash.as_slice() == hash);
    (!is_as_written).then(|| Fault::of_row(leaf.audit_id, FaultKind::Changed, Some(place)))
}
