//! Every way in which a message can differ from ours, as a table.

use chrono::TimeDelta;

use super::*;

const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn site() -> Site {
    Site::parse("https://app.example.org:8443").expect("an origin")
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 999_999_999).expect("a time")
}

fn address() -> ChainAddress {
    let vector = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    vector.parse().expect("a vector of EIP-55")
}

fn text() -> String {
    Challenge {
        site: &site(),
        chain_id: 31_337,
        purpose: ChallengePurpose::Link,
        address: address(),
        nonce: NONCE,
        issued_at: now(),
    }
    .text()
}

fn read_at(text: &str, now: DateTime<Utc>) -> Result<Claim, InvalidMessage> {
    let expected = Expected {
        site: &site(),
        chain_id: 31_337,
        purpose: ChallengePurpose::Link,
        now,
    };
    read(text, &expected)
}

#[test]
fn the_text_is_eip_4361s_and_reads_back() {
    assert_eq!(
        text(),
        "app.example.org:8443 wants you to sign in with your Ethereum account:\n\
         0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n\
         \n\
         Link this wallet to my MediTrustAl account.\n\
         \n\
         URI: https://app.example.org:8443\n\
         Version: 1\n\
         Chain ID: 31337\n\
         Nonce: 0123456789abcdef0123456789abcdef\n\
         Issued At: 2026-11-18T11:06:40Z\n\
         Expiration Time: 2026-11-18T11:11:40Z"
    );
    let claim = Claim {
        address: address(),
        nonce: NONCE.to_owned(),
    };
    assert_eq!(read_at(&text(), now()), Ok(claim));
}

/// What stands in our text, what may stand there instead, and what that is.
const DIFFERENCES: [(&str, &str, InvalidMessage); 24] = [
    (
        "app.example.org:8443 wants",
        "app.example.org wants",
        InvalidMessage::Domain,
    ),
    (
        "app.example.org:8443 wants",
        "app.example.org:8443.evil.example wants",
        InvalidMessage::Domain,
    ),
    (
        "app.example.org:8443 wants",
        "evil.example wants",
        InvalidMessage::Domain,
    ),
    (
        "app.example.org:8443 wants",
        "user@app.example.org:8443 wants",
        InvalidMessage::Domain,
    ),
    (
        "app.example.org:8443 wants",
        "https://app.example.org:8443 wants",
        InvalidMessage::Surplus,
    ),
    (
        "URI: https://app.example.org:8443",
        "URI: https://evil.example",
        InvalidMessage::Uri,
    ),
    (
        "URI: https://app.example.org:8443",
        "URI: https://app.example.org:8443/",
        InvalidMessage::Uri,
    ),
    (
        "URI: https://app.example.org:8443",
        "URI: http://app.example.org:8443",
        InvalidMessage::Uri,
    ),
    ("Chain ID: 31337", "Chain ID: 1", InvalidMessage::ChainId),
    (
        "Chain ID: 31337",
        "Chain ID: 031337",
        InvalidMessage::Malformed,
    ),
    ("Version: 1", "Version: 2", InvalidMessage::Malformed),
    (
        "Link this wallet to my MediTrustAl account.",
        "Log me in to MediTrustAl.",
        InvalidMessage::Purpose,
    ),
    (
        "Link this wallet to my MediTrustAl account.",
        "Sell my house.",
        InvalidMessage::Purpose,
    ),
    (
        "\nLink this wallet to my MediTrustAl account.\n",
        "\n",
        InvalidMessage::Purpose,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2027-11-18T11:11:40Z",
        InvalidMessage::Lifetime,
    ),
    (
        "\nExpiration Time: 2026-11-18T11:11:40Z",
        "",
        InvalidMessage::Lifetime,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2026-11-18T11:11:40Z\nNot Before: 2026-11-18T11:06:40Z",
        InvalidMessage::Surplus,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2026-11-18T11:11:40Z\nRequest ID: 7",
        InvalidMessage::Surplus,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2026-11-18T11:11:40Z\nResources:\n- https://x.example",
        InvalidMessage::Surplus,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2026-11-18T11:11:40Z\n",
        InvalidMessage::Malformed,
    ),
    (
        "2026-11-18T11:11:40Z",
        "2026-11-18T11:11:40Z\r",
        InvalidMessage::Malformed,
    ),
    (
        "0123456789abcdef0123456789abcdef",
        "short",
        InvalidMessage::Malformed,
    ),
    (
        "0123456789abcdef0123456789abcdef",
        "0123456789abcdef-0123456789abcdef",
        InvalidMessage::Malformed,
    ),
    // A digit's case: no address by EIP-55.
    ("0x5aAeb", "0x5AAeb", InvalidMessage::Malformed),
];

#[test]
fn whatever_differs_is_refused() {
    for (ours, theirs, wanted) in DIFFERENCES {
        let changed = text().replacen(ours, theirs, 1);
        assert_ne!(changed, text(), "{ours}");
        assert_eq!(read_at(&changed, now()), Err(wanted), "{theirs}");
    }
    let long = text().replace(NONCE, &"a".repeat(MAX_MESSAGE_BYTES));
    assert_eq!(read_at(&long, now()), Err(InvalidMessage::Malformed));
}

#[test]
fn a_message_is_good_from_its_first_second_to_its_last() {
    let at = |seconds| read_at(&text(), now() + TimeDelta::seconds(seconds)).err();

    assert_eq!(at(-1), Some(InvalidMessage::NotYetValid));
    assert_eq!(at(0), None);
    assert_eq!(at(299), None);
    assert_eq!(at(300), Some(InvalidMessage::Expired));
}

#[test]
fn a_site_is_an_origin_and_nothing_more() {
    for good in [
        "https://app.example.org",
        "http://127.0.0.1:8000",
        "http://[::1]:8000/",
    ] {
        assert!(Site::parse(good).is_ok(), "{good}");
    }
    for wrong in [
        "",
        "app.example.org",
        "ftp://app.example.org",
        "https://app.example.org/path",
        "https://app.example.org?q",
        "https://user@app.example.org",
        "https://app.example.org:443",
        "javascript:alert(1)",
    ] {
        assert_eq!(Site::parse(wrong), Err(InvalidSite), "{wrong}");
    }
}
