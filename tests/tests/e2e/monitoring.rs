//! What an operator is told: the metrics of both programs, and `meditrustal health`, with thresholds that are passed on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use dev::stack::Options;
use domain::{integrity::FindingKind, monitoring::CheckName};
use serde_json::{Value, json};
use tests::commands::ends;
use tests::monitoring::{Scrape, named, panels, rules};
use tests::transfer::Ended;
use tests::{Person, Program, World, documents, eventually, id, text};

/// A free port of this machine.
const ANY_PORT: &str = "127.0.0.1:0";
const ADDRESS: &str = "MEDITRUSTAL_METRICS_ADDRESS";
const OPEN: &str = "mutation Open($input: BreakGlassInput!) {
  breakGlass(input: $input) { window { id } }
}";

/// A finding about a record that is not there: nobody looks at it again, and it stays open.
pub(crate) const FINDING: &str = "INSERT INTO integrity_findings (kind, record_id, details)
    VALUES ('CONTENT_MISMATCH', gen_random_uuid(), '{}')";

/// Runs one of the operator's commands with this environment alone.
pub(crate) async fn runs(world: &World, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    ends(world, "meditrustal", arguments, environment).await
}

/// Has both programs tell their metrics, and the api notice soon that no indexer leads.
pub(crate) fn tells_metrics(options: &mut Options) {
    let silence = ("MEDITRUSTAL_INDEXER_SILENCE".to_owned(), "5".to_owned());
    options.api.push(silence);
    for environment in [&mut options.api, &mut options.indexer] {
        environment.push((ADDRESS.to_owned(), ANY_PORT.to_owned()));
    }
}

/// A world that tells its metrics, and pins its trail each second.
async fn measured() -> World {
    World::with(|options| {
        options.checkpoints = Some(Duration::from_secs(1));
        tells_metrics(options);
    })
    .await
}

/// What a program tells now.
async fn scrape(program: &Program) -> Scrape {
    program.metrics().await.expect("it answers")
}

/// Waits until a program tells something.
async fn tells(program: &Program, what: &str, is_told: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, async || {
        let scrape = scrape(program).await;
        is_told(&scrape).then_some(scrape)
    })
    .await
}

/// What `meditrustal health` needs, as the world's own programs have it.
pub(crate) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    pub(crate) fn of(world: &World) -> Self {
        let database = world
            .foundation
            .url_of("meditrustal_api")
            .expect("the role");
        let deployment = world.foundation.dir().join("deployment.json");
        Self(vec![
            ("DATABASE_URL", database),
            ("CHAIN_RPC_URL", world.foundation.chain_rpc_url().to_owned()),
            (
                "MEDITRUSTAL_DEPLOYMENT_FILE",
                deployment.display().to_string(),
            ),
            ("MEDITRUSTAL_URL", world.api.url()),
            ("MEDITRUSTAL_INDEXER_URL", world.indexer.url()),
            ("MEDITRUSTAL_DATABASE_CAPACITY_GIB", "100".to_owned()),
            // A world makes blocks only for transactions.
            ("MEDITRUSTAL_HEAD_AGE", "0".to_owned()),
        ])
    }

    pub(crate) fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
        self
    }

    pub(crate) async fn run(&self, world: &World, arguments: &[&str]) -> Ended {
        let environment: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        runs(world, &[&["health"], arguments].concat(), &environment).await
    }

    /// Each check by its name, and the exit code.
    pub(crate) async fn checks(&self, world: &World) -> (BTreeMap<String, Value>, Option<i32>) {
        let said = self.run(world, &["--json"]).await;
        let report = said.report();
        let checks = report["checks"].as_array().expect("a list").iter();
        let checks = checks.map(|check| (text(&check["name"]), check.clone()));
        let worst = match text(&report["status"]).as_str() {
            "ok" => 0,
            "warning" => 1,
            _ => 2,
        };
        assert_eq!(said.code, Some(worst), "{said:?}");
        (checks.collect(), said.code)
    }

    /// Waits until a check is not well.
    async fn until_it_is_not_well(&self, world: &World, name: &str) -> Value {
        eventually(&format!("{name} is not well"), async || {
            let (checks, _) = self.checks(world).await;
            let check = checks.get(name)?;
            (check["status"] != "ok").then(|| check.clone())
        })
        .await
    }
}

