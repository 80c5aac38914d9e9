//! Reads the packages of profiles that the operator names: npm tarballs of FHIR implementation guides, once, when the process
//! starts. What a profile demands, and what is wrong with a definition, is `fhir::profiles`'s.

mod archive;

use std::{
    io,
    path::{Path, PathBuf},
};

use async_compression::tokio::bufread::GzipDecoder;
use fhir::profiles::{InvalidPackage, Package, Profiles};
use tokio::{fs::File, io::BufReader};

use self::archive::{Archive, ArchiveError};

/// The largest file of a package. Unit: bytes. US Core has 2 MiB, all of HL7's terminology 15.
const MAX_PACKED: u64 = 64 << 20;
/// How many packages there may be.
const MAX_PACKAGES: usize = 16;

/// Why a package of profiles cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file} is no package of profiles that can be used: {problem}")]
pub(crate) struct UnusablePackage {
    file: String,
    problem: PackageProblem,
}

#[derive(Debug, thiserror::Error)]
enum PackageProblem {
    #[error("it cannot be read ({0})")]
    Unreadable(io::Error),
    #[error("it has more than {} MiB", MAX_PACKED >> 20)]
    TooLarge,
    #[error("there may be {MAX_PACKAGES} packages at most")]
    TooMany,
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Definitions(#[from] InvalidPackage),
}

/// Reads the profiles of these packages; none of no package.
///
/// # Errors
/// [`UnusablePackage`] for each that cannot be used.
pub(crate) async fn load(files: &[PathBuf]) -> Result<Profiles, Vec<UnusablePackage>> {
    let mut packages = Vec::with_capacity(files.len());
    let mut unusable = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let read = if at < MAX_PACKAGES {
            read(file).await
        } else {
            Err(PackageProblem::TooMany)
        };
        match read {
            Ok(package) => packages.push(package),
            Err(problem) => unusable.push(UnusablePackage {
                file: file.display().to_string(),
                problem,
            }),
        }
    }
    if unusable.is_empty() {
        Ok(Profiles::new(&packages))
    } else {
        Err(unusable)
    }
}

async fn read(path: &Path) -> Result<Package, PackageProblem> {
    let file = File::open(path).await.map_err(PackageProblem::Unreadable)?;
    let about = file.metadata().await.map_err(PackageProblem::Unreadable)?;
    if about.len() > MAX_PACKED {
        return Err(PackageProblem::TooLarge);
    }
    let decompressed = Box::pin(GzipDecoder::new(BufReader::new(file)));
    let mut archive = Archive::new(decompressed);
    let mut package = Package::default();
    while let Some((name, content)) = archive.next(|name| definition(name).is_some()).await? {
        if let Some(file) = definition(&name) {
            package.add(file, &content)?;
        }
    }
    Ok(package.complete()?)
}

/// The name of a file that may hold a definition: those of a package stand in its folder `package`, and its examples in
/// folders of that.
fn definition(name: &str) -> Option<&str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let file = name.strip_prefix("package/")?;
    let is_one = file.strip_suffix(".json").is_some_and(|stem| {
        let is_hidden = stem.is_empty() || stem.starts_with('.');
        !is_hidden && !stem.contains('/')
    });
    is_one.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_the_files_of_the_folder_of_a_package() {
        for (name, wanted) in [
            ("package/package.json", Some("package.json")),
            ("./package/ValueSet-a.json", Some("ValueSet-a.json")),
            ("package/example/Patient-a.json", None),
            ("package/.index.json", None),
            ("package/ig.xml", None),
            ("package/.json", None),
            ("other/package.json", None),
            ("package.json", None),
        ] {
            assert_eq!(definition(name), wanted, "{name}");
        }
    }
}
