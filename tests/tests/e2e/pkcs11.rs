//! Master keys inside a PKCS#11 token: the real library of SoftHSM, its tokens in files, and the operator's commands.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use dev::scratch::Scratch;
use dev::tools::SoftHsm;
use serde_json::{Value, json};
use tests::{Person, Program, World, documents, eventually, id, text};

use crate::health::{fails, is_well};
use crate::rotation::{database, keys_with, masters};

/// The label of the token.
const LABEL: &str = "meditrustal";
/// The PIN of its user.
const PIN: &str = "13572468";

/// A token of this test's own.
struct Token {
    scratch: Scratch,
    softhsm: SoftHsm,
}

impl Token {
    /// Makes one, as whoever sets up an HSM does.
    fn new(world: &World) -> Self {
        let softhsm = world.foundation.tools.softhsm();
        let softhsm = softhsm.unwrap_or_else(|error| panic!("{error}"));
        let scratch = Scratch::new("pkcs11").expect("there is room for files");
        let token = Self { scratch, softhsm };
        fs::create_dir(token.file("tokens")).expect("a directory");
        let settings = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            token.file("tokens").display()
        );
        fs::write(token.file("softhsm2.conf"), settings).expect("written");
        token.writes_pin(PIN);
        let made = Command::new(&token.softhsm.util)
            .arg("--module")
            .arg(&token.softhsm.library)
            .args(["--init-token", "--free", "--label", LABEL])
            .args(["--so-pin", "87654321", "--pin", PIN])
            .env("SOFTHSM2_CONF", token.file("softhsm2.conf"))
            .output()
            .expect("softhsm2-util starts");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        token
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn writes_pin(&self, pin: &str) {
        let file = self.file("pin");
        fs::write(&file, format!("{pin}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("closed");
    }

    /// What an api and the commands are told.
    fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        [
            ("SOFTHSM2_CONF", path(&self.file("softhsm2.conf"))),
            ("MEDITRUSTAL_PKCS11_MODULE", path(&self.softhsm.library)),
            ("MEDITRUSTAL_PKCS11_TOKEN", LABEL.to_owned()),
            ("MEDITRUSTAL_PKCS11_PIN_FILE", path(&self.file("pin"))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Takes the token away.
    fn is_taken_away(&self) {
        fs::rename(self.file("tokens"), self.file("elsewhere")).expect("it is moved");
    }

    fn is_brought_back(&self) {
        fs::rename(self.file("elsewhere"), self.file("tokens")).expect("it is moved");
    }
}

/// The environment with some of it otherwise.
fn with(environment: &[(String, String)], other: &[(&str, &str)]) -> Vec<(String, String)> {
    let other = other
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    environment.iter().cloned().chain(other).collect()
}

/// Runs `meditrustal keys …` on the database; answers what it printed, or why it failed.
async fn keys(
    world: &World,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<String, String> {
    let environment = [environment, &[database(world)]].concat();
    keys_with(world, arguments, environment).await
}

/// An api that is told of the token, in the place of the one before.
async fn api_with(world: &World, token: &Token) -> Program {
    let environment = token.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let api = world.another_api("with-a-token", &environment).await;
    // It knows of no token, and of no key inside one.
    world.api.stop().await;
    api
}

/// An api whose next keys are wrapped inside the token, and two patients at it.
async fn with_a_key_inside(world: &World, token: &Token) -> (Program, Person, Person) {
    let (ana, joe) = (world.patient("ana").await, world.patient("joe").await);
    let api = api_with(world, token).await;
    let (ana, joe) = (ana.at(&api), joe.at(&api));
    keys(world, &["add", "--id", "inside"], &token.environment())
        .await
        .expect("a key inside the token");
    (api, ana, joe)
}

/// By which master key each patient's key is wrapped, and where: 2 is here, 3 is inside the token.
async fn wrapped(world: &World) -> Vec<Value> {
    world
        .sql(
            "SELECT master_key_id AS id, get_byte(wrapped_key, 0) AS format, count(*) AS keys
             FROM patient_keys GROUP BY 1, 2 ORDER BY 1",
        )
        .await
}

async fn stores(person: &Person) -> String {
    id(&person
        .creates(person, "VITAL_SIGNS", documents::vital_signs())
        .await)
}

/// Who wants to be refused an api; answers why it did not start.
async fn does_not_start(world: &World, environment: &[(String, String)]) -> String {
    let port = dev::port::claim().expect("there are ports");
    let environment = [world.foundation.options().api.as_slice(), environment].concat();
    let started = world.foundation.api("refused", port, &environment).await;
    match started {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn master_keys_move_into_a_token_and_out_of_it_while_the_api_goes_on() {
    let world = World::start().await;
    let token = Token::new(&world);
    let (ana, joe, eve) = (
        world.patient("ana").await,
        world.patient("joe").await,
        world.patient("eve").await,
    );
    let hers = stores(&ana).await;
    let old = text(&wrapped(&world).await[0]["id"]);
    let mut api = api_with(&world, &token).await;
    let (ana, joe, eve) = (ana.at(&api), joe.at(&api), eve.at(&api));
    ana.reads(&hers).await.data();

    let environment = token.environment();
    keys(&world, &["add", "--id", "inside"], &environment)
        .await
        .expect("a key inside the token");
    // The running api sees it by itself: whoever is new is wrapped by it, inside the token.
    let his = stores(&joe).await;
    assert_eq!(
        wrapped(&world).await,
        [
            json!({ "id": "inside", "format": 3, "keys": 1 }),
            json!({ "id": old, "format": 2, "keys": 1 }),
        ]
    );
    joe.reads(&his).await.data();
    let rotated = keys(&world, &["rotate"], &environment).await;
    let rotated = rotated.expect("a rotation");
    assert!(
        rotated.contains("1 patient key(s) are wrapped by inside now"),
        "{rotated}"
    );
    keys(&world, &["retire", &old, "--wait", "0"], &environment)
        .await
        .expect("it is retired");
    let file = fs::read_to_string(masters(&world)).expect("the key file");
    assert!(
        file.contains("\"label\"") && !file.contains("\"key\""),
        "no key is left in the file"
    );

    // From here on nothing opens without the token, and all that is sealed is right with it.
    api.restart().await;
    for (person, record) in [(&ana, &hers), (&joe, &his)] {
        person.reads(record).await.data();
    }
    let refused = does_not_start(&world, &[]).await;
    assert!(
        refused.contains("\"inside\" is inside a PKCS#11 token")
            && refused.contains("MEDITRUSTAL_PKCS11_MODULE"),
        "{refused}"
    );

    // And out of it again: a key of the file in front, by a command that is told of no token.
    keys(&world, &["add", "--id", "outside"], &[])
        .await
        .expect("a key in the file");
    let rotated = keys(&world, &["rotate"], &environment).await;
    rotated.expect("a rotation");
    stores(&eve).await;
    assert_eq!(
        wrapped(&world).await,
        [json!({ "id": "outside", "format": 2, "keys": 3 })]
    );
    ana.reads(&hers).await.data();
    let findings = world.sql("SELECT kind FROM integrity_findings").await;
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn a_token_that_is_gone_makes_records_unavailable_and_none_of_them_corrupt() {
    let world = World::start().await;
    let token = Token::new(&world);
    let (api, ana, joe) = with_a_key_inside(&world, &token).await;
    let record = stores(&ana).await;
    ana.reads(&record).await.data();

    token.is_taken_away();
    let why = fails(&api, "keys").await;
    assert!(why.contains("token"), "{why}");
    assert_eq!(api.health("/health/serving").await, Some(503));
    assert_eq!(api.health("/health/live").await, Some(200));
    let read = ana.reads(&record).await;
    assert_eq!(read.code(), Some("UNAVAILABLE"));
    let verified = ana.verifies(&record).await;
    assert_eq!(verified.code(), Some("UNAVAILABLE"));
    for person in [&ana, &joe] {
        let stored = person
            .stores(person, "VITAL_SIGNS", documents::vital_signs(), json!({}))
            .await;
        assert_eq!(stored.code(), Some("UNAVAILABLE"), "{}", person.username);
    }

    token.is_brought_back();
    is_well(&api).await;
    ana.reads(&record).await.data();
    stores(&joe).await;
    let findings = world.sql("SELECT kind FROM integrity_findings").await;
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn what_the_token_did_not_wrap_is_corrupt_although_the_token_says_nothing_of_why() {
    let world = World::start().await;
    let token = Token::new(&world);
    let (_api, ana, joe) = with_a_key_inside(&world, &token).await;
    let (hers, his) = (stores(&ana).await, stores(&joe).await);
    let of = |person: &Person| format!("WHERE patient_id = '{}'", person.id);

    // A byte of the ciphertext; and the wrapped key of somebody else.
    let changed = format!(
        "UPDATE patient_keys SET wrapped_key = set_byte(wrapped_key, 20, (get_byte(wrapped_key, 20) + 1) % 256) {}",
        of(&ana)
    );
    world.attacks(&changed).await;
    assert_eq!(ana.reads(&hers).await.code(), Some("INTEGRITY_VIOLATION"));
    joe.reads(&his).await.data();
    let moved = format!(
        "UPDATE patient_keys SET wrapped_key = (SELECT wrapped_key FROM patient_keys {}) {}",
        of(&joe),
        of(&ana)
    );
    world.attacks(&moved).await;
    assert_eq!(ana.reads(&hers).await.code(), Some("INTEGRITY_VIOLATION"));
    joe.reads(&his).await.data();
    eventually("it is a finding", async || {
        let found = world
            .sql("SELECT kind FROM integrity_findings WHERE resolved_at IS NULL AND kind = 'UNDECRYPTABLE'")
            .await;
        (!found.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_with_what_to_do() {
    let world = World::start().await;
    let token = Token::new(&world);
    let environment = token.environment();
    let before = fs::read_to_string(masters(&world)).expect("the key file");
    let none = token.file("none.so").display().to_string();
    let cases: [(&[(&str, &str)], &str); 3] = [
        (
            &[("MEDITRUSTAL_PKCS11_MODULE", none.as_str())],
            "none.so cannot be used",
        ),
        (
            &[("MEDITRUSTAL_PKCS11_TOKEN", "another")],
            "wanted is a token with the label \"another\", there are \"meditrustal\" in slot",
        ),
        (
            &[("MEDITRUSTAL_PKCS11_PIN_FILE", none.as_str())],
            "the PIN file",
        ),
    ];
    for (other, told) in cases {
        let refused = keys(&world, &["add"], &with(&environment, other)).await;
        let refused = refused.expect_err("it is refused");
        assert!(refused.contains(told), "{other:?}: {refused}");
    }
    token.writes_pin("00000000");
    let refused = keys(&world, &["add"], &environment).await;
    let refused = refused.expect_err("it is refused");
    assert!(
        refused.contains("does not take the PIN") && !refused.contains("00000000"),
        "{refused}"
    );
    let refused = does_not_start(&world, &environment).await;
    assert!(
        refused.contains("MEDITRUSTAL_PKCS11_MODULE: the PKCS#11 token does not take the PIN"),
        "{refused}"
    );
    token.writes_pin(PIN);
    let after = fs::read_to_string(masters(&world)).expect("the key file");
    assert_eq!(
        before, after,
        "a key that could not be made is not in the file"
    );

    // The token has lost the key that the file names.
    keys(&world, &["add", "--id", "inside"], &environment)
        .await
        .expect("a key inside the token");
    let taken = keys(
        &world,
        &["add", "--id", "second", "--label", "inside"],
        &environment,
    )
    .await;
    assert!(taken.is_err_and(|why| why.contains("is a master key already")));
    let file = fs::read_to_string(masters(&world)).expect("the key file");
    let file = file.replace("\"label\": \"inside\"", "\"label\": \"lost\"");
    fs::write(masters(&world), file).expect("written");
    let refused = does_not_start(&world, &environment).await;
    assert!(
        refused.contains("\"inside\" is not the key \"lost\" of this PKCS#11 token"),
        "{refused}"
    );
}
