//! Everything about a person in one archive: what is in it, that it is what is stored, and that it goes on where it broke off.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{Person, World, documents, id, text};
use trail::tree;
use vault::digest;

use crate::checkpoints::{self, asks, pinned, pinning, rows};
use crate::representatives::{ALL, appointed};

/// The files of an archive, by name, read as tar is.
fn files(archive: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut rest = archive;
    loop {
        let (header, after) = rest.split_at(512);
        if header.iter().all(|byte| *byte == 0) {
            assert_eq!(after, [0; 512], "two blocks end an archive");
            return files;
        }
        let field = |from: usize, to: usize| {
            let field = String::from_utf8_lossy(&header[from..to]);
            field.trim_end_matches('\0').to_owned()
        };
        assert_eq!(&header[257..262], b"ustar");
        let length = usize::from_str_radix(&field(124, 135), 8).expect("a length");
        let content = String::from_utf8(after[..length].to_vec()).expect("text");
        let before = files.insert(field(0, 100), content);
        assert_eq!(before, None, "each file once");
        rest = &after[length.next_multiple_of(512)..];
    }
}

async fn takes_out(world: &World, person: &Person, more: &str) -> BTreeMap<String, String> {
    let bearer = person.bearer();
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/my-data{more}");
    let reply = world.api.takes("GET", &path, &headers, "").await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/x-tar"),
        "{}",
        reply.body
    );
    files(reply.body.as_bytes())
}

