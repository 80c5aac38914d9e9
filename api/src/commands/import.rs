//! `meditrustal import`: a file to `POST /import`, until all of it is reported.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use domain::ids::UserId;
use fhir::upload::{Cut, Cutter};
use futures::stream;
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tokio::{fs::File, io::AsyncReadExt as _};
use uuid::Uuid;

use super::{
    file_state::FileState,
    output::{Failure, note, say},
    remote::{ApiConnection, Remote, RetryAfter, SILENT_FOR, exit_code, in_words},
};
use crate::{
    bulk::compression::{Compression, decompressed_file},
    records::{import::promised::NOT_AWAITED, patients::KnownPatients},
};

/// How much of the file is read at once. Unit: bytes.
const PIECE: usize = 64 << 10;
/// The longest line of a report. Unit: bytes.
const MAX_LINE: usize = 4 << 20;
/// The longest entry that is looked at for patients. Unit: bytes.
const MAX_ENTRY: usize = 24 << 20;
/// After how many entries progress is told.
const TELL_EVERY: u64 = 1000;

/// Settings of `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each entry is checked and stored by itself, and reported in a line. Sent again, nothing is stored twice;
where the line breaks, it goes on by itself.

Exit codes:
  0  every entry is stored, now or before
  1  some were refused, or a file of theirs was: the report says which and why
  2  it did not come to an end: the message says what to do; run it again then")]
pub(crate) struct ImportFile {
    /// NDJSON (.ndjson, .jsonl): a FHIR resource in each line, or an archive of `meditrustal export`; or a
    /// FHIR Bundle (.json); compressed, too, where its name ends in .gz or .zst
    file: PathBuf,

    #[command(flatten)]
    remote: Remote,

    /// Whose records: the id of the patient's account. The first patient whom the file names is this account,
    /// and records of a second are refused; with --patients, those that name nobody are this account's
    #[arg(long, required_unless_present = "patients")]
    patient: Option<Uuid>,

    /// Which accounts the patients are whom the file names: a line for each, `reference,account`, the
    /// reference as `Patient/7`, an URL, `urn:uuid:…`, or an identifier as `system|value`
    #[arg(long)]
    patients: Option<PathBuf>,

    /// Say what would become of each entry, and store nothing
    #[arg(long)]
    dry_run: bool,

    /// What the file holds; by default what its name says
    #[arg(long = "format")]
    form: Option<ImportFileFormat>,

    /// Of which type documents are that could be of several, such as `LAB_RESULT`
    #[arg(long)]
    record_type: Option<String>,

    /// Tells this import from others: with another key, the same entries are stored once more
    #[arg(long)]
    key: Option<String>,

    /// The system that the file comes from, such as its base address: what has the same id of the same source is the next
    /// version of the record that it became before; by default the addresses of the entries, or what documents say
    #[arg(long)]
    source: Option<String>,

    /// The entry to begin with
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,

    /// Bring records back as they were exported, with their ids and hashes: your own, from an archive
    #[arg(long)]
    restore: bool,

    /// Where the report goes; by default to standard output
    #[arg(long)]
    report: Option<PathBuf>,

    /// Also say on standard output, as JSON, how many entries came to what; the report goes to a file then
    #[arg(long, requires = "report")]
    json: bool,
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
    counts: EntryCounts,
    /// The last line of the report.
    end: Value,
    /// What the line that was taken last promises of the audit trail.
    promised: Option<Value>,
}

/// What the entries came to.
#[derive(Default)]
struct EntryCounts {
    created: u64,
    amended: u64,
    already_there: u64,
    outdated: u64,
    refused: u64,
    skipped: u64,
    checked: u64,
    would_be_amended: u64,
    attached: u64,
    /// Files that are told of once more when all has arrived.
    kept: u64,
    /// Files that are not beside their records, which are there: the caller may not store them.
    files_refused: u64,
    /// The same: there were too many to wait for.
    files_not_awaited: u64,
}

