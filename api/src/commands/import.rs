//! `meditrustal import`: a file to `POST /import`, until all of it is reported.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use fhir::upload::{Cut, Cutter};
use futures::stream;
use reqwest::{Body, Client};
use serde_json::Value;
use tokio::{fs::File, io::AsyncReadExt as _};

use super::{
    output::{Failure, note},
    remote::{ApiConnection, Remote, RetryAfter, exit_code, in_words},
};

/// How much of the file is read at once. Unit: bytes.
const PIECE: usize = 64 << 10;
/// The longest line of a report. Unit: bytes.
const MAX_LINE: usize = 4 << 20;
/// After how many entries progress is told.
const TELL_EVERY: u64 = 1000;

/// Settings of `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each entry is checked and stored by itself, and reported in a line. Sent again, nothing is stored twice;
where the line breaks, it goes on by itself.

Exit codes:
  0  every entry is stored, now or before
  1  some were refused: the report says which and why
  2  it did not come to an end: the message says what to do; run it again then")]
pub(crate) struct ImportFile {
    /// NDJSON (.ndjson, .jsonl): a FHIR resource in each line, or an archive of `meditrustal export`; or a
    /// FHIR Bundle (.json)
    file: PathBuf,

    #[command(flatten)]
    remote: Remote,

    /// What the file holds; by default what its name says
    #[arg(long = "format")]
    form: Option<ImportFileFormat>,

    /// Of which type documents are that could be of several, such as `LAB_RESULT`
    #[arg(long)]
    record_type: Option<String>,

    /// Tells this import from others: with another key, the same entries are stored once more
    #[arg(long)]
    key: Option<String>,

    /// The entry to begin with
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,

    /// Bring records back as they were exported, with their ids and hashes: your own, from an archive
    #[arg(long)]
    restore: bool,

    /// Where the report goes; by default to standard output
    #[arg(long)]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ImportFileFormat {
    Ndjson,
    Bundle,
}

impl ImportFileFormat {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/fhir+ndjson",
            Self::Bundle => "application/fhir+json",
        }
    }
}

/// What a line of the report says.
enum ReportLine {
    /// What became of an entry.
    Entry,
    /// That this was all.
    All,
    /// That it was not.
    Interrupted(RetryAfter),
}

/// What has been reported so far.
struct ImportProgress {
    report: Box<dyn Write + Send>,
    next: u64,
    reported: u64,
    created: u64,
    already_there: u64,
    refused: u64,
}

impl ImportFile {
    /// Imports; the exit code says what it came to.
    ///
    /// # Errors
    /// None: why it did not come to an end is told, and the code is 2.
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        Ok(exit_code(self.import().await))
    }

    /// How many entries were refused.
    async fn import(self) -> Result<u64, Failure> {
        let form = self.held()?;
        let report: Box<dyn Write + Send> = match &self.report {
            None => Box::new(std::io::stdout()),
            Some(path) => Box::new(std::fs::File::create(path).map_err(|error| {
                format!(
                    "the report cannot be written to {}: {error}",
                    path.display()
                )
            })?),
        };
        let mut progress = ImportProgress {
            report,
            next: self.from,
            reported: 0,
            created: 0,
            already_there: 0,
            refused: 0,
        };
        let mut query = vec![("patient", self.remote.patient.to_string())];
        query.extend(self.remote.purpose.clone().map(|it| ("purpose", it)));
        query.extend(self.record_type.map(|it| ("recordType", it)));
        query.extend(self.key.map(|it| ("key", it)));
        query.extend(self.restore.then(|| ("restore", "true".to_owned())));
        let mut connection = self.remote.connect()?;
        loop {
            let before = progress.next;
            let again = upload(&mut connection, &self.file, form, &query, &mut progress).await;
            match again {
                Ok(None) => break,
                Ok(Some(again)) => connection.wait(again, progress.next > before).await,
                Err(error) => Err(error),
            }
            .map_err(|error| progress.so_far(&error))?;
        }
        note(&progress.in_words());
        Ok(progress.refused)
    }

    fn held(&self) -> Result<ImportFileFormat, Failure> {
        if let Some(form) = self.form {
            return Ok(form);
        }
        match self.file.extension().and_then(|it| it.to_str()) {
            Some("ndjson" | "jsonl") => Ok(ImportFileFormat::Ndjson),
            Some("json") => Ok(ImportFileFormat::Bundle),
            _ => Err("say what the file holds: --format ndjson or --format bundle".into()),
        }
    }
}

