//! What the tree over the audit trail is of storing a record: processor time with it, beside the same without hashing rows and
//! without giving them places. Rounds in turns, of which the one in the middle counts. The rates are told besides: they differ
//! by more than the tree costs, from one round to the next.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tests::World;
use tests::bench::{Arguments, Bar, Costs, Figure, Population, Report, analyze, progress};
use tests::load::{Load, Measured, Reply, Turn, Until};

const CLIENTS: usize = 64;
/// The lock of whoever gives rows their places (`store::trail`).
const ORDER: &str = "SELECT pg_advisory_lock(hashtextextended('meditrustal audit tree', 0))";
/// The hash of no row: what the trigger writes while it does not hash.
const NO_HASH: &str = "decode(repeat('00', 32), 'hex')";

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    let world = arguments.world().await;
    let population = Arc::new(Population::open(&world, 4, 100).await);
    progress("warming up");
    stores(&world, &population, "warm", Duration::from_secs(2)).await;
    analyze(&world).await;
    let hashing = world
        .sql("SELECT pg_get_functiondef('hash_audit_row'::regproc) AS text")
        .await;
    let hashing = tests::text(&hashing[0]["text"]);
    let rounds = if arguments.quick { 1 } else { 5 };
    let mut found = Vec::new();
    for round in 0..rounds {
        progress(format_args!(
            "round {} of {rounds}, with the tree",
            round + 1
        ));
        let with = Round::measure(
            &world,
            &population,
            &format!("with {round}"),
            arguments.time,
        )
        .await;
        progress("and without");
        let holding = stops_hashing(&world).await;
        let name = format!("without {round}");
        let without = Round::measure(&world, &population, &name, arguments.time).await;
        hashes_again(&world, &hashing, holding).await;
        found.push((with, without));
    }
    let mut report = Report::new();
    let part =
        |of: fn(&Round) -> f64| move |(with, without): &(Round, Round)| of(with) / of(without);
    let by_cost = middle(&mut found, part(|round| round.cost));
    let costs = (by_cost.0.cost, by_cost.1.cost);
    let by_rate = middle(&mut found, part(|round| round.rate));
    let rates = (by_rate.0.rate, by_rate.1.rate);
    report.beside(
        "processor time of the api and PostgreSQL for a record, beside the same without the tree",
        Figure::Microseconds(costs.0),
        Figure::Microseconds(costs.1),
        Bar::PartAtMost(1.05),
    );
    report.beside(
        "records stored a second, beside the same without the tree",
        Figure::PerSecond(rates.0),
        Figure::PerSecond(rates.1),
        Bar::None,
    );
    for (with, without) in found {
        report.note(format!("with: {}", with.costs));
        report.note(format!("without: {}", without.costs));
    }
    report.print("hashing");
}

/// What storing records for a while came to.
struct Round {
    /// Records a second.
    rate: f64,
    /// Processor time of the api and PostgreSQL for each record. Unit: microseconds.
    cost: f64,
    /// The same by program.
    costs: String,
}

impl Round {
    async fn measure(
        world: &World,
        population: &Arc<Population>,
        name: &str,
        time: Duration,
    ) -> Self {
        let costs = Costs::begin(world);
        let measured = stores(world, population, name, time).await;
        let costs = costs.end(world);
        Self {
            rate: measured.per_second(),
            cost: costs.of_api_and_database(measured.right),
            costs: costs.each(measured.right),
        }
    }
}

/// The round whose part is the one in the middle.
fn middle(rounds: &mut [(Round, Round)], part: impl Fn(&(Round, Round)) -> f64) -> &(Round, Round) {
    rounds.sort_by(|one, other| part(one).total_cmp(&part(other)));
    &rounds[rounds.len() / 2]
}

/// Has rows written without a hash, and no row given a place. What is given back holds that up.
async fn stops_hashing(world: &World) -> PgConnection {
    let mut holding = world.connects_as("meditrustal_api").await;
    let held = sqlx::raw_sql(ORDER).execute(&mut holding).await;
    held.expect("the order of the trail is held up");
    world
        .executes(&format!(
            "CREATE OR REPLACE FUNCTION hash_audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 NEW.leaf_layout := 2;
                 NEW.leaf_hash := {NO_HASH};
                 RETURN NEW;
             END
             $$"
        ))
        .await;
    holding
}

/// Has everything as it was: the rows without a hash are taken away.
async fn hashes_again(world: &World, hashing: &str, holding: PgConnection) {
    world.executes(hashing).await;
    world
        .attacks(&format!(
            "DELETE FROM audit_logs WHERE leaf_hash = {NO_HASH}"
        ))
        .await;
    drop(holding);
    world.executes("VACUUM ANALYZE audit_logs").await;
}

/// Stores records for so long.
async fn stores(
    world: &World,
    population: &Arc<Population>,
    name: &str,
    time: Duration,
) -> Measured {
    let load = Load {
        server: world.api.address(),
        clients: CLIENTS,
        until: Until::Passed(time),
    };
    let (population, name) = (Arc::clone(population), name.to_owned());
    let ask = move |turn: Turn| population.create(turn, &format!("{name} {}", turn.nth));
    let measured = load
        .run(ask, |_: Turn, reply: &Reply<'_>| reply.is_data())
        .await;
    assert_eq!(measured.failed(), 0, "all of them are stored");
    measured
}
