//! `GET /my-data`: everything about the caller as a tar archive that is made while it is sent. A page is held at a time, and of a
//! file beside a record a chunk.
//!
//! It begins with `index.html`, a page for people, and `about.json`; then the sections follow, in files of a page each; it ends
//! with `complete.json`, which names every file with its SHA-256. What ends earlier is not whole, and the connection breaks off. The
//! last line of a file says how to go on after it (`after`): then an archive with the rest comes, which says that it is no more.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use domain::{countries::abroad, purpose::Purpose, records::RecordType};
use serde_json::{Value, json};
use store::{my_data::DataCounts, records::search::Filter};
use tracing::Instrument as _;
use uuid::Uuid;
use vault::digest;

use super::{
    Disconnected, Ending, ResponseBody, TRIES, Transfer, TransferRefused,
    export::{ExportFormat, LAST_WORD},
    query::QueryParameters,
    tar,
    transfer_request::TransferRequest,
    wait_where_busy,
};
use crate::{
    cursor::Cursor,
    error::Error,
    my_data::{DataPage, DataPlace, MyData, Section, SectionKey},
    records::{
        attachments::{self, NamedFile},
        export::{self, Export, ExportStart},
        filter::Criteria,
    },
    wire::UNBUFFERED,
};

/// Answers with the archive.
pub(crate) async fn answer(request: TransferRequest) -> Response {
    let asking = request.clone();
    let begun = async move {
        let transfer = Transfer::begin(&asking, |room| &room.exports).await?;
        let mut asked = QueryParameters::read(asking.query.as_deref())?;
        let after = asked.take("after");
        let destination = asked.destination();
        asked.complete()?;
        let app = &transfer.app;
        let with = (app.registry()?, &app.index_key);
        let (caller, destination) = (&transfer.caller, abroad(destination, app.home_country));
        let begun = MyData::begin(&app.pool, caller, with, destination, after.as_deref()).await?;
        let (data, counts, from) = begun;
        let records = records_of(&transfer, &data).await?;
        Ok::<_, TransferRefused>((transfer, data, counts, from, records))
    };
    match request.finish(begun).await {
        Ok((transfer, data, counts, from, records)) => {
            let promised = request.promised(true).await;
            let (output, answer) = ResponseBody::new();
            let run = MyDataRun {
                at: transfer.app.clock.now(),
                transfer,
                data,
                counts,
                from,
                records,
                output,
                files: Vec::new(),
            };
            tokio::spawn(run.run().in_current_span());
            let kind = [
                (header::CONTENT_TYPE, "application/x-tar"),
                (
                    header::CONTENT_DISPOSITION,
                    "attachment; filename=\"my-data.tar\"",
                ),
            ];
            (UNBUFFERED, kind, promised, answer).into_response()
        }
        Err(refused) => request.refuse(&refused).await,
    }
}

/// The export of the caller's own records, at their own request whatever a header says that they come for: an archive without
/// them would call itself whole.
async fn records_of(transfer: &Transfer, data: &MyData) -> Result<ExportStart, Error> {
    let export = Export {
        patient: data.owner,
        purpose: Some(Purpose::PatientRequest),
        destination: data.destination,
        // They are sent as files of the archive.
        with_files: false,
        criteria: Criteria {
            patient: Some(data.owner),
            filter: Filter {
                record_types: Vec::<RecordType>::new(),
                with_superseded: true,
                ..Filter::default()
            },
            code: None,
        },
    };
    export.begin(&transfer.app.pool, &transfer.caller).await
}

/// One archive.
struct MyDataRun {
    at: DateTime<Utc>,
    transfer: Transfer,
    data: MyData,
    counts: DataCounts,
    from: Option<DataPlace>,
    records: ExportStart,
    output: ResponseBody,
    /// The files that were sent.
    files: Vec<Value>,
}

/// How an archive ends before it is whole; `None` where nobody listens.
type Stop = Option<Ending>;

impl MyDataRun {
    async fn run(mut self) {
        if let Err(Some(over)) = self.work().await {
            let said = json!({ "ended": over.code.as_str(), "message": over.message });
            let last = tar::member("interrupted.json", self.at.timestamp(), &line(&said));
            if self.output.write(last).await.is_ok() {
                tokio::time::sleep(LAST_WORD).await;
                self.output.abort().await;
            }
        }
    }

    async fn work(&mut self) -> Result<(), Stop> {
        if self.from.is_none() {
            self.send("index.html", page(self.at, &self.counts)).await?;
            let about = about(self.at, &self.counts);
            self.send("about.json", line(&about)).await?;
        }
        let first = self.from.map_or(Section::Account, |place| place.section);
        for section in Section::ALL.into_iter().filter(|it| *it >= first) {
            let after = self.from.filter(|place| place.section == section);
            self.section(section, after.and_then(|place| place.after))
                .await?;
        }
        let files = std::mem::take(&mut self.files);
        let from = self.from.map(|place| self.data.cursor(place));
        let complete = json!({ "isWhole": from.is_none(), "from": from, "files": files });
        self.send("complete.json", line(&complete)).await?;
        self.output
            .write(tar::end().to_vec())
            .await
            .map_err(|Disconnected| None)
    }

