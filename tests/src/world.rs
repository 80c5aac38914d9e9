//! One test's own world.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dev::chain;
use dev::client::Client;
use dev::process::Signal;
use dev::stack::{Foundation, Options, Stack};
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::{OnceCell, SemaphorePermit};

use crate::template::{self, FIRST_ADMIN};
use crate::{Person, Program, Wiretap, eventually, id, text};

const REGISTER: &str = "mutation Register($input: RegisterInput!) {
  register(input: $input) { user { id username role } }
}";
const LOG_IN: &str = "mutation LogIn($input: LogInInput!) {
  logIn(input: $input) { accessToken expiresAt user { id username role } }
}";
const SET_ROLE: &str = "mutation SetRole($input: SetRoleInput!) {
  setRole(input: $input) { user { id role } }
}";

/// What stands in a log where one of our programs has a bug.
const BUGS: [&str; 3] = ["Answered INTERNAL", "A request panicked", "panicked at"];

/// A database, a chain, an api and an indexer of a test's own. Dropping it ends all of them.
#[derive(Debug)]
pub struct World {
    /// The GraphQL server.
    pub api: Program,
    /// What follows the chain.
    pub indexer: Program,
    /// What they stand on: the node, the database, the tools.
    pub foundation: Foundation,
    pool: PgPool,
    first_admin: OnceCell<Person>,
    is_broken_on_purpose: AtomicBool,
    _seat: Option<SemaphorePermit<'static>>,
}

