//! Loads both dumps into an empty database, in one transaction: `pg_restore` makes the statements, `psql` runs them. Whatever goes
//! wrong, and whenever this process is killed, the database is as empty as it was: the script commits with its last line alone.
//!
//! The order is that of the dependencies: tables, rows, what the keys need by themselves, what the records need (also keys), and
//! at last the reference from the keys to the accounts.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
    time::{Duration, Instant},
};

use domain::ids::RequestId;
use store::{backups::unfinished_comment, tenant::Tenant};
use vault::backup::BackupIdentities;

use super::check::{CheckedDump, CheckedDumps};
use crate::backups::{
    pipes,
    programs::{DatabaseAddress, ProgramError, Programs},
    run::{BackupError, Running},
    verify::{self, VerifyError},
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// The section of a dump that has its rows.
const DATA: &str = "data";
/// What stands in the list of a dump's contents for a foreign key.
const FOREIGN_KEY: &str = " FK CONSTRAINT ";
/// What an entry of the list is that makes a schema, or says something of it: the schema is there already.
const OF_SCHEMA: [&str; 2] = [" SCHEMA - ", " COMMENT - SCHEMA "];

/// Why the dumps were not loaded; the database is as empty as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A dump's.
    #[error(transparent)]
    Dump(#[from] VerifyError),
    /// A program's that is missing.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A program failed.
    #[error("the dumps were not restored, and the database is as empty as it was: {0}")]
    Failed(#[from] BackupError),
    /// The file system's, or a pipe's.
    #[error("the dumps were not restored, and the database is as empty as it was: {0}")]
    File(#[from] io::Error),
    /// A table has other rows than the manifest says.
    #[error(
        "the dumps were not restored, and the database is as empty as it was: the manifest names a table {0:?}"
    )]
    Table(String),
    /// The manifest has no id of ours.
    #[error(
        "the dumps were not restored, and the database is as empty as it was: the manifest has no id"
    )]
    Id,
}

/// What is loaded, and into what.
#[derive(Debug)]
pub(crate) struct Load {
    /// The dumps.
    pub(crate) dumps: CheckedDumps,
    /// What opens them.
    pub(crate) identities: BackupIdentities,
    /// PostgreSQL's programs.
    pub(crate) programs: Programs,
    /// The database, under the role that owns it, or the tenant's schema in it.
    pub(crate) connection: DatabaseAddress,
    /// Whose schema is filled.
    pub(crate) tenant: Tenant,
}

/// A part of a dump, as `pg_restore` names it, and which of its entries.
struct DumpSection<'a> {
    dump: &'a CheckedDump,
    name: &'static str,
    entries: Option<&'a Path>,
}

impl Load {
    /// Loads them; blocks as long as that takes.
    ///
    /// # Errors
    /// [`LoadError`]; the database is as it was.
    pub(crate) fn run(&self, tell: fn(&str)) -> Result<(), LoadError> {
        let lists = self.lists()?;
        let mut command = self.programs.connected("psql", &self.connection);
        command
            .args([
                "--no-psqlrc",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--set=VERBOSITY=sqlstate",
                "--file=-",
            ])
            .stdout(Stdio::null());
        let mut psql = Running::start("psql", command)?;
        let mut script = psql.child.stdin.take().ok_or_else(broken)?;
        pipes::enlarge(&script);
        let written = self.write(&mut script, &lists, tell);
        drop(script);
        // psql's own words first: what it refused is why nothing more could be written.
        match psql.end() {
            Ok(()) => written,
            Err(error) => match written {
                Err(
                    error @ (LoadError::Dump(_)
                    | LoadError::Failed(_)
                    | LoadError::Table(_)
                    | LoadError::Id),
                ) => Err(error),
                Ok(()) | Err(LoadError::File(_) | LoadError::Program(_)) => Err(error.into()),
            },
        }
    }

