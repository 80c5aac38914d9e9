//! Whether a wallet signed a message, a text (EIP-191) or typed data (EIP-712): by its key, or by the word of the
//! contract at its address (EIP-1271).

use alloy::{
    primitives::{B256, FixedBytes, Signature, eip191_hash_message},
    sol,
    sol_types::SolCall,
};
use serde_json::json;

use crate::{client::Client, error::ClientError, hash::ChainAddress, wire};

sol! {
    /// EIP-1271.
    function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4 answer);
}

/// What EIP-1271 answers where the signature is good: the function's own selector.
const MAGIC: FixedBytes<4> = FixedBytes(isValidSignatureCall::SELECTOR);
/// The gas a contract may use to make up its mind. Unit: gas. Passkeys checked in Solidity take most,
/// about a tenth of it.
const CONTRACT_GAS: u64 = 5_000_000;
/// The longest signature that is looked at. Unit: bytes. A key's has 65; a contract with many owners
/// wants many of them.
const MAX_SIGNATURE_BYTES: usize = 8192;

/// What a wallet signs: the hash of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHash(pub(crate) B256);

impl MessageHash {
    /// That of a text (EIP-191), as `personal_sign` signs it.
    pub fn of_text(text: &str) -> Self {
        Self(eip191_hash_message(text))
    }
}

/// Whether the key of `address` signed the message, with `0x` and 65 bytes in the one form that is taken:
/// `s` in the lower half (EIP-2), `v` 27 or 28. The other half would be a second signature that nobody
/// made. Asks no node: an account that delegates to code (EIP-7702) still has its key.
pub fn signed_by_key(address: ChainAddress, message: MessageHash, signature: &str) -> bool {
    let bytes = decoded(signature);
    bytes.is_some_and(|bytes| recovered_from(&message.0, &bytes) == Some(address))
}

/// The bytes of a signature: `0x` and hexadecimal digits.
pub(crate) fn decoded(signature: &str) -> Option<Vec<u8>> {
    let digits = signature.strip_prefix("0x")?;
    let fits = digits.len() <= 2 * MAX_SIGNATURE_BYTES;
    fits.then(|| alloy::hex::decode(digits).ok()).flatten()
}

pub(crate) fn recovered(text: &str, signature: &[u8]) -> Option<ChainAddress> {
    recovered_from(&eip191_hash_message(text), signature)
}

/// Whose key signed a hash.
pub(crate) fn recovered_from(hash: &B256, signature: &[u8]) -> Option<ChainAddress> {
    let bytes: &[u8; 65] = signature.try_into().ok()?;
    if !matches!(bytes[64], 27 | 28) {
        return None;
    }
    let signature = Signature::from_raw_array(bytes).ok()?;
    if signature.normalize_s().is_some() {
        return None;
    }
    let signer = signature.recover_address_from_prehash(hash).ok()?;
    Some(signer.into())
}

