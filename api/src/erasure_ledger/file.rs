//! The ledger as a file: a line for each entry, its hash, a blank and its text. It follows the table: what is committed there and
//! not in the file yet is appended and brought to the disk. A file that is no beginning of the table is left alone: it was cut
//! off, changed, or knows erasures that an older backup does not know. An entry that nobody sealed who holds a master key is not
//! copied, nor is anything after it.
//!
//! ```text
//! line = hash ‖ " " ‖ entry ‖ "\n"
//! hash = SHA-256(hash of the line before ‖ "\n" ‖ entry), in hexadecimal digits; 64 zeros stand before the first
//! ```

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use store::{
    Pool, StoreError,
    erasure_ledger::{self, LedgerRow},
};
use tokio::sync::Mutex;
use vault::{digest, keyring::Keyring, sync_directory_of};

use super::LedgerEntry;

/// How many entries are appended at a time.
const AT_ONCE: i64 = 1000;
/// How long another process may hold the file.
const HELD_FOR: Duration = Duration::from_secs(10);
/// How often it is looked whether it does.
const LOOKED_EVERY: Duration = Duration::from_millis(20);
/// The hash before the first entry.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why a ledger cannot be written, or not be gone by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// The file's.
    #[error("the erasure ledger cannot be read or written: {0}")]
    File(#[from] io::Error),
    /// A line is not what was written.
    #[error(
        "line {0} of the erasure ledger is not what was written: it, or a line before it, was changed or removed"
    )]
    Broken(i64),
    /// The file and the table have parted.
    #[error(
        "the erasure ledger has other entries than the database, from line {0} on: after the restore of a backup run \
         `meditrustal erasures replay` with this file; else keep it, name another one, and find out who changed it"
    )]
    Parted(i64),
    /// An entry was not sealed by us: whoever can write the table or the file can name anybody in it.
    #[error(
        "line {0} of the erasure ledger is not sealed in its place: nobody who holds a master key wrote it, or its key is not in \
         the file of master keys; nothing is done by it"
    )]
    Forged(i64),
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a ledger ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerEnd {
    /// How many entries it has.
    pub(crate) position: i64,
    /// The hash of the last one.
    pub(crate) hash: String,
    /// How long the file is. Unit: bytes.
    length: u64,
}

impl Default for LedgerEnd {
    fn default() -> Self {
        Self {
            position: 0,
            hash: NOTHING.to_owned(),
            length: 0,
        }
    }
}

/// The hash of an entry.
fn hash(before: &str, entry: &str) -> String {
    digest::hex_of(format!("{before}\n{entry}").as_bytes())
}

/// Reads a ledger from where it was read before, and checks each line. A last line without an end was being written when the
/// power went: it counts as none.
///
/// # Errors
/// [`LedgerError::Broken`], or the file's.
pub(crate) fn read(
    file: &File,
    from: LedgerEnd,
    mut each: impl FnMut(i64, &str, &str),
) -> Result<LedgerEnd, LedgerError> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(from.length))?;
    let (mut end, mut line) = (from, String::new());
    loop {
        line.clear();
        let read = reader.read_line(&mut line)?;
        let Some(whole) = line.strip_suffix('\n') else {
            return Ok(end);
        };
        let position = end.position + 1;
        let (said, entry) = whole.split_once(' ').ok_or(LedgerError::Broken(position))?;
        if hash(&end.hash, entry) != said {
            return Err(LedgerError::Broken(position));
        }
        each(position, said, entry);
        end = LedgerEnd {
            position,
            hash: said.to_owned(),
            length: end.length + u64::try_from(read).unwrap_or_default(),
        };
    }
}

/// A ledger beside the database.
#[derive(Debug)]
pub(crate) struct LedgerFile {
    path: PathBuf,
    /// Up to where it was read.
    known: Mutex<LedgerEnd>,
}

