//! The deep check: walks every patient key, every record and every row that decides, by id, round and
//! round, at a bounded rate; opens each, and writes down what does not fit. It is the only thing that looks
//! at a record nobody reads. At the end of a round it compares the audit trail with its tree, in parts (`audit::check`).
//!
//! One process walks at a time, and another goes on where it stopped (`store::deep_check`). Rows are
//! read, then judged off the async threads with no transaction open, then findings are written. What a
//! document says is dropped, wiped, as soon as its hash is known.

mod rows;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use chain::Client;
use domain::{
    ids::{RecordId, RequestId},
    integrity::{CheckStage, FindingKind},
    stored::{StoredKey, StoredRecord},
};
use futures::FutureExt as _;
use serde_json::{Value, json};
use store::{
    Pool, StoreError, audit,
    cursor::Registry,
    deep_check::{self, CheckPosition, CheckRound, KeyToCheck},
    feed, findings, records,
};
use uuid::Uuid;
use vault::{
    keyring::{Keyring, KeysUnavailable},
    row::{self, Opened},
};

use crate::{
    audit::{
        check::parts::{TrailPosition, check_part},
        finding,
    },
    instruments::instruments,
    records::decrypt::{self, FindingTarget},
};

/// How many rows are read at once, at most: documents of 1 MiB must not fill the memory.
const STEP: u32 = 16;
/// How many rows a part of the trail counts as: those are hashed, and no document is opened.
const PART: usize = 16;
/// How long to wait where there is nothing to check, somebody else checks, or the check rests.
const IDLE: Duration = Duration::from_secs(1);
/// How often an operator who waits for a round is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What the check works with.
#[derive(Debug)]
pub(crate) struct DeepCheck {
    /// The database.
    pub(crate) pool: Pool,
    /// The master keys.
    pub(crate) keyring: Arc<Keyring>,
    /// The registry that the trail is pinned in.
    pub(crate) registry: Registry,
    /// The node.
    pub(crate) client: Client,
    /// How many rows a second, at most; not 0.
    pub(crate) per_second: u32,
    /// How long it rests between two rounds: a small database is walked in no time.
    pub(crate) rest: Duration,
}

/// Why a step came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckStepError {
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No key can be unwrapped now: that is no finding.
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
}

/// What a step came to.
enum CheckStep {
    /// So many rows were checked; none where a stage has ended.
    Checked(usize),
    /// Another process walks, or the check rests.
    NotOurs,
    /// The last row was checked before.
    Ended(CheckRound),
}

impl CheckStep {
    /// How many rows were checked.
    const fn rows(&self) -> usize {
        match self {
            Self::Checked(rows) => *rows,
            Self::NotOurs | Self::Ended(_) => 0,
        }
    }
}

impl DeepCheck {
    /// Checks until the process ends.
    pub(crate) async fn run(self) {
        let holder = RequestId::fresh();
        loop {
            let began = Instant::now();
            // A row that makes us panic must not end the process, and with it everything else.
            let checked = match AssertUnwindSafe(self.step(holder)).catch_unwind().await {
                Ok(Ok(step)) => step.rows(),
                Err(_) => {
                    tracing::error!("The deep check panicked; trying again");
                    0
                }
                Ok(Err(CheckStepError::Store(error))) => {
                    tracing::warn!(
                        sql_state = error.sql_state(),
                        "The deep check cannot read or write; trying again"
                    );
                    0
                }
                Ok(Err(CheckStepError::Keys(error))) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(cause, "The deep check cannot open anything; trying again");
                    0
                }
            };
            let rows = u64::try_from(checked).unwrap_or_default();
            instruments().checked_rows.inc_by(rows);
            let due = match u32::try_from(checked) {
                Ok(0) | Err(_) => IDLE,
                Ok(checked) => Duration::from_secs(1) * checked / self.per_second,
            };
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
    }

    /// Walks everything once, from the beginning, whoever walked before, and tells how far it is. `None` where another process has
    /// taken the walk meanwhile.
    ///
    /// # Errors
    /// [`CheckStepError`].
    pub(crate) async fn round(&self, tell: fn(&str)) -> Result<Option<CheckRound>, CheckStepError> {
        let holder = RequestId::fresh();
        deep_check::begin_anew(&mut *self.pool.acquire().await?, holder).await?;
        let (mut checked, mut told) = (0, Instant::now());
        loop {
            match self.step(holder).await? {
                CheckStep::Checked(rows) => checked += rows,
                CheckStep::NotOurs => return Ok(None),
                CheckStep::Ended(round) => return Ok(Some(round)),
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tell(&format!(
                    "the deep check has opened {checked} keys, records and rows"
                ));
            }
        }
    }

