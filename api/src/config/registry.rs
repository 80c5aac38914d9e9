//! The nodes of the chain that are asked, and the accounts that anchor.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chain::{Client, Deployment, InvalidUrl};
use clap::Args;

use super::values::{chain_url, listed_chain_url};
use crate::instruments::REGISTRARS;

/// The nodes of the chain that are asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodesConfig {
    /// Where the chain's node answers JSON-RPC
    #[arg(long, env = "CHAIN_RPC_URL", hide_env_values = true, value_parser = chain_url,
          required_unless_present = "chain_rpc_urls")]
    chain_rpc_url: Option<String>,

    #[command(flatten)]
    more: MoreNodes,
}

/// The nodes that are asked besides the first.
#[derive(Debug, Clone, Args)]
pub(crate) struct MoreNodes {
    /// More nodes of the same chain, comma separated: asked where the one before fails. One that begins with
    /// wss:// or ws:// only announces new blocks to the indexer
    #[arg(long, env = "CHAIN_RPC_URLS", hide_env_values = true, value_delimiter = ',', value_parser = listed_chain_url)]
    chain_rpc_urls: Vec<String>,
}

impl MoreNodes {
    /// The addresses that are named, in their order, after this one.
    fn named<'a>(&'a self, first: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let more = self.chain_rpc_urls.iter().map(String::as_str);
        let more = more.filter(move |url| Some(*url) != first);
        first.into_iter().chain(more)
    }

    /// The addresses of the nodes, in the order in which they are asked.
    fn asked<'a>(&'a self, first: Option<&'a str>) -> Vec<&'a str> {
        let named = self.named(first);
        named.filter(|url| !chain::is_head_source(url)).collect()
    }

    /// A client of the node at `first`, where there is one, and of these; `None` where none is named that can be asked.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub(crate) fn client(
        &self,
        first: Option<&str>,
        timeout: Duration,
        deployment: &Deployment,
    ) -> Result<Option<Client>, InvalidUrl> {
        match self.asked(first).as_slice() {
            [] => Ok(None),
            asked => Client::over(asked, timeout, deployment).map(Some),
        }
    }
}

impl NodesConfig {
    /// The addresses that are named, in their order.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.more.named(self.chain_rpc_url.as_deref())
    }

    /// The addresses of the nodes, in the order in which they are asked.
    pub(crate) fn asked(&self) -> Vec<&str> {
        self.more.asked(self.chain_rpc_url.as_deref())
    }

    /// A client of them.
    ///
    /// # Errors
    /// [`InvalidUrl`], also where none is named that can be asked.
    pub(crate) fn client(
        &self,
        timeout: Duration,
        deployment: &Deployment,
    ) -> Result<Client, InvalidUrl> {
        Client::over(&self.asked(), timeout, deployment)
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        let none = "CHAIN_RPC_URLS names no node that can be asked: one has to begin with https:// or http://";
        let is_none = self.asked().is_empty();
        is_none.then(|| none.to_owned()).into_iter().collect()
    }
}

/// How many accounts may share the load: they are told apart by their places where they are measured.
const MOST_REGISTRARS: usize = REGISTRARS.len();

/// The accounts that anchor.
#[derive(Debug, Clone, Args)]
pub(crate) struct RegistrarConfig {
    /// The key of the account that anchors records: secp256k1, in hexadecimal digits, readable by this process's user alone
    #[arg(
        long,
        env = "MEDITRUSTAL_REGISTRAR_KEY_FILE",
        required_unless_present = "registrar_key_files"
    )]
    registrar_key_file: Option<PathBuf>,

    /// The keys of more accounts that anchor records, comma separated, up to eight in all. One of them anchors all records of a
    /// patient. Every api needs the keys of those in use
    #[arg(
        long,
        env = "MEDITRUSTAL_REGISTRAR_KEY_FILES",
        value_name = "FILE",
        value_delimiter = ','
    )]
    registrar_key_files: Vec<PathBuf>,
}

impl RegistrarConfig {
    /// The files of their keys, each once, in the order in which they were named.
    pub(crate) fn key_files(&self) -> Vec<&Path> {
        let first = self.registrar_key_file.as_deref();
        let more = self.registrar_key_files.iter().map(PathBuf::as_path);
        let mut files: Vec<&Path> = Vec::new();
        for file in first.into_iter().chain(more) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        let count = self.key_files().len();
        let is_wrong = count > MOST_REGISTRARS;
        let told = format!(
            "MEDITRUSTAL_REGISTRAR_KEY_FILES and MEDITRUSTAL_REGISTRAR_KEY_FILE name {count} accounts, and may name {MOST_REGISTRARS}"
        );
        is_wrong.then_some(told).into_iter().collect()
    }
}
