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
    /// Its `VERSION`. Files of version 1 do not say.
    #[serde(default = "first_version")]
    pub version: u64,
    /// The registry that it continues.
    #[serde(default)]
    pub predecessor: Option<ChainAddress>,
    /// The first block that can hold one of its events.
    pub block: u64,
    /// The Keccak-256 of its runtime code.
    pub code_hash: CodeHash,
    /// The account that anchors.
    pub registrar: ChainAddress,
    /// The address of the registry of consents, where one was deployed.
    #[serde(default)]
    pub consent_registry: Option<ChainAddress>,
    /// The `VERSION` of that.
    #[serde(default)]
    pub consent_version: Option<u64>,
    /// The registry of consents that it continues.
    #[serde(default)]
    pub consent_predecessor: Option<ChainAddress>,
    /// Accounts that pinned checkpoints before and may not any more. The deploy script names none: who takes the role from
    /// an account adds it.
    #[serde(default)]
    pub earlier_checkpointers: Vec<ChainAddress>,
}

const fn first_version() -> u64 {
    1
}

impl Deployment {
    /// The other contracts of ours.
    const fn others(&self) -> [Option<ChainAddress>; 3] {
        [
            self.predecessor,
            self.consent_registry,
            self.consent_predecessor,
        ]
    }

    /// Why nobody's wallet can be at this address, or `None` where one can.
    ///
    /// EIP-1352 keeps 0x0000 to 0xffff for precompiled contracts; today's are 0x01 to 0x11 and 0x100. None of
    /// them has a key or an owner, and one that repeats its input would pass for a signature.
    pub fn is_no_wallet(&self, address: ChainAddress) -> Option<&'static str> {
        if address.0 == [0; 20] {
            Some("the zero address is nobody's wallet")
        } else if address.0[..18] == [0; 18] {
            Some("addresses up to 0xffff belong to the chain itself (EIP-1352)")
        } else if address == self.registry || self.others().contains(&Some(address)) {
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
            "version": 2,
            "predecessor": "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "consentRegistry": null,
            "consentVersion": null,
            "consentPredecessor": null,
            "block": 1,
            "codeHash": "0x1111111111111111111111111111111111111111111111111111111111111111",
            "deployer": "0x52908400098527886E0F7030069857D2E4169EE7",
            "registrar": "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
        }"#;
        let read: Deployment = serde_json::from_str(file).expect("a deployment");
        assert_eq!((read.chain_id, read.block, read.version), (31_337, 1, 2));
        let before = read.predecessor.expect("it continues another");
        assert!(read.is_no_wallet(before).is_some());
        assert_eq!(
            read.registrar.to_string(),
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
        );

        let with_consents =
            file.replacen("null", "\"0x52908400098527886E0F7030069857D2E4169EE7\"", 1);
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

        assert!(read.earlier_checkpointers.is_empty());
        let account = "0x52908400098527886E0F7030069857D2E4169EE7";
        let named = format!(r#""earlierCheckpointers": ["{account}"], "block""#);
        let named = file.replacen("\"block\"", &named, 1);
        let named: Deployment = serde_json::from_str(&named).expect("a deployment");
        assert_eq!(named.earlier_checkpointers, [consents]);

        let first = file.replace("\"version\": 2,", "");
        let first: Deployment = serde_json::from_str(&first).expect("a deployment");
        assert_eq!(first.version, 1, "files of version 1 do not say");

        let wrong = file.replace("5aAeb", "5AAeb");
        assert!(serde_json::from_str::<Deployment>(&wrong).is_err());
    }
}
