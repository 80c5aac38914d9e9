//! Rotating the master keys by the operator's commands, while the api goes on.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use chrono::DateTime;
use domain::ids::{PatientKeyId, UserId};
use serde_json::{Value, json};
use tests::{World, documents, eventually, id, text};
use tokio::process::Command;
use vault::keyring::{KeyName, Keyring};

use crate::backups::is_ended_by;

/// The file of the master keys.
pub(crate) fn masters(world: &World) -> PathBuf {
    world.foundation.dir().join("keys/master-keys.json")
}

/// Runs `meditrustal keys …`; answers what it printed, or why it failed.
pub(crate) async fn keys(
    world: &World,
    arguments: &[&str],
    with_database: bool,
) -> Result<String, String> {
    let environment = if with_database {
        vec![database(world)]
    } else {
        Vec::new()
    };
    keys_with(world, arguments, environment).await
}

/// Where the database is, under the role of those who handle keys.
pub(crate) fn database(world: &World) -> (String, String) {
    let url = world.foundation.url_of("meditrustal_keys");
    (
        "DATABASE_URL".to_owned(),
        url.expect("there is such a role"),
    )
}

/// The same as [`keys`], with this environment.
pub(crate) async fn keys_with(
    world: &World,
    arguments: &[&str],
    mut environment: Vec<(String, String)>,
) -> Result<String, String> {
    let file = masters(world).display().to_string();
    environment.push(("MEDITRUSTAL_MASTER_KEYS_FILE".to_owned(), file));
    let programs = world.foundation.programs.clone();
    let arguments: Vec<String> = ["keys"]
        .iter()
        .chain(arguments)
        .map(|it| (*it).to_owned())
        .collect();
    let done = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        programs.operate(&arguments, &environment, "")
    });
    let done = done.await.expect("a command does not panic");
    done.map_err(|error| error.to_string())
}

async fn wrapped_by(world: &World) -> Vec<serde_json::Value> {
    world
        .sql("SELECT master_key_id AS id, count(*) AS keys FROM patient_keys GROUP BY 1 ORDER BY 1")
        .await
}

