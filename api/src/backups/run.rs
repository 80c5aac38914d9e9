//! Makes a backup: a snapshot, the rows of every table in it, a dump of that snapshot, and a manifest. Each dump is written aside
//! and read back by `pg_restore` while it is written; it gets its name when it is on the disk, or never.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use chrono::{DateTime, Local, Utc};
use domain::ids::RequestId;
use serde::Serialize;
use store::{
    StoreError,
    backups::{DatabaseIdentity, FollowedRegistry, KEYS_TABLE, Snapshot},
};
use vault::backup::{BackupRecipient, BackupWriter, WrittenFile};

use super::{
    BackupPart, Tier, files,
    manifest::{self, BackupManifest},
    programs::{DatabaseAddress, ProgramError, Programs},
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How much is read of a program at a time. Unit: bytes.
const CHUNK: usize = 1 << 16;
/// The schema that is dumped and restored.
const SCHEMA: &str = "public";
/// How a dump in the custom format begins.
const BEGINNING: &[u8] = b"PGDMP";

/// One part, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct WantedPart {
    /// Which.
    pub(crate) part: BackupPart,
    /// The database under the role that reads it.
    pub(crate) url: String,
    /// The directory of its backups.
    pub(crate) directory: PathBuf,
    /// To whom it is encrypted; to nobody, if empty.
    pub(crate) recipients: Vec<BackupRecipient>,
}

/// A backup to be made.
#[derive(Debug, Clone)]
pub(crate) struct WantedBackup {
    /// How often it is made.
    pub(crate) tier: Tier,
    /// Whether its name has the time as well, so that there can be several of a day.
    pub(crate) timed: bool,
    /// Where PostgreSQL's programs are, if not in their usual places.
    pub(crate) programs: Option<PathBuf>,
    /// What is dumped, of one snapshot.
    pub(crate) parts: Vec<WantedPart>,
}

/// A backup that was made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeBackup {
    /// Where the dump is.
    pub(crate) path: PathBuf,
    /// What it says of itself.
    pub(crate) manifest: BackupManifest,
}

/// Why no backup was made. No text holds an address, a password or a value of a row.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A program's that is missing.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The file system's.
    #[error(
        "the backup cannot be written: {0}; see whether the disk has room, and whether this user may write the directory"
    )]
    File(#[from] io::Error),
    /// There is one already.
    #[error(
        "{0} is there already: a backup is never replaced; --again makes another one, with the time in its name"
    )]
    There(String),
    /// There is nothing in the database.
    #[error(
        "the database {0} has no schema of MediTrustAl, or none that this role may read: nothing was written; look at the address of the \
         database and at its role"
    )]
    Empty(String),
    /// The tables are those of one tenant among several.
    #[error(
        "the tables are in the schema {0:?}: backups are made of databases whose tables are in the schema \"public\", one tenant in each; \
         nothing was written. Copy the server as a whole (pg_basebackup), or give each tenant a database"
    )]
    OtherSchema(String),
    /// A program failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// The end of what it said.
        said: String,
    },
    /// The dump does not begin as one.
    #[error("pg_dump ended without an error, and what it wrote is no dump")]
    NoDump,
}

/// A dump that lies aside, and what it is to be called.
struct Aside {
    path: PathBuf,
    manifest: BackupManifest,
}

/// Makes it. The caller holds the locks of the directories. `tell` is called now and then with how far it is.
///
/// # Errors
/// [`BackupError`]; nothing has a name of a backup then that is not whole.
pub(crate) async fn make(
    wanted: &WantedBackup,
    now: DateTime<Utc>,
    tell: fn(&str),
) -> Result<Vec<MadeBackup>, BackupError> {
    let paths = paths_of(wanted, now);
    if let Some(there) = paths.iter().find_map(|path| taken(path)) {
        return Err(BackupError::There(there.display().to_string()));
    }
    let Some(first) = wanted.parts.first() else {
        return Ok(Vec::new());
    };
    let mut snapshot = Snapshot::begin(&first.url).await?;
    let identity = snapshot.identity().await;
    let identity = identity.map_err(|error| as_empty(error, &first.url))?;
    let dumped = dump_all(wanted, &paths, &snapshot.id, &identity, tell).await;
    snapshot.end().await;
    let finished = dumped.and_then(|aside| {
        finish(&aside)?;
        Ok(aside.into_iter().map(made).collect())
    });
    if finished.is_err() {
        for path in &paths {
            // What stays all the same goes with the next run.
            files::remove(&files::aside(path)).ok();
        }
    }
    finished
}

