//! The trail as it is asked for: by administrators with conditions, by patients about themselves and about one record.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tests::{Answer, Person, World, documents, eventually, id, text};

use crate::representatives::{ALL, appointed};

const LOGS: &str = "query Logs($user: UUID, $resource: UUID, $action: AuditAction, $filter: AuditLogFilterInput,
        $first: Int, $after: Cursor) {
    auditLogs(userId: $user, resourceId: $resource, actionType: $action, filter: $filter, first: $first, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor } } }";

/// Whether an entry is one of those that were asked for.
type EntryRule<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

/// The numbers of the rows that an administrator is given, a page of so many at a time, newest first.
async fn found(admin: &Person, variables: &Value, first: u32) -> Vec<String> {
    let (mut numbers, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut variables = variables.clone();
        (variables["first"], variables["after"]) = (json!(first), after);
        let answer = admin.asks(LOGS, variables).await;
        let page = &answer.data()["auditLogs"];
        let nodes = page["nodes"].as_array().expect("a list");
        numbers.extend(nodes.iter().map(|node| text(&node["id"])));
        if page["pageInfo"]["hasNextPage"] == false {
            return numbers;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// A little of everything: refused and allowed, one's own and by consent, lists and single records.
async fn lived_in(world: &World) -> (Person, Person, String, String) {
    let (ana, ben) = (world.patient("ana").await, world.patient("ben").await);
    let dr_bo = world.doctor("bo").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    ben.creates(&ben, "VITAL_SIGNS", documents::vital_signs())
        .await;
    dr_bo.reads(&record).await.fails_with("NOT_FOUND");
    let consent = ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    dr_bo.reads(&record).await.data();
    for person in [&ana, &ben, &dr_bo] {
        let list = "{ medicalRecords { nodes { id } } }";
        person.asks(list, json!({})).await.data();
    }
    (ana, dr_bo, record, consent)
}

#[tokio::test]
async fn an_administrator_finds_rows_by_every_condition_and_by_several_at_once() {
    let world = World::start().await;
    let admin = world.first_admin().await;
    let (ana, dr_bo, record, consent) = lived_in(&world).await;
    // What the indexer confirms is written down besides, whenever it comes.
    eventually("both records are confirmed", async || {
        let rows = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
        (rows.len() == 2).then_some(())
    })
    .await;
    let last = world
        .sql("SELECT id, request_id, event_time FROM audit_logs ORDER BY id DESC LIMIT 1 OFFSET 3")
        .await;
    let (request, at) = (text(&last[0]["request_id"]), text(&last[0]["event_time"]));
    let newest = world.sql("SELECT max(id) AS id FROM audit_logs").await[0]["id"].clone();
    let table = [
        (json!({}), "TRUE".to_owned()),
        (
            json!({ "user": dr_bo.id }),
            format!("user_id = '{}'", dr_bo.id),
        ),
        (
            json!({ "resource": record }),
            format!("resource_id = '{record}' OR '{record}' = ANY (record_ids)"),
        ),
        (
            json!({ "action": "RECORD_SEARCH" }),
            "action_type = 'RECORD_SEARCH'".to_owned(),
        ),
        (
            json!({ "filter": { "actionTypes": ["RECORD_READ", "CONSENT_GRANT"] } }),
            "action_type IN ('RECORD_READ', 'CONSENT_GRANT')".to_owned(),
        ),
        (
            json!({ "filter": { "actionTypes": [] } }),
            "FALSE".to_owned(),
        ),
        (
            json!({ "action": "RECORD_READ", "filter": { "actionTypes": ["CONSENT_GRANT"] } }),
            "FALSE".to_owned(),
        ),
        (
            json!({ "filter": { "resourceType": "CONSENT" } }),
            "resource_type = 'CONSENT'".to_owned(),
        ),
        (
            json!({ "filter": { "patientId": ana.id } }),
            format!("patient_id = '{}'", ana.id),
        ),
        (
            json!({ "filter": { "allowed": false } }),
            "action_type = 'ACCESS_DENIED'".to_owned(),
        ),
        (
            json!({ "filter": { "allowed": true } }),
            "action_type <> 'ACCESS_DENIED'".to_owned(),
        ),
        (
            json!({ "filter": { "purpose": "TREAT" } }),
            "purpose = 'TREAT'".to_owned(),
        ),
        (
            json!({ "filter": { "consentReference": consent } }),
            format!("consent_reference = '{consent}'"),
        ),
        (
            json!({ "filter": { "dataClassification": "MEDICAL" } }),
            "data_classification = 'MEDICAL'".to_owned(),
        ),
        (
            json!({ "filter": { "isCrossBorder": true } }),
            "is_cross_border".to_owned(),
        ),
        (
            json!({ "filter": { "isCrossBorder": false } }),
            "NOT is_cross_border".to_owned(),
        ),
        (
            json!({ "filter": { "requestId": request } }),
            format!("request_id = '{request}'"),
        ),
        (
            json!({ "filter": { "from": at } }),
            format!("event_time >= '{at}'"),
        ),
        (
            json!({ "filter": { "to": at } }),
            format!("event_time < '{at}'"),
        ),
        (
            json!({ "user": dr_bo.id, "resource": record, "filter": {
                "patientId": ana.id, "allowed": true, "purpose": "TREAT", "consentReference": consent,
                "actionTypes": ["RECORD_SEARCH"] } }),
            format!(
                "user_id = '{}' AND '{record}' = ANY (record_ids) AND consent_reference = '{consent}'",
                dr_bo.id
            ),
        ),
    ];
    let mut matched = 0;
    for (variables, condition) in table {
        let condition = format!("({condition}) AND id <= {newest}");
        let wanted = world.audit_rows(&condition).await;
        let wanted: Vec<_> = wanted
            .iter()
            .rev()
            .map(|row| row["id"].to_string())
            .collect();
        matched += usize::from(!wanted.is_empty());
        for first in [2, 100] {
            let numbers = found(admin, &variables, first).await;
            let limit = newest.as_i64().expect("a number");
            let earlier = |number: &String| number.parse::<i64>().is_ok_and(|it| it <= limit);
            let numbers: Vec<_> = numbers.into_iter().filter(earlier).collect();
            assert_eq!(numbers, wanted, "{variables}, {first} at a time");
        }
    }
    assert_eq!(
        matched, 17,
        "all but the two that match nothing and what nobody did"
    );
    let reads = format!("user_id = '{}' AND action_type = 'AUDIT_READ'", admin.id);
    assert!(
        world.audit_rows(&reads).await.len() >= 40,
        "each page is written down"
    );

    for word in ["actionTypes", "resourceType", "dataClassification"] {
        let wrong = json!({ "filter": { word: "SECRET" } });
        let answer = admin.asks(LOGS, wrong).await;
        let problem = answer.fails_with("GRAPHQL_VALIDATION_FAILED");
        let told = format!("{problem:?}");
        assert!(told.contains(word), "{word} in {told}");
    }
    let unknown = admin.asks(LOGS, json!({ "action": "UNKNOWN" })).await;
    unknown.fails_with("BAD_USER_INPUT");
    for (filter, field) in [
        (json!({ "actionTypes": ["UNKNOWN"] }), "actionTypes"),
        (
            json!({ "actionTypes": vec!["RECORD_READ"; 200] }),
            "actionTypes",
        ),
        (json!({ "resourceType": "UNKNOWN" }), "resourceType"),
        (json!({ "from": "-262142-01-01T00:00:00Z" }), "from"),
        (json!({ "to": "-262142-01-01T00:00:00Z" }), "to"),
        (
            json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-01-31T00:00:00Z" }),
            "`to` is before `from`",
        ),
    ] {
        let answer = admin.asks(LOGS, json!({ "filter": filter })).await;
        let problem = answer.fails_with("BAD_USER_INPUT");
        let told = format!("{problem:?}");
        assert!(told.contains(field), "{field} in {told}");
    }
    // A cursor is good for the conditions that it was given out with.
    let page = admin.asks(LOGS, json!({ "first": 1 })).await;
    let after = &page.data()["auditLogs"]["pageInfo"]["endCursor"];
    let other = json!({ "after": after, "filter": { "allowed": true } });
    admin.asks(LOGS, other).await.fails_with("BAD_USER_INPUT");
}

#[tokio::test]
async fn who_saw_a_record_is_told_to_its_patient_alone_with_the_lists_that_showed_it() {
    const WHO: &str =
        "query Who($id: UUID!, $first: Int, $after: Cursor) { medicalRecord(id: $id) {
        accessLog(first: $first, after: $after) {
            nodes { id action allowed recordId records sentence who { username role } }
            pageInfo { hasNextPage endCursor } } } }";
    let world = World::start().await;
    let (ana, dr_bo, record, consent) = lived_in(&world).await;
    let other = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let list = "{ medicalRecords { nodes { id } } }";
    dr_bo.asks(list, json!({})).await.data();
    dr_bo.reads(&other).await.data();
    eventually("it is confirmed", async || {
        let rows = format!("action_type = 'RECORD_ANCHOR' AND resource_id = '{record}'");
        (!world.audit_rows(&rows).await.is_empty()).then_some(())
    })
    .await;

    let answer = ana.asks(WHO, json!({ "id": record, "first": 100 })).await;

    let nodes = answer.data()["medicalRecord"]["accessLog"]["nodes"]
        .as_array()
        .expect("a list")
        .clone();
    let told: Vec<_> = nodes
        .iter()
        .filter(|node| node["action"] != "RECORD_ANCHOR")
        .map(|node| text(&node["sentence"]))
        .collect();
    let list = "looked through a list with";
    assert_eq!(
        told,
        [
            // The question itself opened nothing, and showed that there is a record.
            "You saw that you have a record, but not what it says.".to_owned(),
            format!("dr.bo (doctor) {list} 2 of your records, for treatment, by your consent."),
            format!("dr.bo (doctor) {list} one of your records, for treatment, by your consent."),
            format!("You {list} one of your records."),
            "dr.bo (doctor) opened a record of yours, for treatment, by your consent.".to_owned(),
            "dr.bo (doctor) tried to reach your data and was refused, for treatment.".to_owned(),
            "You added a record to your file.".to_owned(),
        ]
    );
    let named: Vec<_> = nodes
        .iter()
        .map(|node| (&node["recordId"], &node["records"]))
        .collect();
    let (alone, one, two) = (json!(record), json!(1), json!(2));
    assert!(named.contains(&(&Value::Null, &two)), "{named:?}");
    assert!(named.contains(&(&alone, &one)), "{named:?}");
    let anchored = nodes.iter().find(|node| node["action"] == "RECORD_ANCHOR");
    let anchored = anchored.expect("the indexer's");
    assert_eq!(
        anchored["who"],
        json!({ "username": "system:indexer", "role": null })
    );
    assert!(
        text(&anchored["sentence"]).starts_with("The system "),
        "{anchored}"
    );
    // A page at a time it is the same; each time more by what the question itself writes.
    let (mut paged, mut after) = (BTreeSet::new(), Value::Null);
    loop {
        let answer = ana
            .asks(WHO, json!({ "id": record, "first": 3, "after": after }))
            .await;
        let page = answer.data()["medicalRecord"]["accessLog"].clone();
        let page_nodes = page["nodes"].as_array().expect("a list");
        paged.extend(page_nodes.iter().map(|node| text(&node["id"])));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert!(nodes.iter().all(|node| paged.contains(&text(&node["id"]))));

    // The doctor may read the record, and is told nothing of who else did.
    let answer = dr_bo.asks(WHO, json!({ "id": record })).await;
    assert_eq!(answer.data()["medicalRecord"]["accessLog"], Value::Null);
    ana.withdraws(&consent).await;
    dr_bo
        .asks(WHO, json!({ "id": record }))
        .await
        .fails_with("NOT_FOUND");
    let read = format!(
        "action_type = 'AUDIT_READ' AND user_id = '{}' AND new_value ->> 'record' = '{record}'",
        ana.id
    );
    assert!(world.audit_rows(&read).await.len() >= 2);
    let read = format!("action_type = 'AUDIT_READ' AND user_id = '{}'", dr_bo.id);
    assert!(world.audit_rows(&read).await.is_empty());
}

#[tokio::test]
async fn a_patient_reads_the_log_in_indonesian_and_in_english_where_no_language_is_named() {
    const LOG: &str = "query Log($language: Language) { myAccessLog(first: 50) { nodes {
        english: sentence named: sentence(language: $language) indonesian: sentence(language: INDONESIAN) } } }";
    const WHO: &str = "query Who($id: UUID!, $language: Language) { medicalRecord(id: $id) {
        accessLog(first: 50) { nodes { sentence(language: $language) } } } }";
    let world = World::start().await;
    let (ana, _, record, _) = lived_in(&world).await;

    let answer = ana.asks(LOG, json!({ "language": "INDONESIAN" })).await;
    let unnamed = ana.asks(LOG, json!({})).await;
    let of_record = json!({ "id": record, "language": "INDONESIAN" });
    let of_record = ana.asks(WHO, of_record).await;

    let log = |answer: &Answer| {
        let nodes = answer.data()["myAccessLog"]["nodes"].as_array();
        nodes.expect("a list").clone()
    };
    let nodes = log(&answer);
    assert!(nodes.iter().all(|it| it["named"] == it["indonesian"]));
    assert!(log(&unnamed).iter().all(|it| it["named"] == it["english"]));
    let told: BTreeSet<_> = nodes
        .iter()
        .map(|it| (text(&it["english"]), text(&it["indonesian"])))
        .collect();
    let opened =
        "dr.bo (dokter) membuka satu rekam medis Anda, untuk perawatan, dengan persetujuan Anda.";
    for (english, indonesian) in [
        (
            "You added a record to your file.",
            "Anda menambahkan rekam medis ke berkas Anda.",
        ),
        (
            "dr.bo (doctor) tried to reach your data and was refused, for treatment.",
            "dr.bo (dokter) mencoba mengakses data Anda dan ditolak, untuk perawatan.",
        ),
        (
            "dr.bo (doctor) opened a record of yours, for treatment, by your consent.",
            opened,
        ),
    ] {
        let pair = (english.to_owned(), indonesian.to_owned());
        assert!(told.contains(&pair), "{pair:?} in {told:#?}");
    }
    let of_record = of_record.data()["medicalRecord"]["accessLog"]["nodes"].to_string();
    assert!(of_record.contains(opened), "{of_record}");
}

