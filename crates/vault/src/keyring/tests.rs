#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use chrono::TimeDelta;
use uuid::Uuid;

use super::*;

const NAME: KeyName = KeyName {
    id: PatientKeyId(Uuid::from_u128(1)),
    patient: UserId(Uuid::from_u128(2)),
    created_at: DateTime::UNIX_EPOCH,
};

/// A key file of its own, gone with the test.
struct Home(PathBuf);

impl Home {
    fn with(text: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("keyring-{}", random::hex::<8>()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("keys.json"), text).unwrap();
        fs::set_permissions(dir.join("keys.json"), fs::Permissions::from_mode(0o600)).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join("keys.json")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What is ready at once: a file is behind it.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(ready) => ready,
        std::task::Poll::Pending => unreachable!("a file does not keep us waiting"),
    }
}

/// What a program holds that compared all keys with its database.
fn load(file: &Path) -> Keyring {
    let keyring = Keyring::load(file).unwrap();
    keyring.accept_all();
    keyring
}

fn one(keyring: &Keyring) -> StoredKey {
    now(keyring.new_patient_keys(&[NAME]))
        .unwrap()
        .pop()
        .unwrap()
}

fn open(keyring: &Keyring, key: &StoredKey) -> Result<PatientKey, KeyringError> {
    now(keyring.unwrap(&[key])).unwrap().pop().unwrap()
}

