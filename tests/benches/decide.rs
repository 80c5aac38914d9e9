//! Deciding about a patient of whom 1,000 consents are stored: the rule alone, over all of them, and with the locks, the clock,
//! the doctor's log-in and memberships, and the consents that concern them read and their seals checked, as the api does it; beside it
//! the same with all that are in force, read as where several people ask. The end of the transaction is told by itself: a decision shares it with what it is about.
//!
//! As many of them are in force as may be at once; the others were withdrawn. One of those in force lets the doctor in.
//! Of each step it is told how long it took.

use std::time::{Duration, Instant};

use chrono::Utc;
use domain::access::{AccessRequest, Action, Actor, decide};
use domain::consents::{Consent, MAX_CONSENTS_IN_FORCE};
use domain::ids::{SessionId, UserId};
use domain::organizations::CurrentMemberships;
use domain::purpose::Purpose;
use domain::records::{Availability, RecordType};
use domain::users::Role;
use store::facts::{self, PersonFacts};
use store::{Plans, PoolSettings, StoreError, Transaction, Tx, consents, memberships, users};
use tests::bench::{Arguments, Bar, Figure, Report, analyze, progress};
use tests::{Person, World, text};
use vault::keyring::Keyring;

/// How many consents there are.
const STORED: usize = 1000;
/// How long a transaction waits for a lock.
const WAIT: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    // As the api decides: in a task of the runtime, whose worker itself waits for the server's answers.
    tokio::spawn(measure()).await.expect("it ends");
}

async fn measure() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    progress(format_args!("storing {STORED} consents"));
    fill(&world, &ana, &dr_bo).await;
    let decider = Decider::of(&world, &ana, &dr_bo).await;
    let all = decider.reads_once(Reading::All).await;
    assert_eq!(all.len(), MAX_CONSENTS_IN_FORCE, "all seals are right");
    let few = decider.reads_once(Reading::Concerning).await;
    // What names the doctor, and one that says that there are others.
    assert_eq!(few.len(), 2, "all seals are right");
    let stored = decider.reads_all().await;
    assert_eq!(stored.len(), STORED, "all seals are right");

    let many = usize::try_from(arguments.many(20_000)).unwrap_or(usize::MAX);
    progress(format_args!("deciding {many} times"));
    let mut alone = Vec::with_capacity(many);
    let [mut whole, mut by_all] = [Whole::default(), Whole::default()];
    for _ in 0..many {
        let began = Instant::now();
        let is_let_in = decider.lets_in(&stored);
        alone.push(began.elapsed());
        assert!(is_let_in, "the consent lets in");
        // In turns, so that both have the same machine.
        whole.add(&decider, Reading::Concerning).await;
        by_all.add(&decider, Reading::All).await;
    }
    let mut report = Report::new();
    let what = "the rule alone, over 1,000 consents";
    report.figure(format!("{what}: p50"), part(&mut alone, 50), Bar::None);
    report.figure(
        format!("{what}: p99"),
        part(&mut alone, 99),
        Bar::AtMost(1000.0),
    );
    let what = "with locks, clock, log-in, memberships, consents read and seals checked";
    for (of, bar) in [(50, Bar::None), (99, Bar::AtMost(1000.0))] {
        let limit = part(&mut by_all.times, of);
        let what = format!("{what}: p{of}, beside all in force read");
        report.beside(what, part(&mut whole.times, of), limit, bar);
    }
    for (nth, step) in STEPS.iter().enumerate() {
        let limit = part(&mut by_all.steps[nth], 50);
        let what = format!("of which {step}: p50");
        report.beside(what, part(&mut whole.steps[nth], 50), limit, Bar::None);
    }
    let what = "and the end of the transaction";
    for of in [50, 99] {
        let limit = part(&mut by_all.ends, of);
        let what = format!("{what}: p{of}");
        report.beside(what, part(&mut whole.ends, of), limit, Bar::None);
    }
    let messages = |reading: Reading| Figure::Count(reading.messages());
    report.beside(
        "messages to the server for a decision",
        messages(Reading::Concerning),
        messages(Reading::All),
        Bar::None,
    );
    let rows = |consents: &[Consent]| Figure::Count(consents.len() as u64);
    report.beside(
        "consents read for a decision",
        rows(&few),
        rows(&all),
        Bar::None,
    );
    report.note(format!(
        "{STORED} consents of one patient, {MAX_CONSENTS_IN_FORCE} of them in force; one at a time"
    ));
    report.print("decide");
}