#[tokio::test]
async fn a_patients_log_is_narrowed_by_who_what_when_outcome_and_emergency_and_counts_records() {
    const LOG: &str = "query Log($user: UUID, $action: AuditAction, $allowed: Boolean, $emergency: Boolean,
            $from: DateTime, $to: DateTime, $grouped: Boolean) {
        myAccessLog(userId: $user, action: $action, allowed: $allowed, emergency: $emergency, from: $from, to: $to,
                grouped: $grouped, first: 100) {
            nodes { id action allowed emergency at times records sentence } } }";
    let world = World::start().await;
    let (ana, dr_bo, _, _) = lived_in(&world).await;
    let log = async |variables: Value| {
        let answer = ana.asks(LOG, variables).await;
        let nodes = answer.data()["myAccessLog"]["nodes"].as_array();
        nodes.expect("a list").clone()
    };
    // One access in an emergency, as it is written where the glass is broken.
    world
        .executes(&format!(
            "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id)
             SELECT user_id, action_type, resource_type, resource_id, ip_address, request_id, 'BTG', retention_period,
                 data_classification, encryption_status, patient_id
             FROM audit_logs WHERE action_type = 'RECORD_READ' AND patient_id = '{}' LIMIT 1",
            ana.id
        ))
        .await;
    // And a list that showed nothing: no access.
    world
        .executes(&format!(
            "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, new_value, ip_address, request_id,
                 purpose, retention_period, data_classification, encryption_status, patient_id)
             SELECT patient_id, 'RECORD_SEARCH', resource_type, request_id, '{{\"count\": 0}}'::jsonb, ip_address, request_id,
                 'BTG', retention_period, data_classification, 'METADATA_ONLY', patient_id
             FROM audit_logs WHERE action_type = 'RECORD_READ' AND patient_id = '{}' LIMIT 1",
            ana.id
        ))
        .await;
    let list = "{ medicalRecords { nodes { id } } }";
    for _ in 0..3 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        dr_bo.asks(list, json!({})).await.data();
    }
    let all = log(json!({})).await;
    let middle = &all[all.len() / 2]["at"];
    let is = |node: &Value, field: &str, value: Value| node[field] == value;
    let time = |node: &Value| -> chrono::DateTime<chrono::Utc> {
        text(&node["at"]).parse().expect("a time")
    };
    let border: chrono::DateTime<chrono::Utc> = text(middle).parse().expect("a time");
    let table: [(Value, EntryRule<'_>); 6] = [
        (
            json!({ "action": "RECORD_SEARCH" }),
            Box::new(|it| is(it, "action", json!("RECORD_SEARCH"))),
        ),
        (
            json!({ "allowed": false }),
            Box::new(|it| is(it, "allowed", json!(false))),
        ),
        (
            json!({ "emergency": true }),
            Box::new(|it| is(it, "emergency", json!(true))),
        ),
        (
            json!({ "emergency": false }),
            Box::new(|it| is(it, "emergency", json!(false))),
        ),
        (json!({ "from": middle }), Box::new(|it| time(it) >= border)),
        (json!({ "to": middle }), Box::new(|it| time(it) < border)),
    ];
    let known: BTreeSet<_> = all.iter().map(|node| text(&node["id"])).collect();
    for (variables, rule) in table {
        let wanted: Vec<_> = all
            .iter()
            .filter(|node| rule(node))
            .map(|it| text(&it["id"]))
            .collect();
        assert!(!wanted.is_empty(), "{variables}");
        let told = log(variables.clone()).await;
        let told = told.iter().map(|node| text(&node["id"]));
        let told: Vec<_> = told.filter(|it| known.contains(it)).collect();
        assert_eq!(told, wanted, "{variables}");
    }
    assert_eq!(log(json!({ "emergency": true })).await.len(), 1);
    let none = "You looked for records of yours and were shown none";
    assert!(
        all.iter()
            .any(|node| text(&node["sentence"]).starts_with(none))
    );

    let grouped =
        log(json!({ "user": dr_bo.id, "action": "RECORD_SEARCH", "grouped": true })).await;
    let told: Vec<_> = grouped
        .iter()
        .map(|node| (&node["times"], &node["records"], text(&node["sentence"])))
        .collect();
    let sentence = "dr.bo (doctor) looked through a list with 4 of your records, for treatment, by your consent, 4 times.";
    assert_eq!(told, [(&json!(4), &json!(4), sentence.to_owned())]);
    for (wrong, field) in [
        (json!({ "from": "-262142-01-01T00:00:00Z" }), "from"),
        (
            json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-01-31T00:00:00Z" }),
            "to",
        ),
    ] {
        let answer = ana.asks(LOG, wrong).await;
        let told = answer.fails_with("BAD_USER_INPUT");
        assert_eq!(told.extensions["field"], field);
    }
}

