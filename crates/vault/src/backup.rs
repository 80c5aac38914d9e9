//! Backups: encrypted to public keys whose secret parts lie elsewhere, in the format of age (age-encryption.org/v1, X25519
//! recipients), and the SHA-256 of what is written.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    str::FromStr,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use age::{
    DecryptError, Decryptor, Encryptor,
    secrecy::ExposeSecret as _,
    stream::{StreamReader, StreamWriter},
    x25519,
};
use sha2::{Digest as _, Sha256};

use crate::{
    digest::to_hex,
    keyfile::{self, KeyFileError},
};

/// How much of a file is written before it is brought to the disk, while more is written. Unit: bytes.
const SYNCED_EVERY: u64 = 1 << 23;
/// How much of a file is read at a time. Unit: bytes.
const CHUNK: usize = 1 << 18;

/// A public key that backups are encrypted to: `age1…`.
#[derive(Clone)]
pub struct BackupRecipient(x25519::Recipient);

impl FromStr for BackupRecipient {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim()
            .parse()
            .map(Self)
            .map_err(|_| "it is no public key of age, which begins with age1: `meditrustal backup keys new` makes one")
    }
}

impl fmt::Display for BackupRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BackupRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupRecipient({self})")
    }
}

/// The secret keys that open backups.
pub struct BackupIdentities(Vec<x25519::Identity>);

impl fmt::Debug for BackupIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupIdentities({})", self.0.len())
    }
}

/// Why an identity file is not used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Others on this machine can read it.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// It cannot be read.
    #[error(
        "the identity file {path} cannot be read: it is the file that `meditrustal backup keys new --file …` or `age-keygen -o …` made \
         when backups were set up, and is kept where no backup is; a new one opens no backup that is there"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is no secret key.
    #[error("line {line} of {path} is no secret key of age, which begins with AGE-SECRET-KEY-1")]
    NoKey {
        /// The file.
        path: String,
        /// Which line, from 1 on.
        line: usize,
    },
    /// There is none in it.
    #[error("{path} holds no secret key of age")]
    Empty {
        /// The file.
        path: String,
    },
    /// It cannot be made.
    #[error("{path} cannot be made; a file that is there is not overwritten")]
    NotMade {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BackupIdentities {
    /// Reads files of secret keys as `age-keygen` writes them: a key in a line, and comments. Others on this machine must
    /// not be able to read them.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, IdentityError> {
        let mut all = Vec::new();
        for path in paths {
            let text = keyfile::read(path).map_err(as_identity)?;
            let before = all.len();
            for (nth, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let key: x25519::Identity = line.parse().map_err(|_| IdentityError::NoKey {
                    path: path.display().to_string(),
                    line: nth + 1,
                })?;
                all.push(key);
            }
            if all.len() == before {
                return Err(IdentityError::Empty {
                    path: path.display().to_string(),
                });
            }
        }
        Ok(Self(all))
    }

    /// Makes a file with a fresh secret key, which its owner alone may read; gives the public key. Refuses to overwrite.
    ///
    /// # Errors
    /// [`IdentityError::NotMade`].
    pub fn create(path: &Path) -> Result<BackupRecipient, IdentityError> {
        let key = x25519::Identity::generate();
        let public = key.to_public();
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            writeln!(file, "# public key: {public}")?;
            writeln!(file, "{}", key.to_string().expose_secret())?;
            file.sync_all()
        };
        write().map_err(|source| IdentityError::NotMade {
            path: path.display().to_string(),
            source,
        })?;
        Ok(BackupRecipient(public))
    }
}

/// What a file of identities is, and where it is kept, is not what it is for other keys.
fn as_identity(error: KeyFileError) -> IdentityError {
    match error {
        KeyFileError::Unreadable { path, source } => IdentityError::Unreadable { path, source },
        KeyFileError::Exposed { .. } | KeyFileError::Fixed { .. } => IdentityError::File(error),
    }
}

/// Writes to a file, encrypted or not, and hashes what the file gets.
pub struct BackupWriter(Layer);

enum Layer {
    Sealed(StreamWriter<HashingWriter>),
    Plain(HashingWriter),
}

impl fmt::Debug for BackupWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupWriter")
    }
}

/// What a file has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256: what `sha256sum` prints of it.
    pub sha256: String,
}

