//! PostgreSQL's own programs, of the server's major version: found, and started without a secret on their command line.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reqwest::Url;

/// How long a connection may take. Unit: seconds.
const CONNECT_SECONDS: &str = "10";

/// Why a program of PostgreSQL cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// None of the version is there.
    #[error(
        "no {program} of PostgreSQL {major} was found ({found}): install the client programs of PostgreSQL {major} \
         (postgresql-client-{major} on Debian), or name their directory by MEDITRUSTAL_PG_CLIENT_BIN"
    )]
    Missing {
        /// Which.
        program: &'static str,
        /// Of which version.
        major: u32,
        /// What there is instead.
        found: String,
    },
    /// The database's address has no form that they take.
    #[error(
        "the address of the database is none that {0} takes: write it as postgres://role:password@host:port/database"
    )]
    Address(&'static str),
}

/// The directory with the client programs of one major version.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Empty where they are found by `PATH`.
    directory: PathBuf,
}

impl Programs {
    /// Finds them: in the directory that is named, and nowhere else; else in `PATH`, and where Debian and Red Hat put them.
    ///
    /// # Errors
    /// [`ProgramError::Missing`].
    pub(crate) fn find(named: Option<&Path>, major: u32) -> Result<Self, ProgramError> {
        let candidates = match named {
            Some(directory) => vec![directory.to_owned()],
            None => vec![
                PathBuf::new(),
                PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")),
                PathBuf::from(format!("/usr/pgsql-{major}/bin")),
            ],
        };
        let mut found = Vec::new();
        for directory in candidates {
            let programs = Self { directory };
            match programs.major_of("pg_dump") {
                Some(there) if there == major => return programs.with_the_others(major),
                Some(there) => found.push(format!("{} is of {there}", programs.shown())),
                None => found.push(format!("{} has none", programs.shown())),
            }
        }
        Err(ProgramError::Missing {
            program: "pg_dump",
            major,
            found: found.join(", "),
        })
    }

    /// All that is used, of one version.
    fn with_the_others(self, major: u32) -> Result<Self, ProgramError> {
        for program in ["pg_restore", "psql"] {
            if self.major_of(program) != Some(major) {
                return Err(ProgramError::Missing {
                    program,
                    major,
                    found: format!("{} has pg_dump without it", self.shown()),
                });
            }
        }
        Ok(self)
    }

    fn shown(&self) -> String {
        if self.directory.as_os_str().is_empty() {
            "PATH".to_owned()
        } else {
            self.directory.display().to_string()
        }
    }

    fn path(&self, program: &str) -> PathBuf {
        self.directory.join(program)
    }

    /// The major version that a program says it has.
    fn major_of(&self, program: &str) -> Option<u32> {
        let output = Command::new(self.path(program))
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        major_in(&String::from_utf8_lossy(&output.stdout))
    }

    /// A program that connects to no database.
    pub(crate) fn offline(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A program that connects to this database: the password goes by its environment, which its owner alone can read.
    pub(crate) fn connected(&self, program: &str, to: &DatabaseAddress) -> Command {
        let mut command = self.offline(program);
        command
            .arg("--no-password")
            .arg(format!("--dbname={}", to.address))
            .env("PGCONNECT_TIMEOUT", CONNECT_SECONDS)
            .env("PGAPPNAME", "meditrustal backup");
        if let Some(password) = &to.password {
            command.env("PGPASSWORD", password);
        }
        command
    }
}

/// The major version in `pg_dump (PostgreSQL) 18.6 (Debian …)`.
fn major_in(said: &str) -> Option<u32> {
    let version = said.split(')').nth(1)?.split_whitespace().next()?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Where a program connects to.
pub(crate) struct DatabaseAddress {
    /// The address without its password.
    address: String,
    password: Option<String>,
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseAddress")
    }
}

impl DatabaseAddress {
    /// Takes an address apart.
    ///
    /// # Errors
    /// [`ProgramError::Address`].
    pub(crate) fn of(url: &str) -> Result<Self, ProgramError> {
        let wrong = || ProgramError::Address("pg_dump");
        let mut url = Url::parse(url).map_err(|_| wrong())?;
        let mut password = url.password().map(str::to_owned);
        if password.is_some() {
            url.set_password(None).map_err(|()| wrong())?;
        }
        let mut kept = Vec::new();
        for pair in url.query().unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some(("password", value)) => password = Some(value.to_owned()),
                // A word of sqlx's own, which libpq refuses.
                Some(("statement-cache-capacity", _)) => {}
                Some((name, value)) => kept.push(format!("{}={value}", name_of_libpq(name))),
                None => kept.push(pair.to_owned()),
            }
        }
        // By itself libpq would look for authorities at home alone, and not where the system has them.
        let has_own = kept.iter().any(|pair| pair.starts_with("sslrootcert="));
        if kept.iter().any(|pair| pair == "sslmode=verify-full") && !has_own {
            kept.push("sslrootcert=system".to_owned());
        }
        let query = kept.join("&");
        url.set_query(Some(&query).filter(|it| !it.is_empty()).map(String::as_str));
        Ok(Self {
            address: url.to_string(),
            password: password
                .as_deref()
                .map(decoded)
                .transpose()
                .map_err(|()| wrong())?,
        })
    }
}

