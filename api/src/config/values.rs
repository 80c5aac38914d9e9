//! What a setting may be, and what two of them may not be together.

use axum::http::HeaderValue;
use clap::builder::RangedI64ValueParser;

/// The address of a database. What is wrong with it is said without showing it.
pub(crate) fn database_url(text: &str) -> Result<String, store::InvalidDatabaseUrl> {
    store::check_url(text).map(|()| text.to_owned())
}

/// The address of a chain's node.
pub(crate) fn chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_url(text).map(|()| text.to_owned())
}

/// The address of one of several nodes, or of one that tells of new blocks.
pub(super) fn listed_chain_url(text: &str) -> Result<String, chain::InvalidUrl> {
    chain::check_listed_url(text).map(|()| text.to_owned())
}

/// An origin as browsers send it: a scheme, a host, maybe a port, and nothing else.
pub(super) fn origin(text: &str) -> Result<HeaderValue, String> {
    let wanted = || {
        "it is no origin, which looks like https://app.example.org, without a path or a slash at the end"
            .to_owned()
    };
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(wanted)?;
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*', ' ']) {
        return Err(wanted());
    }
    HeaderValue::from_str(text).map_err(|_| wanted())
}

/// A password that is to be one.
pub(crate) fn password(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("it is empty, and anybody could log in with it");
    }
    Ok(text.to_owned())
}

/// Names each pair of which the first is more than the second.
pub(super) fn at_most<T: PartialOrd + std::fmt::Display>(
    pairs: impl IntoIterator<Item = ((&'static str, T), (&'static str, T))>,
) -> Vec<String> {
    let pairs = pairs.into_iter();
    let wrong = pairs.filter(|((_, less), (_, more))| less > more);
    wrong
        .map(|((less, small), (more, large))| {
            format!("{less} is {small}, and must be at most {more}, which is {large}")
        })
        .collect()
}

/// At least one, and few enough to be counted with.
pub(super) fn count() -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=1_000_000)
}

/// Up to half a day: counters are forgotten after a whole one.
pub(super) fn seconds() -> RangedI64ValueParser<i64> {
    RangedI64ValueParser::new().range(1..=43_200)
}

/// A size in GiB with up to three decimals, in bytes.
pub(crate) fn gibibytes(text: &str) -> Result<i64, &'static str> {
    let wanted = "it is no number of GiB from 0.001 to 1000000, with up to three decimals";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number =
        |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
        return Err(wanted);
    }
    let thousandths: i64 = format!("{whole}{decimals:0<3}")
        .parse()
        .map_err(|_| wanted)?;
    if !(1..=1_000_000_000).contains(&thousandths) {
        return Err(wanted);
    }
    Ok(thousandths * (1 << 30) / 1000)
}

#[cfg(test)]
mod tests {
    use super::gibibytes;

    #[test]
    fn a_size_has_up_to_three_decimals() {
        for (text, bytes) in [
            ("1", 1 << 30),
            ("500", 500 << 30),
            ("0.5", 1 << 29),
            ("0.001", 1_073_741),
            ("1000000", 1_000_000 << 30),
        ] {
            assert_eq!(gibibytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "0",
            "0.0",
            "0.0001",
            "1000000.001",
            "-1",
            "1e3",
            ".5",
            "1.",
            "many",
        ] {
            assert!(gibibytes(text).is_err(), "{text}");
        }
    }
}
