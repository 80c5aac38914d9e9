//! Scalars whose text says what it is.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, InputValueError, InputValueResult, OutputType, Positioned, Scalar,
    ScalarType, ServerResult, Value,
    parser::types::Field,
    registry::{MetaType, Registry},
};
use chrono::{DateTime, SecondsFormat, Utc};

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
text_scalar!(
    /// The ID of a chain (EIP-155): a decimal number as text, because it may be larger than the numbers that JavaScript and the
    /// type `Int` can hold.
    ChainId,
    "ChainId",
    "https://eips.ethereum.org/EIPS/eip-155"
);

/// What the schema says of `DateTime`.
const TIME_DESCRIPTION: &str = "A time, as RFC 3339 writes it. Answers have it in UTC, always with six digits after the second: \
     `2026-03-10T01:05:00.000000Z`.";

/// A time in an answer: a `DateTime`, as it is taken, too, and always with the six digits that PostgreSQL keeps, so that
/// the texts of two times compare as the times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) DateTime<Utc>);

impl Time {
    fn text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}

impl OutputType for Time {
    fn type_name() -> Cow<'static, str> {
        <DateTime<Utc> as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        let qualified = <DateTime<Utc> as OutputType>::create_type_info(registry);
        if let Some(MetaType::Scalar { description, .. }) =
            registry.types.get_mut(&*Self::type_name())
        {
            *description = Some(TIME_DESCRIPTION.to_owned());
        }
        qualified
    }

    async fn resolve(
        &self,
        _: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::String(self.text()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn the_id_of_a_chain_keeps_every_digit_however_large_it_is() {
        // One more than the largest integer that every number of JavaScript holds, and the largest of all.
        for (id, text) in [
            (31_337, "31337"),
            (9_007_199_254_740_993, "9007199254740993"),
            (u64::MAX, "18446744073709551615"),
        ] {
            let told = ChainId(id.to_string()).to_value();
            assert_eq!(told, Value::String(text.to_owned()));
        }
        assert!(ChainId::parse(Value::from(31_337)).is_err(), "it is a text");
    }

    #[test]
    fn a_time_has_six_digits_after_the_second_and_is_in_utc() {
        for (time, text) in [
            ("2026-03-10T01:05:00Z", "2026-03-10T01:05:00.000000Z"),
            (
                "2026-03-10T01:05:00.12+07:00",
                "2026-03-09T18:05:00.120000Z",
            ),
            ("2026-03-10T01:05:00.123456Z", "2026-03-10T01:05:00.123456Z"),
            (
                "2026-03-10T01:05:00.123456789Z",
                "2026-03-10T01:05:00.123456Z",
            ),
        ] {
            assert_eq!(Time(time.parse().unwrap()).text(), text);
        }
    }

    #[test]
    fn the_schema_says_how_times_are_written() {
        assert!(crate::schema::sdl().contains(TIME_DESCRIPTION));
    }
}
