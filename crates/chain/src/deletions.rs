//! What a wallet signs to verify a deletion request (EIP-712). No contract takes such a signature: the domain names the
//! registry of records, so that it is of one deployment and can be used nowhere else.

use alloy::{
    primitives::{B256, U256},
    sol,
    sol_types::{Eip712Domain, SolStruct},
};
use domain::{
    deletion::DeletionRequestType,
    ids::{DeletionRequestId, UserId},
    records::DataHash,
};
use serde_json::{Value, json};

use crate::{deployment::Deployment, hash::ChainAddress, wallet::MessageHash};

const NAME: &str = "MediTrustAl Deletion";
const VERSION: &str = "1";

sol! {
    struct DeletionVerification {
        address wallet;
        string request;
        string subject;
        string requestType;
        string[] dataCategories;
        uint256 records;
        bytes32 scope;
        bytes32 nonce;
        uint256 deadline;
    }
}

/// What the subject of a deletion request says by a signature: that they ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletionStatement {
    /// The wallet that is to sign.
    pub wallet: ChainAddress,
    /// Which request.
    pub request: DeletionRequestId,
    /// Whose data.
    pub subject: UserId,
    /// What is to be done with it.
    pub request_type: DeletionRequestType,
    /// The categories of records that the request names.
    pub data_categories: Vec<String>,
    /// How many single records it names.
    pub records: usize,
    /// The SHA-256 of all that it names.
    pub scope: DataHash,
    /// Random bytes: each message is another one.
    pub nonce: [u8; 32],
    /// The last second in which the signature may be used. Unit: seconds since 1970.
    pub deadline: u64,
}

impl DeletionStatement {
    /// What the wallet signs: the hash of EIP-712, good for this deployment alone.
    pub fn hash(&self, deployment: &Deployment) -> MessageHash {
        self.hash_for(deployment.chain_id, deployment.registry)
    }

    fn hash_for(&self, chain_id: u64, registry: ChainAddress) -> MessageHash {
        let domain = Eip712Domain::new(
            Some(NAME.into()),
            Some(VERSION.into()),
            Some(U256::from(chain_id)),
            Some(registry.to_alloy()),
            None,
        );
        let said = DeletionVerification {
            wallet: self.wallet.to_alloy(),
            request: self.request.to_string(),
            subject: self.subject.to_string(),
            requestType: self.request_type.to_string(),
            dataCategories: self.data_categories.clone(),
            records: U256::from(self.records),
            scope: B256::new(self.scope.0),
            nonce: B256::new(self.nonce),
            deadline: U256::from(self.deadline),
        };
        MessageHash(said.eip712_signing_hash(&domain))
    }

