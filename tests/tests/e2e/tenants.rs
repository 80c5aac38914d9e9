//! Tenants in two schemas of one database: neither holds the other up, keeps its indexer from leading, wakes its readers or
//! reads what is the other's.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};
use tests::{World, documents, eventually, id};

/// The schema of the second tenant, how its roles' names begin, and what they log in with.
pub(crate) const NORTH: &str = "north";

/// What `database create` is told of the server, and of what the second tenant's roles log in with.
fn creating_environment(admin: &str) -> [(&str, &str); 6] {
    [
        ("ADMIN_DATABASE_URL", admin),
        ("MEDITRUSTAL_MIGRATOR_PASSWORD", NORTH),
        ("MEDITRUSTAL_API_PASSWORD", NORTH),
        ("MEDITRUSTAL_INDEXER_PASSWORD", NORTH),
        ("MEDITRUSTAL_KEYS_PASSWORD", NORTH),
        ("MEDITRUSTAL_BACKUP_PASSWORD", NORTH),
    ]
}

/// Makes the second tenant in the database of the first, by the operator's commands.
pub(crate) async fn settles(world: &World) {
    let programs = world.foundation.programs.clone();
    let admin = world.foundation.database.superuser_url();
    let database = world.foundation.database.name().to_owned();
    let owner = url(world, "migrator");
    let made = tokio::task::spawn_blocking(move || {
        let create = [
            "database",
            "create",
            "--schema",
            NORTH,
            "--role-prefix",
            NORTH,
            "--database",
            &database,
            "--json",
        ];
        let told = programs.operate(&create, &creating_environment(&admin), "")?;
        let told: Value = serde_json::from_str(&told).expect("JSON");
        let made = json!({ "database": database, "schema": NORTH, "rolePrefix": NORTH });
        assert_eq!(told, made, "and no password");
        let up = ["migrate", "up", "--no-backup"];
        programs.operate(&up, &[("DATABASE_URL", &owner)], "")
    });
    let made = made.await.expect("a command does not panic");
    made.unwrap_or_else(|error| panic!("{error}"));
}

pub(crate) fn url(world: &World, role: &str) -> String {
    let role = format!("{NORTH}_{role}");
    world.foundation.database.url(&role, NORTH)
}

pub(crate) async fn connects(world: &World, role: &str) -> PgConnection {
    let connected = PgConnection::connect(&url(world, role)).await;
    connected.unwrap_or_else(|error| panic!("{role} cannot connect: {error}"))
}

#[tokio::test]
async fn tenants_in_two_schemas_neither_wait_for_each_other_nor_wake_each_other() {
    let world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    settles(&world).await;

    // It leads, though the first tenant's leads on the same registry.
    let indexer = world
        .another_indexer(
            "north-indexer",
            &[("DATABASE_URL", &url(&world, "indexer"))],
        )
        .await;
    assert_eq!(world.indexer.health("/health/ready").await, Some(200));
    assert_eq!(indexer.health("/health/ready").await, Some(200));

    // The api appends to the log of its tenant when it stores: only then is that log held, so that nobody else does.
    let superuser = world.foundation.database.superuser_url();
    let mut north = PgListener::connect(&url(&world, "api"))
        .await
        .expect("it connects");
    let channel: Option<String> = sqlx::query_scalar("SELECT notice_channel('integrity_feed')")
        .fetch_one(&mut north)
        .await
        .expect("it has a channel");
    north
        .listen(&channel.expect("a name"))
        .await
        .expect("it listens");
    world.indexer.pause();
    let record = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let mut holder = PgConnection::connect(&superuser)
        .await
        .expect("it connects");
    // What `store::feed` takes: "feed" and a 1, in ASCII.
    let lock = "SELECT pg_advisory_lock(112585678782465)";
    sqlx::raw_sql(lock)
        .execute(&mut holder)
        .await
        .expect("it is held");
    let mut first = PgListener::connect(&superuser).await.expect("it connects");
    first.listen("integrity_feed").await.expect("it listens");
    world.indexer.resume();
    let told = "SELECT 1 FROM north.integrity_feed";
    eventually("the second tenant's log goes on", async || {
        (!world.sql(told).await.is_empty()).then_some(())
    })
    .await;
    let waits = "SELECT 1 FROM pg_locks
                 WHERE locktype = 'advisory' AND NOT granted";
    eventually("the first tenant's waits", async || {
        (!world.sql(waits).await.is_empty()).then_some(())
    })
    .await;
    let woken = tokio::time::timeout(tests::PATIENCE, north.recv()).await;
    woken
        .expect("the second tenant is told")
        .expect("it is told");
    let woken = tokio::time::timeout(Duration::ZERO, first.recv()).await;
    assert!(woken.is_err(), "the first one is not: {woken:?}");
    drop(holder);
    world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    let woken = tokio::time::timeout(tests::PATIENCE, first.recv()).await;
    woken.expect("now it is").expect("it is told");

    // A person's lock is of one tenant alone, even for the same person.
    let held = world.holds(&ana).await;
    let mut other = connects(&world, "api").await;
    let free = format!(
        "SELECT pg_try_advisory_xact_lock(x'70657273'::int # (schema_key() & 2147483647)::int, \
         ('x' || right('{}', 8))::bit(32)::int)",
        ana.id
    );
    let free: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(free))
        .fetch_one(&mut other)
        .await
        .expect("it is answered");
    assert_eq!(free, Some(true));
    drop(held);

    // Neither role reaches the other's tables.
    for (role, table) in [
        ("api", "public.users"),
        ("indexer", "public.record_anchors"),
    ] {
        let mut other = connects(&world, role).await;
        let reads = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("SELECT 1 FROM {table}")))
            .execute(&mut other)
            .await;
        let refused = reads.expect_err("it is the first tenant's").to_string();
        assert!(refused.contains("permission denied"), "{refused}");
    }
    let mut api = world.connects_as("meditrustal_api").await;
    let reads = sqlx::raw_sql("SELECT 1 FROM north.users")
        .execute(&mut api)
        .await;
    let refused = reads.expect_err("it is the second tenant's").to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn a_schema_whose_name_needs_quotes_is_refused() {
    let world = World::with_its_own_postgres().await;
    settles(&world).await;
    let programs = world.foundation.programs.clone();
    let admin = world.foundation.database.superuser_url();
    let refused = tokio::task::spawn_blocking(move || {
        let create = ["database", "create", "--schema", "No\"rth"];
        programs.operate(&create, &creating_environment(&admin), "")
    });
    let create = refused.await.expect("a command does not panic");
    let create = create.expect_err("the name needs quotes").to_string();
    assert!(
        create.contains("cannot be the name of a schema"),
        "{create}"
    );

    let left = json!(
        world
            .sql("SELECT nspname FROM pg_namespace WHERE nspname ILIKE 'no%'")
            .await
    );
    assert_eq!(left, json!([{ "nspname": NORTH }]));
}