/// What libpq calls a parameter for which sqlx has a second word.
fn name_of_libpq(name: &str) -> &str {
    match name {
        "ssl-mode" => "sslmode",
        "ssl-root-cert" | "ssl-ca" => "sslrootcert",
        "ssl-cert" => "sslcert",
        "ssl-key" => "sslkey",
        name => name,
    }
}

/// What percent signs stand for, by RFC 3986.
fn decoded(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.get(..2).ok_or(())?;
        let digits = str::from_utf8(digits).map_err(|_| ())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| ())?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_its_major_version() {
        for (said, wanted) in [
            ("pg_dump (PostgreSQL) 18.6\n", Some(18)),
            (
                "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("psql (PostgreSQL) 19beta1", Some(19)),
            ("Usage: something else", None),
            ("", None),
        ] {
            assert_eq!(major_in(said), wanted, "{said}");
        }
    }

    #[test]
    fn no_secret_stands_in_the_address_of_a_program() {
        let url = "postgres://meditrustal_backup:hunter%232%40@db:5432/meditrustal?sslmode=require&statement-cache-capacity=100";
        let connection = DatabaseAddress::of(url).expect("an address");
        assert_eq!(
            connection.address,
            "postgres://meditrustal_backup@db:5432/meditrustal?sslmode=require"
        );
        assert_eq!(connection.password.as_deref(), Some("hunter#2@"));
        assert!(!format!("{connection:?}").contains("hunter"));

        for (query, wanted) in [
            (
                "sslmode=verify-full",
                "sslmode=verify-full&sslrootcert=system",
            ),
            (
                "ssl-mode=verify-full&ssl-ca=/ca.pem",
                "sslmode=verify-full&sslrootcert=/ca.pem",
            ),
            ("sslmode=verify-ca", "sslmode=verify-ca"),
        ] {
            let url = format!("postgres://backup@db/meditrustal?{query}");
            let address = DatabaseAddress::of(&url).expect("an address").address;
            assert_eq!(
                address,
                format!("postgres://backup@db/meditrustal?{wanted}")
            );
        }
        let socket = DatabaseAddress::of(
            "postgres:///meditrustal?host=%2Frun%2Fpostgresql&user=backup&password=hunter2",
        );
        let socket = socket.expect("an address");
        assert_eq!(
            socket.address,
            "postgres:///meditrustal?host=%2Frun%2Fpostgresql&user=backup"
        );
        assert_eq!(socket.password.as_deref(), Some("hunter2"));
        for wrong in ["meditrustal", "postgres://a:hunter2%zz@db/x"] {
            let error = DatabaseAddress::of(wrong)
                .expect_err("no address")
                .to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_directory_that_is_named_is_the_only_one_that_is_looked_into() {
        let error = Programs::find(Some(Path::new("/nowhere")), 18).expect_err("none there");
        let said = error.to_string();
        assert!(
            said.contains("/nowhere has none") && said.contains("postgresql-client-18"),
            "{said}"
        );
    }
}
