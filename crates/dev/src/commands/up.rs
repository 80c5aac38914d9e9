//! `cargo dev`: everything, until Ctrl-C.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use dev::process::{Echo, Supervised};
use dev::stack::{Foundation, Options, Run, RunFile, Stack};
use dev::tools::Tools;
use dev::{Error, Result, repository, say};
use tokio::signal::unix::{SignalKind, signal};

use super::seeds;

/// How often one program, or the database, is started again before we give up.
const RESTARTS: u32 = 5;

/// Run everything until Ctrl-C; the data is kept for the next time.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Up {
    /// Forget all data first: database, chain, keys.
    #[arg(long)]
    fresh: bool,
    /// The api's port.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Show every line that the api and the indexer log, and not only warnings and errors.
    #[arg(long)]
    logs: bool,
    /// Make no people and no records.
    #[arg(long)]
    empty: bool,
}

impl Up {
    pub(crate) async fn run(self) -> Result<()> {
        let started = Instant::now();
        let mut interrupt = Interrupt::new()?;
        let root = repository::root()?;
        let run = Run::begin(&root)?;
        port_is_free(self.port)?;
        let mut options = Options::persistent(&root);
        options.api_port = self.port;
        options.api.extend(erases_at_once());
        if self.logs {
            options.echo = Echo::All;
        }
        if self.fresh {
            forget(&root, &options)?;
        }
        let stack = tokio::select! {
            stack = put_up(options, &root, self.empty) => stack.inspect_err(advise)?,
            () = interrupt.wait() => {
                return Err(Error::Needs("interrupted before it was ready".to_owned()));
            }
        };
        let file = RunFile {
            process: std::process::id(),
            api_url: stack.url(),
            chain_rpc_url: stack.foundation.chain_rpc_url().to_owned(),
            superuser_url: stack.foundation.database.superuser_url(),
            programs: stack.foundation.programs.directory(),
            deployment: stack.foundation.dir().join("deployment.json"),
            people: if self.empty {
                Vec::new()
            } else {
                seeds::people()
            },
        };
        run.tell(&file)?;
        let foundation = &stack.foundation;
        // A password that was given to us is not ours to show.
        let own = foundation
            .database
            .cluster()
            .map(|_| file.superuser_url.as_str());
        let database = own.unwrap_or("the one of DATABASE_URL");
        let programs = file.programs.as_path();
        welcome(&file, database, foundation, programs, started.elapsed());
        stay(stack, &mut interrupt).await
    }
}

async fn put_up(options: Options, root: &Path, empty: bool) -> Result<Stack> {
    tokio::task::block_in_place(|| build_portal(root));
    let stack = Stack::start(options).await?;
    if !empty {
        seeds::plant(&stack.foundation, &stack.client(), root).await?;
    }
    Ok(stack)
}

/// Builds the portal, for the api to serve. Nothing else depends on it.
fn build_portal(root: &Path) {
    if let Err(error) = Tools::build_portal(root) {
        say::progress(format_args!(
            "note: the portal could not be built, and everything else runs without it: {error}"
        ));
    }
}

/// What is left to do when something that is kept does not start any more.
fn advise(error: &Error) {
    if matches!(error, Error::NotReady { .. }) {
        say::progress("note: if the kept data is the reason, `cargo dev --fresh` starts over");
    }
}

/// Removes what is ours; what was given to us is not ours to remove.
fn forget(root: &Path, options: &Options) -> Result<()> {
    if options.database_url.is_some() {
        return Err(Error::Needs(
            "--fresh removes only what cargo dev made: with DATABASE_URL, drop the database \
             yourself (psql \"$DATABASE_URL\" -c 'DROP DATABASE meditrustal')"
                .to_owned(),
        ));
    }
    Foundation::forget(root)?;
    say::progress("removed the data of earlier runs");
    Ok(())
}

/// Says at once what would otherwise come after a minute of building.
fn port_is_free(port: u16) -> Result<()> {
    TcpListener::bind(("127.0.0.1", port)).map(|_| ()).map_err(|error| {
        Error::Needs(format!(
            "port {port} cannot be used ({error}): stop what listens there, or choose another one \
             with `cargo dev --port {}`",
            port.saturating_add(1)
        ))
    })
}

