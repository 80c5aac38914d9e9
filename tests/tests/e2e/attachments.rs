//! Files of records: only what a document promises is stored for it, whoever may read the record reads its files, and nothing of
//! them can be cut off, put in another order or left behind.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use tests::{Person, Reply, World, documents, id};
use vault::attachment::{CHUNK, FileHash};
use vault::digest::to_hex;

use crate::erasures::{account, approves, at_once, is_completed, verified};
use crate::representatives::appointed;

/// What stands in a file alone.
const WORD: &str = "praxibetelattachmentmarker";

/// A file of three chunks that begins as PDF does.
pub(crate) fn pdf() -> Vec<u8> {
    let lines = (0..).map(|nth| format!("{nth} {WORD}\n"));
    let mut bytes = b"%PDF-1.7\n".to_vec();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        if bytes.len() > 2 * CHUNK + 1000 {
            return bytes;
        }
    }
    bytes
}

/// A grey point as PNG and as JPEG, in base64.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mOoBwAAgQCAfhwpxwAAAABJRU5ErkJggg==";
const JPEG: &str = "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////wgALCAABAAEBAREA/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAAgBAQABPxD/2Q==";

/// A file of DICOM without a picture: its preamble, its mark, what describes the file, and a modality.
fn dicom() -> Vec<u8> {
    // A tag of DICOM, how its value is written, its length, and the value, of an even length.
    let element = |tag: [u8; 4], form: &[u8; 2], value: &[u8]| {
        let length = u16::try_from(value.len()).expect("it is short");
        [&tag[..], &form[..], &length.to_le_bytes()[..], value].concat()
    };
    let about = [
        element([2, 0, 2, 0], b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        element([2, 0, 3, 0], b"UI", b"1.2.3\0"),
        element([2, 0, 16, 0], b"UI", b"1.2.840.10008.1.2.1\0"),
    ]
    .concat();
    let length = u32::try_from(about.len()).expect("it is short");
    [
        vec![0; 128],
        b"DICM".to_vec(),
        element([2, 0, 0, 0], b"UL", &length.to_le_bytes()),
        about,
        element([8, 0, 0x60, 0], b"CS", b"OT"),
    ]
    .concat()
}

/// What a document says of a file.
pub(crate) fn promise(bytes: &[u8], content_type: &str) -> Value {
    let mut hash = FileHash::default();
    hash.update(bytes);
    let (sha256, sha1) = hash.finish();
    json!({
        "contentType": content_type,
        "size": bytes.len(),
        "hash": sha1,
        "title": "Chest, two views",
        "extension": [{
            "url": "https://meditrustal.example/fhir/StructureDefinition/sha256",
            "valueString": to_hex(&sha256),
        }],
    })
}

/// A report that names these files.
pub(crate) fn report(files: &[Value]) -> Value {
    let document = documents::of("IMAGING");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    document["presentedForm"] = json!(files);
    document
}

async fn sends(
    world: &World,
    person: &Person,
    (record, place): (&str, u32),
    bytes: &[u8],
) -> Reply {
    let path = format!("/records/{record}/attachments/{place}");
    let bearer = person.bearer();
    let headers = [("authorization", bearer.as_str())];
    world
        .api
        .takes("PUT", &path, &headers, bytes.to_vec())
        .await
}

async fn gets(
    world: &World,
    person: &Person,
    (record, place): (&str, u32),
    more: &[(&str, &str)],
) -> Reply {
    let path = format!("/records/{record}/attachments/{place}");
    let bearer = person.bearer();
    let own = [("authorization", bearer.as_str())];
    let headers = [&own[..], more].concat();
    world.api.takes("GET", &path, &headers, "").await
}

#[tokio::test]
async fn a_file_of_a_reference_to_a_document_is_a_file_of_its_record() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    ana.lets(&dr_bo, &["READ", "CREATE", "AMEND"]).await;
    let file = pdf();
    let letter = json!({
        "resourceType": "DocumentReference", "status": "current", "description": "Discharge letter",
        "content": [{ "attachment": promise(&file, "application/pdf") }],
    });
    let record = id(&dr_bo.creates(&ana, "MEDICAL_HISTORY", &letter).await);

    let stored = sends(&world, &dr_bo, (&record, 1), &file).await;
    let read = gets(&world, &ana, (&record, 1), &[]).await;

    assert_eq!((stored.status, read.status), (201, 200), "{}", stored.body);
    assert!(read.body.as_bytes() == file, "byte for byte");
}

