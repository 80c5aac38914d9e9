//! Makes a backup: a snapshot, the rows of every table in it, a dump of that snapshot, and a manifest. Records and keys are dumped
//! at once, and the rows are counted meanwhile. Each dump is written aside and read back by `pg_restore` while it is written; it
//! gets its name when it is on the disk, or never.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use chrono::{DateTime, Local, Utc};
use domain::ids::RequestId;
use futures::future::join_all;
use rustix::process::{Pid, getpriority_process, setpriority_process};
use serde::Serialize;
use store::{
    StoreError,
    backups::{DatabaseIdentity, FollowedRegistry, KEYS_TABLE, NoTenant, Snapshot},
    tenant::Tenant,
};
use vault::backup::{BackupRecipient, BackupWriter, WrittenFile};

use super::{
    BackupPart, Tier, files,
    manifest::{self, BackupManifest},
    pipes::{self, PacedPipe},
    programs::{DatabaseAddress, ProgramError, Programs},
};

/// How a dump in the custom format begins.
const BEGINNING: &[u8] = b"PGDMP";

/// How long a backup that has the second in its name waits for one of which there is none.
const WAITS_AT_MOST: Duration = Duration::from_secs(3);

/// The priority of a program that others go before: it weighs a ninth of the usual 0 (the table of weights in Linux'
/// `kernel/sched/core.c`).
const NICE: i32 = 10;

/// One part, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct WantedPart {
    /// Which.
    pub(crate) part: BackupPart,
    /// The database under the role that reads it.
    pub(crate) url: String,
    /// The directory of its backups: the tenant's home in it.
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
    /// Whose tables they are.
    pub(crate) tenant: Tenant,
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
    /// Nobody knows whose tables they are.
    #[error(transparent)]
    Tenant(#[from] NoTenant),
    /// A role leads to another tenant's tables than it should.
    #[error(
        "the role that reads the {part} leads to the schema {found:?}, and the backup is of {wanted:?}: nothing was written; see \
         MEDITRUSTAL_SCHEMA, and whose role the address of the database names"
    )]
    OtherSchema {
        /// What it reads.
        part: BackupPart,
        /// Where it leads to.
        found: String,
        /// What is backed up.
        wanted: String,
    },
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
    let (paths, wait) = free_paths(wanted, now)?;
    tokio::time::sleep(wait).await;
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

/// Looks whether it could be made, and gives what the dumps would be called; nothing is written, and no second waited for.
///
/// # Errors
/// [`BackupError`]: why it could not.
pub(crate) async fn look(
    wanted: &WantedBackup,
    now: DateTime<Utc>,
) -> Result<Vec<PathBuf>, BackupError> {
    let (paths, _) = free_paths(wanted, now)?;
    if let Some(first) = wanted.parts.first() {
        let mut snapshot = Snapshot::begin(&first.url).await?;
        let identity = snapshot.identity().await;
        let identity = identity.map_err(|error| as_empty(error, &first.url))?;
        prepare(wanted, &snapshot.id, &identity).await?;
        snapshot.end().await;
    }
    Ok(paths)
}

/// PostgreSQL's programs, and the snapshot under the role of each part: a role that may not log in, or leads elsewhere, is
/// refused before anything is dumped.
async fn prepare(
    wanted: &WantedBackup,
    snapshot: &str,
    identity: &DatabaseIdentity,
) -> Result<(Programs, Vec<Snapshot>), BackupError> {
    if identity.migrations.is_empty() {
        return Err(BackupError::Empty(identity.name.clone()));
    }
    let (named, major) = (wanted.programs.clone(), identity.server_major);
    let looking = tokio::task::spawn_blocking(move || Programs::find(named.as_deref(), major));
    let imports = wanted.parts.iter();
    let imports = imports.map(|part| import(part, snapshot, wanted.tenant.schema()));
    let (programs, all) = tokio::join!(looking, join_all(imports));
    let programs = programs.map_err(io::Error::other)??;
    let all: Result<Vec<Snapshot>, BackupError> = all.into_iter().collect();
    Ok((programs, all?))
}

/// The snapshot under the role of a part, which has to lead to this schema.
async fn import(part: &WantedPart, snapshot: &str, schema: &str) -> Result<Snapshot, BackupError> {
    let mut seen = Snapshot::import(&part.url, snapshot).await?;
    require_schema(part.part, seen.schema().await?, schema)?;
    Ok(seen)
}