impl Client {
    /// Whether the contract at `address` says that the signature, `0x` and bytes of its own choice, is
    /// its word for the message (EIP-1271). It is asked as it was in a block that cannot be undone, within
    /// [`CONTRACT_GAS`]; where there is no contract, or it breaks off, the answer is no.
    ///
    /// # Errors
    /// [`ClientError`] where the node does not say: then nothing is known.
    pub async fn contract_accepts(
        &self,
        address: ChainAddress,
        message: MessageHash,
        signature: &str,
    ) -> Result<bool, ClientError> {
        let Some(signature) = decoded(signature) else {
            return Ok(false);
        };
        // A chain without finality has nothing better than its newest block.
        let block = match self.finalized().await? {
            Some(block) => block,
            None => self.head().await?,
        };
        let at = json!({ "blockHash": block.hash.to_string() });
        let params = json!([address.to_string(), at]);
        let code: wire::Bytes = self.rpc.get("eth_getCode", params).await?;
        if code.0.is_empty() {
            return Ok(false);
        }
        let question = isValidSignatureCall {
            hash: message.0,
            signature: signature.into(),
        };
        let params = json!([{
            "to": address.to_string(),
            "data": alloy::hex::encode_prefixed(question.abi_encode()),
            "gas": format!("{CONTRACT_GAS:#x}"),
        }, at]);
        let answer = match self.rpc.get::<wire::Bytes>("eth_call", params).await {
            Ok(answer) => answer.0,
            Err(ClientError::Refused { code, message, .. }) if is_contracts_no(code, &message) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let answer = isValidSignatureCall::abi_decode_returns_validate(&answer);
        Ok(answer.ok() == Some(MAGIC))
    }
}

/// Whether the contract itself broke off. 3 is geth's code for a revert, and most nodes' since.
fn is_contracts_no(code: i64, message: &str) -> bool {
    let message = message.to_lowercase();
    let words = [
        "revert",
        "out of gas",
        "outofgas",
        "invalid opcode",
        "stack underflow",
    ];
    code == 3 || words.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use alloy::signers::k256::ecdsa::SigningKey;

    use super::*;

    /// A message and its signature as EIP-4361's reference implementations publish them.
    const TEXT: &str = "localhost:4361 wants you to sign in with your Ethereum account:\n\
        0x6Da01670d8fc844e736095918bbE11fE8D564163\n\nSIWE Notepad Example\n\n\
        URI: http://localhost:4361\nVersion: 1\nChain ID: 1\nNonce: kEWepMt9knR6lWJ6A\n\
        Issued At: 2021-12-07T18:28:18.807Z";
    const SIGNATURE: &str = "6228b3ecd7bf2df018183aeab6b6f1db1e9f4e3cbe24560404112e25363540eb\
        679934908143224d746bbb5e1aa65ab435684081f4dbb74a0fec57f98f40f5051c";

    fn signature() -> Vec<u8> {
        alloy::hex::decode(SIGNATURE).expect("hexadecimal digits")
    }

    #[test]
    fn the_published_signature_is_its_accounts() {
        let signer = "0x6Da01670d8fc844e736095918bbE11fE8D564163".parse().ok();
        assert!(signer.is_some());
        assert_eq!(recovered(TEXT, &signature()), signer);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_the_accounts_any_more() {
        let signer = recovered(TEXT, &signature());
        for bit in 0..65 * 8 {
            let mut forged = signature();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(recovered(TEXT, &forged), signer, "bit {bit}");
        }
        for len in 0..65 {
            assert_eq!(recovered(TEXT, &signature()[..len]), None, "cut to {len}");
        }
        let longer = [signature(), vec![0]].concat();
        assert_eq!(recovered(TEXT, &longer), None);
        let hex = format!("0x{SIGNATURE}");
        let address = signer.expect("the published one");
        let message = MessageHash::of_text(TEXT);
        assert!(signed_by_key(address, message, &hex));
        for wrong in [
            SIGNATURE,
            "",
            "0x",
            &format!("0X{SIGNATURE}"),
            &format!("{hex}0"),
        ] {
            assert!(!signed_by_key(address, message, wrong), "{wrong}");
        }
        let other = TEXT.replace("Notepad", "notepad");
        assert_ne!(recovered(&other, &signature()), signer);
    }

    #[test]
    fn a_signature_has_one_form() {
        let key = SigningKey::from_slice(&[7; 32]).expect("a key");
        let hash = eip191_hash_message(TEXT);
        let signed = key.sign_prehash_recoverable(hash.as_slice());
        let low = Signature::from(signed.expect("it signs"));
        let order = alloy::primitives::uint!(
            0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256
        );
        let high = Signature::new(low.r(), order - low.s(), !low.v());
        let whose = recovered(TEXT, &low.as_bytes());

        assert_eq!(
            whose,
            high.recover_address_from_prehash(&hash)
                .ok()
                .map(Into::into),
            "both are good for the curve"
        );
        assert_eq!(recovered(TEXT, &high.as_bytes()), None);
        for v in [0, 1, 26, 29, 35, 255] {
            let mut other = low.as_bytes();
            other[64] = v;
            assert_eq!(recovered(TEXT, &other), None, "v {v}");
        }
    }

    #[test]
    fn a_contract_that_breaks_off_says_no_and_a_node_that_does_not_answer_says_nothing() {
        assert!(is_contracts_no(3, "execution reverted"));
        assert!(is_contracts_no(-32000, "execution reverted: not mine"));
        assert!(is_contracts_no(-32003, "EVM error OutOfGas"));
        assert!(!is_contracts_no(-32000, "header not found"));
        assert!(!is_contracts_no(-32005, "limit exceeded"));
    }
}