/// Dumps every part of a snapshot into a file aside.
async fn dump_all(
    wanted: &WantedBackup,
    paths: &[PathBuf],
    snapshot: &str,
    identity: &DatabaseIdentity,
    tell: fn(&str),
) -> Result<Vec<Aside>, BackupError> {
    if identity.schema != SCHEMA {
        return Err(BackupError::OtherSchema(identity.schema.clone()));
    }
    let id = RequestId::fresh().to_string();
    let programs = Programs::find(wanted.programs.as_deref(), identity.server_major)?;
    let mut aside = Vec::new();
    for (part, path) in wanted.parts.iter().zip(paths) {
        let counted = count(part, snapshot).await?;
        if counted.rows.is_empty() || identity.migrations.is_empty() {
            return Err(BackupError::Empty(identity.name.clone()));
        }
        tell(&format!(
            "dumping the {} into {}",
            part.part,
            path.display()
        ));
        let written = dump(&programs, part, snapshot, path, tell).await?;
        let manifest = manifest_of(wanted.tier, part, &id, identity, counted, written, path);
        aside.push(Aside {
            path: path.clone(),
            manifest,
        });
    }
    Ok(aside)
}

/// The dump that has this name already, encrypted or not: both would have the same manifest.
fn taken(path: &Path) -> Option<PathBuf> {
    let manifest = manifest::beside(path);
    let dumps = ["dump", "dump.age"].map(|ending| manifest.with_extension(ending));
    dumps.into_iter().find(|dump| dump.exists())
}

/// A database without the migrator's table is none of ours.
fn as_empty(error: StoreError, url: &str) -> BackupError {
    match error {
        StoreError::Refused(_) => {
            let name =
                reqwest::Url::parse(url).map(|url| url.path().trim_start_matches('/').to_owned());
            BackupError::Empty(name.unwrap_or_default())
        }
        StoreError::Busy(_)
        | StoreError::Unreachable(_)
        | StoreError::Unable { .. }
        | StoreError::Unreadable { .. } => error.into(),
    }
}

/// What the dumps are called, in the order of the parts: by this machine's day, as `date +%Y%m%d` has it.
fn paths_of(wanted: &WantedBackup, now: DateTime<Utc>) -> Vec<PathBuf> {
    let layout = if wanted.timed {
        "%Y%m%d%H%M%S"
    } else {
        "%Y%m%d"
    };
    let day = now.with_timezone(&Local).format(layout).to_string();
    let path = |part: &WantedPart| {
        let ending = if part.recipients.is_empty() {
            "dump"
        } else {
            "dump.age"
        };
        let name = format!("{}{day}.{ending}", part.part.prefix());
        part.directory.join(wanted.tier.as_str()).join(name)
    };
    wanted.parts.iter().map(path).collect()
}

/// What a snapshot holds of a part.
struct SnapshotCounts {
    rows: BTreeMap<String, i64>,
    followed: Option<FollowedRegistry>,
    master_keys: Vec<String>,
}

async fn count(part: &WantedPart, snapshot: &str) -> Result<SnapshotCounts, StoreError> {
    let mut seen = Snapshot::import(&part.url, snapshot).await?;
    let counted = match part.part {
        BackupPart::Records => SnapshotCounts {
            rows: seen.rows(false).await?.into_iter().collect(),
            followed: seen.followed().await?,
            master_keys: Vec::new(),
        },
        BackupPart::Keys => SnapshotCounts {
            rows: seen.rows(true).await?.into_iter().collect(),
            followed: None,
            master_keys: seen.master_keys().await?,
        },
    };
    seen.end().await;
    Ok(counted)
}