#[test]
fn a_running_program_sees_a_new_master_key_and_keeps_its_old_ones() {
    let home = Home::with(&Keyring::generate("old"));
    let running = load(&home.file());
    let old = one(&running);

    Keyring::add(&home.file(), "new").unwrap();
    let command = load(&home.file());
    let new = now(command.rewrap(std::slice::from_ref(&old)))
        .unwrap()
        .pop()
        .unwrap()
        .unwrap();

    assert_eq!(
        (old.master_key_id.as_str(), new.master_key_id.as_str()),
        ("old", "new")
    );
    let plain = open(&running, &new).unwrap();
    assert_eq!(plain.as_bytes(), open(&running, &old).unwrap().as_bytes());
    assert_eq!(
        one(&running).master_key_id,
        "old",
        "until the database knows the new one"
    );
    running.accept(&running.unchecked().unwrap().unwrap());
    assert_eq!(running.unchecked().unwrap(), None);
    assert_eq!(one(&running).master_key_id, "new");
    assert_eq!(running.ids(), ["new", "old"]);
    let mode = fs::metadata(home.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn new_keys_are_wrapped_by_the_first_even_if_nothing_unknown_was_met() {
    let home = Home::with(&Keyring::generate("old"));
    let running = load(&home.file());
    Keyring::add(&home.file(), "new").unwrap();
    running.accept(&running.unchecked().unwrap().unwrap());
    assert_eq!(one(&running).master_key_id, "new");
}

#[test]
fn a_key_that_the_database_does_not_know_wraps_nothing() {
    let home = Home::with(&Keyring::generate("m"));
    let keyring = Keyring::load(&home.file()).unwrap();
    let wrapped = now(keyring.new_patient_keys(&[NAME]));
    assert!(matches!(wrapped, Err(KeyringError::Unchecked(id)) if id == "m"));

    let mut other = keyring.unchecked().unwrap().unwrap();
    other[0].value.0[0] ^= 1;
    keyring.accept(&other);
    assert!(now(keyring.new_patient_keys(&[NAME])).is_err());
}

#[test]
fn a_file_that_names_another_key_by_a_known_id_is_not_taken() {
    let home = Home::with(&Keyring::generate("m"));
    let running = load(&home.file());
    let key = one(&running);
    keyfile::replace(&home.file(), &Keyring::generate("m")).unwrap();

    let wrapped = now(running.new_patient_keys(&[NAME]));
    assert!(matches!(wrapped, Err(KeyringError::OtherKey(id)) if id == "m"));
    assert!(open(&running, &key).is_ok(), "the right one is kept");
}

#[test]
fn a_check_value_is_what_another_implementation_computes() {
    // Python 3: HKDF-SHA-256 by hmac, of bytes([0x12] * 32), 32 zero bytes of salt, and the label
    // b"meditrustal master key check 1" + b"a".
    let text = format!(r#"{{"keys":[{{"id":"a","key":"{}"}}]}}"#, "12".repeat(32));
    let home = Home::with(&text);
    let keyring = Keyring::load(&home.file()).unwrap();
    let check = keyring.unchecked().unwrap().unwrap().remove(0);
    assert_eq!(crate::digest::to_hex(&check.value.0), CHECK_VECTOR);
}

const CHECK_VECTOR: &str = "667f837c1a121a63ffb653f6381c12542e7ccd3e8f612599dfe9af46ae7a48af";

#[test]
fn a_key_that_is_taken_away_opens_no_more_and_the_first_one_stays() {
    let home = Home::with(&Keyring::generate("old"));
    let old = one(&load(&home.file()));
    Keyring::add(&home.file(), "new").unwrap();

    assert!(matches!(
        Keyring::remove(&home.file(), "new"),
        Err(KeyringError::InUse(_))
    ));
    assert!(matches!(
        Keyring::remove(&home.file(), "other"),
        Err(KeyringError::UnknownMaster(_))
    ));
    let before = fs::read_to_string(home.file()).unwrap();
    let removal = Keyring::remove(&home.file(), "old").unwrap();
    assert_eq!(fs::read_to_string(home.file()).unwrap(), before);
    removal.finish().unwrap();
    let left = Keyring::load(&home.file()).unwrap();
    assert_eq!(left.ids(), ["new"]);
    assert!(matches!(
        open(&left, &old),
        Err(KeyringError::UnknownMaster(_))
    ));
}

#[test]
fn a_file_is_replaced_by_one_at_a_time_and_never_by_a_bad_one() {
    let home = Home::with(&Keyring::generate("old"));
    let before = fs::read_to_string(home.file()).unwrap();
    assert!(matches!(
        Keyring::add(&home.file(), "old"),
        Err(KeyringError::Malformed)
    ));
    // Longer than what comes: of a command that was killed.
    let new = home.0.join("keys.json.new");
    fs::write(&new, "half".repeat(1000)).unwrap();
    let killed = fs::File::open(&new).unwrap();
    killed.lock().unwrap();
    assert!(matches!(
        Keyring::add(&home.file(), "new"),
        Err(KeyringError::File(KeyFileError::Fixed { .. }))
    ));
    assert_eq!(fs::read_to_string(home.file()).unwrap(), before);
    drop(killed);
    Keyring::add(&home.file(), "new").unwrap();
    let now = fs::metadata(home.file()).unwrap().permissions().mode();
    assert_eq!(now & 0o777, 0o600);
    assert_eq!(load(&home.file()).ids(), ["new", "old"]);
    assert!(!new.exists());

    // One that is given up leaves nothing, and another one waits for nobody.
    let removal = Keyring::remove(&home.file(), "old").unwrap();
    assert!(Keyring::add(&home.file(), "newer").is_err());
    drop(removal);
    assert!(!new.exists());
    Keyring::add(&home.file(), "newer").unwrap();
    assert_eq!(load(&home.file()).ids(), ["newer", "new", "old"]);
    // Nothing is written to where a link leads.
    let elsewhere = home.0.join("elsewhere");
    fs::write(&elsewhere, "untouched").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &new).unwrap();
    assert!(Keyring::add(&home.file(), "newest").is_err());
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "untouched");
}

#[test]
fn a_wrapped_key_moved_to_another_row_does_not_unwrap() {
    let home = Home::with(&Keyring::generate("m"));
    let keyring = load(&home.file());
    let key = one(&keyring);
    for moved in [
        StoredKey {
            id: PatientKeyId(Uuid::from_u128(3)),
            ..key.clone()
        },
        StoredKey {
            patient: UserId(Uuid::from_u128(3)),
            ..key.clone()
        },
        StoredKey {
            created_at: key.created_at + TimeDelta::microseconds(1),
            ..key.clone()
        },
    ] {
        assert!(
            matches!(open(&keyring, &moved), Err(KeyringError::Forged(_))),
            "{moved:?}"
        );
    }
    let lost = StoredKey {
        master_key_id: "gone".into(),
        ..key.clone()
    };
    assert!(matches!(
        open(&keyring, &lost),
        Err(KeyringError::UnknownMaster(_))
    ));
    let destroyed = StoredKey {
        wrapped_key: None,
        ..key
    };
    assert!(matches!(
        open(&keyring, &destroyed),
        Err(KeyringError::Destroyed)
    ));
}

#[test]
fn a_malformed_or_exposed_file_is_refused_and_never_printed() {
    let line = format!(r#"{{"id":"a","key":"{}"}}"#, "12".repeat(32));
    for wrong in [
        "",
        "{}",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"id":"a","key":"12"}]}"#,
        r#"{"keys":[{"id":"a"}]}"#,
        r#"{"keys":[{"id":"a","label":"a"}]}"#,
        r#"{"keys":[{"id":"a","label":"a","secret":"no digits"}]}"#,
        &format!(
            r#"{{"keys":[{}]}}"#,
            line.replace('}', r#","label":"a","secret":"03"}"#)
        ),
        &format!(r#"{{"keys":[{line},{line}]}}"#),
    ] {
        let home = Home::with(wrong);
        assert!(
            matches!(Keyring::load(&home.file()), Err(KeyringError::Malformed)),
            "{wrong}"
        );
    }
    let home = Home::with(&Keyring::generate("m"));
    let keyring = Keyring::load(&home.file()).unwrap();
    assert_eq!(format!("{keyring:?}"), "[\"m\"]");
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        Keyring::load(&home.file()),
        Err(KeyringError::File(KeyFileError::Exposed { .. }))
    ));
}

