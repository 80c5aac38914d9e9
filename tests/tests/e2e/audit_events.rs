//! The trail as FHIR `AuditEvent`s: a line for each row, to whom it concerns, by the profiles that others read.

use std::fs;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tests::{Person, Reply, World, documents, id, text};

use crate::audit_check::runs;

const BALP: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";

async fn exports(world: &World, person: &Person, query: &str) -> Reply {
    let bearer = person.bearer();
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/audit/export{query}");
    world.api.takes("GET", &path, &headers, "").await
}

fn events(body: &str) -> Vec<Value> {
    let lines = body.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn numbers(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["id"].to_string().replace('"', ""))
        .collect()
}

/// The entities of a type.
fn entities<'a>(event: &'a Value, code: &str) -> Vec<&'a Value> {
    let entities = event["entity"].as_array().expect("a list").iter();
    entities
        .filter(|entity| entity["type"]["code"] == code)
        .collect()
}

fn time(value: &Value) -> DateTime<Utc> {
    text(value).parse().expect("a time")
}

/// The events say what the rows say.
fn agree(events: &[Value], rows: &[Value]) {
    assert_eq!(numbers(events), numbers(rows));
    for (event, row) in events.iter().zip(rows) {
        let action = text(&row["action_type"]);
        let urn = |id: &Value| json!(format!("urn:uuid:{}", text(id)));
        let profile = match action.as_str() {
            "RECORD_READ" | "RECORD_VERIFY" => Some("PatientRead"),
            "RECORD_SEARCH" if row["patient_id"].is_null() => Some("Query"),
            "RECORD_SEARCH" => Some("PatientQuery"),
            "RECORD_CREATE" => Some("PatientCreate"),
            "RECORD_AMEND" => Some("PatientUpdate"),
            _ => None,
        };
        let wanted = profile.map_or(Value::Null, |it| json!([format!("{BALP}{it}")]));
        assert_eq!(event["meta"]["profile"], wanted, "{event}");
        assert_eq!(event["resourceType"], "AuditEvent");
        let subtypes = event["subtype"].as_array().expect("a list");
        assert_eq!(subtypes.last().expect("ours")["code"], action.as_str());
        assert_eq!(
            event["purposeOfEvent"][0]["coding"][0]["code"],
            row["purpose"]
        );
        let is_refused = action == "ACCESS_DENIED" || action == "AUTH_LOGIN_FAILED";
        assert_eq!(
            event["outcome"],
            if is_refused { "4" } else { "0" },
            "{event}"
        );
        if is_refused {
            assert_eq!(event["outcomeDesc"], row["new_value"]["reason"]);
        }
        assert_eq!(time(&event["recorded"]), time(&row["created_at"]));
        assert_eq!(time(&event["period"]["start"]), time(&row["event_time"]));
        assert_eq!(
            event["agent"][0]["who"]["identifier"]["value"],
            urn(&row["user_id"])
        );
        let request = entities(event, "XrequestId");
        assert_eq!(request[0]["what"]["identifier"]["value"], row["request_id"]);
        assert_eq!(
            request[0]["detail"][0]["valueString"],
            row["data_classification"]
        );
        let patients = entities(event, "1");
        let whose: Vec<_> = patients
            .iter()
            .map(|it| it["what"]["identifier"]["value"].clone())
            .collect();
        let patient = Some(&row["patient_id"]).filter(|it| !it.is_null());
        assert_eq!(whose, patient.map(urn).into_iter().collect::<Vec<_>>());
        let consents = entities(event, "Consent");
        let consents: Vec<_> = consents
            .iter()
            .map(|it| it["what"]["identifier"]["value"].clone())
            .collect();
        let consent = Some(&row["consent_reference"]).filter(|it| !it.is_null());
        assert_eq!(consents, consent.map(urn).into_iter().collect::<Vec<_>>());
        if action == "RECORD_SEARCH" {
            let query = entities(event, "2");
            let asked = BASE64_STANDARD
                .decode(text(&query[0]["query"]))
                .expect("base 64");
            let asked: Value = serde_json::from_slice(&asked).expect("JSON");
            let mut wanted = row["new_value"].clone();
            if !event["agent"][1]["network"]["address"].is_string() {
                // How many records of everybody there are is not for a patient.
                wanted.as_object_mut().expect("an object").remove("total");
            }
            assert_eq!(asked, wanted);
            let shown = entities(event, "4");
            let shown: Vec<_> = shown
                .iter()
                .map(|it| it["what"]["identifier"]["value"].clone())
                .collect();
            let records = row["record_ids"].as_array().cloned().unwrap_or_default();
            assert_eq!(shown, records.iter().map(urn).collect::<Vec<_>>());
        } else if profile.is_some() {
            let data = entities(event, "2");
            assert_eq!(data.len(), 1, "{event}");
            assert_eq!(
                data[0]["what"]["identifier"]["value"],
                urn(&row["resource_id"])
            );
        }
    }
}

