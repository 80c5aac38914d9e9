//! Scalars whose text says what it is.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};

macro_rules! text_scalar {
    ($(#[$meta:meta])* $name:ident, $graphql:literal, $specified_by:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) String);

        $(#[$meta])*
        #[Scalar(name = $graphql, specified_by_url = $specified_by)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                match value {
                    Value::String(text) => Ok(Self(text)),
                    _ => Err(InputValueError::custom(concat!("a ", $graphql, " is a text"))),
                }
            }

            fn to_value(&self) -> Value {
                Value::String(self.0.clone())
            }
        }
    };
}

text_scalar!(
    /// A SHA-256 hash: 64 lower-case hexadecimal digits, as `sha256sum` prints it.
    Hash,
    "Hash",
    "https://doi.org/10.6028/NIST.FIPS.180-4"
);
text_scalar!(
    /// The hash of a transaction, of a block or of a contract's code on the chain: `0x` and 64
    /// lower-case hexadecimal digits.
    TxHash,
    "TxHash",
    "https://eips.ethereum.org/EIPS/eip-1474"
);
text_scalar!(
    /// The address of an account or contract on the chain: `0x` and 40 hexadecimal digits, in capitals
    /// and small letters as EIP-55 writes them.
    Address,
    "Address",
    "https://eips.ethereum.org/EIPS/eip-55"
);
text_scalar!(
    /// A decimal number as text, with the digits it was written with: `8.10` stays `8.10`.
    Decimal,
    "Decimal",
    "https://hl7.org/fhir/R4/datatypes.html#decimal"
);
