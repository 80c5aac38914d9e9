//! The registry's events as anybody follows them: what is told is what the chain says, and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{EventStream, Person, Program, World, documents, id, text};

const FOLLOW: &str = "subscription($after: Cursor) { publicIntegrityEvents(after: $after) {
    cursor isUndone kind subjectHash actor sequence head txHash blockNumber blockHash logIndex
} }";

async fn follows(nobody: &Person, api: &Program, after: &str) -> EventStream {
    let body = json!({ "query": FOLLOW, "variables": { "after": after } });
    EventStream::open_with(nobody, api, &[], body).await
}

/// A stream of somebody at this address, who stands behind a proxy.
async fn follows_from(nobody: &Person, api: &Program, address: &str) -> EventStream {
    let body = json!({ "query": FOLLOW, "variables": { "after": "earliest" } });
    EventStream::open_with(nobody, api, &[("x-forwarded-for", address)], body).await
}

/// The next entry.
async fn next(stream: &mut EventStream) -> Value {
    let (event, mut data) = stream.next().await.expect("the stream goes on");
    assert_eq!(event, "next", "{data}");
    let told = data["data"]["publicIntegrityEvents"].take();
    assert!(told.is_object(), "{data}");
    told
}

/// The first entry that tells so of this hash, and all up to it.
async fn until(stream: &mut EventStream, hash: &str, is_undone: bool) -> Vec<Value> {
    let mut told = Vec::new();
    loop {
        let entry = next(stream).await;
        let is_it = entry["subjectHash"] == hash && entry["isUndone"] == is_undone;
        told.push(entry);
        if is_it {
            return told;
        }
    }
}

async fn anchored(world: &World, patient: &Person) -> (String, String) {
    let record = patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let record = id(&record);
    let anchor = world.wait_for_anchor(&record, "CONFIRMED").await;
    (record, text(&anchor["record_hash"]))
}

#[tokio::test]
async fn anybody_is_told_what_the_chain_says_and_nothing_else() {
    let world = World::start().await;
    let (nobody, ana) = (world.nobody(), world.patient("ana").await);
    let mut stream = follows(&nobody, &world.api, "earliest").await;
    let (record, hash) = anchored(&world, &ana).await;

    let told = until(&mut stream, &hash, false).await;

    let registry = nobody
        .asks(
            "{ registry { chainId address version fromBlock events { signature topic } } }",
            json!({}),
        )
        .await;
    let registry = registry.data()["registry"].clone();
    assert_eq!(registry["events"].as_array().map(Vec::len), Some(11));
    let anchoring = registry["events"][0].clone();
    assert_eq!(
        anchoring["signature"],
        "RecordAnchored(bytes32,bytes32,address,uint40,bytes25)"
    );
    let filter =
        json!([{ "address": registry["address"], "fromBlock": "0x0", "toBlock": "latest" }]);
    let logs = world.rpc("eth_getLogs", filter).await;
    let logs: BTreeMap<(String, u64), &Value> = logs
        .as_array()
        .expect("logs")
        .iter()
        .map(|log| ((text(&log["blockHash"]), number(&log["logIndex"])), log))
        .collect();
    for (entry, sequence) in told.iter().zip(1..) {
        assert_eq!(entry["sequence"], sequence, "no event is left out");
        let place = (
            text(&entry["blockHash"]),
            entry["logIndex"].as_u64().expect("a number"),
        );
        let log = logs[&place];
        assert_eq!(entry["txHash"], log["transactionHash"]);
        assert_eq!(entry["blockNumber"], number(&log["blockNumber"]));
        let data = text(&log["data"]);
        let head = &data[data.len() - 64..data.len() - 14];
        assert_eq!(entry["head"], format!("0x{head}"));
    }
    let last = told.last().expect("there is one");
    let log = logs[&(
        text(&last["blockHash"]),
        last["logIndex"].as_u64().expect("a number"),
    )];
    assert_eq!(last["kind"], "RECORD_ANCHORED");
    assert_eq!(log["topics"][0], anchoring["topic"]);
    assert_eq!(log["topics"][1], format!("0x{hash}"));
    let everything = Value::from(told).to_string();
    for private in [&record, &ana.id, &ana.username] {
        assert!(!everything.contains(private.as_str()), "{private}");
    }
    let rows = world
        .audit_rows("new_value ->> 'subscription' = 'publicIntegrityEvents'")
        .await;
    assert!(rows.is_empty(), "nobody is anybody's: {rows:?}");
}