impl BackupWriter {
    /// Begins to write. Without recipients it is written as it is.
    ///
    /// # Errors
    /// The file's.
    pub fn new(file: File, recipients: &[BackupRecipient]) -> io::Result<Self> {
        let inner = HashingWriter {
            early: EarlySync::start(&file)?,
            file,
            hash: Sha256::new(),
            bytes: 0,
        };
        if recipients.is_empty() {
            return Ok(Self(Layer::Plain(inner)));
        }
        let all = recipients.iter().map(|it| &it.0 as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(all).map_err(io::Error::other)?;
        Ok(Self(Layer::Sealed(encryptor.wrap_output(inner)?)))
    }

    /// Ends it, and brings it to the disk.
    ///
    /// # Errors
    /// The file's.
    pub fn finish(self) -> io::Result<WrittenFile> {
        let inner = match self.0 {
            Layer::Sealed(stream) => stream.finish()?,
            Layer::Plain(inner) => inner,
        };
        inner.early.end()?;
        inner.file.sync_all()?;
        Ok(WrittenFile {
            bytes: inner.bytes,
            sha256: hex(inner.hash),
        })
    }
}

impl Write for BackupWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Layer::Sealed(stream) => stream.write(bytes),
            Layer::Plain(inner) => inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Layer::Sealed(stream) => stream.flush(),
            Layer::Plain(inner) => inner.flush(),
        }
    }
}

struct HashingWriter {
    file: File,
    early: EarlySync,
    hash: Sha256,
    bytes: u64,
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        let before = self.bytes;
        self.bytes += u64::try_from(written).unwrap_or_default();
        if before / SYNCED_EVERY != self.bytes / SYNCED_EVERY {
            self.early.wake();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Brings a file to the disk by a thread of its own while it is written: its end has little left to wait for.
struct EarlySync {
    wake: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl EarlySync {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().spawn(move || -> io::Result<()> {
            for () in woken {
                file.sync_data()?;
            }
            Ok(())
        })?;
        Ok(Self { wake, thread })
    }

    /// Has it brought to the disk; does not wait. Where that waits already, or has failed, nothing more is to be done now.
    fn wake(&self) {
        self.wake.try_send(()).ok();
    }

    /// Ends the thread.
    ///
    /// # Errors
    /// The disk's: the system tells of one once, and maybe told it to this thread.
    fn end(self) -> io::Result<()> {
        drop(self.wake);
        let synced = self.thread.join();
        synced.unwrap_or_else(|_| Err(io::Error::other("a thread ended")))
    }
}

fn hex(hash: Sha256) -> String {
    let hash: [u8; 32] = hash.finalize().into();
    to_hex(&hash)
}

/// Why a backup is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBackupError {
    /// The file's.
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    /// It was encrypted to somebody else.
    #[error("it is encrypted to somebody else: none of the identities given opens it")]
    NotOurs,
    /// It is no file of age, or was changed.
    #[error("it is no whole file of age: it was cut off, changed, or is another file")]
    Broken,
}

/// Reads what a backup holds.
pub enum BackupReader {
    /// One that was encrypted. That it was cut off or changed is an error of reading.
    Sealed(Box<StreamReader<BufReader<File>>>),
    /// One that was not.
    Plain(BufReader<File>),
}

impl fmt::Debug for BackupReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupReader")
    }
}

impl BackupReader {
    /// Opens a file that was not encrypted.
    ///
    /// # Errors
    /// [`OpenBackupError::File`].
    pub fn plain(path: &Path) -> Result<Self, OpenBackupError> {
        Ok(Self::Plain(buffered(path)?))
    }

    /// Opens an encrypted file.
    ///
    /// # Errors
    /// [`OpenBackupError`].
    pub fn sealed(path: &Path, identities: &BackupIdentities) -> Result<Self, OpenBackupError> {
        let opened = Decryptor::new_buffered(buffered(path)?).map_err(refused)?;
        let keys = identities.0.iter().map(|it| it as &dyn age::Identity);
        let stream = opened.decrypt(keys).map_err(refused)?;
        Ok(Self::Sealed(Box::new(stream)))
    }
}

impl Read for BackupReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Sealed(stream) => stream.read(bytes),
            Self::Plain(file) => file.read(bytes),
        }
    }
}

fn buffered(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(CHUNK, File::open(path)?))
}

/// Whatever else age says, the file is not whole.
fn refused(error: DecryptError) -> OpenBackupError {
    match error {
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            OpenBackupError::File(error)
        }
        DecryptError::NoMatchingKeys => OpenBackupError::NotOurs,
        _ => OpenBackupError::Broken,
    }
}

