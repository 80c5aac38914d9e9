//! The trail as a file, and the check of such a file with nothing but a node: for auditors who trust neither the database
//! nor whoever gave them the file.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Write},
    time::Duration,
};

use super::{
    check::{Pinned, first_wrong, readable},
    purged::{Pinners, PurgeSignature},
    sequencer,
};
use chain::{ChainAddress, Client, ClientError};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    ids::RequestId,
    purpose::Purpose,
    records::DataHash,
    users::SCHEDULER,
};
use serde_json::json;
use store::{
    Pool, StoreError, Transaction, audit, checkpoints, cursor::Registry, retention,
    trail as tree_of,
};
use trail::{
    Hash,
    export::{Claim, FORM, Header, Line, LineFault, Reading},
};
use uuid::Uuid;

/// How many leaves are read at a time.
const AT_ONCE: i64 = 4096;
/// How long the line of a row may be. Unit: bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// How long the first line may be: room for a checkpoint each ten minutes of forty years. Unit: bytes.
const LONGEST_HEADER: u64 = 1 << 26;
/// How often it is looked whether what says of purges what they removed has its place, before there is no export.
const MOST_TRIES: usize = 60;
/// How long it takes from one look to the next.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// How many faults are held.
const MOST_FAULTS: usize = 10_000;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file's.
    #[error("the file cannot be written: {0}")]
    File(#[from] io::Error),
    /// A file would say that rows are gone, and not that retention removed them.
    #[error(
        "what retention removed has no place in the tree yet: a transaction has been open for long; try again when it has ended"
    )]
    Unordered,
}

/// Writes all leaves that are there now with their rows, and that it was done into the trail. Gives how many.
///
/// # Errors
/// [`ExportError`].
pub(crate) async fn write(
    pool: &Pool,
    registry: &Registry,
    into: &mut impl Write,
) -> Result<u64, ExportError> {
    let mut tx = pool.begin().await?;
    audit::insert(&mut tx, &[export_entry()]).await?;
    tx.commit().await?;
    let mut tx = ordered(pool).await?;
    let size = tree_of::size(&mut tx).await?;
    let most = i64::try_from(size).unwrap_or(i64::MAX);
    let pinned = checkpoints::anchored(&mut tx, registry, 0, i64::MAX).await?;
    let claims = pinned.iter().filter(|it| it.tree_size <= most);
    let number = |column: i64| u64::try_from(column).unwrap_or_default();
    let header = Header {
        form: FORM.to_owned(),
        chain_id: number(registry.chain_id),
        registry: registry.address.clone(),
        size,
        checkpoints: claims
            .map(|it| Claim {
                epoch: number(it.epoch),
                tree_size: number(it.tree_size),
            })
            .collect(),
    };
    line(into, &header)?;
    let mut from = 0;
    while from < most {
        let mut leaves = tree_of::leaves(&mut tx, from, AT_ONCE).await?;
        leaves.retain(|leaf| leaf.position < most);
        let Some(last) = leaves.last().map(|leaf| leaf.position) else {
            break;
        };
        let ids: Vec<i64> = leaves.iter().map(|leaf| leaf.audit_id).collect();
        let purged = retention::purged_between(&mut tx, from, last + 1).await?;
        let mut purged: BTreeMap<i64, Uuid> = purged.into_iter().collect();
        // One that cannot be read is left out, as if it were gone.
        let (rows, _) = readable(&mut tx, &ids).await?;
        let mut rows: BTreeMap<i64, _> = rows.into_iter().map(|row| (row.row.id, row)).collect();
        for leaf in leaves {
            let row = rows.remove(&leaf.audit_id);
            let hash: Hash = leaf.leaf_hash.try_into().unwrap_or_default();
            line(
                into,
                &Line {
                    position: number(leaf.position),
                    leaf_hash: DataHash(hash).to_string(),
                    layout: row.as_ref().map_or(trail::row::LAYOUT, |row| row.layout),
                    purge: purged.remove(&leaf.position).filter(|_| row.is_none()),
                    row: row.map(|row| row.row),
                },
            )?;
        }
        from = last + 1;
    }
    tx.commit().await?;
    into.flush()?;
    Ok(size)
}