#[tokio::test]
async fn a_file_that_was_promised_is_stored_and_read_in_parts_by_whoever_may_read_the_record() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_eve = world.doctor("eve").await;
    ana.lets(&dr_bo, &["READ", "CREATE", "AMEND"]).await;
    let file = pdf();
    let text = String::from_utf8(file.clone()).expect("it is text");
    let document = report(&[promise(&file, "application/pdf")]);
    let record = id(&dr_bo.creates(&ana, "IMAGING", &document).await);
    let early = gets(&world, &ana, (&record, 1), &[]).await;
    assert_eq!((early.status, early.code().as_str()), (404, "NOT_FOUND"));

    let stored = sends(&world, &dr_bo, (&record, 1), &file).await;
    let again = sends(&world, &dr_bo, (&record, 1), &file).await;
    let other = vec![b' '; file.len()];
    let other = sends(&world, &dr_bo, (&record, 1), &other).await;
    let whole = gets(&world, &ana, (&record, 1), &[]).await;

    assert_eq!((stored.status, again.status), (201, 200), "{}", stored.body);
    assert_eq!(
        (other.status, other.code().as_str()),
        (400, "INVALID_DOCUMENT"),
        "another file is not taken for the one that is there"
    );
    assert_eq!(whole.status, 200);
    assert!(whole.body == text, "byte for byte");
    assert_eq!(whole.header("content-type"), "application/pdf");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert_eq!(
        whole.header("content-disposition"),
        format!("attachment; filename=\"{record}-1.pdf\"")
    );
    // Across the end of a chunk, and to the end of the file.
    let size = file.len();
    for (range, from, to) in [
        (
            format!("bytes={}-{}", CHUNK - 3, CHUNK + 4),
            CHUNK - 3,
            CHUNK + 5,
        ),
        ("bytes=-7".to_owned(), size - 7, size),
        (format!("bytes={}-", size - 1), size - 1, size),
    ] {
        let part = gets(&world, &dr_bo, (&record, 1), &[("range", &range)]).await;
        assert_eq!((part.status, part.body.as_str()), (206, &text[from..to]));
        let said = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(part.header("content-range"), said);
    }
    let behind = format!("bytes={size}-");
    let behind = gets(&world, &ana, (&record, 1), &[("range", &behind)]).await;
    assert_eq!(behind.status, 416);
    assert_eq!(behind.header("content-range"), format!("bytes */{size}"));
    // Whoever may not read the record is told that it does not exist, and so is whoever asks for what it does not name.
    for reply in [
        gets(&world, &dr_eve, (&record, 1), &[]).await,
        sends(&world, &dr_eve, (&record, 1), &file).await,
        gets(&world, &ana, (&record, 2), &[]).await,
    ] {
        assert_eq!((reply.status, reply.code().as_str()), (404, "NOT_FOUND"));
    }
    let rows = world
        .audit_rows("new_value ->> 'attachment' = '1' AND action_type <> 'ACCESS_DENIED'")
        .await;
    let read = |person: &Person| {
        let opened = rows.iter().filter(|row| {
            row["action_type"] == "RECORD_READ"
                && row["encryption_status"] == "DECRYPTED_FOR_DISCLOSURE"
                && row["user_id"] == json!(person.id)
        });
        opened.count()
    };
    assert_eq!((read(&ana), read(&dr_bo), read(&dr_eve)), (3, 3, 0));
    let stored = rows
        .iter()
        .filter(|row| row["action_type"] == "RECORD_AMEND");
    let stored: Vec<_> = stored
        .map(|row| row["new_value"]["bytes"].clone())
        .collect();
    assert_eq!(stored, [json!(size)], "written down once");
    let clear = world
        .sql(&format!(
            "SELECT 1 FROM attachment_chunks WHERE position('{WORD}'::bytea IN sealed) > 0"
        ))
        .await;
    assert!(clear.is_empty());
}

