//! Lies by chance: nodes in between tell one kind of lie after the other, of what a seed says. Each is noticed or harmless:
//! once it is over, what was stored is what the chain holds, nothing was found that is not there, and nothing was undone.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dev::chain::quantity;
use serde_json::{Value, json};
use tests::{Chance, Person, World, documents, eventually, id};

use crate::indexer::events_equal_the_chain;
use crate::lying_node::{Delivered, LyingNode};

mod families;

use families::{FAMILIES, Family, Reading, Tellers};

/// How many seeds the ordinary run plays: each kind of lie once at least.
const SEEDS: u64 = 40;
/// How many seeds the long run plays where `MEDITRUSTAL_TEST_SEEDS` says nothing else.
const MANY_SEEDS: u64 = 1_000;
/// How often a lie is told at most before it ends.
const ENOUGH: usize = 3;
/// How long a lie lasts at most that nobody minds.
const LONG_ENOUGH: Duration = Duration::from_secs(1);
/// How long one lasts at most that nobody was told yet: on a busy machine it takes a while until somebody asks.
const LONGEST: Duration = Duration::from_secs(15);
/// How often a lie is tried that nobody was told.
const ATTEMPTS: u64 = 3;
/// After how many seeds somebody logs in again: an access token lasts 10 minutes.
const LOG_IN_EVERY: u64 = 10;
/// How many blocks are made so that records before them are read by ranges: more than can be undone.
const BEYOND_FINALITY: u64 = 20;

/// How often a lie was told.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicUsize>);

impl Told {
    fn again(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A node that is about to lie, and what it knows.
struct Liar<'a> {
    node: &'a LyingNode,
    chance: Chance,
    /// The number of the newest block before the lie.
    head: u64,
    /// The receipt of a transaction of long ago.
    other_receipt: Value,
    told: Told,
}

/// Whether a request asks this, among other things.
fn asks(questions: &Value, method: &str) -> bool {
    match questions {
        Value::Array(questions) => questions.iter().any(|it| it["method"] == method),
        question => question["method"] == method,
    }
}

impl Liar<'_> {
    /// Changes answers to this method; `change` says whether it did.
    fn changes(
        &self,
        method: &'static str,
        mut change: impl FnMut(&Value, &mut Value) -> bool + Send + 'static,
    ) {
        let told = self.told.clone();
        self.node.lies(move |asked, params, answer| {
            if asked == method && change(params, answer) {
                told.again();
            }
        });
    }

    /// Changes the logs of an answer that has some; `change` says whether it did. It counts where one is of the records: for those
    /// before the first of them, the sweep asks again and again.
    fn changes_logs(&self, mut change: impl FnMut(&mut Vec<Value>) -> bool + Send + 'static) {
        let first = quantity(&self.other_receipt["blockNumber"]);
        self.changes("eth_getLogs", move |_, answer| {
            let logs = answer
                .pointer_mut("/result")
                .and_then(Value::as_array_mut)
                .filter(|logs| !logs.is_empty());
            logs.is_some_and(|logs| {
                let is_of_records = logs
                    .iter()
                    .any(|log| quantity(&log["blockNumber"]) >= first);
                change(logs) && is_of_records
            })
        });
    }

    /// Changes each log of an answer.
    fn changes_each_log(&self, change: impl Fn(&mut Value) + Send + 'static) {
        self.changes_logs(move |logs| {
            logs.iter_mut().for_each(&change);
            true
        });
    }

    /// Changes blocks that were asked for by number, from this number on; `change` says whether it did.
    fn changes_blocks(
        &self,
        from: u64,
        mut change: impl FnMut(&mut Value) -> bool + Send + 'static,
    ) {
        self.changes("eth_getBlockByNumber", move |params, answer| {
            quantity(&params[0]).is_some_and(|number| number >= from) && change(answer)
        });
    }

    /// Changes the newest block or the one that the node calls final, whichever `tag` names.
    fn changes_tagged(&self, tag: &'static str, change: impl Fn(&mut Value) + Send + 'static) {
        self.changes("eth_getBlockByNumber", move |params, answer| {
            let is_it = params[0] == tag;
            if is_it {
                change(answer);
            }
            is_it
        });
    }

    /// Hands over the answers to one method otherwise, or to all of them.
    fn delivers(&mut self, mut how: impl FnMut(String) -> Delivered + Send + 'static) {
        let methods = [
            "eth_getBlockByNumber",
            "eth_getLogs",
            "eth_getTransactionReceipt",
            "eth_call",
            "",
        ];
        let victim = *self.chance.one_of(&methods);
        let told = self.told.clone();
        self.node.delivers(move |questions, answer| {
            if !victim.is_empty() && !asks(questions, victim) {
                return Delivered::Whole(answer);
            }
            told.again();
            how(answer)
        });
    }

