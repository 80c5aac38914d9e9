//! Every alert of `ops/prometheus/alerts.yml`, brought about with the real programs: what they tell before and after is put before
//! the alert's own expression, by `tests::prometheus`.

use std::collections::BTreeSet;
use std::time::Duration;

use dev::stack::Options;
use futures::future::{join, join_all};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tests::monitoring::Scrape;
use tests::prometheus::{Target, firing};
use tests::registry::{REGISTRAR_ROLE, revoke_role, set_paused};
use tests::{Person, Program, World, documents, eventually, id, text};

use crate::backups::{Site, creates};
use crate::break_glass::{ages, cannot_be_written_down, opens};
use crate::checkpoints::{pinned, pins_another_trail};
use crate::health::{puts_the_clock_ahead, puts_the_clock_of};
use crate::lying_node::LyingNode;
use crate::monitoring::{FINDING, Settings, runs, tells_metrics};
use crate::relay::signs_elsewhere;

/// anvil's account 0: administrator, steward and pauser of a registry for development.
const ADMINISTRATOR: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// More reorganised blocks with events than are usual.
const UNDONE: u64 = 18;
/// Log-ins that have to wait, within a minute: more than one a second.
const GUESSES: usize = 100;
/// So many blocks that the first ranges of them leave more than 64.
const BEHIND: u64 = 300;
/// More lists than may wait, and fewer than the connections of an address.
const LISTS: usize = 480;

const LIST: &str = "{ medicalRecords(first: 5) { nodes { id } } }";
const LOG_IN: &str = "mutation LogIn($input: LogInInput!) { logIn(input: $input) { accessToken } }";
const GRANT: &str = "mutation Grant($input: GrantConsentInput!) {
  grantConsent(input: $input) { consent { id } }
}";
const BREAK_GLASS: &str = "mutation Open($input: BreakGlassInput!) {
  breakGlass(input: $input) { window { id } }
}";

/// What an api and an indexer told; `None` where nobody answered.
#[derive(Debug, Clone, Default)]
struct Look {
    api: Option<Scrape>,
    indexer: Option<Scrape>,
}

impl Look {
    async fn at(api: &Program, indexer: &Program) -> Self {
        Self {
            api: api.metrics().await,
            indexer: indexer.metrics().await,
        }
    }

    /// Which alerts fire when it goes on as between an earlier look and this one.
    fn firing_since(&self, earlier: &Self) -> BTreeSet<String> {
        let target = |job, earlier: Option<Scrape>, later: Option<Scrape>| Target {
            job,
            instance: "one",
            earlier,
            later,
        };
        firing(&[
            target("meditrustal-api", earlier.api.clone(), self.api.clone()),
            target(
                "meditrustal-indexer",
                earlier.indexer.clone(),
                self.indexer.clone(),
            ),
        ])
    }
}

/// Waits until both tell something.
async fn sees(world: &World, what: &str, is_seen: impl Fn(&Scrape, &Scrape) -> bool) -> Look {
    let nothing = Scrape::default();
    eventually(what, async || {
        let look = Look::at(&world.api, &world.indexer).await;
        let api = look.api.as_ref().unwrap_or(&nothing);
        let indexer = look.indexer.as_ref().unwrap_or(&nothing);
        is_seen(api, indexer).then(|| look.clone())
    })
    .await
}

/// Waits until all is well and was measured.
async fn is_well(world: &World) -> Look {
    sees(world, "all was measured", |api, indexer| {
        let left = api.value("account_transactions_left", &[("account", "registrar")]);
        let nonce = |of: &str| api.value("registrar_nonce", &[("of", of)]);
        let parts = ["database", "clock", "indexer", "node", "signers"];
        let fails = |part: &&str| api.value("health_failing", &[("part", *part)]) != Some(0.0);
        // Both are read one after the other, and the chain's goes on between.
        let is_even = nonce("database").is_none() || nonce("chain") <= nonce("database");
        !parts.iter().any(fails)
            && is_even
            && api.value("sampled_timestamp_seconds", &[]) > Some(0.0)
            && left > Some(1000.0)
            && api
                .value("indexer_led_seconds", &[])
                .is_some_and(|it| it < 60.0)
            && indexer.value("indexer_role", &[("role", "leader")]) == Some(1.0)
    })
    .await
}