#[tokio::test]
async fn pictures_and_dicom_are_stored_each_as_what_it_is_and_as_nothing_else() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let picture = |base64: &str| BASE64_STANDARD.decode(base64).expect("it is base64");
    let files = [
        ("application/dicom", dicom(), "dcm"),
        ("image/png", picture(PNG), "png"),
        ("image/jpeg", picture(JPEG), "jpg"),
    ];
    for (own, file, ending) in &files {
        // A report that calls the same file each of these types.
        let said = files.iter().map(|(kind, ..)| promise(file, kind));
        let said: Vec<Value> = said.collect();
        let record = id(&ana.creates(&ana, "IMAGING", report(&said)).await);
        for (place, (kind, ..)) in (1..).zip(&files) {
            let sent = sends(&world, &ana, (&record, place), file).await;
            let read = gets(&world, &ana, (&record, place), &[]).await;
            let statuses = if kind == own { (201, 200) } else { (400, 404) };
            assert_eq!((sent.status, read.status), statuses, "{own} as {kind}");
            if kind == own {
                assert!(read.bytes == *file, "byte for byte");
                assert_eq!(read.header("content-type"), *own);
                let name = format!("attachment; filename=\"{record}-{place}.{ending}\"");
                assert_eq!(read.header("content-disposition"), name);
            } else {
                let field = &sent.json()["errors"][0]["extensions"]["field"];
                assert!(field.to_string().contains(".contentType"), "{field}");
            }
        }
        // The same in a document.
        let medium = json!({
            "resourceType": "Media", "status": "completed", "bodySite": { "text": "Wrist" },
            "content": { "contentType": own, "data": BASE64_STANDARD.encode(file) },
        });
        let record = id(&ana.creates(&ana, "IMAGING", medium).await);
        let read = gets(&world, &ana, (&record, 1), &[]).await;
        assert_eq!((read.status, read.header("content-type")), (200, *own));
        assert!(read.bytes == *file, "byte for byte");
    }
}

#[tokio::test]
async fn no_byte_of_a_file_leaves_that_cannot_be_written_down() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let document = report(&[promise(&file, "application/pdf")]);
    let record = id(&ana.creates(&ana, "IMAGING", &document).await);
    let stored = sends(&world, &ana, (&record, 1), &file).await;
    assert_eq!(stored.status, 201, "{}", stored.body);

    world.is_broken_on_purpose();
    world
        .executes(
            "CREATE FUNCTION no_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.action_type = 'RECORD_READ' THEN RAISE EXCEPTION 'no more'; END IF;
               RETURN NEW; END $$;
             CREATE TRIGGER no_more BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION no_more()",
        )
        .await;
    let refused = gets(&world, &ana, (&record, 1), &[]).await;

    assert!(refused.status >= 500, "{}", refused.status);
    assert!(!refused.body.contains(WORD));
}

#[tokio::test]
async fn whoever_wrote_a_document_sends_its_files_and_nobody_else_without_amending() {
    let world = World::start().await;
    let (ana, ibu) = (world.patient("ana").await, world.patient("ibu").await);
    let (bo, cy) = (world.doctor("bo").await, world.doctor("cy").await);
    for doctor in [&bo, &cy] {
        let mut terms = doctor.terms();
        terms["processingActivities"] = json!(["READ", "CREATE"]);
        ana.grants(terms).await.data();
    }
    appointed(&ana, &ibu, &["CREATE_RECORDS"]).await;
    let file = pdf();
    let document = report(&[promise(&file, "application/pdf")]);

    let by_bo = id(&bo.creates(&ana, "IMAGING", &document).await);
    let input = json!({ "patientId": ana.id, "recordType": "IMAGING", "document": document });
    let create = "mutation C($input: CreateMedicalRecordInput!, $for: UUID) {
        createMedicalRecord(input: $input, onBehalfOf: $for) { record { id } }
    }";
    let made = ibu
        .asks(create, json!({ "input": input, "for": ana.id }))
        .await;
    let by_ibu = id(&made.data()["createMedicalRecord"]["record"]);

    assert_eq!(sends(&world, &cy, (&by_bo, 1), &file).await.status, 404);
    assert_eq!(sends(&world, &bo, (&by_bo, 1), &file).await.status, 201);
    assert_eq!(sends(&world, &ibu, (&by_ibu, 1), &file).await.status, 404);
    let for_ana = format!("/records/{by_ibu}/attachments/1?onBehalfOf={}", ana.id);
    let bearer = ibu.bearer();
    let headers = [("authorization", bearer.as_str())];
    let sent = world.api.takes("PUT", &for_ana, &headers, file).await;
    assert_eq!(sent.status, 201, "{}", sent.body);
}

