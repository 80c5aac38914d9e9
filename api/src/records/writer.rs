//! The one writer of records. What waits together is stored together: one lock on the signer's row,
//! one commit, at most [`GROUP`] records. A lock per record is ten times slower
//! (`docs/decisions/0002-one-writer.md`).
//!
//! In that one transaction: the decision, the nonces, the audit rows, the sealed records, the anchors with
//! their signed transactions and the events. If it does not commit, nothing happened.

use std::{sync::Arc, time::Duration};

use chain::{Fees, Signer};
use chrono::{DateTime, Utc};
use domain::{
    access::Action,
    audit::AuditEntry,
    ids::{RecordId, UserId},
    purpose::Purpose,
    records::{DataHash, RecordType},
};
use serde_json::Value;
use store::{
    Pool, StoreError,
    anchors::{self, Anchor, NewAnchor, SignerAccount},
    audit,
    feed::{self, FeedEntry},
    idempotency::{self, Remembered},
    records::{self, NewRecord, Record},
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};
use vault::keyring::Keyring;

use super::{
    admission::{admit, recall},
    made::{Made, Planned, make},
    restore::recognise,
    sealing,
    signing::sign,
    succession::{Follows, Line, anchored, take_places},
};
use crate::{app::commit, caller::Caller, counter::turned_away, error::Error};

/// How many records share a transaction at most.
const GROUP: usize = 64;
/// How long the writer waits for company where one record is there alone.
const GATHER: Duration = Duration::from_millis(5);
/// How often a group is tried whose patients are given keys by another process meanwhile: each of them
/// gets one once, so the second try finds it.
const TRIES: usize = 3;
/// How many records may wait; more are refused at once.
const QUEUE: usize = 1024;
/// What a client's key is for: the same text for two of them is two keys.
pub(super) const OPERATIONS: [&str; 3] = [CREATE, AMEND, WITHDRAW];
const CREATE: &str = "createMedicalRecord";
const AMEND: &str = "amendMedicalRecord";
const WITHDRAW: &str = "withdrawMedicalRecord";

/// What a record is searched by.
#[derive(Debug, Clone, Default)]
pub(crate) struct FoundBy {
    /// What is searchable in clear.
    pub(crate) metadata: Option<Value>,
    /// When what the document says was so.
    pub(crate) effective_at: Option<DateTime<Utc>>,
    /// The document's codes in the blind index; `None` where it has none.
    pub(crate) code_tokens: Option<Vec<Vec<u8>>>,
}

/// A record ready to be decided, sealed and signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Who writes it.
    pub(crate) caller: Caller,
    /// Why; `None` for what the caller's role acts for.
    pub(crate) purpose: Option<Purpose>,
    /// Its id.
    pub(crate) id: RecordId,
    /// Whose.
    pub(crate) patient: UserId,
    /// Of which type.
    pub(crate) record_type: RecordType,
    /// Which version of the record, from 1.
    pub(crate) version: i32,
    /// The version that it takes the place of.
    pub(crate) follows: Option<Follows>,
    /// What it is searched by.
    pub(crate) found_by: FoundBy,
    /// What it lacks; `None` means complete.
    pub(crate) missing: Option<Value>,
    /// The same as issues: a doctor's record must have the bold ones.
    pub(crate) incomplete: Option<Vec<fhir::Issue>>,
    /// The SHA-256 of `canonical`.
    pub(crate) data_hash: DataHash,
    /// Exactly the bytes that are hashed and sealed.
    pub(crate) canonical: Arc<[u8]>,
    /// The client's key and the hash of its request.
    pub(crate) idempotency: Option<(String, String)>,
    /// Whether it comes from an export, with the id, the salt and the hash that it has.
    pub(crate) is_restored: bool,
}

impl Draft {
    /// What has to be allowed.
    pub(super) const fn action(&self) -> Action {
        match self.follows {
            None => Action::Create,
            Some(_) => Action::Amend,
        }
    }

    /// What the client's key is for.
    pub(super) const fn operation(&self) -> &'static str {
        match self.follows {
            None => CREATE,
            Some(Follows {
                withdraws: false, ..
            }) => AMEND,
            Some(Follows {
                withdraws: true, ..
            }) => WITHDRAW,
        }
    }

    /// The client's key, if it sent one: its own, nobody else's.
    pub(super) fn key(&self) -> Option<(UserId, &str)> {
        Some((self.caller.user, self.idempotency.as_ref()?.0.as_str()))
    }

    /// Whether this is the request that was remembered by that hash.
    pub(super) fn asks_for(&self, request_hash: &str) -> bool {
        self.idempotency
            .as_ref()
            .is_some_and(|(_, hash)| hash == request_hash)
    }
}

