//! Deciding about a patient of whom 1,000 consents are stored: the rule alone, over all of them, and with the locks, the clock,
//! and the consents in force read and their seals checked, as the api does it.
//!
//! As many of them are in force as may be at once; the others were withdrawn. One of those in force lets the doctor in.

use std::time::{Duration, Instant};

use domain::access::{AccessRequest, Action, Actor, decide};
use domain::consents::{Consent, MAX_CONSENTS_IN_FORCE};
use domain::ids::UserId;
use domain::organizations::CurrentMemberships;
use domain::purpose::Purpose;
use domain::records::{Availability, RecordType};
use domain::users::Role;
use store::{Plans, PoolSettings, barrier, consents, users};
use tests::bench::{Arguments, Bar, Figure, Report, analyze, progress};
use tests::{Person, World};
use vault::keyring::Keyring;

/// How many consents there are.
const STORED: usize = 1000;
/// How long a transaction waits for a lock.
const WAIT: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let (ana, dr_bo) = (world.patient("ana").await, world.doctor("bo").await);
    progress(format_args!("storing {STORED} consents"));
    fill(&world, &ana, &dr_bo).await;
    let decider = Decider::of(&world, &ana, &dr_bo);
    let consents = decider.reads().await;
    assert_eq!(consents.len(), MAX_CONSENTS_IN_FORCE, "all seals are right");
    let all = decider.reads_all().await;
    assert_eq!(all.len(), STORED, "all seals are right");

    let many = usize::try_from(arguments.many(20_000)).unwrap_or(usize::MAX);
    progress(format_args!("deciding {many} times"));
    let mut alone = Vec::with_capacity(many);
    let mut whole = Vec::with_capacity(many);
    for _ in 0..many {
        let began = Instant::now();
        let is_let_in = decider.lets_in(&all);
        alone.push(began.elapsed());
        assert!(is_let_in, "the consent lets in");
        let began = Instant::now();
        let is_let_in = decider.lets_in(&decider.reads().await);
        whole.push(began.elapsed());
        assert!(is_let_in, "the consent lets in");
    }
    let mut report = Report::new();
    for (what, mut times, bar) in [
        (
            "the rule alone, over 1,000 consents",
            alone,
            Bar::AtMost(1000.0),
        ),
        (
            "with locks, clock, consents read and seals checked",
            whole,
            Bar::None,
        ),
    ] {
        times.sort();
        let at = |part: usize| {
            Figure::Microseconds(times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6)
        };
        report.figure(format!("{what}: p50"), at(50), Bar::None);
        report.figure(format!("{what}: p99"), at(99), bar);
    }
    report.note(format!(
        "{STORED} consents of one patient, {MAX_CONSENTS_IN_FORCE} of them in force; one at a time"
    ));
    report.print("decide");
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
}

impl Decider {
    fn of(world: &World, ana: &Person, dr_bo: &Person) -> Self {
        let url = world.foundation.url_of("meditrustal_api");
        let url = url.unwrap_or_else(|error| panic!("{error}"));
        let settings = PoolSettings {
            by_index: true,
            ..PoolSettings::default()
        };
        let pool = store::connect(&url, "meditrustal bench", settings).expect("a pool");
        let file = world.foundation.dir().join("keys/master-keys.json");
        let id = |person: &Person| UserId(person.id.parse().expect("an id"));
        Self {
            pool,
            keyring: Keyring::load(&file).expect("the master keys of this world"),
            patient: id(ana),
            doctor: id(dr_bo),
        }
    }

    /// The consents in force whose seals are right, under the locks of both.
    async fn reads(&self) -> Vec<Consent> {
        let tx = self.pool.begin_with_lock_wait(WAIT, Plans::Kept).await;
        let mut tx = tx.expect("a transaction");
        let both = [self.patient, self.doctor];
        barrier::lock_shared(&mut tx, both).await.expect("locks");
        let now = users::now(&mut tx).await.expect("the clock");
        let stored = consents::in_force(&mut tx, &[self.patient], now).await;
        let stored = stored.expect("consents").consents.into_iter();
        tx.commit().await.expect("an end");
        let opened = stored.filter_map(|sealed| self.keyring.open_row(sealed).ok());
        opened.collect()
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

    fn lets_in(&self, consents: &[Consent]) -> bool {
        let request = AccessRequest {
            actor: Actor {
                id: self.doctor,
                role: Role::Doctor,
                is_active: true,
                memberships: CurrentMemberships::default(),
                acts_for: None,
                second_factor: true,
            },
            patient: self.patient,
            action: Action::Read,
            purpose: Purpose::Treatment,
            record_type: RecordType::VitalSigns,
            availability: Availability::Open,
            destination: None,
            emergency: None,
            now: chrono::Utc::now(),
        };
        decide(&request, consents).is_permit()
    }
}