/// None of these alerts fires before, and each of them does after.
fn begin_to_fire(before: &Look, after: &Look, alerts: &[&str]) {
    let quiet = before.firing_since(before);
    let fired = after.firing_since(before);
    for alert in alerts {
        assert!(!quiet.contains(*alert), "{alert} fires before");
        assert!(fired.contains(*alert), "{alert} is not among {fired:?}");
    }
}

async fn watched(change: impl FnOnce(&mut Options)) -> World {
    World::with(|options| {
        tells_metrics(options);
        change(options);
    })
    .await
}

/// A superuser who has run this, and stays.
async fn superuser(world: &World, statements: &'static str) -> PgConnection {
    let url = world.foundation.database.superuser_url();
    let mut superuser = PgConnection::connect(&url).await.expect("a superuser");
    let done = sqlx::raw_sql(statements).execute(&mut superuser).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    superuser
}

async fn pauses(world: &World) {
    world.calls_registry(ADMINISTRATOR, set_paused(true)).await;
}

async fn stores(person: &Person) -> Value {
    person
        .creates(person, "VITAL_SIGNS", documents::vital_signs())
        .await
}

/// A record that somebody else with the registrar's key supersedes; emergency access that nobody reviews; and a deep check that ends
/// no round.
async fn neglects(world: &World, ana: &Person, bo: &Person) {
    let registrar = &world.foundation.deployment.registrar;
    let record = stores(ana).await;
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let supersede = format!("0xf13cb8cd{}{}", text(&record["dataHash"]), "ab".repeat(32));
    world.calls_registry(registrar, supersede).await;
    let window = opens(bo, ana).await;
    ages(world, &window, "80 hours").await;
    world
        .attacks("UPDATE deep_checks SET last_ended_at = now() - interval '4 days'")
        .await;
}

#[tokio::test]
async fn what_is_found_and_not_looked_after_is_told_by_its_alert() {
    let world = watched(|options| options.checkpoints = Some(Duration::from_secs(1))).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    world.first_admin().await;
    stores(&ana).await;
    pinned(&world, 1).await;
    let before = is_well(&world).await;

    neglects(&world, &ana, &bo).await;

    let nonce = |scrape: &Scrape, of: &str| scrape.value("registrar_nonce", &[("of", of)]);
    let found = sees(&world, "what is neglected is told", |api, _| {
        let open = |kind: &str| api.value("findings_open", &[("kind", kind)]) >= Some(1.0);
        open("ENDED_ON_CHAIN")
            && open("UNKNOWN_ON_CHAIN")
            && api.value("emergency_windows_escalated", &[]) == Some(1.0)
            && api.value("deep_check_age_seconds", &[]) > Some(300_000.0)
            && nonce(api, "chain") > nonce(api, "database")
    })
    .await;
    let alerts = [
        "FindingOpen",
        "ForeignFindingOpen",
        "ForeignNonce",
        "EmergencyUnreviewed",
        "EmergencyEscalated",
        "DeepCheckOld",
    ];
    begin_to_fire(&before, &found, &alerts);

    gets_nowhere(&world, &ana).await;

    let found = sees(&world, "what gets nowhere is told", |api, _| {
        let elsewhere = [("outcome", "nonce-elsewhere")];
        api.value("findings_open", &[("kind", "ANCHOR_STUCK")]) == Some(1.0)
            && api.value("outbox_transactions", &[("state", "FAILED")]) >= Some(1.0)
            && api.value("relay_transactions_total", &elsewhere) >= Some(1.0)
            // The relay has passed over what was foreign, which is told by what it counted alone.
            && nonce(api, "chain").is_some_and(|chain| nonce(api, "database") >= Some(chain))
    })
    .await;
    let alerts = ["FailedAnchors", "AnchorStuck", "ForeignNonce"];
    begin_to_fire(&before, &found, &alerts);

    let _held = stands_still(&world, &ana).await;

    let found = sees(&world, "what stands still is told", |api, _| {
        api.value("outbox_oldest_seconds", &[]) > Some(3600.0)
            && api.value("audit_checkpoint_age_seconds", &[]) > Some(3600.0)
            && api.value("audit_rows_unpinned", &[]) > Some(0.0)
            && api.value("audit_rows_unordered", &[]) > Some(10_000.0)
            && api.value("account_transactions_left", &[("account", "registrar")]) == Some(0.0)
    })
    .await;
    let alerts = [
        "OutboxWaits",
        "CheckpointOld",
        "LowFunds",
        "NoFunds",
        "TrailUnordered",
    ];
    begin_to_fire(&before, &found, &alerts);
}

