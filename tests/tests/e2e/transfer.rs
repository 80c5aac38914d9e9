//! The way in and out for files: what breaks, what is refused, what ends it, and how much there is room for.

use futures::StreamExt as _;
use serde_json::{Value, json};
use tests::transfer::{NDJSON, heart_rate, heart_rates, ids, in_line, stored};
use tests::{Person, World, documents, eventually, text};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// An upload that goes on for as long as the test says something.
fn open_upload() -> (mpsc::UnboundedSender<String>, reqwest::Body) {
    let (said, heard) = mpsc::unbounded_channel::<String>();
    let pieces = futures::stream::unfold(heard, |mut heard| async {
        let piece = heard.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), heard))
    });
    (said, reqwest::Body::wrap_stream(pieces))
}

/// Begins an import, and answers its report as it comes.
async fn begins(world: &World, person: &Person, body: reqwest::Body) -> reqwest::Response {
    let url = format!("{}/import?patient={}", world.api.url(), person.id);
    let request = dev::http::client()
        .post(url)
        .header("authorization", person.bearer())
        .header("content-type", NDJSON);
    request.body(body).send().await.expect("an answer")
}

#[tokio::test]
async fn a_cut_connection_loses_nothing_and_doubles_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let upload = heart_rates(300);
    let lines: Vec<_> = upload.lines().collect();
    let mut socket = BufReader::new(
        TcpStream::connect(world.api.address())
            .await
            .expect("a connection"),
    );
    let head = format!(
        "POST /import?patient={} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: {NDJSON}\r\nContent-Length: {}\r\n\r\n",
        ana.id,
        ana.bearer(),
        upload.len()
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    let part = lines[..200].join("\n") + "\n";
    socket.write_all(part.as_bytes()).await.expect("sent");
    // Some of it is reported while the rest is still to come; then the line breaks.
    let mut reported = Vec::new();
    while reported.len() < 20 {
        let mut line = String::new();
        assert_ne!(socket.read_line(&mut line).await.expect("a line"), 0);
        if line.starts_with('{') {
            reported.push(serde_json::from_str::<Value>(&line).expect("JSON"));
        }
    }
    drop(socket);

    for line in &reported {
        let record = text(&line["recordId"]);
        assert_eq!(
            ana.reads(&record).await.data()["medicalRecord"]["id"],
            record,
            "reported is stored"
        );
    }
    let from = reported.last().expect("some")["entry"]
        .as_u64()
        .expect("a number")
        + 1;
    let rest = ana
        .imports(&world.api, &ana, (NDJSON, &format!("&from={from}")), upload)
        .await;

    assert_eq!(rest.lines[0]["entry"], from);
    assert_eq!(rest.lines.len() + reported.len(), 300);
    assert_eq!(rest.end["ended"], "COMPLETE");
    let mut all = ids(&rest);
    all.extend(reported.iter().map(|line| text(&line["recordId"])));
    assert_eq!((all.len(), stored(&world).await), (300, 300));
}

#[tokio::test]
async fn a_revocation_ends_an_import_that_is_under_way() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (said, body) = open_upload();
    let mut answer = begins(&world, &ana, body).await;
    said.send(heart_rate(60) + "\n").expect("it listens");
    let first = answer.chunk().await.expect("a report").expect("a line");
    assert!(
        String::from_utf8_lossy(&first).contains("CREATED"),
        "{first:?}"
    );

    ana.asks("mutation { logOut { endedSessions } }", json!({}))
        .await
        .data();

    // Nothing more is sent: the api ends it by itself.
    let last = answer.chunk().await.expect("a report").expect("a line");
    let last: Value = serde_json::from_slice(&last).expect("JSON");
    assert_eq!(
        (&last["ended"], &last["resumeFrom"]),
        (&json!("SESSION_ENDED"), &json!(2))
    );
    assert!(answer.chunk().await.expect("a clean end").is_none());
    let over = ana
        .imports(&world.api, &ana, (NDJSON, ""), heart_rate(61))
        .await;
    assert_eq!(
        (over.reply.status, over.reply.code().as_str()),
        (401, "UNAUTHENTICATED")
    );
    assert_eq!(stored(&world).await, 1);
}

