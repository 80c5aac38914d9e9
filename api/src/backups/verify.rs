//! Whether a backup is what its manifest says: the file by its length and SHA-256, and, for whoever can open it, every row.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Serialize;
use vault::backup::{self, BackupIdentities, BackupReader, OpenBackupError};

use super::{
    manifest::{self, BackupManifest, ManifestError},
    pipes,
    programs::{ProgramError, Programs},
    run::{BackupError, Running},
};

/// How a line begins that announces rows in the script that `pg_restore` makes of a dump; the name of the schema follows.
const COPY: &str = "COPY ";

/// Why a backup is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VerifyError {
    /// The manifest's.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The file's.
    #[error("{0} cannot be read")]
    File(String, #[source] io::Error),
    /// It was cut off, or goes on.
    #[error("{path} has {found} bytes, and its manifest says {wanted}: it was cut off or changed")]
    Length {
        /// The dump.
        path: String,
        /// How long it is.
        found: u64,
        /// How long it was.
        wanted: u64,
    },
    /// It was changed.
    #[error("{0} is not what was written: its SHA-256 is not the one of its manifest")]
    Changed(String),
    /// It cannot be opened.
    #[error("{path} cannot be opened: {source}; it was encrypted to {encrypted_to}")]
    Sealed {
        /// The dump.
        path: String,
        /// To whom it was encrypted.
        encrypted_to: String,
        /// Why.
        source: OpenBackupError,
    },
    /// A program's that is missing.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// `pg_restore` refuses it.
    #[error("{path} is no dump that pg_restore can read")]
    Unreadable {
        /// The dump.
        path: String,
        /// What it said.
        #[source]
        source: BackupError,
    },
    /// A table has other rows than it had.
    #[error("{path} has {found} rows of {table}, and its manifest says {wanted}")]
    Rows {
        /// The dump.
        path: String,
        /// The table.
        table: String,
        /// How many it has.
        found: i64,
        /// How many there were.
        wanted: i64,
    },
}

/// What was found of a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verified {
    /// The dump.
    pub(crate) path: PathBuf,
    /// What it says of itself.
    pub(crate) manifest: BackupManifest,
    /// Whether every row was read: for that it has to be opened.
    pub(crate) rows_were_read: bool,
}

/// Compares the file with its manifest.
///
/// # Errors
/// [`VerifyError`].
pub(crate) fn verify_file(path: &Path) -> Result<BackupManifest, VerifyError> {
    let manifest = manifest::of_dump(path)?;
    let shown = path.display().to_string();
    let found =
        backup::hash_of_file(path).map_err(|error| VerifyError::File(shown.clone(), error))?;
    if found.bytes != manifest.bytes {
        return Err(VerifyError::Length {
            path: shown,
            found: found.bytes,
            wanted: manifest.bytes,
        });
    }
    if found.sha256 != manifest.sha256 {
        return Err(VerifyError::Changed(shown));
    }
    Ok(manifest)
}

/// Opens a dump.
///
/// # Errors
/// [`VerifyError`].
pub(crate) fn open(
    path: &Path,
    manifest: &BackupManifest,
    identities: &BackupIdentities,
) -> Result<BackupReader, VerifyError> {
    let opened = if manifest.encrypted_to.is_empty() {
        BackupReader::plain(path)
    } else {
        BackupReader::sealed(path, identities)
    };
    opened.map_err(|source| VerifyError::Sealed {
        path: path.display().to_string(),
        encrypted_to: match manifest.encrypted_to.as_slice() {
            [] => "nobody".to_owned(),
            all => all.join(", "),
        },
        source,
    })
}