#[tokio::test]
async fn nodes_that_differ_about_a_transaction_are_told_by_their_alert() {
    let mut world = watched(|_| {}).await;
    let node = LyingNode::before(world.foundation.chain_rpc_url()).await;
    let ana = world.patient("ana").await;
    world.api.stop().await;
    let environment = [("CHAIN_RPC_URLS", node.url())];
    world.api = world
        .another_api("api-with-another-node", &environment)
        .await;
    let ana = ana.at(&world.api);
    let before = is_well(&world).await;

    node.lies(|method, _, answer| {
        if method == "eth_getTransactionCount" {
            answer["result"] = json!("0x0");
        }
    });
    signs_elsewhere(&world).await;
    stores(&ana).await;

    let found = sees(&world, "it is counted", |api, _| {
        let differ = [("outcome", "nodes-differ")];
        api.value("relay_transactions_total", &differ) >= Some(3.0)
    })
    .await;
    begin_to_fire(&before, &found, &["NodesDiffer"]);
}

/// A record whose nonce somebody else has used, which is signed again with another one; and a record that the registry does not
/// take, because the registrar has lost its role, for good.
async fn gets_nowhere(world: &World, ana: &Person) {
    let failed = stores(ana).await;
    world.wait_for_anchor(&id(&failed), "CONFIRMED").await;
    let registrar = &world.foundation.deployment.registrar;
    world
        .calls_registry(ADMINISTRATOR, revoke_role(REGISTRAR_ROLE, registrar))
        .await;
    stores(ana).await;
}

/// A paused registry, with a record that waits and a trail that is not pinned; a registrar without funds; and a trail that gets no
/// order as long as the answer is held.
async fn stands_still(world: &World, ana: &Person) -> PgConnection {
    pauses(world).await;
    world.wait_for_indexer().await;
    stores(ana).await;
    world
        .attacks(
            "UPDATE anchor_outbox SET created_at = created_at - interval '2 hours' WHERE state IN ('QUEUED', 'SENT');
             UPDATE audit_checkpoints SET created_at = created_at - interval '2 hours'",
        )
        .await;
    eventually("the trail has grown beyond its checkpoint", async || {
        let beyond = "SELECT 1 FROM audit_leaves
            WHERE position >= (SELECT max(tree_size) FROM audit_checkpoints WHERE state = 'ANCHORED') LIMIT 1";
        (!world.sql(beyond).await.is_empty()).then_some(())
    })
    .await;
    let held = superuser(
        world,
        "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('meditrustal audit tree', schema_key()))",
    )
    .await;
    let person = &ana.id;
    world
        .executes(&format!(
            "INSERT INTO audit_logs (
                 user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id
             )
             SELECT '{person}', 'RECORD_READ', 'MEDICAL_RECORD', gen_random_uuid(), '::1',
                    gen_random_uuid(), 'TREAT', '3 years', 'MEDICAL', 'METADATA_ONLY', '{person}'
             FROM generate_series(1, 10500)"
        ))
        .await;
    let registrar = &world.foundation.deployment.registrar;
    world
        .rpc("anvil_setBalance", json!([registrar, "0x0"]))
        .await;
    held
}

