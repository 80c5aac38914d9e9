//! What it costs to seal a row that decides, and to check its seal, on one core.
//!
//! `cargo run --release -p vault --example seal_row`. Each figure is the best of five rounds. The bar is 5 µs.

use std::{
    env,
    fs::{self, OpenOptions},
    hint::black_box,
    io::{Write as _, stdout},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::ExitCode,
    time::Instant,
};

use domain::{
    clock::Clock,
    consents::{Activity, Category, Consent, Grantee},
    ids::{ConsentId, SessionId, UserId},
    purpose::Purpose,
    seals::{Authority, Sealed, Session},
    users::{Email, Role, Username},
};
use vault::{keyring::Keyring, seal::Sealable};

const TIMES: u32 = 20_000;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    // The file stays while it is measured: whoever seals looks whether it changed.
    let path = env::temp_dir().join(format!("seal-row-{}.json", UserId::fresh()));
    let done = keyring(&path).is_some_and(|keyring| measure_all(&keyring));
    if fs::remove_file(&path).is_ok() && done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn measure_all(keyring: &Keyring) -> bool {
    let now = Clock::System.now();
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$".to_owned() + &"A".repeat(66);
    let (Ok(email), Ok(username)) = (
        Email::parse("bo@hospital.example"),
        Username::parse("dr.bo"),
    ) else {
        return false;
    };
    let account = Authority::new(UserId::fresh(), &email, &username, Role::Doctor, hash);
    let consent = Consent {
        id: ConsentId::fresh(),
        patient: UserId::fresh(),
        purpose: Purpose::Treatment,
        given_at: now,
        expires_at: Some(now),
        withdrawn_at: None,
        categories: vec![Category::All],
        activities: vec![Activity::Read, Activity::Search],
        grantees: vec![Grantee::User {
            id: UserId::fresh(),
        }],
    };
    let id = SessionId::fresh();
    let session = Session {
        id,
        user: UserId::fresh(),
        refresh_token_hash: "cc".repeat(32),
        family: id,
        parent: None,
        expires_at: now,
        idle_expires_at: Some(now),
        used_at: None,
        second_factor_at: None,
    };
    let done = [
        measure(keyring, "account", &account),
        measure(keyring, "consent", &consent),
        measure(keyring, "log-in", &session),
    ];
    done.iter().all(Option::is_some)
}

/// A fresh key, of which it is said that the database knows it.
fn keyring(path: &Path) -> Option<Keyring> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .ok()?;
    file.write_all(Keyring::generate("a").as_bytes()).ok()?;
    let keyring = Keyring::load(path).ok()?;
    keyring.accept(&keyring.unchecked().ok()??);
    Some(keyring)
}

fn measure<T: Sealable + Clone>(keyring: &Keyring, what: &str, row: &T) -> Option<()> {
    let (mut sealing, mut checking) = (f64::INFINITY, f64::INFINITY);
    let seal = keyring.seal_row(row).ok()?;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..TIMES {
            black_box(keyring.seal_row(black_box(row)).ok()?);
        }
        sealing = sealing.min(start.elapsed().as_secs_f64());
        let rows: Vec<_> = (0..TIMES)
            .map(|_| Sealed::new(row.clone(), Some(seal.clone())))
            .collect();
        let start = Instant::now();
        for row in rows {
            black_box(keyring.open_row(row).ok()?);
        }
        checking = checking.min(start.elapsed().as_secs_f64());
    }
    let [sealing, checking] = [sealing, checking].map(|it| it * 1e6 / f64::from(TIMES));
    writeln!(
        stdout(),
        "{what:8} sealed in {sealing:5.2} µs, checked in {checking:5.2} µs"
    )
    .ok()
}