/// Reads every row of a dump, and compares how many each table has with the manifest.
///
/// # Errors
/// [`VerifyError`].
pub(crate) fn verify_rows(
    path: &Path,
    manifest: &BackupManifest,
    identities: &BackupIdentities,
    programs: &Programs,
) -> Result<(), VerifyError> {
    let shown = path.display().to_string();
    let unreadable = |source| VerifyError::Unreadable {
        path: shown.clone(),
        source,
    };
    let mut content = open(path, manifest, identities)?;
    let mut command = programs.offline("pg_restore");
    command
        .args(["--data-only", "--file=-"])
        .stdout(Stdio::piped());
    let mut reading = Running::start("pg_restore", command).map_err(unreadable)?;
    let output = reading.child.stdout.take();
    let mut input = reading.child.stdin.take();
    output.iter().for_each(pipes::enlarge);
    input.iter().for_each(pipes::enlarge);
    let schema = manifest.schema.clone();
    let counting = std::thread::spawn(move || match output {
        Some(output) => count(output, &schema),
        None => Ok(BTreeMap::new()),
    });
    let fed = feed(&mut content, |bytes| {
        // One that refuses the dump says so when it ends.
        if input
            .as_mut()
            .is_some_and(|it| it.write_all(bytes).is_err())
        {
            input = None;
        }
        ControlFlow::Continue(())
    });
    drop(input);
    fed.map_err(|error| VerifyError::File(shown.clone(), error))?;
    let counted = counting.join().unwrap_or_else(|_| Ok(BTreeMap::new()));
    reading.end().map_err(unreadable)?;
    let counted = counted.map_err(|error| VerifyError::File(shown.clone(), error))?;
    compare(&shown, manifest, &counted)
}

fn compare(
    path: &str,
    manifest: &BackupManifest,
    counted: &BTreeMap<String, i64>,
) -> Result<(), VerifyError> {
    let names = manifest.rows.keys().chain(counted.keys());
    for table in names {
        let found = counted.get(table).copied().unwrap_or_default();
        let wanted = manifest.rows.get(table).copied().unwrap_or_default();
        if found != wanted {
            return Err(VerifyError::Rows {
                path: path.to_owned(),
                table: table.clone(),
                found,
                wanted,
            });
        }
    }
    Ok(())
}

/// Reads to the end, or until `take` wants no more.
///
/// # Errors
/// The reader's: that it was cut off or changed, too.
pub(crate) fn feed(
    content: &mut BackupReader,
    mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; pipes::PIECE];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 || take(&buffer[..read]).is_break() {
            return Ok(());
        }
    }
}

/// How many rows each table of a schema has in a script.
fn count(script: impl Read, schema: &str) -> io::Result<BTreeMap<String, i64>> {
    // A name that is a word of SQL as well stands in quotes.
    let announces = [format!("{COPY}{schema}."), format!("{COPY}\"{schema}\".")];
    let mut script = BufReader::with_capacity(pipes::PIECE, script);
    let (mut counted, mut line) = (BTreeMap::<String, i64>::new(), Vec::new());
    // The table whose rows come now, and how many came.
    let mut table = None::<(String, i64)>;
    loop {
        line.clear();
        let is_end = script.read_until(b'\n', &mut line)? == 0;
        match &mut table {
            Some((_, rows)) if !is_end && line != b"\\.\n" => *rows += 1,
            Some(_) => {
                if let Some((name, rows)) = table.take()
                    && rows > 0
                {
                    *counted.entry(name).or_default() += rows;
                }
            }
            None => {
                let text = String::from_utf8_lossy(&line);
                let mut announces = announces.iter();
                let rest = announces.find_map(|it| text.strip_prefix(it.as_str()));
                table = rest.and_then(|rest| {
                    let name = rest.split([' ', '(']).next()?;
                    Some((name.trim_matches('"').to_owned(), 0))
                });
            }
        }
        if is_end {
            return Ok(counted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_script_are_counted() {
        let script = b"SET x;\n\nCOPY public.users (id, name) FROM stdin;\n1\tana\n2\tCOPY public.x\n\\.\n\n\
            COPY public.empty (id) FROM stdin;\n\\.\nSELECT 1;\n\nCOPY public.\"Odd\" (id) FROM stdin;\n\\N\n\\.\n";

        let counted = count(&script[..], "public").expect("it is read");
        let of_another = count(&script[..], "north").expect("it is read");
        let quoted = b"COPY \"time\".users (id) FROM stdin;\n1\n\\.\n";
        let quoted = count(&quoted[..], "time").expect("it is read");

        let wanted = [("users".to_owned(), 2), ("Odd".to_owned(), 1)];
        assert_eq!(counted, BTreeMap::from(wanted));
        assert_eq!(of_another, BTreeMap::new());
        assert_eq!(quoted, BTreeMap::from([("users".to_owned(), 1)]));
    }
}