    /// Breaks off once, so that it is asked again who it is.
    fn breaks_off_once(&self) {
        let mut is_done = false;
        self.node.delivers(move |_, answer| {
            if is_done {
                return Delivered::Whole(answer);
            }
            is_done = true;
            Delivered::Broken(String::new())
        });
    }
}

/// A world whose indexer asks two nodes in between, and somebody who stores records in it.
struct Stage {
    world: World,
    nodes: [LyingNode; 2],
    ana: Person,
    other_receipt: Value,
    records: u64,
}

impl Stage {
    /// Sixteen blocks can be undone in it.
    async fn open() -> Self {
        let mut world = World::with(|options| options.slots_in_an_epoch = 8).await;
        let real = world.foundation.chain_rpc_url().to_owned();
        let nodes = [
            LyingNode::before(&real).await,
            LyingNode::before(&real).await,
        ];
        world.indexer.stop().await;
        let environment = [
            ("CHAIN_RPC_URL", nodes[0].url()),
            ("CHAIN_RPC_URLS", nodes[1].url()),
        ];
        world.indexer = world.another_indexer("lied-to", &environment).await;
        let ana = world.patient("ana").await;
        let mut stage = Self {
            world,
            nodes,
            ana,
            other_receipt: Value::Null,
            records: 0,
        };
        let first = stage.creates().await;
        let anchor = stage.world.wait_for_anchor(&first, "CONFIRMED").await;
        let receipt = json!([anchor["tx_hash"]]);
        let receipt = stage.world.rpc("eth_getTransactionReceipt", receipt).await;
        stage.other_receipt = receipt;
        stage
    }

    async fn creates(&mut self) -> String {
        let ana = &self.ana;
        let record = ana.creates(ana, "VITAL_SIGNS", documents::vital_signs());
        self.records += 1;
        id(&record.await)
    }

    /// Which node is asked at present.
    async fn used(&self) -> usize {
        let said = self.world.indexer.says("/health/ready").await;
        let nodes = said["nodes"].as_array();
        let used = nodes.and_then(|nodes| nodes.iter().position(|node| node["isUsed"] == true));
        used.unwrap_or_default()
    }

    /// Plays a seed: its lie is told, and changes nothing.
    async fn plays(&mut self, seed: u64) {
        let count = u64::try_from(FAMILIES.len()).expect("they are few");
        let family = usize::try_from(seed % count).expect("they are few");
        let family = &FAMILIES[family];
        for attempt in 0..ATTEMPTS {
            // Seen only where something fails afterwards.
            eprintln!("seed {seed}, attempt {attempt}: {}", family.name);
            let chance = Chance::of(seed * ATTEMPTS + attempt);
            let is_told = self.lies(family, chance).await;
            self.nothing_has_changed(seed, family).await;
            if is_told {
                return;
            }
        }
        panic!("nobody was told the lie of seed {seed}: {}", family.name);
    }

