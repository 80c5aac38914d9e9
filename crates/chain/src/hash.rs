//! Hashes and addresses as they are printed, stored and sent: `0x` and hexadecimal digits.

use std::{fmt, str::FromStr};

use alloy::primitives::Address;
use serde::{Deserialize, Deserializer, de};

/// A text that is not the `0x` hexadecimal it should be. Holds none of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {wanted} is 0x and {digits} hexadecimal digits")]
pub struct InvalidHex {
    /// What was to be read.
    pub wanted: &'static str,
    /// How many digits it has.
    pub digits: usize,
}

macro_rules! hash {
    ($(#[$meta:meta])* $name:ident, $bytes:literal, $wanted:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&alloy::hex::encode_prefixed(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidHex;
            fn from_str(text: &str) -> Result<Self, InvalidHex> {
                let invalid = InvalidHex { wanted: $wanted, digits: $bytes * 2 };
                let digits = text.strip_prefix("0x").ok_or(invalid)?;
                let mut bytes = [0; $bytes];
                alloy::hex::decode_to_slice(digits, &mut bytes).map_err(|_| invalid)?;
                Ok(Self(bytes))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

hash!(
    /// A transaction's hash: `blockchain_record_id`.
    TxHash, 32, "transaction hash"
);
hash!(
    /// A block's hash.
    BlockHash, 32, "block hash"
);
hash!(
    /// The Keccak-256 of a contract's runtime code.
    CodeHash, 32, "code hash"
);
hash!(
    /// The registry's rolling head: 200 bits that commit to every event so far, in order.
    Head, 25, "head"
);

/// An account or a contract. Prints with the capitals of EIP-55.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainAddress(pub [u8; 20]);

impl ChainAddress {
    pub(crate) fn to_alloy(self) -> Address {
        Address::from(self.0)
    }
}

impl From<Address> for ChainAddress {
    fn from(address: Address) -> Self {
        Self(address.into_array())
    }
}

impl fmt::Display for ChainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_alloy().to_checksum(None))
    }
}

impl fmt::Debug for ChainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainAddress({self})")
    }
}

impl FromStr for ChainAddress {
    type Err = InvalidHex;

    /// Takes all-lower and all-upper digits as they are; mixed ones must be right by EIP-55.
    fn from_str(text: &str) -> Result<Self, InvalidHex> {
        let invalid = InvalidHex {
            wanted: "chain address",
            digits: 40,
        };
        let digits = text.strip_prefix("0x").ok_or(invalid)?;
        let mut bytes = [0; 20];
        alloy::hex::decode_to_slice(digits, &mut bytes).map_err(|_| invalid)?;
        let address = Self(bytes);
        let mixed = digits.bytes().any(|d| d.is_ascii_uppercase())
            && digits.bytes().any(|d| d.is_ascii_lowercase());
        if mixed && address.to_string() != text {
            return Err(invalid);
        }
        Ok(address)
    }
}

impl<'de> Deserialize<'de> for ChainAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_what_it_prints_and_refuses_everything_else() {
        let text = format!("0x{}", "00fe".repeat(16));
        assert_eq!(
            text.parse::<TxHash>().map(|h| h.to_string()),
            Ok(text.clone())
        );
        assert_eq!(
            text.to_uppercase().replace('X', "x").parse(),
            text.parse::<TxHash>()
        );
        for wrong in [
            "",
            "0x",
            &text[2..],
            &text[..64],
            &text.replace('f', "g"),
            &format!("{text}00"),
        ] {
            assert!(wrong.parse::<TxHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_follows_eip_55() {
        // The vectors of EIP-55.
        for good in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
        ] {
            let address: ChainAddress = good.parse().expect("a vector of EIP-55");
            assert_eq!(address.to_string(), good);
            assert_eq!(good.to_lowercase().parse(), Ok(address));
        }
        assert!(
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"
                .parse::<ChainAddress>()
                .is_err()
        );
        assert!(
            "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
                .parse::<ChainAddress>()
                .is_err()
        );
    }
}