#[test]
fn a_key_that_the_file_may_name_is_unavailable_while_the_file_cannot_be_used() {
    let home = Home::with(&Keyring::generate("old"));
    let running = load(&home.file());
    let known = one(&running);
    let named = StoredKey {
        master_key_id: "new".to_owned(),
        ..known.clone()
    };
    assert!(matches!(
        open(&running, &named),
        Err(KeyringError::UnknownMaster(_))
    ));

    // A key inside a token in front, and nothing that says which token.
    let text = fs::read_to_string(home.file()).unwrap();
    let line = r#"{"id":"new","label":"new","secret":"0312"},"#;
    let text = text.replacen('[', &format!("[{line}"), 1);
    keyfile::replace(&home.file(), &text).unwrap();
    let asked = now(running.unwrap(&[&named]));
    assert!(matches!(asked, Err(KeysUnavailable::File(_))), "{asked:?}");
    assert!(open(&running, &known).is_ok(), "what is known goes on");
}

#[test]
fn what_is_held_is_used_while_the_file_is_read() {
    let home = Home::with(&Keyring::generate("old"));
    let running = load(&home.file());
    let known = one(&running);
    Keyring::add(&home.file(), "new").unwrap();
    let source = Arc::clone(&running.source);
    let reading = source.reading.lock().unwrap();
    assert!(open(&running, &known).is_ok());
    assert_eq!(running.ids(), ["old"]);
    drop(reading);
    running.unchecked().unwrap();
    assert_eq!(running.ids(), ["new", "old"]);
}

#[test]
fn a_key_inside_a_token_is_refused_where_nothing_says_which_token() {
    let text = r#"{"keys":[{"id":"a","label":"a","secret":"0312"}]}"#;
    let home = Home::with(text);
    let refused = Keyring::load(&home.file()).unwrap_err();
    assert!(matches!(&refused, KeyringError::NoTokenSettings(id) if id == "a"));
    assert!(refused.to_string().contains("MEDITRUSTAL_PKCS11_MODULE"));

    // A key may still be put in front of it, and it may be taken away: no token is asked for that.
    Keyring::add(&home.file(), "b").unwrap();
    Keyring::remove(&home.file(), "a")
        .unwrap()
        .finish()
        .unwrap();
    assert_eq!(load(&home.file()).ids(), ["b"]);
}

#[test]
fn a_library_that_is_none_is_told_with_what_to_do() {
    let home = Home::with(&Keyring::generate("m"));
    let pin = home.0.join("pin");
    let settings = Pkcs11Settings {
        module: home.0.join("none.so"),
        token: crate::pkcs11::WantedToken::Only,
        pin_file: pin.clone(),
    };
    let told = |file: &Path| {
        let refused = Keyring::load_with(file, Some(&settings)).unwrap_err();
        refused.to_string()
    };
    assert!(told(&home.file()).contains("MEDITRUSTAL_PKCS11_PIN_FILE"));
    fs::write(&pin, "\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(told(&home.file()).contains("is empty"));
    fs::write(&pin, "1234").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(told(&home.file()).contains("chmod 600"));
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(told(&home.file()).contains("MEDITRUSTAL_PKCS11_MODULE"));
    // Something else than a library.
    fs::write(&settings.module, "none").unwrap();
    assert!(told(&home.file()).contains("none.so"));
}
