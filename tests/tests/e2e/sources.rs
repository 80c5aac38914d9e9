//! Documents keep their source: what is sent again is known, what was changed there is the next version here, and what refers
//! to each other there refers to each other here.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::transfer::{BUNDLE, NDJSON, Report, SERVER, dangling, heart_rate, stored};
use tests::{Person, World, id, text};

use crate::erasures::{account, approves, at_once, is_completed, verified};

pub(crate) const BASE: &str = "https://hospital.example/fhir";

/// A heart rate as a hospital has it: with its id, a version and more.
pub(crate) fn measured(beats: u32, more: &str) -> String {
    heart_rate(beats).replacen('{', &format!("{{{more},"), 1)
}

/// What refers to a report of which it is a part.
fn part_of(named: &str, refers_to: &str) -> String {
    let more = format!(r#"{named}"hasMember":[{{"reference":"{refers_to}"}}]"#);
    measured(72, &more)
}

pub(crate) fn entry(full_url: &str, resource: &str) -> String {
    format!(
        r#"{{"fullUrl":"{full_url}","resource":{resource},"request":{{"method":"POST","url":"Observation"}}}}"#
    )
}

pub(crate) fn bundle(kind: &str, entries: &[String]) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#,
        entries.join(",")
    )
}

pub(crate) async fn brings(world: &World, person: &Person, more: &str, lines: &[String]) -> Report {
    let upload = lines.join("\n");
    person
        .imports(&world.api, person, (NDJSON, more), upload)
        .await
}

/// A record's document, as it is stored.
pub(crate) async fn document(person: &Person, record: &Value) -> Value {
    let read = person.reads(&text(record)).await;
    let canonical = text(&read.data()["medicalRecord"]["canonical"]);
    serde_json::from_str(&canonical).expect("JSON")
}

async fn sources(world: &World) -> u64 {
    let rows = world
        .sql("SELECT count(*) AS count FROM record_sources")
        .await;
    rows[0]["count"].as_u64().expect("a number")
}