fn number(quantity: &Value) -> u64 {
    let digits = text(quantity);
    u64::from_str_radix(digits.trim_start_matches("0x"), 16).expect("a quantity")
}

#[tokio::test]
async fn what_was_undone_is_told_and_a_cursor_goes_on_at_any_process() {
    let world = World::start().await;
    let second = world.second_api().await;
    let (nobody, ana) = (world.nobody(), world.patient("ana").await);
    let mut stream = follows(&nobody, &world.api, "earliest").await;
    let (_, first) = anchored(&world, &ana).await;
    let before = until(&mut stream, &first, false).await;
    let cursor = stream.last_id.clone().expect("an id");
    assert_eq!(before.last().expect("one")["cursor"], cursor.as_str());

    world.reorg(1).await;
    let mut told = until(&mut stream, &first, true).await;
    told.extend(until(&mut stream, &first, false).await);

    // The same entries, by another process, after the cursor; and by both ways to hand it back.
    let by_argument = follows(&nobody, &second, &cursor).await;
    let body = json!({ "query": FOLLOW });
    let headers = [("last-event-id", cursor.as_str())];
    let by_header = EventStream::open_with(&nobody, &world.api, &headers, body).await;
    for mut stream in [by_argument, by_header] {
        for wanted in &told {
            assert_eq!(&next(&mut stream).await, wanted);
        }
    }
    // From now on.
    let mut latest = follows(&nobody, &second, "latest").await;
    let mut all = follows(&nobody, &second, "earliest").await;
    let (_, other) = anchored(&world, &ana).await;
    assert_eq!(
        until(&mut all, &other, false).await.len(),
        before.len() + told.len() + 1
    );
    // It begins when it is first listened to.
    let (_, last) = anchored(&world, &ana).await;
    let now = until(&mut latest, &last, false).await;
    assert!(now.len() <= 2, "{now:?}");
}

#[tokio::test]
async fn a_foreign_cursor_is_refused_and_an_address_has_so_many_streams() {
    let world = World::start().await;
    let (nobody, ana) = (world.nobody(), world.patient("ana").await);
    let mut own = ana.watches(json!({})).await;
    ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let elsewhere = text(&own.next().await["cursor"]);
    for cursor in [elsewhere.as_str(), "", "nonsense"] {
        let mut refused = follows(&nobody, &world.api, cursor).await;
        assert_eq!(refused.ends_with().await, "BAD_USER_INPUT");
    }

    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = follows(&nobody, &world.api, "earliest").await;
        next(&mut stream).await;
        open.push(stream);
    }
    let mut refused = follows(&nobody, &world.api, "earliest").await;
    assert_eq!(refused.ends_with().await, "BUSY");
    // What belongs to somebody is still theirs alone.
    let query = "subscription { integrityEvents { kind } }";
    let mut refused = EventStream::open(&nobody, &world.api, query).await;
    assert_eq!(refused.ends_with().await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn addresses_that_take_all_they_can_leave_a_stream_for_each_other() {
    let proxy = ("MEDITRUSTAL_TRUSTED_PROXIES", "127.0.0.1");
    let proxy = (proxy.0.to_owned(), proxy.1.to_owned());
    let world = World::with(|options| options.api.push(proxy)).await;
    let (nobody, ana) = (world.nobody(), world.patient("ana").await);
    anchored(&world, &ana).await;

    // Eight take sixteen each. Of the streams that are shared the ninth finds eight, and the tenth none.
    let mut open = Vec::new();
    for (nth, share) in (1..).zip([16; 8].into_iter().chain([9, 1])) {
        let address = format!("198.51.100.{nth}");
        for _ in 0..share {
            let mut stream = follows_from(&nobody, &world.api, &address).await;
            next(&mut stream).await;
            open.push(stream);
        }
        let mut refused = follows_from(&nobody, &world.api, &address).await;
        assert_eq!(refused.ends_with().await, "BUSY", "{address}");
    }

    assert_eq!(open.len(), 138);
}
