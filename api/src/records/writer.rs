//! The one writer of records. What waits together is stored together: one lock on the signer's row,
//! one commit, for a batch of records. A lock per record is ten times slower
//! (`docs/decisions/0002-one-writer.md`).
//!
//! Where several accounts sign, each has a line of its own, and they go side by side. A patient's records are of one line; a version
//! is of the line that has signed for the version before (`docs/decisions/0079-signers-share-the-load.md`).
//!
//! In that one transaction: the decision, the nonces, the audit rows, the sealed records, the anchors with
//! their signed transactions and the events. If it does not commit, nothing happened.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chain::{Fees, Signer, Signers};
use domain::{
    audit::AuditEntry,
    ids::{RecordId, UserId},
};
use store::{
    Pool, StoreError, Tx,
    anchors::{self, NewAnchor},
    audit, closings,
    feed::{self, FeedEntry},
    idempotency::{self, Remembered},
    record_sources,
    records::{self, NewRecord},
    signers::{self, SignerAccount},
    versions::{self, AnchoredVersion},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};
use vault::{blind_index::IndexKey, keyring::Keyring};

use super::{
    authorize::{Permitted, answer_replays, authorize},
    draft::{Draft, OPERATIONS, PendingDraft, StoreResult, Stored},
    patient_keys::{self, SealingKey},
    record_rows::{NumberedDraft, SignedDraft, seal},
    restored::answer_restored,
    signing::sign,
    sources,
    succession::{VersionLink, anchored, leave_to_others, supersede_predecessors},
};
use crate::{
    batcher::{Batch, BatchAnswers, BatchFailure, BatchLimits, Batcher},
    error::Error,
    facts::Facts,
};

/// How many records share a transaction, how many may wait, and how long one waits for others.
const LIMITS: BatchLimits = BatchLimits {
    name: "writer",
    size: 64,
    at_once: 1,
    queue: 1024,
    gather: Duration::from_millis(5),
};
/// How often a group is tried whose patients are given keys by another process meanwhile: each of them
/// gets one once, so the second try finds it.
const TRIES: usize = 3;
/// Where drafts are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    /// One for each account, in their order.
    lines: Arc<[Batcher<Draft, Stored>]>,
    signers: Signers,
    pool: Pool,
    chain_id: i64,
}

/// What the writer works with.
#[derive(Debug, Clone)]
pub(crate) struct WriterContext {
    /// The database.
    pub(crate) pool: Pool,
    /// The master keys.
    pub(crate) keyring: Arc<Keyring>,
    /// What documents of sources are known by.
    pub(crate) index_key: Arc<IndexKey>,
    /// The chain that the accounts are on.
    pub(crate) chain_id: i64,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
}

/// What one line works with.
#[derive(Debug)]
struct WriterLine {
    context: WriterContext,
    /// The account that anchors.
    signer: Arc<Signer>,
    /// Notified after each commit: there is something to send.
    wake: Arc<Notify>,
}

impl Writer {
    /// Starts the writer, with a line for each account; `wakes` has what is notified after a commit of each. It stops when the
    /// last handle is dropped and the queues are empty.
    pub(crate) fn start(
        context: &WriterContext,
        signers: Signers,
        wakes: &[Arc<Notify>],
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let lines = signers.all().zip(wakes).map(|(signer, wake)| {
            let line = Arc::new(WriterLine {
                context: context.clone(),
                signer: Arc::clone(signer),
                wake: Arc::clone(wake),
            });
            let serve = move |drafts: Batch<Draft>| {
                let line = Arc::clone(&line);
                async move { line.store(&drafts).await }
            };
            Batcher::start(LIMITS, tasks, serve)
        });
        Self {
            lines: lines.collect(),
            signers,
            pool: context.pool.clone(),
            chain_id: context.chain_id,
        }
    }

    /// Stores a record.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the caller may not write for this patient; [`Error::Busy`] where too
    /// many wait already.
    pub(crate) async fn store(&self, draft: Draft) -> StoreResult {
        let line = self.line_of(&draft).await?;
        line.ask(draft).await
    }

    /// Stores a record of many: waits for room instead of being refused.
    ///
    /// # Errors
    /// As of [`Writer::store`], but for a full queue.
    pub(super) async fn store_in_turn(&self, draft: Draft) -> StoreResult {
        let line = self.line_of(&draft).await?;
        line.ask_in_turn(draft).await
    }

