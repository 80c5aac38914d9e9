//! What our programs refuse to start with, where real records are kept.

use futures::future::join_all;
use serde_json::json;
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
