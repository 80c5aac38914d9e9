//! What the events of the registry of consents mean for the receipts. Pure.

use std::collections::BTreeSet;

use chain::{RegistryEvent, RegistryLog};
use domain::{
    ids::{ReceiptId, UserId},
    integrity::FindingKind,
    receipts::ReceiptKind,
    records::DataHash,
};
use serde_json::{Value, json};
use store::receipts::following::{ConsentEvent, KnownReceipt, SettledReceipt};

use super::SuspectedFinding;
use crate::position::column;

/// What a log says of a consent; `None` where it is about something else.
pub(crate) fn event(log: &RegistryLog) -> Option<ConsentEvent> {
    let RegistryEvent::ConsentChanged {
        wallet,
        details,
        kind,
        expires_at,
    } = log.event
    else {
        return None;
    };
    Some(ConsentEvent {
        wallet: wallet.to_string(),
        details_hash: details,
        kind,
        registry_end: column(expires_at),
        tx_hash: log.tx_hash.to_string(),
        block_number: column(log.block_number),
        block_hash: log.block_hash.to_string(),
    })
}

/// What an event says of our receipts.
enum ConsentVerdict {
    /// The same as this one.
    Confirms(ReceiptId),
    /// Something else.
    Differs(SuspectedFinding),
    /// Nothing: anybody may write a hash there for their own wallet, and ours too.
    Nothing,
}

/// Holds events against the receipts with their hashes: the receipts that they confirm, and what does not fit. `wallets`
/// are those of the events that have signed a receipt here, of whatever consent.
pub(crate) fn reconcile(
    events: &[ConsentEvent],
    known: &[KnownReceipt],
    wallets: &BTreeSet<String>,
) -> (Vec<(ReceiptId, ConsentEvent)>, Vec<SuspectedFinding>) {
    let (mut confirmed, mut suspicions) = (Vec::new(), Vec::new());
    for event in events {
        let of_hash: Vec<&KnownReceipt> = known
            .iter()
            .filter(|it| it.details_hash == event.details_hash)
            .collect();
        match judge(event, &of_hash, wallets) {
            ConsentVerdict::Confirms(receipt) => confirmed.push((receipt, event.clone())),
            ConsentVerdict::Differs(suspicion) => suspicions.push(suspicion),
            ConsentVerdict::Nothing => {}
        }
    }
    (confirmed, suspicions)
}

/// What an event says of the receipts with its hash. The wallet comes first: the registry knows a consent by its wallet and
/// its hash, so what another wallet writes is another consent, and hides nothing that is found about ours.
fn judge(
    event: &ConsentEvent,
    of_hash: &[&KnownReceipt],
    wallets: &BTreeSet<String>,
) -> ConsentVerdict {
    let mut signers = of_hash
        .iter()
        .filter_map(|it| it.wallet.as_ref())
        .peekable();
    let is_by_another = signers.peek().is_some() && signers.all(|it| *it != event.wallet);
    let unknown = |reason| {
        // It names nobody: whose consent it is, only its wallet could say.
        let found = suspicion(event, FindingKind::UnknownConsent, None, reason);
        if wallets.contains(&event.wallet) {
            ConsentVerdict::Differs(found)
        } else {
            ConsentVerdict::Nothing
        }
    };
    let Some(any) = of_hash.first() else {
        return unknown("UNKNOWN");
    };
    if is_by_another {
        return unknown("OTHER_WALLET");
    }
    let differs = |reason| {
        let patient = Some(any.patient);
        let found = suspicion(event, FindingKind::ConsentMismatch, patient, reason);
        ConsentVerdict::Differs(found)
    };
    let of_act = |kind: ReceiptKind| of_hash.iter().find(|it| it.kind == kind);
    let granted_by = of_act(ReceiptKind::Grant).and_then(|it| it.wallet.as_ref());
    if event.kind == ReceiptKind::Withdrawal && granted_by.is_some_and(|it| *it != event.wallet) {
        // What was granted by the other wallet stands there.
        return differs("OTHER_WALLET");
    }
    let Some(receipt) = of_act(event.kind) else {
        // A withdrawal here without a receipt says the same. Otherwise the patient has told the registry and not us, who
        // still let in whom the consent names.
        return if any.is_withdrawn {
            ConsentVerdict::Nothing
        } else {
            differs("NOT_WITHDRAWN_HERE")
        };
    };
    match &receipt.wallet {
        None => differs("NOT_SIGNED_HERE"),
        Some(wallet) if *wallet != event.wallet => differs("OTHER_WALLET"),
        Some(_)
            if event.kind == ReceiptKind::Grant && receipt.registry_end != event.registry_end =>
        {
            differs("OTHER_END")
        }
        Some(_) => ConsentVerdict::Confirms(receipt.id),
    }
}

fn suspicion(
    event: &ConsentEvent,
    kind: FindingKind,
    patient: Option<UserId>,
    reason: &str,
) -> SuspectedFinding {
    SuspectedFinding {
        kind,
        record: None,
        patient,
        record_type: None,
        record_hash: Some(event.details_hash),
        details: json!({
            "reason": reason,
            "wallet": event.wallet,
            "act": event.kind,
            "txHash": event.tx_hash,
            "blockNumber": event.block_number,
        }),
    }
}