/// The lines of a section, without the one that says how to go on.
fn lines(files: &BTreeMap<String, String>, section: &str) -> Vec<String> {
    let of_section = files
        .iter()
        .filter(|(name, _)| name.starts_with(&format!("{section}/")));
    let lines = of_section.flat_map(|(_, content)| content.lines());
    lines
        .filter(|line| !line.starts_with("{\"after\":"))
        .map(str::to_owned)
        .collect()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_everything_about_a_person_with_its_hashes_and_proofs() {
    let world = pinning(1).await;
    let (ana, citra) = (world.patient("ana").await, world.doctor("citra").await);
    ana.lets(&citra, &["READ", "SEARCH"]).await;
    appointed(&ana, &citra, &ALL).await;
    let mut ids = Vec::new();
    for record_type in ["LAB_RESULT", "IMAGING", "VACCINATION"] {
        for _ in 0..7 {
            ids.push(id(&ana
                .creates(&ana, record_type, documents::of(record_type))
                .await));
        }
    }
    let first = json!({ "id": ids[0], "version": 1, "recordType": "LAB_RESULT" });
    ana.amends(&first, documents::of("LAB_RESULT"), json!({}))
        .await
        .data();
    citra.reads(&ids[1]).await.data();
    pinned(&world, rows(&world).await).await;
    let query = "{ exportMyData { path sections { name count } } }";
    let answer = ana.asks(query, json!({})).await;
    let told = answer.data()["exportMyData"].clone();
    assert_eq!(told["path"], "/my-data");

    let files = takes_out(&world, &ana, "").await;

    assert!(
        files["index.html"].contains("<h1>My data</h1>"),
        "{}",
        files["index.html"]
    );
    assert!(
        !files["index.html"].contains("src="),
        "it needs nothing else"
    );
    let about = parsed(&files["about.json"]);
    for section in about["sections"].as_array().expect("a list") {
        let (name, count) = (
            text(&section["name"]),
            section["count"].as_u64().expect("a number"),
        );
        let found = lines(&files, &name).len() as u64;
        assert_eq!(found, count, "{name}");
        if !["access-log", "log-ins"].contains(&name.as_str()) {
            let told = told["sections"].as_array().expect("a list").iter();
            let told: Vec<_> = told.filter(|it| it["name"] == name.as_str()).collect();
            assert_eq!(told[0]["count"], count, "{name}");
        }
    }
    // Every file is what the last one says.
    let whole = parsed(&files["complete.json"]);
    let named = whole["files"].as_array().expect("a list");
    assert_eq!(named.len() + 1, files.len());
    for file in named {
        let content = &files[&text(&file["name"])];
        assert_eq!(text(&file["sha256"]), digest::hex_of(content.as_bytes()));
    }
    // Every version, and each is what was anchored.
    let records = lines(&files, "records");
    assert_eq!(records.len(), 22);
    for record in &records {
        let (_, resource) = record.split_once(",\"resource\":").expect("a document");
        let resource = resource.strip_suffix('}').expect("the end of a line");
        assert_eq!(
            text(&parsed(record)["dataHash"]),
            digest::hex_of(resource.as_bytes())
        );
    }
    let bundles = files.iter().filter(|(name, _)| name.starts_with("fhir/"));
    let entries: usize = bundles
        .map(|(_, bundle)| parsed(bundle)["entry"].as_array().expect("entries").len())
        .sum();
    assert_eq!(entries, records.len());
    assert_eq!(
        parsed(&lines(&files, "account")[0])["email"],
        ana.email.as_str()
    );
    assert_eq!(parsed(&lines(&files, "consents")[0])["purpose"], "TREAT");
    let acts = parsed(&lines(&files, "representations")[0]);
    assert_eq!(acts["representativeId"], citra.id.as_str());
    let receipt = parsed(&lines(&files, "consent-receipts")[0]);
    let agreed = parsed(&text(&receipt["text"]));
    assert_eq!(agreed["patient"], ana.id.as_str());
    // What was read is in the log, and the registry itself holds it.
    let log: Vec<Value> = lines(&files, "access-log")
        .iter()
        .map(|line| parsed(line))
        .collect();
    let proved = log
        .iter()
        .filter(|entry| !entry["proof"]["checkpoint"].is_null());
    let mut count = 0;
    for entry in proved {
        let (proof, checkpoint) = (&entry["proof"], &entry["proof"]["checkpoint"]);
        let size = checkpoint["treeSize"].as_u64().expect("a size");
        let epoch = checkpoint["epoch"].as_u64().expect("an epoch");
        let held = asks(
            &world,
            "checkpointRoot(uint64,uint64)",
            &format!("{epoch:064x}{size:064x}"),
        )
        .await;
        let hash = |value: &Value| checkpoints::hash(&text(value));
        let inclusion: Vec<_> = proof["inclusion"]
            .as_array()
            .or(checkpoint["inclusion"].as_array())
            .expect("a way")
            .iter()
            .map(hash)
            .collect();
        let position = proof["position"].as_u64().expect("a place");
        assert!(
            tree::is_included(
                &checkpoints::hash(&held),
                size,
                &hash(&proof["leafHash"]),
                position,
                &inclusion
            ),
            "{entry}"
        );
        count += 1;
    }
    assert!(count > 20, "{count}");
    let exported = format!(
        "action_type = 'RECORD_EXPORT' AND patient_id = '{}' AND encryption_status = 'EXPORTED_PLAINTEXT'",
        ana.id
    );
    assert_eq!(world.audit_rows(&exported).await.len(), 22);
    let begun = "action_type = 'AUDIT_EXPORT' AND new_value ->> 'export' = 'MY_DATA'";
    assert_eq!(world.audit_rows(begun).await.len(), 1);

    // The command writes the same into a file.
    let file = world.file("everything.tar");
    let ended = world
        .runs(&ana, &ana, &["export", &file, "--everything"])
        .await;
    assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    let written = self::files(&std::fs::read(&file).expect("it is there"));
    assert_eq!(lines(&written, "records").len(), records.len());
    assert_eq!(parsed(&written["complete.json"])["isWhole"], true);

    // It goes on after any file, with what is left.
    let (name, page) = files
        .iter()
        .find(|(name, _)| name.starts_with("records/"))
        .expect("a page");
    let after = text(&parsed(page.lines().last().expect("a line"))["after"]);
    let rest = takes_out(&world, &ana, &format!("?after={after}")).await;
    let left = lines(&rest, "records");
    assert_eq!(left, records[page.lines().count() - 1..], "after {name}");
    assert!(!rest.contains_key("index.html"));
    // The rest alone is not whole, says from where on it is, and its files are called as in the archive that it goes on with.
    assert_eq!(whole["isWhole"], true);
    let end = parsed(&rest["complete.json"]);
    assert_eq!(
        (&end["isWhole"], &end["from"]),
        (&json!(false), &json!(after))
    );
    let of_records = |name: &&String| name.starts_with("records/") || name.starts_with("fhir/");
    for name in rest.keys().filter(of_records) {
        assert_eq!(files.get(name), rest.get(name), "{name}");
    }
    // Whatever a header says that they come for, it is the person's own request.
    let bearer = ana.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-purpose-of-use", "TREAT"),
    ];
    let treated = world.api.takes("GET", "/my-data", &headers, "").await;
    assert_eq!(treated.status, 200, "{}", treated.body);
    let treated = self::files(treated.body.as_bytes());
    assert_eq!(lines(&treated, "records"), records);
    // What was not given out is refused before anything is written down.
    let before = world.audit_rows(begun).await.len();
    let headers = [("authorization", bearer.as_str())];
    let refused = world
        .api
        .takes("GET", "/my-data?after=records.nonsense", &headers, "")
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    assert_eq!(world.audit_rows(begun).await.len(), before);
    // For nobody else, and nowhere else.
    let bearer = citra.bearer();
    let headers = [("authorization", bearer.as_str())];
    let refused = world
        .api
        .takes("GET", &format!("/my-data?after={after}"), &headers, "")
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    let refused = world.api.takes("GET", "/my-data", &[], "").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "UNAUTHENTICATED")
    );
    let of_citra = takes_out(&world, &citra, "").await;
    assert!(lines(&of_citra, "records").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_the_words_of_emergencies_and_is_marked_where_it_goes_abroad() {
    const REASON: &str = "found unconscious, allergies unknown";
    const NOTE: &str = "the ambulance confirms it";
    let world = World::start().await;
    let (ana, ada) = (world.patient("ana").await, world.admin("ada").await);
    let bo = world.doctor("bo").await;
    ana.creates(&ana, "IMAGING", documents::of("IMAGING")).await;
    let open = "mutation($input: BreakGlassInput!) { breakGlass(input: $input) { window { id } } }";
    let input = json!({ "patientId": ana.id, "reason": REASON });
    let opened = bo.asks(open, json!({ "input": input })).await;
    let window = id(&opened.data()["breakGlass"]["window"]);
    let end = "mutation($id: UUID!) { endBreakGlass(input: { id: $id }) { window { id } } }";
    bo.asks(end, json!({ "id": window })).await.data();
    let review = "mutation($input: ReviewBreakGlassInput!) {
      reviewBreakGlass(input: $input) { review { disclosures } }
    }";
    let input = json!({ "id": window, "decision": "JUSTIFIED", "note": NOTE });
    ada.asks(review, json!({ "input": input })).await.data();

    for person in [&ana, &bo] {
        let files = takes_out(&world, person, "").await;
        let found = lines(&files, "break-glass-windows");
        assert_eq!(found.len(), 1, "{found:?}");
        let line = parsed(&found[0]);
        assert_eq!(line["id"], window.as_str());
        assert_eq!(
            (&line["reason"], &line["note"]),
            (&json!(REASON), &json!(NOTE))
        );
        assert_eq!(line["decision"], "JUSTIFIED");
        assert_eq!(line["reviewedBy"], ada.id.as_str());
    }

    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];
    let abroad = "/my-data?destination=BR";
    let refused = world.api.takes("GET", abroad, &headers, "").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    assert!(refused.body.contains("destination"), "{}", refused.body);
    let set = "mutation($input: SetCountryRuleInput!) { setCountryRule(input: $input) { countryRule { country } } }";
    let input = json!({
        "country": "BR", "isAdequate": false, "hasSafeguards": true, "needsConsent": false,
    });
    ada.asks(set, json!({ "input": input })).await.data();
    let sent = takes_out(&world, &ana, "?destination=BR").await;
    assert_eq!(lines(&sent, "records").len(), 1);
    let crossed = format!(
        "patient_id = '{}' AND is_cross_border AND destination_country = 'BR'",
        ana.id
    );
    let rows = world.audit_rows(&crossed).await;
    let actions: Vec<String> = rows.iter().map(|row| text(&row["action_type"])).collect();
    assert_eq!(
        actions,
        [
            "ACCESS_DENIED",
            "AUDIT_EXPORT",
            "RECORD_SEARCH",
            "RECORD_EXPORT"
        ]
    );
    assert_eq!(rows[0]["new_value"]["reason"], "COUNTRY");
}
