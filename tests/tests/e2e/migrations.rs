//! Each migration runs while the program of before serves: whatever it reads and writes is answered in time, meanwhile and
//! afterwards. On tables with few rows: how long a lock is held on large ones, `structure` decides by what is written in a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use store::migrate::SchemaLock;
use tests::commands::migrate;
use tests::{World, eventually, text};
use tokio::task::JoinHandle;

/// A row of each table, which the program of before writes.
const ROWS: &str = include_str!("migrations/rows.sql");
/// How long a statement of a program waits for a lock, and takes (`store::PoolSettings`).
const LIMITS: &str = "SET lock_timeout = '5s'; SET statement_timeout = '8s'";
/// The last migration of those that were there before this test: some of them lock several tables, so that a writer of two may be
/// told of a deadlock. Nothing was released before them; those that come lock one (`structure`).
const LAST_WITH_DEADLOCKS: i64 = 20_261_204_070_000;
/// The migrations of those that change the type of a column, and the table: what was prepared before is refused once.
const CHANGED_TYPES: [(i64, &str); 1] = [(20_261_130_050_100, "deep_checks")];

/// What is said to a table that is there before a migration.
#[derive(Debug, Clone)]
struct UsedTable {
    name: String,
    read: String,
    write: String,
}

/// What sessions have seen so far.
#[derive(Debug, Default)]
struct SeenTables {
    is_over: AtomicBool,
    /// How often each of both has gone through all tables.
    rounds: [AtomicUsize; 2],
    failed: Mutex<Vec<String>>,
}

/// Two sessions, of which one reads and one writes all tables that there were, again and again.
struct TableLoad {
    seen: Arc<SeenTables>,
    sessions: Vec<JoinHandle<()>>,
}

