//! What our programs refuse to start with, where real records are kept.

use futures::future::join_all;
use serde_json::json;
use tests::commands::says;
use tests::{Pooler, World};
use tokio::process::Command;

const PRODUCTION: (&str, &str) = ("MEDITRUSTAL_ENVIRONMENT", "production");

/// What every world has, as development has it.
const ACCEPTED: (&str, &str) = (
    "MEDITRUSTAL_ACCEPTED_RISKS",
    "durability,development-keys,introspection,open-cors,playground",
);

/// Starts an api that is to be refused; answers what it said.
async fn refused(world: &World, more: &[(&str, &str)]) -> String {
    let mut environment = world.foundation.options().api.clone();
    let more = more
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    environment.extend(more);
    let started = world.foundation.api("refused", 0, &environment).await;
    started.expect_err("it must not serve").to_string()
}

#[tokio::test]
async fn what_is_insecure_is_refused_in_production_all_at_once_and_warned_of_in_development() {
    let world = World::start().await;
    let superuser = world.foundation.database.superuser_url();

    let said = refused(
        &world,
        &[
            PRODUCTION,
            ("DATABASE_URL", &superuser),
            ("MEDITRUSTAL_LISTEN", "0.0.0.0:0"),
            ("CHAIN_RPC_URL", "http://node.example.org:8545"),
        ],
    )
    .await;

    for reason in [
        "PostgreSQL's fsync is off",
        "the database role is a superuser",
        "the database role may change the audit trail",
        "requests from beyond this machine are not encrypted",
        "the line to the chain's node leaves this machine",
        "(development-keys)",
        "(introspection)",
        "(open-cors)",
    ] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
    assert!(!said.contains("node.example.org"), "{said}");
    let said = refused(
        &world,
        &[
            PRODUCTION,
            ACCEPTED,
            ("MEDITRUSTAL_TRUSTED_PROXIES", "10.0.0.0/8,0.0.0.0/0"),
        ],
    )
    .await;
    assert!(said.contains("--trusted-proxies 0.0.0.0/0"), "{said}");
    assert!(!said.contains("10.0.0.0/8"), "{said}");
    assert!(!said.contains("fsync"), "{said}");
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.unwrap_or_else(|error| panic!("{error}"));
    let said = refused(&world, &[PRODUCTION, ("DATABASE_URL", &owner)]).await;
    assert!(said.contains("the database role owns tables"), "{said}");

    let accepted = [PRODUCTION, ACCEPTED];
    let api = world.another_api("accepted", &accepted).await;
    assert!(
        api.log()
            .contains("Not safe for real records: PostgreSQL's fsync is off")
    );
    assert!(
        world
            .api
            .log()
            .contains("Not safe for real records: PostgreSQL's fsync is off"),
        "in development it is warned of"
    );
    let mut environment = world.foundation.options().indexer.clone();
    environment.push((PRODUCTION.0.to_owned(), PRODUCTION.1.to_owned()));
    let indexer = world.foundation.indexer("refused", 0, &environment).await;
    let said = indexer.expect_err("it must not run").to_string();
    assert!(said.contains("PostgreSQL's fsync is off"), "{said}");
}

