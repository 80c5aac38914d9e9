//! Where the chain is, as anybody follows it: the same as `indexStatus` says, told when it changes.

use serde_json::{Value, json};
use tests::{EventStream, Person, World, text};

const FOLLOW: &str = "subscription { chainHead {
    chainId headBlock headBlockHash headBlockTime indexedBlock finalizedBlock headSequence lagBlocks
} }";
const STATUS: &str = "{ indexStatus {
    chainId headBlock indexedBlock finalizedBlock headSequence lagBlocks indexedBlockTime
} }";

async fn follows(nobody: &Person, world: &World) -> EventStream {
    EventStream::open(nobody, &world.api, FOLLOW).await
}

/// The next thing that is told.
async fn next(stream: &mut EventStream) -> Value {
    let (event, mut data) = stream.next().await.expect("the stream goes on");
    assert_eq!(event, "next", "{data}");
    let told = data["data"]["chainHead"].take();
    assert!(told.is_object(), "{data}");
    told
}

/// The first thing that is told of this block, once everything up to it was read.
async fn until(stream: &mut EventStream, hash: &Value) -> Value {
    loop {
        let told = next(stream).await;
        if told["headBlockHash"] == *hash && told["lagBlocks"] == 0 {
            return told;
        }
    }
}

async fn newest(world: &World) -> Value {
    world
        .rpc("eth_getBlockByNumber", json!(["latest", false]))
        .await
}

#[tokio::test]
async fn a_new_block_is_told_to_everybody_and_so_is_one_that_takes_the_place_of_another() {
    let world = World::start().await;
    let (nobody, ana) = (world.nobody(), world.patient("ana").await);
    let mut streams = [
        follows(&nobody, &world).await,
        follows(&nobody, &world).await,
        follows(&ana, &world).await,
    ];

    world.mine(2).await;
    let block = newest(&world).await;
    let number = world.block_number().await;
    for stream in &mut streams {
        let told = until(stream, &block["hash"]).await;
        assert_eq!(told["headBlock"], number, "{told}");
        assert_eq!(told["indexedBlock"], number, "{told}");
        assert_eq!(told["chainId"], "31337", "{told}");
        let status = ana.asks(STATUS, json!({})).await;
        let status = &status.data()["indexStatus"];
        for field in ["chainId", "headBlock", "indexedBlock", "headSequence"] {
            assert_eq!(status[field], told[field], "{field}: {status}, {told}");
        }
        assert_eq!(status["indexedBlockTime"], told["headBlockTime"], "{told}");
    }
    // Whoever comes later is told at once.
    let told = next(&mut follows(&nobody, &world).await).await;
    assert_eq!(told["headBlockHash"], block["hash"]);

    world.reorg(1).await;
    let other = newest(&world).await;
    assert_ne!(other["hash"], block["hash"]);
    for stream in &mut streams {
        until(stream, &other["hash"]).await;
    }
    let rows = world
        .audit_rows("new_value ->> 'subscription' = 'chainHead'")
        .await;
    assert!(rows.is_empty(), "nobody is anybody's: {rows:?}");
}

#[tokio::test]
async fn an_address_has_so_many_public_streams_of_both_kinds() {
    const EVENTS: &str = "subscription { publicIntegrityEvents { kind } }";
    let world = World::start().await;
    let nobody = world.nobody();
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut stream = follows(&nobody, &world).await;
        let told = next(&mut stream).await;
        assert!(!text(&told["headBlockHash"]).is_empty(), "{told}");
        open.push(stream);
    }

    for query in [FOLLOW, EVENTS] {
        let mut refused = EventStream::open(&nobody, &world.api, query).await;
        assert_eq!(refused.ends_with().await, "BUSY");
    }
    drop(open);
}