/// The trail as it is at one moment, at which every row that says what retention removed has its place.
async fn ordered(pool: &Pool) -> Result<Transaction, ExportError> {
    for _ in 0..MOST_TRIES {
        let mut tx = pool.snapshot().await?;
        if !tree_of::has_unordered_purge(&mut tx).await? {
            return Ok(tx);
        }
        tx.commit().await?;
        // No api may be there that does it.
        sequencer::all(pool).await?;
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    Err(ExportError::Unordered)
}

fn line(into: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *into, value)?;
    into.write_all(b"\n")
}

/// Everything leaves: whoever reads the trail sees that.
fn export_entry() -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::AuditLog,
        new_value: Some(json!({ "export": "ALL" })),
        classification: Classification::Security,
        encryption: EncryptionStatus::MetadataOnly,
        ..AuditEntry::new(
            SCHEDULER,
            AuditAction::AuditExport,
            Purpose::Compliance,
            &Origin::job(RequestId::fresh()),
        )
    }
}

/// Why a file cannot be checked at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrailFileError {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
    /// It is something else.
    #[error(
        "this is no export of a trail: its first line is not that of `meditrustal audit export`"
    )]
    NoExport,
    /// It is of another registry than the one that is asked.
    #[error("the file is of the registry {0}, not of the one in the deployment file")]
    OtherRegistry(String),
    /// The node's.
    #[error(transparent)]
    Node(#[from] ClientError),
}

/// Something that does not fit in a file, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileFault {
    /// Of one line, by its place.
    Line(u64, LineFault),
    /// The rows from one place on, before another, are gone, and the trail does not say so, or nobody signed it who may.
    Gone(u64, u64),
    /// The rows between two sizes are not what the registry holds.
    Root { after: u64, size: u64 },
    /// The file ends before what is pinned last.
    Short { size: u64, pinned: u64 },
    /// It has another number of lines than it says.
    Count { said: u64, read: u64 },
    /// The registry holds nothing of what the file says is pinned.
    NothingPinned,
}

impl FileFault {
    /// For an auditor.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Line(place, fault) => {
                let word = match fault {
                    LineFault::Unreadable => "UNREADABLE",
                    LineFault::Misplaced => "REORDERED",
                    LineFault::Changed => "CHANGED",
                    LineFault::Removed => "REMOVED",
                };
                format!("place {place}: {word}")
            }
            Self::Gone(from, before) => format!("places {from} to {}: REMOVED", before - 1),
            Self::Root { after, size } => {
                format!("places {after} to {}: ROOT", size.saturating_sub(1))
            }
            Self::Short { size, pinned } => {
                format!("the file has {size} rows, and the registry holds {pinned}: CUT_OFF")
            }
            Self::Count { said, read } => {
                format!("the file says that it has {said} rows, and has {read}: CUT_OFF")
            }
            Self::NothingPinned => {
                "the registry holds none of the checkpoints that the file names: NOT_PINNED"
                    .to_owned()
            }
        }
    }
}

/// What the check of a file came to.
#[derive(Debug, Default)]
pub(crate) struct CheckedFile {
    /// How many rows.
    pub(crate) rows: u64,
    /// How many of them, from the first on, are what the registry holds.
    pub(crate) pinned: u64,
    /// How many rows the registry holds by now.
    pub(crate) held: u64,
    /// How many rows retention removed, as the trail says and somebody signed who may pin it.
    pub(crate) purged: u64,
    /// What does not fit: at most ten thousand.
    pub(crate) faults: Vec<FileFault>,
}

