//! Versions that take the place of others: who comes first, and how the new one is anchored.

use std::collections::HashMap;

use domain::{ids::RecordId, records::DataHash};
use store::{
    StoreError, Tx,
    signers::SignerAccount,
    versions::{self, AnchoredVersion},
};

use super::authorize::Permitted;
use crate::error::Error;

/// What somebody is told whose version is not the current one any more.
pub(super) fn outdated() -> Error {
    Error::Conflict {
        field: "expectedVersion",
        message: "another version has taken its place: read the record again".to_owned(),
    }
}

/// Ends the versions whose places the drafts take: the optimistic lock. It is the database that
/// decides, under the lock of each row; a draft that comes too late is taken out and answered with a
/// conflict. Of two in one batch the first one wins.
pub(super) async fn supersede_predecessors<'a>(
    tx: &mut Tx<'_>,
    permitted: Vec<Permitted<'a>>,
) -> Result<Vec<Permitted<'a>>, StoreError> {
    let mut wanted: HashMap<RecordId, i32> = HashMap::new();
    let mut first = Vec::with_capacity(permitted.len());
    for permitted in permitted {
        match permitted.asked.draft.follows {
            Some(old) if wanted.contains_key(&old.id) => permitted.asked.answer(Err(outdated())),
            follows => {
                wanted.extend(follows.map(|old| (old.id, old.version)));
                first.push(permitted);
            }
        }
    }
    let wanted: Vec<(RecordId, i32)> = wanted.into_iter().collect();
    let ended = versions::supersede(tx, &wanted).await?;
    let mut in_time = Vec::with_capacity(first.len());
    for permitted in first {
        match permitted.asked.draft.follows {
            Some(old) if !ended.contains(&old.id) => permitted.asked.answer(Err(outdated())),
            _ => in_time.push(permitted),
        }
    }
    Ok(in_time)
}

/// What is known of the anchors of the versions whose places the drafts take.
pub(super) async fn anchored(
    tx: &mut Tx<'_>,
    permitted: &[Permitted<'_>],
) -> Result<HashMap<RecordId, AnchoredVersion>, StoreError> {
    let old: Vec<RecordId> = permitted
        .iter()
        .filter_map(|permitted| Some(permitted.asked.draft.follows?.id))
        .collect();
    let found = versions::anchored(tx, &old).await?;
    Ok(found.into_iter().map(|old| (old.record, old)).collect())
}

/// Answers the drafts of versions whose line belongs to another account that is in use, and gives the others: an api with the key
/// of that account stores them. Nothing divides a line but an operator, who takes its account out of use
/// (`docs/decisions/0090-signers-in-use.md`).
pub(super) fn leave_to_others<'a>(
    permitted: Vec<Permitted<'a>>,
    followed: &HashMap<RecordId, AnchoredVersion>,
    signer: SignerAccount<'_>,
) -> Vec<Permitted<'a>> {
    let is_anothers = |permitted: &Permitted<'_>| {
        let old = permitted.asked.draft.follows;
        let old = old.and_then(|old| followed.get(&old.id));
        old.is_some_and(|old| belongs_to_another(old, signer))
    };
    let (others, ours): (Vec<_>, Vec<_>) = permitted.into_iter().partition(is_anothers);
    if !others.is_empty() {
        tracing::warn!(
            versions = others.len(),
            "The versions before were signed by an account that is in use and whose key this api lacks, or that changed in this moment"
        );
    }
    for permitted in others {
        permitted.asked.answer(Err(Error::Unavailable));
    }
    ours
}

/// Whether what follows a version is another account's to sign.
fn belongs_to_another(old: &AnchoredVersion, signer: SignerAccount<'_>) -> bool {
    old.is_in_use && old.chain_id == signer.chain_id && old.signer != signer.address
}

/// Where a version stands in its line, as its anchor will say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VersionLink {
    /// What was anchored of the version before.
    pub(super) predecessor: Option<DataHash>,
    /// Whether the transaction names it as superseded.
    pub(super) supersedes: bool,
}

impl VersionLink {
    /// A version supersedes the one before on the chain, if the same account signed for that on the
    /// same chain. The registry would refuse anything else, so such a version is anchored by itself
    /// (`docs/decisions/0016-versions.md`). Where the transaction of the one before came to nothing, it is signed again, and
    /// before this one (`docs/decisions/0068-anchors-are-signed-again.md`).
    pub(super) fn after(old: Option<&AnchoredVersion>, signer: SignerAccount<'_>) -> Self {
        Self {
            predecessor: old.map(|old| old.record_hash),
            supersedes: old
                .is_some_and(|old| old.chain_id == signer.chain_id && old.signer == signer.address),
        }
    }

    /// The hash that the transaction names as superseded.
    pub(super) fn superseded(&self) -> Option<&DataHash> {
        self.predecessor.as_ref().filter(|_| self.supersedes)
    }
}

#[cfg(test)]
mod tests {
    use domain::integrity::AnchorState;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_version_supersedes_what_its_own_account_has_signed() {
        let hash = DataHash([0xaa; 32]);
        let old = |state, chain_id, signer: &str| AnchoredVersion {
            record: RecordId(Uuid::from_u128(1)),
            record_hash: hash,
            state,
            chain_id,
            signer: signer.to_owned(),
            is_in_use: true,
        };
        let us = SignerAccount {
            chain_id: 7,
            address: "0xUs",
        };
        for state in AnchorState::ALL {
            let link = VersionLink::after(Some(&old(*state, 7, "0xUs")), us);
            assert_eq!(link.predecessor, Some(hash), "{state}: it is remembered");
            assert!(link.supersedes, "{state}");
        }
        let theirs = old(AnchorState::Finalized, 7, "0xThem");
        assert!(belongs_to_another(&theirs, us), "it is in use");
        let left = AnchoredVersion {
            is_in_use: false,
            ..theirs
        };
        let elsewhere = old(AnchorState::Finalized, 8, "0xThem");
        let own = old(AnchorState::Finalized, 7, "0xUs");
        for free in [&left, &elsewhere, &own] {
            assert!(!belongs_to_another(free, us), "{free:?}");
        }
        for foreign in [left, old(AnchorState::Finalized, 8, "0xUs")] {
            let link = VersionLink::after(Some(&foreign), us);
            assert_eq!((link.predecessor, link.superseded()), (Some(hash), None));
        }
        let alone = VersionLink {
            predecessor: None,
            supersedes: false,
        };
        assert_eq!(
            VersionLink::after(None, us),
            alone,
            "a first version, or a lost anchor"
        );
    }
}