/// What a draft came to.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The record.
    pub(crate) record: Record,
    /// The purpose it was stored for.
    pub(crate) purpose: Purpose,
    /// Its anchor as it was stored with it; `None` where the client's key has found a record that was
    /// there.
    pub(crate) anchor: Option<Anchor>,
}

impl Stored {
    /// Whether this draft made the record, and no earlier one that it repeats.
    pub(crate) const fn is_new(&self) -> bool {
        self.anchor.is_some()
    }
}

/// What a draft comes to.
pub(super) type Answer = Result<Stored, Error>;
type Reply = oneshot::Sender<Answer>;

/// Where drafts are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Writer(mpsc::Sender<(Draft, Reply)>);

/// What the writer works with.
#[derive(Debug)]
pub(crate) struct Workshop {
    /// The database.
    pub(crate) pool: Pool,
    /// The master keys.
    pub(crate) keyring: Arc<Keyring>,
    /// The account that anchors.
    pub(crate) signer: Arc<Signer>,
    /// The chain it is on.
    pub(crate) chain_id: i64,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
    /// Rung after each commit: there is something to send.
    pub(crate) bell: Arc<Notify>,
}

impl Writer {
    /// Starts the writer. It stops when the last handle is dropped and the queue is empty.
    pub(crate) fn start(workshop: Workshop, tasks: &mut JoinSet<()>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tasks.spawn(run(workshop, receiver));
        Self(sender)
    }

    /// Stores a record.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the caller may not write for this patient; [`Error::Busy`] where too
    /// many wait already.
    pub(crate) async fn store(&self, draft: Draft) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.0.try_send((draft, reply)).map_err(|_| Error::Busy {
            retry_after_seconds: 1,
        })?;
        answer.await.map_err(|_| Error::Unavailable)?
    }

    /// Stores a record of many: waits for room instead of being refused.
    ///
    /// # Errors
    /// As of [`Writer::store`], but for a full queue.
    pub(super) async fn store_in_turn(&self, draft: Draft) -> Answer {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.send((draft, reply)).await;
        sent.map_err(|_| Error::Unavailable)?;
        answer.await.map_err(|_| Error::Unavailable)?
    }
}