/// The root fields, as the checked-in schema has them.
fn root_fields() -> BTreeSet<String> {
    let root = dev::repository::root().expect("the tests run inside a clone");
    let schema = fs::read_to_string(root.join("schema.graphql")).expect("it is checked in");
    let mut fields = BTreeSet::new();
    for kind in ["Query", "Mutation", "Subscription"] {
        let (_, body) = schema
            .split_once(&format!("\ntype {kind} {{\n"))
            .expect("the root is there");
        let body = body.split("\n}\n").next().unwrap_or_default();
        let names = body.lines().filter_map(|line| {
            let line = line.strip_prefix('\t')?;
            let end = line.find(['(', ':'])?;
            let is_name = line[..end].chars().all(|c| c.is_ascii_alphanumeric());
            (is_name && end > 0).then(|| line[..end].to_owned())
        });
        fields.extend(names);
    }
    fields
}

/// Every value that a label may have. A label that is not here may not be.
fn closed_lists() -> BTreeMap<&'static str, BTreeSet<String>> {
    let list = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect::<BTreeSet<_>>();
    let root = dev::repository::root().expect("the tests run inside a clone");
    let codes = fs::read_to_string(root.join("api/src/codes.rs")).expect("a source");
    let (_, codes) = codes.split_once("ErrorCode {").expect("the codes");
    let codes = codes.split("\n    }\n").next().unwrap_or_default();
    let codes = codes.split('"').skip(1).step_by(2).map(str::to_owned);
    BTreeMap::from([
        ("field", root_fields()),
        ("code", codes.collect()),
        ("table", list(&store::monitoring::TABLES)),
        (
            "kind",
            FindingKind::ALL.iter().map(ToString::to_string).collect(),
        ),
        (
            "check",
            CheckName::ALL.iter().map(ToString::to_string).collect(),
        ),
        (
            "route",
            list(&[
                "/graphql",
                "/import",
                "/export",
                "/audit/export",
                "/my-data",
                "/records/attachments",
                "/.well-known/jwks.json",
                "/health/live",
                "/health/ready",
                "/health/serving",
            ]),
        ),
        ("class", list(&["1xx", "2xx", "3xx", "4xx", "5xx"])),
        (
            "queue",
            list(&[
                "writer",
                "disclosure",
                "own-accounts",
                "lists",
                "long-lists",
                "visibility",
            ]),
        ),
        (
            "outcome",
            list(&[
                "taken",
                "nonce-used",
                "underpriced",
                "no-funds",
                "refused",
                "unreachable",
                "without-effect",
                "raised",
                "nonce-elsewhere",
                "nodes-differ",
            ]),
        ),
        (
            "attempt",
            list(&["log-in", "proof", "refresh", "register", "challenge"]),
        ),
        (
            "part",
            list(&["database", "clock", "keys", "indexer", "node", "signers"]),
        ),
        (
            "state",
            list(&[
                "idle",
                "used",
                "QUEUED",
                "SENT",
                "FAILED",
                "OFF",
                "ON",
                "NODE",
                "NODES_DIFFER",
                "DATABASE",
                "PAUSED",
                "NOT_ALLOWED",
                "NOT_TAKEN",
                "CONTRADICTION",
            ]),
        ),
        ("account", list(&["registrar", "checkpoint"])),
        ("blocks", list(&["1", "2", "6", "12", "32", "64", "more"])),
        ("of", list(&["database", "chain"])),
        (
            "task",
            list(&["VACUUM", "ANALYZE", "REINDEX", "INDEX_USAGE"]),
        ),
        ("role", list(&["starting", "standby", "leader"])),
        (
            "reason",
            list(&[
                "UNDECODABLE_LOG",
                "LOG_NOT_PROVEN",
                "EVENTS_DO_NOT_FOLLOW",
                "REORG_BELOW_FINALITY",
                "NODES_DISAGREE",
                "WRONG_NODE",
                "behind",
                "unreachable",
                "foreign",
                "promoted",
                "parted",
                "busy",
            ]),
        ),
        ("node", list(&["1", "2", "3", "4", "5", "6", "7", "8"])),
        ("version", list(&[env!("CARGO_PKG_VERSION")])),
    ])
}

