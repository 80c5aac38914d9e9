//! `meditrustal export`: a patient's records from `GET /export` into a file, which has its name once it is
//! whole.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use fhir::upload::{Cut, Cutter};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt as _,
};
use uuid::Uuid;

use super::{
    everything,
    output::{Failure, ResultForm, note},
    remote::{ApiConnection, Remote, RetryAfter, exit_code, in_words},
};

/// The longest line: a file of 16 MiB in base64. Unit: bytes.
const MAX_LINE: usize = 24 << 20;

/// Settings of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
The file is readable by you alone, and holds medical data in clear: keep it accordingly. Until it is whole it
is called <file>.part.

Exit codes:
  0  the file is whole
  1  the file is whole, but records were withheld: what is stored is not what was anchored
  2  it did not come to an end: the message says what to do; run it again then")]
pub(crate) struct ExportFile {
    /// Where the records go
    file: PathBuf,

    #[command(flatten)]
    remote: Remote,

    /// Whose records: the id of the patient's account
    #[arg(long, required_unless_present = "everything")]
    patient: Option<Uuid>,

    /// Everything about whoever the token is of, as a tar archive: records, consents, the access log with proofs, account,
    /// log-ins, wallets, notifications and deletion requests; goes on by itself where the line breaks
    #[arg(long, conflicts_with_all = ["patient", "form", "history", "attachments", "record_type", "purpose"])]
    everything: bool,

    /// How they are written: an archive can be brought back with `import --restore`, goes on by itself where
    /// the line breaks, and holds what is known of each record besides; the others are plain FHIR. A transaction is a Bundle
    /// that another FHIR server takes, with the patient first
    #[arg(long = "format", default_value = "archive")]
    form: ExportFileFormat,

    /// Older versions, too
    #[arg(long)]
    history: bool,

    /// The files beside records, too, as FHIR `Binary` resources: in any format but an archive
    #[arg(long)]
    attachments: bool,

    /// Only records of this type, such as `LAB_RESULT`
    #[arg(long)]
    record_type: Option<String>,

    #[command(flatten)]
    result: ResultForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFileFormat {
    Archive,
    Ndjson,
    Bundle,
    Transaction,
}

impl ExportFileFormat {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Ndjson => "ndjson",
            Self::Bundle => "bundle",
            Self::Transaction => "transaction",
        }
    }

    /// Whether it is one document, and not a line for each record.
    const fn is_whole(self) -> bool {
        matches!(self, Self::Bundle | Self::Transaction)
    }
}

/// What has arrived.
struct Arrived {
    form: ExportFileFormat,
    file: File,
    records: u64,
    withheld: u64,
    cursor: Option<String>,
    /// What the line that was taken last promises of the audit trail.
    promised: Option<Value>,
}

impl ExportFile {
    /// Exports; the exit code says what it came to.
    ///
    /// # Errors
    /// None: why it did not come to an end is told, and the code is 2.
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        Ok(exit_code(self.export().await))
    }

    /// How many records were withheld.
    async fn export(self) -> Result<u64, Failure> {
        let Some(patient) = self.patient else {
            let files = everything::take_out(self.remote, &self.file).await?;
            let told = json!({ "file": self.file.display().to_string(), "files": files });
            self.result.say_json(&told)?;
            return Ok(0);
        };
        let mut part = self.file.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut query = vec![
            ("patient", patient.to_string()),
            ("format", self.form.as_str().to_owned()),
        ];
        query.extend(self.remote.purpose.clone().map(|it| ("purpose", it)));
        query.extend(self.record_type.map(|it| ("recordType", it)));
        query.extend(self.history.then(|| ("history", "true".to_owned())));
        let files = ("attachments", "true".to_owned());
        query.extend(self.attachments.then_some(files));
        let mut connection = self.remote.connect()?;
        let mut arrived = Arrived {
            form: self.form,
            file: create(&part).await?,
            records: 0,
            withheld: 0,
            cursor: None,
            promised: None,
        };
        if let Err(error) = whole(&mut connection, &query, &mut arrived, &part).await {
            remove_empty(&part).await;
            return Err(error);
        }
        arrived.file.sync_all().await?;
        tokio::fs::rename(&part, &self.file)
            .await
            .map_err(|error| {
                let (part, file) = (part.display(), self.file.display());
                format!("{part} is whole and cannot be renamed to {file}: {error}")
            })?;
        let Arrived {
            records, withheld, ..
        } = arrived;
        let file = self.file.display();
        note(&match self.form {
            ExportFileFormat::Archive | ExportFileFormat::Ndjson => {
                format!("{records} in {file}, {withheld} withheld")
            }
            ExportFileFormat::Bundle | ExportFileFormat::Transaction => format!("{file} is whole"),
        });
        // One document is not taken apart: what is in it is not counted.
        let counted = (!self.form.is_whole()).then_some((records, withheld));
        self.result.say_json(&json!({
            "file": file.to_string(),
            "records": counted.map(|it| it.0),
            "withheld": counted.map(|it| it.1),
        }))?;
        Ok(withheld)
    }
}

