//! What a node's answers look like on the wire: only the fields that are used.

use serde::{Deserialize, Deserializer, de};

use crate::hash::{BlockHash, ChainAddress, TxHash};

/// A number as the node writes it: `0x` and digits without leading zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantity(pub(crate) u128);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let digits = text
            .strip_prefix("0x")
            .ok_or_else(|| de::Error::custom("a number without 0x"))?;
        if digits.starts_with('+') {
            return Err(de::Error::custom("a number with a sign"));
        }
        u128::from_str_radix(digits, 16)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// A number below 2⁶⁴.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantity64(pub(crate) u64);

impl<'de> Deserialize<'de> for Quantity64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wide = Quantity::deserialize(deserializer)?.0;
        u64::try_from(wide).map(Self).map_err(de::Error::custom)
    }
}

/// Bytes as `0x` and pairs of digits.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        alloy::hex::decode(text.as_ref())
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// One 32-byte word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word(pub(crate) [u8; 32]);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TxHash::deserialize(deserializer).map(|hash| Self(hash.0))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    pub(crate) number: Quantity64,
    pub(crate) hash: BlockHash,
    pub(crate) parent_hash: BlockHash,
    pub(crate) timestamp: Quantity64,
    pub(crate) base_fee_per_gas: Option<Quantity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logged {
    pub(crate) address: ChainAddress,
    pub(crate) topics: Vec<Word>,
    pub(crate) data: Bytes,
    pub(crate) block_number: Quantity64,
    pub(crate) block_hash: BlockHash,
    pub(crate) transaction_hash: TxHash,
    pub(crate) log_index: Quantity64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawReceipt {
    pub(crate) status: Option<Quantity64>,
    pub(crate) block_number: Quantity64,
    pub(crate) block_hash: BlockHash,
    #[serde(default)]
    pub(crate) logs: Vec<Logged>,
}
