//! The ledger as a file: a line for each entry, its hash, a blank and its text. It follows the table: what is committed there and
//! not in the file yet is appended and brought to the disk. A file that is no beginning of the table is left alone: it was cut
//! off, changed, or knows erasures that an older backup does not know.
//!
//! ```text
//! line = hash ‖ " " ‖ entry ‖ "\n"
//! hash = SHA-256(hash of the line before ‖ "\n" ‖ entry), in hexadecimal digits; 64 zeros stand before the first
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use store::{Pool, StoreError, erasure_ledger};
use tokio::sync::Mutex;
use vault::digest;

/// How many entries are appended at a time.
const AT_ONCE: i64 = 1000;
/// The hash before the first entry.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

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

    /// Appends what the table has and the file has not. When it returns, it is on the disk.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) async fn follow(&self, pool: &Pool) -> Result<LedgerEnd, LedgerError> {
        let mut known = self.known.lock().await;
        let mut file = self.open()?;
        // Until the file is closed: another process on this machine may write it, too.
        file.lock()?;
        let length = file.metadata()?.len();
        if length < known.length {
            return Err(LedgerError::Parted(known.position));
        }
        let mut end = read(&file, known.clone(), |_, _, _| ())?;
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
            let mut lines = String::new();
            for row in rows {
                if hash(&end.hash, &row.entry) != row.hash {
                    return Err(LedgerError::Parted(row.position));
                }
                lines.extend([&row.hash, " ", &row.entry, "\n"]);
                end.position = row.position;
                end.hash = row.hash;
            }
            // Over what a crash left of a line.
            file.set_len(end.length)?;
            file.seek(SeekFrom::Start(end.length))?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()?;
            end.length += u64::try_from(lines.len()).unwrap_or_default();
        }
        *known = end.clone();
        Ok(end)
    }

    /// The file, made where there is none, for its owner alone.
    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match options.open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = options.create_new(true).open(&self.path)?;
                let parent = self.path.parent().filter(|it| !it.as_os_str().is_empty());
                // Its name has to be on the disk, too.
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
                Ok(file)
            }
            opened => opened,
        }
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