#[tokio::test]
async fn the_same_source_twice_changes_nothing_and_a_changed_one_is_the_next_version() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let source = "&source=https://hospital.example/fhir/";
    let second = measured(61, r#""id":"7","meta":{"versionId":"2"}"#);

    let first = brings(&world, &ana, source, std::slice::from_ref(&second)).await;
    // Sent again, also under another version that says the same.
    let same = [
        second.clone(),
        measured(61, r#""id":"7","meta":{"versionId":"3"}"#),
    ];
    let again = brings(&world, &ana, source, &same).await;
    let older = measured(60, r#""id":"7","meta":{"versionId":"1"}"#);
    let older = brings(&world, &ana, source, &[older]).await;

    assert_eq!(first.each("outcome"), [json!("CREATED")]);
    assert_eq!(again.each("outcome"), vec![json!("ALREADY_THERE"); 2]);
    assert_eq!(older.each("outcome"), [json!("OUTDATED")]);
    assert_eq!(older.end["outdated"], 1);
    for report in [&again, &older] {
        assert_eq!(report.lines[0]["recordId"], first.lines[0]["recordId"]);
    }
    assert_eq!((stored(&world).await, sources(&world).await), (1, 1));
    let kept = document(&ana, &first.lines[0]["recordId"]).await;
    assert_eq!(
        kept["meta"]["source"],
        format!("{BASE}/Observation/7/_history/2")
    );

    // Two more versions in one upload, one after the other.
    let newer = [
        measured(62, r#""id":"7","meta":{"versionId":"4"}"#),
        measured(63, r#""id":"7","meta":{"versionId":"5"}"#),
    ];
    let newer = brings(&world, &ana, source, &newer).await;

    assert_eq!(
        newer.each("outcome"),
        vec![json!("AMENDED"); 2],
        "{:?}",
        newer.lines
    );
    assert_eq!(newer.each("version"), [json!(2), json!(3)]);
    assert_eq!(newer.end["amended"], 2);
    let last = text(&newer.lines[1]["recordId"]);
    world.wait_for_anchor(&last, "CONFIRMED").await;
    let verified = ana.verifies(&last).await;
    assert_eq!(verified.data()["verifyRecord"]["verdict"], "VERIFIED");
    let anchors = world
        .sql(&format!(
            "SELECT supersedes, predecessor_hash FROM record_anchors WHERE record_id = '{last}'"
        ))
        .await;
    assert_eq!(
        (&anchors[0]["supersedes"], &anchors[0]["predecessor_hash"]),
        (&json!(true), &newer.lines[0]["dataHash"])
    );
    let rows = world.audit_rows("action_type = 'RECORD_AMEND'").await;
    assert_eq!(rows.len(), 2);
    assert_eq!(
        document(&ana, &json!(last)).await["valueQuantity"]["value"],
        63.0
    );

    // Another patient, another source, another key: another record.
    let keyed = format!("{source}&key=again");
    for (person, more) in [
        (&budi, source),
        (&ana, "&source=elsewhere"),
        (&ana, keyed.as_str()),
    ] {
        let other = brings(&world, person, more, std::slice::from_ref(&second)).await;
        assert_eq!(other.each("outcome"), [json!("CREATED")], "{more}");
    }
    // Without a source, an id means nothing.
    let unnamed = [measured(80, r#""id":"7""#), measured(81, r#""id":"7""#)];
    let unnamed = brings(&world, &ana, "", &unnamed).await;
    assert_eq!(unnamed.each("outcome"), vec![json!("CREATED"); 2]);
    let refused = brings(&world, &ana, "&source=a%20b", &[second]).await;
    assert_eq!(
        (refused.reply.status, refused.reply.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
}

/// What a run that stores nothing says of what this outcome would be.
fn foreseen(outcome: &Value) -> Value {
    match outcome.as_str() {
        Some("CREATED") => json!("WOULD_BE_CREATED"),
        Some("AMENDED") => json!("WOULD_BE_AMENDED"),
        _ => outcome.clone(),
    }
}

/// Sends it dry and then in earnest, and holds the one against the other.
async fn foresees(
    world: &World,
    (by, of): (&Person, &Person),
    more: &str,
    lines: &[String],
) -> Report {
    let before = (stored(world).await, sources(world).await);
    let upload = lines.join("\n");
    let trial = format!("{more}&dryRun=true");
    let dry = by
        .imports(&world.api, of, (NDJSON, &trial), upload.clone())
        .await;
    assert_eq!(
        (stored(world).await, sources(world).await),
        before,
        "{more}"
    );
    let report = by.imports(&world.api, of, (NDJSON, more), upload).await;

    let outcomes: Vec<Value> = report.each("outcome").iter().map(foreseen).collect();
    assert_eq!(dry.each("outcome"), outcomes, "{:?}", report.lines);
    for name in [
        "entry",
        "code",
        "field",
        "recordType",
        "unresolvedReferences",
    ] {
        assert_eq!(dry.each(name), report.each(name), "{name}");
    }
    let counted = [
        "alreadyThere",
        "outdated",
        "refused",
        "skipped",
        "reasons",
        "resolvedReferences",
        "unresolvedReferences",
    ];
    for name in counted {
        assert_eq!(dry.end[name], report.end[name], "{name}");
    }
    assert_eq!(
        dry.end["wouldBeCreated"].as_u64().unwrap_or_default(),
        report.end["created"]
    );
    assert_eq!(dry.end["wouldBeAmended"], report.end["amended"]);
    // What is there is named; what would be is not.
    for (line, real) in dry.lines.iter().zip(&report.lines) {
        let would_be = text(&line["outcome"]).starts_with("WOULD_BE_");
        let is_named = line["recordId"] == real["recordId"];
        assert!(
            if would_be {
                line["recordId"].is_null()
            } else {
                is_named || line["recordId"].is_null()
            },
            "{line}"
        );
    }
    report
}

#[tokio::test]
async fn what_is_only_asked_is_answered_as_what_is_stored_would_be() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let of = |beats: u32, id: &str, version: u32| {
        measured(
            beats,
            &format!(r#""id":"{id}","meta":{{"versionId":"{version}"}}"#),
        )
    };
    let part = |id: &str, of: &str| part_of(&format!(r#""id":"{id}","#), of);
    let source = "&source=https://hospital.example/fhir/";

    // New, twice the same, two versions, one that no R4 is, one that no record is made of, references backwards and to nothing.
    let first = [
        of(60, "1", 1),
        of(60, "1", 1),
        of(61, "2", 1),
        of(62, "2", 2),
        r#"{"resourceType":"Observation","id":"3"}"#.to_owned(),
        r#"{"resourceType":"Encounter","id":"4","status":"finished","class":{"code":"AMB"}}"#
            .to_owned(),
        heart_rate(50),
        heart_rate(50),
        part("5", "Observation/1"),
        part("6", "Observation/nowhere"),
    ];
    let report = foresees(&world, (&ana, &ana), source, &first).await;
    assert_eq!(
        report.each("outcome"),
        [
            "CREATED",
            "ALREADY_THERE",
            "CREATED",
            "AMENDED",
            "REFUSED",
            "SKIPPED",
            "CREATED",
            "ALREADY_THERE",
            "CREATED",
            "CREATED"
        ]
        .map(|it| json!(it))
    );

    // All of it again, an older version, a newer one and one behind that, one that was amended here, and a reference to what is there.
    let amended = json!({ "id": report.lines[0]["recordId"], "version": 1 });
    ana.amends(&amended, heart_rate(90), json!({})).await.data();
    let second = [
        of(62, "2", 2),
        of(60, "2", 1),
        of(63, "2", 0),
        of(64, "2", 3),
        of(65, "2", 4),
        of(64, "2", 3),
        of(66, "1", 2),
        heart_rate(50),
        part("7", "Observation/2"),
    ];
    let report = foresees(&world, (&ana, &ana), source, &second).await;
    assert_eq!(report.lines[6]["field"], "source", "{:?}", report.lines);
    assert_eq!(report.end["amended"], 2);

    // A doctor who may store and not amend; who may do nothing learns nothing, and it is written down.
    let third = [of(70, "9", 1), of(71, "9", 2), of(67, "2", 9)];
    foresees(&world, (&dr_bo, &ana), source, &third).await;
    let eve = world.patient("eve").await;
    let before = world
        .audit_rows("action_type = 'ACCESS_DENIED'")
        .await
        .len();
    let hidden = foresees(&world, (&eve, &ana), source, &second).await;
    assert_eq!(hidden.end["refused"], second.len());
    assert!(hidden.each("recordId").iter().all(Value::is_null));
    let denied = world
        .audit_rows("action_type = 'ACCESS_DENIED'")
        .await
        .len();
    assert!(denied >= before + 2, "of each of the two runs");
}

#[tokio::test]
async fn a_record_that_was_amended_here_is_not_overwritten_by_its_source() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let first = brings(&world, &ana, "&source=h", &[measured(60, r#""id":"7""#)]).await;
    let record = json!({ "id": first.lines[0]["recordId"], "version": 1 });
    ana.amends(&record, heart_rate(90), json!({})).await.data();

    let changed = brings(&world, &ana, "&source=h", &[measured(61, r#""id":"7""#)]).await;

    assert_eq!(
        (&changed.lines[0]["code"], &changed.lines[0]["field"]),
        (&json!("CONFLICT"), &json!("source"))
    );
    assert_eq!(stored(&world).await, 2);

    // Nor is one that its source has filed as another type since: no version changes the type.
    brings(&world, &ana, "&source=h", &[measured(60, r#""id":"8""#)]).await;
    let filed = measured(61, r#""id":"8""#).replace("vital-signs", "laboratory");
    let filed = brings(&world, &ana, "&source=h", &[filed]).await;
    assert_eq!(
        (&filed.lines[0]["code"], &filed.lines[0]["field"]),
        (&json!("CONFLICT"), &json!("source"))
    );
    assert_eq!(stored(&world).await, 3);
}

#[tokio::test]
async fn whoever_may_not_amend_changes_nothing_by_sending_it_again() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE"]).await;
    let upload = |beats| measured(beats, r#""id":"7""#);
    let first = dr_bo
        .imports(&world.api, &ana, (NDJSON, "&source=h"), upload(60))
        .await;

    let refused = dr_bo
        .imports(&world.api, &ana, (NDJSON, "&source=h"), upload(61))
        .await;
    let eve = world.patient("eve").await;
    let hidden = eve
        .imports(&world.api, &ana, (NDJSON, "&source=h"), upload(60))
        .await;
    ana.lets(&dr_bo, &["AMEND"]).await;
    let amended = dr_bo
        .imports(&world.api, &ana, (NDJSON, "&source=h"), upload(61))
        .await;

    assert_eq!(first.end["created"], 1);
    for report in [&refused, &hidden] {
        assert_eq!(report.lines[0]["code"], "NOT_FOUND");
        assert_eq!(report.lines[0]["recordId"], Value::Null);
    }
    assert_eq!(
        amended.each("outcome"),
        [json!("AMENDED")],
        "{:?}",
        amended.lines
    );
    assert_eq!(stored(&world).await, 2);
}

#[tokio::test]
async fn a_forged_row_decides_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let lines = [measured(60, r#""id":"7""#), measured(70, r#""id":"8""#)];
    let first = brings(&world, &ana, "&source=h", &lines).await;
    let other = text(&first.lines[1]["recordId"]);
    world
        .attacks(&format!(
            "UPDATE record_sources SET content_token = sha256('') WHERE record_id = '{other}'"
        ))
        .await;

    let again = brings(&world, &ana, "&source=h", &lines).await;

    assert_eq!(again.lines[0]["outcome"], "ALREADY_THERE");
    assert_eq!(again.lines[1]["code"], "INTEGRITY_VIOLATION");
    assert_eq!(stored(&world).await, 2);
}

#[tokio::test]
async fn what_refers_to_each_other_there_refers_to_each_other_here() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let named = |id: &str| format!(r#""id":"{id}","#);
    // A circle of two, and one that refers to what is not there.
    let lines = [
        heart_rate(50),
        part_of(&named("a"), "Observation/b"),
        part_of(&named("b"), "Observation/a/_history/1"),
        part_of(&named("c"), "Observation/nowhere"),
        r#"{"resourceType":"Observation","id":"d"}"#.to_owned(),
        part_of(&named("e"), "Observation/d"),
    ];

    let dry = brings(&world, &ana, "&source=h&dryRun=true", &lines).await;
    let first = brings(&world, &ana, "&source=h", &lines).await;
    let again = brings(&world, &ana, "&source=h", &lines).await;

    assert_eq!(dry.end["wouldBeCreated"], 5);
    assert_eq!(
        first.each("outcome"),
        [
            "CREATED", "CREATED", "CREATED", "CREATED", "REFUSED", "CREATED"
        ]
        .map(|it| json!(it)),
        "{:?}",
        first.lines
    );
    let numbers: Vec<_> = (1..=6).map(|number| json!(number)).collect();
    assert_eq!(first.each("entry"), numbers, "in their order");
    for report in [&dry, &first] {
        let counted = ["resolvedReferences", "unresolvedReferences"].map(|name| &report.end[name]);
        assert_eq!(counted, [&json!(2), &json!(2)]);
    }
    assert_eq!(first.lines[3]["unresolvedReferences"], 1);
    assert_eq!(
        (&again.end["created"], &again.end["alreadyThere"]),
        (&json!(0), &json!(5))
    );
    assert_eq!(first.each("recordId"), again.each("recordId"));
    let refers = async |nth: usize| {
        let document = document(&ana, &first.lines[nth]["recordId"]).await;
        document["hasMember"][0].clone()
    };
    let ours = |nth: usize| format!("Observation/{}", text(&first.lines[nth]["recordId"]));
    for (nth, other) in [(1, 2), (2, 1)] {
        assert_eq!(refers(nth).await, json!({ "reference": ours(other) }));
    }
    // What nothing is stored for is said by an identifier.
    for (nth, meant) in [(3, "Observation/nowhere"), (5, "Observation/d")] {
        let logical = json!({ "identifier": { "value": meant }, "type": "Observation" });
        assert_eq!(refers(nth).await, logical);
    }
    // The hash is that of what is stored.
    let read = ana.reads(&text(&first.lines[1]["recordId"])).await;
    assert_eq!(
        read.data()["medicalRecord"]["dataHash"],
        first.lines[1]["dataHash"]
    );
    // A later file refers to what an earlier one brought in, a stranger's does not.
    let later = [part_of(&named("f"), "Observation/a")];
    let later = brings(&world, &ana, "&source=h", &later).await;
    let kept = document(&ana, &later.lines[0]["recordId"]).await;
    assert_eq!(kept["hasMember"][0]["reference"], ours(1));
    let budi = world.patient("budi").await;
    let theirs = [part_of(&named("f"), "Observation/a")];
    let theirs = brings(&world, &budi, "&source=h", &theirs).await;
    assert_eq!(theirs.end["unresolvedReferences"], 1);
}

#[tokio::test]
async fn two_files_may_refer_to_each_other() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let files = [("a", "b"), ("b", "a")].map(|(named, other)| {
        let url = |id: &str| format!("{BASE}/Observation/{id}");
        bundle(
            "searchset",
            &[entry(&url(named), &part_of("", &url(other)))],
        )
    });
    let [first, second] = files;

    let first = ana.imports(&world.api, &ana, (BUNDLE, ""), first).await;
    let second = ana.imports(&world.api, &ana, (BUNDLE, ""), second).await;

    assert_eq!(
        first.end["unresolvedReferences"], 1,
        "what it means is not there yet"
    );
    assert_eq!(second.end["resolvedReferences"], 1);
    let kept = document(&ana, &second.lines[0]["recordId"]).await;
    assert_eq!(
        kept["hasMember"][0]["reference"],
        format!("Observation/{}", text(&first.lines[0]["recordId"]))
    );
}

#[tokio::test]
async fn what_another_server_calls_by_the_same_id_is_not_meant() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let refers = async |line: &Value| {
        let document = document(&ana, &line["recordId"]).await;
        document["hasMember"][0].clone()
    };
    let from = |source: &str, id: &str| format!(r#""id":"{id}","meta":{{"source":"{source}"}}"#);
    let part = |named: &str| part_of(&format!("{named},"), "Observation/7");
    let logical = |base: &str| {
        let uri = format!("{base}/Observation/7");
        let identifier = json!({ "system": "urn:ietf:rfc:3986", "value": uri });
        json!({ "identifier": identifier, "type": "Observation" })
    };

    // In a Bundle, by the addresses of the entries.
    let other = "https://other.example/fhir";
    let entries = [
        entry(&format!("{BASE}/Observation/1"), &part(r#""id":"1""#)),
        entry(
            &format!("{other}/Observation/7"),
            &measured(61, r#""id":"7""#),
        ),
    ];
    let entries = bundle("collection", &entries);
    let of_two = ana
        .imports(&world.api, &ana, (BUNDLE, ""), entries.clone())
        .await;
    assert_eq!(of_two.each("outcome"), vec![json!("CREATED"); 2]);
    assert_eq!(of_two.end["unresolvedReferences"], 1, "{:?}", of_two.lines);
    assert_eq!(refers(&of_two.lines[0]).await, logical(BASE));

    // So it is where the import names a source, and however often the same comes.
    for outcome in ["CREATED", "ALREADY_THERE"] {
        let named = (BUNDLE, "&source=h");
        let of_two = ana.imports(&world.api, &ana, named, entries.clone()).await;
        assert_eq!(of_two.each("outcome"), vec![json!(outcome); 2]);
        assert_eq!(of_two.end["unresolvedReferences"], 1, "{:?}", of_two.lines);
        assert_eq!(refers(&of_two.lines[0]).await, logical(BASE));
    }

    // In lines, by the sources that the documents name; what one of them names comes in another file.
    let (ward, lab) = ("https://ward.example/fhir", "https://lab.example/fhir");
    let of_ward = part(&from(&format!("{ward}#x1"), "1"));
    let lines = [of_ward.clone(), measured(62, &from(lab, "7"))];
    let first = brings(&world, &ana, "", &lines).await;
    let lines = [measured(63, &from(ward, "7")), of_ward];
    let second = brings(&world, &ana, "", &lines).await;
    assert_eq!(first.end["unresolvedReferences"], 1, "{:?}", first.lines);
    assert_eq!(refers(&first.lines[0]).await, logical(ward));
    let outcomes = ["CREATED", "AMENDED"].map(|it| json!(it));
    assert_eq!(second.each("outcome"), outcomes, "{:?}", second.lines);
    let ours = |line: &Value| {
        let record = text(&line["recordId"]);
        json!({ "reference": format!("Observation/{record}") })
    };
    assert_eq!(refers(&second.lines[1]).await, ours(&second.lines[0]));

    // Where it is not known whose words those are: what is in the same file and not known to be another server's, and nothing else.
    // The number of a request names no source.
    let unknown = [measured(64, &from("#x2", "7")), part(r#""id":"2""#)];
    let together = brings(&world, &ana, "", &unknown).await;
    let beside = [measured(65, &from(lab, "7")), part(r#""id":"3""#)];
    let beside = brings(&world, &ana, "", &beside).await;
    assert_eq!(together.each("outcome"), vec![json!("CREATED"); 2]);
    assert_eq!(refers(&together.lines[1]).await, ours(&together.lines[0]));
    let outcomes = ["AMENDED", "CREATED"].map(|it| json!(it));
    assert_eq!(beside.each("outcome"), outcomes, "{:?}", beside.lines);
    assert_eq!(
        refers(&beside.lines[1]).await,
        json!({ "identifier": { "value": "Observation/7" }, "type": "Observation" })
    );
    let another = [measured(66, &from("#x3", "7"))];
    let another = brings(&world, &ana, "", &another).await;
    assert_eq!(another.each("outcome"), [json!("CREATED")]);
}

#[tokio::test]
async fn an_import_that_goes_on_knows_what_the_entries_before_have_become() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let refers = async |line: &Value| {
        let document = document(&ana, &line["recordId"]).await;
        document["hasMember"][0].clone()
    };
    let ours = |line: &Value| {
        let record = text(&line["recordId"]);
        json!({ "reference": format!("Observation/{record}") })
    };

    // Without a source, by what the same account imported.
    let lines = [
        measured(61, r#""id":"7""#),
        part_of(r#""id":"8","#, "Observation/7"),
        part_of(r#""id":"9","#, "Observation/8"),
    ];
    let first = brings(&world, &ana, "", &lines[..2]).await;
    let rest = brings(&world, &ana, "&from=3", &lines).await;
    assert_eq!(first.each("outcome"), vec![json!("CREATED"); 2]);
    assert_eq!(rest.each("entry"), [json!(3)], "{:?}", rest.lines);
    assert_eq!(rest.end["resolvedReferences"], 1, "{:?}", rest.lines);
    assert_eq!(refers(&rest.lines[0]).await, ours(&first.lines[1]));

    // Called by a UUID and referred to by an id, too.
    let urn = |nth: u32| format!("urn:uuid:00000000-0000-4000-8000-00000000000{nth}");
    let entries = [
        entry(&urn(1), &measured(70, r#""id":"a""#)),
        entry(&urn(2), &part_of(r#""id":"b","#, "Observation/a")),
    ];
    let upload = bundle("collection", &entries[..1]);
    let first = ana.imports(&world.api, &ana, (BUNDLE, ""), upload).await;
    let upload = bundle("collection", &entries);
    let from = (BUNDLE, "&from=2");
    let rest = ana.imports(&world.api, &ana, from, upload).await;
    assert_eq!(rest.each("outcome"), [json!("CREATED")], "{:?}", rest.lines);
    assert_eq!(refers(&rest.lines[0]).await, ours(&first.lines[0]));

    // What was not imported is not known.
    let never = [
        measured(80, r#""id":"c""#),
        part_of(r#""id":"d","#, "Observation/c"),
    ];
    let rest = brings(&world, &ana, "&from=2", &never).await;
    assert_eq!(rest.end["unresolvedReferences"], 1, "{:?}", rest.lines);
}

#[tokio::test]
async fn references_lead_to_the_version_that_the_same_import_stores() {
    const IMPORT: &str =
        "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
        results { outcome record { id canonical } }
    } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let refers = async |line: &Value| {
        let document = document(&ana, &line["recordId"]).await;
        document["hasMember"][0].clone()
    };
    let ours = |record: &Value| {
        let record = text(record);
        json!({ "reference": format!("Observation/{record}") })
    };
    let part = |named: &str, refers_to: &str| {
        let refers_to = format!("Observation/{refers_to}");
        part_of(&format!(r#""id":"{named}","#), &refers_to)
    };

    // A document of which a reference led to nothing, between two that refer to it; what it means comes last.
    let open = [part("a", "z")];
    let lines = [
        part("b", "a"),
        part("a", "z"),
        part("c", "a"),
        measured(61, r#""id":"z""#),
    ];
    let first = brings(&world, &ana, "&source=h", &open).await;
    let second = brings(&world, &ana, "&source=h", &lines).await;
    let again = brings(&world, &ana, "&source=h", &lines).await;
    assert_eq!(first.end["unresolvedReferences"], 1);
    let outcomes = ["CREATED", "AMENDED", "CREATED", "CREATED"];
    let outcomes = outcomes.map(|it| json!(it));
    assert_eq!(second.each("outcome"), outcomes, "{:?}", second.lines);
    let unresolved = &second.end["unresolvedReferences"];
    assert_eq!(*unresolved, Value::Null, "{:?}", second.end);
    let mended = &second.lines[1]["recordId"];
    assert_ne!(mended, &first.lines[0]["recordId"]);
    for nth in [0, 2] {
        assert_eq!(refers(&second.lines[nth]).await, ours(mended), "{nth}");
    }
    let last = &second.lines[3]["recordId"];
    assert_eq!(refers(&second.lines[1]).await, ours(last));
    assert_eq!(again.end["alreadyThere"], 4, "{:?}", again.lines);
    assert_eq!(again.each("recordId"), second.each("recordId"));

    // The same in a mutation.
    brings(&world, &ana, "&source=m", &open).await;
    let entries = lines.each_ref().map(|it| format!(r#"{{"document":{it}}}"#));
    let entries = entries.join(",");
    let input = format!(
        r#"{{"input":{{"patientId":"{}","source":"m","entries":[{entries}]}}}}"#,
        ana.id
    );
    let answer = ana.asks_with(IMPORT, &input).await;
    let results = &answer.data()["importRecords"]["results"];
    assert_eq!(results[1]["outcome"], "AMENDED", "{results}");
    let meant = format!("Observation/{}", id(&results[1]["record"]));
    for nth in [0, 2] {
        let canonical = text(&results[nth]["record"]["canonical"]);
        assert!(canonical.contains(&meant), "{canonical}");
    }

    // An older version that comes again behind the newest takes nothing from it.
    let version = |number: u32| {
        let more = format!(r#""id":"7","meta":{{"versionId":"{number}"}}"#);
        measured(70 + number, &more)
    };
    let versions = brings(&world, &ana, "&source=h", &[version(1), version(2)]).await;
    let lines = [version(2), version(1), part("d", "7")];
    let after = brings(&world, &ana, "&source=h", &lines).await;
    let held = [part("e", "7"), version(2), version(1), part("f", "7")];
    let held = brings(&world, &ana, "&source=h", &held).await;
    let newest = &versions.lines[1]["recordId"];
    assert_eq!(after.lines[1]["outcome"], "ALREADY_THERE");
    assert_ne!(&after.lines[1]["recordId"], newest, "{:?}", after.lines);
    for line in [&after.lines[2], &held.lines[0], &held.lines[3]] {
        assert_eq!(refers(line).await, ours(newest), "{line}");
    }
}

/// As Synthea makes it: everything by `urn:uuid`, the patient first, an encounter that no record is made of.
fn synthea() -> String {
    let urn = |nth: u32| format!("urn:uuid:00000000-0000-4000-8000-00000000000{nth}");
    let about = format!(
        r#""subject":{{"reference":"{}"}},"encounter":{{"reference":"{}"}},"#,
        urn(1),
        urn(2)
    );
    let patient = r#"{"resourceType":"Patient","id":"00000000-0000-4000-8000-000000000001"}"#;
    bundle(
        "transaction",
        &[
            entry(&urn(1), patient),
            entry(&urn(2), r#"{"resourceType":"Encounter"}"#),
            entry(&urn(3), &part_of(&about, &urn(4))),
            entry(&urn(4), &part_of(&about, &urn(3))),
            entry(
                &urn(5),
                &heart_rate(80).replacen('{', &format!("{{{about}"), 1),
            ),
        ],
    )
}

#[tokio::test]
async fn a_transaction_comes_in_and_goes_out_and_comes_in_elsewhere() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let eve = world.patient("eve").await;
    let report = ana.imports(&world.api, &ana, (BUNDLE, ""), synthea()).await;
    assert_eq!(
        [
            "created",
            "skipped",
            "resolvedReferences",
            "unresolvedReferences"
        ]
        .map(|name| &report.end[name]),
        [&json!(3), &json!(2), &json!(2), &json!(3)],
        "{:?}",
        report.lines
    );

    let exported = ana.exports(&world.api, &ana, "&format=transaction").await;

    assert_eq!(exported.header("content-type"), BUNDLE);
    let out = exported.json();
    assert_eq!(out["type"], "transaction");
    let entries = out["entry"].as_array().expect("a list");
    let urls: Vec<String> = entries.iter().map(|it| text(&it["fullUrl"])).collect();
    assert_eq!(
        urls[0],
        format!("{SERVER}/Patient/{}", ana.id),
        "the patient first"
    );
    assert_eq!(urls.len(), 4);
    for entry in entries {
        let url = format!("{SERVER}/{}", text(&entry["request"]["url"]));
        assert_eq!(
            (&entry["request"]["method"], url),
            (&json!("PUT"), text(&entry["fullUrl"]))
        );
    }
    assert_eq!(
        dangling(&out),
        [""; 0],
        "every reference leads to something"
    );
    // By what is accepted, too.
    let (bearer, path) = (ana.bearer(), format!("/export?patient={}", ana.id));
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "application/fhir+json"),
    ];
    let accepted = world.api.takes("GET", &path, &headers, "").await;
    assert_eq!(accepted.json()["type"], "transaction");

    // Into another account, whose patient is said to be that one.
    eve.lets(&dr_bo, &["CREATE", "READ"]).await;
    let bearer = dr_bo.bearer();
    let map = format!("{}=Patient/{}", eve.id, ana.id);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", BUNDLE),
        ("x-patients", map.as_str()),
    ];
    let brought = async || {
        let upload = exported.body.clone();
        Report::of(world.api.takes("POST", "/import", &headers, upload).await)
    };
    let elsewhere = brought().await;
    assert_eq!(
        ["created", "resolvedReferences"].map(|name| &elsewhere.end[name]),
        [&json!(3), &json!(2)],
        "{:?}",
        elsewhere.lines
    );
    let again = brought().await;
    assert_eq!(again.end["alreadyThere"], 3, "{:?}", again.lines);
}

#[tokio::test]
async fn a_history_becomes_versions_and_deletions_are_told() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let url = format!("{BASE}/Observation/7");
    let version = |number: u32| {
        let more = format!(r#""id":"7","meta":{{"versionId":"{number}"}}"#);
        entry(&url, &measured(60 + number, &more))
    };
    let deleted = r#"{"request":{"method":"DELETE","url":"Observation/7"}}"#.to_owned();
    let upload = bundle("history", &[version(1), version(2), deleted]);

    let report = ana
        .imports(&world.api, &ana, (BUNDLE, ""), upload.clone())
        .await;
    let again = ana.imports(&world.api, &ana, (BUNDLE, ""), upload).await;

    assert_eq!(
        report.each("outcome"),
        ["CREATED", "AMENDED", "SKIPPED"].map(|it| json!(it)),
        "{:?}",
        report.lines
    );
    assert_eq!(report.lines[2]["reason"], "DELETION");
    assert_eq!(report.end["reasons"], json!({ "DELETION": 1 }));
    assert_eq!(again.each("recordId"), report.each("recordId"));
    assert_eq!(stored(&world).await, 2);
}

#[tokio::test]
async fn of_a_history_that_begins_with_the_newest_version_that_one_is_current() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    // The version stands in the resource, or beside it.
    let within = |url: &str, number: u32| {
        let at = format!("2026-03-0{number}T08:00:00Z");
        let more = format!(r#""id":"7","meta":{{"lastUpdated":"{at}"}}"#);
        entry(url, &measured(60 + number, &more))
    };
    let beside = |url: &str, number: u32| {
        let resource = measured(70 + number, r#""id":"8""#);
        format!(
            r#"{{"fullUrl":"{url}","resource":{resource},"request":{{"method":"PUT","url":"Observation/8"}},
                "response":{{"status":"200","etag":"W/\"{number}\"","lastModified":"2026-03-0{number}T08:00:00Z"}}}}"#
        )
    };
    let (seven, eight) = (
        format!("{BASE}/Observation/7"),
        format!("{BASE}/Observation/8"),
    );
    let entries = [
        within(&seven, 3),
        beside(&eight, 3),
        within(&seven, 2),
        beside(&eight, 2),
        within(&seven, 1),
        beside(&eight, 1),
    ];
    let upload = bundle("history", &entries);

    let report = ana
        .imports(&world.api, &ana, (BUNDLE, ""), upload.clone())
        .await;
    let again = ana.imports(&world.api, &ana, (BUNDLE, ""), upload).await;

    let outcomes = [
        "CREATED", "CREATED", "OUTDATED", "OUTDATED", "OUTDATED", "OUTDATED",
    ];
    assert_eq!(
        report.each("outcome"),
        outcomes.map(|it| json!(it)),
        "{:?}",
        report.lines
    );
    assert_eq!(again.end["alreadyThere"], 2);
    assert_eq!(stored(&world).await, 2);
    for (line, value) in [(0, 63.0), (1, 73.0)] {
        let kept = document(&ana, &report.lines[line]["recordId"]).await;
        assert_eq!(kept["valueQuantity"]["value"], value);
    }
}

#[tokio::test]
async fn an_import_that_is_killed_goes_on_with_the_same_ids() {
    const COUNT: u32 = 300;
    let mut world = World::start().await;
    let ana = world.patient("ana").await;
    // Each refers to the next one, and the last to the first.
    let lines: Vec<String> = (0..COUNT)
        .map(|nth| {
            let next = format!("Observation/{}", (nth + 1) % COUNT);
            part_of(&format!(r#""id":"{nth}","#), &next)
        })
        .collect();
    let url = format!("{}/import?patient={}&source=h", world.api.url(), ana.id);
    let request = dev::http::client()
        .post(url)
        .header("authorization", ana.bearer())
        .header("content-type", NDJSON);
    let answer = request.body(lines.join("\n")).send().await;
    let first = answer.expect("an answer").chunk().await.expect("a report");
    assert!(first.is_some(), "some are stored");
    world.api.kill().await;
    world.api.restart().await;

    let rest = brings(&world, &ana, "&source=h", &lines).await;

    assert_eq!(rest.end["ended"], "COMPLETE");
    let exported = ana.exports(&world.api, &ana, "").await;
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let documents: Vec<Value> = exported.body.lines().map(read).collect();
    let ids: BTreeSet<String> = documents
        .iter()
        .map(|it| format!("Observation/{}", id(it)))
        .collect();
    assert_eq!((documents.len(), ids.len()), (300, 300));
    for document in &documents {
        let meant = text(&document["hasMember"][0]["reference"]);
        assert!(ids.contains(&meant), "{meant} is stored");
    }
}

#[tokio::test]
async fn an_erasure_takes_the_sources_with_it() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    for person in [&ana, &budi] {
        brings(&world, person, "&source=h", &[measured(60, r#""id":"7""#)]).await;
        brings(&world, person, "&source=h", &[measured(61, r#""id":"7""#)]).await;
    }
    assert_eq!(sources(&world).await, 4);

    let request = verified(&ana, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    let left = world.sql("SELECT patient_id FROM record_sources").await;
    assert_eq!(
        left,
        [
            json!({ "patient_id": budi.id }),
            json!({ "patient_id": budi.id })
        ]
    );
}

#[tokio::test]
async fn a_few_documents_refer_to_each_other_in_a_mutation() {
    const IMPORT: &str =
        "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
        created amended resolvedReferences unresolvedReferences
        results { outcome unresolvedReferences record { id canonical } }
    } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let asks = async |beats: u32| {
        let documents = [
            part_of(r#""id":"a","#, "Observation/b"),
            measured(
                beats,
                r#""id":"b","hasMember":[{"reference":"Observation/a"}]"#,
            ),
        ];
        let entries = documents
            .map(|it| format!(r#"{{"document":{it}}}"#))
            .join(",");
        let input = format!(
            r#"{{"input":{{"patientId":"{}","source":"h","entries":[{entries}]}}}}"#,
            ana.id
        );
        let answer = ana.asks_with(IMPORT, &input).await;
        answer.data()["importRecords"].clone()
    };

    let first = asks(60).await;
    let second = asks(61).await;

    assert_eq!(
        ["created", "resolvedReferences", "unresolvedReferences"].map(|name| &first[name]),
        [&json!(2), &json!(2), &json!(0)]
    );
    let records = [0_usize, 1].map(|nth| id(&first["results"][nth]["record"]));
    for (nth, other) in [(0_usize, 1_usize), (1, 0)] {
        let canonical = text(&first["results"][nth]["record"]["canonical"]);
        let meant = format!("Observation/{}", records[other]);
        assert!(canonical.contains(&meant), "{canonical}");
    }
    assert_eq!(second["results"][0]["outcome"], "ALREADY_THERE");
    assert_eq!(second["results"][1]["outcome"], "AMENDED");
}
