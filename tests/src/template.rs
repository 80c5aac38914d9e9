//! What every world is copied from: made once for each test binary, gone with it.

use dev::repository;
use dev::stack::{Foundation, Options, Template};
use dev::tools::{Scope, Tools};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// How many worlds there are at once. Each is three processes and a database.
const WORLDS: u32 = 4;

static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
static SLOTS: Semaphore = Semaphore::const_new(WORLDS as usize);

/// The administrator who is there from the beginning, in every world.
pub(crate) const FIRST_ADMIN: (&str, &str) = ("first.admin", "the first of all administrators");

/// What a world is put up with.
pub(crate) fn options() -> Options {
    let root = repository::root().expect("the tests run inside a clone");
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Options {
        slots_in_an_epoch: 1,
        postgres: vec![
            setting("max_connections", "200"),
            setting("shared_buffers", "64MB"),
            // It would keep a template from being copied.
            setting("autovacuum", "off"),
        ],
        api: vec![
            setting("MEDITRUSTAL_LOG", "info"),
            setting("MEDITRUSTAL_POOL_MIN_SIZE", "1"),
            // Everybody comes from one address here. Tests of the limits set their own.
            setting("MEDITRUSTAL_GUESSES", "1000"),
            setting("MEDITRUSTAL_ADDRESS_FAILURES", "100000"),
            setting("MEDITRUSTAL_REGISTRATIONS", "100000"),
            setting("MEDITRUSTAL_CHALLENGES", "100000"),
            setting("MEDITRUSTAL_COST_A_MINUTE", "1000000000"),
            setting("MEDITRUSTAL_ACCOUNT_FAILURES", "100000"),
            setting("MEDITRUSTAL_ALL_FAILURES", "100000"),
            // Where it is the point, a test sets it: elsewhere it would find first what another should.
            setting("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "0"),
            setting("MEDITRUSTAL_DEEP_CHECK_REST", "1"),
        ],
        indexer: vec![
            setting("MEDITRUSTAL_LOG", "info"),
            setting("MEDITRUSTAL_POLL_MS", "50"),
            setting("MEDITRUSTAL_SWEEP_MS", "200"),
        ],
        ..Options::throw_away(&root)
    }
}

/// What a benchmark's world is put up with: nothing that is only for tests.
pub(crate) fn production() -> Options {
    let root = repository::root().expect("the benchmarks run inside a clone");
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Options {
        progress: true,
        postgres: vec![
            setting("shared_buffers", "512MB"),
            setting("max_wal_size", "4GB"),
        ],
        // Few accounts stand for many: what one may have is measured by itself (`benches/shares.rs`).
        api: vec![
            setting("MEDITRUSTAL_COST_A_MINUTE", "1000000000"),
            setting("MEDITRUSTAL_COST_AT_ONCE", "1000000"),
        ],
        ..Options::benchmark(&root)
    }
}

/// The right to have a world.
pub(crate) async fn slot() -> SemaphorePermit<'static> {
    let slot = SLOTS.acquire().await;
    slot.expect("the seats are never closed")
}

/// The right to have the only world.
pub(crate) async fn every_slot() -> SemaphorePermit<'static> {
    let slots = SLOTS.acquire_many(WORLDS).await;
    slots.expect("the seats are never closed")
}

/// A foundation copied from the template.
pub(crate) async fn copy(options: Options) -> Foundation {
    let template = TEMPLATE.get_or_init(make).await;
    let copied = template.copy(options).await;
    copied.unwrap_or_else(|error| panic!("a world could not be copied: {error}"))
}

/// A foundation with a cluster of its own, which a test may stop, kill and start again.
pub(crate) async fn fresh(options: Options) -> Foundation {
    let root = options.root.clone();
    // All of the tools at once: installing first without and then with the tests' part takes longer.
    let tools = tokio::task::spawn_blocking(move || Tools::ensure(&root, Scope::Test)).await;
    let tools = tools.expect("installing does not panic");
    tools.unwrap_or_else(|error| panic!("the tools are not there: {error}"));
    match TEMPLATE.get() {
        Some(template) => admitting(template.with_own_cluster(options).await).await,
        None => with_an_admin(options).await,
    }
}

/// The same, with no more of the tools than the programs need.
pub(crate) async fn with_an_admin(options: Options) -> Foundation {
    admitting(Foundation::start(options).await).await
}

/// A foundation that has started, with its first administrator.
async fn admitting(started: dev::Result<Foundation>) -> Foundation {
    let foundation = started.unwrap_or_else(|error| panic!("there is no ground: {error}"));
    let (username, password) = FIRST_ADMIN;
    let made = foundation
        .create_admin("first.admin@meditrustal.example", username, password)
        .await;
    made.unwrap_or_else(|error| panic!("there is no administrator: {error}"));
    foundation
}

async fn make() -> Template {
    let template = Template::of(fresh(options()).await).await;
    template.unwrap_or_else(|error| panic!("there is no ground: {error}"))
}
