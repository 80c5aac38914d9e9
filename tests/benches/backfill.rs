//! How fast an indexer with an empty cursor reads a whole chain: events a second with everything that is reconciled, beside a
//! program written by hand (`peers/following.rs`) that reads the same logs and writes the same rows; and what it holds in memory
//! where blocks are full of events and where they are far apart.
//!
//! The chain is made up (`recorded`): a development node takes longer to give the receipts of 100,000 events than the indexer
//! takes for everything.

mod peers {
    pub(crate) mod following;
}
mod recorded;

use std::fs;
use std::time::{Duration, Instant};

use peers::following::{self, Peer, Task};
use recorded::{Hash, Layout, RecordedChain, RecordedNode, shown};
use sqlx::{Connection, PgConnection};
use tests::World;
use tests::bench::{Arguments, Bar, Costs, Figure, Report, progress, time_of_threads};

/// How many times each of two is measured, in turns; the one in the middle counts.
const ROUNDS: u64 = 3;
/// How many patients the records are of.
const PATIENTS: i32 = 1_000;
/// How many records are written at once before anything is measured.
const AT_ONCE: usize = 10_000;
/// The bar of the indexer's memory. Unit: million bytes.
const MOST_MEMORY: f64 = 64.0;
/// How long a backfill may take before something is wrong.
const PATIENCE: Duration = Duration::from_mins(10);
/// How many events the peer takes in one transaction.
const PEER_BATCH: u64 = 2_000;

/// What every record is in before the chain is read: signed, and sent.
const SENT: &str = "
    WITH given AS MATERIALIZED (
        SELECT uuidv7() AS id, e.hash, e.tx, e.nonce, patient.id AS patient_id
        FROM UNNEST($1::text[], $2::text[], $3::bigint[]) AS e(hash, tx, nonce)
        JOIN users AS patient ON patient.username = 'followed.' || (1 + e.nonce % $4)
    ), records AS (
        INSERT INTO medical_records (
            id, patient_id, author_id, blockchain_record_id, record_type, record_metadata, encrypted_data, data_hash
        )
        SELECT id, patient_id, patient_id, tx, 'VITAL_SIGNS', '{\"status\": \"final\"}'::jsonb, decode(hash, 'hex'), hash
        FROM given
        ORDER BY nonce
    ), anchors AS (
        INSERT INTO record_anchors (record_id, patient_id, record_type, record_hash, chain_id, state, tx_hash)
        SELECT id, patient_id, 'VITAL_SIGNS', hash, $5, 'SUBMITTED', tx
        FROM given
        ORDER BY nonce
    ), outbox AS (
        INSERT INTO anchor_outbox (record_id, chain_id, signer, nonce, state, sends)
        SELECT id, $5, $6, nonce, 'SENT', 1
        FROM given
        ORDER BY nonce
        RETURNING id, record_id
    )
    INSERT INTO anchor_attempts (tx_hash, outbox_id, attempt, raw_transaction, max_fee_per_gas)
    SELECT given.tx, outbox.id, 1, decode(given.hash, 'hex'), 1
    FROM outbox
    JOIN given ON given.id = outbox.record_id";

/// What there is of each event in the end; `CHAIN` is the chain's id.
const ROWS: [(&str, &str); 7] = [
    (
        "events",
        "SELECT count(*) FROM chain_events WHERE chain_id = CHAIN AND undone_at IS NULL",
    ),
    (
        "events that are told to everybody",
        "SELECT count(*) FROM registry_feed WHERE chain_id = CHAIN",
    ),
    (
        "anchors with their event",
        "SELECT count(*) FROM record_anchors AS anchor
         JOIN chain_events AS event USING (chain_id, sequence, block_number, block_hash, log_index, tx_hash)
         WHERE chain_id = CHAIN AND event.subject_hash = anchor.record_hash AND event.actor = anchor.registrar",
    ),
    (
        "mined transactions",
        "SELECT count(*) FROM anchor_outbox WHERE chain_id = CHAIN AND state = 'MINED'",
    ),
    (
        "audit rows",
        "SELECT count(*) FROM audit_logs JOIN record_anchors ON record_id = resource_id
         WHERE chain_id = CHAIN AND action_type = 'RECORD_ANCHOR' AND new_value ->> 'state' = 'CONFIRMED'",
    ),
    (
        "entries of the feed",
        "SELECT count(*) FROM integrity_feed JOIN record_anchors USING (record_id)
         WHERE chain_id = CHAIN AND kind = 'ANCHOR_CONFIRMED'",
    ),
    (
        "the position of the cursor",
        "SELECT COALESCE(sum(sequence), 0)::bigint FROM chain_cursors WHERE chain_id = CHAIN",
    ),
];

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let mut world = arguments.world().await;
    // What is measured is the indexer: nobody sends, checks or gives audit rows their places meanwhile.
    world.api.stop().await;
    world
        .executes(&format!(
            "INSERT INTO users (id, email, username, hashed_password, role)
             SELECT uuidv7(), 'followed.' || nth || '@meditrustal.example', 'followed.' || nth, '!', 'PATIENT'
             FROM generate_series(1, {PATIENTS}) AS nth"
        ))
        .await;
    let mut report = Report::new();
    beside_a_peer(&arguments, &mut world, &mut report).await;
    let layouts = [
        (
            "1,000 events in a block",
            Layout {
                events: arguments.many(100_000),
                in_a_block: 1_000,
                every: 1,
            },
        ),
        (
            "one event in 20 blocks",
            Layout {
                events: arguments.many(10_000),
                in_a_block: 1,
                every: 20,
            },
        ),
    ];
    for (chain_id, (what, layout)) in (9_001..).zip(layouts) {
        let node = RecordedNode::start(RecordedChain::of(chain_id, layout));
        fill(&world, node.chain()).await;
        progress(format_args!("following {what}"));
        let followed = follows(&mut world, &node).await;
        report.figure(
            format!("events applied a second, {what}"),
            Figure::PerSecond(followed.rate(layout.events)),
            Bar::None,
        );
        report.figure(
            format!("memory of the indexer at most, {what}"),
            Figure::Megabytes(followed.memory),
            Bar::AtMost(MOST_MEMORY),
        );
        report.note(format!("{what}: {}", followed.costs));
        report.figure(
            format!("rows missing or too many, {what}"),
            Figure::Count(misfits(&world, chain_id, layout.events).await),
            Bar::AtMost(0.0),
        );
    }
    report.print("backfill");
}