impl LedgerFile {
    /// The ledger at a path; it need not exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            known: Mutex::new(LedgerEnd::default()),
        }
    }

    /// Appends what the table has and the file has not, up to what we did not seal. When it returns, it is on the disk.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn follow(
        &self,
        pool: &Pool,
        keyring: &Keyring,
    ) -> Result<LedgerEnd, LedgerError> {
        let mut known = self.known.lock().await;
        let (path, from) = (self.path.clone(), known.clone());
        // Until the file is closed it is ours alone.
        let (mut file, mut end) = on_disk(move || take(&path, from)).await?;
        let mut conn = pool.acquire().await?;
        if end.position > 0
            && erasure_ledger::hash_at(&mut conn, end.position)
                .await?
                .as_ref()
                != Some(&end.hash)
        {
            return Err(LedgerError::Parted(end.position));
        }
        loop {
            let rows = erasure_ledger::after(&mut conn, end.position, AT_ONCE).await?;
            if rows.is_empty() {
                break;
            }
            let (begin, mut lines) = (end.length, String::new());
            let mut forged = None;
            for row in rows {
                if !is_next(&row, &end, keyring) {
                    forged = Some(LedgerError::Forged(end.position + 1));
                    break;
                }
                lines.extend([&row.hash, " ", &row.entry, "\n"]);
                end.position = row.position;
                end.hash = row.hash;
            }
            end.length += u64::try_from(lines.len()).unwrap_or_default();
            file = on_disk(move || write(file, begin, &lines)).await?;
            if let Some(forged) = forged {
                return Err(forged);
            }
        }
        *known = end.clone();
        Ok(end)
    }

    /// Where the file ends, and how many entries [`LedgerFile::follow`] would append; nothing is written.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn missing(
        &self,
        pool: &Pool,
        keyring: &Keyring,
    ) -> Result<(LedgerEnd, u64), LedgerError> {
        let path = self.path.clone();
        let there = on_disk(move || look(&path)).await?;
        let mut conn = pool.acquire().await?;
        if there.position > 0 {
            let hash = erasure_ledger::hash_at(&mut conn, there.position).await?;
            if hash.as_ref() != Some(&there.hash) {
                return Err(LedgerError::Parted(there.position));
            }
        }
        let (mut end, mut missing) = (there.clone(), 0);
        loop {
            let rows = erasure_ledger::after(&mut conn, end.position, AT_ONCE).await?;
            if rows.is_empty() {
                return Ok((there, missing));
            }
            for row in rows {
                if !is_next(&row, &end, keyring) {
                    return Err(LedgerError::Forged(end.position + 1));
                }
                missing += 1;
                end.position = row.position;
                end.hash = row.hash;
            }
        }
    }

    /// As [`LedgerFile::follow`], and reads the file from its beginning: what was read before may have been changed since.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn follow_anew(
        &self,
        pool: &Pool,
        keyring: &Keyring,
    ) -> Result<LedgerEnd, LedgerError> {
        *self.known.lock().await = LedgerEnd::default();
        self.follow(pool, keyring).await
    }
}

/// Whether a row is the one after this end, and sealed as such.
fn is_next(row: &LedgerRow, end: &LedgerEnd, keyring: &Keyring) -> bool {
    row.position == end.position + 1
        && hash(&end.hash, &row.entry) == row.hash
        && serde_json::from_str::<LedgerEntry>(&row.entry)
            .is_ok_and(|entry| entry.is_ours(keyring, &end.hash))
}

/// Does what waits for the disk where nothing else waits.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| LedgerError::File(io::Error::other(error)))?
}

/// Opens the file for us alone, and reads it to its end.
fn take(path: &Path, from: LedgerEnd) -> Result<(File, LedgerEnd), LedgerError> {
    let file = open(path)?;
    let until = Instant::now() + HELD_FOR;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Another process on this machine writes it.
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(LOOKED_EVERY);
            }
            Err(error) => return Err(LedgerError::File(error.into())),
        }
    }
    if file.metadata()?.len() < from.length {
        return Err(LedgerError::Parted(from.position));
    }
    let end = read(&file, from, |_, _, _| ())?;
    Ok((file, end))
}

/// Reads the file to its end, where there is one.
fn look(path: &Path) -> Result<LedgerEnd, LedgerError> {
    match File::open(path) {
        Ok(file) => read(&file, LedgerEnd::default(), |_, _, _| ()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LedgerEnd::default()),
        Err(error) => Err(error.into()),
    }
}

/// Writes lines from a place on, over what a crash left of a line, and brings them to the disk.
fn write(mut file: File, begin: u64, lines: &str) -> Result<File, LedgerError> {
    file.set_len(begin)?;
    file.seek(SeekFrom::Start(begin))?;
    file.write_all(lines.as_bytes())?;
    file.sync_all()?;
    Ok(file)
}

/// The file, made where there is none, for its owner alone.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create_new(true).open(path)?;
            sync_directory_of(path)?;
            Ok(file)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this text.
    fn of(text: &str) -> File {
        let path = std::env::temp_dir().join(format!("ledger-{}", domain::ids::RequestId::fresh()));
        std::fs::write(&path, text).expect("it is written");
        let file = File::open(&path).expect("it is there");
        std::fs::remove_file(&path).expect("it is removed");
        file
    }

    fn lines(entries: &[&str]) -> Vec<String> {
        let mut before = NOTHING.to_owned();
        let lines = entries.iter().map(|entry| {
            before = hash(&before, entry);
            format!("{before} {entry}\n")
        });
        lines.collect()
    }

    #[test]
    fn whatever_is_changed_in_a_ledger_is_noticed_at_its_line() {
        let lines = lines(&["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]);
        let whole = lines.concat();
        let read_of = |text: &str| read(&of(text), LedgerEnd::default(), |_, _, _| ());
        let end = read_of(&whole).expect("it is whole");
        assert_eq!((end.position, end.length), (3, whole.len() as u64));
        for (text, line) in [
            (whole.replace("\"a\":1", "\"a\":2"), 1),
            (whole.replace("\"b\":2", "\"b\":3"), 2),
            ([lines[0].clone(), lines[2].clone()].concat(), 2),
            ([lines[1].clone(), lines[0].clone()].concat(), 1),
            (format!("{whole}nonsense\n"), 4),
        ] {
            assert!(
                matches!(read_of(&text), Err(LedgerError::Broken(at)) if at == line),
                "{text}"
            );
        }
        // What was being written when the power went is not there.
        let torn = read_of(&format!("{whole}0123")).expect("it ends before that");
        assert_eq!(torn, end);
    }
}