    async fn section(&mut self, section: Section, after: Option<SectionKey>) -> Result<(), Stop> {
        let mut place = DataPlace { section, after };
        loop {
            let (lines, next) = match section {
                Section::Records => self.record_page(place).await?,
                _ => self.page(place).await?,
            };
            if !lines.is_empty() {
                let following = Section::ALL.into_iter().find(|it| *it > section);
                let goes_on = match (next, following) {
                    (Some(next), _) => Some(DataPlace {
                        section,
                        after: Some(next),
                    }),
                    (None, following) => following.map(|section| DataPlace {
                        section,
                        after: None,
                    }),
                };
                let mut content = lines;
                if let Some(goes_on) = goes_on {
                    content.extend(line(&json!({ "after": self.data.cursor(goes_on) })));
                }
                let name = format!("{}/{}.ndjson", section.name(), number(place.after));
                self.send(&name, content).await?;
            }
            match next {
                Some(next) => place.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A page of any section but that of records.
    async fn page(&mut self, place: DataPlace) -> Result<(Vec<u8>, Option<SectionKey>), Stop> {
        let mut left = TRIES;
        loop {
            let Transfer { app, caller, .. } = &self.transfer;
            let page = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(Some(over)),
                () = self.output.disconnected() => return Err(None),
                page = self.data.page(&app.pool, caller, place) => page,
            };
            match page {
                Ok(DataPage { lines, next }) => {
                    let bytes = lines.iter().flat_map(line).collect();
                    return Ok((bytes, next));
                }
                Err(error) => left = wait_where_busy(error, left).await?,
            }
        }
    }

    /// A page of records: their lines, which `import --restore` takes; and beside it, in a file of its own, a Bundle.
    async fn record_page(
        &mut self,
        place: DataPlace,
    ) -> Result<(Vec<u8>, Option<SectionKey>), Stop> {
        let after = place.after.map(|(at, id)| (at, domain::ids::RecordId(id)));
        let mut left = TRIES;
        let group = loop {
            let Transfer { app, caller, .. } = &self.transfer;
            let group = tokio::select! {
                biased;
                over = self.transfer.over() => return Err(Some(over)),
                () = self.output.disconnected() => return Err(None),
                group = self.records.next(&app.pool, &app.disclosure, caller, (after, None)) => group,
            };
            match group {
                Ok(None) => return Ok((Vec::new(), None)),
                Ok(Some(group)) => break group,
                Err(error) => left = wait_where_busy(error, left).await?,
            }
        };
        let (disclosed, key) = group;
        let (mut lines, mut entries) = (Vec::new(), Vec::new());
        let mut files = Vec::new();
        for one in &disclosed {
            let record = &one.record;
            let cursor = self.data.cursor(DataPlace {
                section: Section::Records,
                after: Some((record.created_at, record.id.0)),
            });
            let cursor = Cursor::of_text(cursor);
            match export::open(self.transfer.app.decryption(), one).await {
                Ok(bytes) => {
                    lines.extend(ExportFormat::Archive.record(one, &bytes, &cursor));
                    entries.push(ExportFormat::Bundle.record(one, &bytes, &cursor));
                    let keyring = &self.transfer.app.keyring;
                    match attachments::beside(keyring, one, &bytes).await {
                        Ok(beside) => files.extend(beside),
                        Err(error) => return Err(Some((&error).into())),
                    }
                }
                Err(error @ Error::Integrity(_)) => {
                    lines.extend(ExportFormat::Archive.withheld(record, &error, &cursor));
                }
                Err(error) => return Err(Some((&error).into())),
            }
        }
        if !entries.is_empty() {
            let bundle = [
                br#"{"resourceType":"Bundle","type":"collection","entry":["#.to_vec(),
                entries.join(&b','),
                b"]}\n".to_vec(),
            ];
            let name = format!("fhir/{}.json", number(place.after));
            self.send(&name, bundle.concat()).await?;
        }
        for file in files {
            self.file(&file).await?;
        }
        let (at, id) = key;
        Ok((lines, Some((at, id.0))))
    }

    /// Sends a file beside a record, before the line of the record: an archive that goes on after that has no need of it.
    async fn file(&mut self, file: &NamedFile) -> Result<(), Stop> {
        let name = format!("attachments/{}", file.name());
        let mut left = TRIES;
        loop {
            match file.check(&self.transfer.app.pool).await {
                Ok(()) => break,
                // What was promised and never came.
                Err(Error::NotFound(_)) => return Ok(()),
                Err(error @ Error::Integrity(_)) => {
                    let code = error.public_code().as_str();
                    let told = json!({ "withheld": code, "message": error.to_string() });
                    let name = format!("{name}.withheld.json");
                    return self.send(&name, line(&told)).await;
                }
                Err(error) => left = wait_where_busy(error, left).await?,
            }
        }
        let sent = self.chunks(&name, file).await;
        if sent.is_err() {
            // A last word would be taken for what is in the file.
            self.output.abort().await;
            return Err(None);
        }
        Ok(())
    }

    async fn chunks(&mut self, name: &str, file: &NamedFile) -> Result<(), Stop> {
        let length =
            usize::try_from(file.size).map_err(|_| Some(Ending::from(&Error::Internal)))?;
        let header = tar::header(name, self.at.timestamp(), length);
        self.write(header.to_vec()).await?;
        for number in 0..file.chunks() {
            let mut left = TRIES;
            let chunk = loop {
                match file.chunk(&self.transfer.app.pool, number).await {
                    Ok(chunk) => break chunk,
                    Err(error) => left = wait_where_busy(error, left).await?,
                }
            };
            self.write(chunk.to_vec()).await?;
        }
        self.write(vec![0; tar::padding(length)]).await?;
        let sha256 = digest::to_hex(&file.sha256);
        self.files.push(tar::summed(name, length, &sha256));
        Ok(())
    }

    /// Sends a piece of a file when there is room for it.
    async fn write(&self, piece: Vec<u8>) -> Result<(), Stop> {
        tokio::select! {
            biased;
            over = self.transfer.over() => Err(Some(over)),
            sent = self.output.write(piece) => sent.map_err(|Disconnected| None),
        }
    }

    /// Sends a file when there is room for it.
    async fn send(&mut self, name: &str, content: Vec<u8>) -> Result<(), Stop> {
        let room = tokio::select! {
            biased;
            over = self.transfer.over() => return Err(Some(over)),
            room = self.output.room() => room.map_err(|Disconnected| None)?,
        };
        self.files.push(tar::named(name, &content));
        let member = tar::member(name, self.at.timestamp(), &content);
        self.output.output(member.len());
        room.send(Ok(member.into()));
        Ok(())
    }
}

/// What a file of a page is called: by the place after which it begins, so that it is called the same in an archive that goes on.
fn number(after: Option<SectionKey>) -> String {
    let (at, id) = after.map_or((0, Uuid::nil()), |(at, id)| (at.timestamp_micros(), id));
    format!("{at:020}-{id}")
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn about(at: DateTime<Utc>, counts: &DataCounts) -> Value {
    let sections = Section::ALL.map(|section| {
        json!({ "name": section.name(), "description": section.described(), "count": section.count(counts) })
    });
    json!({ "myData": 1, "at": at, "sections": sections })
}

/// A page for people, which needs nothing else.
fn page(at: DateTime<Utc>, counts: &DataCounts) -> Vec<u8> {
    let rows = Section::ALL.map(|section| {
        format!(
            "<tr><td>{}</td><td>{}</td><td><code>{}/</code></td></tr>\n",
            section.described(),
            section.count(counts),
            section.name()
        )
    });
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>My data</title>\n\
         <style>body{{font:16px/1.5 sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse}}td,th{{border:1px solid #999;padding:.3rem .6rem;text-align:left}}</style></head>\n\
         <body><h1>My data</h1>\n<p>Taken out on {}. These files hold everything that the service knows about you. They are \
         medical data in clear: keep them accordingly.</p>\n\
         <table><tr><th>What</th><th>How many</th><th>Where</th></tr>\n{}</table>\n\
         <h2>How to read it</h2>\n<p>Files that end in <code>.ndjson</code> have one entry of JSON in a line; any text editor opens \
         them. <code>attachments/</code> holds the files that records name, each by its record's id and its place in it. <code>fhir/</code> holds the same records as FHIR Bundles, for the programs of a hospital. The SHA-256 of the value \
         of <code>resource</code> in a line of <code>records/</code>, byte for byte, is its <code>dataHash</code>, which stands on \
         the blockchain. Each entry of <code>access-log/</code> has the proof that it was written then \
         (<code>inclusion</code> leads from <code>leafHash</code> to <code>root</code>, RFC 9162).</p>\n\
         <p><code>complete.json</code> names every file with its SHA-256, and says whether the archive is whole (<code>isWhole</code>). \
         One without it is not: the last line of its last file says how to go on (<code>/my-data?after=&hellip;</code>), and \
         what comes then is the rest alone.</p>\n</body></html>\n",
        at.format("%Y-%m-%d %H:%M UTC"),
        rows.concat()
    )
    .into_bytes()
}
