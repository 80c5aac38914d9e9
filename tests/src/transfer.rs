//! Bringing records in and taking them out, by the files that carry them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::Command;

use crate::{Person, Program, Reply, World, documents, eventually, text};

/// The key of the lock that exports are held up by.
const HELD: u32 = 4711;

/// NDJSON of FHIR resources.
pub const NDJSON: &str = "application/fhir+ndjson";
/// A FHIR Bundle.
pub const BUNDLE: &str = "application/fhir+json";
/// The address that an export of a transaction has its entries below.
pub const SERVER: &str = "https://meditrustal.example/fhir";

/// A document in one line, its numbers as they were.
pub fn in_line(document: &str) -> String {
    document.replace('\n', " ").trim().to_owned()
}

/// A heart rate of so many beats, as a line.
pub fn heart_rate(beats: u32) -> String {
    format!(
        r#"{{"resourceType":"Observation","status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"8867-4","display":"Heart rate"}}]}},"effectiveDateTime":"2026-11-23T08:15:00Z","valueQuantity":{{"value":{beats}.0,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}}"#
    )
}

/// So many heart rates, a line each, all different.
pub fn heart_rates(count: u32) -> String {
    let lines: Vec<_> = (0..count).map(|nth| heart_rate(40 + nth)).collect();
    lines.join("\n") + "\n"
}

/// The example document of every record type, a line each.
pub fn one_of_each() -> String {
    let lines = documents::ALL.map(|(record_type, _)| in_line(&documents::of(record_type)));
    lines.join("\n") + "\n"
}

/// What an import reported.
#[derive(Debug, Clone)]
pub struct Report {
    /// What came back, whatever it is.
    pub reply: Reply,
    /// Its lines, without the last.
    pub lines: Vec<Value>,
    /// The last line.
    pub end: Value,
}

impl Report {
    /// Reads a report.
    pub fn of(reply: Reply) -> Self {
        // A blank one says that it goes on.
        let lines = reply.body.lines().filter(|line| !line.is_empty());
        let mut lines: Vec<Value> = lines
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect();
        let end = lines.pop().unwrap_or_default();
        Self { reply, lines, end }
    }

    /// The values of one name in all lines.
    pub fn each(&self, name: &str) -> Vec<Value> {
        self.lines.iter().map(|line| line[name].clone()).collect()
    }
}

/// The records that a report names.
pub fn ids(report: &Report) -> BTreeSet<String> {
    report.each("recordId").iter().map(text).collect()
}

/// How many records there are.
pub async fn stored(world: &World) -> u64 {
    let rows = world
        .sql("SELECT count(*) AS count FROM medical_records")
        .await;
    rows[0]["count"].as_u64().expect("a number")
}

/// The literal references of a transaction that lead neither to an entry of it, nor into their own resource, nor to another server.
pub fn dangling(transaction: &Value) -> Vec<String> {
    let entries = transaction["entry"].as_array().expect("a list");
    let urls: BTreeSet<String> = entries.iter().map(|it| text(&it["fullUrl"])).collect();
    let mut found = Vec::new();
    for entry in entries {
        let resource = &entry["resource"];
        let contained = resource["contained"].as_array().into_iter().flatten();
        let contained: BTreeSet<String> = contained
            .map(|it| format!("#{}", text(&it["id"])))
            .collect();
        let mut literals = Vec::new();
        references(resource, &mut literals);
        found.extend(literals.into_iter().filter(|literal| {
            let is_foreign = literal.contains("://") && !literal.starts_with(SERVER);
            let is_within = urls.contains(literal) || urls.contains(&format!("{SERVER}/{literal}"));
            !(is_foreign || is_within || contained.contains(literal))
        }));
    }
    found
}

