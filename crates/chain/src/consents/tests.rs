//! Against vectors that `contracts/test/vectors/consents.py` computed, by its own Keccak-256 and curve.

use super::*;

const WALLET: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const CONTRACT: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";

/// Salt byte, purpose, grantee, categories, end, deadline; the hashes of details, grant and withdrawal; the signatures
/// of both.
type Vector = (
    u8,
    &'static str,
    &'static str,
    &'static [&'static str],
    u64,
    u64,
    [&'static str; 3],
    [&'static str; 2],
);

const VECTORS: [Vector; 3] = [
    (
        7,
        "TREAT: READ, SEARCH",
        "role DOCTOR",
        &["LABORATORY_RESULT", "IMAGING"],
        1_798_761_600,
        1_798_848_000,
        [
            "a29745503fc507c4eff7a39db495cf5cb0d4f2a7056b2dc0e5a1d9609766d1e5",
            "d87ac0db067ae6faeb61a1282d10eb22e25fa868a5e611396bdb899f6008e159",
            "2bddc7a35f3cb5104dd8a46e3fe014ea8030a900bb63a4b7393e5bfefd476a95",
        ],
        [
            "0x57c3a2d7455f70c02bbc6b188e693f078b571f7d2e5a7e2aadde84cd9c755d000607dc95b7a566ec87bb7691726d116152a5b3fc29a14cbcc66efee0d8c20a8d1c",
            "0xe224240b2a39e9638fd116dd06e0f3123085bb5f69b0f57b660c0477e1f9a90777ef2eb78a43c9a90647ef7408c1e8e9cd05ba6d6110c68e3d3986541d4cd8541c",
        ],
    ),
    (
        0,
        "HRESCH: DENY",
        "everybody",
        &[],
        0,
        1,
        [
            "e37f5e83733f9b37cfd61b6769f8ce2ba2e9b3529fe070be8d219d6109053876",
            "baa09836ebdeeec3ab721db1d601789f634992c53730cb2d7206b862dc851925",
            "0beb1ae65ed9587bf75e98574428fb028f2c6757ec2fb574a61da0f517a0cd9d",
        ],
        [
            "0x1b6d8db9bbe6562ad80d9d8da13711d2ec836c436699334bb840ac09224260da08a3e3e9dfb5a029c2367d3820d56a7ad75706de87239236bdd3b36a579db4571b",
            "0x539ad65b3faf61647faeaaf780be6ba3fe3f7a8c6fef42d61e32f92a15d5229065e195ce0a1ecba3efeb548b275ff2b4959a8f9c6615302d80d3c5d1d8d97eca1c",
        ],
    ),
    (
        255,
        "TREAT: READ",
        "organisation ü in ID",
        &["ALL_RECORDS"],
        1_099_511_627_775,
        9_223_372_036_854_775_808,
        [
            "7bfb9ebbb513ff705757fdfd4b6a087de05cd35aae98a5053c41edf6d99e9285",
            "279e7716958385a4a26c919d20f2ee8befc1f173b954724af7fcf96059ccfaad",
            "afb904c5012cc393cb04158e2a97ebd4632fcb44514828a713699527731ca4e3",
        ],
        [
            "0x7938c735c5c18e1e396f78405fa24ef1278b1d6790f0696e83d145cc700682da20370e01f1367592e20e65955fd334fd42446a8a754f335e8883d384461126f71c",
            "0x79a8349410767dec6f376f7ee890ab6e2d92572c482ea9f0c44aae5e1647e0385a0cbd5183be49b36ac232bffb8cbd40559e3ff705ce662b90c2e28783a300d11c",
        ],
    ),
];

fn domain() -> ConsentDomain {
    ConsentDomain {
        chain_id: 31_337,
        contract: CONTRACT.parse().expect("an address"),
    }
}

fn statement(vector: &Vector, kind: ReceiptKind) -> ConsentStatement {
    let (salt, purpose, grantee, categories, expires_at, deadline, ..) = *vector;
    ConsentStatement {
        kind,
        wallet: WALLET.parse().expect("an address"),
        details: AgreedDetails {
            data_categories: categories.iter().map(|&it| it.to_owned()).collect(),
            grantee: grantee.to_owned(),
            purpose: purpose.to_owned(),
            salt: B256::repeat_byte(salt).to_string(),
        },
        expires_at,
        deadline,
    }
}

#[test]
fn statements_are_hashed_and_their_signatures_read_as_another_implementation_does() {
    for vector in &VECTORS {
        let (.., hashes, signatures) = vector;
        for (nth, kind) in [ReceiptKind::Grant, ReceiptKind::Withdrawal]
            .into_iter()
            .enumerate()
        {
            let said = statement(vector, kind);
            let details = details_hash(&said.details).map(|it| it.to_string());
            assert_eq!(details.as_deref(), Some(hashes[0]));
            let digest = said.digest(domain()).map(|it| it.to_string());
            assert_eq!(
                digest.as_deref(),
                Some(format!("0x{}", hashes[nth + 1]).as_str())
            );
            assert!(said.signed_by_key(domain(), signatures[nth]).is_some());
            assert_eq!(
                said.signed_by_key(domain(), signatures[1 - nth]),
                None,
                "that of the other act"
            );
        }
    }
}

/// Something that is signed and can be another.
type Change = fn(&mut ConsentStatement);

#[test]
fn a_signature_is_of_all_that_the_wallet_was_shown_and_of_nothing_else() {
    let signature = VECTORS[0].7[0];
    let said = statement(&VECTORS[0], ReceiptKind::Grant);
    let changes: [Change; 7] = [
        |it| it.details.purpose.push(' '),
        |it| it.details.grantee.push(' '),
        |it| it.details.data_categories.reverse(),
        |it| it.details.salt = B256::ZERO.to_string(),
        |it| it.expires_at += 1,
        |it| it.deadline += 1,
        |it| it.wallet.0[0] ^= 1,
    ];
    for (nth, change) in changes.iter().enumerate() {
        let mut other = said.clone();
        change(&mut other);
        assert_eq!(
            other.signed_by_key(domain(), signature),
            None,
            "change {nth}"
        );
    }
    for elsewhere in [
        ConsentDomain {
            chain_id: 1,
            ..domain()
        },
        ConsentDomain {
            contract: said.wallet,
            ..domain()
        },
    ] {
        assert_eq!(said.signed_by_key(elsewhere, signature), None);
    }
    for wrong in ["", "0x", &signature[2..], &signature[..130]] {
        assert_eq!(said.signed_by_key(domain(), wrong), None, "{wrong}");
    }
    let mut saltless = said;
    saltless.details.salt = "0x12".to_owned();
    assert_eq!(details_hash(&saltless.details), None);
    assert_eq!(saltless.signed_by_key(domain(), signature), None);
}

#[test]
fn the_typed_data_names_every_field_that_is_hashed() {
    let grant = statement(&VECTORS[0], ReceiptKind::Grant).typed_data(domain());
    assert_eq!(grant["primaryType"], "ConsentGrant");
    assert_eq!(grant["domain"]["verifyingContract"], CONTRACT);
    assert_eq!(grant["types"]["ConsentGrant"][2]["name"], "expiresAt");
    assert_eq!(grant["message"]["expiresAt"], "1798761600");
    let taken_back = statement(&VECTORS[0], ReceiptKind::Withdrawal).typed_data(domain());
    assert_eq!(taken_back["message"].get("expiresAt"), None);
    let fields = taken_back["types"]["ConsentWithdrawal"].as_array();
    assert_eq!(fields.map(Vec::len), Some(3));
}
