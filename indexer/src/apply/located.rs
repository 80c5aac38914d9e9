//! Which chain and registry a finding is of: findings of two chains in one database are told apart by that, and who holds a finding
//! against the chain has to know where.

use domain::{
    audit::Origin,
    ids::{FindingId, RequestId},
    integrity::{FeedKind, FindingKind},
};
use serde_json::{Value, json};
use store::{
    audit,
    cursor::{self, Registry},
    feed,
    findings::{self, EventChain, Subject, UnclaimedFinding},
};

use super::ChainWriter;
use crate::{
    error::IndexerError,
    notifications::{audit_entry_finding, feed_entry_finding},
    reconcile::SuspectedFinding,
};

/// How many findings are claimed in one transaction. Unit: findings.
const CLAIMED_AT_ONCE: usize = 1_000;

impl ChainWriter {
    /// The evidence of a finding, with its chain and registry.
    pub(super) fn located_details(&self, found: &SuspectedFinding) -> Value {
        let mut details = found.details.clone();
        if let (Some(registry), Some(fields)) =
            (self.registry_about(found.kind), details.as_object_mut())
        {
            fields.insert("chainId".to_owned(), json!(registry.chain_id));
            fields.insert("registry".to_owned(), json!(registry.address));
        }
        details
    }

    /// What a finding about a record or a hash is about: of which registry, too, where it is a matter of one.
    pub(super) fn subject(&self, found: &SuspectedFinding) -> Subject<'_> {
        let (record, hash) = (found.record, found.record_hash);
        match self.registry_about(found.kind) {
            Some(registry) => Subject::Registry(registry, record, hash),
            None => Subject::Record(record, hash),
        }
    }

    /// Makes open findings that name no registry ours where they may be: the version before opened them, or somebody else wrote them.
    /// From then on they are looked at again like our own.
    pub(crate) async fn claim_findings(&self) -> Result<(), IndexerError> {
        for chain in [EventChain::Records, EventChain::Consents] {
            let Some(registry) = self.registry_of(chain) else {
                continue;
            };
            let kinds = FindingKind::ALL.iter().copied();
            let kinds: Vec<FindingKind> = kinds
                .filter(|kind| *kind == FindingKind::RowTampered || chain_of(*kind) == Some(chain))
                .collect();
            while self.claim_some((chain, registry), &kinds).await? {}
        }
        Ok(())
    }

    /// The next of them; gives whether there may be more.
    async fn claim_some(
        &self,
        (chain, registry): (EventChain, &Registry),
        kinds: &[FindingKind],
    ) -> Result<bool, IndexerError> {
        let mut conn = self.pool.acquire().await?;
        let limit = i64::try_from(CLAIMED_AT_ONCE).unwrap_or(i64::MAX);
        let some = findings::unclaimed(&mut conn, registry, chain, kinds, limit).await?;
        drop(conn);
        if some.is_empty() {
            return Ok(false);
        }
        let mut tx = self.pool.begin().await?;
        if !cursor::holds(&mut tx, &self.registry, self.fence).await? {
            return Err(IndexerError::FenceLost);
        }
        let of = |is_double: bool| -> Vec<FindingId> {
            let these = some.iter().filter(|it| it.is_double == is_double);
            these.map(|it| it.id).collect()
        };
        findings::claim(&mut tx, registry, &of(false)).await?;
        let closed = findings::resolve_doubles(&mut tx, &of(true)).await?;
        let origin = Origin::job(RequestId::fresh());
        let (mut trail, mut news) = (Vec::new(), Vec::new());
        for double in some.iter().filter(|it| closed.contains(&it.id)) {
            let gone = resolved(double);
            trail.push(audit_entry_finding(&gone, double.id, "RESOLVED", &origin));
            news.push(feed_entry_finding(
                &gone,
                double.id,
                FeedKind::FindingResolved,
            ));
        }
        audit::insert(&mut tx, &trail).await?;
        feed::append(&mut tx, &news).await?;
        tx.commit().await?;
        Ok(some.len() >= CLAIMED_AT_ONCE)
    }

    /// The registry that findings of this kind are about; `None` of what is no matter of a registry, or names its own.
    fn registry_about(&self, kind: FindingKind) -> Option<&Registry> {
        self.registry_of(chain_of(kind)?)
    }
}

/// Which registry findings of this kind are about, where it is one for all of them.
const fn chain_of(kind: FindingKind) -> Option<EventChain> {
    match kind {
        FindingKind::UnknownConsent | FindingKind::ConsentMismatch => Some(EventChain::Consents),
        FindingKind::MissingOnChain
        | FindingKind::UnknownOnChain
        | FindingKind::HashMismatch
        | FindingKind::ForeignRegistrar
        | FindingKind::EndedOnChain
        | FindingKind::RegistryPaused
        | FindingKind::AuditTampered => Some(EventChain::Records),
        FindingKind::AnchorStuck
        | FindingKind::ContentMismatch
        | FindingKind::Undecryptable
        | FindingKind::RowTampered => None,
    }
}

/// That of two open findings the one without a registry is closed; the other one says the same.
fn resolved(double: &UnclaimedFinding) -> SuspectedFinding {
    SuspectedFinding {
        kind: double.kind,
        record: double.record,
        patient: None,
        record_type: None,
        record_hash: double.record_hash,
        details: Value::Null,
    }
}
