//! Records brought in by the file: each entry by itself, reported in its order, and never twice.

use serde_json::json;
use tests::transfer::{
    BUNDLE, NDJSON, Report, heart_rate, heart_rates, ids, in_line, one_of_each, stored,
};
use tests::{World, documents, text};

#[tokio::test]
async fn a_record_of_every_type_comes_in_by_lines_and_is_anchored() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["CREATE", "READ"]).await;

    let report = dr_bo
        .imports(&world.api, &ana, (NDJSON, ""), one_of_each())
        .await;

    assert_eq!(report.reply.status, 200);
    assert_eq!(report.reply.header("content-type"), "application/x-ndjson");
    assert_eq!(
        report.end,
        json!({
            "ended": "COMPLETE", "created": 8, "alreadyThere": 0, "refused": 0, "skipped": 0, "reasons": {},
            "byResourceType": {
                "Bundle": { "CREATED": 3 }, "CarePlan": { "CREATED": 1 }, "Condition": { "CREATED": 1 },
                "DiagnosticReport": { "CREATED": 2 }, "MedicationRequest": { "CREATED": 1 },
            },
        })
    );
    let types: Vec<_> = documents::ALL
        .map(|(record_type, _)| json!(record_type))
        .into();
    assert_eq!(
        report.each("recordType"),
        types,
        "filed by what they are, in order"
    );
    let numbers: Vec<_> = (1..=8).map(|number| json!(number)).collect();
    assert_eq!(report.each("entry"), numbers);
    // By the way of every other record: anchored, audited, readable, its numbers as they were.
    for line in &report.lines {
        let record = text(&line["recordId"]);
        world.wait_for_anchor(&record, "CONFIRMED").await;
        let read = dr_bo.reads(&record).await;
        assert_eq!(read.data()["medicalRecord"]["dataHash"], line["dataHash"]);
        assert_eq!(
            read.data()["medicalRecord"]["author"]["id"],
            dr_bo.id.as_str()
        );
    }
    let rows = world.audit_rows("action_type = 'RECORD_CREATE'").await;
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0]["request_id"], report.reply.header("x-request-id"));
    let lab = text(&report.lines[1]["recordId"]);
    let canonical = text(&dr_bo.reads(&lab).await.data()["medicalRecord"]["canonical"]);
    assert!(
        canonical.contains(r#""value":6.0"#) || canonical.contains(".0"),
        "{canonical}"
    );
}

#[tokio::test]
async fn a_bundle_is_taken_apart_and_others_are_refused_by_their_reason() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let of = |kind: &str, entries: &[String]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|it| format!(r#"{{"fullUrl":"urn:x","resource":{it}}}"#))
            .collect();
        format!(
            r#"{{"resourceType":"Bundle","type":"{kind}","entry":[{}]}}"#,
            entries.join(",")
        )
    };

    for kind in [
        "collection",
        "searchset",
        "batch",
        "document",
        "message",
        "transaction",
    ] {
        let beats = kind.len().try_into().expect("few");
        let upload = of(
            kind,
            &[
                heart_rate(beats),
                "{\"resourceType\":\"Patient\"}".to_owned(),
                in_line(&documents::lab_result()),
            ],
        );
        // Some programs write a byte order mark before it.
        let mark = if kind == "batch" { "\u{feff}" } else { "" };
        let upload = format!("{mark}{upload}");
        let report = ana
            .imports(&world.api, &ana, (BUNDLE, &format!("&key={kind}")), upload)
            .await;

        assert_eq!(
            report.each("outcome"),
            [json!("CREATED"), json!("SKIPPED"), json!("CREATED")],
            "{kind}"
        );
        assert_eq!(report.lines[1]["resourceType"], "Patient");
        assert_eq!(
            (&report.end["created"], &report.end["skipped"]),
            (&json!(2), &json!(1))
        );
    }
    let before = stored(&world).await;
    let patch = of("batch", &[heart_rate(99)]).replace(
        "urn:x\"",
        "urn:x\",\"request\":{\"method\":\"PATCH\",\"url\":\"Observation/1\"}",
    );
    let report = ana.imports(&world.api, &ana, (BUNDLE, ""), patch).await;
    assert_eq!(
        report.lines[0]["operationOutcome"]["issue"][0]["expression"],
        json!(["Bundle.entry.request.method"])
    );
    let line = heart_rate(99);
    let others = [
        of("batch-response", std::slice::from_ref(&line)),
        line.clone(),
        "[]".to_owned(),
        String::new(),
    ];
    for upload in others {
        let report = ana
            .imports(&world.api, &ana, (BUNDLE, ""), upload.clone())
            .await;
        assert_eq!(report.end["ended"], "BAD_REQUEST", "{upload}");
        assert!(!text(&report.end["message"]).is_empty() && report.lines.is_empty());
    }
    assert_eq!(stored(&world).await, before, "nothing of it was stored");
    // Its members come in any order.
    let line = heart_rate(101);
    let upload =
        format!(r#"{{"entry":[{{"resource":{line}}}],"resourceType":"Bundle","type":"batch"}}"#);
    let json = ("application/json", "");
    let report = ana.imports(&world.api, &ana, json, upload).await;
    assert_eq!(report.end["created"], 1);
    // What came before the break is stored, and told.
    let whole = of("batch", &[heart_rate(100)]);
    let torn = whole.strip_suffix("]}").expect("its end").to_owned();
    let report = ana.imports(&world.api, &ana, (BUNDLE, ""), torn).await;
    assert_eq!(
        (report.lines.len(), &report.end["ended"]),
        (1, &json!("BAD_REQUEST"))
    );
    assert_eq!(
        (&report.end["created"], &report.end["resumeFrom"]),
        (&json!(1), &json!(2))
    );
}