/// That the registry does not have what a receipt says it has, or has it elsewhere; `None` where it has it there.
pub(crate) fn unsettled(receipt: &SettledReceipt) -> Option<SuspectedFinding> {
    let reason = if receipt.is_missing {
        "MISSING_ON_CHAIN"
    } else if receipt.is_misplaced {
        "OTHER_PLACE"
    } else {
        return None;
    };
    Some(SuspectedFinding {
        kind: FindingKind::ConsentMismatch,
        record: None,
        patient: Some(receipt.patient),
        record_type: None,
        record_hash: Some(receipt.details_hash),
        details: json!({
            "reason": reason,
            "wallet": receipt.wallet,
            "act": receipt.kind,
        }),
    })
}

/// A finding about a consent that fits again.
pub(crate) fn resolved(kind: FindingKind, details_hash: DataHash) -> SuspectedFinding {
    SuspectedFinding {
        kind,
        record: None,
        patient: None,
        record_type: None,
        record_hash: Some(details_hash),
        details: Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HASH: DataHash = DataHash([7; 32]);

    fn receipt(kind: ReceiptKind, wallet: Option<&str>, registry_end: i64) -> KnownReceipt {
        KnownReceipt {
            id: ReceiptId(Uuid::from_u128(match kind {
                ReceiptKind::Grant => 1,
                ReceiptKind::Withdrawal => 2,
            })),
            patient: UserId(Uuid::from_u128(9)),
            kind,
            details_hash: HASH,
            registry_end,
            wallet: wallet.map(str::to_owned),
            is_withdrawn: kind == ReceiptKind::Withdrawal,
        }
    }

    #[test]
    fn an_event_confirms_the_receipt_of_its_act_by_its_wallet_and_nothing_else() {
        use ReceiptKind::{Grant, Withdrawal};
        // 0xA and 0xB have signed something here, 0xC has not.
        let wallets = BTreeSet::from(["0xA".to_owned(), "0xB".to_owned()]);
        let given = receipt(Grant, Some("0xA"), 5);
        let unsigned = receipt(Grant, None, 5);
        let taken = receipt(Withdrawal, Some("0xA"), 5);
        let over = KnownReceipt {
            is_withdrawn: true,
            ..given.clone()
        };
        let both = vec![given.clone(), taken];
        let by_another = vec![given.clone(), receipt(Withdrawal, Some("0xB"), 5)];
        let (given, over, unsigned) = (vec![given], vec![over], vec![unsigned]);
        let none = Vec::new();
        let cases = [
            // wallet, act, end; what is known → which is confirmed, or what is found, if anything
            ("0xA", Grant, 5, &given, "1"),
            ("0xA", Grant, 5, &both, "1"),
            ("0xA", Withdrawal, 0, &both, "2"),
            ("0xA", Withdrawal, 5, &both, "2"),
            ("0xA", Withdrawal, 5, &given, "MISMATCH NOT_WITHDRAWN_HERE"),
            ("0xA", Withdrawal, 5, &over, ""),
            ("0xB", Withdrawal, 5, &by_another, "MISMATCH OTHER_WALLET"),
            ("0xB", Grant, 5, &given, "UNKNOWN OTHER_WALLET"),
            ("0xB", Withdrawal, 0, &given, "UNKNOWN OTHER_WALLET"),
            ("0xC", Withdrawal, 0, &given, ""),
            ("0xC", Withdrawal, 0, &both, ""),
            ("0xA", Grant, 6, &given, "MISMATCH OTHER_END"),
            ("0xC", Grant, 5, &unsigned, "MISMATCH NOT_SIGNED_HERE"),
            ("0xA", Grant, 5, &none, "UNKNOWN UNKNOWN"),
            ("0xC", Withdrawal, 0, &none, ""),
        ];
        for (wallet, kind, registry_end, known, wanted) in cases {
            let event = ConsentEvent {
                wallet: wallet.to_owned(),
                details_hash: HASH,
                kind,
                registry_end,
                tx_hash: String::new(),
                block_number: 3,
                block_hash: String::new(),
            };
            let (confirmed, suspicions) = reconcile(std::slice::from_ref(&event), known, &wallets);
            let confirmed = confirmed.iter().map(|(id, _)| id.0.as_u128().to_string());
            let found = suspicions.iter().map(|it| {
                let is_mismatch = it.kind == FindingKind::ConsentMismatch;
                let names = known.first().filter(|_| is_mismatch).map(|it| it.patient);
                assert_eq!(it.patient, names, "only what is about it names the patient");
                let kind = if is_mismatch { "MISMATCH" } else { "UNKNOWN" };
                format!(
                    "{kind} {}",
                    it.details["reason"].as_str().unwrap_or_default()
                )
            });
            let said: Vec<String> = confirmed.chain(found).collect();
            assert_eq!(said.join(", "), wanted, "{event:?} {known:?}");
        }
    }
}
