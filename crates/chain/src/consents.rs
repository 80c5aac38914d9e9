//! What a wallet signs of a consent (EIP-712), and how the registry of consents is told and asked. The types are those
//! of `contracts/src/IConsentRegistry.sol`: change both or neither.

use alloy::{
    primitives::{Address, B256, FixedBytes, U256, aliases::U40},
    sol,
    sol_types::{Eip712Domain, SolCall, SolStruct},
};
use domain::{
    receipts::{AgreedDetails, ReceiptKind},
    records::DataHash,
};
use serde_json::{Value, json};

use crate::{
    bindings::consents::ConsentRegistry::{consentOfCall, grantCall, headCall, withdrawCall},
    client::{Client, Fees},
    deployment::Deployment,
    error::ClientError,
    hash::ChainAddress,
    signer::{SignedAnchor, Signer, SignerError},
    wallet,
};

/// The gas that a grant or a withdrawal may use. Unit: gas.
///
/// A grant uses 62,866 and a withdrawal less (`docs/contracts.md`, gas); the margin is as wide as that of an anchor.
const CONSENT_GAS_LIMIT: u64 = 130_000;

const NAME: &str = "MediTrustAl Consent";
const VERSION: &str = "1";

sol! {
    struct ConsentDetails {
        string purpose;
        string grantee;
        string[] dataCategories;
        bytes32 salt;
    }

    struct ConsentGrant {
        address patient;
        ConsentDetails details;
        uint40 expiresAt;
        uint256 deadline;
    }

    struct ConsentWithdrawal {
        address patient;
        ConsentDetails details;
        uint256 deadline;
    }
}

/// Where a signature may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsentDomain {
    /// The chain (EIP-155).
    pub chain_id: u64,
    /// The contract that may take it.
    pub contract: ChainAddress,
}

impl ConsentDomain {
    /// That of a deployment: its registry of consents. Where none was deployed, the registry itself, which takes no such
    /// signature: so nobody can use it anywhere.
    pub fn of(deployment: &Deployment) -> Self {
        Self {
            chain_id: deployment.chain_id,
            contract: deployment.consent_registry.unwrap_or(deployment.registry),
        }
    }

    fn to_alloy(self) -> Eip712Domain {
        Eip712Domain::new(
            Some(NAME.into()),
            Some(VERSION.into()),
            Some(U256::from(self.chain_id)),
            Some(self.contract.to_alloy()),
            None,
        )
    }
}

/// What a patient says by a signature: that a consent is given, or taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentStatement {
    /// Which of the two.
    pub kind: ReceiptKind,
    /// The patient's wallet.
    pub wallet: ChainAddress,
    /// What is agreed to.
    pub details: AgreedDetails,
    /// When the consent ends by itself, zero for never. Unit: seconds since 1970.
    pub expires_at: u64,
    /// The last second in which the signature may be used. Unit: seconds since 1970.
    pub deadline: u64,
}

/// The salt of details, as it is hashed.
fn salt(details: &AgreedDetails) -> Option<B256> {
    details.salt.parse().ok()
}

fn details_of(details: &AgreedDetails) -> Option<ConsentDetails> {
    Some(ConsentDetails {
        purpose: details.purpose.clone(),
        grantee: details.grantee.clone(),
        dataCategories: details.data_categories.clone(),
        salt: salt(details)?,
    })
}

/// `hashStruct` of the details, by which the registry knows a consent; `None` for a salt that is not 32 bytes.
pub fn details_hash(details: &AgreedDetails) -> Option<DataHash> {
    Some(DataHash(details_of(details)?.eip712_hash_struct().0))
}

impl ConsentStatement {
    /// What the wallet signs: the hash of EIP-712.
    fn digest(&self, domain: ConsentDomain) -> Option<B256> {
        let (patient, details) = (self.wallet.to_alloy(), details_of(&self.details)?);
        let (domain, deadline) = (domain.to_alloy(), U256::from(self.deadline));
        Some(match self.kind {
            ReceiptKind::Grant => ConsentGrant {
                patient,
                details,
                expiresAt: U40::saturating_from(self.expires_at),
                deadline,
            }
            .eip712_signing_hash(&domain),
            ReceiptKind::Withdrawal => ConsentWithdrawal {
                patient,
                details,
                deadline,
            }
            .eip712_signing_hash(&domain),
        })
    }

