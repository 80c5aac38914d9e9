//! The deep check: it opens what nobody reads.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::ids::RecordId;
use serde_json::{Value, json};
use tests::{World, documents, eventually, id, text};
use vault::keyring::Keyring;
use vault::row;

/// A world whose api checks this many rows a second.
async fn world_that_checks(per_second: &str) -> World {
    let setting = (
        "MEDITRUSTAL_DEEP_CHECK_PER_SECOND".to_owned(),
        per_second.to_owned(),
    );
    World::with(|options| options.api.push(setting)).await
}

/// The open findings of the deep check: what they are about, and of which kind.
async fn open_findings(world: &World) -> BTreeMap<String, String> {
    let query = "SELECT coalesce(record_id, patient_key_id) AS id, kind FROM integrity_findings
                 WHERE resolved_at IS NULL AND kind IN ('CONTENT_MISMATCH', 'UNDECRYPTABLE')";
    let rows = world.sql(query).await;
    rows.iter()
        .map(|row| (id(row), text(&row["kind"])))
        .collect()
}

/// A real envelope of that very row with another document in it, as if the row had been sealed before.
async fn older_envelope(world: &World, record: &str) -> String {
    let mut conn = world.connects_as("meditrustal_api").await;
    let record = RecordId(record.parse().expect("an id"));
    let row = store::records::sealed(&mut conn, &[record]).await;
    let row = row.expect("it can be read").pop().expect("there is one");
    let file = world.foundation.dir().join("keys/master-keys.json");
    let keyring = Keyring::load(&file).expect("the master keys of this world");
    let stored = row.key.as_ref().expect("it has a key");
    let key = keyring
        .unwrap(&[stored])
        .await
        .expect("no token is asked")
        .pop()
        .expect("an answer")
        .expect("it unwraps");
    let binding = row::binding(&row).expect("it can be sealed");
    let sealed = key.seal(&binding, br#"{"resourceType":"Observation"}"#);
    vault::digest::to_hex(&sealed)
}

#[tokio::test]
async fn what_was_changed_is_found_though_nobody_reads_it_and_so_is_that_it_is_right_again() {
    let world = world_that_checks("1000").await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let mut records = Vec::new();
    for _ in 0..8 {
        records.push(id(&ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await));
    }
    let [
        flipped,
        cut,
        moved,
        one,
        other,
        rolled_back,
        retimed,
        untouched,
    ] = records.as_slice()
    else {
        panic!("eight")
    };
    let hers = id(&eve
        .creates(&eve, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let key = &world
        .sql(&format!(
            "SELECT id FROM patient_keys WHERE patient_id = '{}'",
            eve.id
        ))
        .await[0];
    let key = id(key);
    for table in ["medical_records", "patient_keys"] {
        world
            .executes(&format!(
                "CREATE TABLE saved_{table} AS SELECT * FROM {table}"
            ))
            .await;
    }
    let mut told = world.admin("ada").await.watches(json!({})).await;
    let older = older_envelope(&world, rolled_back).await;
    let set = |record: &str, what: &str| {
        format!("UPDATE medical_records SET {what} WHERE id = '{record}'; ")
    };
    let envelope_of = |record: &str| {
        format!("(SELECT encrypted_data FROM saved_medical_records WHERE id = '{record}')")
    };
    let attack = [
        set(flipped, "encrypted_data = set_byte(encrypted_data, 40, get_byte(encrypted_data, 40) # 16)"),
        set(cut, "encrypted_data = substr(encrypted_data, 1, length(encrypted_data) - 1)"),
        set(moved, &format!("encrypted_data = {}", envelope_of(untouched))),
        set(one, &format!("encrypted_data = {}", envelope_of(other))),
        set(other, &format!("encrypted_data = {}", envelope_of(one))),
        set(rolled_back, &format!("encrypted_data = '\\x{older}'")),
        set(retimed, "updated_at = updated_at + interval '1 microsecond'"),
        "UPDATE patient_keys SET wrapped_key = set_byte(wrapped_key, 20, get_byte(wrapped_key, 20) # 1) ".to_owned(),
        format!("WHERE id = '{key}'"),
    ];

    world.attacks(&attack.concat()).await;

    let mut wanted = BTreeMap::new();
    for record in [flipped, cut, moved, one, other, &hers, &key] {
        wanted.insert(record.clone(), "UNDECRYPTABLE".to_owned());
    }
    for record in [rolled_back, retimed] {
        wanted.insert(record.clone(), "CONTENT_MISMATCH".to_owned());
    }
    eventually("everything is found, and nothing else", async || {
        (open_findings(&world).await == wanted).then_some(())
    })
    .await;
    for (about, kind) in &wanted {
        let failure = format!("action_type = 'INTEGRITY_FAILURE' AND resource_id = '{about}'");
        let trail = world.audit_rows(&failure).await;
        assert_eq!(trail.len(), 1, "{about}: once, however often it is seen");
        assert_eq!(trail[0]["new_value"]["finding"], kind.as_str());
    }
    for record in &records {
        let verified = ana.verifies(record).await;
        let tampered = verified.data()["verifyRecord"]["verdict"] == "TAMPERED";
        assert_eq!(tampered, record != untouched, "{record}: {verified:?}");
        if tampered {
            let read = ana.reads(record).await;
            assert_eq!(
                read.partial_data()["medicalRecord"]["canonical"],
                Value::Null
            );
            assert_eq!(
                read.partial_data()["medicalRecord"]["document"],
                Value::Null
            );
        }
    }

    let back = "UPDATE medical_records AS r SET encrypted_data = s.encrypted_data, updated_at = s.updated_at
                FROM saved_medical_records AS s WHERE s.id = r.id;
                UPDATE patient_keys AS k SET wrapped_key = s.wrapped_key FROM saved_patient_keys AS s WHERE s.id = k.id";
    world.attacks(back).await;
    eventually("all of it is right again", async || {
        open_findings(&world).await.is_empty().then_some(())
    })
    .await;
    let (opened, _) = told.until("FINDING_OPENED").await;
    assert!(opened["finding"]["kind"].is_string(), "{opened}");
    told.until("FINDING_RESOLVED").await;
    for record in &records {
        ana.reads(record).await.data();
    }
    // No part of a document, and no key, is in the log.
    let log = world.api.log();
    assert!(
        !log.contains("Observation") && !log.contains("valueQuantity"),
        "{log}"
    );
}

#[tokio::test]
async fn a_check_that_was_cut_off_goes_on_where_it_stopped() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    for _ in 0..12 {
        ana.creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
    }
    let place = async || world.sql("SELECT * FROM deep_checks").await.remove(0);
    let slow = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "3")];
    let first = world.another_api("first-checker", &slow).await;
    let stopped = eventually("it has checked some, and not all", async || {
        let place = place().await;
        let checked = place["records_checked"].as_u64()?;
        (3..12).contains(&checked).then_some(place)
    })
    .await;
    // While one has the walk, another has to wait.
    let second = world.another_api("second-checker", &slow).await;
    assert_eq!(place().await["holder"], stopped["holder"]);

    first.kill().await;
    world
        .executes("UPDATE deep_checks SET held_until = now()")
        .await;

    let ended = eventually("the other one ends the round", async || {
        let place = place().await;
        place["last_ended_at"].is_string().then_some(place)
    })
    .await;
    assert_eq!(
        (
            &ended["last_records"],
            &ended["last_keys"],
            &ended["last_wrong"]
        ),
        (&json!(12), &json!(1), &json!(0)),
        "each once, by two processes: {ended}"
    );
    assert_ne!(ended["holder"], stopped["holder"]);
    drop(second);
}

