//! Commands that change something, told to say only what they would do: nothing is another afterwards, on the disk or in the
//! database.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::{World, text};

use crate::monitoring::runs;
use crate::second_factor::enrols;

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = fs::read(&path).expect("a file");
            found.insert(path.display().to_string(), bytes);
        }
    }
    found
}

/// What the commands would change in the database and on the server.
async fn rows(world: &World) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for asked in [
        "SELECT id, username, role, seal FROM users ORDER BY id",
        "SELECT id, master_key_id, wrapped_key FROM patient_keys ORDER BY id",
        "SELECT user_id, seal FROM second_factors ORDER BY user_id",
        "SELECT id, is_valid FROM sessions ORDER BY id",
        "SELECT kind, key_id FROM key_checks ORDER BY kind, key_id",
        "SELECT record_type, years FROM retention_rules ORDER BY record_type",
        "SELECT checkpoint_wanted_at FROM audit_watermark",
        "SELECT id FROM integrity_findings ORDER BY id",
        "SELECT id FROM audit_logs
         WHERE action_type IN ('KEY_ROTATE', 'USER_ROLE_CHANGE', 'SECOND_FACTOR_REMOVE', 'RETENTION_RULE_SET')
         ORDER BY id",
        "SELECT rolname::text AS name FROM pg_roles WHERE rolname LIKE 'tried\\_%'",
        "SELECT datname::text AS name FROM pg_database WHERE datname = 'tried_out'",
    ] {
        all.push(world.sql(asked).await);
    }
    all
}

#[tokio::test]
async fn no_key_file_is_made_or_changed_by_a_command_that_is_tried_out() {
    let world = World::start().await;
    let dir = world.files().join("tried-keys");
    let in_dir = dir.display().to_string();
    let path = |name: &str| dir.join(name).display().to_string();
    let (masters, tokens) = (path("master-keys.json"), path("token-key.pem"));
    let is_tried = async |words: &[&str]| {
        let words = [words, &["--dry-run", "--json"]].concat();
        let told = runs(&world, &words, &[]).await.json();
        assert_eq!(told["dryRun"], true, "{words:?}: {told}");
        told
    };

    let new = is_tried(&["keys", "new", "--dir", &in_dir]).await;
    assert_eq!(new["files"].as_array().map(Vec::len), Some(5), "{new}");
    for (name, file) in [("index", "index.key"), ("checkpoint", "checkpoint.key")] {
        let one = is_tried(&["keys", name, "--dir", &in_dir]).await;
        assert_eq!(one["files"], json!([path(file)]));
    }
    assert!(!dir.exists(), "not even the directory");
    let made = runs(&world, &["keys", "new", "--dir", &in_dir], &[]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let before = files(&dir);

    let added = is_tried(&["keys", "add", "--id", "next", "--file", &masters]).await;
    assert_eq!(added["id"], "next", "{added}");
    let token = is_tried(&["keys", "add-token-key", "--file", &tokens]).await;
    assert_eq!(token["kept"].as_array().map(Vec::len), Some(1), "{token}");
    assert_eq!(token["removed"], json!([]), "{token}");
    let backup_key = path("backup.key");
    is_tried(&["backup", "keys", "new", "--file", &backup_key]).await;
    let migration = is_tried(&["migrate", "new", "keep_visits", "--dir", &in_dir]).await;
    assert_eq!(migration["files"].as_array().map(Vec::len), Some(2));

    assert_eq!(files(&dir), before);
    // What would be refused is refused.
    let again = ["keys", "new", "--dir", &in_dir, "--dry-run"];
    let again = runs(&world, &again, &[]).await;
    again.is_refused("is there already and is not overwritten");
    let first: Value = serde_json::from_slice(&before[&masters]).expect("JSON");
    let first = text(&first["keys"][0]["id"]);
    let twice = [
        "keys",
        "add",
        "--id",
        &first,
        "--file",
        &masters,
        "--dry-run",
    ];
    let twice = runs(&world, &twice, &[]).await;
    assert_eq!(twice.code, Some(1), "{twice:?}");
}

#[tokio::test]
async fn no_row_is_changed_by_a_command_that_is_tried_out() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    enrols(&world, &ana).await;
    let url = |role: &str| world.foundation.url_of(role).expect("the role");
    let (api, keys, owner) = (
        url("meditrustal_api"),
        url("meditrustal_keys"),
        url("meditrustal_migrator"),
    );
    let masters = world.foundation.dir().join("keys/master-keys.json");
    // One that the database does not know, in a copy that no program reads.
    let copy = world.file("more-masters.json");
    fs::copy(&masters, &copy).expect("copied");
    let add = ["keys", "add", "--id", "another", "--file", &copy];
    let added = runs(&world, &add, &[]).await;
    assert_eq!(added.code, Some(0), "{added:?}");
    let old: Value = serde_json::from_slice(&fs::read(&masters).expect("a file")).expect("JSON");
    let old = text(&old["keys"][0]["id"]);
    let (password, ledger) = (world.file("a-password"), world.file("tried.ledger"));
    fs::write(&password, "Xk7-violet-anchor-92-tundra\n").expect("written");
    let masters = masters.display().to_string();
    let before = rows(&world).await;
    let is_tried = async |words: &[&str], url: &str, masters: &str| {
        let words = [words, &["--dry-run", "--json"]].concat();
        let environment = [
            ("DATABASE_URL", url),
            ("MEDITRUSTAL_MASTER_KEYS_FILE", masters),
        ];
        let told = runs(&world, &words, &environment).await.json();
        assert_eq!(told["dryRun"], true, "{words:?}: {told}");
        told
    };

    let create = [
        &["admin", "create", "--email", "root@example.org"][..],
        &["--username", "root.three", "--password-file", &password],
    ]
    .concat();
    let admin = is_tried(&create, &api, &masters).await;
    assert_eq!(admin["username"], "root.three", "{admin}");
    let reset = ["admin", "reset-second-factor", "--username", "ana"];
    let reset = is_tried(&reset, &api, &masters).await;
    assert_eq!(reset["id"], ana.id.as_str(), "{reset}");
    let rotated = is_tried(&["keys", "rotate"], &keys, &copy).await;
    assert_eq!(rotated["masterKey"], "another", "{rotated}");
    assert!(rotated["wrapped"].as_u64() > Some(0), "{rotated}");
    assert!(rotated["rows"].as_u64() > Some(0), "{rotated}");
    let retire = ["keys", "retire", &old, "--dry-run"];
    let of_copy = [
        ("DATABASE_URL", keys.as_str()),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", copy.as_str()),
    ];
    let retire = runs(&world, &retire, &of_copy).await;
    retire.is_refused("run `meditrustal keys rotate` first");
    let set = ["retention", "set", "--type", "LAB_RESULT", "--years", "30"];
    let rule = is_tried(&set, &owner, &masters).await;
    assert_eq!((&rule["years"], &rule["before"]), (&json!(30), &json!(10)));
    let checkpoint = is_tried(&["audit", "checkpoint"], &api, &masters).await;
    assert!(checkpoint["wouldAskFor"].is_u64(), "{checkpoint}");
    let write = ["erasures", "write", "--ledger", &ledger];
    let written = is_tried(&write, &api, &masters).await;
    assert_eq!(written["wouldBeAppended"], 0, "{written}");
    assert!(!Path::new(&ledger).exists());
    // Not even a key that the database does not know is made known.
    let index_key = world.foundation.dir().join("keys/index.key");
    let index_key = index_key.display().to_string();
    let derive = ["records", "derive", "--index-key-file", &index_key];
    let derived = is_tried(&derive, &owner, &copy).await;
    assert_eq!(derived["changed"], 0, "{derived}");

    assert_eq!(rows(&world).await, before);
}