/// That nothing but what is on the closed lists is in the labels.
fn is_closed(scrape: &Scrape) {
    let lists = closed_lists();
    for (series, labels, _) in &scrape.series {
        for (label, value) in labels {
            if label == "le" {
                assert!(
                    value == "+Inf" || value.parse::<f64>().is_ok(),
                    "{series}: {value}"
                );
                continue;
            }
            let list = lists
                .get(label.as_str())
                .unwrap_or_else(|| panic!("{series} has the label {label}"));
            assert!(
                value == "OTHER" || list.contains(value),
                "{series} has {label}=\"{value}\", which is on no list"
            );
        }
    }
}

/// Does one of everything, well and badly: answers the people and the record.
async fn traffic(world: &World) -> ([Person; 2], String) {
    let (ana, dr_bo) = (
        world.patient("zbigniewa").await,
        world.doctor("xanthippe").await,
    );
    ana.lets(&dr_bo, &["READ", "SEARCH", "CREATE"]).await;
    let record = dr_bo
        .creates(&ana, "LAB_RESULT", documents::lab_result())
        .await;
    let record = id(&record);
    world.wait_for_anchor(&record, "CONFIRMED").await;
    ana.reads(&record).await.data();
    // A name of the client's own choice in the place of the field's.
    let alias = "{ zbigniewa_example_org: medicalRecord(id: \"00000000-0000-4000-8000-000000000000\") { id } }";
    ana.asks(alias, json!({})).await.fails_with("NOT_FOUND");
    ana.asks("{ nobodyKnowsThisField }", json!({}))
        .await
        .fails_with("GRAPHQL_VALIDATION_FAILED");
    dev::http::get(format!(
        "{}/health/zbigniewa@meditrustal.example",
        world.api.url()
    ))
    .await
    .expect("it answers");
    let wrong = json!({ "login": "zbigniewa", "password": "she tells everybody" });
    let log_in = "mutation LogIn($input: LogInInput!) { logIn(input: $input) { accessToken } }";
    world
        .nobody()
        .asks(log_in, json!({ "input": wrong }))
        .await
        .fails_with("WRONG_CREDENTIALS");
    ([ana, dr_bo], record)
}

/// The next nonce of the registrar, as the database or the chain has it.
fn nonce(scrape: &Scrape, of: &str) -> Option<f64> {
    scrape.value("registrar_nonce", &[("of", of)])
}

