//! Has the indexer's program read the chain again from the registry's first block, hold what the dump says of it against that,
//! and replace what differs: `meditrustal-indexer replay --rebuild`. This program follows no events, so it starts the other one.

use std::{
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use domain::environment::SECRETS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the program is called.
const PROGRAM: &str = "meditrustal-indexer";

/// What a replay is run with.
#[derive(Debug, Clone)]
pub(crate) struct IndexerReplay {
    /// The program; without a directory it is looked for in the path.
    pub(crate) program: PathBuf,
    /// The database, under the role that owns the tables.
    pub(crate) database_url: String,
    /// The nodes, in the order in which they are asked.
    pub(crate) nodes: Vec<String>,
    /// What the deployment of the registry wrote.
    pub(crate) deployment_file: PathBuf,
    /// Words of the command line that both programs know.
    pub(crate) common: Vec<OsString>,
}

/// What a replay came to, as the program tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IndexerReplayed {
    /// The first block that was read.
    pub(crate) from_block: u64,
    /// The last one: where the dump had followed the chain to.
    pub(crate) to_block: u64,
    /// How many events were compared.
    pub(crate) events: u64,
    /// How many differences were found.
    pub(crate) differences: u64,
    /// The first of them.
    pub(crate) listed: Vec<Value>,
    /// How many anchors were compared; `None` where the events differ, and were not replaced.
    pub(crate) anchors: Option<u64>,
    /// How many of them differ. They are never replaced.
    pub(crate) anchors_differ: u64,
    /// Whether what differs was replaced.
    pub(crate) replaced: bool,
}

impl IndexerReplayed {
    /// Whether the tables say now what the chain says.
    pub(crate) const fn is_as_the_chain(&self) -> bool {
        self.anchors_differ == 0 && (self.differences == 0 || self.replaced)
    }
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayNotDone {
    /// There is no such program.
    #[error("there is no {0} beside this program or in the path")]
    NoProgram(String),
    /// It did not start, or what it says cannot be read.
    #[error("the program of the indexer cannot be run: {0}")]
    NotRun(#[from] io::Error),
    /// It says why.
    #[error("{0}")]
    Failed(String),
}

/// Where the program is: beside this one, or else somewhere in the path.
pub(crate) fn find() -> PathBuf {
    let ours = std::env::current_exe().ok();
    beside(ours.as_deref()).unwrap_or_else(|| PROGRAM.into())
}

fn beside(ours: Option<&Path>) -> Option<PathBuf> {
    let theirs = ours?.with_file_name(PROGRAM);
    theirs.is_file().then_some(theirs)
}

impl IndexerReplay {
    /// Replays, by the first node that serves; blocks as long as that takes. What the program says of its progress is passed on.
    ///
    /// # Errors
    /// [`ReplayNotDone`]; the tables are as they were.
    pub(crate) fn run(&self, tell: fn(&str)) -> Result<IndexerReplayed, ReplayNotDone> {
        let mut why = ReplayNotDone::Failed("no node is named".to_owned());
        for node in &self.nodes {
            match self.rebuild(node, tell) {
                Ok(done) => return Ok(done),
                Err(error @ ReplayNotDone::NoProgram(_)) => return Err(error),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn rebuild(&self, node: &str, tell: fn(&str)) -> Result<IndexerReplayed, ReplayNotDone> {
        let mut done = self.once(node, tell)?;
        if done.replaced && done.anchors.is_none() {
            // Anchors are compared only where the events are those of the chain.
            let again = self.once(node, tell)?;
            done.anchors = again.anchors;
            done.anchors_differ = again.anchors_differ;
        }
        Ok(done)
    }

    fn once(&self, node: &str, tell: fn(&str)) -> Result<IndexerReplayed, ReplayNotDone> {
        let mut running = self.command(node).spawn().map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                ReplayNotDone::NoProgram(self.program.display().to_string())
            } else {
                ReplayNotDone::NotRun(error)
            }
        })?;
        let output = running.stdout.take();
        let reading = std::thread::spawn(move || {
            let mut said = String::new();
            if let Some(mut output) = output {
                output.read_to_string(&mut said)?;
            }
            Ok::<_, io::Error>(said)
        });
        let mut why = String::new();
        let errors = running.stderr.take().map(BufReader::new);
        // Whatever it says is read to its end: it must not go on unwatched.
        for line in errors.into_iter().flat_map(|said| said.split(b'\n')) {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            if let Some(first) = line.strip_prefix(PROGRAM) {
                first.trim_start_matches(": ").clone_into(&mut why);
            } else if why.is_empty() {
                tell(&line);
            } else {
                why = format!("{why}, {}", line.trim());
            }
        }
        let said = reading
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a thread ended")))?;
        let status = running.wait()?;
        // Where something differs it fails, and says what.
        serde_json::from_str(&said).map_err(|_| {
            ReplayNotDone::Failed(if why.is_empty() {
                format!("the program of the indexer ended without a result ({status})")
            } else {
                why
            })
        })
    }

    /// The program, with the addresses in its environment, where nobody reads them, and with none of our other secrets.
    fn command(&self, node: &str) -> Command {
        let mut command = Command::new(&self.program);
        for name in SECRETS {
            command.env_remove(name).env_remove(format!("{name}_FILE"));
        }
        command
            .args(["replay", "--rebuild", "--json"])
            .args(&self.common)
            .env("DATABASE_URL", &self.database_url)
            .env("CHAIN_RPC_URL", node)
            .env("MEDITRUSTAL_DEPLOYMENT_FILE", &self.deployment_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What an operator runs instead, but for the addresses, which may hold passwords.
    pub(crate) fn told(&self) -> String {
        let words = ["replay", "--rebuild", "--deployment-file"];
        format!(
            "DATABASE_URL=… CHAIN_RPC_URL=… {PROGRAM} {} {}",
            words.join(" "),
            self.deployment_file.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{IndexerReplayed, beside};

    #[test]
    fn the_program_is_looked_for_beside_ours() {
        assert_eq!(beside(None), None);
        assert_eq!(beside(Some(Path::new("/nowhere/meditrustal"))), None);
    }

    #[test]
    fn what_the_program_tells_is_read_and_judged() {
        let told = |differences: u64, anchors_differ: u64, replaced: bool| {
            let text = format!(
                r#"{{"fromBlock":1,"toBlock":9,"events":3,"consentsCompared":true,"differences":{differences},"listed":[],
                    "anchors":2,"anchorsDiffer":{anchors_differ},"replaced":{replaced}}}"#
            );
            serde_json::from_str::<IndexerReplayed>(&text).map(|it| it.is_as_the_chain())
        };
        assert!(told(0, 0, false).is_ok_and(|is_right| is_right));
        assert!(told(2, 0, true).is_ok_and(|is_right| is_right));
        assert!(told(2, 0, false).is_ok_and(|is_right| !is_right));
        assert!(told(1, 1, false).is_ok_and(|is_right| !is_right));
    }
}
