//! What the operator is told of settings that cannot be used: all of it at once, and no secret.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::Value;
use tests::commands::{ends, says};
use tests::{World, eventually};
use tokio::io::{AsyncBufReadExt, BufReader};

/// What a command says that does not begin.
async fn refused(
    world: &World,
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let ended = ends(world, program, arguments, environment).await;
    assert_ne!(ended.code, Some(0), "{arguments:?} with {environment:?}");
    ended.complaint
}

fn says_all(told: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
}

/// What the api needs, as the world's own has it.
fn whole(world: &World) -> Vec<(&'static str, String)> {
    let dir = world.foundation.dir();
    let key = |name: &str| dir.join("keys").join(name).display().to_string();
    vec![
        (
            "DATABASE_URL",
            world
                .foundation
                .url_of("meditrustal_api")
                .expect("there is the role"),
        ),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url().to_owned()),
        (
            "MEDITRUSTAL_DEPLOYMENT_FILE",
            dir.join("deployment.json").display().to_string(),
        ),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", key("master-keys.json")),
        ("MEDITRUSTAL_INDEX_KEY_FILE", key("index.key")),
        ("MEDITRUSTAL_TOKEN_KEY_FILE", key("token-key.pem")),
        ("MEDITRUSTAL_REGISTRAR_KEY_FILE", key("registrar.key")),
        ("MEDITRUSTAL_LISTEN", "127.0.0.1:0".to_owned()),
        // A world's PostgreSQL does not wait for the disk.
        ("MEDITRUSTAL_ENVIRONMENT", "development".to_owned()),
    ]
}

#[tokio::test]
async fn every_setting_that_cannot_be_used_is_told_at_once() {
    let world = World::start().await;
    let secret = "mysql://ada:hunter2@example.org";
    let wrong = [
        ("DATABASE_URL", secret),
        ("CHAIN_RPC_URL", "wss://ada:hunter2@node.example.org"),
        (
            "CHAIN_RPC_URLS",
            "https://node.example.org,ftp://ada:hunter2@node.example.org",
        ),
        ("MEDITRUSTAL_LISTEN", "here"),
        ("MEDITRUSTAL_POOL_MAX_SIZE", "0"),
        ("MEDITRUSTAL_REQUEST_TIMEOUT", "-1"),
        ("MEDITRUSTAL_MAX_FEE_GWEI", "0"),
        ("MEDITRUSTAL_RAISE_FEE_AFTER", "soon"),
        ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "all"),
        ("MEDITRUSTAL_RETENTION_EVERY", "never"),
        ("MEDITRUSTAL_HELD_ENTRIES_MIB", "0"),
        (
            "MEDITRUSTAL_ALLOWED_ORIGINS",
            "https://app.example.org,https://app.example.org/",
        ),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", "keys.json"),
        ("MEDITRUSTAL_HOME_COUNTRY", "Indonesia"),
    ];

    let told = refused(&world, "meditrustal", &["serve"], &wrong).await;

    says_all(
        &told,
        &[
            "these 17 settings cannot be used",
            "(DATABASE_URL) cannot be used: it is no address of a database",
            "(CHAIN_RPC_URL) cannot be used: it must begin with https:// or http://",
            "(CHAIN_RPC_URLS) cannot be used: it must begin with https://, http://, wss:// or ws://",
            "(MEDITRUSTAL_LISTEN) cannot be \"here\": invalid socket address",
            "(MEDITRUSTAL_POOL_MAX_SIZE) cannot be \"0\": 0 is not in 1..=1000",
            "(MEDITRUSTAL_REQUEST_TIMEOUT) cannot be \"-1\"",
            "(MEDITRUSTAL_MAX_FEE_GWEI) cannot be \"0\": 0 is not in 1..=1000000",
            "(MEDITRUSTAL_RAISE_FEE_AFTER) cannot be \"soon\"",
            "(MEDITRUSTAL_DEEP_CHECK_PER_SECOND) cannot be \"all\"",
            "(MEDITRUSTAL_RETENTION_EVERY) cannot be \"never\"",
            "(MEDITRUSTAL_HELD_ENTRIES_MIB) cannot be \"0\": 0 is not in 1..=1048576",
            "(MEDITRUSTAL_ALLOWED_ORIGINS) cannot be \"https://app.example.org/\": it is no origin",
            "(MEDITRUSTAL_HOME_COUNTRY) cannot be \"Indonesia\": a country is two capital letters",
            "(MEDITRUSTAL_DEPLOYMENT_FILE) is missing",
            "(MEDITRUSTAL_REGISTRAR_KEY_FILE) is missing",
            "(MEDITRUSTAL_INDEX_KEY_FILE) is missing",
            "(MEDITRUSTAL_TOKEN_KEY_FILE) is missing",
        ],
    );
    assert!(!told.contains("hunter2"), "{told}");
    let of_indexer = [
        ("DATABASE_URL", secret),
        ("CHAIN_RPC_URL", "node:8545"),
        ("MEDITRUSTAL_POLL_MS", "1"),
        ("MEDITRUSTAL_SWEEP_ROUND", "0"),
    ];
    let told = refused(&world, "meditrustal-indexer", &[], &of_indexer).await;
    says_all(
        &told,
        &[
            "(DATABASE_URL) cannot be used",
            "(CHAIN_RPC_URL) cannot be used",
            "(MEDITRUSTAL_POLL_MS) cannot be \"1\": 1 is not in 10..=600000",
            "(MEDITRUSTAL_SWEEP_ROUND) cannot be \"0\": 0 is not in 1..=2592000",
            "(MEDITRUSTAL_DEPLOYMENT_FILE) is missing",
        ],
    );
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_trusted_document_that_does_not_fit_the_schema_is_named_before_the_api_listens() {
    let world = World::start().await;
    let document = "query Wards { registry { chainId } wards { id } }";
    let hash = vault::digest::hex_of(document.as_bytes());
    let file = world.foundation.dir().join("unfit-documents.json");
    let manifest = serde_json::json!({ hash.as_str(): document }).to_string();
    std::fs::write(&file, manifest).expect("it is written");
    let file = file.display().to_string();
    let settings = whole(&world);
    let mut settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    settings.push(("MEDITRUSTAL_TRUSTED_DOCUMENTS", &file));

    let told = refused(&world, "meditrustal", &["serve"], &settings).await;

    says_all(
        &told,
        &[
            "MEDITRUSTAL_TRUSTED_DOCUMENTS: the trusted document ",
            &hash,
            "(Wards) does not fit the schema: ",
        ],
    );
}