async fn run(workshop: Workshop, mut inbox: mpsc::Receiver<(Draft, Reply)>) {
    let mut group = Vec::with_capacity(GROUP);
    while inbox.recv_many(&mut group, GROUP).await > 0 {
        // Where more than one waited there is a load, and the next ones gather while these are stored.
        let is_alone = group.len() == 1;
        let gathered_by = tokio::time::Instant::now() + GATHER;
        while is_alone && group.len() < GROUP {
            let room = GROUP - group.len();
            match tokio::time::timeout_at(gathered_by, inbox.recv_many(&mut group, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let (drafts, replies): (Vec<_>, Vec<_>) = group.drain(..).unzip();
        for (reply, answer) in replies.into_iter().zip(store_all(&workshop, drafts).await) {
            // Whoever went away meanwhile finds the record by its idempotency key.
            reply.send(answer).ok();
        }
    }
}

/// Stores a group; where the database refuses it as a whole, each draft by itself, so that one that
/// cannot be stored does not take the others with it.
async fn store_all(workshop: &Workshop, drafts: Vec<Draft>) -> Vec<Answer> {
    match store_group(workshop, &drafts).await {
        Ok(answers) => answers,
        Err(StoreError::Refused(_)) if drafts.len() > 1 => {
            let mut answers = Vec::with_capacity(drafts.len());
            for draft in drafts {
                let alone = store_group(workshop, std::slice::from_ref(&draft)).await;
                answers.push(alone.map_or_else(|e| Err(e.into()), one));
            }
            answers
        }
        Err(error) => turned_away(drafts.len(), error),
    }
}

fn one(mut answers: Vec<Answer>) -> Answer {
    answers.pop().unwrap_or(Err(Error::Internal))
}

/// Nothing was stored: another process was a moment earlier with the same thing.
fn all_busy(drafts: &[Draft]) -> Vec<Answer> {
    let busy = |_| {
        Err(Error::Busy {
            retry_after_seconds: 1,
        })
    };
    drafts.iter().map(busy).collect()
}

/// Stores a group, again where another process gave one of its patients a key in between: the next try
/// finds that key.
async fn store_group(workshop: &Workshop, drafts: &[Draft]) -> Result<Vec<Answer>, StoreError> {
    for _ in 0..TRIES {
        if let Some(answers) = try_group(workshop, drafts).await? {
            return Ok(answers);
        }
    }
    Ok(all_busy(drafts))
}

/// `None` where a key that was to be used is not the patient's any more; then nothing was stored.
async fn try_group(
    workshop: &Workshop,
    drafts: &[Draft],
) -> Result<Option<Vec<Answer>>, StoreError> {
    let patients = drafts.iter().map(|draft| draft.patient).collect();
    let sealing_keys = sealing::prepare(&workshop.pool, &workshop.keyring, patients).await?;
    let mut tx = workshop.pool.begin().await?;
    let address = workshop.signer.address().to_string();
    let signer = SignerAccount {
        chain_id: workshop.chain_id,
        address: &address,
    };
    // From here to the commit no other writer of this signer runs, in whatever process.
    let first_nonce = anchors::lock_signer(&mut tx, signer).await?;

    let mut answers: Vec<Option<Answer>> = drafts.iter().map(|_| None).collect();
    recognise(&mut tx, drafts, &mut answers).await?;
    let mut permitted = admit(&mut tx, drafts, &mut answers).await?;
    recall(&mut tx, &mut permitted, &mut answers).await?;
    permitted.retain(|permitted| {
        let can = sealing_keys.contains_key(&permitted.draft.patient);
        if !can {
            answers[permitted.place] = Some(Err(Error::Unavailable));
        }
        can
    });
    take_places(&mut tx, &mut permitted, &mut answers).await?;
    let followed = anchored(&mut tx, &permitted).await?;
    let patients: Vec<UserId> = permitted.iter().map(|p| p.draft.patient).collect();
    if !sealing::establish(&mut tx, &sealing_keys, &patients).await? {
        tx.rollback().await?;
        return Ok(None);
    }

    let planned: Vec<Planned<'_>> = (first_nonce..)
        .zip(permitted)
        .map(|(nonce, permitted)| Planned {
            line: Line::after(
                permitted
                    .draft
                    .follows
                    .and_then(|old| followed.get(&old.id)),
                signer,
            ),
            permitted,
            nonce,
        })
        .collect();
    let orders = planned.iter().map(Planned::order).collect();
    let signing = sign(&workshop.signer, orders, *workshop.fees.borrow());
    // What names no transaction is written while they are being signed.
    for operation in OPERATIONS {
        let keys: Vec<Remembered> = planned
            .iter()
            .filter(|planned| planned.permitted.draft.operation() == operation)
            .filter_map(Planned::remembered)
            .collect();
        if !idempotency::insert(&mut tx, operation, &keys).await? {
            return Ok(Some(all_busy(drafts)));
        }
    }
    let entries: Vec<AuditEntry> = planned.iter().map(Planned::entry).collect();
    audit::insert(&mut tx, &entries).await?;

    let Some(transactions) = signing.done().await else {
        // A gap in the nonces must not arise: give the whole group up.
        tracing::error!("A transaction could not be signed");
        return Ok(Some(
            drafts.iter().map(|_| Err(Error::Unavailable)).collect(),
        ));
    };
    let made = planned
        .into_iter()
        .zip(transactions)
        .filter_map(|(planned, signed)| {
            let key = sealing_keys.get(&planned.permitted.draft.patient)?;
            Some(make(planned, signed, key.id(), key.key()))
        });
    let (records, made): (Vec<NewRecord>, Vec<Made<'_>>) = made.unzip();
    if !records.is_empty() {
        records::insert(&mut tx, &records).await?;
        let anchors: Vec<NewAnchor> = made.iter().map(Made::anchor).collect();
        anchors::insert(&mut tx, signer, &anchors).await?;
    }
    let events: Vec<FeedEntry> = made.iter().map(Made::event).collect();
    feed::append(&mut tx, &events).await?;
    commit(tx).await?;
    workshop.bell.notify_one();

    for (record, made) in records.into_iter().zip(&made) {
        let (place, purpose) = made.asked();
        answers[place] = Some(Ok(Stored {
            record: record.into(),
            purpose,
            anchor: Some(made.pending()),
        }));
    }
    let answers = answers.into_iter();
    Ok(Some(
        answers
            .map(|answer| answer.unwrap_or(Err(Error::Internal)))
            .collect(),
    ))
}