#[tokio::test]
async fn both_programs_tell_what_they_do_and_nothing_about_anybody() {
    let world = measured().await;
    let (people, record) = traffic(&world).await;

    let api = tells(&world.api, "the database was looked at", |it| {
        it.value("sampled_timestamp_seconds", &[]) > Some(0.0)
            && it.value("audit_leaves", &[]) > Some(0.0)
            && it.value("account_transactions_left", &[("account", "checkpoint")]) > Some(0.0)
            && it.value("audit_checkpoint_state", &[("state", "ON")]) == Some(1.0)
            // Both are read one after the other, and the chain's goes on between.
            && nonce(it, "database") >= Some(1.0)
            && nonce(it, "chain") <= nonce(it, "database")
    })
    .await;
    let indexer = tells(&world.indexer, "it leads", |it| {
        it.value("indexer_role", &[("role", "leader")]) == Some(1.0)
            && it.value("indexer_anchors_confirmed_total", &[]) >= Some(1.0)
    })
    .await;

    let create = [("field", "createMedicalRecord")];
    assert!(api.value("graphql_field_duration_seconds_count", &create) >= Some(1.0));
    let refused = [("field", "medicalRecord"), ("code", "NOT_FOUND")];
    assert_eq!(
        api.value("graphql_field_failures_total", &refused),
        Some(1.0)
    );
    assert_eq!(
        api.value("graphql_errors_total", &[("code", "NOT_FOUND")]),
        Some(1.0)
    );
    assert!(api.value("graphql_errors_total", &[("code", "WRONG_CREDENTIALS")]) >= Some(1.0));
    assert!(
        api.value(
            "http_requests_total",
            &[("route", "/graphql"), ("class", "2xx")]
        ) > Some(4.0)
    );
    assert!(
        api.value(
            "http_requests_total",
            &[("route", "OTHER"), ("class", "4xx")]
        ) >= Some(1.0)
    );
    assert!(api.value("queue_batch_size_count", &[("queue", "writer")]) >= Some(1.0));
    assert!(api.value("queue_batch_size_count", &[("queue", "disclosure")]) >= Some(1.0));
    assert!(api.value("relay_transactions_total", &[("outcome", "taken")]) >= Some(1.0));
    assert!(api.value("pool_connections_taken_total", &[]) > Some(4.0));
    assert!(api.value("feed_entries_total", &[]) > Some(1.0));
    assert!(api.value("audit_rows_ordered_total", &[]) > Some(4.0));
    assert!(api.value("database_size_bytes", &[]) > Some(1e6));
    assert_eq!(api.value("health_failing", &[("part", "node")]), Some(0.0));
    assert_eq!(
        api.value("audit_checkpoint_state", &[("state", "ON")]),
        Some(1.0)
    );
    assert!(indexer.value("indexer_events_applied_total", &[]) >= Some(1.0));
    assert_eq!(indexer.value("indexer_ready", &[]), Some(1.0));

    let health = Settings::of(&world).run(&world, &["--prometheus"]).await;
    let health = Scrape::read(&health.said);
    assert_eq!(
        health.value("check_status", &[("check", "database")]),
        Some(0.0)
    );
    for told in [&api, &indexer, &health] {
        is_closed(told);
        for person in &people {
            for secret in [&person.id, &person.username, &person.email, &record] {
                assert!(!told.text().contains(secret.as_str()), "{secret} is told");
            }
        }
    }
    is_asked_for_what_is_told(&[&api, &indexer, &health]);
}

/// That every rule and every panel asks for metrics and labels that the programs tell, and not for others.
fn is_asked_for_what_is_told(scrapes: &[&Scrape]) {
    // What is there only once something has happened that is not made to happen here.
    const RARE: [(&str, &str); 2] = [
        ("meditrustal_maintenance_age_seconds", "task"),
        ("meditrustal_table_index_use_ratio", "table"),
    ];
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for scrape in scrapes {
        for (metric, labels) in scrape.metrics() {
            told.entry(metric).or_default().extend(labels);
        }
    }
    for (metric, label) in RARE {
        told.entry(metric.to_owned())
            .or_default()
            .insert(label.to_owned());
    }
    let asked = rules()
        .into_iter()
        .map(|rule| (rule.name, rule.expression))
        .chain(panels());
    for (of, expression) in asked {
        let found = named(&expression);
        let mut known = BTreeSet::new();
        for metric in &found.metrics {
            let labels = told
                .get(&format!("meditrustal_{metric}"))
                .unwrap_or_else(|| panic!("{of}: nobody tells {metric}"));
            known.extend(labels.iter().cloned());
        }
        let unknown: Vec<_> = found.labels.difference(&known).collect();
        assert!(unknown.is_empty(), "{of}: {unknown:?} of {expression}");
    }
}

