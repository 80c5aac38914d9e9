//! The deployment file: which registry, on which chain, since which block. Written by
//! `contracts/script/Deploy.s.sol`.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::hash::{ChainAddress, CodeHash};

/// Where the registry is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The chain's number (EIP-155).
    pub chain_id: u64,
    /// The registry's address.
    pub registry: ChainAddress,
    /// The first block that can hold one of its events.
    pub block: u64,
    /// The Keccak-256 of its runtime code.
    pub code_hash: CodeHash,
    /// The account that anchors.
    pub registrar: ChainAddress,
}

/// Why the deployment file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// It cannot be opened.
    #[error("the deployment file {path} cannot be read; has the registry been deployed?")]
    NotRead {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what the deploy script writes.
    #[error("the deployment file {path} is not what the deploy script writes: {source}")]
    NotUnderstood {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Deployment {
    /// Reads the deployment file.
    ///
    /// # Errors
    /// [`DeploymentError`].
    pub fn load(path: &Path) -> Result<Self, DeploymentError> {
        let text = std::fs::read_to_string(path).map_err(|source| DeploymentError::NotRead {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| DeploymentError::NotUnderstood {
            path: path.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_deploy_script_writes_is_read_and_a_wrong_address_is_not() {
        let file = r#"{
            "chainId": 31337,
            "registry": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "consentRegistry": null,
            "block": 1,
            "codeHash": "0x1111111111111111111111111111111111111111111111111111111111111111",
            "deployer": "0x52908400098527886E0F7030069857D2E4169EE7",
            "registrar": "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
        }"#;
        let read: Deployment = serde_json::from_str(file).expect("a deployment");
        assert_eq!((read.chain_id, read.block), (31_337, 1));
        assert_eq!(
            read.registrar.to_string(),
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
        );

        let wrong = file.replace("5aAeb", "5AAeb");
        assert!(serde_json::from_str::<Deployment>(&wrong).is_err());
    }
}