/// What a patient is told of one account on one day: the day, who, and the counts.
type CountedDay = (String, String, [u64; 6]);

const DAYS: &str = "query Days($first: Int, $after: Cursor, $user: UUID, $action: AuditAction, $allowed: Boolean,
        $emergency: Boolean, $from: DateTime, $to: DateTime, $for: UUID) {
    myAccessLogByDay(first: $first, after: $after, userId: $user, action: $action, allowed: $allowed,
            emergency: $emergency, from: $from, to: $to, onBehalfOf: $for) {
        nodes { day who { id } reads searches denials emergencies times records }
        pageInfo { hasNextPage endCursor } } }";

/// The log by day and account, a page of so many at a time.
async fn days(person: &Person, first: u32, conditions: &Value) -> Vec<CountedDay> {
    let (mut days, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut asked = conditions.clone();
        (asked["first"], asked["after"]) = (json!(first), after);
        let answer = person.asks(DAYS, asked).await;
        let page = &answer.data()["myAccessLogByDay"];
        for node in page["nodes"].as_array().expect("a list") {
            let count = |name: &str| node[name].as_u64().expect("a number");
            let counts = [
                "reads",
                "searches",
                "denials",
                "emergencies",
                "times",
                "records",
            ];
            let day = text(&node["day"])[..10].to_owned();
            days.push((day, text(&node["who"]["id"]), counts.map(count)));
        }
        if page["pageInfo"]["hasNextPage"] == false {
            return days;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// The same, counted from the rows themselves that meet a condition.
async fn counted(world: &World, patient: &Person, condition: &str) -> Vec<CountedDay> {
    let rows = world
        .sql(&format!(
            "SELECT (event_time AT TIME ZONE 'UTC')::date::text AS day, user_id, action_type, purpose, consent_reference,
                 COALESCE(record_ids, ARRAY[resource_id]) AS records,
                 record_ids IS NOT NULL OR (resource_type = 'MEDICAL_RECORD' AND resource_id <> request_id) AS is_about,
                 COALESCE((new_value ->> 'times')::int, 1) AS times, new_value ->> 'count' AS shown
             FROM audit_logs WHERE patient_id = '{}' AND ({condition})",
            patient.id
        ))
        .await;
    let mut days = BTreeMap::new();
    for row in rows {
        let key = (text(&row["day"]), text(&row["user_id"]));
        let (counts, records) = days.entry(key).or_insert_with(|| ([0; 6], BTreeSet::new()));
        let times = row["times"].as_u64().expect("a number");
        let action = text(&row["action_type"]);
        let place = ["RECORD_READ", "RECORD_SEARCH", "ACCESS_DENIED"];
        if let Some(place) = place.iter().position(|it| *it == action) {
            counts[place] += times;
        }
        let is_emergency = ["BTG", "ETREAT"].contains(&text(&row["purpose"]).as_str());
        let is_free = row["consent_reference"].is_null() && action != "ACCESS_DENIED";
        if is_emergency && is_free && row["shown"] != "0" {
            counts[3] += times;
        }
        counts[4] += times;
        if row["is_about"] == true {
            let about = row["records"].as_array().expect("a list");
            records.extend(about.iter().map(text));
        }
        counts[5] = records.len() as u64;
    }
    let mut days: Vec<CountedDay> = days
        .into_iter()
        .map(|((day, who), (counts, _))| (day, who, counts))
        .collect();
    days.sort_by(|a, b| (&b.0, &a.1).cmp(&(&a.0, &b.1)));
    days
}

/// What each condition leaves of a patient's days is what is counted from the rows that meet it.
async fn conditions_narrow_the_days(world: &World, ana: &Person, dr_bo: &Person) {
    let all = counted(world, ana, "TRUE").await;
    let by_bo = format!("user_id = '{}'", dr_bo.id);
    for (conditions, condition) in [
        (json!({ "user": dr_bo.id }), by_bo.as_str()),
        (
            json!({ "action": "RECORD_READ" }),
            "action_type = 'RECORD_READ'",
        ),
        (
            json!({ "allowed": false }),
            "action_type = 'ACCESS_DENIED'",
        ),
        (
            json!({ "emergency": true }),
            "purpose IN ('BTG', 'ETREAT') AND consent_reference IS NULL AND action_type <> 'ACCESS_DENIED'
                 AND (new_value ->> 'count' = '0') IS NOT TRUE",
        ),
        (
            json!({ "from": "2026-01-31T00:00:01Z", "to": "2026-02-01T00:00:00Z" }),
            "event_time >= '2026-01-31T00:00:01Z' AND event_time < '2026-02-01T00:00:00Z'",
        ),
        (
            json!({ "to": "2026-01-31T23:59:59.999999Z" }),
            "event_time < '2026-01-31T23:59:59.999999Z'",
        ),
    ] {
        let wanted = counted(world, ana, condition).await;
        assert!(!wanted.is_empty() && wanted != all, "{condition}");
        for first in [1, 100] {
            let told = days(ana, first, &conditions).await;
            assert_eq!(told, wanted, "{conditions}, {first} at a time");
        }
    }
    for wrong in [
        json!({ "from": "-262142-01-01T00:00:00Z" }),
        json!({ "from": "2026-02-01T00:00:00Z", "to": "2026-01-31T00:00:00Z" }),
    ] {
        ana.asks(DAYS, wrong).await.fails_with("BAD_USER_INPUT");
    }
}

/// Each day has the times of its first and its last row.
async fn says_from_when_to_when(world: &World, ana: &Person) {
    const TIMES: &str =
        "{ myAccessLogByDay(first: 100) { nodes { day who { id } firstAt lastAt } } }";

    let answer = ana.asks(TIMES, json!({})).await;

    let days = answer.data()["myAccessLogByDay"]["nodes"].as_array();
    let days = days.expect("a list");
    assert!(days.iter().any(|day| day["firstAt"] != day["lastAt"]));
    for day in days {
        let who = text(&day["who"]["id"]);
        let [begins, first, last] = ["day", "firstAt", "lastAt"].map(|name| text(&day[name]));
        let same = world
            .sql(&format!(
                "SELECT 1 FROM audit_logs WHERE patient_id = '{}' AND user_id = '{who}'
                     AND event_time >= '{begins}' AND event_time < timestamptz '{begins}' + INTERVAL '1 day'
                 HAVING min(event_time) = '{first}' AND max(event_time) = '{last}'",
                ana.id
            ))
            .await;
        assert_eq!(same.len(), 1, "{day}");
    }
}

#[tokio::test]
async fn a_patient_reads_who_did_how_much_on_which_day_page_by_page() {
    let world = World::start().await;
    let (ana, dr_bo, _, _) = lived_in(&world).await;
    // What the indexer confirms is written down besides, whenever it comes.
    eventually("both records are confirmed", async || {
        let rows = world.audit_rows("action_type = 'RECORD_ANCHOR'").await;
        (rows.len() == 2).then_some(())
    })
    .await;
    // The same again on other days, at their very ends, and once in an emergency.
    for (day, purpose) in [
        ("2026-01-31T00:00:00Z", "TREAT"),
        ("2026-01-31T23:59:59.999999Z", "BTG"),
        ("2025-12-31T23:59:59.999999Z", "TREAT"),
    ] {
        world
            .executes(&format!(
                "INSERT INTO audit_logs (event_time, user_id, action_type, resource_type, resource_id, new_value, ip_address,
                     request_id, purpose, retention_period, data_classification, encryption_status, patient_id, record_ids)
                 SELECT '{day}', user_id, action_type, resource_type, resource_id,
                     CASE WHEN action_type = 'ACCESS_DENIED' THEN '{{\"times\": 7}}' ELSE new_value END, ip_address,
                     request_id, '{purpose}', retention_period, data_classification, encryption_status, patient_id, record_ids
                 FROM audit_logs WHERE patient_id = '{}'",
                ana.id
            ))
            .await;
    }
    let expected = counted(&world, &ana, "TRUE").await;
    assert!(expected.len() >= 6, "{expected:?}");
    let is_told = |place: usize| expected.iter().any(|(.., counts)| counts[place] > 0);
    assert!((0..6).all(is_told), "{expected:?}");

    for first in [1, 2, 100] {
        let told = days(&ana, first, &json!({})).await;
        assert_eq!(told, expected, "{first} at a time");
    }
    conditions_narrow_the_days(&world, &ana, &dr_bo).await;
    says_from_when_to_when(&world, &ana).await;

    // Whoever acts for her reads hers, and nobody else does.
    let eva = world.patient("eva").await;
    appointed(&ana, &eva, &ALL).await;
    let hers = json!({ "for": ana.id });
    let wanted = counted(&world, &ana, "TRUE").await;
    assert_eq!(days(&eva, 100, &hers).await, wanted);
    let stranger = dr_bo.asks(DAYS, hers).await;
    stranger.fails_with("NOT_FOUND");

    // Nobody reads anybody else's, and reading is written down.
    let of_bo = days(&dr_bo, 100, &json!({})).await;
    assert_eq!(of_bo, counted(&world, &dr_bo, "TRUE").await);
    let read = format!("action_type = 'AUDIT_READ' AND user_id = '{}'", dr_bo.id);
    assert_eq!(world.audit_rows(&read).await.len(), 1);
}