    fn write(
        &self,
        script: &mut ChildStdin,
        lists: &Lists,
        tell: fn(&str),
    ) -> Result<(), LoadError> {
        let (records, keys) = (&self.dumps.records, &self.dumps.keys);
        let section = |dump, name, entries| DumpSection {
            dump,
            name,
            entries,
        };
        script.write_all(b"BEGIN;\n")?;
        // The roles that own one function each, and may make none: for that they need a right that they have only meanwhile.
        let (schema, owners) = (self.tenant.schema(), self.owners());
        writeln!(
            script,
            "GRANT USAGE, CREATE ON SCHEMA {schema} TO {owners};"
        )?;
        for section in [
            section(records, "pre-data", lists.tables()),
            section(keys, "pre-data", None),
            section(records, DATA, None),
            section(keys, DATA, None),
            section(keys, "post-data", Some(lists.before.path.as_path())),
            section(records, "post-data", None),
            section(keys, "post-data", Some(lists.after.path.as_path())),
        ] {
            tell(&format!(
                "restoring the {} ({})",
                section.dump.manifest.part, section.name
            ));
            self.copy(&section, script, tell)?;
        }
        writeln!(script, "REVOKE CREATE ON SCHEMA {schema} FROM {owners};")?;
        script.write_all(self.checks()?.as_bytes())?;
        // The last line: whoever is cut off before it has changed nothing.
        script.write_all(b"COMMIT;\n")?;
        script.flush()?;
        Ok(())
    }

    /// Has `pg_restore` write a section into the script.
    fn copy(
        &self,
        section: &DumpSection<'_>,
        script: &mut ChildStdin,
        tell: fn(&str),
    ) -> Result<(), LoadError> {
        let mut command = self.programs.offline("pg_restore");
        command
            .arg("--file=-")
            .arg(format!("--section={}", section.name))
            .stdout(Stdio::piped());
        if let Some(entries) = section.entries {
            command.arg("--use-list").arg(entries);
        }
        let (mut all, mut told) = (0_u64, Instant::now());
        self.through(section.dump, command, section.name == DATA, |bytes| {
            script.write_all(bytes)?;
            all += u64::try_from(bytes.len()).unwrap_or_default();
            if told.elapsed() >= TELL_EVERY {
                tell(&format!("{} MiB restored", all >> 20));
                told = Instant::now();
            }
            Ok(())
        })
    }

