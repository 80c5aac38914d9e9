//! What the two programs stand on, and how each of them is started on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ports::Ports;
use super::secrets::{Passwords, keys};
use super::{Database, Options, Programs};
use crate::chain::{self, Deployment, Mining, Node, NodeState, deploy_registry};
use crate::postgres::Cluster;
use crate::process::{Program, Supervised};
use crate::repository::make_open_dir;
use crate::scratch::Scratch;
use crate::tools::{Scope, Tools};
use crate::{Error, Result};

/// How long a program may take to get ready on a busy machine.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Tools, programs, a migrated database, a chain with the registry, and the keys.
#[derive(Debug)]
pub struct Foundation {
    /// The chain node, when it is ours.
    pub node: Option<Node>,
    /// The database.
    pub database: Database,
    /// The pinned tools.
    pub tools: Tools,
    /// The built programs.
    pub programs: Programs,
    /// Where the registry is.
    pub deployment: Deployment,
    pub(super) options: Options,
    pub(super) dir: PathBuf,
    pub(super) passwords: Passwords,
    pub(super) chain_rpc_url: String,
    /// Removed last, after all that uses it.
    pub(super) _scratch: Option<Scratch>,
}

impl Foundation {
    /// Puts it up: what does not need each other at the same time.
    ///
    /// # Errors
    ///
    /// The first thing that does not work.
    pub async fn start(options: Options) -> Result<Self> {
        let scratch = if options.keep {
            None
        } else {
            Some(Scratch::new("stack")?)
        };
        Self::start_in(scratch, options).await
    }

    /// The same in a directory, which may hold a chain with its registry, keys and passwords already; without one, where
    /// it is kept.
    pub(super) async fn start_in(scratch: Option<Scratch>, mut options: Options) -> Result<Self> {
        let dir = scratch
            .as_ref()
            .map_or_else(|| options.root.join(".dev"), |s| s.path().into());
        make_open_dir(&dir.join("logs"))?;
        if options.keep {
            let at = dir.clone();
            let ports = blocking(move || Ports::of(&at)).await?;
            options.chain_port = ports.chain;
            options.postgres_port = ports.postgres;
            options.indexer_port = ports.indexer;
        }

        let root = options.root.clone();
        let tools = blocking(move || Tools::ensure(&root, Scope::Run)).await?;

        options.say("starting PostgreSQL and the chain, building the api and the indexer");
        let (wanted, to_build) = (options.clone(), options.clone());
        let (programs, database, (node, deployment)) = tokio::try_join!(
            blocking(move || match to_build.programs {
                Some(programs) => Ok(programs),
                None => Programs::build(&to_build.root, to_build.profile),
            }),
            blocking(move || Database::start(&wanted)),
            start_chain(&options, &tools, &dir),
        )?;
        options.say(database.describe());
        let chain_rpc_url = node
            .as_ref()
            .map(Node::url)
            .or_else(|| options.chain_rpc_url.clone())
            .unwrap_or_default();
        options.say(format_args!(
            "chain {} on {chain_rpc_url}, registry {}",
            deployment.chain_id, deployment.registry
        ));
        let foundation = Self {
            passwords: Passwords::of(&dir)?,
            node,
            database,
            tools,
            programs,
            deployment,
            options,
            dir,
            chain_rpc_url,
            _scratch: scratch,
        };
        foundation.migrate().await?;
        Ok(foundation)
    }