#[tokio::test]
async fn what_the_chain_does_and_the_indexer_does_not_is_told_by_its_alert() {
    let world = watched(|options| {
        options.slots_in_an_epoch = 16;
        options.checkpoints = Some(Duration::from_secs(86_400));
    })
    .await;
    let ana = world.patient("ana").await;
    pinned(&world, 1).await;
    let before = is_well(&world).await;

    // Our key pins what is not ours, and more blocks are undone than ever are.
    pins_another_trail(&world, &"11".repeat(32)).await;
    world.patient("eve").await;
    world.asks_for_checkpoint().await;
    for _ in 0..UNDONE {
        creates(&world, &ana).await;
    }
    world.wait_for_indexer().await;
    world.reorg(UNDONE).await;
    let after = sees(&world, "both are told", |api, _| {
        let state = [("state", "CONTRADICTION")];
        api.value("audit_checkpoint_state", &state) == Some(1.0)
            && api.value("undone_blocks", &[]) > Some(16.0)
    })
    .await;
    begin_to_fire(
        &before,
        &after,
        &["CheckpointContradiction", "DeepReorganisation"],
    );

    head_is_old(&world, &before).await;
    indexer_is_held_up(&world, &before).await;
    indexer_ends(&world, &ana, &before).await;
}

/// Nothing is mined, and by the indexer's clock seven minutes pass.
async fn head_is_old(world: &World, before: &Look) {
    let cut_off = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE usename = 'meditrustal_indexer' AND datname = current_database()";
    puts_the_clock_of(world, "meditrustal_indexer", 420).await;
    world.sql(cut_off).await;
    let after = sees(world, "the head is old", |_, indexer| {
        indexer.value("indexer_head_age_seconds", &[]) > Some(300.0)
            && indexer.value("indexer_role", &[("role", "leader")]) == Some(1.0)
    })
    .await;
    begin_to_fire(before, &after, &["HeadOld"]);

    let name = world.foundation.database.name();
    world
        .executes(&format!(
            "ALTER ROLE meditrustal_indexer IN DATABASE {name} RESET search_path"
        ))
        .await;
    world.sql(cut_off).await;
    is_well(world).await;
}

/// The database lets the indexer begin, and not go on.
async fn indexer_is_held_up(world: &World, before: &Look) {
    world
        .executes(
            "CREATE FUNCTION no_further() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'held up' USING ERRCODE = 'lock_not_available'; END $$;
             CREATE TRIGGER no_further BEFORE UPDATE ON chain_cursors FOR EACH ROW
                 WHEN (OLD.chain_head - OLD.block_number > 64) EXECUTE FUNCTION no_further()",
        )
        .await;
    // Anvil is slow to make many at once.
    world.indexer.pause();
    for _ in 0..BEHIND / 50 {
        world.mine(50).await;
    }
    world.indexer.resume();
    let after = sees(world, "it is behind", |api, _| {
        api.value("indexed_lag_blocks", &[]) > Some(64.0)
    })
    .await;
    begin_to_fire(before, &after, &["IndexerBehind"]);
    world
        .executes("DROP TRIGGER no_further ON chain_cursors")
        .await;
    world.wait_for_indexer().await;
}

/// What was final is undone, and then nobody leads.
async fn indexer_ends(world: &World, ana: &Person, before: &Look) {
    // Empty blocks are made again as they were: one with a transaction is not.
    creates(world, ana).await;
    world.mine(50).await;
    world.wait_for_indexer().await;
    world.reorg(60).await;
    let after = sees(world, "nothing more is applied", |_, indexer| {
        let reason = [("reason", "REORG_BELOW_FINALITY")];
        indexer.value("indexer_halted", &reason) == Some(1.0)
    })
    .await;
    begin_to_fire(before, &after, &["IndexerHalted"]);

    world.indexer.kill().await;
    world
        .attacks("UPDATE chain_cursors SET updated_at = now() - interval '2 minutes'")
        .await;
    let after = sees(world, "nobody leads", |api, _| {
        api.value("indexer_led_seconds", &[]) > Some(60.0)
            && api.value("health_failing", &[("part", "indexer")]) == Some(1.0)
    })
    .await;
    begin_to_fire(
        before,
        &after,
        &["IndexerDown", "NoIndexerLeads", "HealthFailing"],
    );
}

