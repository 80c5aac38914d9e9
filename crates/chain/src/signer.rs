//! Signs the transactions that anchor and close records, and those that tell of consents. No network: a transaction's hash is known before it is sent, so it
//! can be stored, together with the bytes, before anything leaves this machine.

mod again;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    primitives::{Address, FixedBytes, Signature, TxKind, U256},
    signers::k256::{ecdsa::SigningKey, elliptic_curve::zeroize::Zeroizing},
    sol_types::SolCall,
};
use domain::{
    integrity::{ClosedAs, ClosingReason},
    records::DataHash,
};

pub use self::again::AnchoringCall;
use crate::{
    bindings::MedicalRecordRegistry::{anchorCall, closeCall, supersedeCall},
    client::Fees,
    deployment::Deployment,
    hash::{ChainAddress, TxHash},
};

/// The gas an anchor may use. Unit: gas.
///
/// An anchor uses 55,122 (`docs/contracts.md`, gas). The limit is fixed so that signing needs no
/// node; what is not used is not paid. The margin is for a repricing of storage.
pub const ANCHOR_GAS_LIMIT: u64 = 100_000;

/// The gas a superseding anchor may use. Unit: gas.
///
/// It uses 83,118 (`docs/contracts.md`, gas); the margin is as wide as that of [`ANCHOR_GAS_LIMIT`].
pub const SUPERSEDE_GAS_LIMIT: u64 = 150_000;

/// The gas a closing may use. Unit: gas.
///
/// It uses 39,232 (`docs/contracts.md`, gas); the margin is as wide as that of [`ANCHOR_GAS_LIMIT`].
pub const CLOSE_GAS_LIMIT: u64 = 80_000;

/// The gas that the most expensive of our transactions may use, a checkpoint. Unit: gas.
pub(crate) const MOST_GAS: u64 = 300_000;

/// For how many transactions an account's funds last, if each uses as much gas as the most expensive of ours may: `balance` in
/// wei, `max_fee_per_gas` in wei for a unit of gas.
pub fn transactions_left(balance: u128, max_fee_per_gas: u128) -> u64 {
    let each = u128::from(MOST_GAS).saturating_mul(max_fee_per_gas.max(1));
    u64::try_from(balance / each).unwrap_or(u64::MAX)
}

/// A transaction that anchors or closes one record, ready to be sent any number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAnchor {
    /// Its hash: `blockchain_record_id`.
    pub tx_hash: TxHash,
    /// What `eth_sendRawTransaction` takes.
    pub raw: Vec<u8>,
    /// The most it pays. Unit: wei per gas. A replacement must offer at least an eighth more.
    pub max_fee_per_gas: u128,
}

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The file cannot be opened.
    #[error("the signer's key file {path} cannot be read")]
    NotRead {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others on this machine can read it.
    #[error("the signer's key file {path} can be read by others: run chmod 600 on it")]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not 64 hexadecimal digits, or no number of the curve.
    #[error("the signer's key file {path} holds no secp256k1 key of 64 hexadecimal digits")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The curve's library refused.
    #[error("the transaction could not be signed")]
    NotSigned,
    /// Another key signed it, or nobody did: it is not signed again by this one.
    #[error("the transaction was not signed by this account")]
    Foreign,
}

/// A registrar's key, or that of checkpoints. It is wiped from memory when dropped and never printed.
pub struct Signer {
    key: SigningKey,
    address: ChainAddress,
    chain_id: u64,
    registry: Address,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a key: hexadecimal, with or without `0x`, in a file only its owner reads.
    ///
    /// # Errors
    /// [`SignerError`]; none shows any of the file.
    pub fn load(key_file: &Path, deployment: &Deployment) -> Result<Self, SignerError> {
        Ok(Self::new(read_key(key_file)?, deployment))
    }

    pub(crate) fn new(key: SigningKey, deployment: &Deployment) -> Self {
        let address = address_of(&key);
        let registry = deployment.registry.to_alloy();
        Self {
            key,
            address,
            chain_id: deployment.chain_id,
            registry,
        }
    }

    /// The account whose nonces are taken and who owns what is anchored.
    pub const fn address(&self) -> ChainAddress {
        self.address
    }

    /// Signs `anchor(hash)` as an EIP-1559 transaction. The same arguments give the same bytes.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`].
    pub fn sign_anchor(
        &self,
        nonce: u64,
        hash: &DataHash,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        let call = anchorCall {
            recordHash: FixedBytes(hash.0),
        };
        self.sign(nonce, ANCHOR_GAS_LIMIT, call.abi_encode(), fees)
    }