#[tokio::test]
async fn a_program_that_comes_with_the_role_of_another_is_refused_in_production() {
    let world = World::start().await;
    let url = |role| {
        let url = world.foundation.url_of(role);
        url.unwrap_or_else(|error| panic!("{error}"))
    };
    let accepted = [PRODUCTION, ACCEPTED];
    let mut environment = world.foundation.options().indexer.clone();
    let development = accepted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    environment.extend(development);
    let port = dev::port::claim().expect("there are ports");
    let its_own = world
        .foundation
        .indexer("own-role", port, &environment)
        .await;
    drop(its_own.expect("with its own role it runs"));
    let more = [
        accepted[0],
        accepted[1],
        ("DATABASE_URL", &url("meditrustal_api")),
    ];
    environment.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let indexer = world.foundation.indexer("refused", 0, &environment).await;
    let said = indexer.expect_err("it must not run").to_string();

    for words in [
        "the database role may",
        "select patient_keys",
        "select data_processing_consents",
        "select users",
        "which is another program's",
        "use the role that `meditrustal database create` made for this program",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let keys = [
        accepted[0],
        accepted[1],
        ("DATABASE_URL", &url("meditrustal_keys")),
    ];
    let said = refused(&world, &keys).await;
    assert!(said.contains("update patient_keys"), "{said}");
}

#[tokio::test]
async fn a_mistyped_setting_is_told_with_the_one_that_was_meant() {
    let world = World::start().await;

    let said = refused(&world, &[PRODUCTION, ("MEDITRUSTAL_GUESES", "3")]).await;

    let told = "MEDITRUSTAL_GUESES is no setting of ours; did you mean MEDITRUSTAL_GUESSES?";
    assert!(said.contains(told), "{said}");
    let programs = &world.foundation.programs;
    let runs = async |program, argument, environment| {
        let mut command = Command::new(program);
        command
            .arg(argument)
            .env_clear()
            .env("MEDITRUSTAL_GUESES", "3")
            .env("MEDITRUSTAL_ENVIRONMENT", environment);
        let output = command.output().await.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    };
    for (environment, goes_on) in [("production", false), ("development", true)] {
        let (ended_well, said) = runs(&programs.meditrustal, "schema", environment).await;
        assert_eq!(ended_well, goes_on, "{environment}: {said}");
        assert!(said.contains(told), "{said}");
    }
    // What is missing may be what was mistyped.
    let (ended_well, said) = runs(&programs.indexer, "--poll-ms=500", "production").await;
    assert!(!ended_well && said.contains(told), "{said}");
    assert!(said.contains("--database-url"), "{said}");
}

#[tokio::test]
async fn a_pooler_that_shares_sessions_is_refused_in_words() {
    let world = World::start().await;
    for role in ["meditrustal_api", "meditrustal_indexer"] {
        let url = world.foundation.url_of(role);
        let pooler = Pooler::before(&url.unwrap_or_else(|error| panic!("{error}"))).await;
        let said = if role == "meditrustal_api" {
            refused(&world, &[("DATABASE_URL", pooler.url())]).await
        } else {
            let mut environment = world.foundation.options().indexer.clone();
            environment.push(("DATABASE_URL".to_owned(), pooler.url().to_owned()));
            let started = world.foundation.indexer("pooled", 0, &environment).await;
            started.expect_err("it must not run").to_string()
        };
        assert!(said.contains("Use pool_mode = session"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_connections_than_wanted_mean_busy_and_no_time_out() {
    let mut world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    world
        .executes("ALTER ROLE meditrustal_api CONNECTION LIMIT 6")
        .await;
    let flood = async || {
        let asked = (0..200).map(|_| ana.tries("{ consents { nodes { id } } }", json!({})));
        let answers = join_all(asked).await;
        let codes = answers.iter().map(|answer| {
            let answer = answer.as_ref().expect("an answer");
            answer.code().unwrap_or("well").to_owned()
        });
        codes.collect::<Vec<_>>()
    };

    let codes = flood().await;
    assert!(
        codes
            .iter()
            .all(|code| ["well", "BUSY"].contains(&code.as_str())),
        "{codes:?}"
    );

    // From the next start on it does not ask for more.
    world.api.restart().await;
    assert!(
        world
            .api
            .log()
            .contains("The database allows this role 6 connections"),
        "{}",
        world.api.log()
    );
    let codes = flood().await;
    assert!(codes.iter().all(|code| code == "well"), "{codes:?}");
}

/// An address that is not known to be this machine's.
const DATABASE_ELSEWHERE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@db.example.org/none");
const NODE_ELSEWHERE: (&str, &str) = ("CHAIN_RPC_URL", "http://node.example.org:8545");
const NODE_HERE: (&str, &str) = ("CHAIN_RPC_URL", "http://127.0.0.1:1");

/// The files of a command that is refused before it reads any.
const FILES: [(&str, &str); 5] = [
    ("MEDITRUSTAL_MASTER_KEYS_FILE", "/nowhere/keys"),
    ("MEDITRUSTAL_INDEX_KEY_FILE", "/nowhere/index"),
    ("MEDITRUSTAL_DEPLOYMENT_FILE", "/nowhere/deployment"),
    ("MEDITRUSTAL_ERASURE_LEDGER", "/nowhere/ledger"),
    ("MEDITRUSTAL_TOKEN_FILE", "/nowhere/token"),
];

/// Commands with what they need, each of which would use the database of `DATABASE_URL`.
const OF_A_DATABASE: [&str; 15] = [
    "migrate status",
    "migrate up --no-backup",
    "backup run --tier daily",
    "restore /nowhere/records --keys /nowhere/dump --without-head",
    "admin create --email a@example.org --username ada --password-file -",
    "admin reset-second-factor --username ada",
    "keys status",
    "signer status",
    "seal rows --all --reason tried",
    "audit verify",
    "erasures write",
    "maintain status",
    "retention rules",
    "records derive",
    "health",
];

#[tokio::test]
async fn no_command_goes_to_a_database_elsewhere_without_knowing_who_is_there() {
    let world = World::start().await;

    let environment = [&FILES[..], &[DATABASE_ELSEWHERE, NODE_HERE][..]].concat();
    let by_program = OF_A_DATABASE.map(|words| ("meditrustal", words));
    let of_the_indexer = ["status", "replay --verify"].map(|words| ("meditrustal-indexer", words));
    for (program, words) in by_program.into_iter().chain(of_the_indexer) {
        let words: Vec<&str> = words.split(' ').collect();
        let (code, said) = says(&world, program, &words, &environment).await;
        assert_ne!(code, Some(0), "{words:?}: {said}");
        assert!(said.contains("(plain-database)"), "{words:?}: {said}");
        assert!(!said.contains("db.example.org"), "{words:?}: {said}");
    }
    let roles = ["MIGRATOR", "API", "INDEXER", "KEYS", "BACKUP"];
    let passwords = roles.map(|role| format!("MEDITRUSTAL_{role}_PASSWORD"));
    let mut environment: Vec<(&str, &str)> = passwords
        .iter()
        .map(|name| (name.as_str(), "word"))
        .collect();
    environment.push(("ADMIN_DATABASE_URL", DATABASE_ELSEWHERE.1));
    let (_, said) = says(&world, "meditrustal", &["database", "create"], &environment).await;
    assert!(said.contains("(plain-database)"), "{said}");
    let keys = [("MEDITRUSTAL_KEYS_DATABASE_URL", DATABASE_ELSEWHERE.1)];
    let words = ["backup", "run", "--tier", "daily", "--only", "keys"];
    let (_, said) = says(&world, "meditrustal", &words, &keys).await;
    assert!(said.contains("(plain-database)"), "{said}");
}

const MORE_NODES: (&str, &str) = (
    "CHAIN_RPC_URLS",
    "https://127.0.0.1:1,ws://node.example.org",
);
const API_ELSEWHERE: (&str, &str) = ("MEDITRUSTAL_URL", "http://records.example.org");
const COLLECTOR_ELSEWHERE: (&str, &str) =
    ("MEDITRUSTAL_OTLP_URL", "http://collector.example.org:4318");

/// What a program is asked to do, with these lines; the risk, and the exit code.
type ClearLine = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    i32,
);

const IN_CLEAR: [ClearLine; 9] = [
    (
        "meditrustal",
        "verify /nowhere/document --deployment /nowhere/deployment",
        &[NODE_ELSEWHERE],
        "plain-node",
        2,
    ),
    (
        "meditrustal",
        "verify /nowhere/document --deployment /nowhere/deployment --witness http://node.example.org",
        &[NODE_HERE],
        "plain-node",
        2,
    ),
    ("meditrustal", "health", &[NODE_ELSEWHERE], "plain-node", 2),
    (
        "meditrustal",
        "signer status",
        &[NODE_HERE, MORE_NODES],
        "plain-node",
        1,
    ),
    (
        "meditrustal",
        "import /nowhere/records.json --patient 0193b5a0-0000-7000-8000-0000000000aa",
        &[API_ELSEWHERE],
        "plain-http",
        2,
    ),
    (
        "meditrustal",
        "export /nowhere/mine.tar --everything",
        &[API_ELSEWHERE],
        "plain-http",
        2,
    ),
    (
        "meditrustal",
        "schema",
        &[COLLECTOR_ELSEWHERE],
        "plain-collector",
        1,
    ),
    (
        "meditrustal-indexer",
        "replay --verify",
        &[NODE_ELSEWHERE],
        "plain-node",
        2,
    ),
    (
        "meditrustal-indexer",
        "config check",
        &[NODE_HERE, COLLECTOR_ELSEWHERE],
        "plain-collector",
        1,
    ),
];

#[tokio::test]
async fn no_command_sends_in_clear_text_beyond_this_machine_what_nobody_accepted() {
    let world = World::start().await;
    let database = world.foundation.url_of("meditrustal_indexer");
    let database = database.unwrap_or_else(|error| panic!("{error}"));
    let deployment = world.foundation.dir().join("deployment.json");
    let deployment = deployment.display().to_string();

    for (program, words, lines, risk, wanted) in IN_CLEAR {
        let words: Vec<&str> = words.split(' ').collect();
        let mut environment = [&FILES[..], lines].concat();
        environment.push(("DATABASE_URL", database.as_str()));
        environment.push(("MEDITRUSTAL_DEPLOYMENT_FILE", deployment.as_str()));
        let (code, said) = says(&world, program, &words, &environment).await;
        assert_eq!(code, Some(wanted), "{words:?}: {said}");
        assert!(said.contains(&format!("({risk})")), "{words:?}: {said}");
        assert!(!said.contains("example.org"), "{words:?}: {said}");
    }
    // By its name it is accepted, and where no real records are kept it is warned of.
    for accepts in [
        ("MEDITRUSTAL_ACCEPTED_RISKS", "plain-collector"),
        ("MEDITRUSTAL_ENVIRONMENT", "development"),
    ] {
        let (code, said) = says(
            &world,
            "meditrustal",
            &["schema"],
            &[COLLECTOR_ELSEWHERE, accepts],
        )
        .await;
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("Not safe for real records: the traces leave"),
            "{said}"
        );
    }
    let elsewhere = ("MEDITRUSTAL_URL", "http://0.0.0.0:1");
    let accepts = ("MEDITRUSTAL_ACCEPTED_RISKS", "plain-http");
    let token = world.file("token");
    std::fs::write(&token, "a.b.c").expect("written");
    let token = ("MEDITRUSTAL_TOKEN_FILE", token.as_str());
    let file = world.file("mine.tar");
    let words = ["export", &file, "--everything", "--tries", "1"];
    let (_, said) = says(&world, "meditrustal", &words, &[elsewhere, accepts, token]).await;
    assert!(said.contains("the line to the api broke"), "{said}");
    assert!(!said.contains("this is not safe"), "{said}");
}