impl World {
    /// A world that mines each transaction at once; a block is final when two more are on top.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A world with other options: when blocks are made, more environment of a program.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let slot = template::slot().await;
        let mut options = template::options();
        change(&mut options);
        Self::on(template::copy(options).await, Some(slot)).await
    }

    /// The only world while it lasts: for a test that takes the whole machine, which would make others late, and others it.
    pub async fn alone() -> Self {
        Self::alone_with(|_| {}).await
    }

    /// The same with other options.
    pub async fn alone_with(change: impl FnOnce(&mut Options)) -> Self {
        let slots = template::every_slot().await;
        let mut options = template::options();
        change(&mut options);
        Self::on(template::copy(options).await, Some(slots)).await
    }

    /// The only world while it lasts, with a PostgreSQL of its own.
    pub async fn alone_with_its_own_postgres() -> Self {
        let slots = template::every_slot().await;
        Self::on(template::fresh(template::options()).await, Some(slots)).await
    }

    /// A second world of one test, which has the place of the first: who has one and waits for another would wait for a test
    /// that wants all of them, which waits for it.
    pub async fn beside(_first: &Self) -> Self {
        Self::on(template::copy(template::options()).await, None).await
    }

    /// A world with a PostgreSQL of its own, to be stopped, killed and started again. It takes
    /// seconds, so only where that is the point. Its `fsync` is off, as for every test.
    pub async fn with_its_own_postgres() -> Self {
        Self::with_its_own_postgres_and(|_| {}).await
    }

    /// The same with other options.
    pub async fn with_its_own_postgres_and(change: impl FnOnce(&mut Options)) -> Self {
        let slot = template::slot().await;
        let mut options = template::options();
        change(&mut options);
        Self::on(template::fresh(options).await, Some(slot)).await
    }

    /// A world as it is in production, for benchmarks: an optimised build, commits that wait for the
    /// disk, a block each second.
    pub async fn as_in_production(change: impl FnOnce(&mut Options)) -> Self {
        let slot = template::slot().await;
        let mut options = template::production();
        change(&mut options);
        Self::on(template::with_an_admin(options).await, Some(slot)).await
    }

    async fn on(foundation: Foundation, slot: Option<SemaphorePermit<'static>>) -> Self {
        let stack = Stack::on(foundation).await;
        let stack = stack.unwrap_or_else(|error| panic!("the programs do not start: {error}"));
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&stack.foundation.database.superuser_url())
            .expect("the URL is one");
        Self {
            api: Program::new(stack.api),
            indexer: Program::new(stack.indexer),
            foundation: stack.foundation,
            pool,
            first_admin: OnceCell::new(),
            is_broken_on_purpose: AtomicBool::new(false),
            _seat: slot,
        }
    }

    /// Says that this test breaks what our programs may rely on, so that `INTERNAL` is right. In any other
    /// world it is a bug of ours, and fails the test when the world ends.
    pub fn is_broken_on_purpose(&self) {
        self.is_broken_on_purpose.store(true, Ordering::Relaxed);
    }

    /// What any of our programs logged that it must never log.
    fn bugs(&self) -> Vec<String> {
        if self.is_broken_on_purpose.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let logs = fs::read_dir(self.foundation.dir().join("logs"));
        let logs = logs.into_iter().flatten().flatten();
        let texts = logs.map(|log| fs::read_to_string(log.path()).unwrap_or_default());
        let is_bug = |line: &&str| BUGS.iter().any(|it| line.contains(it));
        let lines = texts.map(|text| {
            let lines = text.lines().filter(is_bug).map(str::to_owned);
            lines.collect::<Vec<_>>()
        });
        lines.flatten().collect()
    }

    /// Another api on the same database and chain.
    pub async fn second_api(&self) -> Program {
        self.another_api("second-api", &[]).await
    }

    /// Another api with more environment; `name` names its log.
    pub async fn another_api(&self, name: &str, more: &[(&str, &str)]) -> Program {
        let environment = and_more(&self.foundation.options().api, more);
        let started = self
            .foundation
            .api(name, claimed_port(), &environment)
            .await;
        Program::new(started.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Another api on the same chain and, through a [`Wiretap`], the same database.
    pub async fn tapped_api(&self) -> (Wiretap, Program) {
        let url = self.foundation.url_of("meditrustal_api");
        let tap = Wiretap::before(&url.expect("there is such a role")).await;
        let more = [("DATABASE_URL", tap.url())];
        let api = self.another_api("tapped", &more).await;
        (tap, api)
    }

    /// Another indexer on the same database and chain.
    pub async fn second_indexer(&self) -> Program {
        self.another_indexer("second-indexer", &[]).await
    }

    /// Another indexer with more environment; `name` names its log.
    pub async fn another_indexer(&self, name: &str, more: &[(&str, &str)]) -> Program {
        let environment = and_more(&self.foundation.options().indexer, more);
        let started = self
            .foundation
            .indexer(name, claimed_port(), &environment)
            .await;
        Program::new(started.unwrap_or_else(|error| panic!("{error}")))
    }

    /// An indexer in the place of the one before, which goes back to a block where the chain was undone.
    pub async fn indexer_back_to(&self, block: u64) -> Program {
        let environment = &self.foundation.options().indexer;
        let started = self
            .foundation
            .indexer_from("indexer-again", claimed_port(), environment, Some(block))
            .await;
        Program::new(started.unwrap_or_else(|error| panic!("{error}")))
    }

    // People

    /// Somebody who is not logged in.
    pub fn nobody(&self) -> Person {
        Person {
            id: String::new(),
            username: "nobody".to_owned(),
            email: String::new(),
            password: String::new(),
            client: Client::new(&format!("{}/graphql", self.api.url())),
            trail: self.pool.clone(),
        }
    }

    /// A new account, a patient's, logged in. Names have three letters or more.
    pub async fn patient(&self, name: &str) -> Person {
        let person = self.stranger(name);
        self.registers(&person).await;
        self.logs_in(&person).await
    }

    /// A new account that an administrator made a doctor's; its user name begins with `dr.`.
    pub async fn doctor(&self, name: &str) -> Person {
        let person = self.stranger(&format!("dr.{name}"));
        let user = self.registers(&person).await;
        let input = json!({ "userId": user, "role": "DOCTOR" });
        let admin = self.first_admin().await;
        admin.asks(SET_ROLE, json!({ "input": input })).await.data();
        self.logs_in(&person).await
    }

    /// A new administrator, made by the operator's command as the first one always is.
    pub async fn admin(&self, name: &str) -> Person {
        let person = self.stranger(name);
        let made = self
            .foundation
            .create_admin(&person.email, &person.username, &person.password)
            .await;
        made.unwrap_or_else(|error| panic!("{name} could not be made an administrator: {error}"));
        self.logs_in(&person).await
    }

    /// The administrator that is there from the beginning.
    pub async fn first_admin(&self) -> &Person {
        let log_in = async || {
            let (username, password) = FIRST_ADMIN;
            let mut person = self.stranger(username);
            password.clone_into(&mut person.password);
            self.logs_in(&person).await
        };
        self.first_admin.get_or_init(log_in).await
    }

    /// Somebody who has no account yet: nobody, with a name.
    pub fn stranger(&self, name: &str) -> Person {
        Person {
            username: name.to_owned(),
            email: format!("{name}@meditrustal.example"),
            password: format!("{name} tells nobody"),
            ..self.nobody()
        }
    }

    /// A stranger makes an account; answers its id.
    pub async fn registers(&self, person: &Person) -> String {
        let input = json!({
            "email": person.email, "username": person.username, "password": person.password,
        });
        let answer = self
            .nobody()
            .asks(REGISTER, json!({ "input": input }))
            .await;
        id(&answer.data()["register"]["user"])
    }

    /// Somebody with an account logs in, again if they were already.
    pub async fn logs_in(&self, person: &Person) -> Person {
        let input = json!({ "login": person.username, "password": person.password });
        let answer = self.nobody().asks(LOG_IN, json!({ "input": input })).await;
        let session = &answer.data()["logIn"];
        Person {
            id: id(&session["user"]),
            client: self
                .nobody()
                .client
                .with_token(&text(&session["accessToken"])),
            ..person.clone()
        }
    }

    // Database

    /// The rows of a query, by a superuser.
    pub async fn sql(&self, query: &str) -> Vec<Value> {
        let rows = sqlx::query_scalar(AssertSqlSafe(as_json(query)))
            .fetch_all(&self.pool)
            .await;
        rows.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The columns that a table has.
    pub async fn columns(&self, table: &str) -> BTreeSet<String> {
        let query = format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = '{table}'"
        );
        let rows = self.sql(&query).await;
        rows.iter().map(|row| text(&row["column_name"])).collect()
    }

    /// Any other statement, by a superuser; answers how many rows it was about.
    pub async fn executes(&self, statement: &str) -> u64 {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.pool)
            .await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"))
            .rows_affected()
    }

    /// Any statements, by a superuser whom no trigger and no foreign key notices: who breaks in leaves
    /// no `updated_at` behind.
    pub async fn attacks(&self, statements: &str) {
        let url = self.foundation.database.superuser_url();
        let mut attacker = PgConnection::connect(&url)
            .await
            .unwrap_or_else(|error| panic!("a superuser cannot connect: {error}"));
        for statement in ["SET session_replication_role = replica", statements] {
            let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
                .execute(&mut attacker)
                .await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// Seals every row whose seal is missing or wrong, by the operator's command: what a test wrote by SQL
    /// counts from then on.
    pub async fn seals(&self) -> String {
        let dir = self.foundation.dir().join("keys/master-keys.json");
        let masters = dir.display().to_string();
        let url = self.foundation.url_of("meditrustal_api");
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let programs = self.foundation.programs.clone();
        let sealed = tokio::task::spawn_blocking(move || {
            let arguments = [
                "seal",
                "rows",
                "--all",
                "--wrong",
                "--reason",
                "a test wrote them",
            ];
            let environment = [
                ("DATABASE_URL", url.as_str()),
                ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
            ];
            programs.operate(&arguments, &environment, "")
        });
        let sealed = sealed.await.expect("a command does not panic");
        sealed.unwrap_or_else(|error| panic!("the rows could not be sealed: {error}"))
    }

    /// Asks for a checkpoint of the audit trail, by the operator's command.
    pub async fn asks_for_checkpoint(&self) {
        let url = self.foundation.url_of("meditrustal_api");
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let programs = self.foundation.programs.clone();
        let asked = tokio::task::spawn_blocking(move || {
            programs.operate(&["audit", "checkpoint"], &[("DATABASE_URL", &url)], "")
        });
        let asked = asked.await.expect("a command does not panic");
        asked.unwrap_or_else(|error| panic!("no checkpoint could be asked for: {error}"));
    }

    /// The audit rows that a condition is true of, oldest first, without what is stored of their leaves.
    pub async fn audit_rows(&self, condition: &str) -> Vec<Value> {
        let query = format!("SELECT * FROM audit_logs WHERE {condition} ORDER BY id");
        let mut rows = self.sql(&query).await;
        for row in rows.iter_mut().filter_map(Value::as_object_mut) {
            row.retain(|column, _| !column.starts_with("leaf_"));
        }
        rows
    }

    /// A connection as one of the roles, such as `meditrustal_api`, on the same database.
    pub async fn connects_as(&self, role: &str) -> PgConnection {
        let url = self.foundation.url_of(role);
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let connected = PgConnection::connect(&url).await;
        connected.unwrap_or_else(|error| panic!("{role} cannot connect: {error}"))
    }

    /// Holds the lock of a person as a decision about them does, until the connection is dropped.
    pub async fn holds(&self, person: &Person) -> PgConnection {
        let mut holder = self.connects_as("meditrustal_indexer").await;
        let lock = "BEGIN; SELECT pg_advisory_xact_lock(x'70657273'::int, ('x' || right('{}', 8))::bit(32)::int)";
        let lock = lock.replace("{}", &person.id);
        let held = sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
            .execute(&mut holder)
            .await;
        held.unwrap_or_else(|error| panic!("{} cannot be held: {error}", person.username));
        holder
    }

    // Chain

    /// Asks the node; `params` is a JSON array.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let answer = chain::rpc(self.foundation.chain_rpc_url(), method, params).await;
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Calls the registry directly, and waits for the call's block: anvil signs for its accounts, so that `from`
    /// may be any of them.
    pub async fn calls_registry(&self, from: &str, data: String) {
        let to = &self.foundation.deployment.registry;
        let call = json!([{ "from": from, "to": to, "data": data }]);
        let transaction = self.rpc("eth_sendTransaction", call).await;
        eventually("the call is in a block", async || {
            let receipt = self
                .rpc("eth_getTransactionReceipt", json!([transaction]))
                .await;
            (receipt["status"] == "0x1").then_some(())
        })
        .await;
    }

    /// Mines this many blocks.
    pub async fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([format!("{blocks:#x}")]))
            .await;
    }

    /// The number of the last block.
    pub async fn block_number(&self) -> u64 {
        let number = self.rpc("eth_blockNumber", json!([])).await;
        chain::quantity(&number).unwrap_or_else(|| panic!("{number} is no number of a block"))
    }

    /// Replaces the last `depth` blocks by empty ones; what was in them is dropped, not pending.
    pub async fn reorg(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []])).await;
    }

    /// Waits until a record's anchor has this state; `FINALIZED` serves for `CONFIRMED` as well.
    pub async fn wait_for_anchor(&self, record: &str, state: &str) -> Value {
        let query = format!("SELECT * FROM record_anchors WHERE record_id = '{record}'");
        let what = format!("the anchor of {record} is {state}");
        eventually(&what, async || {
            let anchor = self.sql(&query).await.pop()?;
            let now = &anchor["state"];
            let there = now == state || (state == "CONFIRMED" && now == "FINALIZED");
            there.then_some(anchor)
        })
        .await
    }

    /// Waits until every record there is is in a block, and makes those blocks final.
    pub async fn finalizes(&self) {
        let left = async |state: &str| {
            let query = format!("SELECT 1 FROM record_anchors WHERE state NOT IN ({state})");
            self.sql(&query).await.is_empty().then_some(())
        };
        eventually("everything is in a block", async || {
            left("'CONFIRMED', 'FINALIZED'").await
        })
        .await;
        self.mine(u64::from(2 * self.foundation.options().slots_in_an_epoch))
            .await;
        eventually("everything is final", async || left("'FINALIZED'").await).await;
    }

    /// Waits until the indexer has applied the last block.
    pub async fn wait_for_indexer(&self) {
        let head = self.block_number().await;
        eventually("the indexer has applied the last block", async || {
            let registry = &self.foundation.deployment.registry;
            let cursor = self
                .sql(&format!(
                    "SELECT block_number FROM chain_cursors WHERE registry = '{registry}'"
                ))
                .await;
            let applied = cursor.first()?["block_number"].as_u64()?;
            (applied >= head).then_some(())
        })
        .await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            eprint!("{}{}", self.api.complaints(), self.indexer.complaints());
        }
        // Nothing is kept, so nobody is asked to finish anything.
        self.api.signal(Signal::KILL);
        self.indexer.signal(Signal::KILL);
        if let Some(node) = &self.foundation.node {
            node.process().signal(Signal::KILL);
        }
        let database = &self.foundation.database;
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                // A database that stays goes with its cluster.
                runtime.map(|runtime| runtime.block_on(database.end())).ok();
            });
        });
        let bugs = self.bugs();
        if !bugs.is_empty() && !thread::panicking() {
            let (api, indexer) = (self.api.complaints(), self.indexer.complaints());
            panic!("a bug of ours came out: {bugs:#?}\n{api}{indexer}");
        }
    }
}

/// The rows of a query as JSON objects.
fn as_json(query: &str) -> String {
    format!("SELECT to_jsonb(answer) FROM ({query}) AS answer")
}

/// An environment with more, which takes the place of what has its name.
fn and_more(common: &[(String, String)], more: &[(&str, &str)]) -> Vec<(String, String)> {
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    common.iter().cloned().chain(more).collect()
}

fn claimed_port() -> u16 {
    dev::port::claim().expect("there are ports")
}
