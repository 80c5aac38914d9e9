//! A tar archive as it is read, member by member: ustar, with the long names of POSIX.1-2001 and of GNU. What is not asked for
//! is passed over, and no more than one member is held.

use fhir::profiles::MAX_DEFINITION;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How long a block is. Unit: bytes.
const BLOCK: usize = 512;
/// How long an archive is at most, decompressed. Unit: bytes.
const MAX_BYTES: u64 = 1 << 30;
/// How long what describes a member may be. Unit: bytes.
const MAX_DESCRIPTION: usize = 64 << 10;

/// Why an archive cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("it is no tar archive that is compressed with gzip, or was cut off")]
    Broken,
    #[error("it comes to more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("{name} in it has more than {} MiB", MAX_DEFINITION >> 20)]
    TooLargeMember { name: String },
}

/// An archive.
pub(super) struct Archive<R> {
    reader: R,
    read: u64,
}

/// What a header says of the member behind it.
struct MemberHeader {
    name: String,
    kind: u8,
    length: u64,
}

impl<R: AsyncRead + Unpin> Archive<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, read: 0 }
    }

    /// The next file whose name is wanted: its name, and what is in it.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub(super) async fn next(
        &mut self,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<(String, Vec<u8>)>, ArchiveError> {
        let mut long_name = None;
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block).await?;
            if block == [0; BLOCK] {
                return Ok(None);
            }
            let header = header(&block).ok_or(ArchiveError::Broken)?;
            match header.kind {
                b'x' | b'L' => {
                    let content = self.content(header.length, MAX_DESCRIPTION).await?;
                    let content = content.ok_or(ArchiveError::Broken)?;
                    let told = if header.kind == b'x' {
                        path_of(&content)
                    } else {
                        Some(content)
                    };
                    long_name = told.map(|name| text(&name)).or(long_name);
                }
                b'0' | 0 => {
                    let name = long_name.take().unwrap_or(header.name);
                    if is_wanted(&name) {
                        let content = self.content(header.length, MAX_DEFINITION).await?;
                        let Some(content) = content else {
                            return Err(ArchiveError::TooLargeMember { name });
                        };
                        return Ok(Some((name, content)));
                    }
                    self.skip(padded(header.length)?).await?;
                }
                _ => {
                    // What describes all members, and what is no file: its long name was its own.
                    if header.kind != b'g' {
                        long_name = None;
                    }
                    self.skip(padded(header.length)?).await?;
                }
            }
        }
    }

    /// What is in a member of this length; `None` where that is more than it may be.
    async fn content(&mut self, length: u64, most: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
        let Some(length) = usize::try_from(length).ok().filter(|it| *it <= most) else {
            return Ok(None);
        };
        let mut content = vec![0; length];
        self.fill(&mut content).await?;
        let padding = length.next_multiple_of(BLOCK) - length;
        self.skip(padding as u64).await?;
        Ok(Some(content))
    }

    async fn skip(&mut self, mut length: u64) -> Result<(), ArchiveError> {
        let mut passed_over = [0; 8 * BLOCK];
        while length > 0 {
            let next = usize::try_from(length).unwrap_or(usize::MAX);
            let next = next.min(passed_over.len());
            self.fill(&mut passed_over[..next]).await?;
            length -= next as u64;
        }
        Ok(())
    }

    async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.read = self.read.saturating_add(bytes.len() as u64);
        if self.read > MAX_BYTES {
            return Err(ArchiveError::TooLarge);
        }
        let filled = self.reader.read_exact(bytes).await;
        filled.map(drop).map_err(|_| ArchiveError::Broken)
    }
}

/// How many bytes a member takes up.
fn padded(length: u64) -> Result<u64, ArchiveError> {
    let padded = length.checked_next_multiple_of(BLOCK as u64);
    padded.ok_or(ArchiveError::Broken)
}

/// What a header says, where its sum is right.
fn header(block: &[u8; BLOCK]) -> Option<MemberHeader> {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            u64::from(if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            })
        })
        .sum();
    if octal(&block[148..156]) != Some(sum) {
        return None;
    }
    let name = text(&block[..100]);
    let prefix = if &block[257..262] == b"ustar" {
        text(&block[345..500])
    } else {
        String::new()
    };
    Some(MemberHeader {
        name: if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        },
        kind: block[156],
        length: octal(&block[124..136])?,
    })
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

/// A field up to its first zero.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    let field = end.and_then(|end| field.get(..end)).unwrap_or(field);
    String::from_utf8_lossy(field).into_owned()
}

/// The path among the records of an extended header, `<length> <key>=<value>` and a line's end each.
fn path_of(records: &[u8]) -> Option<Vec<u8>> {
    let mut rest = records;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
        let record = rest.get(space + 1..length)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(path.strip_suffix(b"\n").unwrap_or(path).to_vec());
        }
        rest = rest.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = [0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..262].copy_from_slice(b"ustar");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }

    async fn all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let mut archive = Archive::new(bytes);
        let mut found = Vec::new();
        while let Some(one) = archive.next(|name| !name.starts_with("not")).await? {
            found.push(one);
        }
        Ok(found)
    }

    #[tokio::test]
    async fn files_that_are_wanted_come_with_their_names_and_the_rest_is_passed_over() {
        let long = format!("package/{}.json", "a".repeat(150));
        let length = long.len() + " path=\n".len();
        // The length counts its own digits.
        let record = format!("{} path={long}\n", length + 3);
        let archive = [
            member("package", b'5', b""),
            member("not/this", b'0', &[7; 5000]),
            member("package/one.json", b'0', b"{}"),
            member("header", b'x', record.as_bytes()),
            member("cut off", b'0', b"[]"),
            member("././@LongLink", b'L', b"another long name\0"),
            member("cut off", 0, b"3"),
            vec![0; 2 * BLOCK],
        ]
        .concat();

        let found = all(&archive).await;

        let wanted = [
            ("package/one.json", b"{}".as_slice()),
            (long.as_str(), b"[]".as_slice()),
            ("another long name", b"3".as_slice()),
        ];
        let wanted = wanted.map(|(name, content)| (name.to_owned(), content.to_vec()));
        assert_eq!(found, Ok(wanted.to_vec()));
    }

    #[tokio::test]
    async fn what_is_cut_off_damaged_or_too_long_is_refused() {
        let whole = [member("a", b'0', b"content"), vec![0; BLOCK]].concat();
        assert!(all(&whole).await.is_ok());
        for cut in [0, 100, BLOCK, BLOCK + 3, 2 * BLOCK] {
            assert_eq!(all(&whole[..cut]).await, Err(ArchiveError::Broken), "{cut}");
        }
        let mut damaged = whole.clone();
        damaged[0] = b'b';
        assert_eq!(all(&damaged).await, Err(ArchiveError::Broken));
        let mut long = member("a", b'0', b"");
        long[124..135].copy_from_slice(b"77777777777");
        long[148..156].fill(b' ');
        let sum: u64 = long.iter().map(|byte| u64::from(*byte)).sum();
        long[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        let name = "a".to_owned();
        let refused = ArchiveError::TooLargeMember { name };
        assert_eq!(all(&long).await, Err(refused));
    }
}