fn manifest_of(
    tier: Tier,
    part: &WantedPart,
    id: &str,
    identity: &DatabaseIdentity,
    counted: SnapshotCounts,
    written: WrittenFile,
    path: &Path,
) -> BackupManifest {
    let (chain_id, registry) = match counted.followed {
        Some(followed) => (Some(followed.chain_id), Some(followed.registry)),
        None => (None, None),
    };
    BackupManifest {
        version: BackupManifest::VERSION,
        id: id.to_owned(),
        part: part.part,
        tier,
        file: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: written.bytes,
        sha256: written.sha256,
        encrypted_to: part.recipients.iter().map(ToString::to_string).collect(),
        taken_at: identity.taken_at,
        database: identity.name.clone(),
        server_major: identity.server_major,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        migrations: identity.migrations.clone(),
        chain_id,
        registry,
        master_keys: counted.master_keys,
        rows: counted.rows,
    }
}

/// Gives the dumps their names: all manifests first, and the keys before the records, so that no dump of records is there whose
/// keys are missing.
fn finish(aside: &[Aside]) -> io::Result<()> {
    for dump in aside {
        dump.manifest.write(&manifest::beside(&dump.path))?;
    }
    for dump in aside.iter().rev() {
        files::finish(&dump.path)?;
    }
    Ok(())
}

fn made(aside: Aside) -> MadeBackup {
    MadeBackup {
        path: aside.path,
        manifest: aside.manifest,
    }
}

/// Dumps a part of the snapshot into a file aside.
async fn dump(
    programs: &Programs,
    part: &WantedPart,
    snapshot: &str,
    path: &Path,
    tell: fn(&str),
) -> Result<WrittenFile, BackupError> {
    let connection = DatabaseAddress::of(&part.url)?;
    let mut dumps = programs.connected("pg_dump", &connection);
    dumps
        .args(["--format=custom", "--lock-wait-timeout=60s"])
        .arg(format!("--snapshot={snapshot}"))
        .arg(match part.part {
            BackupPart::Records => format!("--exclude-table={SCHEMA}.{KEYS_TABLE}"),
            BackupPart::Keys => format!("--table={SCHEMA}.{KEYS_TABLE}"),
        })
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut reads = programs.offline("pg_restore");
    reads.arg("--file=/dev/null").stdout(Stdio::null());
    let (path, recipients) = (path.to_owned(), part.recipients.clone());
    let done = tokio::task::spawn_blocking(move || write(dumps, reads, &path, &recipients, tell));
    done.await.map_err(io::Error::other)?
}

/// Writes what `dumps` prints, and has `reads` read it back meanwhile.
fn write(
    dumps: Command,
    reads: Command,
    path: &Path,
    recipients: &[BackupRecipient],
    tell: fn(&str),
) -> Result<WrittenFile, BackupError> {
    if let Some(directory) = path.parent() {
        files::make_private(directory)?;
    }
    let mut dumping = Running::start("pg_dump", dumps)?;
    let mut reading = Running::start("pg_restore", reads)?;
    let mut writer = BackupWriter::new(files::begin(path)?, recipients)?;
    let copied = copy(&mut dumping, &mut reading, &mut writer, tell);
    let beginning = copied?;
    dumping.end()?;
    if beginning != BEGINNING {
        return Err(BackupError::NoDump);
    }
    reading.end()?;
    Ok(writer.finish()?)
}

/// Copies until the dump ends; gives how it began.
fn copy(
    dumping: &mut Running,
    reading: &mut Running,
    writer: &mut BackupWriter,
    tell: fn(&str),
) -> Result<Vec<u8>, BackupError> {
    let mut output = dumping.child.stdout.take().ok_or(BackupError::NoDump)?;
    let mut check: Option<ChildStdin> = reading.child.stdin.take();
    let (mut buffer, mut beginning) = (vec![0; CHUNK], Vec::new());
    let (mut all, mut told) = (0_u64, Instant::now());
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        let bytes = &buffer[..read];
        if beginning.len() < BEGINNING.len() {
            let missing = BEGINNING.len() - beginning.len();
            beginning.extend_from_slice(&bytes[..read.min(missing)]);
        }
        writer.write_all(bytes)?;
        // One that refuses the dump says so when it ends.
        if check
            .as_mut()
            .is_some_and(|it| it.write_all(bytes).is_err())
        {
            check = None;
        }
        all += u64::try_from(read).unwrap_or_default();
        if told.elapsed() >= TELL_EVERY {
            tell(&format!("{} MiB dumped", all >> 20));
            told = Instant::now();
        }
    }
    Ok(beginning)
}