/// Log-ins with a wrong password that have to wait.
async fn guesses(world: &World, person: &Person) {
    let input = json!({ "input": { "login": person.username, "password": "not the right one" } });
    let mut waited = 0;
    // On a busy machine more of them come after the pause that the one before has earned.
    for _ in 0..2 * GUESSES {
        let answer = world.nobody().asks(LOG_IN, input.clone()).await;
        waited += usize::from(answer.code() == Some("THROTTLED"));
        if waited == GUESSES {
            return;
        }
    }
    panic!("{waited} had to wait");
}

/// Emergency access that cannot be written down.
async fn asks_for_what_is_broken(world: &World, bo: &Person, ana: &Person) {
    cannot_be_written_down(world).await;
    let input = json!({ "patientId": ana.id, "reason": "She is unconscious after an accident." });
    let answer = bo.asks(BREAK_GLASS, json!({ "input": input })).await;
    answer.fails_with("INTERNAL");
}

#[tokio::test]
async fn requests_that_fail_are_told_by_their_alert() {
    let world = watched(|options| {
        for (name, value) in [
            ("MEDITRUSTAL_GUESSES", "1"),
            ("MEDITRUSTAL_COST_AT_ONCE", "1000000000"),
        ] {
            options.api.push((name.to_owned(), value.to_owned()));
        }
    })
    .await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let narrow = [
        ("MEDITRUSTAL_POOL_MAX_SIZE", "4"),
        ("MEDITRUSTAL_POOL_MAX_OVERFLOW", "0"),
        ("MEDITRUSTAL_POOL_TIMEOUT", "1"),
    ];
    let narrow = world.another_api("narrow", &narrow).await;
    let before = is_well(&world).await;
    let narrow_before = Look::at(&narrow, &world.indexer).await;

    guesses(&world, &ana).await;
    asks_for_what_is_broken(&world, &bo, &ana).await;
    let held = superuser(
        &world,
        "BEGIN; LOCK TABLE data_processing_consents IN ACCESS EXCLUSIVE MODE",
    )
    .await;
    // Both wait for the lock as long as they may, and take every connection that the narrow one has.
    let terms = json!({ "input": bo.terms() });
    let ana_there = ana.at(&narrow);
    let slow = join_all((0..4).map(|_| ana.tries(GRANT, terms.clone())));
    let lists = join_all((0..LISTS).map(|_| bo.tries(LIST, json!({}))));
    let at_narrow = join_all((0..12).map(|_| ana_there.tries(GRANT, terms.clone())));
    join(join(slow, lists), at_narrow).await;
    held.close().await.expect("the table is free again");

    let after = sees(&world, "what failed is counted", |api, _| {
        api.value("queue_refused_total", &[("queue", "long-lists")]) > Some(0.0)
    })
    .await;
    begin_to_fire(
        &before,
        &after,
        &[
            "ThrottledAttempts",
            "InternalErrors",
            "SlowFields",
            "QueueFull",
            "ManyErrors",
        ],
    );
    let narrow_after = eventually("the pool is looked at", async || {
        let look = Look::at(&narrow, &world.indexer).await;
        let in_vain = look.api.as_ref()?.value("pool_waits_in_vain_total", &[]);
        (in_vain > Some(0.0)).then_some(look)
    })
    .await;
    begin_to_fire(&narrow_before, &narrow_after, &["PoolExhausted"]);

    replica_is_unused(&world, &before).await;

    // Whoever connects from now on sees another time.
    puts_the_clock_ahead(&world, 30).await;
    let ahead = world.another_api("ahead", &[]).await;
    let ahead = eventually("the clocks were compared", async || {
        let look = Look::at(&ahead, &world.indexer).await;
        let apart = look.api.as_ref()?.value("clock_ahead_seconds", &[]);
        (apart > Some(5.0)).then_some(look)
    })
    .await;
    begin_to_fire(&before, &ahead, &["ClockApart"]);
}