/// The literal references that a resource has anywhere.
pub fn references(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(members) => {
            let literal = members.get("reference").and_then(Value::as_str);
            found.extend(literal.map(str::to_owned));
            members.values().for_each(|it| references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Person {
    /// The header that says who asks.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.client.token().unwrap_or_default())
    }

    /// Uploads records of a patient, or tries to; `more` is what the address says besides, such as
    /// `&from=3`.
    pub async fn imports(
        &self,
        api: &Program,
        patient: &Person,
        (media, more): (&str, &str),
        upload: impl Into<reqwest::Body>,
    ) -> Report {
        let path = format!("/import?patient={}{more}", patient.id);
        let headers = [
            ("authorization", self.bearer()),
            ("content-type", media.to_owned()),
        ];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        Report::of(api.takes("POST", &path, &headers, upload).await)
    }

    /// Downloads a patient's records, or tries to; `more` as in [`Self::imports`].
    pub async fn exports(&self, api: &Program, patient: &Person, more: &str) -> Reply {
        let path = format!("/export?patient={}{more}", patient.id);
        let bearer = self.bearer();
        let headers = [("authorization", bearer.as_str())];
        api.takes("GET", &path, &headers, "").await
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its result: what it wrote to standard output.
    pub said: String,
    /// What it said beside its result.
    pub complaint: String,
}

impl Ended {
    /// Runs a command to its end.
    pub async fn of(command: &mut Command) -> Self {
        let output = command.output().await.expect("the program starts");
        Self {
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it said, as JSON, however it ended.
    #[track_caller]
    pub fn report(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same of a command that succeeded.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.report()
    }

    /// It failed, and said this.
    #[track_caller]
    pub fn is_refused(&self, why: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.complaint.contains(why), "{why:?} is not in {self:?}");
    }
}

impl World {
    /// Ana with a record of every type, of which a doctor has amended one twice and withdrawn another.
    pub async fn a_life(&self) -> (Person, Person) {
        let (ana, dr_bo) = (self.patient("ana").await, self.doctor("bo").await);
        ana.lets(&dr_bo, &["READ", "CREATE", "AMEND", "EXPORT"])
            .await;
        let report = dr_bo
            .imports(&self.api, &ana, (NDJSON, ""), one_of_each())
            .await;
        assert_eq!(report.end["created"], 8, "{:?}", report.lines);
        let lab = json!({ "id": report.lines[1]["recordId"], "version": 1 });
        let metadata = json!({ "metadata": { "department": "LAB" } });
        let second = dr_bo.amends(&lab, documents::lab_result(), metadata).await;
        let second = &second.data()["amendMedicalRecord"]["record"];
        dr_bo
            .amends(second, documents::lab_result(), json!({}))
            .await
            .data();
        let diagnosis = json!({ "id": report.lines[0]["recordId"], "version": 1 });
        dr_bo.retracts(&diagnosis, json!({})).await.data();
        (ana, dr_bo)
    }

    /// Holds every export of this world up behind this many records, until the connection is closed.
    pub async fn holds_exports_after(&self, records: u32) -> PgConnection {
        self.executes(&format!(
            "CREATE OR REPLACE FUNCTION holds_exports() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.action_type = 'RECORD_EXPORT' AND
                  (SELECT count(*) FROM audit_logs WHERE action_type = 'RECORD_EXPORT') >= {records}
               THEN PERFORM pg_advisory_xact_lock({HELD}); END IF;
               RETURN NEW; END $$;
             CREATE OR REPLACE TRIGGER holds_exports BEFORE INSERT ON audit_logs
               FOR EACH ROW EXECUTE FUNCTION holds_exports()"
        ))
        .await;
        let url = self.foundation.database.superuser_url();
        let mut holder = PgConnection::connect(&url)
            .await
            .unwrap_or_else(|error| panic!("a superuser cannot connect: {error}"));
        let lock = format!("SELECT pg_advisory_lock({HELD})");
        let held = sqlx::raw_sql(AssertSqlSafe(lock))
            .execute(&mut holder)
            .await;
        held.unwrap_or_else(|error| panic!("exports cannot be held: {error}"));
        holder
    }

    /// Waits until an export is held up.
    pub async fn export_waits(&self) {
        let waits = format!(
            "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE datname = current_database() AND locktype = 'advisory' AND objid = {HELD} AND NOT granted"
        );
        eventually("an export waits", async || {
            (!self.sql(&waits).await.is_empty()).then_some(())
        })
        .await;
    }

    /// A directory of this test's own.
    pub fn files(&self) -> PathBuf {
        let directory = self.foundation.dir().join("files");
        fs::create_dir_all(&directory).expect("a directory can be made");
        directory
    }

    /// The path of a file in there.
    pub fn file(&self, name: &str) -> String {
        let path = self.files().join(name);
        path.to_str().expect("a path is text").to_owned()
    }

    /// `meditrustal …` as somebody whose token is in a file, and nothing else in the environment.
    pub fn command(&self, person: &Person, patient: &Person, arguments: &[&str]) -> Command {
        let token = self.file(&format!("{}.token", person.username));
        fs::write(&token, person.client.token().unwrap_or_default()).expect("a token is written");
        let mut command = Command::new(&self.foundation.programs.meditrustal);
        command.args(arguments);
        if !arguments.contains(&"--everything") {
            command.args(["--patient", &patient.id]);
        }
        command
            .env_clear()
            .env("MEDITRUSTAL_URL", self.api.url())
            .env("MEDITRUSTAL_TOKEN_FILE", token);
        command
    }

    /// Runs it to its end.
    pub async fn runs(&self, person: &Person, patient: &Person, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(person, patient, arguments)).await
    }
}