/// What is asked for.
struct ImportQuery {
    form: ImportFileFormat,
    query: Vec<(&'static str, String)>,
    /// The header that maps patients to accounts, if there is a map.
    patients: Option<String>,
    /// What the file was before anything of it was read.
    state: FileState,
}

impl ImportFile {
    /// Imports; the exit code says what it came to.
    ///
    /// # Errors
    /// None: why it did not come to an end is told, and the code is 2.
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        Ok(exit_code(self.import().await))
    }

    /// How many entries and files were refused.
    async fn import(self) -> Result<u64, Failure> {
        let form = self.held()?;
        let state = FileState::of(&self.file).await?;
        let report: Box<dyn Write + Send> = match &self.report {
            None => Box::new(std::io::stdout()),
            Some(path) => Box::new(std::fs::File::create(path).map_err(|error| {
                format!(
                    "the report cannot be written to {}: {error}",
                    path.display()
                )
            })?),
        };
        let mut progress = ImportProgress::new(report, self.from);
        let patients = self.whom(form).await?;
        let mut query: Vec<(&'static str, String)> = Vec::new();
        query.extend(self.patient.map(|it| ("patient", it.to_string())));
        query.extend(self.dry_run.then(|| ("dryRun", "true".to_owned())));
        query.extend(self.remote.purpose.clone().map(|it| ("purpose", it)));
        query.extend(self.record_type.map(|it| ("recordType", it)));
        query.extend(self.key.map(|it| ("key", it)));
        query.extend(self.source.map(|it| ("source", it)));
        query.extend(self.restore.then(|| ("restore", "true".to_owned())));
        let query = ImportQuery {
            form,
            query,
            patients,
            state,
        };
        let mut connection = self.remote.connect_for_uploads()?;
        loop {
            let before = progress.next;
            let again = upload(&mut connection, &self.file, &query, &mut progress).await;
            match again {
                Ok(None) => break,
                Ok(Some(again)) => connection.wait(again, progress.next > before).await,
                Err(error) => Err(error),
            }
            .map_err(|error| progress.so_far(&error))?;
        }
        note(&progress.in_words());
        if self.json {
            say(&progress.counted().to_string())?;
        }
        let counts = &progress.counts;
        Ok(counts.refused + counts.files_refused + counts.files_not_awaited)
    }

    /// The header that maps patients to accounts, if there is a map, after a look at whom the file names.
    async fn whom(&self, form: ImportFileFormat) -> Result<Option<String>, Failure> {
        let known = match &self.patients {
            None => KnownPatients::of_a_file(),
            Some(path) => mapped(path)?,
        };
        let seen = joined(known, &self.file, form).await?;
        if seen.is_lost {
            return Err("two patients of the file have an id or an identifier in common that --patients maps, by itself or through one of them: whose it is cannot be told; import their records apart".into());
        }
        if self.patients.is_none() && seen.is_several {
            return Err(
                "the file has more than one patient: say with --patients which accounts they are"
                    .into(),
            );
        }
        Ok(self.patients.as_ref().map(|_| header(&seen.known)))
    }

    fn held(&self) -> Result<ImportFileFormat, Failure> {
        if let Some(form) = self.form {
            return Ok(form);
        }
        let name = match Compression::of_file(&self.file) {
            Some(_) => self.file.with_extension(""),
            None => self.file.clone(),
        };
        match name.extension().and_then(|it| it.to_str()) {
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
    asked: &ImportQuery,
    progress: &mut ImportProgress,
) -> Result<Option<RetryAfter>, Failure> {
    asked.state.check(path).await?;
    let file = File::open(path)
        .await
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let mut request = || {
        let request = connection.request(Client::post, "/import")?;
        let request = request
            .query(&asked.query)
            .query(&[("from", progress.next)]);
        let request = request.header("content-type", asked.form.media_type());
        Ok::<_, Failure>(match &asked.patients {
            None => request,
            Some(patients) => request.header("x-patients", patients),
        })
    };
    // A refusal is lost where it comes while the file is still being sent: so nothing is sent first.
    let (probe, mut request) = (request()?, request()?.body(body(file)));
    if let Some(compression) = Compression::of_file(path) {
        request = request.header("content-encoding", compression.coding());
    }
    if let Err(again) = connection.send(probe.body("").timeout(SILENT_FOR)).await? {
        return Ok(Some(again));
    }
    let mut response = match connection.send(request).await? {
        Ok(response) => response,
        Err(again) => return Ok(Some(again)),
    };
    let mut lines = Cutter::lines(MAX_LINE);
    loop {
        let piece = match tokio::time::timeout(SILENT_FOR, response.chunk()).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => return Ok(Some(RetryAfter::after("the report broke off"))),
            Ok(Err(error)) => return Ok(Some(RetryAfter::after(in_words(&error)))),
            Err(_) => return Ok(Some(RetryAfter::after("the api says nothing more"))),
        };
        let mut rest: &[u8] = &piece;
        while let Some(cut) = lines.next(&mut rest)? {
            let Cut::Entry(text) = cut else {
                return Err("a line of the report is too long to be one: is this the api?".into());
            };
            // Said while nothing can be reported yet.
            if text.trim_ascii().is_empty() {
                continue;
            }
            let said = progress.take(&text);
            if let Some(promised) = progress.promised.take() {
                connection.keep(&promised.to_string())?;
            }
            match said? {
                ReportLine::Entry => {}
                ReportLine::All => {
                    asked.state.check(path).await?;
                    return Ok(None);
                }
                ReportLine::Interrupted(again) => return Ok(Some(again)),
            }
        }
    }
}

/// How many files of an entry are not waited for.
fn not_awaited(line: &Value) -> u64 {
    let issues = line["operationOutcome"]["issue"].as_array();
    let issues = issues.into_iter().flatten();
    let not_awaited = issues.filter(|issue| {
        let codings = issue["details"]["coding"].as_array();
        let mut codings = codings.into_iter().flatten();
        codings.any(|coding| coding["code"] == NOT_AWAITED)
    });
    not_awaited.count() as u64
}

fn counts(outcomes: &Value) -> String {
    let outcomes = outcomes.as_object().into_iter().flatten();
    let outcomes: Vec<_> = outcomes
        .map(|(outcome, times)| format!("{times} {outcome}"))
        .collect();
    outcomes.join(", ")
}

/// The map of a file: `reference,account` in each line. Blank lines and what begins with `#` is passed over,
/// and so is a first line that names the columns.
fn mapped(path: &Path) -> Result<KnownPatients, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let mut map = KnownPatients::of_a_file();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || line.starts_with('#') || (number == 1 && line == "reference,account")
        {
            continue;
        }
        let wrong = |what: &str| format!("{}, line {number}: {what}", path.display());
        let (reference, account) = line
            .rsplit_once(',')
            .ok_or_else(|| wrong("write it as reference,account"))?;
        let account = account.trim().parse::<Uuid>();
        let account = account.map_err(|_| wrong("the account is no id"))?;
        let key = fhir::patient_key(reference.trim().trim_matches('"'));
        let key =
            key.ok_or_else(|| wrong("there is no reference, or an identifier without its system"))?;
        if !map.learn(key, UserId(account)) {
            return Err(
                wrong("this reference has another account above, or there are too many").into(),
            );
        }
    }
    Ok(map)
}

