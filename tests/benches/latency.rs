//! How long it takes until a subscriber of `integrityEvents` is told: that a record is in a block, by how often the indexer asks
//! for new blocks, and that the block was undone, by how deep.
//!
//! With `--ws` the node tells the indexer of new blocks, which then need not be asked for.

use std::time::{Duration, Instant};

use dev::chain::Mining;
use serde_json::json;
use tests::bench::{Arguments, Bar, Figure, Report, progress};
use tests::{Chance, Events, Person, World, documents, id};

/// How often the indexer asks for new blocks: as it does by itself, and more often.
const POLLS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(100)];
/// How much longer than that it may take. Unit: milliseconds.
const BESIDES: f64 = 50.0;
/// How long a reorganisation may take to be told. Unit: milliseconds.
const UNDONE_WITHIN: f64 = 2_000.0;
/// How many blocks are made for each poll.
const BLOCKS: usize = 100;
/// How deep the reorganisations are. Unit: blocks. All of them together are few enough for the development node, which forgets
/// the state of a block once some 500 are on top of it.
const DEPTHS: [u64; 14] = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64];
/// Blocks are final when twice as many are on top of them: more than are ever undone here.
const SLOTS: u32 = 40;
/// How often a block is made while what was undone is anchored again.
const AGAIN: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let mut report = Report::new();
    {
        let mut world = begins(&arguments).await;
        let ana = world.patient("ana").await;
        for poll in POLLS {
            follows(&arguments, &mut world, poll).await;
            blocks(&arguments, &world, &ana, poll, &mut report).await;
        }
    }
    let mut world = begins(&arguments).await;
    let ana = world.patient("ana").await;
    follows(&arguments, &mut world, POLLS[0]).await;
    reorganisations(&arguments, &world, &ana, &mut report).await;
    report.print("latency");
}

/// A world in which a block is made when the benchmark wants one.
async fn begins(arguments: &Arguments) -> World {
    let world = arguments
        .world_with(|options| {
            options.mining = Mining::Instant;
            options.slots_in_an_epoch = SLOTS;
        })
        .await;
    world.rpc("evm_setAutomine", json!([false])).await;
    world
}

/// Starts the indexer again with this poll.
async fn follows(arguments: &Arguments, world: &mut World, poll: Duration) {
    world.indexer.stop().await;
    let poll = poll.as_millis().to_string();
    let socket = world.foundation.chain_rpc_url().replace("http://", "ws://");
    let mut environment = vec![("MEDITRUSTAL_POLL_MS", poll.as_str())];
    if arguments.ws {
        // One that begins so is asked nothing: it tells of new blocks. An indexer that knows none such refuses to start.
        environment.push(("CHAIN_RPC_URLS", socket.as_str()));
    }
    let name = format!("indexer-{poll}");
    let indexer = world.another_indexer(&name, &environment).await;
    world.indexer = indexer;
}

/// Waits for an event of this kind about a record.
async fn told(events: &mut Events, kind: &str, record: &str) {
    loop {
        let event = events.next().await;
        if event["kind"] == kind && event["recordId"] == record {
            return;
        }
    }
}

/// A record whose transaction waits at the node.
async fn sent(ana: &Person, events: &mut Events) -> String {
    let record = ana.creates(ana, "VITAL_SIGNS", documents::vital_signs());
    let record = id(&record.await);
    told(events, "ANCHOR_SUBMITTED", &record).await;
    record
}

async fn makes_a_block(world: &World) {
    world.rpc("evm_mine", json!([])).await;
}

/// From a block to who is told of the record in it.
async fn blocks(
    arguments: &Arguments,
    world: &World,
    ana: &Person,
    poll: Duration,
    report: &mut Report,
) {
    let count = if arguments.quick { BLOCKS / 10 } else { BLOCKS };
    progress(format_args!("{count} blocks, one look each {poll:?}"));
    let mut events = ana.watches(json!({})).await;
    let mut chance = Chance::of(1);
    let mut waits = Vec::with_capacity(count);
    for _ in 0..count {
        let record = sent(ana, &mut events).await;
        // Else each block would come as long after a look as storing a record takes.
        tokio::time::sleep(chance.shorter_than(poll)).await;
        let began = Instant::now();
        makes_a_block(world).await;
        told(&mut events, "ANCHOR_CONFIRMED", &record).await;
        waits.push(began.elapsed());
    }
    let (how, looked) = if arguments.ws {
        (format!("told by a WebSocket, asked each {poll:?}"), 0.0)
    } else {
        (format!("asked each {poll:?}"), poll.as_secs_f64() * 1_000.0)
    };
    for (percent, bar) in [(50, Bar::None), (99, Bar::AtMost(looked + BESIDES))] {
        let what = format!("from a block to its subscriber, {how}, p{percent}");
        report.figure(what, Figure::of(percentile(&mut waits, percent)), bar);
    }
}

/// From a reorganisation to who is told that their record is in no block any more.
async fn reorganisations(arguments: &Arguments, world: &World, ana: &Person, report: &mut Report) {
    let depths = if arguments.quick {
        vec![1, 8, 64]
    } else {
        DEPTHS.to_vec()
    };
    let mut events = ana.watches(json!({})).await;
    let mut waits = Vec::with_capacity(depths.len());
    for depth in depths {
        progress(format_args!("a reorganisation of {depth} blocks"));
        let record = sent(ana, &mut events).await;
        makes_a_block(world).await;
        world.mine(depth - 1).await;
        told(&mut events, "ANCHOR_CONFIRMED", &record).await;
        world.wait_for_indexer().await;

        let began = Instant::now();
        world.reorg(depth).await;
        told(&mut events, "ANCHOR_REORGED", &record).await;
        waits.push(began.elapsed());
        all_is_anchored_again(world).await;
    }
    let count = waits.len();
    for (what, percent, bar) in [
        ("p50", 50, Bar::None),
        ("the slowest", 100, Bar::AtMost(UNDONE_WITHIN)),
    ] {
        report.figure(
            format!("from a reorganisation of 1 to 64 blocks to its subscriber, {what} of {count}"),
            Figure::of(percentile(&mut waits, percent)),
            bar,
        );
    }
}

/// Makes blocks until every record is in one again.
async fn all_is_anchored_again(world: &World) {
    let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED') LIMIT 1";
    while !world.sql(open).await.is_empty() {
        makes_a_block(world).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// How long so many of a hundred took at most.
fn percentile(waits: &mut [Duration], of_hundred: usize) -> Duration {
    waits.sort_unstable();
    let rank = (waits.len() * of_hundred).div_ceil(100).max(1);
    waits[rank - 1]
}
