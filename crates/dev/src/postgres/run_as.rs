//! Whom PostgreSQL runs as: it refuses to be root.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::{Error, Result, config};

/// The user inside a namespace: nobody, on every system.
const NOBODY: &str = "65534";

/// How a program is started so that it is not root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunAs {
    /// As we are: an ordinary user.
    Myself,
    /// We are root: as this user, with no other group and no capability.
    User {
        /// The user's id.
        uid: u32,
        /// The user's group.
        gid: u32,
    },
    /// We are root, but of a container that has no other user: inside a user namespace that
    /// calls us nobody.
    Namespace,
}

impl RunAs {
    /// Finds out how, for a cluster whose data is in `data` or will be.
    ///
    /// Data that is there already is run by its owner.
    ///
    /// # Errors
    ///
    /// When we are root and nothing else can be had, or when the data is another user's.
    pub fn for_data(data: &Path) -> Result<Self> {
        let owner = fs::metadata(data).ok().map(|data| (data.uid(), data.gid()));
        if !geteuid().is_root() {
            return match owner {
                Some((uid, _)) if uid != geteuid().as_raw() => Err(Error::Needs(format!(
                    "{} belongs to user {uid}, from a run as another user: run as that user, or \
                     let it be removed",
                    data.display()
                ))),
                _ => Ok(Self::Myself),
            };
        }
        let wanted = match owner {
            Some((uid, gid)) if uid != 0 => Some((uid, gid)),
            Some(_) => None,
            None => account("postgres").or_else(|| account("nobody")),
        };
        let user = wanted.map(|(uid, gid)| Self::User { uid, gid });
        user.into_iter()
            .chain([Self::Namespace])
            .find(Self::works)
            .ok_or_else(|| {
                Error::Needs(
                "PostgreSQL refuses to run as root, and here root can become no other user: run \
                 as an ordinary user, or set DATABASE_URL to a PostgreSQL that is running"
                    .to_owned(),
            )
            })
    }

    /// A command with a nearly empty environment that starts in `/`.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match self {
            Self::Myself | Self::User { .. } => Command::new(program.as_ref()),
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command
                    .args(["--user", "--map-user", NOBODY, "--map-group", NOBODY, "--"])
                    .arg(program.as_ref());
                command
            }
        };
        if let Self::User { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
            .env_clear()
            .envs(config::passed_on())
            .env("HOME", "/")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Gives a file or directory of ours to the user.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        match self {
            Self::User { uid, gid } => chown(path, Some(*uid), Some(*gid))
                .map_err(Error::file("could not hand over", path)),
            Self::Myself | Self::Namespace => Ok(()),
        }
    }

    /// Whether the user can reach what is in `dir`.
    pub(super) fn can_enter(&self, dir: &Path) -> bool {
        self.shell(r#"cd -- "$1""#, dir).is_ok_and(|ok| ok)
    }

    fn works(&self) -> bool {
        self.shell("[ \"$(id -u)\" != 0 ]", Path::new("/"))
            .is_ok_and(|ok| ok)
    }

    fn shell(&self, script: &str, argument: &Path) -> io::Result<bool> {
        self.command("/bin/sh")
            .args(["-c", script, "sh"])
            .arg(argument)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map(|status| status.success())
    }
}

/// The user and group ids of a local account, from `/etc/passwd`; `initdb` needs an entry there.
fn account(name: &str) -> Option<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        match fields.as_slice() {
            [account, _, uid, gid, ..] if *account == name => {
                Some((uid.parse().ok()?, gid.parse().ok()?)).filter(|(uid, _)| *uid != 0)
            }
            _ => None,
        }
    })
}