/// Whom a file names.
struct PatientsSeen {
    known: KnownPatients,
    /// The first `Patient`.
    first: Option<u64>,
    /// Whether there are others.
    is_several: bool,
    /// Whether something that meant an account is what two of them are called.
    is_lost: bool,
}

/// The map with the other ways in which the file names the same people: its `Patient` resources join them,
/// wherever in it they stand.
async fn joined(
    known: KnownPatients,
    path: &Path,
    form: ImportFileFormat,
) -> Result<PatientsSeen, Failure> {
    let mut seen = PatientsSeen {
        known,
        first: None,
        is_several: false,
        is_lost: false,
    };
    let unreadable = |error| format!("{} cannot be read: {error}", path.display());
    let file = File::open(path).await.map_err(unreadable)?;
    let mut file = decompressed_file(file, path);
    let mut cutter = match form {
        ImportFileFormat::Ndjson => Cutter::lines(MAX_ENTRY),
        ImportFileFormat::Bundle => Cutter::bundle(MAX_ENTRY),
    };
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece).await.map_err(unreadable)?;
        let mut rest = &piece[..length];
        // What cannot be made sense of is told by the api.
        while let Ok(Some(cut)) = cutter.next(&mut rest) {
            if let Cut::Entry(entry) = cut {
                join(&mut seen, &entry, form);
            }
        }
        if length == 0 || !rest.is_empty() {
            break;
        }
    }
    if let Ok(Some(Cut::Entry(entry))) = cutter.end() {
        join(&mut seen, &entry, form);
    }
    Ok(seen)
}