#[tokio::test]
async fn what_contradicts_itself_is_not_there_or_is_taken_is_told_at_once() {
    let world = World::start().await;
    let taken = world.api.address().to_string();
    let mut settings = whole(&world);
    settings
        .retain(|(name, _)| !["MEDITRUSTAL_LISTEN", "MEDITRUSTAL_INDEX_KEY_FILE"].contains(name));
    let mut settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    settings.extend([
        ("MEDITRUSTAL_LISTEN", taken.as_str()),
        ("MEDITRUSTAL_INDEX_KEY_FILE", "/nowhere/index.key"),
        ("MEDITRUSTAL_POOL_MIN_SIZE", "30"),
        ("MEDITRUSTAL_FIRST_WAIT", "1000"),
        ("MEDITRUSTAL_CONNECTIONS", "100"),
        ("MEDITRUSTAL_SOCKETS_OF_ADDRESS", "9"),
        ("MEDITRUSTAL_SITE", "nowhere"),
        ("MEDITRUSTAL_RELAY_CONSENTS", "true"),
        ("MEDITRUSTAL_ONLY_TRUSTED", "true"),
        (
            "MEDITRUSTAL_PROFILES",
            "/nowhere/guide.tgz,/proc/self/status",
        ),
    ]);

    let told = refused(&world, "meditrustal", &["serve"], &settings).await;

    says_all(
        &told,
        &[
            "these 11 settings cannot be used",
            "MEDITRUSTAL_ONLY_TRUSTED leaves nothing to run without MEDITRUSTAL_TRUSTED_DOCUMENTS",
            "MEDITRUSTAL_PROFILES: /nowhere/guide.tgz is no package of profiles that can be used: it cannot be read",
            "MEDITRUSTAL_PROFILES: /proc/self/status is no package of profiles that can be used: it is no tar archive",
            "MEDITRUSTAL_RELAY_CONSENTS: the deployment file names no registry of consents",
            "MEDITRUSTAL_POOL_MIN_SIZE is 30, and must be at most MEDITRUSTAL_POOL_MAX_SIZE, which is 20",
            "MEDITRUSTAL_FIRST_WAIT is 1000, and must be at most MEDITRUSTAL_LONGEST_WAIT, which is 900",
            "MEDITRUSTAL_CONNECTIONS_OF_ADDRESS is 512, and must be at most MEDITRUSTAL_CONNECTIONS, which is 100",
            "MEDITRUSTAL_SOCKETS_OF_ACCOUNT is 10, and must be at most MEDITRUSTAL_SOCKETS_OF_ADDRESS, which is 9",
            "MEDITRUSTAL_INDEX_KEY_FILE: ",
            "MEDITRUSTAL_SITE: ",
            &format!("MEDITRUSTAL_LISTEN: cannot listen on {taken}: "),
        ],
    );
    let database = world
        .foundation
        .url_of("meditrustal_indexer")
        .expect("the role");
    let deployment = world
        .foundation
        .dir()
        .join("deployment.json")
        .display()
        .to_string();
    let of_indexer = [
        ("DATABASE_URL", database.as_str()),
        ("CHAIN_RPC_URL", world.foundation.chain_rpc_url()),
        ("MEDITRUSTAL_DEPLOYMENT_FILE", &deployment),
        ("MEDITRUSTAL_INDEXER_LISTEN", &taken),
    ];
    let told = refused(&world, "meditrustal-indexer", &[], &of_indexer).await;
    says_all(
        &told,
        &[
            &format!("cannot listen on {taken}"),
            "MEDITRUSTAL_INDEXER_LISTEN",
        ],
    );
}