impl TableLoad {
    async fn of(world: &World, tables: &[UsedTable], version: i64) -> Self {
        let seen = Arc::new(SeenTables::default());
        let mut sessions = Vec::new();
        for which in 0..2 {
            let mut session = PgConnection::connect(&world.foundation.database.superuser_url())
                .await
                .expect("it connects");
            sqlx::raw_sql(LIMITS)
                .execute(&mut session)
                .await
                .expect("it has limits");
            let (tables, seen) = (tables.to_vec(), Arc::clone(&seen));
            sessions.push(tokio::spawn(async move {
                while !seen.is_over.load(Ordering::Relaxed) {
                    for table in &tables {
                        let statement = [&table.read, &table.write][which];
                        let done = runs(&mut session, statement, version).await;
                        if let Err(error) = done
                            && !CHANGED_TYPES.contains(&(version, table.name.as_str()))
                        {
                            let mut failed = seen.failed.lock().expect("no panic");
                            failed.push(format!("{statement}: {error}"));
                        }
                    }
                    seen.rounds[which].fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        Self { seen, sessions }
    }

    /// Waits until each session has gone through all tables from first to last.
    async fn goes_round(&self) {
        let now = || {
            self.seen
                .rounds
                .each_ref()
                .map(|it| it.load(Ordering::Relaxed))
        };
        let before = now();
        eventually("every table is read and written", async || {
            let after = now();
            // The one after the one that is under way.
            let all = (0..2).all(|which| after[which] >= before[which] + 2);
            all.then_some(())
        })
        .await;
    }

    /// Ends it; answers what failed.
    async fn ends(self) -> Vec<String> {
        self.seen.is_over.store(true, Ordering::Relaxed);
        for session in self.sessions {
            session.await.expect("no panic");
        }
        std::mem::take(&mut *self.seen.failed.lock().expect("no panic"))
    }
}

/// Runs a statement as the programs do: prepared once for each connection.
async fn runs(session: &mut PgConnection, statement: &str, version: i64) -> Result<(), String> {
    loop {
        let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut *session)
            .await;
        let Err(error) = done else { return Ok(()) };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        let is_deadlock = code.as_deref() == Some("40P01");
        if !is_deadlock || version > LAST_WITH_DEADLOCKS {
            return Err(error.to_string());
        }
    }
}

/// The statements that write a row, by their tables, in the order in which they can be run.
fn rows() -> Vec<(String, String)> {
    let lines = ROWS.lines().filter(|line| !line.starts_with("--"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let hash = "encode(sha256(uuid_send(gen_random_uuid())), 'hex')";
    let statements = text.split(";\n").map(str::trim);
    statements
        .map(|statement| statement.trim_end_matches(';'))
        .filter(|statement| !statement.is_empty())
        .map(|statement| {
            let last = statement.rsplit("INSERT INTO ").next();
            let table = last.and_then(|it| it.split_whitespace().next());
            let filled = statement
                .replace("{address}", "('0x' || left({hash}, 40))")
                .replace("{number}", "floor(random() * 1000000000000000)::bigint")
                .replace("{hash}", hash);
            (table.expect("a table").to_owned(), filled)
        })
        .collect()
}

/// The tables that are there, in the order in which rows can be written.
async fn tables_of(world: &World) -> Vec<UsedTable> {
    let found = world
        .sql(
            "SELECT class.relname::text AS name,
                 string_agg(quote_ident(attribute.attname), ', ' ORDER BY attribute.attnum) AS columns
             FROM pg_class AS class
             JOIN pg_attribute AS attribute
               ON attribute.attrelid = class.oid AND attribute.attnum > 0 AND NOT attribute.attisdropped
             WHERE class.relnamespace = 'public'::regnamespace
               AND class.relkind = 'r'
               AND class.relname <> '_sqlx_migrations'
             GROUP BY class.relname",
        )
        .await;
    let columns: BTreeMap<String, String> = found
        .iter()
        .map(|row| (text(&row["name"]), text(&row["columns"])))
        .collect();
    let rows = rows();
    let written: BTreeSet<&String> = rows.iter().map(|(table, _)| table).collect();
    for table in columns.keys() {
        assert!(written.contains(table), "rows.sql has no row of {table}");
    }
    let used = rows.into_iter().filter_map(|(name, write)| {
        let columns = columns.get(&name)?;
        let read = format!("SELECT {columns} FROM {name} LIMIT 10");
        Some(UsedTable { name, read, write })
    });
    used.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_migration_runs_while_the_statements_of_before_go_on() {
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let versions = store::migrate::versions();
    let all = versions.len().to_string();
    let down = ["down", "--steps", &all, "--yes-lose-data", "--no-backup"];
    migrate(&world, &down).await;

    for version in versions {
        let tables = tables_of(&world).await;
        if tables.is_empty() {
            // The first one meets no program.
            migrate(&world, &["up", "--steps", "1", "--no-backup"]).await;
            continue;
        }
        for table in tables.iter().chain(&tables) {
            world.executes(&table.write).await;
        }
        let load = TableLoad::of(&world, &tables, version).await;
        load.goes_round().await;
        migrate(&world, &["up", "--steps", "1", "--no-backup"]).await;
        // What the program of before says is answered on the new schema, too.
        load.goes_round().await;
        assert_eq!(load.ends().await, Vec::<String>::new(), "{version}");
    }

    let tables = tables_of(&world).await;
    assert_eq!(tables.len(), rows().len(), "rows.sql has a row of no table");
    for table in &tables {
        world.executes(&table.write).await;
        let written = world.sql(&table.read).await;
        assert!(!written.is_empty(), "{}", table.name);
    }
}

/// A lock of the schema, for one more migration, which makes an index concurrently.
async fn with_an_index_to_make(world: &World) -> SchemaLock {
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS next_version_only ON users (role, created_at);";
    let next = Migration::new(
        29_990_101_000_000,
        "next version only".into(),
        MigrationType::ReversibleUp,
        AssertSqlSafe(index.to_owned()).into_sql_str(),
        true,
    );
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.expect("there is a migrator");
    // Who was cut off may hold it for a moment.
    let lock = SchemaLock::take_with(&owner, vec![next], || {}).await;
    lock.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn an_index_is_made_while_others_write_and_made_anew_where_that_was_cut_off() {
    let world = World::start().await;
    world.api.kill().await;
    world.indexer.kill().await;
    let (_, write) = rows().swap_remove(0);
    let mut reader = PgConnection::connect(&world.foundation.database.superuser_url())
        .await
        .expect("it connects");
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users")
        .execute(&mut reader)
        .await
        .expect("it reads");
    let is_valid = async || {
        let found = world
            .sql(
                "SELECT indisvalid FROM pg_index
                 WHERE indexrelid = to_regclass('public.next_version_only')",
            )
            .await;
        found.first().map(|row| row["indisvalid"] == true)
    };

    let lock = with_an_index_to_make(&world).await;
    let meanwhile = async {
        eventually("it waits for who reads", async || {
            let waits = "SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
                         WHERE datname = current_database() AND locktype = 'virtualxid' AND NOT granted";
            (!world.sql(waits).await.is_empty()).then_some(())
        })
        .await;
        world
            .executes(&format!("SET lock_timeout = '5s'; {write}"))
            .await;
        world
            .executes(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'meditrustal migrate'",
            )
            .await;
    };
    let (cut_off, ()) = tokio::join!(lock.up(None), meanwhile);
    assert!(cut_off.is_err(), "{cut_off:?}");
    assert_eq!(is_valid().await, Some(false));
    reader.close().await.expect("it ends");

    let lock = with_an_index_to_make(&world).await;
    let moved = lock.up(None).await;
    let moved = moved.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(moved.count, 1);
    assert_eq!(is_valid().await, Some(true));

    // As of a process that was killed when the index was made, and not noted yet.
    world
        .executes("DELETE FROM _sqlx_migrations WHERE version = 29990101000000")
        .await;
    let moved = lock.up(None).await;
    let moved = moved.unwrap_or_else(|error| panic!("{error}"));
    lock.release().await;
    assert_eq!(moved.count, 1);
    assert_eq!(is_valid().await, Some(true));
}
