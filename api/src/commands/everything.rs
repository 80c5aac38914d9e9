//! `meditrustal export --everything`: the archive of `GET /my-data` in a file, which goes on by itself where the line breaks.

use std::path::{Path, PathBuf};

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
};

use super::{
    output::{Failure, note},
    remote::{ApiConnection, Remote, RetryAfter, in_words},
};

/// How long a block of tar is. Unit: bytes.
const BLOCK: usize = 512;
/// How long a member may be: a page of records, each of which has at most a MiB. Unit: bytes.
const MAX_MEMBER: usize = 128 << 20;

/// What has arrived.
struct ArrivedFiles {
    file: File,
    /// What of a member is there, and not all of it.
    rest: Vec<u8>,
    files: u64,
    /// Where it goes on.
    after: Option<String>,
}

/// Takes everything out, into a file.
///
/// # Errors
/// Why it did not come to an end.
pub(super) async fn take_out(remote: Remote, file: &Path) -> Result<(), Failure> {
    let part = PathBuf::from(file).with_added_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let opened = options.open(&part).await;
    let mut arrived = ArrivedFiles {
        file: opened.map_err(|error| format!("{} cannot be written: {error}", part.display()))?,
        rest: Vec::new(),
        files: 0,
        after: None,
    };
    let mut connection = remote.connect()?;
    loop {
        let before = arrived.after.clone();
        match download(&mut connection, &mut arrived).await? {
            None => break,
            Some(again) => connection.wait(again, arrived.after != before).await?,
        }
        arrived.rest.clear();
        if arrived.after.is_none() {
            arrived.file = options.open(&part).await?;
            arrived.files = 0;
        }
    }
    arrived.file.sync_all().await?;
    tokio::fs::rename(&part, file).await?;
    note(&format!("{} files in {}", arrived.files, file.display()));
    Ok(())
}

/// Takes what there is after what has arrived; `None` once it is whole.
async fn download(
    connection: &mut ApiConnection,
    arrived: &mut ArrivedFiles,
) -> Result<Option<RetryAfter>, Failure> {
    let after = arrived.after.clone().map(|after| ("after", after));
    let request = connection.request(Client::get, "/my-data")?;
    let request = request.query(&after.into_iter().collect::<Vec<_>>());
    let mut response: Response = match connection.send(request).await? {
        Ok(response) => response,
        Err(again) => return Ok(Some(again)),
    };
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => arrived.rest.extend_from_slice(&piece),
            Ok(None) => return Ok(Some(RetryAfter::after("the archive ended too early"))),
            Err(error) => return Ok(Some(RetryAfter::after(in_words(&error)))),
        }
        while let Some(member) = arrived.member()? {
            if member.is_empty() {
                arrived.file.write_all(&[0; 2 * BLOCK]).await?;
                return Ok(None);
            }
            if let Some(again) = arrived.take(&member).await? {
                return Ok(Some(again));
            }
        }
    }
}

impl ArrivedFiles {
    /// The next member with its header, where all of it is there; nothing in it at the end of the archive.
    fn member(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(header) = self.rest.get(..BLOCK) else {
            return Ok(None);
        };
        if header.iter().all(|byte| *byte == 0) {
            return Ok(Some(Vec::new()));
        }
        let length = header
            .get(124..135)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| usize::from_str_radix(digits, 8).ok())
            .filter(|length| *length <= MAX_MEMBER)
            .ok_or("this is no archive of ours: is this the api?")?;
        let whole = BLOCK + length.next_multiple_of(BLOCK);
        if self.rest.len() < whole {
            return Ok(None);
        }
        Ok(Some(self.rest.drain(..whole).collect()))
    }

    /// Keeps a member; `Some` where it says why there is not all of it.
    async fn take(&mut self, member: &[u8]) -> Result<Option<RetryAfter>, Failure> {
        let (header, content) = member.split_at(BLOCK);
        let text = String::from_utf8_lossy(content);
        let text = text.trim_end_matches('\0');
        let last: Value = text
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_default();
        if header.starts_with(b"interrupted.json\0") {
            let said = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
            return RetryAfter::ended(&said("ended"), &said("message")).map(Some);
        }
        self.file.write_all(member).await?;
        self.files += 1;
        if let Some(after) = last["after"].as_str() {
            self.after = Some(after.to_owned());
        }
        Ok(None)
    }
}