/// What a backfill came to.
struct Followed {
    /// From when the indexer was told of the newest block until it had applied it. Unit: seconds.
    applied: f64,
    /// Until all of it was final. Unit: seconds.
    finalized: f64,
    /// What the indexer held at most. Unit: million bytes.
    memory: f64,
    costs: String,
}

impl Followed {
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts to 2^52 in a benchmark"
    )]
    fn rate(&self, events: u64) -> f64 {
        events as f64 / self.applied
    }
}

/// 100,000 events, 200 in a block, by the indexer and by the peer in turns.
async fn beside_a_peer(arguments: &Arguments, world: &mut World, report: &mut Report) {
    let layout = Layout {
        events: arguments.many(100_000),
        in_a_block: 200,
        every: 1,
    };
    let rounds = if arguments.quick { 1 } else { ROUNDS };
    let (mut ours, mut theirs, mut finalized) = (Vec::new(), Vec::new(), Vec::new());
    let (mut memory, mut wrong) = (0.0_f64, 0);
    for round in 1..=rounds {
        let peer_chain = 2 * round + 100;
        let node = RecordedNode::start(RecordedChain::of(peer_chain, layout));
        fill(world, node.chain()).await;
        progress(format_args!("the peer, round {round} of {rounds}"));
        let (rate, costs) = peer_follows(world, &node, layout).await;
        theirs.push(rate);
        report.note(format!("the peer, round {round}: {costs}"));
        drop(node);
        wrong += misfits(world, peer_chain, layout.events).await;

        let node = RecordedNode::start(RecordedChain::of(peer_chain + 1, layout));
        fill(world, node.chain()).await;
        progress(format_args!("the indexer, round {round} of {rounds}"));
        let followed = follows(world, &node).await;
        ours.push(followed.rate(layout.events));
        finalized.push(followed.finalized * 1_000.0);
        memory = memory.max(followed.memory);
        report.note(format!("the indexer, round {round}: {}", followed.costs));
        wrong += misfits(world, peer_chain + 1, layout.events).await;
    }
    let ours = Figure::PerSecond(middle(ours));
    let what = "events applied a second, 200 in a block";
    report.figure(what, ours, Bar::AtLeast(15_000.0));
    report.beside(
        format!("{what}, beside the peer"),
        ours,
        Figure::PerSecond(middle(theirs)),
        Bar::PartAtLeast(0.5),
    );
    report.figure(
        "until all of them were final",
        Figure::Milliseconds(middle(finalized)),
        Bar::None,
    );
    report.figure(
        "memory of the indexer at most",
        Figure::Megabytes(memory),
        Bar::AtMost(MOST_MEMORY),
    );
    report.figure(
        "rows missing or too many, of both",
        Figure::Count(wrong),
        Bar::AtMost(0.0),
    );
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Writes the records of a chain as they are before it is read, and lets PostgreSQL count them.
async fn fill(world: &World, chain: &RecordedChain) {
    progress(format_args!("writing {} records", chain.records.len()));
    let url = world.foundation.database.superuser_url();
    let mut conn = PgConnection::connect(&url).await.expect("it answers");
    let without_prefix = |hash: &Hash| shown(hash)[2..].to_owned();
    let chain_id = i64::try_from(chain.chain_id).expect("it is small");
    let both = chain
        .records
        .chunks(AT_ONCE)
        .zip(chain.transactions.chunks(AT_ONCE));
    let mut nonce = 0_i64;
    for (records, transactions) in both {
        let hashes: Vec<String> = records.iter().map(without_prefix).collect();
        let transactions: Vec<String> = transactions.iter().map(|it| shown(it)).collect();
        let nonces: Vec<i64> = (nonce..).take(hashes.len()).collect();
        nonce += i64::try_from(hashes.len()).expect("they are few");
        sqlx::query(SENT)
            .bind(&hashes)
            .bind(&transactions)
            .bind(&nonces)
            .bind(i64::from(PATIENTS))
            .bind(chain_id)
            .bind(&chain.registrar)
            .execute(&mut conn)
            .await
            .expect("the records are written");
    }
    for table in [
        "users",
        "medical_records",
        "record_anchors",
        "anchor_outbox",
        "anchor_attempts",
        "chain_events",
        "audit_logs",
        "integrity_feed",
        "registry_feed",
    ] {
        world.executes(&format!("VACUUM ANALYZE {table}")).await;
    }
    world.executes("CHECKPOINT").await;
}

/// The peer follows a chain; answers how many events a second, and what it took of the processors.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody counts to 2^52 in a benchmark"
)]
async fn peer_follows(world: &World, node: &RecordedNode, layout: Layout) -> (f64, String) {
    node.reveals_everything();
    let database = world.foundation.url_of("meditrustal_indexer");
    let task = Task {
        node: node.url().to_owned(),
        database: database.expect("there is such a role"),
        chain_id: node.chain().chain_id,
        registry: node.chain().registry.clone(),
        last: node.chain().last,
        range: PEER_BATCH / layout.in_a_block,
    };
    let peer = Peer::start();
    let (costs, begun) = (Costs::begin(world), of_the_node());
    let (count, seconds) = peer.follows(task).await;
    let each = costs.end(world).each(layout.events);
    let took = time_of_threads(following::THREADS);
    assert_eq!(count as u64, layout.events, "it read all of them");
    let node = of_the_node() - begun;
    let costs = format!("{each}; {took:.2} s in all for the peer and {node:.2} s for its node");
    (count as f64 / seconds, costs)
}

