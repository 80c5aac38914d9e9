//! Backups and restores of tenants in two schemas of one database: each has its own, and neither touches what is the other's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tests::transfer::Ended;
use tests::{World, eventually, text};

use crate::backups::{Site, creates};
use crate::restore_drill::environment;
use crate::tenants::{NORTH, connects, settles, url};

const RUN: [&str; 5] = ["backup", "run", "--tier", "daily", "--json"];

/// The second tenant gets every row of the first one, and goes on from the same numbers.
const SAME_ROWS: &str = "
BEGIN ISOLATION LEVEL REPEATABLE READ;
DO $$
DECLARE
    name TEXT;
    reached BIGINT;
BEGIN
    FOR name IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
          AND relkind = 'r'
          AND relname NOT IN ('_sqlx_migrations', 'data_deletion_requests')
    LOOP
        EXECUTE format('DELETE FROM north.%1$I', name);
        EXECUTE format('INSERT INTO north.%1$I OVERRIDING SYSTEM VALUE SELECT * FROM public.%1$I', name);
    END LOOP;
    FOR name, reached IN
        SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
    LOOP
        PERFORM setval(format('north.%I', name)::regclass, reached);
    END LOOP;
END
$$;
COMMIT";

/// What the first tenant has.
const OF_THE_FIRST: &str = "SELECT (SELECT count(*) FROM public.users) AS users,
    (SELECT count(*) FROM public.medical_records) AS records,
    (SELECT count(*) FROM public.patient_keys) AS keys,
    (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace) AS objects,
    obj_description('public'::regnamespace, 'pg_namespace') AS comment,
    (SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public') AS privileges";

/// What a command is told of the second tenant.
fn of_north(world: &World) -> [(&'static str, String); 2] {
    [
        ("DATABASE_URL", url(world, "backup")),
        ("MEDITRUSTAL_KEYS_DATABASE_URL", url(world, "keys")),
    ]
}

/// Runs a command on the second tenant.
async fn runs(world: &World, site: &Site, words: &[&str], more: &[(&str, &str)]) -> Ended {
    let north = of_north(world);
    let north = north.iter().map(|(name, value)| (*name, value.as_str()));
    let environment: Vec<(&str, &str)> = north.chain(more.iter().copied()).collect();
    site.runs(world, words, &environment).await
}

/// The dumps of the records and of the keys that a backup has told.
fn dumps(made: &Value) -> [PathBuf; 2] {
    [0, 1].map(|nth| PathBuf::from(text(&made["backups"][nth]["path"])))
}

fn are_there(dumps: &[PathBuf; 2]) -> bool {
    dumps.iter().all(|dump| dump.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_of_one_database_back_up_at_once_and_neither_touches_the_others_backups() {
    let world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    creates(&world, &ana).await;
    settles(&world).await;
    let site = Site::of(&world).await;

    let (first, second) =
        tokio::join!(site.runs(&world, &RUN, &[]), runs(&world, &site, &RUN, &[]));

    let (first, second) = (first.json(), second.json());
    let manifest = |made: &Value, nth: usize| made["backups"][nth]["manifest"].clone();
    for (made, schema, prefix, records) in [
        (&first, "public", "meditrustal", 1),
        (&second, NORTH, NORTH, 0),
    ] {
        for nth in [0, 1] {
            assert_eq!(manifest(made, nth)["schema"], schema);
            assert_eq!(manifest(made, nth)["rolePrefix"], prefix);
        }
        let others = manifest(made, 0)["leftOut"].clone();
        let wanted = if schema == NORTH {
            Value::Null
        } else {
            json!([NORTH])
        };
        assert_eq!(others, wanted);
        assert_eq!(manifest(made, 0)["rows"]["medical_records"], records);
        assert_eq!(manifest(made, 1)["rows"]["patient_keys"], records);
    }
    let (first, second) = (dumps(&first), dumps(&second));
    for (dump, directory) in second.iter().zip(["records", "keys"]) {
        let home = site.file(&format!("{directory}/tenants/north/daily"));
        assert!(dump.starts_with(&home), "{}", dump.display());
        let name = dump.display().to_string();
        assert!(name.ends_with("_north.dump.age"), "{name}");
    }
    // Every row of both is read.
    let verify = ["backup", "verify", "--json"];
    let identities = site.identities();
    let identities: Vec<&str> = identities.iter().map(String::as_str).collect();
    let seen = site
        .runs(&world, &[&verify[..], &identities].concat(), &[])
        .await
        .json();
    let verified = seen["verified"].as_array().expect("a list");
    assert_eq!(verified.len(), 4);
    assert!(verified.iter().all(|it| it["rowsWereRead"] == true));
    let of_one = [&verify[..], &["--schema", NORTH]].concat();
    let seen = site.runs(&world, &of_one, &[]).await.json();
    assert_eq!(seen["verified"].as_array().map(Vec::len), Some(2));
    let list = ["backup", "list", "--json", "--schema", NORTH];
    let listed = site.runs(&world, &list, &[]).await.json();
    assert_eq!(listed["tiers"].as_array().map(Vec::len), Some(8));
    assert_eq!(listed["tiers"][0]["backups"][0]["schema"], NORTH);

    // Whoever backs up the second tenant keeps nobody from backing up the first.
    let lock = site.file("records/tenants/north/.lock");
    let lock = File::options().write(true).open(lock).expect("its lock");
    lock.try_lock().expect("nobody has it");
    let again = [&RUN[..], &["--again"]].concat();
    let ended = runs(&world, &site, &again, &[]).await;
    assert_eq!(ended.code, Some(75), "{ended:?}");
    let newer = dumps(&site.runs(&world, &again, &[]).await.json());
    drop(lock);
    let newer_of_north = dumps(&runs(&world, &site, &again, &[]).await.json());

    let prune = ["backup", "prune", "--keep-daily", "1", "--json"];
    site.runs(&world, &prune, &[]).await.json();
    assert!(!first.iter().any(|dump| dump.is_file()) && are_there(&newer));
    assert!(are_there(&second) && are_there(&newer_of_north));
    let of_one = [&prune[..], &["--schema", NORTH]].concat();
    site.runs(&world, &of_one, &[]).await.json();
    assert!(!second.iter().any(|dump| dump.is_file()) && are_there(&newer_of_north));
    assert!(are_there(&newer));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_an_operators_own_is_dumped_or_there_is_no_backup() {
    let world = World::with_its_own_postgres().await;
    settles(&world).await;
    let site = Site::of(&world).await;
    world
        .executes("CREATE SCHEMA tools; CREATE TABLE tools.list (id INTEGER)")
        .await;

    let ended = site.runs(&world, &RUN, &[]).await;
    ended.is_refused("pg_dump failed");
    world
        .executes(
            "GRANT USAGE ON SCHEMA tools TO meditrustal_backup;
             GRANT SELECT ON tools.list TO meditrustal_backup",
        )
        .await;
    let made = site.runs(&world, &RUN, &[]).await.json();

    assert_eq!(made["backups"][0]["manifest"]["leftOut"], json!([NORTH]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_one_tenant_is_never_made_of_another_and_its_failures_are_its_own() {
    let world = World::with_its_own_postgres().await;
    settles(&world).await;
    let site = Site::of(&world).await;

    let ended = runs(&world, &site, &RUN, &[("MEDITRUSTAL_SCHEMA", "south")]).await;
    ended.is_refused("leads to the schema \"north\", and the backup is of \"south\"");
    let keys = world.foundation.url_of("meditrustal_keys");
    let keys = keys.expect("the role");
    let mixed = [("MEDITRUSTAL_KEYS_DATABASE_URL", keys.as_str())];
    let ended = runs(&world, &site, &RUN, &mixed).await;
    ended.is_refused("the role that reads the keys leads to the schema \"public\"");
    // Nobody knows whose it is where nobody may log in: it is noted where the setting says.
    let nobody = url(&world, "backup").replacen("north_backup:north", "north_backup:south", 1);
    let nobody = [
        ("MEDITRUSTAL_SCHEMA", NORTH),
        ("DATABASE_URL", nobody.as_str()),
    ];
    let ended = runs(&world, &site, &RUN, &nobody).await;
    ended.is_refused("does not let this role log in");

    let noted = fs::read_to_string(site.file("records/tenants/north/daily/last-failure.json"));
    let noted = noted.expect("it is noted");
    assert!(noted.contains("does not let this role log in"), "{noted}");
    assert!(!Path::new(&site.file("records/daily")).exists());
    for name in ["../north", "No\"rth"] {
        let ended = site
            .runs(&world, &["backup", "list", "--schema", name], &[])
            .await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let api = url(&world, "api");
    // The role says whose they are, with the setting and without it.
    let named = [
        ("DATABASE_URL", api.as_str()),
        ("MEDITRUSTAL_SCHEMA", NORTH),
    ];
    let looks = async |settings: &[(&str, &str)]| {
        let ended = site.runs(&world, &["health", "--json"], settings).await;
        let report = ended.report();
        let checks = report["checks"].as_array().expect("a list").clone();
        let daily = checks.iter().find(|it| it["name"] == "daily-backup");
        text(&daily.expect("it is looked at")["found"])
    };
    let found = looks(&named).await;
    assert!(found.contains("there is none in"), "{found}");
    runs(&world, &site, &RUN, &[]).await.json();
    for settings in [&named[..], &named[..1]] {
        let found = looks(settings).await;
        assert!(found.contains("the newest was taken"), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_a_tenant_is_moved_after_a_backup_of_it_alone() {
    let world = World::with_its_own_postgres().await;
    settles(&world).await;
    let site = Site::of(&world).await;
    let owner = url(&world, "migrator");
    let as_owner = [("DATABASE_URL", owner.as_str())];
    let before = world.sql(OF_THE_FIRST).await;

    let down = ["migrate", "down", "--yes-lose-data"];
    let ended = site.runs(&world, &down, &as_owner).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    for directory in ["records", "keys"] {
        let here = site.file(&format!("{directory}/tenants/north/migration"));
        let made = fs::read_dir(&here).expect("it is there").flatten();
        let made = made.filter(|it| {
            it.file_name()
                .to_string_lossy()
                .ends_with("_north.dump.age")
        });
        assert_eq!(made.count(), 1, "{here}");
        assert!(!Path::new(&site.file(&format!("{directory}/migration"))).exists());
    }
    let ended = site.runs(&world, &["migrate", "up"], &as_owner).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(world.sql(OF_THE_FIRST).await, before);
}

/// Restores two dumps as this role.
async fn restores(world: &World, site: &Site, dumps: &[PathBuf; 2], url: &str) -> Ended {
    let [records, keys] = [0, 1].map(|nth| dumps[nth].display().to_string());
    let identities = site.identities();
    let identities: Vec<&str> = identities.iter().map(String::as_str).collect();
    let first = ["restore", &records, "--keys", &keys, "--json"];
    let words = [&first[..], &["--without-ledger"], &identities].concat();
    let usual = environment(world);
    let usual = usual.iter().filter(|(name, _)| *name != "DATABASE_URL");
    let mut settings: Vec<(&str, &str)> =
        usual.map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("DATABASE_URL", url));
    site.runs(world, &words, &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_restored_beside_another_who_goes_on_and_a_foreign_dump_is_refused() {
    let world = World::with_its_own_postgres().await;
    let ana = world.patient("ana").await;
    creates(&world, &ana).await;
    settles(&world).await;
    world.attacks(SAME_ROWS).await;
    let site = Site::of(&world).await;
    let of_the_first = dumps(&site.runs(&world, &RUN, &[]).await.json());
    let of_north = dumps(&runs(&world, &site, &RUN, &[]).await.json());
    let owner = url(&world, "migrator");

    // What is not the tenant's own is refused, also into a schema that is not empty.
    let ended = restores(&world, &site, &of_the_first, &owner).await;
    ended.is_refused("is of the schema \"public\" (roles meditrustal_…)");
    ended.is_refused("it is another tenant's dump");
    let usual = world.foundation.url_of("meditrustal_migrator");
    let usual = usual.expect("the role");
    let mixed = [of_the_first[0].clone(), of_north[1].clone()];
    let ended = restores(&world, &site, &mixed, &usual).await;
    ended.is_refused("is of the schema \"north\" (roles north_…)");
    let ended = restores(&world, &site, &of_north, &usual).await;
    ended.is_refused("it is another tenant's dump");
    let ended = restores(&world, &site, &of_north, &owner).await;
    ended.is_refused("the database is not empty");

    world.executes("DROP SCHEMA north CASCADE").await;
    world
        .executes("CREATE SCHEMA north AUTHORIZATION north_migrator")
        .await;
    let before = world.sql(OF_THE_FIRST).await;
    let mut user: PgConnection = connects(&world, "api").await;
    let ended = restores(&world, &site, &of_north, &owner).await;
    ended.is_refused("programs use the database: north_api");
    let of_itself = sqlx::raw_sql("SELECT 1").execute(&mut user).await;
    of_itself.expect("it was let alone");
    user.close().await.expect("it ends");
    // The server notices a moment later.
    let left = "SELECT 1 FROM pg_stat_activity WHERE usename = 'north_api'";
    eventually("nobody uses it any more", async || {
        world.sql(left).await.is_empty().then_some(())
    })
    .await;

    // The first tenant's programs go on meanwhile.
    let report = restores(&world, &site, &of_north, &owner).await.json();

    assert_eq!(report["chain"]["lostRecords"], json!([]), "{report}");
    assert_eq!(world.sql(OF_THE_FIRST).await, before);
    assert_eq!(world.api.health("/health/ready").await, Some(200));
    let found = world
        .sql(
            "SELECT (SELECT count(*) FROM north.medical_records) AS records,
                 (SELECT count(*) FROM north.patient_keys) AS keys,
                 (SELECT count(*) FROM north.audit_logs WHERE action_type = 'BACKUP_RESTORE') AS noted,
                 (SELECT count(*) FROM public.audit_logs WHERE action_type = 'BACKUP_RESTORE') AS noted_elsewhere,
                 obj_description('north'::regnamespace, 'pg_namespace') AS comment,
                 has_schema_privilege('north_retention', 'north', 'CREATE') AS creates,
                 (SELECT count(*) FROM pg_proc JOIN pg_roles AS owner ON owner.oid = proowner
                  WHERE pronamespace = 'north'::regnamespace AND rolname = 'north_retention') AS functions,
                 (SELECT count(*) FROM pg_class JOIN pg_roles AS owner ON owner.oid = relowner
                  WHERE relnamespace = 'north'::regnamespace AND rolname <> 'north_migrator') AS of_others",
        )
        .await;
    let wanted = json!({
        "records": 1, "keys": 1, "noted": 1, "noted_elsewhere": 0, "comment": null, "creates": false,
        "functions": found[0]["functions"], "of_others": 0,
    });
    assert_eq!(found[0], wanted);
    assert!(found[0]["functions"].as_u64() > Some(0), "{found:?}");
    let mut api = connects(&world, "api").await;
    let reads = sqlx::raw_sql("SELECT id FROM users LIMIT 1").execute(&mut api);
    reads
        .await
        .expect("the tenant's api reads what is restored");
    let ended = restores(&world, &site, &of_north, &owner).await;
    ended.is_refused("programs use the database");
    api.close().await.expect("it ends");
}
