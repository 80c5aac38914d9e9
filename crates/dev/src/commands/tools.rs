//! `cargo dev tools`: installs what the other commands need, and says what is there.

use dev::postgres::{Binaries, RunAs};
use dev::tools::{Scope, Tools};
use dev::{Result, repository, say};

/// Install the pinned tools; the other commands do it by themselves.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallTools {
    /// Also what only the tests need: a browser, the FHIR examples, the client programs of PostgreSQL, SoftHSM, promtool,
    /// nginx and Caddy.
    #[arg(long)]
    test: bool,
}

impl InstallTools {
    pub(crate) fn run(self) -> Result<()> {
        let root = repository::root()?;
        let scope = if self.test { Scope::Test } else { Scope::Run };
        let tools = Tools::ensure(&root, scope)?;
        let user = RunAs::for_data(&root.join(".dev/postgres/data"))?;
        let postgres = Binaries::find(&user, &root, None)?;
        let show = |what: &str, path: &std::path::Path| {
            say::line(format_args!("{what:<18} {}", path.display()));
        };
        show(&format!("PostgreSQL {}", postgres.version), &postgres.dir);
        show("anvil", &tools.anvil()?);
        show("forge", &tools.forge()?);
        if scope == Scope::Test {
            show(
                "PostgreSQL's clients",
                &tools.postgres_client(postgres.major)?,
            );
            if let Ok(softhsm) = tools.softhsm() {
                show("SoftHSM", &softhsm.library);
            }
            if let Ok(promtool) = Tools::promtool(&root) {
                show("promtool", &promtool);
            }
            for (name, found) in [("nginx", tools.nginx()), ("Caddy", tools.caddy())] {
                if let Ok(program) = found {
                    show(name, &program);
                }
            }
        }
        if let Some(playground) = tools.playground() {
            show("playground", &playground);
        }
        if let Some(portal) = tools.portal() {
            show("portal", &portal);
        }
        Ok(())
    }
}