#[tokio::test]
async fn a_role_without_a_password_is_not_made() {
    let world = World::start().await;
    let url = world.foundation.database.superuser_url();
    let settings = [
        ("ADMIN_DATABASE_URL", url.as_str()),
        ("MEDITRUSTAL_MIGRATOR_PASSWORD", ""),
        ("MEDITRUSTAL_API_PASSWORD", " "),
        ("MEDITRUSTAL_INDEXER_PASSWORD", "one that is none of ours"),
        ("MEDITRUSTAL_BACKUP_PASSWORD", ""),
    ];

    let told = refused(&world, "meditrustal", &["database", "create"], &settings).await;

    says_all(
        &told,
        &[
            "these 4 settings cannot be used",
            "(MEDITRUSTAL_MIGRATOR_PASSWORD) cannot be used: it is empty",
            "(MEDITRUSTAL_API_PASSWORD) cannot be used: it is empty",
            "(MEDITRUSTAL_BACKUP_PASSWORD) cannot be used: it is empty",
            "(MEDITRUSTAL_KEYS_PASSWORD) is missing",
        ],
    );
    assert!(!told.contains("none of ours"), "{told}");
}

#[tokio::test]
async fn new_keys_say_whom_the_registry_has_to_let_anchor() {
    let world = World::start().await;
    let dir = world.file("keys");

    let said = world
        .foundation
        .programs
        .operate(&["keys", "new", "--dir", &dir], &[], "")
        .expect("keys are made");

    let address = said.split("REGISTRAR_ADDRESS=").nth(1).expect("an address");
    let address: String = address
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    assert_eq!(address.len(), 42, "{said}");
    // Whoever starts with that key before the registry lets it is told the same address.
    let mut settings = whole(&world);
    settings.retain(|(name, _)| *name != "MEDITRUSTAL_REGISTRAR_KEY_FILE");
    let key = format!("{dir}/registrar.key");
    let mut settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    settings.push(("MEDITRUSTAL_REGISTRAR_KEY_FILE", &key));
    let told = refused(&world, "meditrustal", &["serve"], &settings).await;
    says_all(
        &told,
        &[&format!("the registry does not let {address} anchor")],
    );
}

#[tokio::test]
async fn a_registry_beside_a_deployment_file_has_to_be_the_same() {
    let world = World::start().await;
    let file = world.file("document.json");
    fs::write(&file, "{}").expect("written");
    let deployment = world.foundation.dir().join("deployment.json");
    let written: Value =
        serde_json::from_slice(&fs::read(&deployment).expect("the file")).expect("JSON");
    let (rpc, deployment) = (
        world.foundation.chain_rpc_url(),
        deployment.display().to_string(),
    );
    let verify = |registry: String| {
        let arguments = [
            "verify",
            &file,
            "--rpc",
            rpc,
            "--deployment",
            &deployment,
            "--registry",
        ];
        let arguments: Vec<String> = arguments.map(str::to_owned).into();
        [arguments, vec![registry]].concat()
    };
    let same = verify(written["registry"].as_str().expect("an address").to_owned());
    let other = verify(format!("0x{:040x}", 1));

    let output = |arguments: Vec<String>| {
        let command = std::process::Command::new(&world.foundation.programs.meditrustal)
            .args(arguments)
            .output()
            .expect("the program starts");
        let said = [command.stdout, command.stderr].concat();
        (
            command.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };

    let (code, said) = output(same);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("NOT_ANCHORED"), "{said}");
    let (code, said) = output(other);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("leave one of them out"), "{said}");
}