/// An api whose replica is the primary itself, which is none.
async fn replica_is_unused(world: &World, before: &Look) {
    let primary = world.foundation.url_of("meditrustal_api");
    let primary = primary.unwrap_or_else(|error| panic!("{error}"));
    let environment = [("DATABASE_REPLICA_URL", primary.as_str())];
    let api = world.another_api("without-a-replica", &environment).await;
    let after = eventually("the replica was looked at", async || {
        let look = Look::at(&api, &world.indexer).await;
        let failing = look.api.as_ref()?.value("replica_failing", &[]);
        (failing == Some(1.0)).then_some(look)
    })
    .await;
    begin_to_fire(before, &after, &["ReplicaUnused"]);
}

/// Maintenance that came to its end two days ago.
async fn was_maintained(world: &World) {
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.unwrap_or_else(|error| panic!("{error}"));
    let environment = [("DATABASE_URL", owner.as_str())];
    let maintained = runs(world, &["maintain", "run", "--json"], &environment).await;
    assert_eq!(maintained.code, Some(0), "{maintained:?}");
    world
        .executes(
            "UPDATE maintenance_runs
             SET started_at = started_at - interval '2 days', finished_at = finished_at - interval '2 days'",
        )
        .await;
}

/// Rows that are dead, and read without an index; an index that cannot be used; and nearly all of 40 connections taken.
async fn neglects_the_database(world: &World) -> Vec<PgConnection> {
    world
        .executes(
            "INSERT INTO throttle_counters (scope, subject, due_at)
             SELECT 'ADDRESS', 'of a test ' || n, now() + interval '1 day' FROM generate_series(1, 15000) AS n;
             DELETE FROM throttle_counters WHERE subject LIKE 'of a test %5' OR subject LIKE 'of a test %6'",
        )
        .await;
    world
        .executes(
            "DO $$ BEGIN FOR nth IN 1..5000 LOOP PERFORM 1 FROM throttle_counters LIMIT 1; END LOOP; END $$",
        )
        .await;
    let mut owner = world.connects_as("meditrustal_migrator").await;
    let twice = "CREATE UNIQUE INDEX CONCURRENTLY of_a_test ON throttle_counters (scope)";
    let refused = sqlx::raw_sql(twice).execute(&mut owner).await;
    refused.expect_err("there are many of one scope, and the index stays behind");
    let mut taken = vec![owner];
    let count = "SELECT count(*) AS count FROM pg_stat_activity WHERE datid IS NOT NULL";
    while world.sql(count).await[0]["count"].as_u64() < Some(35) {
        taken.push(superuser(world, "SELECT 1").await);
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_well_is_told_by_its_alerts() {
    let world = World::with_its_own_postgres_and(|options| {
        tells_metrics(options);
        options
            .postgres
            .push(("max_connections".to_owned(), "40".to_owned()));
        for (name, value) in [
            ("MEDITRUSTAL_POOL_MAX_SIZE", "6"),
            ("MEDITRUSTAL_POOL_MAX_OVERFLOW", "0"),
        ] {
            options.api.push((name.to_owned(), value.to_owned()));
        }
    })
    .await;
    let before = is_well(&world).await;
    // Before anybody sleeps: what is rebuilt waits for older statements.
    was_maintained(&world).await;
    let mut sleeper = world.connects_as("meditrustal_indexer").await;
    let sleeping = tokio::spawn(async move {
        let sleep = "SELECT pg_sleep(300)";
        sqlx::raw_sql(sleep).execute(&mut sleeper).await.ok();
    });

    let taken = neglects_the_database(&world).await;

    // It has to last 30 s first.
    sees(&world, "a long query is measured", |api, _| {
        api.value("database_longest_query_seconds", &[]) > Some(30.0)
    })
    .await;
    let after = sees(&world, "all of it is measured", |api, _| {
        let of_table = |name: &str| api.value(name, &[("table", "throttle_counters")]);
        api.value("database_connections", &[]) > Some(32.0)
            && api.value("database_longest_query_seconds", &[]) > Some(30.0)
            && of_table("table_dead_row_ratio") > Some(0.1)
            && of_table("table_index_use_ratio").is_some_and(|it| it < 0.05)
            && api.value("invalid_indexes", &[]) == Some(1.0)
            && api.value("maintenance_age_seconds", &[("task", "VACUUM")]) > Some(93_600.0)
    })
    .await;
    let alerts = [
        "ManyConnections",
        "LongQuery",
        "DeadRows",
        "IndexesUnused",
        "InvalidIndex",
        "MaintenanceOld",
    ];
    begin_to_fire(&before, &after, &alerts);
    // The figures were read again between the two.
    assert!(!after.firing_since(&before).contains("FiguresStale"));
    sleeping.abort();
    drop(taken);

    world.foundation.database.cluster().expect("ours").stop();
    let failing = |api: &Scrape, _: &Scrape| {
        api.value("health_failing", &[("part", "database")]) == Some(1.0)
    };
    let earlier = sees(&world, "the database is missed", failing).await;
    let later = sees(&world, "it still is", failing).await;
    let fired = later.firing_since(&earlier);
    for alert in ["FiguresStale", "HealthFailing"] {
        assert!(fired.contains(alert), "{alert} is not among {fired:?}");
    }
    world.api.kill().await;
    let gone = Look::at(&world.api, &world.indexer).await;
    begin_to_fire(&before, &gone, &["ApiDown"]);
}

/// What `meditrustal health` tells Prometheus, of what is made to happen here alone: how full a machine's disk is, say, is not
/// this test's.
async fn told_by_health(world: &World, settings: &Settings) -> Scrape {
    let said = settings.run(world, &["--prometheus"]).await;
    let mut told = Scrape::read(&said.said);
    told.series.retain(|(_, labels, _)| {
        let check = labels.get("check");
        check.is_none_or(|it| ["findings", "weekly-backup"].contains(&it.as_str()))
    });
    told
}

/// Which alerts fire when `meditrustal health` goes on as from one run to another.
fn fired_by_health(earlier: &Scrape, later: &Scrape) -> BTreeSet<String> {
    firing(&[Target {
        job: "node",
        instance: "one",
        earlier: Some(earlier.clone()),
        later: Some(later.clone()),
    }])
}

#[tokio::test]
async fn what_meditrustal_health_finds_and_that_it_does_not_run_is_told_by_its_alerts() {
    let world = watched(|_| {}).await;
    let site = Site::of(&world).await;
    let ana = world.patient("ana").await;
    creates(&world, &ana).await;
    let run = ["backup", "run", "--tier", "weekly"];
    let ended = site.runs(&world, &run, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let settings = Settings::of(&world)
        .and("MEDITRUSTAL_BACKUP_DIR", site.file("records"))
        .and("MEDITRUSTAL_KEYS_BACKUP_DIR", site.file("keys"));
    let ran = |told: &Scrape| told.value("check_timestamp_seconds", &[]);
    let first = told_by_health(&world, &settings).await;
    let well = eventually("it has run again", async || {
        let told = told_by_health(&world, &settings).await;
        (ran(&told) > ran(&first)).then_some(told)
    })
    .await;
    let quiet = fired_by_health(&first, &well);
    for alert in ["CheckWarning", "CheckCritical", "ChecksStale"] {
        assert!(!quiet.contains(alert), "{alert} fires: {}", well.text());
    }

    let run = ["backup", "run", "--tier", "weekly", "--again"];
    let without = [("MEDITRUSTAL_PG_CLIENT_BIN", "/nowhere")];
    site.runs(&world, &run, &without)
        .await
        .is_refused("install the client programs of PostgreSQL");
    world.executes(FINDING).await;

    let bad = eventually("it has run again", async || {
        let told = told_by_health(&world, &settings).await;
        (ran(&told) > ran(&well)).then_some(told)
    })
    .await;
    let status = |check: &str| bad.value("check_status", &[("check", check)]);
    assert_eq!(status("weekly-backup"), Some(1.0), "{}", bad.text());
    assert_eq!(status("findings"), Some(2.0), "{}", bad.text());
    let fired = fired_by_health(&well, &bad);
    assert!(fired.contains("CheckWarning"), "{fired:?}");
    assert!(fired.contains("CheckCritical"), "{fired:?}");
    assert!(!fired.contains("ChecksStale"), "{fired:?}");
    // Nobody runs it any more: what it told last stays as it was.
    assert!(fired_by_health(&bad, &bad).contains("ChecksStale"));
}