#[tokio::test]
async fn what_cannot_be_an_import_is_refused_before_anything_is_read() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let line = heart_rate(60);
    let cases = [
        ("text/plain", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "application/fhir+ndjson; charset=latin-1",
            "",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (NDJSON, "&from=0", 400, "BAD_USER_INPUT"),
        (NDJSON, "&from=x", 400, "BAD_USER_INPUT"),
        (NDJSON, "&restor=true", 400, "BAD_USER_INPUT"),
        (NDJSON, "&recordType=X", 400, "BAD_USER_INPUT"),
        (NDJSON, "&purpose=X", 400, "BAD_USER_INPUT"),
        (NDJSON, "&key=", 400, "BAD_USER_INPUT"),
        (NDJSON, "&from=1&from=2", 400, "BAD_USER_INPUT"),
    ];
    for (media, more, status, code) in cases {
        let report = ana
            .imports(&world.api, &ana, (media, more), line.clone())
            .await;
        assert_eq!(
            (report.reply.status, report.reply.code().as_str()),
            (status, code),
            "{media} {more}"
        );
    }
    let restore = eve
        .imports(&world.api, &ana, (NDJSON, "&restore=true"), line.clone())
        .await;
    assert_eq!(
        (restore.reply.status, restore.reply.code().as_str()),
        (400, "BAD_USER_INPUT")
    );
    let nobody = world
        .nobody()
        .imports(&world.api, &ana, (NDJSON, ""), line.clone())
        .await;
    assert_eq!(
        (nobody.reply.status, nobody.reply.code().as_str()),
        (401, "UNAUTHENTICATED")
    );
    let bearer = ana.bearer();
    let path = format!("/import?patient={}", ana.id);
    let base = [("authorization", bearer.as_str()), ("content-type", NDJSON)];
    for (header, value, status) in [
        ("origin", "https://evil.example", 403),
        ("content-encoding", "br", 415),
    ] {
        let headers = [&base[..], &[(header, value)]].concat();
        let reply = world.api.takes("POST", &path, &headers, line.clone()).await;
        assert_eq!(reply.status, status, "{header}");
    }
    assert_eq!(world.api.takes("GET", &path, &base, "").await.status, 405);
    let export = format!("/export?patient={}", ana.id);
    assert_eq!(
        world.api.takes("HEAD", &export, &base, "").await.status,
        405
    );
    assert_eq!(stored(&world).await, 0);
}

#[tokio::test]
async fn there_is_room_for_so_many_and_no_more_until_one_leaves() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let mut open = Vec::new();
    // Each account has two of the eight.
    for name in ["adi", "bea", "citra", "dewi"] {
        let person = world.patient(name).await;
        for _ in 0..2 {
            let (said, body) = open_upload();
            let answer = begins(&world, &person, body).await;
            assert_eq!(answer.status(), 200);
            open.push((said, answer));
        }
    }

    let refused = ana
        .imports(&world.api, &ana, (NDJSON, ""), heart_rate(60))
        .await;

    assert_eq!(
        (refused.reply.status, refused.reply.code().as_str()),
        (503, "BUSY")
    );
    assert_eq!(refused.reply.header("retry-after"), "5");
    open.pop();
    eventually("there is room again", async || {
        let report = ana
            .imports(&world.api, &ana, (NDJSON, ""), heart_rate(60))
            .await;
        (report.reply.status == 200).then_some(())
    })
    .await;
}