#[tokio::test]
async fn a_second_migration_says_that_it_waits_and_then_goes_on() {
    let world = World::start().await;
    let mut other = world.connects_as("meditrustal_migrator").await;
    sqlx::raw_sql("SELECT pg_advisory_lock(hashtextextended('migration', 0))")
        .execute(&mut other)
        .await
        .expect("nobody else migrates");
    let url = world
        .foundation
        .url_of("meditrustal_migrator")
        .expect("the role");
    let mut running = tokio::process::Command::new(&world.foundation.programs.meditrustal)
        .args(["migrate", "up"])
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(running.stderr.take().expect("piped")).lines();
    let first = lines
        .next_line()
        .await
        .expect("it speaks")
        .unwrap_or_default();
    assert!(
        first.contains("another migration of this database is under way"),
        "{first}"
    );

    drop(other);

    let output = running.wait_with_output().await.expect("it ends");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the schema is up to date"), "{said}");
}

/// Writes a file that these may read.
fn written(world: &World, name: &str, text: &str, mode: u32) -> String {
    let path = world.file(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    path
}

#[tokio::test]
async fn every_mistake_in_a_file_of_settings_is_told_with_its_line() {
    let world = World::start().await;
    let file = written(
        &world,
        "wrong.toml",
        "listen = \"here\"\npool_max_size = 0\nguesess = 3\nintrospection = \"perhaps\"\npool_timeout = 9\n[serve]\n",
        0o644,
    );
    let environment = [
        ("MEDITRUSTAL_REQUEST_TIMEOUT", "-1"),
        ("MEDITRUSTAL_POOL_TIMEOUT", "0"),
    ];
    let wanted: [&str; 8] = [
        &format!("(MEDITRUSTAL_LISTEN, {file}:1) cannot be \"here\""),
        &format!("(MEDITRUSTAL_POOL_MAX_SIZE, {file}:2) cannot be \"0\": 0 is not in 1..=1000"),
        &format!("{file}:3: guesess is no setting of ours; did you mean guesses?"),
        &format!("{file}:4: introspection is true or false"),
        &format!("{file}:6: [serve] cannot be used: settings stand without sections"),
        "(MEDITRUSTAL_REQUEST_TIMEOUT) cannot be \"-1\"",
        // The environment wins, and is wrong.
        "(MEDITRUSTAL_POOL_TIMEOUT) cannot be \"0\"",
        "(DATABASE_URL) is missing",
    ];

    for arguments in [
        vec!["serve", "--config", &file],
        vec!["--config", &file, "config", "check"],
    ] {
        let (code, said) = says(&world, "meditrustal", &arguments, &environment).await;
        assert_eq!(code, Some(2), "{said}");
        says_all(&said, &wanted);
    }

    let file = written(&world, "broken.toml", "database_url = hunter2\n", 0o600);
    let config = [("MEDITRUSTAL_CONFIG", file.as_str())];
    for program in ["meditrustal", "meditrustal-indexer"] {
        let (code, said) = says(&world, program, &["config", "check"], &config).await;
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("{file}:1: it is no TOML")), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let nowhere = [("MEDITRUSTAL_CONFIG", "/nowhere/m.toml")];
    let (code, said) = says(&world, "meditrustal-indexer", &[], &nowhere).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/nowhere/m.toml cannot be read"), "{said}");
}

#[tokio::test]
async fn each_setting_is_shown_with_where_it_is_set_and_no_secret() {
    let world = World::start().await;
    let file = written(
        &world,
        "m.toml",
        "guesses = 6\nfirst_wait = 11\ndatabase_url = \"postgres://a:hunter2@db/x\"\n",
        0o600,
    );
    let environment = [
        ("MEDITRUSTAL_CONFIG", file.as_str()),
        ("MEDITRUSTAL_GUESSES", "7"),
        ("MEDITRUSTAL_API_PASSWORD", "hunter3"),
    ];
    let shown = async |arguments: &[&str]| {
        let (code, said) = says(&world, "meditrustal", arguments, &environment).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("hunter"), "{said}");
        said
    };

    let said = shown(&["--log", "warn", "config", "show", "--json"]).await;
    let rows: Value = serde_json::from_str(&said).expect("JSON");
    let row = |name: &str| {
        let mut rows = rows.as_array().expect("a list").iter();
        rows.find(|row| row["name"] == name)
            .expect("it is shown")
            .clone()
    };
    let second = format!("{file}:2");
    for (name, value, source) in [
        ("guesses", "7", "MEDITRUSTAL_GUESSES"),
        ("first_wait", "11", second.as_str()),
        ("longest_wait", "900", "default"),
        ("log", "warn", "command line"),
    ] {
        let row = row(name);
        assert_eq!(row["value"], value, "{row}");
        assert_eq!(row["source"], source, "{row}");
    }
    assert_eq!(row("database_url")["secret"], true);
    assert_eq!(row("database_url")["source"], format!("{file}:3"));
    assert_eq!(row("api_password")["set"], true);
    let said = shown(&["config", "show"]).await;
    says_all(
        &said,
        &[
            "guesses = \"7\" # MEDITRUSTAL_GUESSES",
            &format!("database_url = \"********\" # {file}:3"),
            "# site is not set",
        ],
    );
    let (code, said) = says(
        &world,
        "meditrustal-indexer",
        &["config", "show"],
        &[("MEDITRUSTAL_POLL_MS", "77")],
    )
    .await;
    assert_eq!(code, Some(0), "{said}");
    says_all(&said, &["poll_ms = \"77\" # MEDITRUSTAL_POLL_MS"]);
}

