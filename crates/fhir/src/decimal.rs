//! Compares decimals by their lexemes: no floating point, no limit on digits.

use std::cmp::Ordering;

/// A decimal as `0.<digits> × 10^exponent`, digits without zeros at either end.
#[derive(PartialEq, Eq)]
struct Decimal<'a> {
    negative: bool,
    digits: std::borrow::Cow<'a, str>,
    exponent: i64,
}

/// How two numbers in JSON's grammar compare.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parse(a), parse(b));
    match (a.negative, b.negative) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => magnitude(&a, &b),
        (true, true) => magnitude(&b, &a),
    }
}

fn magnitude(a: &Decimal<'_>, b: &Decimal<'_>) -> Ordering {
    match (a.digits.is_empty(), b.digits.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a
            .exponent
            .cmp(&b.exponent)
            .then_with(|| a.digits.as_ref().cmp(b.digits.as_ref())),
    }
}

fn parse(lexeme: &str) -> Decimal<'_> {
    let (mantissa, exponent) = match lexeme.find(['e', 'E']) {
        Some(at) => (&lexeme[..at], exponent(&lexeme[at + 1..])),
        None => (lexeme, 0),
    };
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let (digits, point) = if whole.is_empty() {
        let significant = fraction.trim_start_matches('0');
        (significant.into(), length(significant) - length(fraction))
    } else if fraction.is_empty() {
        (whole.into(), length(whole))
    } else {
        (
            std::borrow::Cow::Owned([whole, fraction].concat()),
            length(whole),
        )
    };
    let trimmed = digits.trim_end_matches('0').len();
    let digits = match digits {
        std::borrow::Cow::Borrowed(text) => text[..trimmed].into(),
        std::borrow::Cow::Owned(mut text) => {
            text.truncate(trimmed);
            text.into()
        }
    };
    let negative = mantissa.starts_with('-') && trimmed > 0;
    Decimal {
        negative,
        digits,
        exponent: exponent.saturating_add(point),
    }
}

/// An exponent beyond 64 bits orders like the largest one: nothing is measured there.
fn exponent(digits: &str) -> i64 {
    let bound = if digits.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    digits.parse().unwrap_or(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_by_value_and_not_by_spelling() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            ("6.0", "6", Equal),
            ("0.10", "1e-1", Equal),
            ("-0.0", "0", Equal),
            ("0e5", "0.00", Equal),
            ("9", "10", Less),
            ("-9", "-10", Greater),
            ("-1", "0.001", Less),
            ("0.001", "0.01", Less),
            ("120", "1.2E+2", Equal),
            ("100", "99.99", Greater),
            ("1e99999999999999999999", "1e9", Greater),
            ("1e-99999999999999999999", "1e-9", Less),
            ("0.30000000000000000000001", "0.3", Greater),
        ];

        for (a, b, expected) in cases {
            assert_eq!(compare(a, b), expected, "{a} {b}");
            assert_eq!(compare(b, a), expected.reverse(), "{b} {a}");
        }
    }
}