#[tokio::test]
async fn a_broken_line_is_told_with_its_number_and_place_and_stops_no_other() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let secret = heart_rate(61).replace("\"final\"", "\"Ana is pregnant since the spring\"");
    let foreign = heart_rate(62).replace(
        "\"status\"",
        &format!(
            r#""subject":{{"reference":"Patient/{}"}},"status""#,
            world.patient("budi").await.id
        ),
    );
    let too_long = format!(r#"{{"resourceType":"{}"}}"#, "x".repeat(2 << 20));
    let too_deep = format!("{}1{}", "[".repeat(80), "]".repeat(80));
    let lines = [
        heart_rate(60),
        "{\"resourceType\":".to_owned(),
        String::new(),
        secret,
        "[]".to_owned(),
        foreign,
        too_long,
        too_deep,
        r#"{"resourceType":"Observation"}"#.to_owned(),
        r#"{"resourceType":"Patient"}"#.to_owned(),
        r#"{"meditrustal":1,"resource":{}}"#.to_owned(),
        heart_rate(63),
    ];

    let report = ana
        .imports(&world.api, &ana, (NDJSON, ""), lines.join("\n"))
        .await;

    let numbers: Vec<_> = [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        .map(|number| json!(number))
        .into();
    assert_eq!(
        report.each("entry"),
        numbers,
        "a line's number is the editor's; a blank one is not told"
    );
    let codes: Vec<_> = report
        .lines
        .iter()
        .map(|line| line["code"].as_str())
        .collect();
    let document = Some("INVALID_DOCUMENT");
    let input = Some("BAD_USER_INPUT");
    assert_eq!(
        codes,
        [
            None, document, document, document, document, input, document, document, None, input,
            None
        ]
    );
    let issue = |nth: usize| report.lines[nth]["operationOutcome"]["issue"][0].clone();
    assert_eq!(issue(1)["details"]["coding"][0]["code"], "json");
    assert_eq!(issue(2)["expression"], json!(["Observation.status"]));
    assert_eq!(issue(4)["expression"], json!(["Observation.subject"]));
    assert_eq!(
        report.lines[1]["operationOutcome"]["resourceType"],
        "OperationOutcome"
    );
    assert_eq!(
        (&report.end["created"], &report.end["refused"]),
        (&json!(2), &json!(8))
    );
    assert_eq!(report.lines[8]["outcome"], "SKIPPED");
    let reasons = &report.end["reasons"];
    assert_eq!(
        (
            &reasons["INVALID_DOCUMENT patient"],
            &reasons["BAD_USER_INPUT"]
        ),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        report.end["byResourceType"]["Observation"],
        json!({ "CREATED": 2, "REFUSED": 3 })
    );
    assert!(
        !report.reply.body.contains("pregnant"),
        "nothing of a document is repeated"
    );
    assert!(!world.api.log().contains("pregnant"));
    assert_eq!(stored(&world).await, 2);
    // What could be of two types is of the one that the address says.
    let bare =
        r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueString":"y"}"#;
    let filed = ana
        .imports(&world.api, &ana, (NDJSON, "&recordType=VITAL_SIGNS"), bare)
        .await;
    assert_eq!(filed.lines[0]["recordType"], "VITAL_SIGNS");
}

#[tokio::test]
async fn the_same_upload_twice_makes_nothing_twice_and_reports_the_same_records() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    // With a twin in the same group, and more than one group.
    let upload = heart_rates(150) + &heart_rate(40) + "\n";

    let first = ana
        .imports(&world.api, &ana, (NDJSON, ""), upload.clone())
        .await;
    let again = ana
        .imports(&world.api, &ana, (NDJSON, ""), upload.clone())
        .await;

    assert_eq!(
        (&first.end["created"], &first.end["alreadyThere"]),
        (&json!(150), &json!(1))
    );
    assert_eq!(
        (&again.end["created"], &again.end["alreadyThere"]),
        (&json!(0), &json!(151))
    );
    assert_eq!(first.each("dataHash"), again.each("dataHash"));
    assert_eq!(stored(&world).await, 150);
    // Two at once, and from a file that has grown at its head.
    let grown = heart_rate(1) + "\n" + &upload;
    let (one, other) = tokio::join!(
        ana.imports(&world.api, &ana, (NDJSON, ""), grown.clone()),
        ana.imports(&world.api, &ana, (NDJSON, ""), grown.clone()),
    );
    assert_eq!(ids(&one), ids(&other));
    assert_eq!(stored(&world).await, 151);
    // What is another import on purpose is stored once more.
    let on_purpose = ana
        .imports(&world.api, &ana, (NDJSON, "&key=again"), heart_rate(1))
        .await;
    assert_eq!(on_purpose.end["created"], 1);
}