    /// The line of the account that signs for a draft: that which has signed for the version before, where it is in use, and
    /// else the patient's.
    async fn line_of(&self, draft: &Draft) -> Result<&Batcher<Draft, Stored>, Error> {
        let before = match draft.follows {
            // One account signs for everybody.
            _ if self.lines.len() == 1 => Some(0),
            Some(old) => self.place_of_version(old.id).await?,
            None => None,
        };
        let place = before.unwrap_or_else(|| self.signers.place_of_patient(draft.patient));
        Ok(&self.lines[place])
    }

    /// The place of the account that signed last for a version; `None` where it is none of those that are in use.
    async fn place_of_version(&self, version: RecordId) -> Result<Option<usize>, StoreError> {
        let mut conn = self.pool.acquire().await?;
        let signed = versions::anchored(&mut conn, &[version]).await?;
        let mut here = signed.iter().filter(|it| it.chain_id == self.chain_id);
        Ok(here.find_map(|it| self.signers.place_of(&it.signer)))
    }
}

/// What stands once the drafts of a batch are written.
enum BatchOutcome {
    /// Committed.
    Stored,
    /// Nothing: a key that was to be used is not the patient's any more.
    KeyChanged,
}

impl WriterLine {
    /// Stores a batch, again where another process gave one of its patients a key in between: the next try
    /// finds that key.
    async fn store(&self, batch: &Batch<Draft>) -> BatchAnswers<Stored> {
        for _ in 0..TRIES {
            let drafts = batch.requests.iter();
            let mut answers: Vec<Option<StoreResult>> = drafts.clone().map(|_| None).collect();
            let asked = drafts.zip(&mut answers);
            let asked = asked.map(|(draft, answer)| PendingDraft { draft, answer });
            match self.store_all(batch, asked.collect()).await? {
                BatchOutcome::Stored => {
                    let told = |answer: Option<StoreResult>| answer.unwrap_or(Err(Error::Internal));
                    return Ok(answers.into_iter().map(told).collect());
                }
                BatchOutcome::KeyChanged => {}
            }
        }
        Err(BatchFailure::busy())
    }