#[tokio::test]
async fn each_check_of_the_limits_is_measured_whether_the_document_runs_or_not() {
    let world = measured().await;
    let ana = world.patient("ana").await;
    let aliases = (0..16)
        .map(|nth| format!("a{nth}: id"))
        .collect::<Vec<_>>()
        .join(" ");
    let before = scrape(&world.api).await;

    ana.asks("{ me { id } }", json!({})).await.data();
    ana.asks(&format!("{{ me {{ {aliases} }} }}"), json!({}))
        .await
        .fails_with("TOO_COMPLEX");
    ana.asks(
        &format!("{{ me {{ id }} }}{}", " ".repeat(16 << 10)),
        json!({}),
    )
    .await
    .fails_with("TOO_COMPLEX");

    let after = scrape(&world.api).await;
    let [count, seconds] = ["count", "sum"].map(|end| {
        let name = format!("graphql_limits_check_seconds_{end}");
        let value = |it: &Scrape| it.value(&name, &[]).expect("it is told");
        value(&after) - value(&before)
    });
    assert!((2.5..3.5).contains(&count), "{count}");
    assert!(seconds > 0.0, "{seconds}");
}

#[tokio::test]
async fn what_is_wrong_is_measured_within_seconds() {
    let world = measured().await;
    world.executes(FINDING).await;
    window_without_a_review(&world).await;

    let told = tells(
        &world.api,
        "the window and the finding are measured",
        |it| {
            it.value("findings_open", &[("kind", "CONTENT_MISMATCH")]) == Some(1.0)
                && it.value("emergency_windows_unreviewed", &[]) == Some(1.0)
        },
    )
    .await;
    assert!(told.value("emergency_windows_oldest_unreviewed_seconds", &[]) > Some(4.0 * 86_400.0));

    world.foundation.node.as_ref().expect("ours").stop().await;
    tells(&world.api, "the node is missed", |it| {
        it.value("health_failing", &[("part", "node")]) == Some(1.0)
    })
    .await;
}

/// A window of emergency access that was opened five days ago, has ended, and was never reviewed.
async fn window_without_a_review(world: &World) {
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let input = json!({ "patientId": ana.id, "reason": "She is unconscious after an accident." });
    dr_bo.asks(OPEN, json!({ "input": input })).await.data();
    world
        .attacks(
            "UPDATE break_glass_windows
             SET opened_at = opened_at - interval '5 days', expires_at = expires_at - interval '5 days',
                 end_recorded_at = now(), escalated_at = now()",
        )
        .await;
}