    /// Checks the next rows.
    async fn step(&self, holder: RequestId) -> Result<CheckStep, CheckStepError> {
        let mut conn = self.pool.acquire().await?;
        let Some(check_position) = deep_check::hold(&mut conn, holder, self.rest).await? else {
            return Ok(CheckStep::NotOurs);
        };
        let limit = i64::from(STEP.min(self.per_second));
        match check_position.stage {
            CheckStage::Keys => {
                let keys =
                    deep_check::keys_after(&mut conn, check_position.position, limit).await?;
                let Some(last) = keys.last().map(|it| it.key.id.0) else {
                    return Ok(begin(&mut conn, holder, CheckStage::Records).await?);
                };
                drop(conn);
                let wrong = self.keys(&keys).await?;
                let note = self.note(holder, CheckStage::Keys, last, keys.len(), wrong);
                Ok(note.await?)
            }
            CheckStage::Records => {
                let ids =
                    deep_check::records_after(&mut conn, check_position.position, limit).await?;
                let Some(last) = ids.last().copied() else {
                    return Ok(begin(&mut conn, holder, CheckStage::Accounts).await?);
                };
                let rows = records::sealed(&mut conn, &ids).await?;
                let reported = findings::open_about(&mut conn, &ids).await?;
                drop(conn);
                let wrong = self.records(rows, &reported).await?;
                let note = self.note(holder, CheckStage::Records, last.0, ids.len(), wrong);
                Ok(note.await?)
            }
            CheckStage::Trail => {
                drop(conn);
                Ok(self.trail(holder, check_position.position).await?)
            }
            CheckStage::Accounts
            | CheckStage::Consents
            | CheckStage::Factors
            | CheckStage::Sessions
            | CheckStage::Proposals
            | CheckStage::Codes
            | CheckStage::Windows
            | CheckStage::Deletions
            | CheckStage::Holds
            | CheckStage::Organizations
            | CheckStage::Memberships
            | CheckStage::Representatives
            | CheckStage::Appointments
            | CheckStage::Receipts => {
                let checked = rows::check(&mut conn, &self.keyring, check_position, limit).await?;
                let Some(last) = checked.last else {
                    let next = match check_position.stage {
                        CheckStage::Accounts => CheckStage::Consents,
                        CheckStage::Consents => CheckStage::Factors,
                        CheckStage::Factors => CheckStage::Sessions,
                        CheckStage::Sessions => CheckStage::Proposals,
                        CheckStage::Proposals => CheckStage::Codes,
                        CheckStage::Codes => CheckStage::Windows,
                        CheckStage::Windows => CheckStage::Deletions,
                        CheckStage::Deletions => CheckStage::Holds,
                        CheckStage::Holds => CheckStage::Receipts,
                        CheckStage::Receipts => CheckStage::Representatives,
                        CheckStage::Representatives => CheckStage::Appointments,
                        CheckStage::Appointments => CheckStage::Organizations,
                        CheckStage::Organizations => CheckStage::Memberships,
                        CheckStage::Keys
                        | CheckStage::Records
                        | CheckStage::Memberships
                        | CheckStage::Trail => CheckStage::Trail,
                    };
                    return Ok(begin(&mut conn, holder, next).await?);
                };
                drop(conn);
                checked.write_down(&self.pool).await?;
                let (count, wrong) = (checked.count, checked.wrong.len());
                let note = self.note(holder, check_position.stage, last, count, wrong);
                Ok(note.await?)
            }
        }
    }

    /// Checks the next part of the audit trail; behind the last one the round ends.
    async fn trail(&self, holder: RequestId, position: Uuid) -> Result<CheckStep, StoreError> {
        let position = TrailPosition::of(position);
        let part = check_part(&self.pool, &self.registry, &self.client, position).await?;
        finding::settle(&self.pool, &part.faults, &part.right).await?;
        let next = part.next.unwrap_or(position).to_uuid();
        let wrong = part.faults.len();
        self.note(holder, CheckStage::Trail, next, part.rows, wrong)
            .await?;
        if part.next.is_some() {
            return Ok(CheckStep::Checked(PART));
        }
        let mut conn = self.pool.acquire().await?;
        let ended = findings::about_ended_rows(&mut conn).await?;
        rows::resolve(&self.pool, &ended).await?;
        end_round(&mut conn, holder).await
    }

