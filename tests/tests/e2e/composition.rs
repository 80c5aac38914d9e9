//! What `ops` gives to our programs, they take: every command with its arguments, every setting, and all settings of a service
//! together, as in production.

use std::collections::BTreeMap;

use tests::World;
use tests::commands::says;
use tests::composition::{composition, unit_commands};

/// The help of a command; its arguments are looked at before.
async fn help(world: &World, program: &str, arguments: &[String]) -> String {
    let arguments = arguments.iter().map(String::as_str);
    let arguments: Vec<&str> = arguments.chain(["--help"]).collect();
    let (code, said) = says(world, program, &arguments, &[]).await;
    assert_eq!(code, Some(0), "{program} {arguments:?}: {said}");
    said
}

#[tokio::test]
async fn each_service_and_each_unit_runs_a_command_that_there_is() {
    let world = World::start().await;

    let mut tried = 0;
    for service in composition().services.iter().filter(|it| it.is_ours()) {
        let told = help(&world, service.program(), &service.arguments()).await;
        for name in service.environment.keys() {
            let takes = told.contains(&format!("[env: {name}]"))
                || told.contains(&format!("[env: {name}="));
            assert!(takes, "{} does not take {name}: {told}", service.name);
        }
        tried += 1;
    }
    assert_eq!(tried, 11);
    let units = unit_commands();
    assert_eq!(units.len(), 6, "{units:?}");
    for (unit, command) in units {
        let (program, arguments) = command.split_first().expect("a program");
        let told = help(&world, program, arguments).await;
        assert!(told.contains("Usage:"), "{unit}: {told}");
    }
}

#[tokio::test]
async fn the_settings_of_the_composition_can_be_used_together_in_production() {
    let world = World::start().await;
    let dir = world.foundation.dir();
    let filled = |value: &str, node: &str| {
        value
            .replace("${CHAIN_RPC_URL:?}", node)
            .replace("${SITE:?}", "https://app.example.org")
            .replace("_PASSWORD:?}", "_PASSWORD}")
            .replace("${API_PASSWORD}", "word")
            .replace("${INDEXER_PASSWORD}", "word")
            .replace(
                "/etc/meditrustal/deployment.json",
                &dir.join("deployment.json").display().to_string(),
            )
            .replace("/etc/meditrustal", &dir.join("keys").display().to_string())
            .replace("/var/lib/meditrustal", &world.file("ledger"))
    };

    for (name, node, is_refused) in [
        ("api-1", "https://node.example.org", false),
        ("api-1", "http://node.example.org:8545", true),
        ("indexer-1", "https://node.example.org", false),
        ("indexer-1", "http://node.example.org:8545", true),
    ] {
        let mut services = composition().services.into_iter();
        let service = services.find(|it| it.name == name).expect("a service");
        let mut environment: BTreeMap<_, _> = service
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), filled(value, node)))
            .collect();
        assert!(!environment.values().any(|it| it.contains("${")), "{name}");
        // A world's accounts are those of development chains.
        if let Some(risks) = environment.get_mut("MEDITRUSTAL_ACCEPTED_RISKS") {
            risks.push_str(",development-keys");
        }

        let environment = environment.iter();
        let environment: Vec<(&str, &str)> = environment
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let check = ["config", "check"];
        let (code, said) = says(&world, service.program(), &check, &environment).await;

        if is_refused {
            assert_eq!(code, Some(1), "{name}: {said}");
            assert!(said.contains("(plain-node)"), "{name}: {said}");
        } else {
            assert_eq!(code, Some(0), "{name}: {said}");
            assert!(said.contains("every setting can be used"), "{name}: {said}");
        }
    }
    // What prepares the database reaches it by the same network.
    for name in ["create", "migrate"] {
        let mut services = composition().services.into_iter();
        let service = services.find(|it| it.name == name).expect("a service");
        let accepted = service.environment.get("MEDITRUSTAL_ACCEPTED_RISKS");
        assert_eq!(
            accepted.map(String::as_str),
            Some("plain-database"),
            "{name}"
        );
    }
}