#[tokio::test]
async fn no_database_is_made_by_a_command_that_is_tried_out() {
    let world = World::start().await;
    let before = rows(&world).await;
    let superuser = world.foundation.database.superuser_url();
    let api = world.foundation.url_of("meditrustal_api");
    let api = api.expect("the role");
    let passwords = ["MIGRATOR", "API", "INDEXER", "KEYS", "BACKUP"];
    let passwords = passwords.map(|role| format!("MEDITRUSTAL_{role}_PASSWORD"));
    let mut environment = vec![("ADMIN_DATABASE_URL", superuser.as_str())];
    environment.extend(
        passwords
            .iter()
            .map(|it| (it.as_str(), "Jk5-amber-notch-41-fjord")),
    );
    let create = ["database", "create", "--database", "tried_out", "--dry-run"];
    let tenant = ["--schema", "tried", "--role-prefix", "tried", "--json"];

    let words = [&create[..], &tenant].concat();
    let told = runs(&world, &words, &environment).await.json();

    assert_eq!(told["dryRun"], true, "{told}");
    let missing = told["missingRoles"].as_array().map(Vec::len);
    assert_eq!(missing, Some(7), "{told}");
    assert_eq!(told["hasDatabase"], false, "{told}");
    assert!(!told.to_string().contains("amber"), "{told}");
    assert_eq!(rows(&world).await, before);
    // Under a role that may make none, that is said before anything is tried.
    environment[0].1 = api.as_str();
    let refused = runs(&world, &create, &environment).await;
    refused.is_refused("may not make roles");
}