#[tokio::test]
async fn what_a_document_does_not_promise_is_refused_with_its_path() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let changed = |element: &str, value: Value| {
        let mut said = promise(&file, "application/pdf");
        said[element] = value;
        said
    };
    let files = [
        promise(&file, "application/pdf"),
        promise(&file, "image/png"),
        changed("hash", json!("2jmj7l5rSw0yVb/vlWAYkK/YBwk=")),
    ];
    let record = id(&ana.creates(&ana, "IMAGING", report(&files)).await);
    let mut other = file.clone();
    if let Some(last) = other.last_mut() {
        *last = b' ';
    }
    let longer = [file.as_slice(), b" "].concat();

    for (place, bytes, element) in [
        (1, &other, "presentedForm[0].extension"),
        (1, &longer, "presentedForm[0].size"),
        (2, &file, "presentedForm[1].contentType"),
        (3, &file, "presentedForm[2].hash"),
    ] {
        let refused = sends(&world, &ana, (&record, place), bytes).await;
        assert_eq!(refused.status, 400, "{element}");
        assert_eq!(refused.code(), "INVALID_DOCUMENT", "{element}");
        let field = &refused.json()["errors"][0]["extensions"]["field"];
        assert_eq!(*field, json!(format!("DiagnosticReport.{element}")));
    }
    let kept = world.sql("SELECT 1 FROM attachment_chunks").await;
    assert!(kept.is_empty(), "nothing of what was refused");
    // A document cannot promise what cannot be stored, nor call its own file something else.
    for (said, rule) in [
        (changed("size", json!(17 << 20)), "attachment-size"),
        (
            changed("contentType", json!("text/html")),
            "attachment-type",
        ),
        (
            json!({ "contentType": "application/pdf", "data": "R0lGODlh" }),
            "attachment-type",
        ),
        (
            json!({ "contentType": "text/plain", "data": "Tm8=", "size": 9 }),
            "attachment-size",
        ),
        (
            json!({ "contentType": "text/plain", "data": "Tm8=", "hash": "2jmj7l5rSw0yVb/vlWAYkK/YBwk=" }),
            "attachment-hash",
        ),
    ] {
        let refused = ana
            .stores(&ana, "IMAGING", report(&[said]), json!({}))
            .await;
        let problem = refused.fails_with("INVALID_DOCUMENT");
        let told = format!("{problem:?}");
        assert!(told.contains(rule), "{rule}: {told}");
    }
    // A file in the document is read in the same way.
    let inline = json!({ "contentType": "text/plain", "data": "Tm8gc2lnbiBvZiBkaXNlYXNl" });
    let record = id(&ana.creates(&ana, "IMAGING", report(&[inline])).await);
    let read = gets(&world, &ana, (&record, 1), &[("range", "bytes=3-6")]).await;
    assert_eq!((read.status, read.body.as_str()), (206, "sign"));
    assert_eq!(read.header("content-type"), "text/plain");
    let refused = sends(&world, &ana, (&record, 1), b"No sign of disease").await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "CONFLICT"));
}

/// Creates a record whose document promises this file as its first attachment and as its second one.
async fn promises_twice(patient: &Person, file: &[u8]) -> String {
    let said = promise(file, "application/pdf");
    let document = report(&[said.clone(), said]);
    id(&patient.creates(patient, "IMAGING", &document).await)
}

#[tokio::test]
async fn a_file_that_was_cut_or_put_in_another_order_is_not_shown() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let record = promises_twice(&ana, &file).await;
    for place in [1, 2] {
        let stored = sends(&world, &ana, (&record, place), &file).await;
        assert_eq!(stored.status, 201, "{}", stored.body);
    }
    let swap = |what: &str| {
        format!(
            "UPDATE attachment_chunks AS one SET sealed = other.sealed FROM attachment_chunks AS other
             WHERE one.record_id = other.record_id AND {what}"
        )
    };
    let chunks = swap("one.place = 1 AND other.place = 1 AND one.number + other.number = 1");
    let files = swap("one.number = other.number AND one.place + other.place = 3");

    for attack in [&chunks, &files] {
        world.executes(attack).await;
        let refused = gets(&world, &ana, (&record, 1), &[]).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (409, "INTEGRITY_VIOLATION"),
            "{attack}"
        );
        world.executes(attack).await;
        assert_eq!(gets(&world, &ana, (&record, 1), &[]).await.status, 200);
    }
    world
        .executes("DELETE FROM attachment_chunks WHERE place = 1 AND number = 2")
        .await;
    let last = gets(&world, &ana, (&record, 1), &[("range", "bytes=-1")]).await;
    assert_eq!(
        (last.status, last.code().as_str()),
        (409, "INTEGRITY_VIOLATION")
    );
    let path = format!("/records/{record}/attachments/1");
    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];
    let cut = world.api.begins("GET", &path, &headers).await;
    assert!(cut.len() < file.len(), "it breaks off");
    // Whoever has the file puts back what is missing.
    let again = sends(&world, &ana, (&record, 1), &file).await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(gets(&world, &ana, (&record, 1), &[]).await.status, 200);
}

