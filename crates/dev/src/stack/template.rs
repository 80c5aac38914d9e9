//! Many stacks from one: the slow part of a foundation, made once and copied for each.
//!
//! A test binary makes one template and gives each test a database, a chain and keys of its own,
//! in a fraction of the time that the cluster, the migrations and the deployment take.

use std::fs;
use std::path::Path;

use super::foundation::start_node;
use super::secrets::Passwords;
use super::{Foundation, Options};
use crate::repository::make_open_dir;
use crate::scratch::Scratch;
use crate::{Error, Result, fresh_name};

/// What is copied of a foundation's directory.
const FILES: [&str; 9] = [
    "chain/state.json",
    "deployment.json",
    "keys/checkpoint.key",
    "keys/index.key",
    "keys/master-keys.json",
    "keys/registrar-2.key",
    "keys/registrar.key",
    "keys/token-key.pem",
    "passwords.json",
];

/// A foundation that nobody uses any more, to be copied.
#[derive(Debug)]
pub struct Template(Foundation);

impl Template {
    /// Takes a throw-away foundation as it is now, and stops its chain.
    ///
    /// # Errors
    ///
    /// When it has no cluster of its own.
    pub async fn of(mut origin: Foundation) -> Result<Self> {
        if origin.database.cluster().is_none() {
            return Err(Error::Needs(
                "only a database of our own can be a template".to_owned(),
            ));
        }
        if let Some(node) = origin.node.take() {
            node.stop().await;
        }
        Ok(Self(origin))
    }

    /// A foundation of its own that begins where the template stands; it is in the template's
    /// cluster, and has to end first.
    ///
    /// # Errors
    ///
    /// When the database cannot be copied, or the node does not start.
    pub async fn copy(&self, options: Options) -> Result<Foundation> {
        let Self(origin) = self;
        let scratch = Scratch::new("stack")?;
        let dir = scratch.path().to_owned();
        copy_files(&origin.dir, &dir)?;
        let name = format!("meditrustal_{}", fresh_name()?);
        let (database, node) = tokio::try_join!(
            origin.database.copy(&name),
            start_node(&options, &origin.tools, &dir),
        )?;
        Ok(Foundation {
            passwords: Passwords::of(&dir)?,
            chain_rpc_url: node.url(),
            node: Some(node),
            database,
            tools: origin.tools.clone(),
            programs: origin.programs.clone(),
            deployment: origin.deployment.clone(),
            options,
            dir,
            _scratch: Some(scratch),
        })
    }

    /// A foundation with a cluster of its own, which begins with the template's chain, keys and passwords: there is nothing
    /// to deploy, which forge takes seconds for.
    ///
    /// # Errors
    ///
    /// As [`Foundation::start`].
    pub async fn with_own_cluster(&self, options: Options) -> Result<Foundation> {
        let Self(origin) = self;
        let scratch = Scratch::new("stack")?;
        copy_files(&origin.dir, scratch.path())?;
        Foundation::start_in(Some(scratch), options).await
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for name in ["logs", "chain", "keys"] {
        make_open_dir(&to.join(name))?;
    }
    for name in FILES {
        let source = from.join(name);
        fs::copy(&source, to.join(name)).map_err(Error::file("could not copy", &source))?;
    }
    Ok(())
}
