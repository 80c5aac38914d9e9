//! Whose address a request comes from, where a proxy stands in front.
//!
//! A header says whatever its sender likes. So one header is read, the one that the operator's proxies
//! write, from its right end, where they append, and only as far as it was written by them.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// How proxies say whom they speak for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProxyHeader {
    /// `X-Forwarded-For: client, proxy`.
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// The proxies that are believed.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    /// Their networks; none where nobody is believed.
    pub(crate) trusted: Vec<IpNet>,
    /// What they write.
    pub(crate) header: ProxyHeader,
}

impl Proxies {
    /// The address that a request comes from: the connection's peer, or, where that is a trusted
    /// proxy, the last address in the header that is not one. Where a proxy names no address, its own.
    pub(crate) fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (X_FORWARDED_FOR, address),
            ProxyHeader::Forwarded => (header::FORWARDED, forwarded),
        };
        let lines = headers.get_all(name);
        let hops: Vec<&str> = lines
            .iter()
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .collect();
        let mut nearest = peer.to_canonical();
        for hop in hops.into_iter().rev() {
            if !self.trusts(nearest) {
                break;
            }
            let Some(address) = read(hop.trim()) else {
                break;
            };
            nearest = address.to_canonical();
        }
        nearest
    }

    /// Whether this is one of them.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some((address, port)) = text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        let is_port = port.is_empty() || port.starts_with(':');
        return address.parse().ok().filter(|_| is_port);
    }
    text.rsplit_once(':')?.0.parse().ok()
}

/// The `for` of one element of `Forwarded`.
fn forwarded(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut given = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = given.next()?;
    address(value.trim().trim_matches('"'))
}

/// Reads a network, or one address as a network of its own.
///
/// # Errors
/// Where it is neither.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse()).map_err(|_| {
        format!("{text:?} is neither an address nor a network such as 10.0.0.0/8 or fd00::/8")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn proxies(header: ProxyHeader) -> Proxies {
        let trusted =
            ["10.0.0.0/8", "fd00::/8", "192.0.2.9"].map(|text| network(text).expect("one"));
        Proxies {
            trusted: trusted.into(),
            header,
        }
    }

    fn origin(header: ProxyHeader, peer: &str, lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        let name = match header {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        };
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        let peer = peer.parse().expect("an address");
        proxies(header).origin(peer, &headers).to_string()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_is_the_origin() {
        let table: [(&str, &[&'static str], &str); 18] = [
            // Nobody else is believed.
            ("198.51.100.1", &[], "198.51.100.1"),
            ("198.51.100.1", &["203.0.113.5"], "198.51.100.1"),
            ("::ffff:198.51.100.1", &["203.0.113.5"], "198.51.100.1"),
            // One proxy, several, each in its own line or not.
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("::ffff:10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("192.0.2.9", &["203.0.113.5"], "203.0.113.5"),
            ("192.0.2.10", &["203.0.113.5"], "192.0.2.10"),
            ("10.0.0.1", &["203.0.113.5, 10.0.0.2"], "203.0.113.5"),
            (
                "10.0.0.1",
                &["203.0.113.5", "10.0.0.2, fd00::3"],
                "203.0.113.5",
            ),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // What the client wrote itself stands to the left of what a proxy appended.
            ("10.0.0.1", &["127.0.0.1, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["10.0.0.7, 203.0.113.5"], "203.0.113.5"),
            // No address: the proxy that says so is all that is known.
            ("10.0.0.1", &["203.0.113.5, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5, , 10.0.0.2"], "10.0.0.2"),
            // Ports and brackets.
            ("10.0.0.1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("fd00::1", &["2001:db8::5"], "2001:db8::5"),
            ("fd00::1", &["[2001:db8::5]:4711"], "2001:db8::5"),
        ];

        for (peer, lines, wanted) in table {
            let found = origin(ProxyHeader::XForwardedFor, peer, lines);
            assert_eq!(found, wanted, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_header_of_rfc_7239_is_read_where_the_operator_says_so() {
        let table: [(&[&'static str], &str); 8] = [
            (&["for=203.0.113.5"], "203.0.113.5"),
            (&["For=\"[2001:db8::5]:4711\";proto=https"], "2001:db8::5"),
            (
                &["for=127.0.0.1, for=203.0.113.5;by=10.0.0.1"],
                "203.0.113.5",
            ),
            (&["for=203.0.113.5", "by=x;for=10.0.0.2"], "203.0.113.5"),
            (&["for=203.0.113.5, for=_hidden"], "10.0.0.1"),
            (&["for=203.0.113.5, for=unknown"], "10.0.0.1"),
            (&["203.0.113.5"], "10.0.0.1"),
            (&["by=203.0.113.5"], "10.0.0.1"),
        ];

        for (lines, wanted) in table {
            let found = origin(ProxyHeader::Forwarded, "10.0.0.1", lines);
            assert_eq!(found, wanted, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.5"));
        let peer = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(proxies(ProxyHeader::Forwarded).origin(peer, &headers), peer);
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix() {
        for (text, is_one) in [
            ("10.0.0.1", true),
            (" 10.0.0.0/8", true),
            ("fd00::/8", true),
            ("::1", true),
            ("10.0.0.0/33", false),
            ("10.0.0", false),
            ("proxy.example.org", false),
            ("", false),
        ] {
            assert_eq!(network(text).is_ok(), is_one, "{text}");
        }
    }
}