#[tokio::test]
async fn programs_and_commands_take_their_settings_from_files() {
    let world = World::start().await;
    let settings = whole(&world);
    let url = &settings[0].1;
    let secret = written(&world, "database-url", &format!("{url}\n"), 0o600);
    let lines = settings.iter().skip(1).map(|(name, value)| {
        let key = name.trim_start_matches("MEDITRUSTAL_").to_lowercase();
        format!("{key} = \"{value}\"\n")
    });
    let all = format!(
        "database_url_file = \"{secret}\"\n{}",
        lines.collect::<String>()
    );
    // The address of the node may hold a secret, too.
    let file = written(&world, "all.toml", &all, 0o600);
    let config = [("MEDITRUSTAL_CONFIG", file.as_str())];

    for program in ["meditrustal", "meditrustal-indexer"] {
        let (code, said) = says(&world, program, &["config", "check"], &config).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("every setting can be used"), "{said}");
    }
    let production = [config[0], ("MEDITRUSTAL_ENVIRONMENT", "production")];
    let (code, said) = says(&world, "meditrustal", &["config", "check"], &production).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("(development-keys)"), "{said}");
    let (code, said) = says(&world, "meditrustal", &["retention", "rules"], &config).await;
    assert_eq!(code, Some(0), "{said}");

    // A file that others can read is not used for a secret.
    let open = written(&world, "open-url", url, 0o644);
    let open = [("DATABASE_URL_FILE", open.as_str())];
    let (code, said) = says(&world, "meditrustal", &["retention", "rules"], &open).await;
    assert_eq!(code, Some(2), "{said}");
    says_all(
        &said,
        &["DATABASE_URL_FILE: the file", "can be read by others"],
    );
    let open = written(&world, "open.toml", &all, 0o644);
    let open = ["--config", &open, "retention", "rules"];
    let (code, said) = says(&world, "meditrustal", &open, &[]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("holds chain_rpc_url and can be read by others"),
        "{said}"
    );

    // What stands in the file alone is in force.
    let port = dev::port::claim().expect("there are ports");
    let metrics = format!("metrics_address = \"127.0.0.1:{port}\"\n");
    let metrics = written(&world, "metrics.toml", &metrics, 0o644);
    let environment = [("MEDITRUSTAL_CONFIG", metrics.as_str())];
    let _api = world.another_api("by-file", &environment).await;
    eventually("the metrics are told", async || {
        let answer = dev::http::get(format!("http://127.0.0.1:{port}/metrics")).await;
        answer.ok().filter(|answer| answer.status().is_success())
    })
    .await;
}
