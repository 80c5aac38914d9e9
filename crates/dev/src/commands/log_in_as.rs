//! `cargo dev as`: one of the people of the running stack, for a terminal.

use dev::client::Client;
use dev::stack::Run;
use dev::{Error, Result, repository, say};

use super::person::log_in;

/// Log in on the running stack, and print what a shell needs to speak as that person: API, CHAIN,
/// DEPLOYMENT, PERSON, TOKEN, and the programs on the PATH. For `eval "$(cargo dev as ana)"`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogInAs {
    /// A user name that `cargo dev` shows, such as ana.
    username: String,
}

impl LogInAs {
    pub(crate) async fn run(self) -> Result<()> {
        let root = repository::root()?;
        let run = Run::find(&root).ok_or_else(|| {
            Error::Needs(
                "cargo dev does not run in this clone: start it in another terminal".to_owned(),
            )
        })?;
        let person = run.people.iter().find(|it| it.username == self.username);
        let person = person.ok_or_else(|| {
            let names: Vec<_> = run.people.iter().map(|it| it.username.as_str()).collect();
            Error::Needs(format!("{} is none of {}", self.username, names.join(", ")))
        })?;
        let insider = log_in(&Client::new(&format!("{}/graphql", run.api_url)), person).await?;
        let token = insider.client.token().unwrap_or_default();
        for (name, value) in [
            ("API", run.api_url.as_str()),
            ("CHAIN", &run.chain_rpc_url),
            ("DEPLOYMENT", &run.deployment.display().to_string()),
            ("PERSON", &insider.id),
            ("TOKEN", token),
        ] {
            say::line(format_args!("export {name}='{value}'"));
        }
        say::line(format_args!(
            "export PATH='{}':\"$PATH\"",
            run.programs.display()
        ));
        Ok(())
    }
}