fn welcome(
    file: &RunFile,
    database: &str,
    foundation: &Foundation,
    programs: &Path,
    took: Duration,
) {
    let url = &file.api_url;
    say::line(format_args!("\nMediTrustAl is ready after {took:.1?}.\n"));
    say::line(format_args!("  Playground   {url}/playground"));
    if foundation.tools.portal().is_some() {
        say::line(format_args!("  Portal       {url}/portal"));
    }
    say::line(format_args!("  GraphQL      {url}/graphql"));
    say::line(format_args!("  Chain        {}", file.chain_rpc_url));
    say::line(format_args!("  PostgreSQL   {database}"));
    say::line(format_args!("  Programs     {}", programs.display()));
    say::line(format_args!(
        "  Logs         {}",
        foundation.dir().join("logs").display()
    ));
    if let Some(patient) = file.people.iter().find(|person| person.role == "patient") {
        say::line("\n  Log in as    with the password");
        for person in &file.people {
            let (name, role) = (&person.username, &person.role);
            say::line(format_args!("  {name:<12} {:<34} {role}", person.password));
        }
        say::line("\n  A first query to paste into the playground, logged in:\n");
        say::line(
            "    { me { username role } medicalRecords(first: 5) { nodes { recordType dataHash anchor { state } } } }",
        );
        say::line("\n  or from a terminal:\n");
        let input = format!(
            r#"{{login:\"{}\",password:\"{}\"}}"#,
            patient.username, patient.password
        );
        say::line(format_args!(
            "    curl -s {url}/graphql -H 'content-type: application/json' \\\n      \
             -d '{{\"query\":\"mutation{{logIn(input:{input}){{accessToken refreshToken}}}}\"}}'"
        ));
    }
    say::line("\n  The main job, step by step: cargo dev demo      Stop: Ctrl-C\n");
}

/// Keeps everything running until it is interrupted; then stops it in order.
async fn stay(mut stack: Stack, interrupt: &mut Interrupt) -> Result<()> {
    let mut restarts = 0;
    loop {
        tokio::select! {
            () = interrupt.wait() => break,
            () = tokio::time::sleep(Duration::from_millis(250)) => {}
        }
        match mend(&mut stack).await {
            Ok(false) => {}
            Ok(true) if restarts < RESTARTS => restarts += 1,
            Ok(true) => {
                stack.stop().await;
                return Err(Error::Needs(format!(
                    "something ended {RESTARTS} times: see the logs in .dev/logs"
                )));
            }
            Err(error) => {
                stack.stop().await;
                return Err(error);
            }
        }
    }
    say::progress("stopping: api, indexer, chain, PostgreSQL");
    let stopped = Instant::now();
    tokio::select! {
        () = stack.stop() => {}
        () = interrupt.wait() => {
            say::progress("stopping at once");
            return Ok(());
        }
    }
    say::progress(format_args!(
        "stopped in {:.1?}; the data is kept",
        stopped.elapsed()
    ));
    Ok(())
}

/// Starts again what has ended, the lowest first; answers whether anything had.
async fn mend(stack: &mut Stack) -> Result<bool> {
    if let Some(cluster) = stack.foundation.database.cluster_mut()
        && let Some(status) = cluster.server().ended()
    {
        say::progress(format_args!(
            "PostgreSQL ended ({status}): starting it again"
        ));
        tokio::task::block_in_place(|| cluster.restart())?;
        return Ok(true);
    }
    if let Some(node) = &mut stack.foundation.node
        && let Some(status) = node.process().ended()
    {
        say::progress(format_args!("anvil ended ({status}): starting it again"));
        node.restart().await?;
        if stack.heal().await? {
            say::progress(
                "the chain had lost its last blocks: what was anchored in them is sent again",
            );
        }
        return Ok(true);
    }
    Ok(revive(&mut stack.api).await? | revive(&mut stack.indexer).await?)
}

async fn revive(program: &mut Supervised) -> Result<bool> {
    let Some(status) = program.process().ended() else {
        return Ok(false);
    };
    let log = dev::process::tail(&program.program().log);
    let name = program.program().name.clone();
    say::progress(format_args!(
        "the {name} ended ({status}): starting it again\n{log}"
    ));
    program.restart().await?;
    Ok(true)
}

/// The settings of an api that erases what is approved at once: only in development.
pub(crate) fn erases_at_once() -> impl Iterator<Item = (String, String)> {
    let settings = [
        ("MEDITRUSTAL_DELETION_GRACE", "0"),
        ("MEDITRUSTAL_DELETION_EVERY", "1"),
    ];
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// Waits for Ctrl-C or `SIGTERM`; for ever, where we cannot listen for them.
pub(crate) async fn interrupted() {
    match Interrupt::new() {
        Ok(mut interrupt) => interrupt.wait().await,
        Err(_) => std::future::pending().await,
    }
}

/// Ctrl-C, or the signal that `cargo dev stop` sends.
struct Interrupt(tokio::signal::unix::Signal, tokio::signal::unix::Signal);

impl Interrupt {
    fn new() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|source| Error::Spawn {
                program: "a signal handler".into(),
                source,
            })
        };
        Ok(Self(
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        ))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