/// Sends the file from where the report ends; `None` once all of it is reported.
async fn upload(
    connection: &mut ApiConnection,
    path: &PathBuf,
    form: ImportFileFormat,
    query: &[(&str, String)],
    progress: &mut ImportProgress,
) -> Result<Option<RetryAfter>, Failure> {
    let file = File::open(path)
        .await
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let mut request = || {
        let request = connection.request(Client::post, "/import")?;
        let request = request.query(query).query(&[("from", progress.next)]);
        Ok::<_, Failure>(request.header("content-type", form.media_type()))
    };
    // A refusal is lost where it comes while the file is still being sent: so nothing is sent first.
    let (probe, request) = (request()?, request()?.body(body(file)));
    if let Err(again) = connection.send(probe.body("")).await? {
        return Ok(Some(again));
    }
    let mut response = match connection.send(request).await? {
        Ok(response) => response,
        Err(again) => return Ok(Some(again)),
    };
    let mut lines = Cutter::lines(MAX_LINE);
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => return Ok(Some(RetryAfter::after("the report broke off"))),
            Err(error) => return Ok(Some(RetryAfter::after(in_words(&error)))),
        };
        let mut rest: &[u8] = &piece;
        while let Some(cut) = lines.next(&mut rest)? {
            let Cut::Entry(text) = cut else {
                return Err("a line of the report is too long to be one: is this the api?".into());
            };
            match progress.take(&text)? {
                ReportLine::Entry => {}
                ReportLine::All => return Ok(None),
                ReportLine::Interrupted(again) => return Ok(Some(again)),
            }
        }
    }
}

fn body(file: File) -> Body {
    let pieces = stream::unfold(file, |mut file| async {
        let mut piece = vec![0; PIECE];
        match file.read(&mut piece).await {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some((Ok(piece), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    Body::wrap_stream(pieces)
}

impl ImportProgress {
    /// Takes a line of the report.
    fn take(&mut self, text: &[u8]) -> Result<ReportLine, Failure> {
        let line: Value =
            serde_json::from_slice(text).map_err(|_| "the report is none: is this the api?")?;
        if let Some(ended) = line["ended"].as_str() {
            if ended == "COMPLETE" {
                return Ok(ReportLine::All);
            }
            let message = line["message"].as_str().unwrap_or_default();
            return RetryAfter::ended(ended, message).map(ReportLine::Interrupted);
        }
        self.report.write_all(text)?;
        self.report.write_all(b"\n")?;
        self.report.flush()?;
        match line["outcome"].as_str() {
            Some("CREATED") => self.created += 1,
            Some("ALREADY_THERE") => self.already_there += 1,
            _ => self.refused += 1,
        }
        self.reported += 1;
        self.next = line["entry"].as_u64().map_or(self.next, |entry| entry + 1);
        if self.reported.is_multiple_of(TELL_EVERY) {
            note(&self.in_words());
        }
        Ok(ReportLine::Entry)
    }

    fn in_words(&self) -> String {
        format!(
            "{} stored, {} there already, {} refused",
            self.created, self.already_there, self.refused
        )
    }

    fn so_far(&self, error: &Failure) -> Failure {
        format!(
            "{error}\n  so far: {}; --from {} goes on after that",
            self.in_words(),
            self.next
        )
        .into()
    }
}