    /// Runs a dump through `pg_restore`; `take` gets what it prints. With `to_end` the dump is read to its end, also where
    /// `pg_restore` has what it wants before. Without rows that is its beginning, and age has a tag for each chunk that is read.
    fn through(
        &self,
        dump: &CheckedDump,
        command: std::process::Command,
        to_end: bool,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), LoadError> {
        let mut content = verify::open(&dump.path, &dump.manifest, &self.identities)?;
        let mut reading = Running::start("pg_restore", command)?;
        let mut output = reading.child.stdout.take().ok_or_else(broken)?;
        let mut input = reading.child.stdin.take();
        pipes::enlarge(&output);
        input.iter().for_each(pipes::enlarge);
        let feeding = std::thread::spawn(move || {
            verify::feed(&mut content, |bytes| {
                // pg_restore stops reading when it has what it wants.
                if input
                    .as_mut()
                    .is_some_and(|it| it.write_all(bytes).is_err())
                {
                    input = None;
                }
                if input.is_none() && !to_end {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
        });
        let mut buffer = vec![0; pipes::PIECE];
        loop {
            let read = output.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            take(&buffer[..read])?;
        }
        let fed = feeding
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread ended")));
        let shown = dump.path.display().to_string();
        fed.map_err(|error| VerifyError::File(shown, error))?;
        reading.end()?;
        Ok(())
    }

    /// The roles that own a function each.
    fn owners(&self) -> String {
        let owners = ["retention", "monitor"].map(|ending| self.tenant.role(ending));
        owners.join(", ")
    }

    /// What of the dump of keys comes before the records' keys and references are there, and what after; and what of a tenant's
    /// records is made, but for the schema.
    fn lists(&self) -> Result<Lists, LoadError> {
        let listed = self.list_of(&self.dumps.keys)?;
        let (after, before): (Vec<&str>, Vec<&str>) =
            listed.lines().partition(|line| line.contains(FOREIGN_KEY));
        let tables = if self.tenant.is_in_usual_schema() {
            None
        } else {
            let listed = self.list_of(&self.dumps.records)?;
            Some(ListFile::new(&without_schema(&listed))?)
        };
        Ok(Lists {
            before: ListFile::new(&before)?,
            after: ListFile::new(&after)?,
            tables,
        })
    }

    /// The entries of a dump.
    fn list_of(&self, dump: &CheckedDump) -> Result<String, LoadError> {
        let mut command = self.programs.offline("pg_restore");
        command.arg("--list").stdout(Stdio::piped());
        let mut listed = Vec::new();
        self.through(dump, command, false, |bytes| {
            listed.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(String::from_utf8_lossy(&listed).into_owned())
    }

    /// Compares the rows with the manifests, and notes that more has to follow: in the same transaction. By `EXECUTE` the server
    /// may count a table by several processes; what PL/pgSQL runs by itself it never does so.
    fn checks(&self) -> Result<String, LoadError> {
        let schema = self.tenant.schema();
        let mut lines = vec![
            "DO $check$".to_owned(),
            "DECLARE found BIGINT;".to_owned(),
            "BEGIN".to_owned(),
        ];
        for dump in [&self.dumps.records, &self.dumps.keys] {
            for (table, rows) in &dump.manifest.rows {
                let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
                if table.is_empty() || !table.chars().all(is_name) {
                    return Err(LoadError::Table(table.clone()));
                }
                lines.push(format!(
                    "EXECUTE 'SELECT count(*) FROM {schema}.{table}' INTO found;
                     IF found <> {rows} THEN RAISE EXCEPTION USING ERRCODE = 'MT001'; END IF;"
                ));
            }
        }
        let id = &self.dumps.records.manifest.id;
        let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
        if id.is_empty() || !id.chars().all(is_id) {
            return Err(LoadError::Id);
        }
        let comment = unfinished_comment(id);
        lines.push(if self.tenant.is_in_usual_schema() {
            format!(
                "EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), '{comment}');"
            )
        } else {
            // A tenant of several does not own the database.
            format!("COMMENT ON SCHEMA {schema} IS '{comment}';")
        });
        lines.push("END\n$check$;\n".to_owned());
        Ok(lines.join("\n"))
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

/// The entries of a list but for those of the schema itself.
fn without_schema(listed: &str) -> Vec<&str> {
    let lines = listed.lines();
    lines
        .filter(|line| !OF_SCHEMA.iter().any(|it| line.contains(it)))
        .collect()
}

/// Lists of entries.
struct Lists {
    before: ListFile,
    after: ListFile,
    /// Of the records, where not all of them are restored.
    tables: Option<ListFile>,
}

impl Lists {
    fn tables(&self) -> Option<&Path> {
        self.tables.as_ref().map(|it| it.path.as_path())
    }
}

/// A list of entries in a file of its own, as `pg_restore` takes it; gone when this is dropped.
struct ListFile {
    path: PathBuf,
}

impl ListFile {
    fn new(lines: &[&str]) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("meditrustal-{}.list", RequestId::fresh()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let list = Self { path };
        for line in lines {
            writeln!(file, "{line}")?;
        }
        Ok(list)
    }
}

impl Drop for ListFile {
    fn drop(&mut self) {
        // It names tables and indexes, and nothing else.
        std::fs::remove_file(&self.path).ok();
    }
}

/// What a state of PostgreSQL means for a restore, where `psql` said one.
pub(crate) fn meaning(said: &str) -> Option<&'static str> {
    let known = [
        (
            "MT001",
            "a table has other rows than its manifest says: the manifest or the dump was changed",
        ),
        (
            "23503",
            "rows refer to others that are in neither dump: the keys are not of the same installation as the records",
        ),
        (
            "42501",
            "the role may not do it: restore as meditrustal_migrator, or the migrator of the tenant",
        ),
        (
            "42704",
            "a role or a type is missing: `meditrustal database create` makes the roles",
        ),
        ("53100", "the database's disk is full"),
        ("57P01", "the server was stopped"),
    ];
    let known = known.into_iter().find(|(state, _)| said.ends_with(state));
    known.map(|(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::{meaning, without_schema};

    #[test]
    fn a_schema_that_is_there_is_not_made() {
        let listed = ";\n; Archive created at 2026-12-01\n;\n\
            6; 2615 16390 SCHEMA - north north_migrator\n\
            3500; 0 0 COMMENT - SCHEMA north north_migrator\n\
            3501; 0 0 ACL - SCHEMA north north_migrator\n\
            220; 1259 16402 TABLE north users north_migrator\n";
        let left = without_schema(listed).join("\n");
        assert!(left.contains(" ACL - SCHEMA north") && left.contains(" TABLE north users"));
        assert!(
            !left.contains("16390") && !left.contains("COMMENT"),
            "{left}"
        );
    }

    #[test]
    fn a_state_is_told_in_words() {
        let said = "psql:<stdin>:9: ERROR:  23503";
        assert!(
            meaning(said)
                .is_some_and(|it| it.contains("the keys are not of the same installation"))
        );
        assert_eq!(meaning("psql:<stdin>:9: ERROR:  XX000"), None);
    }
}
