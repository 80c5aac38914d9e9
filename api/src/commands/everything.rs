//! `meditrustal export --everything`: the archive of `GET /my-data` in a file, which goes on by itself where the line breaks.

use std::path::{Path, PathBuf};

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
};

use super::{
    output::{Failure, note},
    remote::{ApiConnection, Remote, RetryAfter, in_words},
};
use crate::bulk::tar;

/// How long a block of tar is. Unit: bytes.
const BLOCK: usize = 512;
/// How long a member may be: a page of records, each of which has at most a MiB. Unit: bytes.
const MAX_MEMBER: usize = 128 << 20;

/// What has arrived.
struct ArrivedFiles {
    file: File,
    /// What of a member is there, and not all of it.
    rest: Vec<u8>,
    /// Members after the last place to go on from: where the line breaks, they come again.
    waiting: Vec<u8>,
    /// What `complete.json` says of them.
    waiting_names: Vec<Value>,
    /// What it says of those that were written.
    names: Vec<Value>,
    /// How many of them had been when this answer began.
    before: usize,
    /// Where it goes on.
    after: Option<String>,
}

/// Takes everything out, into a file; gives how many files are in it.
///
/// # Errors
/// Why it did not come to an end.
pub(super) async fn take_out(remote: Remote, file: &Path) -> Result<usize, Failure> {
    let part = PathBuf::from(file).with_added_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let opened = options.open(&part).await;
    let mut arrived = ArrivedFiles {
        file: opened.map_err(|error| format!("{} cannot be written: {error}", part.display()))?,
        rest: Vec::new(),
        waiting: Vec::new(),
        waiting_names: Vec::new(),
        names: Vec::new(),
        before: 0,
        after: None,
    };
    let mut connection = remote.connect()?;
    loop {
        let before = arrived.after.clone();
        match download(&mut connection, &mut arrived).await? {
            None => break,
            Some(again) => connection.wait(again, arrived.after != before).await?,
        }
        arrived.begin_again();
    }
    arrived.file.sync_all().await?;
    tokio::fs::rename(&part, file).await?;
    let files = arrived.names.len();
    note(&format!("{files} files in {}", file.display()));
    Ok(files)
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
                return Ok(Some(RetryAfter::after("the archive ended too early")));
            }
            match arrived.take(&member).await? {
                Taken::More => {}
                Taken::All => return Ok(None),
                Taken::Ended(again) => return Ok(Some(again)),
            }
        }
    }
}

/// What a member was.
enum Taken {
    /// One of several.
    More,
    /// The last one.
    All,
    /// What says why there is not all of it.
    Ended(RetryAfter),
}

/// How long a member is, as its header says.
fn length_of(header: &[u8]) -> Result<usize, Failure> {
    let length = octal(header, 124)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|length| *length <= MAX_MEMBER);
    Ok(length.ok_or("this is no archive of ours: is this the api?")?)
}

/// A number of a header: eleven digits from a place on.
fn octal(header: &[u8], at: usize) -> Option<i64> {
    let digits = std::str::from_utf8(header.get(at..at + 11)?).ok()?;
    i64::from_str_radix(digits, 8).ok()
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
        let whole = BLOCK + length_of(header)?.next_multiple_of(BLOCK);
        if self.rest.len() < whole {
            return Ok(None);
        }
        Ok(Some(self.rest.drain(..whole).collect()))
    }

    /// Forgets what comes again.
    fn begin_again(&mut self) {
        self.rest.clear();
        self.waiting.clear();
        self.waiting_names.clear();
        self.before = self.names.len();
    }

    /// Keeps a member.
    async fn take(&mut self, member: &[u8]) -> Result<Taken, Failure> {
        let (header, padded) = member.split_at(BLOCK);
        let content = padded.get(..length_of(header)?).unwrap_or(padded);
        let last: Value = content
            .trim_ascii_end()
            .rsplit(|byte| *byte == b'\n')
            .next()
            .and_then(|line| serde_json::from_slice(line).ok())
            .unwrap_or_default();
        let name = header.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        if name == "interrupted.json" {
            let said = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
            let ended = RetryAfter::ended(&said("ended"), &said("message"))?;
            return Ok(Taken::Ended(ended));
        }
        if name == "complete.json" {
            let at = octal(header, 136).unwrap_or_default();
            self.complete(&last, at).await?;
            return Ok(Taken::All);
        }
        self.waiting.extend_from_slice(member);
        self.waiting_names.push(tar::named(&name, content));
        if let Some(after) = last["after"].as_str() {
            self.after = Some(after.to_owned());
            self.write().await?;
        }
        Ok(Taken::More)
    }

    async fn write(&mut self) -> Result<(), Failure> {
        self.file.write_all(&self.waiting).await?;
        self.waiting.clear();
        self.names.append(&mut self.waiting_names);
        Ok(())
    }

    /// Compares what arrived with what was sent, and writes one `complete.json` over all of it, in however many parts it came.
    async fn complete(&mut self, said: &Value, at: i64) -> Result<(), Failure> {
        self.write().await?;
        let sent = said["files"].as_array().map(Vec::as_slice);
        if sent != self.names.get(self.before..) {
            return Err("the archive has other files than it says: take it out again".into());
        }
        let complete = json!({ "isWhole": true, "from": null, "files": self.names });
        let content = format!("{complete}\n");
        let member = tar::member("complete.json", at, content.as_bytes());
        self.file.write_all(&member).await?;
        self.file.write_all(&tar::end()).await?;
        Ok(())
    }
}