    /// Tells a lie while records are stored, until it was told often enough. Answers whether it was told at all.
    async fn lies(&mut self, family: &Family, mut chance: Chance) -> bool {
        let is_by_ranges = match family.reading {
            Reading::Ranges => true,
            Reading::Blocks => false,
            Reading::Any => chance.one_in(2),
        };
        let is_told_by_both = match family.tellers {
            Tellers::Both => true,
            Tellers::OneOfTwo => false,
            Tellers::Either => chance.one_in(2),
        };
        // While it stands still it does not say.
        let used = self.used().await;
        if is_by_ranges {
            // What it reads when it goes on is final already. It asks for several blocks at once again after some that are empty.
            self.world.indexer.pause();
            self.world.mine(BEYOND_FINALITY).await;
            for _ in 0..3 {
                self.creates().await;
            }
            self.is_mined().await;
            self.world.mine(BEYOND_FINALITY).await;
        }
        let told = Told::default();
        let head = self.world.block_number().await;
        let tellers: Vec<&LyingNode> = if is_told_by_both {
            self.nodes.iter().collect()
        } else {
            vec![&self.nodes[used]]
        };
        for node in tellers {
            (family.lie)(&mut Liar {
                node,
                chance: chance.clone(),
                head,
                other_receipt: self.other_receipt.clone(),
                told: told.clone(),
            });
        }
        if is_by_ranges {
            self.world.indexer.resume();
        } else {
            self.creates().await;
        }
        let began = Instant::now();
        while told.count() < ENOUGH && !self.is_confirmed().await {
            let limit = if told.count() == 0 {
                LONGEST
            } else {
                LONG_ENOUGH
            };
            if began.elapsed() > limit {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for node in &self.nodes {
            node.is_honest_again();
        }
        told.count() > 0
    }

    /// Whether every record is in a block, by what is stored.
    async fn is_confirmed(&self) -> bool {
        let open = "SELECT 1 FROM record_anchors WHERE state NOT IN ('CONFIRMED', 'FINALIZED')";
        self.world.sql(open).await.is_empty()
    }

    /// Waits until every record is in a block, whoever has seen it.
    async fn is_mined(&self) {
        let registrar = &self.world.foundation.deployment.registrar;
        let next = "SELECT max(nonce) + 1 AS nonce FROM anchor_outbox";
        let next = self.world.sql(next).await[0]["nonce"].as_u64();
        eventually("the records are in blocks", async || {
            let mined = json!([registrar, "latest"]);
            let mined = self.world.rpc("eth_getTransactionCount", mined).await;
            (quantity(&mined) == next).then_some(())
        })
        .await;
    }

    /// What is stored is what the chain holds, and nothing else happened.
    async fn nothing_has_changed(&self, seed: u64, family: &Family) {
        let of = format!("after the lie of seed {seed}, {}", family.name);
        eventually(&format!("every record is in a block {of}"), async || {
            self.is_confirmed().await.then_some(())
        })
        .await;
        self.world.wait_for_indexer().await;
        events_equal_the_chain(&self.world).await;
        let wrong = self.world.sql(MISFITS).await;
        assert_eq!(wrong, Vec::<Value>::new(), "{of}");
        let stored = "SELECT count(*) AS count FROM record_anchors";
        let stored = &self.world.sql(stored).await[0]["count"];
        assert_eq!(stored.as_u64(), Some(self.records), "{of}");
        let undone = "SELECT id FROM chain_events WHERE undone_at IS NOT NULL";
        assert_eq!(self.world.sql(undone).await, Vec::<Value>::new(), "{of}");
        let log = self.world.indexer.log();
        assert!(!log.contains("The chain was undone above"), "{of}: {log}");
        let found = "SELECT kind, details FROM integrity_findings";
        assert_eq!(self.world.sql(found).await, Vec::<Value>::new(), "{of}");
    }

    async fn log_in_again(&mut self) {
        self.ana = self.world.logs_in(&self.ana).await;
    }
}

/// Records whose anchor is not what the event of their hash says.
const MISFITS: &str = "
    SELECT anchor.record_id, anchor.state
    FROM record_anchors AS anchor
    LEFT JOIN medical_records AS record ON record.id = anchor.record_id
    LEFT JOIN chain_events AS event
        ON event.subject_hash = anchor.record_hash AND event.kind = 'RECORD_ANCHORED' AND event.undone_at IS NULL
    WHERE event.id IS NULL
       OR record.id IS NULL
       OR record.data_hash <> anchor.record_hash
       OR record.blockchain_record_id <> anchor.tx_hash
       OR event.tx_hash IS DISTINCT FROM anchor.tx_hash
       OR event.block_hash IS DISTINCT FROM anchor.block_hash
       OR event.block_number IS DISTINCT FROM anchor.block_number
       OR event.log_index IS DISTINCT FROM anchor.log_index
       OR event.sequence IS DISTINCT FROM anchor.sequence
       OR event.actor IS DISTINCT FROM anchor.registrar";

async fn play(seeds: Range<u64>) {
    let mut stage = Stage::open().await;
    for (nth, seed) in (1..).zip(seeds) {
        stage.plays(seed).await;
        if nth % LOG_IN_EVERY == 0 {
            stage.log_in_again().await;
        }
    }
}

/// A number in the environment.
fn said(variable: &str, otherwise: u64) -> u64 {
    let said = std::env::var(variable).ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test]
async fn forty_lies_by_chance_change_nothing() {
    let kinds = u64::try_from(FAMILIES.len()).expect("they are few");
    assert!(kinds <= SEEDS, "each kind is played");
    play(0..SEEDS).await;
}

#[tokio::test]
#[ignore = "takes half an hour: CONTRIBUTING.md, write a test"]
async fn a_thousand_lies_by_chance_change_nothing() {
    let first = said("MEDITRUSTAL_TEST_SEED", SEEDS);
    let count = said("MEDITRUSTAL_TEST_SEEDS", MANY_SEEDS);
    play(first..first + count).await;
}