fn of_the_node() -> f64 {
    time_of_threads(recorded::THREADS)
}

/// An indexer that was never here follows a chain, in the place of the one before.
async fn follows(world: &mut World, node: &RecordedNode) -> Followed {
    let chain = node.chain();
    let (chain_id, last) = (chain.chain_id, chain.last);
    let file = format!("recorded-{chain_id}.json");
    let file = world.foundation.dir().join(file);
    fs::write(&file, chain.deployment()).expect("there is room for files");
    let file = file.display().to_string();
    let environment = [
        ("CHAIN_RPC_URL", node.url()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", file.as_str()),
        // As in production: here the depth is that of the development node.
        ("MEDITRUSTAL_FINALITY_DEPTH", "64"),
        ("MEDITRUSTAL_HEAD_AGE", "0"),
    ];
    world.indexer.stop().await;
    let name = format!("indexer-{chain_id}");
    let indexer = world.another_indexer(&name, &environment).await;
    world.indexer = indexer;

    let (costs, begun) = (Costs::begin(world), of_the_node());
    node.reveals_everything();
    let at = format!("SELECT block_number FROM chain_cursors WHERE chain_id = {chain_id}");
    waits(world, async || {
        let block = world.sql(&at).await;
        block.first()?["block_number"]
            .as_u64()
            .filter(|it| *it >= last)
    })
    .await;
    let told = node.told().expect("it was told of the newest block");
    let applied = told.elapsed().as_secs_f64();
    let events = u64::try_from(chain.records.len()).unwrap_or(u64::MAX);
    let each = costs.end(world).each(events);
    let of_node = of_the_node() - begun;
    let left = format!(
        "SELECT 1 FROM record_anchors WHERE chain_id = {chain_id} AND state <> 'FINALIZED' LIMIT 1"
    );
    waits(world, async || {
        world.sql(&left).await.is_empty().then_some(0)
    })
    .await;
    Followed {
        applied,
        finalized: told.elapsed().as_secs_f64(),
        memory: world.indexer.memory().1,
        costs: format!("{each}; {of_node:.2} s in all for its node"),
    }
}

/// Asks again and again until the answer is there.
async fn waits<F: Future<Output = Option<u64>>>(world: &World, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while ask().await.is_none() {
        let is_late = Instant::now() > deadline;
        assert!(!is_late, "waited in vain: {}", world.indexer.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many rows are missing or too many after a chain was followed.
async fn misfits(world: &World, chain_id: u64, events: u64) -> u64 {
    let url = world.foundation.database.superuser_url();
    let mut conn = PgConnection::connect(&url).await.expect("it answers");
    let mut wrong = 0;
    for (what, query) in ROWS {
        let query = query.replace("CHAIN", &chain_id.to_string());
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut conn)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let misfits = count.unsigned_abs().abs_diff(events);
        if misfits > 0 {
            progress(format_args!(
                "chain {chain_id} has {count} {what}, and not {events}"
            ));
        }
        wrong += misfits;
    }
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM integrity_findings")
        .fetch_one(&mut conn)
        .await
        .expect("the findings are counted");
    wrong + found.unsigned_abs()
}