    /// The typed data, as `eth_signTypedData_v4` takes it.
    pub fn typed_data(&self, deployment: &Deployment) -> Value {
        let field = |name: &str, of: &str| json!({ "name": name, "type": of });
        json!({
            "types": {
                "EIP712Domain": [
                    field("name", "string"),
                    field("version", "string"),
                    field("chainId", "uint256"),
                    field("verifyingContract", "address"),
                ],
                "DeletionVerification": [
                    field("wallet", "address"),
                    field("request", "string"),
                    field("subject", "string"),
                    field("requestType", "string"),
                    field("dataCategories", "string[]"),
                    field("records", "uint256"),
                    field("scope", "bytes32"),
                    field("nonce", "bytes32"),
                    field("deadline", "uint256"),
                ],
            },
            "primaryType": "DeletionVerification",
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": deployment.chain_id,
                "verifyingContract": deployment.registry.to_string(),
            },
            "message": {
                "wallet": self.wallet.to_string(),
                "request": self.request,
                "subject": self.subject,
                "requestType": self.request_type,
                "dataCategories": self.data_categories,
                "records": self.records.to_string(),
                "scope": format!("0x{}", self.scope),
                "nonce": B256::new(self.nonce).to_string(),
                "deadline": self.deadline.to_string(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    //! Against vectors that `contracts/test/vectors/deletions.py` computed, by its own Keccak-256 and curve.
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::wallet::signed_by_key;

    const WALLET: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const CONTRACT: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
    const CHAIN: u64 = 31_337;

    /// The hash and the signature of [`account`], and of [`records`].
    const VECTORS: [(&str, &str); 2] = [
        (
            "0b51d3a34822803586d9ab4a1900ae65b71aa4ab2a0529489c52d6a8865ac97d",
            "0x4d3e9409192fa886ff152978a4168ea8f3e658ec7964a473ff734548abfcec791ac37dd32ec7e2cddec57094419726296beca8fe021f1617c06653a15ddac7bd1c",
        ),
        (
            "dda1067a6ed661c224bce24a26f492b156aee22c63f248cf7ac7c0c49ffa2578",
            "0xbf07e0490ed3fea6f377253a3cf3ba0541432e04045609074e28e227cc826ffa371914c410ccc81ff9abb031a6cd1fada2aa24f3cdc7facb9a320310c6347aff1c",
        ),
    ];

    fn account() -> DeletionStatement {
        DeletionStatement {
            wallet: WALLET.parse().unwrap(),
            request: serde_json::from_value(json!("00000000-0000-0000-0000-000000000001")).unwrap(),
            subject: serde_json::from_value(json!("00000000-0000-0000-0000-000000000002")).unwrap(),
            request_type: DeletionRequestType::AccountErasure,
            data_categories: vec!["ALL_RECORDS".to_owned()],
            records: 0,
            scope: DataHash([7; 32]),
            nonce: [9; 32],
            deadline: 1_798_761_600,
        }
    }

    fn records() -> DeletionStatement {
        DeletionStatement {
            request_type: DeletionRequestType::RecordErasure,
            data_categories: Vec::new(),
            records: 2,
            scope: DataHash([255; 32]),
            nonce: [0; 32],
            deadline: 1 << 63,
            ..account()
        }
    }

    fn hash(said: &DeletionStatement) -> MessageHash {
        said.hash_for(CHAIN, CONTRACT.parse().unwrap())
    }

    #[test]
    fn statements_are_hashed_and_their_signatures_read_as_another_implementation_does() {
        for (said, (wanted, signature)) in [account(), records()].iter().zip(VECTORS) {
            let hash = hash(said);
            assert_eq!(hash.0.to_string(), format!("0x{wanted}"));
            assert!(signed_by_key(said.wallet, hash, signature));
        }
        assert!(!signed_by_key(
            account().wallet,
            hash(&account()),
            VECTORS[1].1
        ));
    }

    #[test]
    fn a_signature_is_of_all_that_the_wallet_was_shown_and_of_nothing_else() {
        type Change = fn(&mut DeletionStatement);
        let nil = json!("00000000-0000-0000-0000-000000000000");
        let other = DeletionStatement {
            request: serde_json::from_value(nil.clone()).unwrap(),
            ..account()
        };
        let changes: [Change; 7] = [
            |it| it.wallet.0[0] ^= 1,
            |it| it.request_type = DeletionRequestType::Restriction,
            |it| it.data_categories.push(String::new()),
            |it| it.records += 1,
            |it| it.scope.0[31] ^= 1,
            |it| it.nonce[0] ^= 1,
            |it| it.deadline += 1,
        ];
        let altered = changes.iter().map(|change| {
            let mut altered = account();
            change(&mut altered);
            altered
        });
        let of_another = DeletionStatement {
            subject: serde_json::from_value(nil).unwrap(),
            ..account()
        };
        for changed in altered.chain([other, of_another]) {
            assert_ne!(hash(&changed), hash(&account()), "{changed:?}");
        }
        let registry: ChainAddress = CONTRACT.parse().unwrap();
        assert_ne!(account().hash_for(1, registry), hash(&account()));
        assert_ne!(
            account().hash_for(CHAIN, account().wallet),
            hash(&account())
        );
    }
}
