//! Where a cluster keeps its files, and the lock that gives it to one launcher at a time.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::run_as::RunAs;
use crate::repository::{fingerprint, make_open_dir};
use crate::{Error, Result, secret};

/// Where root keeps what another user has to reach; never under `/tmp`, which is cleaned.
pub(super) const ROOTS_PLACE: &str = "/var/lib/meditrustal-dev";
/// The same where `/var/lib` cannot be written.
pub(super) const ROOTS_OTHER_PLACE: &str = "/var/tmp/meditrustal-dev";
/// A directory that belongs to one cluster: data, log, password, lock. Mode 0700, the user's own.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) user: RunAs,
    throw_away: bool,
    /// Held as long as this lives; the system lets go of it when we die.
    _lock: File,
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.throw_away {
            fs::remove_dir_all(&self.dir).ok();
        }
    }
}

impl Home {
    /// The home of the cluster that belongs to this clone: `.dev/postgres`, or a place of root's
    /// when root runs us and the other user may not go into the clone.
    pub(super) fn of_clone(root: &Path) -> Result<Self> {
        let mut places = vec![root.join(".dev")];
        if rustix::process::geteuid().is_root() {
            let name = fingerprint(root.as_os_str().as_encoded_bytes());
            places.push(Path::new(ROOTS_PLACE).join(&name));
            places.push(Path::new(ROOTS_OTHER_PLACE).join(&name));
        }
        let places: Vec<_> = places.iter().map(|place| place.join("postgres")).collect();
        if let Some(dir) = places
            .iter()
            .find(|dir| dir.join("data/PG_VERSION").is_file())
        {
            let user = RunAs::for_data(&dir.join("data"))?;
            if user.can_enter(dir) {
                return Self::open(dir.clone(), user);
            }
        }
        Self::first(&places)
    }

    /// A home under the directory for temporary files, with a name of its own.
    pub(super) fn throw_away() -> Result<Self> {
        let name = format!("meditrustal-postgres-{}", &secret::fresh()?[..16]);
        let places = [
            std::env::temp_dir().join(&name),
            Path::new("/var/tmp").join(&name),
        ];
        let mut home = Self::first(&places)?;
        home.throw_away = true;
        Ok(home)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// The superuser's password, made on the first use.
    pub(super) fn password(&self) -> Result<String> {
        let file = self.dir.join("superuser-password");
        if let Ok(password) = fs::read_to_string(&file) {
            return Ok(password.trim().to_owned());
        }
        let password = secret::fresh()?;
        fs::write(&file, &password).map_err(Error::file("could not write", &file))?;
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600))
            .map_err(Error::file("could not close", &file))?;
        self.user.own(&file)?;
        Ok(password)
    }

    /// The first of these that can be made and that the user can enter.
    fn first(places: &[PathBuf]) -> Result<Self> {
        let mut refused = Vec::new();
        for dir in places {
            let user = RunAs::for_data(&dir.join("data"))?;
            let parent = dir.parent().unwrap_or(dir);
            match make_open_dir(parent) {
                Ok(()) if user.can_enter(parent) => return Self::open(dir.clone(), user),
                Ok(()) => refused.push(format!("{}: not open to its user", dir.display())),
                Err(error) => refused.push(error.to_string()),
            }
        }
        Err(Error::Needs(format!(
            "no place for PostgreSQL's data:\n{}",
            refused.join("\n")
        )))
    }

    fn open(dir: PathBuf, user: RunAs) -> Result<Self> {
        make_open_dir(&dir)?;
        fs::set_permissions(&dir, PermissionsExt::from_mode(0o700))
            .map_err(Error::file("could not close", &dir))?;
        user.own(&dir)?;
        let lock = lock(&dir)?;
        Ok(Self {
            dir,
            user,
            throw_away: false,
            _lock: lock,
        })
    }
}

/// Takes the launcher's lock and writes our process id into it.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("launcher.lock");
    let failed = |what| Error::file(what, &path);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("could not open"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)
                .map_err(failed("could not read"))?;
            let what = format!("the PostgreSQL in {}", dir.display());
            return Err(Error::InUse {
                what,
                pid: pid.trim().to_owned(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed("could not lock")(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed("could not write"))?;
    Ok(file)
}
