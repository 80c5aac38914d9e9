//! The check of the trail in parts, as the deep check does it: leaf by leaf, row by row, and what the registry says, round and
//! round. A part begins where the one before has ended, and believes the nodes of the tree that were compared before it.

use chain::{Client, ClientError};
use domain::records::DataHash;
use store::{
    PgConnection, Pool, StoreError,
    checkpoints::{self, AnchoredCheckpoint},
    cursor::Registry,
    findings::{self, TrailTable},
    trail as tree_of,
};
use trail::tree::{self, Frontier};
use uuid::Uuid;

use super::{
    super::purged::{self, Pinners},
    AT_ONCE, CheckedTrail, Fault, FaultKind, LAST_HELD, ROWS_AT_ONCE, TrailWalk, ask_registry,
    column, of_checkpoint, of_held,
};

/// Where the check goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TrailPosition {
    /// The leaf of this place, and those after it.
    Leaves(i64),
    /// The row of this number, and those after it: whether they have places.
    Rows(i64),
    /// What the registry says.
    Registry,
}

impl TrailPosition {
    /// As the deep check keeps it; what it cannot have written is the beginning.
    pub(crate) fn of(position: Uuid) -> Self {
        match position.as_u64_pair() {
            (0, place) => Self::Leaves(i64::try_from(place).unwrap_or_default()),
            (1, number) => Self::Rows(number.cast_signed() ^ i64::MIN),
            (2, 0) => Self::Registry,
            _ => Self::Leaves(0),
        }
    }

    /// The same the other way round.
    pub(crate) fn to_uuid(self) -> Uuid {
        let (phase, number) = match self {
            Self::Leaves(place) => (0, u64::try_from(place).unwrap_or_default()),
            Self::Rows(number) => (1, (number ^ i64::MIN).cast_unsigned()),
            Self::Registry => (2, 0),
        };
        Uuid::from_u64_pair(phase, number)
    }
}

/// What the check of a part came to.
#[derive(Debug)]
pub(crate) struct CheckedPart {
    /// What does not fit.
    pub(crate) faults: Vec<Fault>,
    /// What findings are open about that is right again, as far as the registry alone says so.
    pub(crate) right: Vec<(TrailTable, i64)>,
    /// How many rows were compared.
    pub(crate) rows: usize,
    /// Where it goes on; `None` at the end.
    pub(crate) next: Option<TrailPosition>,
}

impl CheckedPart {
    const fn of(faults: Vec<Fault>, rows: usize, next: TrailPosition) -> Self {
        Self {
            faults,
            right: Vec::new(),
            rows,
            next: Some(next),
        }
    }
}

/// Checks the next part.
///
/// # Errors
/// The database's.
pub(crate) async fn check_part(
    pool: &Pool,
    registry: &Registry,
    client: &Client,
    position: TrailPosition,
) -> Result<CheckedPart, StoreError> {
    match position {
        TrailPosition::Leaves(place) => {
            // Parts begin where a node of the lowest stored levels does.
            leaves(pool, registry, client, place - place % AT_ONCE).await
        }
        TrailPosition::Rows(number) => rows(&mut *pool.acquire().await?, number).await,
        TrailPosition::Registry => match ask(pool, registry, client).await {
            Ok(asked) => Ok(asked),
            Err(AskFailure::Store(error)) => Err(error),
            Err(AskFailure::Node(error)) => {
                tracing::warn!(%error, "The registry cannot be asked about the audit trail; it is asked in the next round");
                Ok(CheckedPart {
                    faults: Vec::new(),
                    right: Vec::new(),
                    rows: 0,
                    next: None,
                })
            }
        },
    }
}

/// The leaves from a place on: rows, what retention removed, nodes, and the roots that were pinned there.
async fn leaves(
    pool: &Pool,
    registry: &Registry,
    client: &Client,
    from: i64,
) -> Result<CheckedPart, StoreError> {
    let mut conn = pool.acquire().await?;
    let later = checkpoints::anchored(&mut conn, registry, from.saturating_add(1), AT_ONCE).await?;
    let whole = from.saturating_add(AT_ONCE);
    let (within, beyond): (Vec<_>, Vec<AnchoredCheckpoint>) =
        later.into_iter().partition(|it| it.tree_size <= whole);
    let mut walk = TrailWalk::new(&within, None);
    walk.frontier = edge(&mut conn, from, &mut walk).await?;
    walk.right_up_to = from;
    drop(conn);
    let to = walk.stretch(pool, from).await?;
    let compared = to.map_or(0, |to| to - from);
    let is_last = compared < AT_ONCE;
    if is_last {
        // The tree ends here, and was longer when it was pinned.
        for checkpoint in beyond {
            walk.add(of_checkpoint(&checkpoint, FaultKind::Root, Some(from)));
        }
    }
    // A purge may have taken rows of other parts, too: the trail is asked about it as a whole.
    let mut purges = std::mem::take(&mut walk.purges).end();
    purged::ask_again(pool, &mut purges).await?;
    let mut checked = walk.end(within, purges);
    let pinners = Pinners::new(Some(client.deployment()), Some(client), &[]);
    if let Err(error) = purged::ask_who_signed(pinners, &mut checked).await {
        tracing::warn!(%error, "The registry cannot be asked who may sign what retention removed; it is asked in the next round");
    }
    let next = if is_last {
        TrailPosition::Rows(i64::MIN)
    } else {
        TrailPosition::Leaves(whole)
    };
    let rows = usize::try_from(compared).unwrap_or_default();
    Ok(CheckedPart::of(checked.faults, rows, next))
}