async fn create(part: &PathBuf) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let created = options.open(part).await;
    created.map_err(|error| format!("{} cannot be written: {error}", part.display()).into())
}

/// Downloads again and again until it is whole.
async fn whole(
    connection: &mut ApiConnection,
    query: &[(&str, String)],
    arrived: &mut Arrived,
    part: &PathBuf,
) -> Result<(), Failure> {
    loop {
        let before = arrived.cursor.clone();
        match download(connection, query, arrived).await? {
            None => return Ok(()),
            Some(again) => connection.wait(again, arrived.cursor != before).await?,
        }
        if arrived.cursor.is_none() {
            // Only an archive says where it can be gone on with.
            arrived.file = create(part).await?;
            (arrived.records, arrived.withheld) = (0, 0);
        }
    }
}

/// Of an export of which nothing has arrived, nothing is left.
async fn remove_empty(part: &PathBuf) {
    let found = tokio::fs::metadata(part).await;
    if found.is_ok_and(|file| file.len() == 0) {
        tokio::fs::remove_file(part).await.ok();
    }
}

/// Takes what there is after what has arrived; `None` once it is whole.
async fn download(
    connection: &mut ApiConnection,
    query: &[(&str, String)],
    arrived: &mut Arrived,
) -> Result<Option<RetryAfter>, Failure> {
    let request = connection.request(Client::get, "/export")?.query(query);
    let after = arrived.cursor.as_deref().map(|cursor| ("after", cursor));
    let request = request.query(&after.into_iter().collect::<Vec<_>>());
    let mut response = match connection.send(request).await? {
        Ok(response) => response,
        Err(again) => return Ok(Some(again)),
    };
    let mut lines = Cutter::lines(MAX_LINE);
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                arrived.file.flush().await?;
                return Ok(None);
            }
            Err(error) => return Ok(Some(RetryAfter::after(in_words(&error)))),
        };
        if arrived.form.is_whole() {
            arrived.file.write_all(&piece).await?;
            continue;
        }
        let mut rest: &[u8] = &piece;
        while let Some(cut) = lines.next(&mut rest)? {
            let Cut::Entry(text) = cut else {
                return Err("a line is too long to be a record: is this the api?".into());
            };
            let ended = arrived.take(text).await?;
            if let Some(promised) = arrived.promised.take() {
                connection.keep(&promised.to_string())?;
            }
            if let Some(again) = ended {
                return Ok(Some(again));
            }
        }
    }
}

impl Arrived {
    /// Keeps a line; `Some` where it says why there is not all of it.
    async fn take(&mut self, mut text: Vec<u8>) -> Result<Option<RetryAfter>, Failure> {
        let line: Value =
            serde_json::from_slice(&text).map_err(|_| "a line is no JSON: is this the api?")?;
        if line["audit"].is_object() {
            self.promised = Some(line["audit"].clone());
            return Ok(None);
        }
        let issue = &line["issue"][0];
        let code = issue["details"]["coding"][0]["code"]
            .as_str()
            .unwrap_or_default();
        let outcome = line["resourceType"] == "OperationOutcome";
        if let Some(ended) = line["ended"].as_str() {
            let message = line["message"].as_str().unwrap_or_default();
            return RetryAfter::ended(ended, message).map(Some);
        }
        if outcome && issue["severity"] == "fatal" {
            let message = issue["diagnostics"].as_str().unwrap_or_default();
            return RetryAfter::ended(code, message).map(Some);
        }
        if outcome || line["withheld"].is_string() {
            self.withheld += 1;
        } else if line["resourceType"] != "Binary" {
            self.records += 1;
        }
        text.push(b'\n');
        self.file.write_all(&text).await?;
        if self.form == ExportFileFormat::Archive {
            self.cursor = line["cursor"].as_str().map(str::to_owned);
        }
        Ok(None)
    }
}