#[tokio::test]
async fn a_file_of_which_nothing_is_left_is_told_from_one_that_never_came() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let file = pdf();
    let record = promises_twice(&ana, &file).await;
    let stored = sends(&world, &ana, (&record, 1), &file).await;
    assert_eq!(stored.status, 201, "{}", stored.body);
    world
        .executes("DELETE FROM attachment_chunks WHERE place = 1")
        .await;

    let gone = gets(&world, &ana, (&record, 1), &[]).await;
    let never = gets(&world, &ana, (&record, 2), &[]).await;
    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];
    let archive = world.api.takes("GET", "/my-data", &headers, "").await;
    let again = sends(&world, &ana, (&record, 1), &file).await;
    let back = gets(&world, &ana, (&record, 1), &[]).await;

    assert_eq!(
        (gone.status, gone.code().as_str()),
        (409, "INTEGRITY_VIOLATION")
    );
    assert_eq!((never.status, never.code().as_str()), (404, "NOT_FOUND"));
    let withheld = format!("\"name\":\"attachments/{record}-1.pdf.withheld.json\"");
    assert!(archive.body.contains(&withheld));
    assert!(!archive.body.contains(&format!("attachments/{record}-2")));
    assert_eq!((again.status, back.status), (201, 200), "{}", again.body);
}

#[tokio::test]
async fn files_are_taken_out_with_everything_and_go_with_their_record() {
    let world = at_once(&[]).await;
    let (ada, adi) = (world.admin("ada").await, world.admin("adi").await);
    let ana = world.patient("ana").await;
    let file = pdf();
    let text = String::from_utf8(file.clone()).expect("it is text");
    let never = promise(b"%PDF-1.7 that never comes", "application/pdf");
    let document = report(&[promise(&file, "application/pdf"), never]);
    let record = id(&ana.creates(&ana, "IMAGING", &document).await);
    let stored = sends(&world, &ana, (&record, 1), &file).await;
    assert_eq!(stored.status, 201, "{}", stored.body);

    let bearer = ana.bearer();
    let headers = [("authorization", bearer.as_str())];
    let archive = world.api.takes("GET", "/my-data", &headers, "").await;
    let request = verified(&ana, account()).await;
    approves(&ada, &request).await;
    approves(&adi, &request).await;
    is_completed(&world, &request).await;

    let name = format!("attachments/{record}-1.pdf");
    assert!(archive.body.contains(&format!("\"name\":\"{name}\"")));
    assert!(archive.body.contains(&text), "byte for byte");
    let sum = format!("\"sha256\":\"{}\"", vault::digest::hex_of(&file));
    assert!(archive.body.contains(&sum), "named in complete.json");
    assert_eq!(archive.body.len() % 512, 0, "whole blocks");
    assert!(!archive.body.contains(&format!("attachments/{record}-2")));
    let left = world.sql("SELECT 1 FROM attachment_chunks").await;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_account_sends_so_many_bytes_of_files_in_a_day_and_others_have_their_own() {
    let limit = ("MEDITRUSTAL_UPLOADS_A_DAY_MIB".to_owned(), "16".to_owned());
    let world = World::with(|options| options.api.push(limit)).await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let dr_eve = world.doctor("eve").await;
    for doctor in [&dr_bo, &dr_eve] {
        ana.lets(doctor, &["READ", "CREATE", "AMEND"]).await;
    }
    // Half a MiB is left behind the first, which is less than the second has.
    let files = [vec![b'x'; 31 << 19], vec![b'y'; 700 << 10], vec![b'z'; 100]];
    let promises = files.each_ref().map(|file| promise(file, "text/plain"));
    let record = id(&dr_bo.creates(&ana, "IMAGING", &report(&promises)).await);

    let first = sends(&world, &dr_bo, (&record, 1), &files[0]).await;
    let refused = sends(&world, &dr_bo, (&record, 2), &files[1]).await;
    let short = sends(&world, &dr_bo, (&record, 3), &files[2]).await;
    let of_another = sends(&world, &dr_eve, (&record, 2), &files[1]).await;

    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "THROTTLED")
    );
    assert_eq!(refused.limit(), "UPLOADED_BYTES");
    let wait = refused.header("retry-after").parse::<u32>();
    assert!(wait.is_ok_and(|wait| wait > 60), "{:?}", refused.headers);
    assert_eq!(short.status, 201, "{}", short.body);
    assert_eq!(of_another.status, 201, "{}", of_another.body);
}