/// The edge of the tree before a place, from the nodes that are stored. One that is missing is a fault, and every root above it
/// wrong.
async fn edge(
    conn: &mut PgConnection,
    from: i64,
    walk: &mut TrailWalk,
) -> Result<Frontier, StoreError> {
    let size = u64::try_from(from).unwrap_or_default();
    let places = tree::stored_under(std::slice::from_ref(&(0..size)));
    let mut stored = tree_of::stored(conn, &places).await?;
    for place in places {
        if stored.contains_key(&place) {
            continue;
        }
        let width = 1_i64.checked_shl(place.level.into()).unwrap_or(i64::MAX);
        let first = column(place.index).saturating_mul(width);
        walk.add(Fault {
            table: TrailTable::Leaves,
            number: first,
            kind: FaultKind::Node,
            place: Some(first),
            before: Some(first.saturating_add(width)),
        });
        stored.insert(place, [0; 32]);
    }
    Ok(Frontier::restore(size, &stored).unwrap_or_default())
}

/// Whether rows have the places that they must have by now.
async fn rows(conn: &mut PgConnection, from: i64) -> Result<CheckedPart, StoreError> {
    let Some(last) = tree_of::last_of(conn, from, ROWS_AT_ONCE).await? else {
        return Ok(CheckedPart::of(Vec::new(), 0, TrailPosition::Registry));
    };
    let inserted = tree_of::passed_over(conn, from, last).await?.into_iter();
    let faults = inserted.map(|id| Fault::of_row(id, FaultKind::Inserted, None));
    let next = last.checked_add(1).map(TrailPosition::Rows);
    let next = next.unwrap_or(TrailPosition::Registry);
    Ok(CheckedPart::of(faults.collect(), 0, next))
}

/// Why the registry was not compared.
enum AskFailure {
    Store(StoreError),
    Node(ClientError),
}

impl From<StoreError> for AskFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ClientError> for AskFailure {
    fn from(error: ClientError) -> Self {
        Self::Node(error)
    }
}

/// Compares the last checkpoints with the registry's own word.
async fn ask(pool: &Pool, registry: &Registry, client: &Client) -> Result<CheckedPart, AskFailure> {
    // Before the trail is read: it has at least as many rows by then.
    let held = client.latest_checkpoint().await?;
    let mut conn = pool.acquire().await?;
    let open = findings::open_about_trail(&mut conn).await?;
    let mut checked = CheckedTrail {
        pinned: checkpoints::anchored(&mut conn, registry, 0, i64::MAX).await?,
        ..CheckedTrail::default()
    };
    let without_event = checked.pinned.iter().filter(|it| !it.has_event);
    checked.faults = without_event
        .map(|it| of_checkpoint(it, FaultKind::NotPinned, None))
        .collect();
    if held.size > 0 {
        let root = DataHash(held.root);
        if !checkpoints::is_ours(&mut conn, registry, column(held.size), root).await? {
            let unknown = of_held(held, FaultKind::Unknown, None);
            checked.faults.push(unknown);
        }
        let places = tree::stored_under(std::slice::from_ref(&(0..held.size)));
        let stored = tree_of::stored(&mut conn, &places).await?;
        let ours = Frontier::restore(held.size, &stored).map(|frontier| frontier.root());
        if ours != Some(held.root) {
            let parted = of_held(held, FaultKind::Root, Some(0));
            checked.faults.push(parted);
        }
    }
    drop(conn);
    ask_registry(client, &open, &mut checked).await?;
    checked.asked.insert(LAST_HELD);
    let by_registry = [FaultKind::NotPinned, FaultKind::Unknown].map(FaultKind::as_str);
    let right = open
        .iter()
        .filter(|about| by_registry.contains(&about.reason.as_str()) && checked.is_right(about));
    Ok(CheckedPart {
        right: right.map(|about| (about.table, about.number)).collect(),
        faults: checked.faults,
        rows: 0,
        next: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_as_an_id_and_what_nobody_wrote_is_the_beginning() {
        for position in [
            TrailPosition::Leaves(0),
            TrailPosition::Leaves(4096),
            TrailPosition::Leaves(i64::MAX),
            TrailPosition::Rows(i64::MIN),
            TrailPosition::Rows(-1),
            TrailPosition::Rows(0),
            TrailPosition::Rows(i64::MAX),
            TrailPosition::Registry,
        ] {
            assert_eq!(TrailPosition::of(position.to_uuid()), position);
        }
        assert_eq!(TrailPosition::Leaves(0).to_uuid(), Uuid::nil());
        for position in [Uuid::max(), Uuid::from_u64_pair(0, u64::MAX)] {
            assert_eq!(TrailPosition::of(position), TrailPosition::Leaves(0));
        }
    }
}