#[tokio::test]
async fn metrics_beyond_the_private_network_are_refused_in_production() {
    let world = World::start().await;
    let open = [
        ("MEDITRUSTAL_ENVIRONMENT", "production"),
        (ADDRESS, "0.0.0.0:0"),
    ];
    let with = |known: &[(String, String)]| {
        let mut environment = known.to_vec();
        environment.extend(open.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment
    };

    let api = with(&world.foundation.options().api);
    let api = world.foundation.api("open", 0, &api).await;
    let indexer = with(&world.foundation.options().indexer);
    let indexer = world.foundation.indexer("open-indexer", 0, &indexer).await;

    for refused in [api, indexer] {
        let said = refused.expect_err("it must not run").to_string();
        assert!(said.contains("(open-metrics)"), "{said}");
    }
    // Nobody asked for them: there are none.
    assert!(!world.api.log().contains("Metrics at"));
}

#[tokio::test]
async fn health_says_what_is_well_and_what_was_never_set_up() {
    let world = measured().await;
    traffic(&world).await;
    eventually("the trail is pinned", async || {
        let pinned = "SELECT FROM audit_checkpoints WHERE state = 'ANCHORED'";
        (!world.sql(pinned).await.is_empty()).then_some(())
    })
    .await;
    let settings = Settings::of(&world);

    let (checks, code) = settings.checks(&world).await;

    assert_eq!(code, Some(1), "{checks:#?}");
    for name in [
        "database",
        "schema",
        "database-size",
        "queries",
        "index-use",
        "invalid-indexes",
        "clock",
        "indexer-leader",
        "indexer-lag",
        "reorganisations",
        "failed-anchors",
        "node",
        "registrar-funds",
        "checkpoint-funds",
        "nonce",
        "findings",
        "emergency-reviews",
        "audit-order",
        "master-keys",
        "api",
        "indexer",
    ] {
        assert_eq!(checks[name]["status"], "ok", "{:#?}", checks[name]);
        assert_eq!(checks[name]["todo"], "", "{name}");
    }
    for name in [
        "daily-backup",
        "weekly-backup",
        "monthly-backup",
        "restore-drill",
    ] {
        assert_eq!(checks[name]["status"], "warning");
        assert_eq!(
            checks[name]["found"],
            "not configured (MEDITRUSTAL_BACKUP_DIR)"
        );
    }
    assert_eq!(checks["maintenance"]["found"], "it never ran");
    let known: BTreeSet<_> = CheckName::ALL.iter().map(ToString::to_string).collect();
    let unknown: Vec<_> = checks
        .keys()
        .filter(|name| !known.contains(*name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let report = settings.run(&world, &["--json"]).await.report();
    let database = &report["database"];
    assert!(
        database["server"]["maxConnections"].as_u64() > Some(1),
        "{database}"
    );
    let tables = database["tables"].as_array().expect("a list");
    let users = tables.iter().find(|table| table["name"] == "users");
    assert!(
        users.expect("the table")["insertedRows"].is_number(),
        "{users:?}"
    );
    let indexes = database["indexes"].as_array().expect("a list");
    assert!(
        indexes.iter().any(|index| index["name"] == "users_pkey"),
        "{indexes:?}"
    );
    let told = settings.run(&world, &[]).await.said;
    assert!(
        told.contains("warning   daily-backup       not configured"),
        "{told}"
    );
    assert!(
        told.contains("-> look at the timer of the backups"),
        "{told}"
    );

    let now = world.sql("SELECT now() AS now").await[0]["now"].clone();
    let [records, keys] = ["backups", "keys-backups"].map(|dir| world.files().join(dir));
    for tier in ["daily", "weekly", "monthly"] {
        for dir in [&records, &keys] {
            let dir = dir.join(tier);
            fs::create_dir_all(&dir).expect("a folder");
            let manifest = json!({
                "version": 1, "id": "one", "part": "records", "tier": tier, "file": "a.dump.age", "bytes": 0,
                "sha256": "", "encryptedTo": [], "takenAt": now, "database": "meditrustal", "serverMajor": 18,
                "program": "0", "migrations": [], "rows": {},
            });
            let manifest = manifest.to_string();
            fs::write(dir.join("a.json"), manifest).expect("written");
            fs::write(dir.join("a.dump.age"), "").expect("written");
        }
    }
    let drill = json!({ "at": now }).to_string();
    fs::write(records.join("last-drill.json"), drill).expect("written");
    let settings = settings.and("MEDITRUSTAL_BACKUP_DIR", records.display().to_string());
    let (checks, _) = settings.checks(&world).await;
    assert_eq!(
        checks["daily-backup"]["found"],
        "not configured (MEDITRUSTAL_KEYS_BACKUP_DIR)"
    );
    let (checks, _) = settings
        .and("MEDITRUSTAL_KEYS_BACKUP_DIR", keys.display().to_string())
        .checks(&world)
        .await;
    for name in [
        "daily-backup",
        "weekly-backup",
        "monthly-backup",
        "restore-drill",
    ] {
        assert_eq!(checks[name]["status"], "ok", "{:#?}", checks[name]);
    }
    assert!(checks.contains_key("backup-disk"));
}

#[tokio::test]
async fn health_tells_that_the_database_fills_its_capacity_and_backups_their_disk() {
    let world = World::start().await;
    let bytes = "SELECT pg_database_size(current_database()) AS bytes";
    let bytes = world.sql(bytes).await[0]["bytes"].as_f64();
    let gibibytes = bytes.expect("a number") / f64::from(1 << 30);

    for (capacity, status) in [
        (gibibytes / 0.5, "ok"),
        (gibibytes / 0.875, "warning"),
        (gibibytes / 1.5, "critical"),
    ] {
        let capacity = format!("{capacity:.3}");
        let settings = Settings::of(&world).and("MEDITRUSTAL_DATABASE_CAPACITY_GIB", &capacity);
        let (checks, _) = settings.checks(&world).await;
        let check = &checks["database-size"];
        assert_eq!(check["status"], status, "{capacity}: {check:#?}");
        assert_eq!(check["todo"] == "", status == "ok", "{check:#?}");
    }
    // A file system that has no room at all, wherever Linux runs.
    let settings = Settings::of(&world).and("MEDITRUSTAL_BACKUP_DIR", "/proc");
    let (checks, code) = settings.checks(&world).await;
    let check = &checks["backup-disk"];
    assert_eq!(check["status"], "critical", "{check:#?}");
    assert_eq!(check["found"], "0 % of its disk are free");
    assert_ne!(check["todo"], "");
    assert_eq!(code, Some(2));
}

#[tokio::test]
async fn health_names_a_long_statement_and_never_its_text() {
    let world = World::start().await;
    let settings = Settings::of(&world).and("MEDITRUSTAL_LONGEST_QUERY", "1");
    let mut sleeper = world.connects_as("meditrustal_indexer").await;
    let sleeping = tokio::spawn(async move {
        let secret = "SELECT pg_sleep(30), 'HIV positive'";
        sqlx::raw_sql(secret).execute(&mut sleeper).await.ok();
    });

    let check = settings.until_it_is_not_well(&world, "queries").await;

    let found = text(&check["found"]);
    assert!(
        found.contains("of meditrustal_indexer: active for"),
        "{found}"
    );
    for arguments in [&["--json"][..], &[], &["--prometheus"]] {
        let said = settings.run(&world, arguments).await;
        let said = format!("{}{}", said.said, said.complaint);
        assert!(
            !said.contains("HIV") && !said.contains("pg_sleep"),
            "{said}"
        );
    }
    sleeping.abort();
}

#[tokio::test]
async fn health_finds_what_needs_an_operator() {
    let mut world = World::start().await;
    let settings = Settings::of(&world).and("MEDITRUSTAL_LEAST_DEAD_ROWS", "100");
    window_without_a_review(&world).await;
    world.executes(FINDING).await;
    world
        .executes(
            "ALTER TABLE throttle_counters SET (autovacuum_enabled = off);
             INSERT INTO throttle_counters (scope, subject, due_at)
             SELECT 'ADDRESS', 'of a test ' || n, now() + interval '1 day' FROM generate_series(1, 12000) AS n;
             DELETE FROM throttle_counters WHERE subject LIKE 'of a test %5'",
        )
        .await;
    // Each is a look at the whole table, as far as it counts.
    world
        .executes(
            "DO $$ BEGIN FOR nth IN 1..5000 LOOP PERFORM 1 FROM throttle_counters LIMIT 1; END LOOP; END $$",
        )
        .await;
    world.indexer.stop().await;
    world
        .attacks("UPDATE chain_cursors SET updated_at = now() - interval '2 minutes'")
        .await;

    let dead = settings.until_it_is_not_well(&world, "dead-rows").await;
    let used = settings.until_it_is_not_well(&world, "index-use").await;
    let (checks, code) = settings.checks(&world).await;

    assert!(text(&dead["found"]).contains("throttle_counters"), "{dead}");
    assert!(text(&used["found"]).contains("throttle_counters"), "{used}");
    for name in ["indexer-leader", "emergency-reviews", "findings", "indexer"] {
        assert_eq!(checks[name]["status"], "critical", "{:#?}", checks[name]);
        assert_ne!(checks[name]["todo"], "");
    }
    let found = text(&checks["findings"]["found"]);
    assert!(found.contains("1 CONTENT_MISMATCH"), "{found}");
    assert_eq!(code, Some(2));

    let gone = settings.and("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nowhere");
    let (checks, code) = gone.checks(&world).await;
    assert_eq!(checks["database"]["status"], "critical");
    assert_eq!(code, Some(2));
    world.indexer.restart().await;
}
