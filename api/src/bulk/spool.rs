//! What is put aside until all of an upload has arrived: in a file that has no name any more once it is open, sealed under a
//! key that is nowhere but in memory. However the process ends, nothing is left that could be read.

use std::{io, io::SeekFrom, os::unix::fs::FileExt as _, sync::Arc};

use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
};
use vault::{random, row::Content, spool::SpoolKey};

/// The longest piece: a document, and what is known of it. Unit: bytes.
const MAX_PIECE: u32 = 64 << 20;

/// Where a piece is.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpoolPlace {
    /// How many came before it.
    number: u64,
    /// How far from the beginning of the file it begins. Unit: bytes.
    offset: u64,
    /// How long it is, sealed. Unit: bytes.
    pub(super) length: usize,
}

/// Pieces in the order in which they came.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    key: Arc<SpoolKey>,
    /// How many pieces were put in.
    put: u64,
    /// How many were taken out.
    taken: u64,
    /// How long the file is. Unit: bytes.
    length: u64,
    /// How long the next piece is, where that was read already.
    upcoming: Option<usize>,
}

impl Spool {
    /// An empty one, in the directory for temporary files (`TMPDIR`).
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn create() -> io::Result<Self> {
        let name = format!("meditrustal-{}.spool", random::hex::<16>());
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).await?;
        // Nothing is written before it is nameless.
        fs::remove_file(&path).await?;
        Ok(Self {
            file,
            key: Arc::new(SpoolKey::fresh()),
            put: 0,
            taken: 0,
            length: 0,
            upcoming: None,
        })
    }

    /// Puts a piece in; gives its place.
    ///
    /// # Errors
    /// The disk's; [`io::ErrorKind::FileTooLarge`] where it is longer than any piece may be.
    pub(super) async fn put(&mut self, piece: &[u8]) -> io::Result<SpoolPlace> {
        self.put_parts(&[piece]).await
    }

    /// The same of a piece that comes in parts.
    ///
    /// # Errors
    /// As of [`Self::put`].
    pub(super) async fn put_parts(&mut self, parts: &[&[u8]]) -> io::Result<SpoolPlace> {
        let sealed = self.key.seal_parts(self.put, parts);
        let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        if length > MAX_PIECE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(&length.to_be_bytes()).await?;
        self.file.write_all(&sealed).await?;
        let place = SpoolPlace {
            number: self.put,
            offset: self.length,
            length: sealed.len(),
        };
        self.put += 1;
        self.length += u64::from(length) + 4;
        Ok(place)
    }

    /// How long all of it is. Unit: bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Reads pieces by their places, whatever is taken out meanwhile.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn reader(&mut self) -> io::Result<SpoolReader> {
        self.file.flush().await?;
        Ok(SpoolReader {
            file: Arc::new(self.file.try_clone().await?.into_std().await),
            key: Arc::clone(&self.key),
        })
    }

    /// Begins to take out.
    ///
    /// # Errors
    /// The disk's.
    pub(super) async fn rewind(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        (self.taken, self.upcoming) = (0, None);
        Ok(())
    }

    /// How long the next piece is, sealed; `None` after the last. Waited for to its end. Unit: bytes.
    ///
    /// # Errors
    /// As of [`Self::take`].
    pub(super) async fn upcoming(&mut self) -> io::Result<Option<usize>> {
        if self.taken == self.put || self.upcoming.is_some() {
            return Ok(self.upcoming);
        }
        let mut length = [0; 4];
        self.file.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length);
        if length > MAX_PIECE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        self.upcoming = Some(length);
        Ok(self.upcoming)
    }

    /// The next piece; `None` after the last. Waited for to its end.
    ///
    /// # Errors
    /// The disk's; [`io::ErrorKind::InvalidData`] where it gives something else than was put in.
    pub(super) async fn take(&mut self) -> io::Result<Option<Content>> {
        let Some(length) = self.upcoming().await? else {
            return Ok(None);
        };
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed).await?;
        self.upcoming = None;
        let piece = self.key.open(self.taken, sealed);
        let piece = piece.map_err(|_| io::ErrorKind::InvalidData)?;
        self.taken += 1;
        Ok(Some(piece))
    }
}

/// Reads pieces of a spool by their places.
#[derive(Debug, Clone)]
pub(super) struct SpoolReader {
    file: Arc<std::fs::File>,
    key: Arc<SpoolKey>,
}

impl SpoolReader {
    /// The piece in this place.
    ///
    /// # Errors
    /// The disk's; [`io::ErrorKind::InvalidData`] where it gives something else than was put in.
    pub(super) async fn read(&self, place: SpoolPlace) -> io::Result<Content> {
        let Self { file, key } = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let wrong = || io::Error::from(io::ErrorKind::InvalidData);
            let mut length = [0; 4];
            file.read_exact_at(&mut length, place.offset)?;
            let length = u32::from_be_bytes(length);
            if length > MAX_PIECE {
                return Err(wrong());
            }
            let mut sealed = vec![0; usize::try_from(length).map_err(|_| wrong())?];
            file.read_exact_at(&mut sealed, place.offset + 4)?;
            key.open(place.number, sealed).map_err(|_| wrong())
        });
        read.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[tokio::test]
    async fn pieces_come_out_as_they_went_in_and_no_more() {
        let mut spool = Spool::create().await.unwrap();
        for nth in 0..3_u8 {
            spool.put(&vec![nth; 100_000]).await.unwrap();
        }
        spool.put_parts(&[b"", b""]).await.unwrap();
        spool.rewind().await.unwrap();
        for nth in 0..3_u8 {
            assert!(spool.upcoming().await.unwrap().unwrap() > 100_000);
            let piece = spool.take().await.unwrap().unwrap();
            assert!(piece.len() == 100_000 && piece.iter().all(|&byte| byte == nth));
        }
        assert!(spool.take().await.unwrap().unwrap().is_empty());
        assert!(spool.take().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn pieces_are_read_by_their_places_while_others_are_taken_out() {
        let mut spool = Spool::create().await.unwrap();
        let mut places = Vec::new();
        for nth in 0..3_u8 {
            places.push(spool.put(&vec![nth; 100_000]).await.unwrap());
        }
        let reader = spool.reader().await.unwrap();
        spool.rewind().await.unwrap();
        for nth in 0..3_u8 {
            let last = reader.read(places[2]).await.unwrap();
            assert!(last.len() == 100_000 && last.iter().all(|&byte| byte == 2));
            let piece = spool.take().await.unwrap().unwrap();
            assert!(piece.iter().all(|&byte| byte == nth));
        }
        let another = SpoolPlace {
            number: 1,
            ..places[2]
        };
        assert!(reader.read(another).await.is_err());
    }

    #[tokio::test]
    async fn a_spool_has_no_name_and_holds_no_word_of_what_was_put_in() {
        let mut spool = Spool::create().await.unwrap();
        spool.put(&b"praxibetel".repeat(1000)).await.unwrap();
        spool.rewind().await.unwrap();
        let mut bytes = Vec::new();
        spool.file.read_to_end(&mut bytes).await.unwrap();
        assert!(bytes.len() > 10_000);
        assert!(!bytes.windows(10).any(|part| part == b"praxibetel"));
        let metadata = spool.file.metadata().await.unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&metadata), 0);
    }
}