/// Dumps every part of a snapshot into a file aside, all at once.
async fn dump_all(
    wanted: &WantedBackup,
    paths: &[PathBuf],
    snapshot: &str,
    identity: &DatabaseIdentity,
    tell: fn(&str),
) -> Result<Vec<Aside>, BackupError> {
    let id = RequestId::fresh().to_string();
    let (programs, all) = prepare(wanted, snapshot, identity).await?;
    let dumps = wanted.parts.iter().zip(paths).zip(all);
    let dumps = dumps.map(|((part, path), seen)| {
        let dump = PartDump {
            tier: wanted.tier,
            part,
            path,
            seen,
        };
        dump.run(&programs, &id, identity, tell)
    });
    // Each comes to its end, also where another fails: nobody writes any more when what lies aside is removed.
    join_all(dumps).await.into_iter().collect()
}

/// Refuses a role that leads to another schema than the one that is backed up.
fn require_schema(part: BackupPart, found: String, wanted: &str) -> Result<(), BackupError> {
    if found == wanted {
        return Ok(());
    }
    Err(BackupError::OtherSchema {
        part,
        found,
        wanted: wanted.to_owned(),
    })
}

/// A part that is to be dumped.
struct PartDump<'a> {
    tier: Tier,
    part: &'a WantedPart,
    path: &'a Path,
    /// The snapshot, under the role that reads this part.
    seen: Snapshot,
}

impl PartDump<'_> {
    /// Dumps it, and counts its rows meanwhile.
    async fn run(
        self,
        programs: &Programs,
        id: &str,
        identity: &DatabaseIdentity,
        tell: fn(&str),
    ) -> Result<Aside, BackupError> {
        let (part, path) = (self.part, self.path);
        let snapshot = self.seen.id.clone();
        tell(&format!(
            "dumping the {} into {}",
            part.part,
            path.display()
        ));
        let (counted, written) = tokio::join!(
            count(part.part, self.seen),
            dump(programs, part, (identity, &snapshot), path, tell)
        );
        let counted = counted?;
        if counted.rows.is_empty() {
            return Err(BackupError::Empty(identity.name.clone()));
        }
        let manifest = manifest_of(self.tier, part, id, identity, counted, written?, path);
        Ok(Aside {
            path: path.to_owned(),
            manifest,
        })
    }
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

/// What the dumps are called where none of that name is there, and how long it takes until then: one that has the second in its name
/// waits for a second of which there is none.
fn free_paths(
    wanted: &WantedBackup,
    now: DateTime<Utc>,
) -> Result<(Vec<PathBuf>, Duration), BackupError> {
    let mut wait = Duration::ZERO;
    loop {
        let paths = paths_of(wanted, now + wait);
        let Some(there) = paths.iter().find_map(|path| taken(path)) else {
            return Ok((paths, wait));
        };
        if !wanted.timed || wait == WAITS_AT_MOST {
            return Err(BackupError::There(there.display().to_string()));
        }
        wait += Duration::from_secs(1);
    }
}