#[tokio::test]
async fn a_few_records_come_in_by_a_mutation_each_with_its_outcome() {
    const IMPORT: &str = "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
        created alreadyThere refused
        results { entry outcome code message issues { path rule } record { id recordType dataHash author { id } } }
    } }";
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let entries = format!(
        r#"[{{"document":{}}},{{"document":{{"resourceType":"Observation"}},"recordType":"VITAL_SIGNS"}},{{"document":{},"metadata":{{"device":"cuff"}}}}]"#,
        documents::lab_result(),
        heart_rate(60)
    );
    let input = format!(
        r#"{{"input":{{"patientId":"{}","entries":{entries}}}}}"#,
        ana.id
    );

    let first = ana.asks_with(IMPORT, &input).await;
    let again = ana.asks_with(IMPORT, &input).await;

    let (first, again) = (
        &first.data()["importRecords"],
        &again.data()["importRecords"],
    );
    assert_eq!(
        (&first["created"], &first["refused"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&again["created"], &again["alreadyThere"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(first["results"][0]["record"], again["results"][0]["record"]);
    assert_eq!(first["results"][2]["record"]["recordType"], "VITAL_SIGNS");
    let refused = &first["results"][1];
    assert_eq!(
        (&refused["entry"], &refused["outcome"], &refused["code"]),
        (&json!(2), &json!("REFUSED"), &json!("INVALID_DOCUMENT"))
    );
    assert!(
        !refused["issues"].as_array().expect("a list").is_empty() && refused["record"].is_null()
    );
    // The upload is the same way: what the mutation stored, it finds.
    let upload = ana
        .imports(
            &world.api,
            &ana,
            (NDJSON, ""),
            in_line(&documents::lab_result()),
        )
        .await;
    assert_eq!(
        upload.lines[0]["recordId"],
        first["results"][0]["record"]["id"]
    );
    // Hidden, and too many.
    let hidden = dr_bo.asks_with(IMPORT, &input).await;
    assert_eq!(
        hidden.data()["importRecords"]["results"][0]["code"],
        "NOT_FOUND"
    );
    let many = json!({ "input": { "patientId": ana.id, "entries": vec![json!({ "document": {} }); 101] } });
    ana.asks(IMPORT, many).await.fails_with("BAD_USER_INPUT");
}

/// A heart rate whose subject is what is given.
fn heart_rate_of(beats: u32, subject: &str) -> String {
    heart_rate(beats).replace("\"status\"", &format!(r#""subject":{subject},"status""#))
}

#[tokio::test]
async fn a_hospital_names_its_patients_by_ids_of_its_own_and_the_import_says_whom_they_mean() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let eve = world.patient("eve").await;
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    budi.lets(&dr_bo, &["READ", "CREATE"]).await;
    let entries = [
        // Before anybody says who that is: by the map, through the Patient that comes later, nobody yet.
        heart_rate_of(60, r#"{"reference":"Patient/b"}"#),
        r#"{"resourceType":"Patient","id":"a","identifier":[{"system":"urn:mrn","value":"1"}]}"#
            .to_owned(),
        heart_rate_of(61, r#"{"reference":"Patient/a"}"#),
        heart_rate_of(62, r#"{"identifier":{"system":"urn:mrn","value":"1"}}"#),
        heart_rate_of(
            63,
            r#"{"reference":"https://h.example/fhir/Patient/2/_history/3"}"#,
        ),
        heart_rate_of(
            64,
            r##"{"reference":"#p"},"contained":[{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:mrn","value":"1"}]}]"##,
        ),
        heart_rate_of(65, r#"{"reference":"Patient/stranger"}"#),
        heart_rate_of(66, r#"{"display":"Mrs A"}"#),
        heart_rate_of(67, r#"{"reference":"Patient/e"}"#),
        heart_rate(68),
        r#"{"resourceType":"Encounter","status":"finished"}"#.to_owned(),
    ];
    let map = format!(
        "{0}=urn:mrn%7C1&{1}=Patient/b&{1}=https://h.example/fhir/Patient/2&{2}=Patient/e",
        ana.id, budi.id, eve.id
    );
    let bearer = dr_bo.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", NDJSON),
        ("x-patients", map.as_str()),
    ];

    let reply = world
        .api
        .takes("POST", "/import", &headers, entries.join("\n"))
        .await;

    let report = Report::of(reply);
    let outcomes: Vec<String> = report.each("outcome").iter().map(text).collect();
    assert_eq!(
        outcomes,
        [
            "CREATED", "SKIPPED", "CREATED", "CREATED", "CREATED", "CREATED", "REFUSED", "REFUSED",
            "REFUSED", "REFUSED", "SKIPPED"
        ],
        "{:?}",
        report.lines
    );
    let whose = async |nth: usize, reads: &tests::Person| {
        let record = text(&report.lines[nth]["recordId"]);
        let read = reads.reads(&record).await;
        read.data()["medicalRecord"]["document"]["subject"].clone()
    };
    for (nth, person, known_as) in [
        (0, &budi, json!({ "value": "Patient/b" })),
        (2, &ana, json!({ "value": "Patient/a" })),
        (3, &ana, json!({ "system": "urn:mrn", "value": "1" })),
        (
            4,
            &budi,
            json!({ "system": "urn:ietf:rfc:3986", "value": "https://h.example/fhir/Patient/2/_history/3" }),
        ),
        (5, &ana, json!({ "system": "urn:mrn", "value": "1" })),
    ] {
        let ours = format!("Patient/{}", person.id);
        assert_eq!(
            whose(nth, person).await,
            json!({ "reference": ours, "identifier": known_as }),
            "{nth}"
        );
    }
    let codes: Vec<_> = (6..10)
        .map(|nth| text(&report.lines[nth]["code"]))
        .collect();
    // Who let nobody in does not exist; who is not mapped is told so.
    assert_eq!(
        codes,
        [
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "NOT_FOUND",
            "INVALID_DOCUMENT"
        ]
    );
    assert_eq!(report.end["skipped"], 2);
    assert_eq!(report.end["reasons"]["INVALID_DOCUMENT patient"], 3);
    assert!(!report.reply.body.contains("stranger"));
    for wrong in ["x=Patient/1", "%", &format!("{}=", ana.id)] {
        let headers = [headers[0], headers[1], ("x-patients", wrong)];
        let reply = world.api.takes("POST", "/import", &headers, "").await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_mutation_says_whom_its_documents_name_too() {
    const IMPORT: &str =
        "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) {
        created refused skipped results { outcome record { patient { id } } issues { rule } }
    } }";
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["CREATE", "READ"]).await;
    budi.lets(&dr_bo, &["CREATE", "READ"]).await;
    let entries = [
        heart_rate_of(70, r#"{"reference":"Patient/b"}"#),
        heart_rate_of(71, r#"{"reference":"Patient/stranger"}"#),
        r#"{"resourceType":"Encounter","status":"finished"}"#.to_owned(),
        heart_rate(72),
    ];
    let entries = entries.map(|document| format!(r#"{{"document":{document}}}"#));
    let input = format!(
        r#"{{"input":{{"patientId":"{}","patients":[{{"reference":"Patient/b","patientId":"{}"}}],"entries":[{}]}}}}"#,
        ana.id,
        budi.id,
        entries.join(",")
    );

    let answer = dr_bo.asks_with(IMPORT, &input).await;

    let told = &answer.data()["importRecords"];
    let outcome = |nth: usize| &told["results"][nth]["outcome"];
    assert_eq!(
        [0, 1, 2, 3].map(|nth| outcome(nth).clone()),
        ["CREATED", "REFUSED", "SKIPPED", "CREATED"].map(|it| json!(it)),
        "{told:#}"
    );
    assert_eq!(
        told["results"][0]["record"]["patient"]["id"],
        budi.id.as_str()
    );
    assert_eq!(
        told["results"][3]["record"]["patient"]["id"],
        ana.id.as_str()
    );
    assert_eq!(told["results"][1]["issues"], json!([{ "rule": "patient" }]));
    assert_eq!(told["skipped"], 1);
}

#[tokio::test]
async fn the_mutation_refuses_documents_of_several_patients_where_one_account_is_given() {
    const IMPORT: &str = "mutation Import($input: ImportRecordsInput!) { importRecords(input: $input) { created refused } }";
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let imports = async |subjects: [&str; 2]| {
        let entries = subjects.map(|subject| {
            let subject = format!(r#"{{"reference":"{subject}"}}"#);
            format!(r#"{{"document":{}}}"#, heart_rate_of(70, &subject))
        });
        let input = format!(
            r#"{{"input":{{"patientId":"{}","entries":[{}]}}}}"#,
            ana.id,
            entries.join(",")
        );
        ana.asks_with(IMPORT, &input).await
    };

    let refused = imports(["Patient/7", "Patient/8"]).await;

    let field = &refused.fails_with("BAD_USER_INPUT").extensions["field"];
    assert_eq!(field, "patients");
    let stored = "action_type = 'RECORD_CREATE'";
    assert!(world.audit_rows(stored).await.is_empty());
    let same = imports(["Patient/7", "Patient/7"]).await;
    assert_eq!(same.data()["importRecords"]["refused"], 0);
}

#[tokio::test]
async fn an_account_alone_means_one_patient_of_the_source_in_whatever_order() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let ours = |person: &tests::Person| format!(r#"{{"reference":"Patient/{}"}}"#, person.id);
    let entry = |url: &str, resource: &str| {
        format!(
            r#"{{"fullUrl":"{url}","resource":{resource},"request":{{"method":"POST","url":"x"}}}}"#
        )
    };
    let patient = r#"{"resourceType":"Patient","id":"1"}"#;
    let other = r#"{"resourceType":"Patient","id":"2"}"#;
    let first = "urn:uuid:6f2b7f0e-1111-4a5b-8c9d-0a1b2c3d4e5f";
    let second = "urn:uuid:6f2b7f0e-2222-4a5b-8c9d-0a1b2c3d4e5f";
    let by = |url: &str| format!(r#"{{"reference":"{url}"}}"#);
    let entries = [
        entry("urn:uuid:1", &heart_rate_of(60, &by(first))),
        entry(first, patient),
        entry(second, other),
        entry("urn:uuid:2", &heart_rate_of(61, &by("Patient/1"))),
        entry("urn:uuid:3", &heart_rate_of(62, &by(second))),
        entry("urn:uuid:4", &heart_rate_of(63, &ours(&ana))),
        entry("urn:uuid:5", &heart_rate_of(64, &ours(&budi))),
    ];
    let bundle = format!(
        r#"{{"entry":[{}],"type":"transaction","resourceType":"Bundle"}}"#,
        entries.join(",")
    );

    let dry = ana
        .imports(&world.api, &ana, (BUNDLE, "&dryRun=true"), bundle.clone())
        .await;
    let nothing = stored(&world).await;
    let report = ana.imports(&world.api, &ana, (BUNDLE, ""), bundle).await;

    let outcomes =
        |report: &Report| -> Vec<String> { report.each("outcome").iter().map(text).collect() };
    let expected = [
        "CREATED", "SKIPPED", "SKIPPED", "CREATED", "REFUSED", "CREATED", "REFUSED",
    ];
    assert_eq!(outcomes(&report), expected, "{:?}", report.lines);
    // Dry, it says the same and stores nothing.
    let would = expected.map(|it| {
        if it == "CREATED" {
            "WOULD_BE_CREATED"
        } else {
            it
        }
    });
    assert_eq!(outcomes(&dry), would);
    assert_eq!((nothing, &dry.end["wouldBeCreated"]), (0, &json!(3)));
    assert_eq!(dry.end["reasons"], report.end["reasons"]);
    assert_eq!(stored(&world).await, 3);
}

#[tokio::test]
async fn an_import_that_goes_on_knows_who_was_named_before() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let of = |beats: u32, patient: &str| {
        heart_rate_of(beats, &format!(r#"{{"reference":"Patient/{patient}"}}"#))
    };
    let file = [of(60, "a"), of(61, "a"), of(62, "b"), of(63, "b")].join("\n");

    let report = ana
        .imports(&world.api, &ana, (NDJSON, "&from=3"), file)
        .await;

    assert_eq!(report.each("entry"), [json!(3), json!(4)]);
    assert_eq!(report.each("outcome"), [json!("REFUSED"), json!("REFUSED")]);
    assert_eq!(stored(&world).await, 0);
}

#[tokio::test]
async fn a_doctors_import_is_flagged_by_what_it_lacks_and_not_refused() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE"]).await;
    let bare = r#"{"resourceType":"MedicationRequest","status":"active","intent":"order","medicationReference":{"reference":"Medication/77"}}"#;
    let condition = r#"{"resourceType":"Condition","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-category","code":"encounter-diagnosis"}]}],"code":{"coding":[{"system":"http://snomed.info/sct","code":"38341003"}]}}"#;
    let upload = format!("{bare}\n{condition}\n");

    let typed = (NDJSON, "&recordType=MEDICAL_HISTORY");
    let report = dr_bo.imports(&world.api, &ana, typed, upload).await;

    let types = report.each("recordType");
    assert_eq!(types, [json!("PRESCRIPTION"), json!("MEDICAL_HISTORY")]);
    let record = text(&report.lines[0]["recordId"]);
    let query = "query Q($id: UUID!) { medicalRecord(id: $id) { completeness missing } }";
    let told = dr_bo.asks(query, json!({ "id": record })).await;
    let told = &told.data()["medicalRecord"];
    assert_eq!(told["completeness"], "INCOMPLETE");
    let missing = told["missing"].as_array().expect("a list");
    assert!(
        missing.contains(&json!("medication details")),
        "{missing:?}"
    );
    // By itself, the same is what a doctor must state.
    let document: serde_json::Value = serde_json::from_str(bare).expect("JSON");
    let refused = dr_bo
        .stores(&ana, "PRESCRIPTION", &document, json!({}))
        .await;
    let told = refused.fails_with("INVALID_DOCUMENT");
    let issues = told.extensions["issues"].as_array().expect("issues");
    let demanded: Vec<_> = issues
        .iter()
        .filter(|issue| issue["severity"] == "error")
        .map(|issue| text(&issue["path"]))
        .collect();
    assert_eq!(
        demanded,
        [
            "MedicationRequest.medication",
            "MedicationRequest.dosageInstruction",
            "MedicationRequest.requester"
        ]
    );
}

#[tokio::test]
async fn the_command_maps_the_patients_of_a_file_wherever_in_it_they_stand() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let dr_bo = world.doctor("bo").await;
    ana.lets(&dr_bo, &["CREATE"]).await;
    budi.lets(&dr_bo, &["CREATE"]).await;
    let patient = |url: &str, number: &str| {
        format!(
            r#"{{"fullUrl":"{url}","resource":{{"resourceType":"Patient","identifier":[{{"system":"urn:mrn","value":"{number}"}}]}}}}"#
        )
    };
    let beat = |beats: u32, url: &str| {
        let subject = format!(r#"{{"reference":"{url}"}}"#);
        format!(r#"{{"resource":{}}}"#, heart_rate_of(beats, &subject))
    };
    let (a, b, c) = ("urn:uuid:a", "urn:uuid:b", "urn:uuid:c");
    let entries = [
        beat(60, a),
        beat(61, b),
        beat(62, c),
        patient(b, "2"),
        patient(a, "1"),
        patient(c, "3"),
    ];
    let (file, map) = (world.file("ward.json"), world.file("map.csv"));
    let writes = |entries: &[String]| {
        let bundle = format!(
            r#"{{"type":"searchset","entry":[{}],"resourceType":"Bundle"}}"#,
            entries.join(",")
        );
        std::fs::write(&file, bundle).expect("a file is written");
    };
    writes(&entries);
    let lines = format!(
        "reference,account\n# of the ward\n\nurn:mrn|1,{}\n\"urn:mrn|2\", {}\n",
        ana.id, budi.id
    );
    std::fs::write(&map, lines).expect("a file is written");
    let report = world.file("report.ndjson");
    let asked = ["import", &file, "--patients", &map, "--report", &report];

    let dry = [&asked[..], &["--dry-run"]].concat();
    let dry = world.runs(&dr_bo, &ana, &dry).await;
    assert_eq!(dry.code, Some(1), "{}", dry.complaint);
    assert!(
        dry.complaint.contains("2 would be stored"),
        "{}",
        dry.complaint
    );
    assert_eq!(stored(&world).await, 0);

    let ended = world.runs(&dr_bo, &ana, &asked).await;

    assert_eq!(ended.code, Some(1), "{}", ended.complaint);
    for said in [
        "2 stored, 0 there already, 1 refused, 3 skipped",
        "Observation: 2 CREATED, 1 REFUSED",
        "refused for INVALID_DOCUMENT patient: 1",
    ] {
        assert!(ended.complaint.contains(said), "{}", ended.complaint);
    }
    let of = |person: &tests::Person| {
        let id = person.id.clone();
        let world = &world;
        async move {
            let sql =
                format!("SELECT count(*) AS count FROM medical_records WHERE patient_id = '{id}'");
            world.sql(&sql).await[0]["count"].clone()
        }
    };
    assert_eq!((of(&ana).await, of(&budi).await), (json!(1), json!(1)));
    // Without a map, the second patient is told before anything is sent.
    let unmapped = world.runs(&dr_bo, &ana, &["import", &file]).await;
    assert_eq!(unmapped.code, Some(2));
    assert!(
        unmapped.complaint.contains("--patients"),
        "{}",
        unmapped.complaint
    );
    // Two patients of one number: nobody can tell whose a record is, and nothing is sent.
    writes(&[beat(63, a), patient(a, "1"), patient(b, "1")]);
    let doubled = world.runs(&dr_bo, &ana, &asked).await;
    assert_eq!(doubled.code, Some(2));
    assert!(
        doubled
            .complaint
            .contains("two patients of the file have an id or an identifier in common"),
        "{}",
        doubled.complaint
    );
    assert_eq!(stored(&world).await, 2);
    // A map that cannot be read is told by its line, and nothing is sent.
    std::fs::write(&map, "urn:mrn|1,nobody\n").expect("a file is written");
    let wrong = world.runs(&dr_bo, &ana, &asked).await;
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.complaint.contains("line 1"), "{}", wrong.complaint);
}