    /// Signs `supersede(old, new)`: anchors `new`, and makes it the successor of `old`, which this
    /// account must have anchored before, by a lower nonce.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`].
    pub fn sign_supersede(
        &self,
        nonce: u64,
        old: &DataHash,
        new: &DataHash,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        let call = supersedeCall {
            oldHash: FixedBytes(old.0),
            newHash: FixedBytes(new.0),
        };
        self.sign(nonce, SUPERSEDE_GAS_LIMIT, call.abi_encode(), fees)
    }

    /// Signs `close(hash, …)`: ends a record that this account has anchored, by a lower nonce, for good.
    ///
    /// # Errors
    /// [`SignerError::NotSigned`].
    pub fn sign_close(
        &self,
        nonce: u64,
        hash: &DataHash,
        reason: ClosingReason,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        let call = closeCall {
            recordHash: FixedBytes(hash.0),
            to: match reason.closes_as() {
                ClosedAs::Revoked => 3,
                ClosedAs::Erased => 4,
            },
            reason: reason.code(),
        };
        self.sign(nonce, CLOSE_GAS_LIMIT, call.abi_encode(), fees)
    }

    pub(crate) fn sign(
        &self,
        nonce: u64,
        gas_limit: u64,
        call: Vec<u8>,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        self.sign_to(self.registry, nonce, gas_limit, call, fees)
    }

    /// Signs a call of any contract of ours.
    pub(crate) fn sign_to(
        &self,
        contract: Address,
        nonce: u64,
        gas_limit: u64,
        call: Vec<u8>,
        fees: Fees,
    ) -> Result<SignedAnchor, SignerError> {
        self.finish(TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: TxKind::Call(contract),
            value: U256::ZERO,
            access_list: alloy::eips::eip2930::AccessList::default(),
            input: call.into(),
        })
    }

    fn finish(&self, tx: TxEip1559) -> Result<SignedAnchor, SignerError> {
        let max_fee_per_gas = tx.max_fee_per_gas;
        let signature = self.signature(tx.signature_hash().as_slice())?;
        let signed = tx.into_signed(signature);
        Ok(SignedAnchor {
            tx_hash: TxHash(signed.hash().0),
            raw: TxEnvelope::from(signed).encoded_2718(),
            max_fee_per_gas,
        })
    }
}

impl Signer {
    /// Signs 32 bytes.
    pub(crate) fn signature(&self, hash: &[u8]) -> Result<Signature, SignerError> {
        let signed = self.key.sign_prehash_recoverable(hash);
        Ok(Signature::from(signed.map_err(|_| SignerError::NotSigned)?))
    }
}

/// The account of the key in a file: whom the registry has to let anchor.
///
/// # Errors
/// [`SignerError`]; none shows any of the file.
pub fn address_of_key_file(key_file: &Path) -> Result<ChainAddress, SignerError> {
    Ok(address_of(&read_key(key_file)?))
}

/// The accounts that anvil and Hardhat make of the mnemonic `test test … junk`: everybody has their keys.
const DEVELOPMENT_ACCOUNTS: [&str; 10] = [
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
    "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
    "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
];

/// Whether an account is one of development chains, whose keys everybody has.
pub fn is_development_account(address: ChainAddress) -> bool {
    let address = address.to_string();
    let mut known = DEVELOPMENT_ACCOUNTS.iter();
    known.any(|it| it.eq_ignore_ascii_case(&address))
}

fn address_of(key: &SigningKey) -> ChainAddress {
    ChainAddress::from(Address::from_public_key(key.verifying_key()))
}

fn read_key(key_file: &Path) -> Result<SigningKey, SignerError> {
    let path = || key_file.to_owned();
    let not_read = |source| SignerError::NotRead {
        path: path(),
        source,
    };
    refuse_exposed(key_file)?;
    let text = Zeroizing::new(std::fs::read(key_file).map_err(not_read)?);
    let digits = text.trim_ascii();
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    let mut bytes = Zeroizing::new([0_u8; 32]);
    alloy::hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| SignerError::NotAKey { path: path() })?;
    SigningKey::from_slice(bytes.as_slice()).map_err(|_| SignerError::NotAKey { path: path() })
}

#[cfg(unix)]
fn refuse_exposed(key_file: &Path) -> Result<(), SignerError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = std::fs::metadata(key_file).map_err(|source| SignerError::NotRead {
        path: key_file.to_owned(),
        source,
    })?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(SignerError::Exposed {
            path: key_file.to_owned(),
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &Path) -> Result<(), SignerError> {
    Ok(())
}

#[cfg(test)]
mod tests;