    /// The one transaction.
    async fn store_all(
        &self,
        batch: &Batch<Draft>,
        asked: Vec<PendingDraft<'_>>,
    ) -> Result<BatchOutcome, BatchFailure> {
        let drafts = batch.requests.as_slice();
        let patients = || drafts.iter().map(|draft| draft.patient);
        let WriterContext {
            pool,
            keyring,
            index_key,
            chain_id,
            fees,
        } = &self.context;
        let keys = patient_keys::prepare(pool, keyring, patients().collect()).await?;
        let mut tx = pool.begin().await?;
        let address = self.signer.address().to_string();
        let signer = SignerAccount {
            chain_id: *chain_id,
            address: &address,
        };
        // From here to the commit no other writer of this signer runs, in whatever process. Other writers are waited for as usual,
        // whoever holds a patient's rows shorter. The time is read after the signer is locked: the records of a line are
        // dated in the order in which they are committed.
        let first_nonce = signers::lock_with_lock_wait(&mut tx, signer, batch.lock_wait).await?;
        let callers = drafts.iter().map(|draft| &draft.caller);
        let facts = Facts::gather(&mut tx, callers, patients()).await?;

        let asked = answer_restored(&mut tx, asked, &facts).await?;
        let permitted = authorize(&mut tx, asked, &facts).await?;
        let permitted = sources::answer_known(&mut tx, permitted, index_key).await?;
        let permitted = answer_replays(&mut tx, permitted).await?;
        let permitted = with_a_key(permitted, &keys);
        let followed = anchored(&mut tx, &permitted).await?;
        let permitted = leave_to_others(permitted, &followed, signer);
        let permitted = supersede_predecessors(&mut tx, permitted).await?;
        let sealed_for: Vec<UserId> = permitted.iter().map(|p| p.asked.draft.patient).collect();
        if !patient_keys::establish(&mut tx, &keys, &sealed_for).await? {
            tx.rollback().await?;
            return Ok(BatchOutcome::KeyChanged);
        }
        let numbered = plan(permitted, &followed, first_nonce, signer);
        let signing_requests = numbered
            .iter()
            .map(NumberedDraft::signing_request)
            .collect();
        let signing = sign(&self.signer, signing_requests, *fees.borrow());
        // What names no transaction is written while they are being signed.
        if !remember(&mut tx, &numbered).await? {
            return Err(BatchFailure::busy());
        }
        let entries: Vec<AuditEntry> = numbered.iter().map(NumberedDraft::entry).collect();
        audit::insert(&mut tx, &entries).await?;
        let Some(transactions) = signing.done().await else {
            // A gap in the nonces must not arise: give the whole batch up.
            tracing::error!("A transaction could not be signed");
            return Err(BatchFailure::Refused(Error::Unavailable));
        };
        let signed_drafts = numbered.into_iter().zip(transactions);
        let signed_drafts = signed_drafts.filter_map(|(numbered, signed)| {
            let key = keys.get(&numbered.permitted.asked.draft.patient)?;
            Some(seal(numbered, signed, key.id(), key.key()))
        });
        let (records, signed_drafts): (Vec<NewRecord>, Vec<SignedDraft<'_>>) =
            signed_drafts.unzip();
        // The feed's place is given out under a lock of everybody's.
        tx.wait_for_locks_as_usual().await?;
        write(&mut tx, &records, &signed_drafts, signer).await?;
        let sources = sources::rows(&signed_drafts, index_key);
        if !record_sources::insert(&mut tx, &sources).await? {
            // Another signer has stored one of them meanwhile: the next try finds it.
            return Err(BatchFailure::busy());
        }
        tx.commit().await?;
        self.wake.notify_one();
        for (record, signed) in records.into_iter().zip(signed_drafts) {
            signed.answer(record);
        }
        Ok(BatchOutcome::Stored)
    }
}

/// Answers those whose patient's key cannot be had; gives the others.
fn with_a_key<'a>(
    permitted: Vec<Permitted<'a>>,
    keys: &HashMap<UserId, SealingKey>,
) -> Vec<Permitted<'a>> {
    let can = |permitted: &Permitted<'_>| keys.contains_key(&permitted.asked.draft.patient);
    let (with, without): (Vec<_>, Vec<_>) = permitted.into_iter().partition(can);
    for permitted in without {
        permitted.asked.answer(Err(Error::Unavailable));
    }
    with
}

/// Gives each draft its nonce and its place among the versions before.
fn plan<'a>(
    permitted: Vec<Permitted<'a>>,
    followed: &HashMap<RecordId, AnchoredVersion>,
    first_nonce: i64,
    signer: SignerAccount<'_>,
) -> Vec<NumberedDraft<'a>> {
    let numbered = (first_nonce..).zip(permitted);
    let numbered = numbered.map(|(nonce, permitted)| {
        let old = permitted.asked.draft.follows;
        let old = old.and_then(|old| followed.get(&old.id));
        NumberedDraft {
            link: VersionLink::after(old, signer),
            permitted,
            nonce,
        }
    });
    numbered.collect()
}

/// Remembers the clients' keys; `false` where one of them is taken.
async fn remember(tx: &mut Tx<'_>, numbered: &[NumberedDraft<'_>]) -> Result<bool, StoreError> {
    for operation in OPERATIONS {
        let keys: Vec<Remembered> = numbered
            .iter()
            .filter(|numbered| numbered.permitted.asked.draft.operation() == operation)
            .filter_map(NumberedDraft::remembered)
            .collect();
        if !idempotency::insert(tx, operation, &keys).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the records, their anchors and their events.
async fn write(
    tx: &mut Tx<'_>,
    records: &[NewRecord],
    signed_drafts: &[SignedDraft<'_>],
    signer: SignerAccount<'_>,
) -> Result<(), StoreError> {
    if !records.is_empty() {
        records::insert(tx, records).await?;
        let anchors: Vec<NewAnchor> = signed_drafts.iter().map(SignedDraft::anchor).collect();
        anchors::insert(tx, signer, &anchors).await?;
        let closed: Vec<_> = signed_drafts
            .iter()
            .flat_map(SignedDraft::closings)
            .collect();
        closings::insert(tx, &closed).await?;
    }
    let events: Vec<FeedEntry> = signed_drafts.iter().map(SignedDraft::event).collect();
    feed::append(tx, &events).await
}