/// The SHA-256 of a file as it lies there, and how long it is.
///
/// # Errors
/// The file's.
pub fn hash_of_file(path: &Path) -> io::Result<WrittenFile> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let (mut bytes, mut buffer) = (0, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += u64::try_from(read).unwrap_or_default();
    }
    Ok(WrittenFile {
        bytes,
        sha256: hex(hash),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::random;

    /// A directory of a test's own.
    fn scratch() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("backup-{}", random::hex::<8>()));
        fs::create_dir(&dir).expect("a directory");
        dir
    }

    fn read(mut reader: BackupReader) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        reader.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn what_is_encrypted_is_opened_by_its_identity_alone_and_only_whole() {
        let dir = scratch();
        let (ours, theirs, file) = (dir.join("ours"), dir.join("theirs"), dir.join("file.age"));
        let recipient = BackupIdentities::create(&ours).expect("a key");
        BackupIdentities::create(&theirs).expect("a key");
        assert!(
            BackupIdentities::create(&ours).is_err(),
            "nothing is overwritten"
        );
        let content = vec![7; 200_000];
        let mut writer = BackupWriter::new(File::create(&file).expect("a file"), &[recipient])
            .expect("it begins");
        writer.write_all(&content).expect("it is written");
        let written = writer.finish().expect("it ends");

        let begins = b"age-encryption.org/v1";
        assert!(fs::read(&file).expect("a file").starts_with(begins));
        assert_eq!(hash_of_file(&file).expect("a file"), written);
        let load = |path: &Path| BackupIdentities::load([path]).expect("keys");
        let opened = BackupReader::sealed(&file, &load(&ours)).expect("it opens");
        assert_eq!(read(opened).expect("it is whole"), content);
        let refused = BackupReader::sealed(&file, &load(&theirs));
        assert!(matches!(refused, Err(OpenBackupError::NotOurs)));
        let whole = fs::read(&file).expect("a file");
        // Cut off at the end of a chunk, within one, and within the header.
        for length in [whole.len() - 1, whole.len() - 70_000, 40] {
            fs::write(&file, &whole[..length]).expect("it is cut off");
            let is_refused = match BackupReader::sealed(&file, &load(&ours)) {
                Ok(reader) => read(reader).is_err(),
                Err(error) => matches!(error, OpenBackupError::Broken),
            };
            assert!(is_refused, "{length} of {} bytes", whole.len());
        }
        fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn a_file_that_is_brought_to_the_disk_meanwhile_is_whole() {
        let dir = scratch();
        let (file, piece) = (dir.join("file"), vec![7; 1 << 20]);
        let mut writer =
            BackupWriter::new(File::create(&file).expect("a file"), &[]).expect("it begins");
        let pieces = 2 * SYNCED_EVERY / (1 << 20) + 1;
        for _ in 0..pieces {
            writer.write_all(&piece).expect("it is written");
        }
        let written = writer.finish().expect("it ends");

        assert_eq!(written.bytes, pieces << 20);
        assert_eq!(hash_of_file(&file).expect("a file"), written);
        fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn what_is_not_encrypted_is_as_it_was_written() {
        let dir = scratch();
        let file = dir.join("file");
        let mut writer =
            BackupWriter::new(File::create(&file).expect("a file"), &[]).expect("it begins");
        writer.write_all(b"abc").expect("it is written");
        let written = writer.finish().expect("it ends");

        // FIPS 180-2, appendix B.1.
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((written.bytes, written.sha256.as_str()), (3, wanted));
        let reader = BackupReader::plain(&file).expect("it opens");
        assert_eq!(read(reader).expect("it is read"), b"abc");
        fs::remove_dir_all(&dir).expect("it goes");
    }

    #[test]
    fn a_file_of_identities_is_read_as_age_keygen_writes_it() {
        let dir = scratch();
        let file = dir.join("identity");
        BackupIdentities::create(&file).expect("a key");
        let text = fs::read_to_string(&file).expect("a file");
        fs::write(&file, format!("# created: yesterday\n\n{text}")).expect("written");
        assert!(BackupIdentities::load([file.as_path()]).is_ok());
        for (wrong, line) in [("hunter2\n", 1), ("# none\nAGE-SECRET-KEY-1ABC\n", 2)] {
            fs::write(&file, wrong).expect("written");
            let error = BackupIdentities::load([file.as_path()]).expect_err("no key");
            assert!(
                error.to_string().contains(&format!("line {line}")),
                "{error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let error = BackupIdentities::load([dir.join("none").as_path()]).expect_err("no file");
        assert!(error.to_string().contains("backup keys new"), "{error}");
        fs::write(&file, "# none\n").expect("written");
        let empty = BackupIdentities::load([file.as_path()]);
        assert!(matches!(empty, Err(IdentityError::Empty { .. })));
        fs::remove_dir_all(&dir).expect("it goes");
    }
}
