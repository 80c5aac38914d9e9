//! Lists, documents and the trail are read from a streaming replica, which never shows less than the primary would, and nothing
//! that is asked fails for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tests::{Answer, Person, Program, Standby, Wiretap, World, documents, eventually, id};

use crate::erasures::{approves, is_completed, verified};

/// What a standby has to have like its primary, as the template of a world sets it.
const ALIKE: [(&str, &str); 2] = [("max_connections", "200"), ("shared_buffers", "64MB")];
const LIST: &str =
    "query List($patient: UUID) { medicalRecords(patientId: $patient) { nodes { id document } } }";
const LOG: &str = "{ myAccessLog(first: 50) { nodes { id } } }";

/// A world whose api reads from a replica, over a line that is listened to.
struct Replicated {
    world: World,
    standby: Standby,
    tap: Wiretap,
    api: Program,
}

impl Replicated {
    async fn start() -> Self {
        Self::of(World::with_its_own_postgres().await).await
    }

    async fn of(world: World) -> Self {
        let standby = tokio::task::block_in_place(|| Standby::of(&world, &ALIKE));
        let tap = Wiretap::before(&standby.url(&api_url(&world))).await;
        // As long as it may be: what is written lately is waited for, however slow the machine is.
        let environment = [
            ("DATABASE_REPLICA_URL", tap.url()),
            ("MEDITRUSTAL_REPLICA_WAIT", "50"),
        ];
        let api = world.another_api("with-a-replica", &environment).await;
        let replicated = Self {
            world,
            standby,
            tap,
            api,
        };
        replicated.says("used").await;
        replicated
    }

    /// Waits until the api says this of its replica.
    async fn says(&self, wanted: &str) {
        eventually("the replica is as it should be", async || {
            let said = self.api.says("/health/ready").await;
            (said["replica"] == json!(wanted)).then_some(())
        })
        .await;
    }