/// What a whole decision consists of.
const STEPS: [&str; 3] = [
    "beginning, with locks",
    "clock, log-in, memberships and consents",
    "seals and rule",
];

/// Which consents a decision reads.
#[derive(Clone, Copy)]
enum Reading {
    /// Those that concern the doctor, with everything else by one statement.
    Concerning,
    /// All that are in force, by a statement of their own, as where several people ask.
    All,
}

impl Reading {
    /// How many messages to the server it takes, with that which begins the transaction.
    const fn messages(self) -> u64 {
        match self {
            Self::Concerning => 2,
            Self::All => 4,
        }
    }
}

/// Whole decisions, and their steps.
#[derive(Default)]
struct Whole {
    times: Vec<Duration>,
    steps: [Vec<Duration>; STEPS.len()],
    /// How long their transactions took to end afterwards.
    ends: Vec<Duration>,
}

impl Whole {
    async fn add(&mut self, decider: &Decider, reading: Reading) {
        let began = Instant::now();
        let (tx, read, mut ends) = decider.reads(reading).await;
        let is_let_in = decider.lets_in(&decider.opened(read));
        let decided = Instant::now();
        ends.push(decided);
        assert!(is_let_in, "the consent lets in");
        tx.commit().await.expect("an end");
        self.ends.push(decided.elapsed());
        self.times.push(decided - began);
        let mut last = began;
        for (step, end) in self.steps.iter_mut().zip(ends) {
            step.push(end - last);
            last = end;
        }
    }
}

/// What so many of a hundred took no longer than.
fn part(times: &mut [Duration], of: usize) -> Figure {
    times.sort_unstable();
    let time = times[(times.len() - 1) * of / 100];
    Figure::Microseconds(time.as_secs_f64() * 1e6)
}

/// Consents of ana: the last one lets the doctor read.
async fn fill(world: &World, ana: &Person, dr_bo: &Person) {
    let open = MAX_CONSENTS_IN_FORCE;
    world
        .executes(&format!(
            "INSERT INTO data_processing_consents (
                 user_id, purpose, consent_given_at, consent_withdrawn_at, data_categories, processing_activities, third_parties
             )
             SELECT '{}', 'TREAT', now() - nth * INTERVAL '1 hour',
                 CASE WHEN nth > {open} THEN now() - INTERVAL '1 minute' END, '[\"LAB_RESULT\", \"VITAL_SIGNS\"]',
                 '[\"READ\", \"SEARCH\"]',
                 jsonb_build_array(jsonb_build_object('kind', 'user', 'id',
                     CASE WHEN nth = 1 THEN '{}'::uuid ELSE gen_random_uuid() END))
             FROM generate_series(1, {STORED}) AS nth",
            ana.id, dr_bo.id
        ))
        .await;
    world.seals().await;
    analyze(world).await;
}

/// Who decides about ana's records for the doctor.
struct Decider {
    pool: store::Pool,
    keyring: Keyring,
    patient: UserId,
    doctor: UserId,
    session: SessionId,
}