/// Hashes every row of a file again, and compares the roots with what the registry holds.
///
/// # Errors
/// [`TrailFileError`].
pub(crate) async fn check(
    client: &Client,
    earlier: &[ChainAddress],
    mut file: impl BufRead,
) -> Result<CheckedFile, TrailFileError> {
    let mut text = String::new();
    let header = next_line(&mut file, &mut text, LONGEST_HEADER)?;
    let header = header.and_then(|()| serde_json::from_str::<Header>(&text).ok());
    let header = header
        .filter(|it| it.form == FORM)
        .ok_or(TrailFileError::NoExport)?;
    let deployment = client.deployment();
    let ours = (deployment.chain_id, deployment.registry.to_string());
    if (header.chain_id, &header.registry) != (ours.0, &ours.1) {
        let of = format!("{} on chain {}", header.registry, header.chain_id);
        return Err(TrailFileError::OtherRegistry(of));
    }
    let held = client.latest_checkpoint().await?;
    client.require_agreement(None).await?;
    let mut wanted: BTreeMap<u64, Pinned> = BTreeMap::new();
    // What is larger than the last one is of an epoch that was given up.
    let claims = header
        .checkpoints
        .iter()
        .filter(|it| it.tree_size < held.size);
    for claim in claims {
        wanted.insert(claim.tree_size, Pinned::Claimed(claim.epoch));
    }
    if held.size > 0 {
        wanted.insert(held.size, Pinned::Held(held.root));
    }
    let (mut reading, mut computed) = (Reading::default(), Vec::new());
    let mut faults = Vec::new();
    while next_line(&mut file, &mut text, LONGEST_LINE)?.is_some() {
        if let Some((place, fault)) = reading.line(&text)
            && faults.len() < MOST_FAULTS
        {
            faults.push(FileFault::Line(place, fault));
        }
        if let Some(pinned) = wanted.get(&reading.size()) {
            computed.push((reading.size(), reading.root(), *pinned));
        }
    }
    let purged = purged(client, earlier, &mut reading, &mut faults).await?;
    let size = reading.size();
    if header.size != size {
        let said = header.size;
        faults.push(FileFault::Count { said, read: size });
    }
    let right = first_wrong(client, &computed).await?;
    let before = |nth: usize| nth.checked_sub(1).and_then(|nth| computed.get(nth));
    let pinned = before(right).map_or(0, |(size, ..)| *size);
    match computed.get(right) {
        Some((size, ..)) => faults.push(FileFault::Root {
            after: pinned,
            size: *size,
        }),
        None if pinned > 0 => {}
        None if held.size > size => faults.push(FileFault::Short {
            size,
            pinned: held.size,
        }),
        None => faults.push(FileFault::NothingPinned),
    }
    Ok(CheckedFile {
        rows: size,
        pinned,
        held: held.size,
        purged,
        faults,
    })
}

/// How many rows retention removed; of the others that are gone, faults.
async fn purged(
    client: &Client,
    earlier: &[ChainAddress],
    reading: &mut Reading,
    faults: &mut Vec<FileFault>,
) -> Result<u64, ClientError> {
    let mut may = Pinners::new(Some(client.deployment()), Some(client), earlier);
    let mut rows = 0;
    for purge in reading.purges() {
        if may.have_signed(&purge).await? == PurgeSignature::Right {
            rows += purge
                .ranges
                .iter()
                .map(|(from, before)| before - from)
                .sum::<u64>();
        } else {
            let room = MOST_FAULTS.saturating_sub(faults.len());
            let gone = purge.ranges.iter().take(room);
            faults.extend(gone.map(|(from, before)| FileFault::Gone(*from, *before)));
        }
    }
    Ok(rows)
}

/// The next line without its end; `None` at the end of the file. What is no text is told as such by whoever reads it, and so
/// is a line that is too long: its end is passed over.
fn next_line(file: &mut impl BufRead, into: &mut String, longest: u64) -> io::Result<Option<()>> {
    let mut bytes = Vec::new();
    if io::Read::take(&mut *file, longest).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if u64::try_from(bytes.len()).is_ok_and(|read| read == longest) {
        bytes.clear();
        file.skip_until(b'\n')?;
    }
    into.clear();
    into.push_str(&String::from_utf8_lossy(&bytes));
    Ok(Some(()))
}