#[tokio::test]
async fn a_small_database_is_left_alone_between_two_rounds() {
    let settings = [
        ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000"),
        ("MEDITRUSTAL_DEEP_CHECK_REST", "3600"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(settings)).await;
    let ended = async || {
        world.sql("SELECT last_ended_at FROM deep_checks").await[0]["last_ended_at"].clone()
    };
    eventually("the first round ends", async || {
        ended().await.is_string().then_some(())
    })
    .await;
    let first = ended().await;
    let ana = world.patient("ana").await;
    for _ in 0..3 {
        let record = ana
            .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    }
    // Another process does not begin either.
    let second = world.another_api("second-checker", &[]).await;
    assert_eq!(ended().await, first, "it rests");

    world
        .executes("UPDATE deep_checks SET last_ended_at = now() - INTERVAL '2 hours'")
        .await;

    eventually("the next round ends", async || {
        let rows = world.sql("SELECT last_records, last_ended_at > now() - INTERVAL '1 hour' AS lately FROM deep_checks").await;
        (rows[0]["lately"] == true && rows[0]["last_records"] == 3).then_some(())
    })
    .await;
    drop(second);
}

#[tokio::test]
async fn the_check_cannot_be_switched_off_by_its_own_row() {
    let world = World::start().await;
    world.patient("ana").await;
    let far = "9999-01-01";
    for row in [
        format!("holder = gen_random_uuid(), held_until = '{far}'"),
        format!("held_until = NULL, last_ended_at = '{far}'"),
        format!(
            "last_ended_at = NULL, stage = 'CONSENTS', keys_checked = {0}, records_checked = {0}",
            i64::MAX
        ),
    ] {
        world
            .executes(&format!("UPDATE deep_checks SET {row}"))
            .await;
        let fast = [("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000")];
        let checking = world.another_api("checking", &fast).await;

        eventually("a round ends", async || {
            let query = "SELECT last_ended_at <= now() AS has_ended FROM deep_checks";
            (world.sql(query).await[0]["has_ended"] == true).then_some(())
        })
        .await;
        checking.kill().await;
    }
}

/// The words by which open findings say what was done to the trail.
async fn named(world: &World) -> BTreeSet<String> {
    let query = "SELECT details ->> 'reason' AS reason FROM integrity_findings
                 WHERE kind = 'AUDIT_TAMPERED' AND resolved_at IS NULL";
    let open = world.sql(query).await;
    open.iter().map(|row| text(&row["reason"])).collect()
}

#[tokio::test]
async fn what_was_done_to_the_trail_its_tree_or_its_checkpoints_is_found_by_the_next_round() {
    let world = World::with(|options| {
        let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let fast = setting("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000");
        options.api.push(fast);
        options.checkpoints = Some(Duration::from_secs(1));
    })
    .await;
    let ana = world.patient("ana").await;
    eventually("a checkpoint is pinned in the first part", async || {
        let pinned = "SELECT 1 FROM audit_checkpoints WHERE state = 'ANCHORED'";
        (!world.sql(pinned).await.is_empty()).then_some(())
    })
    .await;
    // More than a part of the check holds.
    world
        .executes(&format!(
            "INSERT INTO audit_logs (user_id, action_type, resource_type, resource_id, ip_address, request_id, purpose,
                 retention_period, data_classification, encryption_status, patient_id)
             SELECT '{0}', 'RECORD_READ', 'MEDICAL_RECORD', gen_random_uuid(), '10.0.0.1', gen_random_uuid(), 'TREAT',
                 interval '3650 days', 'MEDICAL', 'DECRYPTED_FOR_DISCLOSURE', '{0}'
             FROM generate_series(1, 5000)",
            ana.id
        ))
        .await;
    let round = async || world.sql("SELECT * FROM deep_checks").await.remove(0);
    let is_compared = async || {
        let rows = round().await["last_rows"].as_u64();
        let pinned =
            "SELECT 1 FROM audit_checkpoints WHERE state = 'ANCHORED' AND tree_size > 5000";
        let is_pinned = !world.sql(pinned).await.is_empty();
        (is_pinned && rows > Some(5000)).then_some(())
    };
    eventually("a round has compared all of it", is_compared).await;
    let began = round().await["last_began_at"].clone();
    eventually("and another one", async || {
        (round().await["last_began_at"] != began).then_some(())
    })
    .await;
    assert_eq!(named(&world).await, BTreeSet::new());

    // In the first part and in the second, all at once: a round takes a while.
    for attack in [
        "UPDATE audit_logs SET purpose = 'PATRQT' WHERE id = (SELECT audit_id FROM audit_leaves WHERE position = 4500)",
        "DELETE FROM audit_logs WHERE id = (SELECT audit_id FROM audit_leaves WHERE position = 7)",
        "CREATE TEMPORARY TABLE one AS SELECT log.* FROM audit_logs AS log JOIN audit_leaves ON audit_id = id
             WHERE position = 9;
         UPDATE one SET id = 900000000; INSERT INTO audit_logs SELECT * FROM one",
        "CREATE TEMPORARY TABLE two AS SELECT * FROM audit_leaves WHERE position IN (4200, 4201);
         UPDATE audit_leaves SET audit_id = -1 WHERE position = 4200;
         UPDATE audit_leaves AS leaf SET audit_id = two.audit_id, leaf_hash = two.leaf_hash FROM two
             WHERE leaf.position = 4201 AND two.position = 4200;
         UPDATE audit_leaves AS leaf SET audit_id = two.audit_id, leaf_hash = two.leaf_hash FROM two
             WHERE leaf.position = 4200 AND two.position = 4201",
        "DELETE FROM audit_leaves WHERE position = 11",
        "DELETE FROM audit_nodes WHERE level = 12 AND position = 0",
        "UPDATE audit_checkpoints SET root = repeat('0', 64) WHERE state = 'ANCHORED'",
    ] {
        world.attacks(attack).await;
    }
    // A checkpoint has one finding at a time: of those whose root is wrong nothing says besides that they are not pinned.
    for reason in [
        "CHANGED",
        "REMOVED",
        "INSERTED",
        "REORDERED",
        "NO_LEAF",
        "NODE",
        "ROOT",
    ] {
        eventually(&format!("{reason} is found"), async || {
            named(&world).await.contains(reason).then_some(())
        })
        .await;
    }
}