impl Decider {
    async fn of(world: &World, ana: &Person, dr_bo: &Person) -> Self {
        let url = world.foundation.url_of("meditrustal_api");
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let settings = PoolSettings {
            by_index: true,
            ..PoolSettings::default()
        };
        let pool = store::connect(&url, "meditrustal bench", settings).expect("a pool");
        let file = world.foundation.dir().join("keys/master-keys.json");
        let id = |person: &Person| UserId(person.id.parse().expect("an id"));
        let of_doctor = format!(
            "SELECT id FROM sessions WHERE user_id = '{}' AND is_valid",
            dr_bo.id
        );
        let sessions = world.sql(&of_doctor).await;
        let session = text(&sessions[0]["id"]).parse().expect("an id");
        Self {
            pool,
            keyring: Keyring::load(&file).expect("the master keys of this world"),
            patient: id(ana),
            doctor: id(dr_bo),
            session: SessionId(session),
        }
    }

    /// The doctor's account and log-in and the consents, read under the locks of both in the transaction, and when each message was
    /// answered.
    async fn reads(&self, reading: Reading) -> (Transaction, PersonFacts, Vec<Instant>) {
        let mut ends = Vec::with_capacity(STEPS.len());
        let both = [self.patient, self.doctor];
        let tx = self.pool.begin_locked(WAIT, Plans::Kept, both).await;
        let mut tx = tx.expect("a transaction and its locks");
        ends.push(Instant::now());
        let read = self.facts(&mut tx, reading).await;
        let read = read.expect("the clock, the log-in, memberships and consents");
        let memberships = &read.memberships.stored;
        assert!(memberships.is_empty(), "the doctor has none");
        ends.push(Instant::now());
        (tx, read, ends)
    }

    /// The consents whose seals are right, of an account and a log-in whose seals are.
    fn opened(&self, read: PersonFacts) -> Vec<Consent> {
        let claims = read.present.claims.into_values();
        for claim in claims {
            let session = claim.session.expect("the log-in");
            self.keyring.open_row(claim.account).expect("its seal");
            self.keyring.open_row(session).expect("its seal");
        }
        let stored = read.consents.consents.into_iter();
        let opened = stored.filter_map(|sealed| self.keyring.open_row(sealed).ok());
        opened.collect()
    }

    async fn reads_once(&self, reading: Reading) -> Vec<Consent> {
        let (_tx, read, _) = self.reads(reading).await;
        self.opened(read)
    }

    async fn facts(&self, tx: &mut Tx<'_>, reading: Reading) -> Result<PersonFacts, StoreError> {
        let patients = [self.patient];
        match reading {
            Reading::Concerning => {
                facts::of_person(tx, self.doctor, &[self.session], &patients).await
            }
            Reading::All => {
                let present = users::present(tx, &[(self.doctor, self.session)]).await?;
                let memberships = memberships::known_of(tx, &[self.doctor]).await?;
                let consents = consents::in_force(tx, &patients, present.now).await?;
                Ok(PersonFacts {
                    present,
                    memberships,
                    consents,
                })
            }
        }
    }

    /// All that are stored, and as they were sealed.
    async fn reads_all(&self) -> Vec<Consent> {
        let mut connection = self.pool.acquire().await.expect("a connection");
        let most = i64::try_from(STORED).unwrap_or(i64::MAX);
        let stored = consents::page(&mut connection, self.patient, false, None, false, most).await;
        let stored = stored.expect("consents").into_iter();
        let opened = stored.filter_map(|sealed| self.keyring.open_row(sealed).ok());
        opened.collect()
    }

    fn actor(&self) -> Actor {
        Actor {
            id: self.doctor,
            role: Role::Doctor,
            is_active: true,
            memberships: CurrentMemberships::default(),
            acts_for: None,
            second_factor: true,
        }
    }

    fn lets_in(&self, consents: &[Consent]) -> bool {
        let request = AccessRequest {
            actor: self.actor(),
            patient: self.patient,
            action: Action::Read,
            purpose: Purpose::Treatment,
            record_type: RecordType::VitalSigns,
            availability: Availability::Open,
            destination: None,
            emergency: None,
            now: Utc::now(),
        };
        decide(&request, consents).is_permit()
    }
}