/// Much longer than the api may grow by; each entry near the longest there is.
#[tokio::test]
async fn a_large_upload_does_not_grow_the_api_beyond_its_bound() {
    /// What the api may grow by, in the build that tests run. Unit: million bytes.
    const BOUND: f64 = 128.0;
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let long = |nth: u32| {
        let text = format!("{nth} ")
            .repeat(300_000)
            .chars()
            .take(900_000)
            .collect::<String>();
        let comment = format!(r#""note":[{{"text":"{}"}}],"status""#, text.trim());
        heart_rate(60).replace("\"status\"", &comment)
    };
    ana.imports(&world.api, &ana, (NDJSON, ""), long(0)).await;
    let (before, _) = world.api.memory();
    let pieces = (1..=220_u32).map(move |nth| match nth {
        // Fit, and stored.
        1..=60 => long(nth) + "\n",
        // No JSON, near the end.
        61..=120 => long(nth) + "}\n",
        // One entry of 100 MB.
        _ => "y".repeat(1 << 20),
    });
    let body =
        reqwest::Body::wrap_stream(futures::stream::iter(pieces).map(Ok::<_, std::io::Error>));

    let report = ana.imports(&world.api, &ana, (NDJSON, ""), body).await;

    assert_eq!(
        (
            &report.end["ended"],
            &report.end["created"],
            &report.end["refused"]
        ),
        (&json!("COMPLETE"), &json!(60), &json!(61))
    );
    let (_, at_most) = world.api.memory();
    let grown = at_most - before;
    println!("220 MB in, and the api grew by {grown:.0} MB from {before:.0} MB");
    assert!(grown < BOUND, "{grown:.0} MB");
    // The same out again.
    let exported = ana.exports(&world.api, &ana, "").await;
    assert_eq!(exported.body.lines().count(), 61);
    let (_, at_most) = world.api.memory();
    let grown = at_most - before;
    println!("55 MB out, and the api grew by {grown:.0} MB in all");
    assert!(grown < BOUND, "{grown:.0} MB");
}

#[tokio::test]
async fn who_may_not_write_is_told_that_there_is_no_such_patient() {
    let world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let (dr_bo, ada) = (world.doctor("bo").await, world.admin("ada").await);
    ana.lets(&dr_bo, &["READ", "SEARCH"]).await;
    let nobody = Person {
        id: "9b2f6c1a-54de-4f0b-8a77-1c6e0d9f2b35".to_owned(),
        ..world.nobody()
    };
    let lab = in_line(&documents::lab_result());

    for person in [&eve, &dr_bo, &ada] {
        let refused = person
            .imports(&world.api, &ana, (NDJSON, ""), lab.clone())
            .await;
        let absent = person
            .imports(&world.api, &nobody, (NDJSON, ""), lab.clone())
            .await;
        assert_eq!(refused.lines[0]["code"], "NOT_FOUND");
        assert_eq!(
            refused.reply.body, absent.reply.body,
            "hidden and absent are told alike"
        );
        let rows = world
            .audit_rows(&format!(
                "request_id = '{}'",
                refused.reply.header("x-request-id")
            ))
            .await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0]["action_type"], &rows[0]["patient_id"]),
            (&json!("ACCESS_DENIED"), &json!(ana.id))
        );
    }
    // A withdrawal binds the next entry.
    let consent = ana.lets(&dr_bo, &["CREATE"]).await;
    let (said, body) = open_upload();
    let mut answer = {
        let url = format!("{}/import?patient={}", world.api.url(), ana.id);
        let request = dev::http::client()
            .post(url)
            .header("authorization", dr_bo.bearer());
        request
            .header("content-type", NDJSON)
            .body(body)
            .send()
            .await
            .expect("an answer")
    };
    said.send(lab.clone() + "\n").expect("it listens");
    let first = answer.chunk().await.expect("a report").expect("a line");
    assert!(
        String::from_utf8_lossy(&first).contains("CREATED"),
        "{first:?}"
    );
    ana.withdraws(&consent).await;
    said.send(lab.replace("final", "amended") + "\n")
        .expect("it listens");
    let second = answer.chunk().await.expect("a report").expect("a line");
    assert!(
        String::from_utf8_lossy(&second).contains("NOT_FOUND"),
        "{second:?}"
    );
    assert_eq!(stored(&world).await, 1);
}