fn join(seen: &mut PatientsSeen, entry: &[u8], form: ImportFileFormat) {
    // Few entries are of patients: the others are not read, nor is any once the file is refused.
    let names_patient = !seen.is_lost && entry.windows(9).any(|word| word == b"\"Patient\"");
    let Some(json) = names_patient
        .then(|| fhir::reader::read(entry).ok())
        .flatten()
    else {
        return;
    };
    let full_url = json.get("fullUrl").and_then(fhir::Json::as_str);
    let resource = match form {
        ImportFileFormat::Ndjson => Some(&json),
        ImportFileFormat::Bundle => json.get("resource"),
    };
    let Some(patient) = resource.filter(|it| fhir::kind_of(it) == Some("Patient")) else {
        return;
    };
    let which = seen.known.which(patient, full_url);
    seen.is_several |= *seen.first.get_or_insert(which) != which;
    let (_, is_lost) = seen.known.meet(patient, full_url, None);
    seen.is_lost |= is_lost;
}

/// The header that says it: `account=reference`, as in an address.
fn header(map: &KnownPatients) -> String {
    let encoded = |text: &str| {
        let byte = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b':' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let pairs: Vec<_> = map
        .mapped()
        .map(|(reference, account)| format!("{account}={}", encoded(reference)))
        .collect();
    pairs.join("&")
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
    /// Nothing yet of a file that is sent from this entry on.
    fn new(report: Box<dyn Write + Send>, from: u64) -> Self {
        Self {
            report,
            next: from,
            reported: 0,
            counts: EntryCounts::default(),
            end: Value::Null,
            promised: None,
        }
    }

    /// Takes a line of the report.
    fn take(&mut self, text: &[u8]) -> Result<ReportLine, Failure> {
        let line: Value =
            serde_json::from_slice(text).map_err(|_| "the report is none: is this the api?")?;
        if line["audit"].is_object() {
            self.promised = Some(line["audit"].clone());
        }
        if let Some(ended) = line["ended"].as_str() {
            if ended == "COMPLETE" {
                self.end = line;
                return Ok(ReportLine::All);
            }
            let message = line["message"].as_str().unwrap_or_default();
            return RetryAfter::ended(ended, message).map(ReportLine::Interrupted);
        }
        if self.promised.is_some() {
            return Ok(ReportLine::Entry);
        }
        self.report.write_all(text)?;
        self.report.write_all(b"\n")?;
        self.report.flush()?;
        match line["outcome"].as_str() {
            Some("CREATED") => self.counts.created += 1,
            Some("AMENDED") => self.counts.amended += 1,
            Some("ALREADY_THERE") => self.counts.already_there += 1,
            Some("OUTDATED") => self.counts.outdated += 1,
            Some("SKIPPED") => self.counts.skipped += 1,
            Some("WOULD_BE_CREATED") => self.counts.checked += 1,
            Some("WOULD_BE_AMENDED") => self.counts.would_be_amended += 1,
            Some("ATTACHED" | "WOULD_BE_ATTACHED" | "WITH_DOCUMENT") => self.counts.attached += 1,
            Some("KEPT") => self.counts.kept += 1,
            _ => self.counts.refused += 1,
        }
        self.counts.files_refused += line["attachmentsRefused"].as_u64().unwrap_or_default();
        self.counts.files_not_awaited += not_awaited(&line);
        // Behind the last entry, one that was reported before may have another line.
        if let Some(entry) = line["entry"].as_u64().filter(|entry| *entry >= self.next) {
            self.next = entry + 1;
            self.reported += 1;
            if self.reported.is_multiple_of(TELL_EVERY) {
                note(&self.in_words());
            }
        }
        Ok(ReportLine::Entry)
    }

    /// The same as in words, for a program.
    fn counted(&self) -> Value {
        let counts = &self.counts;
        json!({
            "created": counts.created,
            "amended": counts.amended,
            "alreadyThere": counts.already_there,
            "outdated": counts.outdated,
            "refused": counts.refused,
            "skipped": counts.skipped,
            "wouldBeCreated": counts.checked,
            "wouldBeAmended": counts.would_be_amended,
            "attached": counts.attached,
            "kept": counts.kept,
            "attachmentsRefused": counts.files_refused,
            "attachmentsNotAwaited": counts.files_not_awaited,
            "reported": self.reported,
        })
    }

    fn in_words(&self) -> String {
        let told = &self.counts;
        let mut words = format!(
            "{} stored, {} there already, {} refused",
            told.created, told.already_there, told.refused
        );
        let unresolved = self.end["unresolvedReferences"]
            .as_u64()
            .unwrap_or_default();
        for (times, what) in [
            (told.skipped, "skipped"),
            (told.amended, "stored as next versions"),
            (told.outdated, "older than what is there"),
            (told.checked, "would be stored"),
            (told.would_be_amended, "would be stored as next versions"),
            (told.attached, "files of records"),
            (told.kept, "files kept for documents behind them"),
            (told.files_refused, "files that may not be stored"),
            (told.files_not_awaited, "files to be sent by themselves"),
            (unresolved, "references to what is not stored"),
        ] {
            if times > 0 {
                words = format!("{words}, {times} {what}");
            }
        }
        // Of what was sent last: all of it, unless it began anew.
        let members = |name: &str| self.end[name].as_object().into_iter().flatten();
        let kinds = members("byResourceType");
        let kinds = kinds.map(|(kind, outcomes)| format!("\n  {kind}: {}", counts(outcomes)));
        let reasons = members("reasons");
        let reasons = reasons.map(|(reason, times)| match reason.as_str() {
            "DELETION" | "UNCLAIMED" => format!("\n  skipped for {reason}: {times}"),
            _ => format!("\n  refused for {reason}: {times}"),
        });
        words.extend(kinds.chain(reasons));
        words
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn another_line_of_an_entry_does_not_begin_the_file_anew() {
        let mut progress = ImportProgress::new(Box::new(std::io::sink()), 1);
        for line in [
            r#"{"entry":1,"outcome":"CREATED"}"#,
            r#"{"entry":2,"outcome":"KEPT"}"#,
            r#"{"entry":3,"outcome":"SKIPPED"}"#,
            r#"{"entry":2,"outcome":"WITH_DOCUMENT"}"#,
            r#"{"entry":1,"outcome":"AMENDED"}"#,
        ] {
            progress.take(line.as_bytes()).unwrap();
        }
        assert_eq!((progress.next, progress.reported), (4, 3));
        let counts = &progress.counts;
        let counted = (counts.created, counts.skipped, counts.amended);
        assert_eq!(counted, (1, 1, 1));
        assert_eq!((counts.kept, counts.attached, counts.refused), (1, 1, 0));
    }
}
