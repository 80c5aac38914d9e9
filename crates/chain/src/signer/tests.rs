use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::hash::CodeHash;

/// anvil's first account, known to everybody.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

fn deployment() -> Deployment {
    Deployment {
        chain_id: 31_337,
        registry: "0x5FbDB2315678afecb367f032d93F642f64180aa3"
            .parse()
            .expect("an address"),
        block: 1,
        code_hash: CodeHash([0; 32]),
        registrar: ChainAddress([0; 20]),
        version: 2,
        predecessor: None,
        consent_registry: None,
        consent_version: None,
        consent_predecessor: None,
        earlier_checkpointers: Vec::new(),
    }
}

fn key_file(name: &str, content: &str, mode: u32) -> PathBuf {
    let path = std::env::temp_dir().join(format!("chain-signer-{}-{name}", std::process::id()));
    fs::write(&path, content).expect("a temporary file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
    path
}

fn load(name: &str, content: &str, mode: u32) -> Result<Signer, SignerError> {
    let path = key_file(name, content, mode);
    let signer = Signer::load(&path, &deployment());
    fs::remove_file(path).expect("the file just made");
    signer
}

#[test]
fn the_bytes_are_those_that_anvil_signs_and_the_hash_is_theirs() {
    let signer = load("vector", &format!("{KEY}\n"), 0o600).expect("a key");
    assert_eq!(
        signer.address().to_string(),
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    );

    let fees = Fees {
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
    };
    let anchor = signer
        .sign_anchor(7, &DataHash([0xaa; 32]), fees)
        .expect("a signature");

    // eth_signTransaction of anvil 1.7.1 for the same fields.
    let vector = "02f891827a6907843b9aca008477359400830186a0945fbdb2315678afecb367f032d93f642f64180aa3\
                  80a4eecdf927aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac080a0bb8f\
                  9faf201a19885192e3090f20de4a52d1b51f7dae140aaec4a0bf6abf2396a0399db59a4f202767c12161b5\
                  e9da7e26d9092618673072636a1df4a7749073d3";
    assert_eq!(alloy::hex::encode(&anchor.raw), vector);
    assert_eq!(
        anchor.tx_hash.0,
        alloy::primitives::keccak256(&anchor.raw).0
    );
    assert_eq!(anchor.max_fee_per_gas, 2_000_000_000);
}

#[test]
fn a_key_is_never_printed_and_a_file_without_one_is_named() {
    let signer = load("print", KEY.trim_start_matches("0x"), 0o400).expect("a key");
    assert!(!format!("{signer:?}").to_lowercase().contains("ac0974"));

    for (name, content) in [
        ("empty", ""),
        ("short", "0xabcd"),
        ("zero", &"0".repeat(64)),
        ("text", &"z".repeat(64)),
    ] {
        assert!(
            matches!(load(name, content, 0o600), Err(SignerError::NotAKey { .. })),
            "{name}"
        );
    }
    assert!(matches!(
        load("open", KEY, 0o640),
        Err(SignerError::Exposed { .. })
    ));
    let missing = Signer::load(Path::new("/nonexistent/registrar.key"), &deployment());
    assert!(matches!(missing, Err(SignerError::NotRead { .. })));
}

#[test]
fn a_transaction_is_read_back_and_raised_by_who_signed_it_alone() {
    let signer = load("raise", KEY, 0o600).expect("a key");
    let other = load("raise-other", &"11".repeat(32), 0o600).expect("a key");
    let fees = Fees {
        max_fee_per_gas: 800,
        max_priority_fee_per_gas: 80,
    };
    let (old, new) = (DataHash([1; 32]), DataHash([2; 32]));
    let anchor = signer.sign_anchor(7, &new, fees).expect("a signature");
    let superseding = signer.sign_supersede(7, &old, &new, fees);
    let superseding = superseding.expect("a signature");
    let reason = ClosingReason::EnteredInError;
    let closing = signer
        .sign_close(7, &new, reason, fees)
        .expect("a signature");

    let read = |raw: &[u8]| AnchoringCall::read(raw, &deployment());
    let wanted = |superseded| AnchoringCall {
        by: signer.address(),
        record: new,
        superseded,
    };
    assert_eq!(read(&anchor.raw), Some(wanted(None)));
    assert_eq!(read(&superseding.raw), Some(wanted(Some(old))));
    assert_eq!(read(&closing.raw), None);
    assert_eq!(read(&anchor.raw[1..]), None);
    assert_eq!(read(&[]), None);
    let elsewhere = Deployment {
        chain_id: 1,
        ..deployment()
    };
    assert_eq!(AnchoringCall::read(&anchor.raw, &elsewhere), None);

    // The same call with the same nonce: what is signed at the higher fee in the first place.
    for before in [&anchor, &superseding, &closing] {
        let raised = signer.raise(&before.raw, fees, 1000).expect("a signature");
        let raised = raised.expect("it may offer so much");
        assert_eq!(raised.max_fee_per_gas, 900);
        assert_ne!(raised.tx_hash, before.tx_hash);
        let refused = other.raise(&before.raw, fees, 1000);
        assert!(matches!(refused, Err(SignerError::Foreign)), "{refused:?}");
    }
    let dearer = Fees {
        max_fee_per_gas: 900,
        max_priority_fee_per_gas: 90,
    };
    let in_the_first_place = signer.sign_anchor(7, &new, dearer).expect("a signature");
    let raised = signer.raise(&anchor.raw, fees, 1000).expect("a signature");
    assert_eq!(raised, Some(in_the_first_place));
    assert_eq!(signer.raise(&anchor.raw, fees, 899).ok(), Some(None));
}