/// What the dumps are called, in the order of the parts: by this machine's day, as `date +%Y%m%d` has it, and a tenant's schema.
fn paths_of(wanted: &WantedBackup, now: DateTime<Utc>) -> Vec<PathBuf> {
    let layout = if wanted.timed {
        "%Y%m%d%H%M%S"
    } else {
        "%Y%m%d"
    };
    let day = now.with_timezone(&Local).format(layout).to_string();
    let of_tenant = if wanted.tenant.is_in_usual_schema() {
        String::new()
    } else {
        format!("_{}", wanted.tenant.schema())
    };
    let path = |part: &WantedPart| {
        let ending = if part.recipients.is_empty() {
            "dump"
        } else {
            "dump.age"
        };
        let name = format!("{}{day}{of_tenant}.{ending}", part.part.prefix());
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

async fn count(part: BackupPart, mut seen: Snapshot) -> Result<SnapshotCounts, StoreError> {
    let counted = match part {
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
    let owner = Tenant::of_role(&identity.schema, &identity.owner);
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
        schema: identity.schema.clone(),
        role_prefix: owner.ok().map(|it| it.prefix().to_owned()),
        server_major: identity.server_major,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        migrations: identity.migrations.clone(),
        chain_id,
        registry,
        master_keys: counted.master_keys,
        rows: counted.rows,
        left_out: left_out(part.part, identity).to_vec(),
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

/// The schemas that a dump leaves out: of a dump of all that is in the database those of other tenants.
fn left_out(part: BackupPart, identity: &DatabaseIdentity) -> &[String] {
    if part == BackupPart::Records && identity.schema == Tenant::usual().schema() {
        &identity.of_others
    } else {
        &[]
    }
}

/// What `pg_dump` is to take. Of a database that one tenant has, in the usual schema, that is all but the keys, and what
/// belongs to other tenants: `--schema=public` would say that the schema has to be made, which every database has.
fn selection(part: BackupPart, identity: &DatabaseIdentity) -> Vec<String> {
    let schema = &identity.schema;
    match part {
        BackupPart::Keys => vec![format!("--table={schema}.{KEYS_TABLE}")],
        BackupPart::Records => {
            let mut words = vec![format!("--exclude-table={schema}.{KEYS_TABLE}")];
            if schema == Tenant::usual().schema() {
                let others = left_out(part, identity).iter();
                words.extend(others.map(|it| format!("--exclude-schema={it}")));
            } else {
                words.push(format!("--schema={schema}"));
            }
            words
        }
    }
}

/// Dumps a part of the snapshot into a file aside.
async fn dump(
    programs: &Programs,
    part: &WantedPart,
    (identity, snapshot): (&DatabaseIdentity, &str),
    path: &Path,
    tell: fn(&str),
) -> Result<WrittenFile, BackupError> {
    let connection = DatabaseAddress::of(&part.url)?;
    let mut dumps = programs.connected("pg_dump", &connection);
    dumps
        .args(["--format=custom", "--lock-wait-timeout=60s"])
        .arg(format!("--snapshot={snapshot}"))
        .args(selection(part.part, identity))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut reads = programs.offline("pg_restore");
    reads.arg("--file=/dev/null").stdout(Stdio::null());
    let (path, recipients, part) = (path.to_owned(), part.recipients.clone(), part.part);
    let told = move |bytes: u64| tell(&format!("{} MiB of the {part} dumped", bytes >> 20));
    let done = tokio::task::spawn_blocking(move || write(dumps, reads, &path, &recipients, told));
    done.await.map_err(io::Error::other)?
}

/// Writes what `dumps` prints, and has `reads` read it back meanwhile.
fn write(
    dumps: Command,
    reads: Command,
    path: &Path,
    recipients: &[BackupRecipient],
    tell: impl Fn(u64),
) -> Result<WrittenFile, BackupError> {
    if let Some(directory) = path.parent() {
        files::make_private(directory)?;
    }
    let mut dumping = Running::start("pg_dump", dumps)?;
    let mut reading = Running::start("pg_restore", reads)?;
    reading.yield_to_others();
    let writer = BackupWriter::new(files::begin(path)?, recipients)?;
    let (beginning, written) = copy(&mut dumping, &mut reading, writer, tell)?;
    dumping.end()?;
    if beginning != BEGINNING {
        return Err(BackupError::NoDump);
    }
    reading.end()?;
    Ok(written)
}

/// Copies until the dump ends; gives how it began, and the file, which is on the disk then. The file and the program that reads back
/// have a thread each, so that the dump waits for neither until it is far ahead of it, and the disk for no check.
fn copy(
    dumping: &mut Running,
    reading: &mut Running,
    mut writer: BackupWriter,
    tell: impl Fn(u64),
) -> Result<(Vec<u8>, WrittenFile), BackupError> {
    let output = dumping.child.stdout.take().ok_or(BackupError::NoDump)?;
    let output = PacedPipe::new(output);
    let check = reading.child.stdin.take();
    if let Some(check) = &check {
        pipes::enlarge(check);
    }
    let ended = || io::Error::other("a thread ended");
    thread::scope(|scope| {
        let (to_file, for_file) = pipes::queue();
        let (to_check, for_check) = pipes::queue();
        let writing = scope.spawn(move || {
            pipes::write_all(&for_file, &mut writer)?;
            writer.finish()
        });
        let checking = scope.spawn(move || pipes::feed_program(&for_check, check));
        let queues = [to_file, to_check];
        let beginning = pipes::hand_on(output, BEGINNING.len(), &queues, tell);
        // Both threads end with that.
        drop(queues);
        let written = writing.join().unwrap_or_else(|_| Err(ended()));
        checking.join().map_err(|_| ended())?;
        let written = written?;
        Ok((beginning?, written))
    })
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

    /// Has other programs go first, above all `pg_dump` and the server. Where the system refuses that, all of them are alike.
    fn yield_to_others(&self) {
        // Who runs us by `nice` may have asked for less.
        let ours = getpriority_process(None).unwrap_or_default();
        setpriority_process(Some(Pid::from_child(&self.child)), ours.max(NICE)).ok();
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
    fn a_program_that_yields_has_a_lower_priority() {
        let mut command = Command::new("cat");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut running = Running::start("cat", command).expect("it starts");

        running.yield_to_others();

        let its = getpriority_process(Some(Pid::from_child(&running.child)));
        let ours = getpriority_process(None).expect("a priority");
        assert_eq!(its.expect("a priority"), ours.max(NICE));
        running.end().expect("it ends");
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
            tenant: Tenant::usual(),
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
        wanted.timed = false;
        wanted.tenant = Tenant::new("north", "north").expect("a tenant");
        let name = paths_of(&wanted, now)[1].display().to_string();
        assert_eq!(
            name,
            format!("/backups/daily/meditrustal_keys_{day}_north.dump")
        );
    }

    #[test]
    fn a_backup_of_the_same_second_has_the_name_of_the_first_that_is_free() {
        let root = std::env::temp_dir().join(format!("meditrustal-second-{}", std::process::id()));
        let part = |part, directory: &str| WantedPart {
            part,
            url: String::new(),
            directory: root.join(directory),
            recipients: Vec::new(),
        };
        let mut wanted = WantedBackup {
            tier: Tier::Daily,
            timed: true,
            tenant: Tenant::usual(),
            programs: None,
            parts: vec![
                part(BackupPart::Records, "records"),
                part(BackupPart::Keys, "keys"),
            ],
        };
        let now = DateTime::from_timestamp(1_796_040_000, 0).expect("a time");
        let second = Duration::from_secs(1);
        let is_made = |path: &Path| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, "").expect("written");
        };
        let free = |wanted: &WantedBackup| free_paths(wanted, now).expect("there is one");
        assert_eq!(free(&wanted), (paths_of(&wanted, now), Duration::ZERO));

        is_made(&paths_of(&wanted, now)[0]);
        // Encrypted or not: both would have the same manifest.
        let keys = paths_of(&wanted, now + second).remove(1);
        is_made(&keys.with_extension("dump.age"));

        let later = 2 * second;
        assert_eq!(free(&wanted), (paths_of(&wanted, now + later), later));
        for later in [2, 3] {
            is_made(&paths_of(&wanted, now + later * second)[0]);
        }
        let refused = free_paths(&wanted, now);
        assert!(matches!(refused, Err(BackupError::There(_))), "{refused:?}");
        // One that has only the day in its name waits for none.
        wanted.timed = false;
        is_made(&paths_of(&wanted, now)[0]);
        let refused = free_paths(&wanted, now);
        assert!(matches!(refused, Err(BackupError::There(_))), "{refused:?}");
        std::fs::remove_dir_all(&root).ok();
    }

    #[test]
    fn a_dump_takes_one_tenants_tables_alone() {
        let mut identity = DatabaseIdentity {
            name: "clinics".to_owned(),
            schema: Tenant::usual().schema().to_owned(),
            owner: "meditrustal_migrator".to_owned(),
            of_others: vec!["north".to_owned()],
            server_major: 18,
            taken_at: DateTime::from_timestamp(0, 0).expect("a time"),
            migrations: Vec::new(),
        };
        assert_eq!(
            selection(BackupPart::Records, &identity),
            [
                "--exclude-table=public.patient_keys",
                "--exclude-schema=north"
            ]
        );
        assert_eq!(left_out(BackupPart::Records, &identity), ["north"]);
        assert!(left_out(BackupPart::Keys, &identity).is_empty());
        identity.schema = "north".to_owned();
        assert!(left_out(BackupPart::Records, &identity).is_empty());
        assert_eq!(
            selection(BackupPart::Records, &identity),
            ["--exclude-table=north.patient_keys", "--schema=north"]
        );
        assert_eq!(
            selection(BackupPart::Keys, &identity),
            ["--table=north.patient_keys"]
        );
    }
}
