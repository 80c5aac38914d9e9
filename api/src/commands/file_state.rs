//! Whether a file still is what was read of it: entries are known by their number in it, so that an import of a file that somebody
//! writes into cannot go on where it stopped.

use std::{os::unix::fs::MetadataExt as _, path::Path};

use super::output::Failure;

/// What tells a file from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    /// `None` of a pipe or a device: reading it changes both.
    content: Option<ContentState>,
}

/// What changes where somebody writes into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentState {
    /// Unit: bytes.
    length: u64,
    /// When it was written last: seconds and nanoseconds since 1970 began in UTC.
    written: (i64, i64),
}

impl FileState {
    /// What is there now.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) async fn of(path: &Path) -> Result<Self, Failure> {
        let found = tokio::fs::metadata(path).await;
        let found = found.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let content = found.is_file().then(|| ContentState {
            length: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
        });
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            content,
        })
    }

    /// Refuses a file that is not this one any more.
    ///
    /// # Errors
    /// What to do then.
    pub(super) async fn check(self, path: &Path) -> Result<(), Failure> {
        if Self::of(path).await? == self {
            return Ok(());
        }
        Err(format!(
            "{} was changed while it was imported, so that nobody can say which of its entries were sent: import it again from its beginning, nothing is stored twice",
            path.display()
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::{
        io::{Read as _, Write as _},
        os::fd::AsRawFd as _,
    };

    use super::*;

    #[tokio::test]
    async fn a_file_that_grew_or_was_replaced_is_another() {
        let path = std::env::temp_dir().join(format!("{}.ndjson", vault::random::hex::<16>()));
        std::fs::write(&path, "{}\n").unwrap();
        let first = FileState::of(&path).await.unwrap();
        assert!(first.check(&path).await.is_ok());

        std::fs::write(&path, "{}\n{}\n").unwrap();
        let second = FileState::of(&path).await.unwrap();
        assert!(first.check(&path).await.is_err());

        let other = path.with_extension("new");
        std::fs::write(&other, "{}\n{}\n").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(second.check(&path).await.is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(second.check(&path).await.is_err());
    }

    #[tokio::test]
    async fn what_is_read_of_a_pipe_leaves_it_the_same() {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let path = Path::new(&path);
        let first = FileState::of(path).await.unwrap();
        assert_eq!(first.content, None);

        writer.write_all(b"{}\n").unwrap();
        reader.read_exact(&mut [0; 3]).unwrap();
        assert!(first.check(path).await.is_ok());

        let (another, _) = std::io::pipe().unwrap();
        let other = format!("/proc/self/fd/{}", another.as_raw_fd());
        assert!(first.check(Path::new(&other)).await.is_err());
    }
}
