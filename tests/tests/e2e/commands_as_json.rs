//! What the operator's commands tell a program, where that asks for JSON.

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
}

#[tokio::test]
async fn keys_rules_and_the_trail_are_told_to_a_program() {
    let world = World::start().await;
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
    assert_eq!(trail["moreFaults"], 0, "{trail}");
    assert_eq!(trail["promises"], json!(null), "{trail}");
}