#[tokio::test]
async fn everybody_takes_their_own_log_out_as_events_and_administrators_all_of_it() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let admin = world.first_admin().await;
    let mine = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    ana.creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    dr_bo.reads(&mine).await.fails_with("NOT_FOUND");
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    dr_bo.reads(&mine).await.data();
    dr_bo.verifies(&mine).await.data();
    let list = "{ medicalRecords { totalCount nodes { id } } }";
    for person in [&dr_bo, &ana, admin] {
        person.asks(list, json!({})).await.partial_data();
    }
    let border = world.sql("SELECT clock_timestamp() AS now").await;
    let border = text(&border[0]["now"]).replace('+', "%2B");
    let before = async |condition: &str| {
        let at = border.replace("%2B", "+");
        let condition = format!("event_time < '{at}' AND {condition}");
        let mut rows = world.audit_rows(&condition).await;
        rows.sort_by_key(|row| (time(&row["event_time"]), row["id"].as_i64()));
        rows
    };

    let own = exports(&world, &ana, &format!("?to={border}")).await;

    assert_eq!(
        (own.status, own.header("content-type")),
        (200, "application/fhir+ndjson")
    );
    let rows = before(&format!("patient_id = '{}'", ana.id)).await;
    let told = events(&own.body);
    assert!(rows.len() >= 8, "{rows:?}");
    let counts_all =
        |row: &Value| row["new_value"]["total"].is_number() && row["user_id"] != ana.id.as_str();
    assert!(rows.iter().any(counts_all), "{rows:?}");
    agree(&told, &rows);
    for (event, row) in told.iter().zip(&rows) {
        // Of others neither the address nor the program.
        let is_own = row["user_id"] == ana.id.as_str();
        let network = &event["agent"][1]["network"];
        assert_eq!(network["address"].is_string(), is_own, "{event}");
        let name = if is_own {
            &ana.username
        } else {
            &text(&event["agent"][0]["name"])
        };
        assert_eq!(event["agent"][0]["name"], name.as_str());
    }
    let written = |who: &Person, of: &str| {
        format!(
            "action_type = 'AUDIT_EXPORT' AND user_id = '{}' AND new_value ->> 'export' = '{of}'
             AND new_value ->> 'form' = 'FHIR'",
            who.id
        )
    };
    assert_eq!(world.audit_rows(&written(&ana, "OWN")).await.len(), 1);

    let all = exports(&world, admin, &format!("?of=everybody&to={border}")).await;
    let rows = before("TRUE").await;
    let told = events(&all.body);
    agree(&told, &rows);
    assert!(
        told.iter()
            .all(|event| event["agent"][1]["network"]["address"].is_string())
    );
    assert_eq!(world.audit_rows(&written(admin, "ALL")).await.len(), 1);
    // From a time on, up to it, and what nobody did meanwhile.
    let middle = text(&rows[rows.len() / 2]["event_time"]);
    let from = middle.replace('+', "%2B");
    let later = exports(
        &world,
        admin,
        &format!("?of=everybody&from={from}&to={border}"),
    )
    .await;
    let earlier = exports(&world, admin, &format!("?of=everybody&to={from}")).await;
    assert_eq!(format!("{}{}", earlier.body, later.body), all.body);
    let none = exports(
        &world,
        admin,
        &format!("?of=everybody&from={border}&to={from}"),
    )
    .await;
    assert_eq!((none.status, none.body.as_str()), (200, ""));

    // An operator writes the same.
    let file = world.foundation.dir().join("events.ndjson");
    let until = border.replace("%2B", "+");
    let words = format!("export --fhir --to {until} --out {}", file.display());
    let (is_done, said) = runs(&world, &words, false).await;
    assert!(
        is_done && said.contains(&format!("{} events in", rows.len())),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&file).expect("it is text"), all.body);
}

#[tokio::test]
async fn nobody_else_takes_the_trail_out_and_a_misspelt_question_is_refused() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    for person in [&ana, &dr_bo] {
        let refused = exports(&world, person, "?of=everybody").await;
        assert_eq!(
            (refused.status, refused.code()),
            (403, "FORBIDDEN".to_owned())
        );
        let denied = format!(
            "user_id = '{}' AND action_type = 'ACCESS_DENIED' AND new_value ->> 'wanted' = 'AUDIT_EXPORT'",
            person.id
        );
        assert_eq!(world.audit_rows(&denied).await.len(), 1);
    }
    let nobody = world.api.takes("GET", "/audit/export", &[], "").await;
    assert_eq!(
        (nobody.status, nobody.code()),
        (401, "UNAUTHENTICATED".to_owned())
    );
    for query in [
        "?of=all",
        "?from=yesterday",
        "?until=2026-01-01T00:00:00Z",
        "?of=own&of=own",
        "?to=-4714-11-23T23:59:59Z",
    ] {
        let refused = exports(&world, &ana, query).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "BAD_USER_INPUT".to_owned()),
            "{query}"
        );
    }
    let none = "action_type = 'AUDIT_EXPORT'";
    assert!(world.audit_rows(none).await.is_empty());
    // Whoever is nobody's patient has a log of their own deeds' kind: nothing is about them but themselves.
    let own = exports(&world, &dr_bo, "").await;
    assert_eq!(own.status, 200);
    let rows = format!("patient_id = '{}'", dr_bo.id);
    assert_eq!(events(&own.body).len(), world.audit_rows(&rows).await.len());
}
