//! Transactions that were signed before: read back from their bytes, and signed again with higher fees. Nobody's call is
//! signed but our own.

use alloy::{
    consensus::{Signed, TxEip1559, TxEnvelope},
    eips::Decodable2718,
    primitives::{TxKind, U256},
    sol_types::SolCall,
};
use domain::records::DataHash;

use super::{SignedAnchor, Signer, SignerError};
use crate::{
    bindings::MedicalRecordRegistry::{anchorCall, supersedeCall},
    client::Fees,
    deployment::Deployment,
    hash::ChainAddress,
};

/// What a transaction anchors, and who signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchoringCall {
    /// The account that signed it.
    pub by: ChainAddress,
    /// What it anchors.
    pub record: DataHash,
    /// What it supersedes.
    pub superseded: Option<DataHash>,
}

impl AnchoringCall {
    /// Reads a signed transaction back; `None` where it anchors nothing in the registry of this deployment.
    pub fn read(raw: &[u8], deployment: &Deployment) -> Option<Self> {
        let signed = read(raw)?;
        let tx = signed.tx();
        let is_ours = tx.chain_id == deployment.chain_id
            && tx.to == TxKind::Call(deployment.registry.to_alloy())
            && tx.value == U256::ZERO;
        if !is_ours {
            return None;
        }
        let by = whose(&signed)?;
        if let Ok(call) = anchorCall::abi_decode(&tx.input) {
            return Some(Self {
                by,
                record: DataHash(call.recordHash.0),
                superseded: None,
            });
        }
        let call = supersedeCall::abi_decode(&tx.input).ok()?;
        Some(Self {
            by,
            record: DataHash(call.newHash.0),
            superseded: Some(DataHash(call.oldHash.0)),
        })
    }
}

impl Signer {
    /// Signs a transaction of this account again, with the same nonce and at least an eighth more, or with what is usual now
    /// where that is more still; `None` where that would be more than `most`, in wei for a unit of gas. A node takes nothing
    /// less in the place of what it has.
    ///
    /// # Errors
    /// [`SignerError`]: [`SignerError::Foreign`] where this account did not sign it.
    pub fn raise(
        &self,
        raw: &[u8],
        now: Fees,
        most: u128,
    ) -> Result<Option<SignedAnchor>, SignerError> {
        let signed = read(raw).ok_or(SignerError::Foreign)?;
        if whose(&signed) != Some(self.address) || signed.tx().chain_id != self.chain_id {
            return Err(SignerError::Foreign);
        }
        let tx = signed.strip_signature();
        let before = Fees {
            max_fee_per_gas: tx.max_fee_per_gas,
            max_priority_fee_per_gas: tx.max_priority_fee_per_gas,
        };
        let Some(fees) = raised(before, now, most) else {
            return Ok(None);
        };
        let tx = TxEip1559 {
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            ..tx
        };
        self.finish(tx).map(Some)
    }
}

fn read(raw: &[u8]) -> Option<Signed<TxEip1559>> {
    match TxEnvelope::decode_2718_exact(raw).ok()? {
        TxEnvelope::Eip1559(signed) => Some(signed),
        TxEnvelope::Legacy(_)
        | TxEnvelope::Eip2930(_)
        | TxEnvelope::Eip4844(_)
        | TxEnvelope::Eip7702(_) => None,
    }
}

/// Whose key signed it.
fn whose(signed: &Signed<TxEip1559>) -> Option<ChainAddress> {
    let hash = signed.signature_hash();
    let by = signed.signature().recover_address_from_prehash(&hash);
    by.ok().map(Into::into)
}

/// An eighth more, rounded up, and of nothing one: what nodes ask of a transaction that is to replace another one, of the tip
/// as well.
const fn an_eighth_more(fee: u128) -> u128 {
    let eighth = fee.div_ceil(8);
    fee.saturating_add(if eighth == 0 { 1 } else { eighth })
}

/// What a transaction in the place of another one offers: of both fees at least an eighth more. `None` above `most`.
fn raised(before: Fees, now: Fees, most: u128) -> Option<Fees> {
    let least = an_eighth_more(before.max_fee_per_gas);
    if least > most {
        return None;
    }
    let max_fee_per_gas = least.max(now.max_fee_per_gas).min(most);
    let least_tip = an_eighth_more(before.max_priority_fee_per_gas);
    let tip = least_tip.max(now.max_priority_fee_per_gas);
    Some(Fees {
        max_fee_per_gas,
        max_priority_fee_per_gas: tip.min(max_fee_per_gas),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn fees(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> Fees {
        Fees {
            max_fee_per_gas,
            max_priority_fee_per_gas,
        }
    }

    #[test]
    fn a_replacement_offers_an_eighth_more_or_what_is_usual_and_never_more_than_it_may() {
        let cases = [
            // before, usual now, the most → what is offered
            ((80, 8), (10, 1), 1000, Some((90, 9))),
            ((81, 9), (10, 1), 1000, Some((92, 11))),
            ((80, 8), (400, 1), 1000, Some((400, 9))),
            ((80, 8), (400, 50), 1000, Some((400, 50))),
            ((80, 8), (4000, 50), 1000, Some((1000, 50))),
            ((80, 8), (10, 1), 90, Some((90, 9))),
            ((80, 8), (10, 1), 89, None),
            ((80, 8), (4000, 1), 89, None),
            // The tip is a part of the whole.
            ((80, 80), (10, 95), 1000, Some((90, 90))),
            // A node takes no replacement that offers as much as before.
            ((0, 0), (0, 0), 1000, Some((1, 1))),
            ((80, 0), (10, 0), 1000, Some((90, 1))),
            ((u128::MAX, 1), (1, 1), u128::MAX, Some((u128::MAX, 2))),
        ];
        for (before, now, most, wanted) in cases {
            let offered = raised(fees(before.0, before.1), fees(now.0, now.1), most);
            let wanted = wanted.map(|(max, tip)| fees(max, tip));
            assert_eq!(offered, wanted, "{before:?} {now:?} {most}");
        }
    }
}
