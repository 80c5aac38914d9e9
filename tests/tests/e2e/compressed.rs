//! Uploads that are compressed: the same as others, and ended where they are damaged or come to too much. Long answers that are,
//! by what their client wants most.

use async_compression::tokio::bufread::{
    BrotliDecoder, GzipDecoder, GzipEncoder, ZstdDecoder, ZstdEncoder,
};
use serde_json::json;
use tests::transfer::{NDJSON, Report, heart_rates, stored};
use tests::{Person, World, documents};
use tokio::io::AsyncReadExt as _;

async fn gzip(plain: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GzipEncoder::new(plain.as_bytes());
    encoder.read_to_end(&mut bytes).await.expect("it is read");
    bytes
}

async fn zstd(plain: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ZstdEncoder::new(plain.as_bytes());
    encoder.read_to_end(&mut bytes).await.expect("it is read");
    bytes
}

async fn uploads(world: &World, person: &Person, coding: &str, body: Vec<u8>) -> Report {
    let bearer = person.bearer();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", NDJSON),
        ("content-encoding", coding),
    ];
    let path = format!("/import?patient={}", person.id);
    Report::of(world.api.takes("POST", &path, &headers, body).await)
}

#[tokio::test]
async fn a_compressed_upload_stores_what_the_plain_one_would() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let plain = heart_rates(30);

    let first = uploads(&world, &ana, "gzip", gzip(&plain).await).await;
    let again = uploads(&world, &ana, "zstd", zstd(&plain).await).await;

    assert_eq!(first.end["created"], json!(30), "{}", first.end);
    assert_eq!(again.end["alreadyThere"], json!(30), "{}", again.end);
    assert_eq!(first.each("recordId"), again.each("recordId"));
    assert_eq!(stored(&world).await, 30);
}

#[tokio::test]
async fn what_came_before_the_damage_is_stored_and_told() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    // Two members, the second of which is cut off.
    let (whole, mut cut) = (gzip(&heart_rates(3)).await, gzip(&heart_rates(9)).await);
    cut.truncate(40);
    let body = [whole, cut].concat();

    let report = uploads(&world, &ana, "gzip", body).await;

    assert_eq!(report.end["ended"], json!("BAD_REQUEST"), "{}", report.end);
    let message = report.end["message"].as_str().unwrap_or_default();
    assert!(message.contains("damaged"), "{message}");
    assert!(report.lines.len() >= 3, "{}", report.reply.body);
    assert_eq!(report.each("outcome")[..3], vec![json!("CREATED"); 3]);
    assert_eq!(report.end["created"], json!(stored(&world).await));
}

#[tokio::test]
async fn a_bomb_ends_its_upload_and_nothing_else() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let bomb = " ".repeat(64 << 20);

    for (coding, body) in [("gzip", gzip(&bomb).await), ("zstd", zstd(&bomb).await)] {
        let report = uploads(&world, &ana, coding, body).await;
        assert_eq!(report.end["ended"], json!("BAD_REQUEST"), "{}", report.end);
        let message = report.end["message"].as_str().unwrap_or_default();
        assert!(message.contains("times what was sent"), "{message}");
    }
    let good = uploads(&world, &ana, "gzip", gzip(&heart_rates(1)).await).await;
    assert_eq!(good.end["created"], json!(1), "{}", good.end);
}

#[tokio::test]
async fn the_command_sends_a_compressed_file_as_it_is() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for (name, bytes) in [
        ("rates.ndjson.gz", gzip(&heart_rates(5)).await),
        ("rates.jsonl.zst", zstd(&heart_rates(7)).await),
    ] {
        let file = world.file(name);
        std::fs::write(&file, bytes).expect("a file is written");
        let report = world.file("report.ndjson");
        let asked = ["import", &file, "--report", &report];
        let ended = world.runs(&ana, &ana, &asked).await;
        assert_eq!(ended.code, Some(0), "{}", ended.complaint);
    }
    assert_eq!(stored(&world).await, 7, "five of the seven were there");
}

#[tokio::test]
async fn documents_come_by_the_coding_with_the_highest_weight() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for (record_type, _) in documents::ALL {
        ana.creates(&ana, record_type, documents::of(record_type))
            .await;
    }
    let bearer = ana.bearer();
    let body = json!({ "query": "{ medicalRecords(first: 20) { nodes { id document } } }" });
    let body = body.to_string();
    let asks = async |accepted: &str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("accept-encoding", accepted),
        ];
        world.api.posts(&headers, &body).await
    };

    let plain = asks("identity").await;
    assert!(plain.json()["errors"].is_null(), "{}", plain.body);
    for (accepted, coding) in [
        ("br", "br"),
        ("br;q=1.0, zstd;q=0.9, gzip;q=0.8", "br"),
        ("br;q=0.1, zstd;q=0.2, gzip;q=0.3", "gzip"),
        ("zstd;q=0.9, br;q=0.8", "zstd"),
        ("zstd;q=0, *", "br"),
        ("br;q=0, zstd;q=0, *;q=0.5", "gzip"),
        ("br;q=0", ""),
    ] {
        let reply = asks(accepted).await;

        assert_eq!(reply.header("content-encoding"), coding, "{accepted}");
        let mut text = String::new();
        let bytes = reply.bytes.as_slice();
        let read = match coding {
            "br" => BrotliDecoder::new(bytes).read_to_string(&mut text).await,
            "gzip" => GzipDecoder::new(bytes).read_to_string(&mut text).await,
            "zstd" => ZstdDecoder::new(bytes).read_to_string(&mut text).await,
            _ => {
                text.clone_from(&reply.body);
                Ok(text.len())
            }
        };
        read.expect("it is compressed as its header says");
        assert_eq!(text, plain.body, "{accepted}");
        let is_shorter = bytes.len() < plain.bytes.len() / 2;
        assert_eq!(is_shorter, !coding.is_empty(), "{accepted}");
    }
}