/// A program that runs; it is ended when this is dropped.
pub(crate) struct Running {
    name: &'static str,
    /// The process.
    pub(crate) child: Child,
    said: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    /// Starts it, and listens to what it complains of.
    ///
    /// # Errors
    /// [`BackupError::Failed`].
    pub(crate) fn start(name: &'static str, mut command: Command) -> Result<Self, BackupError> {
        let mut child = command.spawn().map_err(|error| BackupError::Failed {
            program: name,
            said: error.to_string(),
        })?;
        let said = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                // What it could not say is not known.
                pipe.read_to_end(&mut bytes).ok();
                end_of(&String::from_utf8_lossy(&bytes))
            })
        });
        Ok(Self { name, child, said })
    }

    /// Waits until it has ended well.
    ///
    /// # Errors
    /// [`BackupError::Failed`], with what it said.
    pub(crate) fn end(&mut self) -> Result<(), BackupError> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        let said = self.said.take().map(|it| it.join().unwrap_or_default());
        if status.success() {
            return Ok(());
        }
        let said = said.filter(|it| !it.is_empty());
        Err(BackupError::Failed {
            program: self.name,
            said: said.unwrap_or_else(|| status.to_string()),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be ended again.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The lines in which a program of PostgreSQL says what is wrong: never those that quote rows or statements.
fn end_of(said: &str) -> String {
    const LINES: usize = 3;
    let is_about_rows = |line: &&str| {
        ["DETAIL:", "CONTEXT:", "LINE ", "STATEMENT:", "Command was:"]
            .iter()
            .any(|it| line.contains(it))
    };
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| {
            line.contains("error:") || line.contains("ERROR:") || line.contains("FATAL:")
        })
        .filter(|line| !is_about_rows(line))
        .take(LINES)
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_says_is_told_without_rows() {
        let said = "pg_dump: error: connection to server failed: FATAL:  password authentication failed\n\
                    psql:<stdin>:9: ERROR:  duplicate key value violates unique constraint \"users_email_key\"\n\
                    DETAIL:  Key (email)=(ana@example.org) already exists.\n\
                    CONTEXT:  COPY users, line 1: error: ana\nnote: nothing\n";
        let told = end_of(said);
        assert!(
            told.contains("password authentication failed; psql"),
            "{told}"
        );
        assert!(!told.contains("ana"), "{told}");
    }

    #[test]
    fn dumps_are_called_as_the_specification_says() {
        let part = |part, recipients| WantedPart {
            part,
            url: String::new(),
            directory: PathBuf::from("/backups"),
            recipients,
        };
        let now = DateTime::from_timestamp(1_796_040_000, 0).expect("a time");
        let mut wanted = WantedBackup {
            tier: Tier::Daily,
            timed: false,
            programs: None,
            parts: vec![
                part(BackupPart::Records, Vec::new()),
                part(BackupPart::Keys, Vec::new()),
            ],
        };
        let day = now.with_timezone(&Local).format("%Y%m%d").to_string();
        let names = paths_of(&wanted, now)
            .into_iter()
            .map(|it| it.display().to_string());
        let names: Vec<String> = names.collect();
        assert_eq!(
            names,
            [
                format!("/backups/daily/meditrustal_{day}.dump"),
                format!("/backups/daily/meditrustal_keys_{day}.dump"),
            ]
        );
        wanted.timed = true;
        assert!(paths_of(&wanted, now)[0].display().to_string().len() > names[0].len());
    }
}
