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
    /// The address of the registry of consents, where one was deployed.
    #[serde(default)]
    pub consent_registry: Option<ChainAddress>,
}

impl Deployment {
    /// Why nobody's wallet can be at this address, or `None` where one can.
    ///
    /// EIP-1352 keeps 0x0000 to 0xffff for precompiled contracts; today's are 0x01 to 0x11 and 0x100. None of
    /// them has a key or an owner, and one that repeats its input would pass for a signature.
    pub fn is_no_wallet(&self, address: ChainAddress) -> Option<&'static str> {
        if address.0 == [0; 20] {
            Some("the zero address is nobody's wallet")
        } else if address.0[..18] == [0; 18] {
            Some("addresses up to 0xffff belong to the chain itself (EIP-1352)")
        } else if address == self.registry || Some(address) == self.consent_registry {
            Some("this is a contract of ours, and nobody's wallet")
        } else {
            None
        }
    }
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

        let with_consents = file.replace("null", "\"0x52908400098527886E0F7030069857D2E4169EE7\"");
        let read: Deployment = serde_json::from_str(&with_consents).expect("a deployment");
        let address = |low: u16| {
            let mut bytes = [0; 20];
            bytes[18..].copy_from_slice(&low.to_be_bytes());
            ChainAddress(bytes)
        };
        let consents = read.consent_registry.expect("it was deployed");
        for nobody in [address(0), address(1), address(0x100), address(0xffff)] {
            assert!(read.is_no_wallet(nobody).is_some(), "{nobody}");
        }
        assert!(read.is_no_wallet(read.registry).is_some());
        assert!(read.is_no_wallet(consents).is_some());
        let mut somebody = address(0);
        somebody.0[17] = 1;
        assert_eq!(read.is_no_wallet(somebody), None);
        assert_eq!(read.is_no_wallet(read.registrar), None);

        let wrong = file.replace("5aAeb", "5AAeb");
        assert!(serde_json::from_str::<Deployment>(&wrong).is_err());
    }
}
