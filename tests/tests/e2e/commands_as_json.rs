//! What the operator's commands tell a program, where that asks for JSON.

use std::fs;

use serde_json::json;
use tests::World;

use crate::monitoring::runs;

#[tokio::test]
async fn the_schema_is_told_to_a_program() {
    let world = World::start().await;
    let owner = world.foundation.url_of("meditrustal_migrator");
    let owner = owner.expect("the role");
    let as_owner = [("DATABASE_URL", owner.as_str())];

    let status = runs(&world, &["migrate", "status", "--json"], &as_owner).await;
    let status = status.json();
    let up = runs(&world, &["migrate", "up", "--json"], &as_owner).await;
    let dry = ["migrate", "down", "--dry-run", "--json"];
    let down = runs(&world, &dry, &as_owner).await.json();

    let all = status["migrations"].as_array().expect("a list");
    let is_applied = all.iter().all(|it| it["applied"] == true);
    assert!(!all.is_empty() && is_applied, "{status}");
    assert_eq!(up.json(), json!({ "applied": 0, "waited": false }));
    let would_run = down["wouldRun"].as_array().expect("a list");
    assert_eq!(would_run.len(), 1, "{down}");
    assert_eq!(would_run[0]["version"], all[all.len() - 1]["version"]);
    let sql = would_run[0]["sql"].as_str().unwrap_or_default();
    assert!(!sql.is_empty(), "{down}");
    // Why there is no result is told in the same way.
    for (more, why) in [
        (&[][..], "(DATABASE_URL) is missing"),
        (&["--no-such-option"], "--no-such-option"),
    ] {
        let words = [&["migrate", "status", "--json"][..], more].concat();
        let refused = runs(&world, &words, &[]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        let error = refused.report()["error"].to_string();
        assert!(error.contains(why), "{refused:?}");
    }
}

#[tokio::test]
async fn keys_rules_and_the_trail_are_told_to_a_program() {
    let world = World::start().await;
    world.patient("ana").await;
    let url = |role: &str| world.foundation.url_of(role).expect("the role");
    let (api, keys) = (url("meditrustal_api"), url("meditrustal_keys"));
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let masters = masters.display().to_string();

    let of_keys = [
        ("DATABASE_URL", keys.as_str()),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", masters.as_str()),
    ];
    let keys = runs(&world, &["keys", "status", "--json"], &of_keys).await;
    let of_api = [("DATABASE_URL", api.as_str())];
    let rules = runs(&world, &["retention", "rules", "--json"], &of_api).await;
    let trail = runs(&world, &["audit", "verify", "--json"], &of_api).await;
    let set = ["retention", "set", "--type", "LAB_RESULT", "--years", "12"];
    let refused = runs(&world, &[&set[..], &["--json"]].concat(), &of_api).await;

    let keys = keys.json();
    let first = &keys["masterKeys"][0];
    assert_eq!(first["isFirst"], true, "{keys}");
    assert_eq!(first["isInFile"], true, "{keys}");
    let rules = rules.json();
    let rules = rules["rules"].as_array().expect("a list");
    let laboratory = json!({ "recordType": "LAB_RESULT", "years": 10 });
    assert!(rules.contains(&laboratory), "{rules:?}");
    let trail = trail.json();
    assert_eq!(trail["faults"], json!([]), "{trail}");
    refused.is_refused("`--help` names the role that this command wants");
    let error = refused.report()["error"].to_string();
    assert!(error.contains("may not do this"), "{refused:?}");

    // With the keys of another installation nothing is wrapped, and looking at them makes none known.
    let others = world.file("others");
    let new = ["keys", "new", "--dir", &others, "--json"];
    runs(&world, &new, &[]).await.json();
    let others = format!("{others}/master-keys.json");
    let with_others = [
        of_keys[0],
        ("MEDITRUSTAL_MASTER_KEYS_FILE", others.as_str()),
    ];
    let known = "SELECT key_id FROM key_checks WHERE kind = 'MASTER'";
    let before = world.sql(known).await;
    let status = runs(&world, &["keys", "status", "--json"], &with_others).await;
    status.is_refused("find the file that has these master keys");
    assert_eq!(
        status.report()["masterKeys"][1],
        json!({
            "id": first["id"], "patientKeys": first["patientKeys"], "seals": first["seals"], "isInFile": false, "isFirst": false,
        })
    );
    assert_eq!(world.sql(known).await, before);
    let tried = ["keys", "rotate", "--dry-run", "--json"];
    let tried = runs(&world, &tried, &with_others).await;
    tried.is_refused("because the file does not have that");
    assert_eq!(tried.report()["notInFile"], json!([first["id"]]));
    let rotated = runs(&world, &["keys", "rotate", "--json"], &with_others).await;
    rotated.is_refused("because the file does not have that");
    assert_eq!(rotated.report()["notInFile"], json!([first["id"]]));
    assert_eq!(trail["moreFaults"], 0, "{trail}");
    assert_eq!(trail["promises"], json!(null), "{trail}");
}

#[tokio::test]
async fn what_is_made_of_keys_is_told_to_a_program_without_a_secret() {
    let world = World::start().await;
    let dir = world.files().join("more-keys");
    let path = |name: &str| dir.join(name).display().to_string();
    let in_dir = dir.display().to_string();

    let new = ["keys", "new", "--json", "--dir", &in_dir];
    let new = runs(&world, &new, &[]).await.json();
    let masters = path("master-keys.json");
    let add = ["keys", "add", "--id", "next", "--json", "--file", &masters];
    let added = runs(&world, &add, &[]).await.json();
    let tokens = path("token-key.pem");
    let token = ["keys", "add-token-key", "--json", "--file", &tokens];
    let token = runs(&world, &token, &[]).await.json();
    let backup_key = path("backup.key");
    let backup = ["backup", "keys", "new", "--json", "--file", &backup_key];
    let backup = runs(&world, &backup, &[]).await.json();

    let made = new["files"].as_array().expect("a list");
    assert_eq!(made.len(), 5, "{new}");
    assert_eq!(made[0], masters.as_str(), "{new}");
    for account in ["registrar", "checkpointer"] {
        let address = new[account].as_str().unwrap_or_default();
        assert!(address.starts_with("0x") && address.len() == 42, "{new}");
    }
    assert_eq!(added, json!({ "id": "next", "file": masters }));
    let token_keys = token["tokenKeys"].as_array().expect("a list");
    let signs: Vec<_> = token_keys.iter().map(|it| &it["signs"]).collect();
    assert_eq!(signs, [true, false], "{token}");
    let public = backup["publicKey"].as_str().unwrap_or_default();
    assert!(public.starts_with("age1"), "{backup}");
    for secret in ["registrar.key", "checkpoint.key", "index.key"] {
        let secret = fs::read_to_string(dir.join(secret)).expect("a key file");
        let secret = secret.trim();
        assert!(!new.to_string().contains(secret), "{new}");
    }
}

#[tokio::test]
async fn what_operators_change_is_told_to_a_program() {
    let world = World::start().await;
    let url = |role: &str| world.foundation.url_of(role).expect("the role");
    let (api, owner) = (url("meditrustal_api"), url("meditrustal_migrator"));
    let masters = world.foundation.dir().join("keys/master-keys.json");
    let masters = masters.display().to_string();
    let password = world.file("password");
    fs::write(&password, "Xk7-violet-anchor-92-tundra\n").expect("written");
    let of_api = [
        ("DATABASE_URL", api.as_str()),
        ("MEDITRUSTAL_MASTER_KEYS_FILE", masters.as_str()),
    ];

    let create = [
        "admin",
        "create",
        "--json",
        "--email",
        "root@example.org",
        "--username",
        "root.two",
        "--password-file",
        &password,
    ];
    let admin = runs(&world, &create, &of_api).await.json();
    let rows = ["seal", "rows", "--all", "--dry-run", "--json"];
    let rows = runs(&world, &rows, &of_api).await.json();
    let checkpoint = ["audit", "checkpoint", "--json"];
    let checkpoint = runs(&world, &checkpoint, &of_api).await.json();
    let out = world.file("events.ndjson");
    let export = ["audit", "export", "--fhir", "--json", "--out", &out];
    let exported = runs(&world, &export, &of_api).await.json();
    let set = [
        "retention",
        "set",
        "--json",
        "--type",
        "LAB_RESULT",
        "--years",
        "30",
    ];
    let rule = runs(&world, &set, &[("DATABASE_URL", owner.as_str())]).await;

    assert_eq!(admin["username"], "root.two", "{admin}");
    assert_eq!(admin["role"], "ADMIN", "{admin}");
    assert!(!admin.to_string().contains("violet"), "{admin}");
    let nothing = json!({ "dryRun": true, "rows": [], "wouldBeSealed": 0, "doubtful": 0 });
    assert_eq!(rows, nothing);
    assert!(checkpoint["askedFor"].is_u64(), "{checkpoint}");
    assert_eq!(exported["file"], out.as_str(), "{exported}");
    let lines = fs::read_to_string(&out).expect("a file").lines().count();
    assert_eq!(exported["events"], lines, "{exported}");
    let changed = json!({ "recordType": "LAB_RESULT", "years": 30, "before": 10 });
    assert_eq!(rule.json(), changed);
}