    /// Removes what `cargo dev` keeps for this clone.
    ///
    /// # Errors
    ///
    /// When a run still uses it, or when it cannot be removed.
    pub fn forget(root: &Path) -> Result<()> {
        Cluster::forget(root)?;
        for name in ["chain", "keys", "logs", "deployment.json", "passwords.json"] {
            let path = root.join(".dev").join(name);
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file("could not remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What it was started with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the chain answers.
    pub fn chain_rpc_url(&self) -> &str {
        &self.chain_rpc_url
    }

    /// Where logs, keys and the deployment are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the api, or another one beside it.
    ///
    /// # Errors
    ///
    /// When it is not ready in time: with the end of its log.
    pub async fn api(
        &self,
        name: &str,
        port: u16,
        more: &[(String, String)],
    ) -> Result<Supervised> {
        let listen = format!("127.0.0.1:{port}");
        let keys = self.dir.join("keys");
        let key = |file: &str| keys.join(file).display().to_string();
        let origins = format!("http://{listen},http://localhost:{port}");
        let mut environment = self.environment("meditrustal_api", &self.passwords.api);
        environment.extend([
            ("MEDITRUSTAL_LISTEN", listen.clone()),
            ("MEDITRUSTAL_REGISTRAR_KEY_FILE", key("registrar.key")),
            ("MEDITRUSTAL_MASTER_KEYS_FILE", key("master-keys.json")),
            ("MEDITRUSTAL_INDEX_KEY_FILE", key("index.key")),
            ("MEDITRUSTAL_TOKEN_KEY_FILE", key("token-key.pem")),
            ("MEDITRUSTAL_ALLOWED_ORIGINS", origins),
            ("MEDITRUSTAL_INTROSPECTION", "true".to_owned()),
        ]);
        if self.options.two_signers {
            environment.push(("MEDITRUSTAL_REGISTRAR_KEY_FILES", key("registrar-2.key")));
        }
        // A `.dev` from before there were checkpoints has no key for them, and a registry that would not take it.
        if let Some(every) = self.options.checkpoints
            && keys.join("checkpoint.key").is_file()
        {
            let every = every.as_secs().to_string();
            environment.push(("MEDITRUSTAL_CHECKPOINT_KEY_FILE", key("checkpoint.key")));
            environment.push(("MEDITRUSTAL_CHECKPOINT_EVERY", every));
        }
        // A `.dev` from before there was a registry of consents has none.
        if self.options.consents && self.deployment.consent_registry.is_some() {
            environment.push(("MEDITRUSTAL_RELAY_CONSENTS", "true".to_owned()));
        }
        if let Some(playground) = self.tools.playground() {
            environment.push((
                "MEDITRUSTAL_PLAYGROUND_DIR",
                playground.display().to_string(),
            ));
        }
        if let Some(portal) = self.tools.portal() {
            environment.push(("MEDITRUSTAL_PORTAL_DIR", portal.display().to_string()));
        }
        let program = self.programs.meditrustal.clone();
        self.program(name, program, &["serve"], environment, more, &listen)
            .await
    }

    /// Starts the indexer, or another one beside it.
    ///
    /// # Errors
    ///
    /// When it is not ready in time: with the end of its log.
    pub async fn indexer(
        &self,
        name: &str,
        port: u16,
        more: &[(String, String)],
    ) -> Result<Supervised> {
        self.indexer_from(name, port, more, None).await
    }

    /// Starts the indexer, and has it go back to a block where the chain was undone below what was final.
    ///
    /// # Errors
    ///
    /// When it is not ready in time: with the end of its log.
    pub async fn indexer_from(
        &self,
        name: &str,
        port: u16,
        more: &[(String, String)],
        back_to: Option<u64>,
    ) -> Result<Supervised> {
        let block = back_to.map(|block| block.to_string());
        let arguments: Vec<&str> = match &block {
            Some(block) => vec!["--accept-reorg-to", block],
            None => Vec::new(),
        };
        let listen = format!("127.0.0.1:{port}");
        let mut environment = self.environment("meditrustal_indexer", &self.passwords.indexer);
        environment.push(("MEDITRUSTAL_INDEXER_LISTEN", listen.clone()));
        let program = self.programs.indexer.clone();
        self.program(name, program, &arguments, environment, more, &listen)
            .await
    }

    /// Lets each account anchor that the api signs with.
    ///
    /// # Errors
    ///
    /// When the chain does not answer, or does not take it.
    pub(super) async fn let_signers_anchor(&self) -> Result<()> {
        if self.options.two_signers {
            chain::let_second_registrar_anchor(&self.chain_rpc_url, &self.deployment).await?;
        }
        Ok(())
    }

    /// Makes an administrator, as an operator would.
    ///
    /// # Errors
    ///
    /// When the command fails, as for a name that is taken: with what it said.
    pub async fn create_admin(&self, email: &str, username: &str, password: &str) -> Result<()> {
        let (programs, url) = (
            self.programs.clone(),
            self.url("meditrustal_api", &self.passwords.api),
        );
        let masters = self.dir.join("keys/master-keys.json").display().to_string();
        let [email, username, password] = [email, username, password].map(str::to_owned);
        blocking(move || {
            let arguments = [
                "admin",
                "create",
                "--email",
                &email,
                "--username",
                &username,
            ];
            let arguments = [&arguments[..], &["--password-file", "-"]].concat();
            let environment = [
                ("DATABASE_URL", url.as_str()),
                ("MEDITRUSTAL_MASTER_KEYS_FILE", &masters),
            ];
            programs
                .operate(&arguments, &environment, &password)
                .map(|_| ())
        })
        .await
    }

    /// Stops the chain, then the database.
    pub async fn stop(self) {
        if let Some(node) = &self.node {
            node.stop().await;
        }
        self.database.end().await.ok();
        let database = self.database;
        blocking(move || {
            drop(database);
            Ok(())
        })
        .await
        .ok();
    }

    /// Roles and database, tables, keys: by the operator's commands.
    async fn migrate(&self) -> Result<()> {
        let admin = self.database.maintenance_url();
        let owner = self.url("meditrustal_migrator", &self.passwords.migrator);
        let (programs, passwords) = (self.programs.clone(), self.passwords.clone());
        let dir = self.dir.clone();
        blocking(move || {
            let create = [
                ("ADMIN_DATABASE_URL", admin.as_str()),
                ("MEDITRUSTAL_MIGRATOR_PASSWORD", &passwords.migrator),
                ("MEDITRUSTAL_API_PASSWORD", &passwords.api),
                ("MEDITRUSTAL_INDEXER_PASSWORD", &passwords.indexer),
                ("MEDITRUSTAL_KEYS_PASSWORD", &passwords.keys),
                ("MEDITRUSTAL_BACKUP_PASSWORD", &passwords.backup),
            ];
            programs.operate(&["database", "create"], &create, "")?;
            // What is lost with a development database is nobody's.
            let up = ["migrate", "up", "--no-backup"];
            programs.operate(&up, &[("DATABASE_URL", &owner)], "")?;
            keys(&programs, &dir).map(|_| ())
        })
        .await
    }

    /// The URL of the database for one of its roles: the owner, the programs, the backup.
    ///
    /// # Errors
    ///
    /// When there is no such role.
    pub fn url_of(&self, role: &str) -> Result<String> {
        let password = match role {
            "meditrustal_migrator" => &self.passwords.migrator,
            "meditrustal_api" => &self.passwords.api,
            "meditrustal_indexer" => &self.passwords.indexer,
            "meditrustal_keys" => &self.passwords.keys,
            "meditrustal_backup" => &self.passwords.backup,
            _ => return Err(Error::Needs(format!("there is no role {role}"))),
        };
        Ok(self.url(role, password))
    }

    fn url(&self, role: &str, password: &str) -> String {
        self.database.url(role, password)
    }

    fn environment(&self, role: &str, password: &str) -> Vec<(&'static str, String)> {
        let deployment = self.dir.join("deployment.json");
        vec![
            ("NO_COLOR", "1".to_owned()),
            ("DATABASE_URL", self.url(role, password)),
            ("CHAIN_RPC_URL", self.chain_rpc_url.clone()),
            (
                "MEDITRUSTAL_DEPLOYMENT_FILE",
                deployment.display().to_string(),
            ),
            ("MEDITRUSTAL_LOG_FORMAT", "text".to_owned()),
            ("MEDITRUSTAL_ENVIRONMENT", "development".to_owned()),
            ("MEDITRUSTAL_HEAD_AGE", self.head_age()),
            ("MEDITRUSTAL_FINALITY_DEPTH", self.finality_depth()),
            // Nobody here waits for a proxy.
            ("MEDITRUSTAL_DRAIN", "0".to_owned()),
        ]
    }

    /// As deep as the node itself calls final.
    fn finality_depth(&self) -> String {
        (2 * self.options.slots_in_an_epoch).max(1).to_string()
    }

    /// How old the newest block may be, in seconds: any age where none is made without a reason.
    fn head_age(&self) -> String {
        let seconds = match self.options.mining {
            Mining::Instant | Mining::OnDemand => 0,
            Mining::Every(_) => 120,
        };
        seconds.to_string()
    }

    async fn program(
        &self,
        name: &str,
        executable: PathBuf,
        arguments: &[&str],
        environment: Vec<(&str, String)>,
        more: &[(String, String)],
        listen: &str,
    ) -> Result<Supervised> {
        let environment = environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        Supervised::start(Program {
            name: name.to_owned(),
            executable,
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            environment: environment.chain(more.iter().cloned()).collect(),
            log: self.dir.join("logs").join(format!("{name}.log")),
            ready_url: format!("http://{listen}/health/ready"),
            ready_within: READY_WITHIN,
            echo: self.options.echo,
        })
        .await
    }
}

/// The chain and the registry on it.
async fn start_chain(
    options: &Options,
    tools: &Tools,
    dir: &Path,
) -> Result<(Option<Node>, Deployment)> {
    let file = dir.join("deployment.json");
    if let Some(url) = &options.chain_rpc_url {
        let deployed = deploy_registry(tools, url, &file, options.consents).await?;
        return Ok((None, deployed));
    }
    let node = start_node(options, tools, dir).await?;
    let deployment = deploy_registry(tools, &node.url(), &file, options.consents).await?;
    Ok((Some(node), deployment))
}

/// A node that goes on with the chain in `dir`, or begins one there.
pub(super) async fn start_node(options: &Options, tools: &Tools, dir: &Path) -> Result<Node> {
    let state = if options.measured {
        NodeState::Fresh
    } else {
        NodeState::Kept(state_of(dir))
    };
    let wanted = chain::Options {
        mining: options.mining,
        state,
        slots_in_an_epoch: options.slots_in_an_epoch,
        port: options.chain_port,
        ..chain::Options::default()
    };
    Node::start(tools, wanted, &dir.join("chain")).await
}

fn state_of(dir: &Path) -> PathBuf {
    dir.join("chain/state.json")
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Needs(format!("a step was cut off: {error}")))?
}