    /// On the replica, as its superuser.
    async fn runs(&self, statement: &'static str) {
        let url = self.world.foundation.database.superuser_url();
        let superuser = PgConnection::connect(&self.standby.url(&url)).await;
        let mut superuser = superuser.expect("the replica answers");
        let done = sqlx::raw_sql(statement).execute(&mut superuser).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// Stops the replay: from here on the replica learns nothing.
    async fn pauses(&self) {
        let url = self.world.foundation.database.superuser_url();
        let superuser = PgConnection::connect(&self.standby.url(&url)).await;
        let mut superuser = superuser.expect("the replica answers");
        sqlx::raw_sql("SELECT pg_wal_replay_pause()")
            .execute(&mut superuser)
            .await
            .expect("a standby can be paused");
        while sqlx::query_scalar::<_, String>("SELECT pg_get_wal_replay_pause_state()")
            .fetch_one(&mut superuser)
            .await
            .expect("it answers")
            != "paused"
        {
            tokio::task::yield_now().await;
        }
    }

    /// Whether the replica has run a statement with this in it since it was last asked.
    fn has_run(&self, part: &str) -> bool {
        self.tap.takes().iter().any(|text| text.contains(part))
    }
}

fn api_url(world: &World) -> String {
    let url = world.foundation.url_of("meditrustal_api");
    url.unwrap_or_else(|error| panic!("{error}"))
}

fn shown(answer: &Answer) -> Vec<String> {
    let nodes = answer.data()["medicalRecords"]["nodes"].clone();
    let nodes: Vec<Value> = nodes.as_array().cloned().unwrap_or_default();
    nodes.iter().map(id).collect()
}

async fn lists(who: &Person, patient: &Person) -> Vec<String> {
    shown(&who.asks(LIST, json!({ "patient": patient.id })).await)
}

async fn stores(patient: &Person) -> String {
    id(&patient
        .creates(patient, "VITAL_SIGNS", documents::vital_signs())
        .await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_allowed_is_read_from_the_replica() {
    let replicated = Replicated::start().await;
    let ana = replicated.world.patient("ana").await;
    let ana = ana.at(&replicated.api);
    let record = stores(&ana).await;

    for part in ["FROM medical_records", "FROM audit_logs"] {
        eventually("the replica is read", async || {
            drop(replicated.tap.takes());
            assert_eq!(lists(&ana, &ana).await, std::slice::from_ref(&record));
            assert_eq!(ana.reads(&record).await.code(), None);
            assert_eq!(ana.asks(LOG, json!({})).await.code(), None);
            replicated.has_run(part).then_some(())
        })
        .await;
    }
    // What reads from it has a limit there; of who may see nothing, nothing is read.
    let of_a_read = "SET LOCAL statement_timeout = 3000";
    eventually("a read has its limit", async || {
        drop(replicated.tap.takes());
        assert_eq!(lists(&ana, &ana).await, std::slice::from_ref(&record));
        replicated.has_run(of_a_read).then_some(())
    })
    .await;
    let bo = replicated.world.doctor("bo").await.at(&replicated.api);
    drop(replicated.tap.takes());
    assert_eq!(lists(&bo, &ana).await, Vec::<String>::new());
    assert!(!replicated.has_run(of_a_read));
    // The rows that say so are the primary's.
    drop(replicated.tap.takes());
    lists(&ana, &ana).await;
    let heard = replicated.tap.takes();
    assert!(
        !heard.iter().any(|text| text.contains("INSERT")),
        "{heard:?}"
    );
    let searched = replicated.world.audit_rows("action_type = 'RECORD_SEARCH'");
    assert!(!searched.await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_behind_hides_no_write_and_shows_nothing_that_was_withdrawn() {
    let replicated = Replicated::start().await;
    let world = &replicated.world;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (ana, bo) = (ana.at(&replicated.api), bo.at(&replicated.api));
    let consent = ana.lets(&bo, &["READ", "SEARCH"]).await;
    let first = stores(&ana).await;
    assert_eq!(lists(&bo, &ana).await, std::slice::from_ref(&first));

    replicated.pauses().await;
    // Each is read back at once, by the writer and by somebody else.
    for count in 2..=4 {
        let record = stores(&ana).await;
        let seen = lists(&ana, &ana).await;
        assert_eq!(seen.len(), count);
        assert!(seen.contains(&record), "a write of one's own is missing");
        assert_eq!(lists(&bo, &ana).await.len(), count);
        assert_eq!(ana.reads(&record).await.code(), None);
    }
    ana.withdraws(&consent).await;
    assert_eq!(lists(&bo, &ana).await, Vec::<String>::new());
    assert_eq!(bo.reads(&first).await.code(), Some("NOT_FOUND"));

    replicated.runs("SELECT pg_wal_replay_resume()").await;
    eventually("the replica is read again", async || {
        drop(replicated.tap.takes());
        assert_eq!(lists(&ana, &ana).await.len(), 4);
        replicated.has_run("FROM medical_records").then_some(())
    })
    .await;
    assert_eq!(lists(&bo, &ana).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_not_shown_by_a_replica_that_still_has_it() {
    let world = World::with_its_own_postgres_and(|options| {
        for (name, value) in [
            ("MEDITRUSTAL_DELETION_GRACE", "0"),
            ("MEDITRUSTAL_DELETION_EVERY", "1"),
        ] {
            options.api.push((name.to_owned(), value.to_owned()));
        }
    })
    .await;
    let replicated = Replicated::of(world).await;
    let world = &replicated.world;
    let (ada, ana) = (world.admin("ada").await, world.patient("ana").await);
    let ana = ana.at(&replicated.api);
    let record = stores(&ana).await;
    eventually("the replica is read", async || {
        drop(replicated.tap.takes());
        assert_eq!(lists(&ana, &ana).await, std::slice::from_ref(&record));
        replicated.has_run("FROM medical_records").then_some(())
    })
    .await;

    replicated.pauses().await;
    let vital_signs =
        json!({ "requestType": "CATEGORY_ERASURE", "dataCategories": ["VITAL_SIGNS"] });
    let request = verified(&ana, vital_signs).await;
    approves(&ada, &request).await;
    is_completed(world, &request).await;

    assert_eq!(lists(&ana, &ana).await, Vec::<String>::new());
    ana.reads(&record).await.fails_with("NOT_FOUND");
    let query = format!("SELECT encrypted_data FROM medical_records WHERE id = '{record}'");
    let superuser = world.foundation.database.superuser_url();
    let superuser = PgConnection::connect(&replicated.standby.url(&superuser)).await;
    let mut superuser = superuser.expect("the replica answers");
    let kept: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&mut superuser)
        .await
        .expect("the replica has it still");
    assert!(kept.len() > 100, "there was something to be shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_when_the_replica_is_killed_under_load() {
    let Replicated {
        world,
        standby,
        tap,
        api,
    } = Replicated::start().await;
    let ana = world.patient("ana").await.at(&api);
    let record = stores(&ana).await;
    let (answered, is_over) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let readers = (0..6).map(|_| {
        let (ana, record) = (ana.clone(), record.clone());
        let (answered, is_over) = (Arc::clone(&answered), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(lists(&ana, &ana).await, std::slice::from_ref(&record));
                assert_eq!(ana.reads(&record).await.code(), None);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let reach = async |count: usize| {
        eventually("lists are answered", async || {
            (answered.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    };
    reach(24).await;
    eventually("the replica is read", async || {
        let heard = tap.takes();
        let reads = heard
            .iter()
            .any(|text| text.contains("FROM medical_records"));
        reads.then_some(())
    })
    .await;

    tokio::task::block_in_place(|| drop(standby));

    let before = answered.load(Ordering::Relaxed);
    reach(before + 24).await;
    eventually("it is told", async || {
        let said = api.says("/health/ready").await;
        assert_eq!(said["ready"], json!(true), "it fails nothing: {said}");
        (said["replica"] == json!("unreachable")).then_some(())
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("every request was answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_promoted_is_read_no_more() {
    let replicated = Replicated::start().await;
    let ana = replicated.world.patient("ana").await.at(&replicated.api);
    let first = stores(&ana).await;
    assert_eq!(lists(&ana, &ana).await, [first]);

    replicated.runs("SELECT pg_promote(TRUE, 60)").await;
    stores(&ana).await;

    assert_eq!(lists(&ana, &ana).await.len(), 2);
    replicated.says("promoted").await;
    assert_eq!(replicated.api.health("/health/ready").await, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_system_is_never_read() {
    let world = World::with_its_own_postgres().await;
    let other = World::beside(&world).await;
    let tap = Wiretap::before(&api_url(&other)).await;
    let environment = [("DATABASE_REPLICA_URL", tap.url())];
    let api = world
        .another_api("with-a-foreign-replica", &environment)
        .await;
    eventually("it is told", async || {
        let said = api.says("/health/ready").await;
        (said["replica"] == json!("foreign")).then_some(())
    })
    .await;

    let ana = world.patient("ana").await.at(&api);
    let record = stores(&ana).await;
    assert_eq!(lists(&ana, &ana).await, [record]);

    let heard = tap.takes();
    let is_read = heard
        .iter()
        .any(|text| text.contains("FROM medical_records"));
    assert!(!is_read, "{heard:?}");
}