#[tokio::test]
async fn a_master_key_is_replaced_and_retired_while_the_api_goes_on() {
    let mut world = World::start().await;
    let (ana, eve) = (world.patient("ana").await, world.patient("eve").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let hers = id(&eve
        .creates(&eve, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let old = text(&wrapped_by(&world).await[0]["id"]);

    keys(&world, &["add", "--id", "new"], false)
        .await
        .expect("a new key in front");
    // The running api sees it by itself: whoever is new is wrapped by it.
    let joe = world.patient("joe").await;
    joe.creates(&joe, "VITAL_SIGNS", documents::vital_signs())
        .await;
    let status = keys(&world, &["status"], true).await.expect("a status");
    assert!(
        status.contains("new  1 key(s)  ")
            && status.contains("seal(s)  wraps new keys")
            && status.contains(&format!("{old}  2 key(s)  "))
            && status.contains("seal(s)  to be rotated"),
        "{status}"
    );
    let early = keys(&world, &["retire", &old, "--wait", "0"], true).await;
    assert!(early.is_err_and(|why| why.contains("still wraps 2 key(s)")));

    // What somebody else has locked is passed over, and found when it is run again.
    let mut other = world.connects_as("meditrustal_keys").await;
    let mut locked = sqlx::Connection::begin(&mut other)
        .await
        .expect("a transaction");
    let lock = format!(
        "SELECT id FROM patient_keys WHERE patient_id = '{}' FOR UPDATE",
        eve.id
    );
    sqlx::query(sqlx::AssertSqlSafe(lock))
        .execute(&mut *locked)
        .await
        .expect("a lock");
    let some = keys(&world, &["rotate"], true).await.expect("a rotation");
    assert!(
        some.contains("1 patient key(s) are wrapped by new now"),
        "{some}"
    );
    locked.rollback().await.expect("it is let go");
    let rest = keys(&world, &["rotate"], true).await.expect("a rotation");
    assert!(
        rest.contains("1 patient key(s) are wrapped by new now"),
        "{rest}"
    );

    assert_eq!(
        wrapped_by(&world).await,
        [json!({ "id": "new", "keys": 3 })]
    );
    for (person, record) in [(&ana, &record), (&eve, &hers)] {
        person.reads(record).await.data();
    }
    let status = keys(&world, &["status"], true).await.expect("a status");
    assert!(
        status.contains(&format!("{old}  0 key(s)  0 seal(s)  may be retired")),
        "{status}"
    );
    keys(&world, &["retire", &old, "--wait", "0"], true)
        .await
        .expect("it is retired");
    assert!(
        keys(&world, &["retire", "new", "--wait", "0"], true)
            .await
            .is_err()
    );
    world.api.stop().await;
    world.api.restart().await;
    ana.reads(&record).await.data();
    let trail = world.audit_rows("action_type = 'KEY_ROTATE'").await;
    let said = trail.iter().map(|row| row["new_value"].clone());
    let said: Vec<_> = said.filter(|it| it["table"].is_null()).collect();
    let batch = json!({ "from": old, "to": "new", "keys": 1, "failed": 0 });
    assert_eq!(said, [batch.clone(), batch, json!({ "retired": old })]);
}

#[tokio::test]
async fn a_rotation_that_is_told_to_stop_goes_on_with_what_is_left() {
    let world = World::start().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    ana.lets(&dr_bo, &["READ"]).await;
    keys(&world, &["add", "--id", "new"], false)
        .await
        .expect("a new key in front");
    let old = text(&wrapped_by(&world).await[0]["id"]);
    // Patients' keys and accounts come before consents: those are done when it waits.
    let mut owner = world.connects_as("meditrustal_migrator").await;
    sqlx::raw_sql("BEGIN; LOCK TABLE data_processing_consents IN ACCESS EXCLUSIVE MODE")
        .execute(&mut owner)
        .await
        .expect("it is held");
    let (variable, url) = database(&world);
    let mut command = Command::new(&world.foundation.programs.meditrustal);
    command
        .args(["keys", "rotate"])
        .env_clear()
        .env(variable, url)
        .env("MEDITRUSTAL_MASTER_KEYS_FILE", masters(&world))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = command.spawn().expect("the program starts");
    let sessions = "SELECT wait_event_type AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'meditrustal_keys'";
    eventually("it waits for the consents", async || {
        let sessions = world.sql(sessions).await;
        let is_waiting = sessions.iter().any(|it| it["waits"] == "Lock");
        is_waiting.then_some(())
    })
    .await;

    is_ended_by("TERM", &mut running).await;

    sqlx::raw_sql("ROLLBACK")
        .execute(&mut owner)
        .await
        .expect("it is let go");
    eventually("nothing of it is left in the database", async || {
        world.sql(sessions).await.is_empty().then_some(())
    })
    .await;
    let wrapped = wrapped_by(&world).await;
    assert_eq!((wrapped.len(), &wrapped[0]["id"]), (1, &json!("new")));
    let sealed =
        |key: &str| format!("SELECT 1 FROM data_processing_consents WHERE seal_key = '{key}'");
    assert_eq!(world.sql(&sealed(&old)).await.len(), 1, "left for the next");
    ana.reads(&record).await.data();

    let rest = keys(&world, &["rotate", "--json"], true).await;
    let rest: Value = serde_json::from_str(&rest.expect("a rotation")).expect("JSON");
    assert_eq!(rest["masterKey"], "new", "{rest}");
    assert_eq!(rest["patientKeys"], 0, "done before: {rest}");
    assert_eq!(rest["failed"], 0, "{rest}");
    assert_eq!(world.sql(&sealed("new")).await.len(), 1);
    let retired = keys(&world, &["retire", &old, "--wait", "0", "--json"], true).await;
    let retired: Value = serde_json::from_str(&retired.expect("it is retired")).expect("JSON");
    assert_eq!(retired, json!({ "retired": old }));
    ana.reads(&record).await.data();
}

#[tokio::test]
async fn a_hundred_thousand_keys_are_wrapped_anew_while_records_are_read() {
    const KEYS: usize = 100_000;
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let record = id(&ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await);
    let file = world.foundation.dir().join("keys/master-keys.json");
    let keyring = Keyring::load(&file).expect("the master keys of this world");
    let checks = keyring.unchecked().expect("a readable file");
    keyring.accept(&checks.expect("nobody compared them yet"));
    let names: Vec<KeyName> = (1..=KEYS)
        .map(|_| KeyName {
            id: PatientKeyId::fresh(),
            patient: UserId::fresh(),
            created_at: DateTime::UNIX_EPOCH,
        })
        .collect();
    let many = keyring.new_patient_keys(&names).await.expect("keys");
    let (ids, patients): (Vec<_>, Vec<_>) =
        many.iter().map(|key| (key.id.0, key.patient.0)).unzip();
    let wrapped: Vec<_> = many
        .iter()
        .map(|key| key.wrapped_key.clone().expect("alive"))
        .collect();
    let url = world.foundation.database.superuser_url();
    let mut superuser = <sqlx::PgConnection as sqlx::Connection>::connect(&url)
        .await
        .expect("a superuser");
    // Of patients who have no account: the foreign key is not what is shown here.
    let unchecked = sqlx::query("SET session_replication_role = replica");
    unchecked
        .execute(&mut superuser)
        .await
        .expect("no triggers");
    let filled = sqlx::query(
        "INSERT INTO patient_keys (id, patient_id, wrapped_key, master_key_id, created_at)
         SELECT id, patient_id, wrapped_key, $4, 'epoch' FROM UNNEST($1::uuid[], $2::uuid[], $3::bytea[])
             AS e(id, patient_id, wrapped_key)",
    )
    .bind(&ids)
    .bind(&patients)
    .bind(&wrapped)
    .bind(&many[0].master_key_id)
    .execute(&mut superuser)
    .await;
    assert_eq!(
        filled.expect("they are stored").rows_affected(),
        KEYS as u64
    );
    keys(&world, &["add", "--id", "new"], false)
        .await
        .expect("a new key in front");

    let left = format!(
        "SELECT 1 FROM patient_keys WHERE master_key_id = '{}' LIMIT 1",
        many[0].master_key_id
    );

    let began = Instant::now();
    let rotation = keys(&world, &["rotate"], true);
    let reading = async {
        let (mut reads, mut slowest) = (0_u32, std::time::Duration::ZERO);
        loop {
            let asked = Instant::now();
            ana.reads(&record).await.data();
            slowest = slowest.max(asked.elapsed());
            reads += 1;
            if world.sql(&left).await.is_empty() {
                return (reads, slowest);
            }
        }
    };
    let (rotated, (reads, slowest)) = tokio::join!(rotation, reading);

    let rotated = rotated.expect("a rotation");
    println!(
        "{rotated}in {:?}, {reads} reads meanwhile, the slowest {slowest:?}",
        began.elapsed()
    );
    assert!(
        rotated.contains(&format!(
            "{} patient key(s) are wrapped by new now",
            KEYS + 1
        )),
        "{rotated}"
    );
    assert!(reads > 1, "nobody read meanwhile");
    eventually("the new wrappings open what the old ones did", async || {
        let mut conn = world.connects_as("meditrustal_api").await;
        let some: Vec<UserId> = names
            .iter()
            .step_by(1000)
            .map(|name| name.patient)
            .collect();
        let stored = store::keys::living(&mut conn, &some).await.expect("keys");
        let opened = keyring.unwrap(&stored.iter().collect::<Vec<_>>()).await;
        let opened = opened.expect("no token is asked");
        (opened.len() == some.len() && opened.iter().all(Result::is_ok)).then_some(())
    })
    .await;
    let trail = world.sql("SELECT sum((new_value ->> 'keys')::int) AS keys FROM audit_logs WHERE action_type = 'KEY_ROTATE'").await;
    assert_eq!(trail[0]["keys"], json!(KEYS + 1));
}