    async fn note(
        &self,
        holder: RequestId,
        stage: CheckStage,
        position: Uuid,
        checked: usize,
        wrong: usize,
    ) -> Result<CheckStep, StoreError> {
        let check_position = CheckPosition { stage, position };
        let [done, bad] = [checked, wrong].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let mut conn = self.pool.acquire().await?;
        deep_check::note(&mut conn, holder, check_position, done, bad).await?;
        Ok(CheckStep::Checked(checked))
    }

    /// Checks keys. Gives how many are wrong.
    async fn keys(&self, keys: &[KeyToCheck]) -> Result<usize, CheckStepError> {
        let stored: Vec<&StoredKey> = keys.iter().map(|it| &it.key).collect();
        let unwrapped = self.keyring.unwrap(&stored).await?;
        let mut wrong = 0;
        for (it, unwrapped) in keys.iter().zip(unwrapped) {
            let right = row::key_is_right(&it.key, unwrapped.is_ok(), it.destruction_is_known);
            wrong += usize::from(!right);
            if !right || it.is_reported {
                settle_key(&self.pool, &it.key, right).await?;
            }
        }
        Ok(wrong)
    }

    /// Checks records. Gives how many are wrong.
    async fn records(
        &self,
        rows: Vec<StoredRecord>,
        reported: &[RecordId],
    ) -> Result<usize, CheckStepError> {
        let stored: Vec<&StoredKey> = rows.iter().filter_map(|row| row.key.as_ref()).collect();
        let mut keys = self.keyring.unwrap(&stored).await?.into_iter();
        let keys: Vec<_> = rows
            .iter()
            .map(|row| row.key.as_ref().and_then(|_| keys.next()?.ok()))
            .collect();
        let judged = tokio::task::spawn_blocking(move || {
            let judge = |(row, key): (StoredRecord, Option<_>)| {
                let found = if row::is_erased(&row) {
                    None
                } else {
                    let opened: Opened = row::open(&row, key.as_ref());
                    decrypt::finding_of(&row, &opened)
                };
                (row, found)
            };
            rows.into_iter().zip(keys).map(judge).collect::<Vec<_>>()
        });
        // A panic in there is a fault of ours: the rows are tried again, and it is logged as one.
        let judged: Vec<(StoredRecord, Option<(FindingKind, Value)>)> =
            judged.await.unwrap_or_default();
        let mut wrong = 0;
        for (row, found) in judged {
            wrong += usize::from(found.is_some());
            if found.is_some() || reported.contains(&row.id) {
                decrypt::record_findings(&self.pool, &row, found).await?;
            }
        }
        Ok(wrong)
    }
}

async fn begin(
    conn: &mut store::PgConnection,
    holder: RequestId,
    stage: CheckStage,
) -> Result<CheckStep, StoreError> {
    let check_position = CheckPosition {
        stage,
        position: Uuid::nil(),
    };
    deep_check::note(conn, holder, check_position, 0, 0).await?;
    Ok(CheckStep::Checked(0))
}

async fn end_round(
    conn: &mut store::PgConnection,
    holder: RequestId,
) -> Result<CheckStep, StoreError> {
    let Some(round) = deep_check::end_round(conn, holder).await? else {
        return Ok(CheckStep::NotOurs);
    };
    if round.keys + round.records + round.rows > 0 {
        let seconds = (round.ended_at - round.began_at).num_seconds();
        tracing::info!(
            keys = round.keys,
            records = round.records,
            rows = round.rows,
            wrong = round.wrong,
            seconds,
            "Checked every key and every record"
        );
    }
    Ok(CheckStep::Ended(round))
}

/// Writes down that a key is wrong, or right again.
async fn settle_key(pool: &Pool, key: &StoredKey, right: bool) -> Result<(), StoreError> {
    let subject = FindingTarget::of_key(key);
    let about = findings::Subject::Key(key.id);
    let kind = FindingKind::Undecryptable;
    let mut tx = pool.begin().await?;
    let mut events = Vec::new();
    if right {
        let closed = findings::resolve(&mut tx, kind, about).await?;
        events.extend(closed.into_iter().map(|id| subject.resolved(id)));
    } else {
        let details = json!({ "patientKey": key.id, "masterKey": key.master_key_id });
        tracing::error!(key.id = %key.id, "Patient key {} failed its integrity check", key.id);
        if let Some(id) = findings::open_unrecorded(&mut tx, kind, about, &details).await? {
            audit::insert(&mut tx, &[subject.failure(kind, id)]).await?;
            events.push(subject.opened(id));
        }
    }
    feed::append(&mut tx, &events).await?;
    tx.commit().await
}
