//! What the events of the registry of consents mean for the receipts. Pure.

use chain::{RegistryEvent, RegistryLog};
use domain::{
    ids::{ReceiptId, UserId},
    integrity::FindingKind,
    receipts::ReceiptKind,
    records::DataHash,
};
use serde_json::{Value, json};
use store::receipts::following::{ConsentEvent, KnownReceipt};

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

/// Holds events against the receipts with their hashes: the receipts that they confirm, and what does not fit.
pub(crate) fn reconcile(
    events: &[ConsentEvent],
    known: &[KnownReceipt],
) -> (Vec<(ReceiptId, ConsentEvent)>, Vec<SuspectedFinding>) {
    let (mut confirmed, mut suspicions) = (Vec::new(), Vec::new());
    for event in events {
        match judge(event, known) {
            Ok(receipt) => confirmed.push((receipt, event.clone())),
            Err(suspicion) => suspicions.push(suspicion),
        }
    }
    (confirmed, suspicions)
}

/// The receipt that an event confirms, or what is wrong with it.
fn judge(event: &ConsentEvent, known: &[KnownReceipt]) -> Result<ReceiptId, SuspectedFinding> {
    let of_hash = |it: &&KnownReceipt| it.details_hash == event.details_hash;
    let Some(any) = known.iter().find(of_hash) else {
        return Err(suspicion(
            event,
            FindingKind::UnknownConsent,
            None,
            "UNKNOWN",
        ));
    };
    let differs = |reason| {
        let patient = Some(any.patient);
        Err(suspicion(
            event,
            FindingKind::ConsentMismatch,
            patient,
            reason,
        ))
    };
    let of_act = known
        .iter()
        .filter(of_hash)
        .find(|it| it.kind == event.kind);
    let Some(receipt) = of_act else {
        // The patient has told the registry and not us, who still let in whom the consent names.
        return differs("NOT_WITHDRAWN_HERE");
    };
    match &receipt.wallet {
        None => differs("NOT_SIGNED_HERE"),
        Some(wallet) if *wallet != event.wallet => differs("OTHER_WALLET"),
        Some(_)
            if event.kind == ReceiptKind::Grant && receipt.registry_end != event.registry_end =>
        {
            differs("OTHER_END")
        }
        Some(_) => Ok(receipt.id),
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
        }
    }

    #[test]
    fn an_event_confirms_the_receipt_of_its_act_by_its_wallet_and_nothing_else() {
        use ReceiptKind::{Grant, Withdrawal};
        let given = receipt(Grant, Some("0xA"), 5);
        let unsigned = receipt(Grant, None, 5);
        let taken = receipt(Withdrawal, Some("0xA"), 5);
        let cases = [
            // wallet, act, end; what is known → which is confirmed, or why none is
            ("0xA", Grant, 5, vec![given.clone()], Ok(1)),
            ("0xA", Grant, 5, vec![given.clone(), taken.clone()], Ok(1)),
            (
                "0xA",
                Withdrawal,
                0,
                vec![given.clone(), taken.clone()],
                Ok(2),
            ),
            ("0xA", Withdrawal, 5, vec![given.clone(), taken], Ok(2)),
            (
                "0xA",
                Withdrawal,
                5,
                vec![given.clone()],
                Err("NOT_WITHDRAWN_HERE"),
            ),
            ("0xB", Grant, 5, vec![given.clone()], Err("OTHER_WALLET")),
            ("0xA", Grant, 6, vec![given], Err("OTHER_END")),
            ("0xA", Grant, 5, vec![unsigned], Err("NOT_SIGNED_HERE")),
            ("0xA", Grant, 5, Vec::new(), Err("UNKNOWN")),
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
            let (confirmed, suspicions) = reconcile(std::slice::from_ref(&event), &known);
            let confirmed: Vec<u128> = confirmed.iter().map(|(id, _)| id.0.as_u128()).collect();
            let reasons: Vec<&str> = suspicions
                .iter()
                .filter_map(|it| it.details["reason"].as_str())
                .collect();
            match wanted {
                Ok(id) => assert_eq!((confirmed, reasons), (vec![id], vec![]), "{event:?}"),
                Err(why) => assert_eq!((confirmed, reasons), (vec![], vec![why]), "{event:?}"),
            }
            let is_known = known.first().map(|it| it.patient);
            assert!(suspicions.iter().all(|it| it.patient == is_known));
        }
    }
}