    /// The typed data, as `eth_signTypedData_v4` takes it.
    pub fn typed_data(&self, domain: ConsentDomain) -> Value {
        let field = |name: &str, of: &str| json!({ "name": name, "type": of });
        let mut fields = vec![
            field("patient", "address"),
            field("details", "ConsentDetails"),
        ];
        let mut message = json!({
            "patient": self.wallet.to_string(),
            "details": {
                "purpose": self.details.purpose,
                "grantee": self.details.grantee,
                "dataCategories": self.details.data_categories,
                "salt": self.details.salt,
            },
            "deadline": self.deadline.to_string(),
        });
        let primary = match self.kind {
            ReceiptKind::Grant => {
                fields.push(field("expiresAt", "uint40"));
                message["expiresAt"] = self.expires_at.to_string().into();
                "ConsentGrant"
            }
            ReceiptKind::Withdrawal => "ConsentWithdrawal",
        };
        fields.push(field("deadline", "uint256"));
        json!({
            "types": {
                "EIP712Domain": [
                    field("name", "string"),
                    field("version", "string"),
                    field("chainId", "uint256"),
                    field("verifyingContract", "address"),
                ],
                "ConsentDetails": [
                    field("purpose", "string"),
                    field("grantee", "string"),
                    field("dataCategories", "string[]"),
                    field("salt", "bytes32"),
                ],
                (primary): fields,
            },
            "primaryType": primary,
            "domain": {
                "name": NAME,
                "version": VERSION,
                "chainId": domain.chain_id,
                "verifyingContract": domain.contract.to_string(),
            },
            "message": message,
        })
    }

    /// The bytes of a signature, `0x` and 130 digits, if the wallet's key made it of this statement. It is taken in the
    /// one form that the registry takes, too: `s` in the lower half, `v` 27 or 28.
    pub fn signed_by_key(&self, domain: ConsentDomain, signature: &str) -> Option<Vec<u8>> {
        let bytes = wallet::decoded(signature)?;
        let signer = wallet::recovered_from(&self.digest(domain)?, &bytes)?;
        (signer == self.wallet).then_some(bytes)
    }
}

impl Signer {
    /// Signs `grant(…)` or `withdraw(…)` of the registry of consents, with a wallet's signature of the statement.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`], also for a salt that is not 32 bytes.
    pub fn sign_consent(
        &self,
        nonce: u64,
        contract: ChainAddress,
        statement: &ConsentStatement,
        signature: &[u8],
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        let hash = details_hash(&statement.details).ok_or(SignerError::NotSigned)?;
        let (patient, details) = (statement.wallet.to_alloy(), FixedBytes(hash.0));
        let deadline = U256::from(statement.deadline);
        let call = match statement.kind {
            ReceiptKind::Grant => grantCall {
                patient,
                detailsHash: details,
                expiresAt: U40::saturating_from(statement.expires_at),
                deadline,
                sig: signature.to_vec().into(),
            }
            .abi_encode(),
            ReceiptKind::Withdrawal => withdrawCall {
                patient,
                detailsHash: details,
                deadline,
                sig: signature.to_vec().into(),
            }
            .abi_encode(),
        };
        self.sign_to(contract.to_alloy(), nonce, CONSENT_GAS_LIMIT, call, fees)
    }
}

/// How a consent stands in the registry of consents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChainConsent {
    /// Given, whether its time is over or not.
    Granted,
    /// Taken back, for ever.
    Withdrawn,
}

impl Client {
    /// How a consent stands, now; `None` where the registry of consents knows nothing of it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consent_of(
        &self,
        contract: ChainAddress,
        wallet: ChainAddress,
        details: &DataHash,
    ) -> Result<Option<OnChainConsent>, ClientError> {
        let call = consentOfCall {
            patient: Address::from(wallet.0),
            detailsHash: FixedBytes(details.0),
        };
        let answer = self.call_of(contract, &call, json!("latest")).await?;
        match answer._0 {
            0 => Ok(None),
            1 => Ok(Some(OnChainConsent::Granted)),
            2 => Ok(Some(OnChainConsent::Withdrawn)),
            other => Err(ClientError::Unreadable {
                method: "eth_call",
                what: format!("status {other} of a consent"),
            }),
        }
    }

    /// Whether the registry of consents is paused: then it takes no grant.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consents_are_paused(&self, contract: ChainAddress) -> Result<bool, ClientError> {
        let answer = self
            .call_of(contract, &headCall {}, json!("latest"))
            .await?;
        Ok(answer._2)
    }
}

#[cfg(test)]
mod tests;
