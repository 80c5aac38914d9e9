//! Carries out what was approved to be erased, when the days of grace are over: step by step, each a transaction that notes
//! that it was done, so that another process goes on where one stopped. One process does it at a time.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, EncryptionStatus, Origin, ResourceType},
    deletion::{Approval, Coverage, DeletionRequest, DeletionStatus, DeletionStep, ErasureStep},
    ids::{DeletionRequestId, RequestId, UserId},
    integrity::ClosingReason,
    purpose::Purpose,
    users::{Role, SCHEDULER},
};
use serde_json::{Value, json};
use store::{
    Pool, StoreError, Tx, audit, barrier, closings,
    deletion::{
        self,
        execution::{self, DueRequest},
    },
    housekeeping, users,
};
use tokio::time::MissedTickBehavior;

use super::{account, certificate, entries::save, holds};
use crate::{
    erasure_ledger::{self, LedgerEntry, file::LedgerFile},
    error::Error,
    seals::Seals,
};

/// How many requests are asked for at a time.
const AT_ONCE: i64 = 100;
/// How many records are erased in one transaction.
const BATCH: i32 = 200;
/// The lock of whoever is at it.
const LOCK: &str = "meditrustal erasures";

/// What carries requests out.
#[derive(Debug)]
pub(crate) struct Executor {
    /// The database.
    pub(crate) pool: Pool,
    /// By what a request, its approvals and holds are believed.
    pub(crate) seals: Seals,
    /// The ledger beside the database; without one it is in the database alone.
    pub(crate) ledger: Option<Arc<LedgerFile>>,
    /// How often it is looked for what is due.
    pub(crate) every: Duration,
}

/// What is to be done with a request now.
struct Job<'a> {
    seals: &'a Seals,
    origin: Origin,
    request: DeletionRequest,
    /// Whether it was begun since it was approved: what has begun ends, whoever has left since.
    has_begun: bool,
}

impl Executor {
    /// Looks again and again.
    pub(crate) async fn run(self) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "What is to be erased cannot be looked for; trying again");
            }
        }
    }

    /// Goes through all that is due: those that cannot be carried out stop no other.
    async fn round(&self) -> Result<(), StoreError> {
        // Nothing is due by a database that knows fewer erasures than the ledger.
        if !self.is_ledger_written().await {
            return Ok(());
        }
        let mut after = None;
        loop {
            let due = self.due(after).await?;
            let Some(last) = due.last().copied() else {
                return Ok(());
            };
            for it in due {
                self.carry_out(it.id, it.subject).await;
            }
            after = Some(last);
        }
    }

    async fn due(&self, after: Option<DueRequest>) -> Result<Vec<DueRequest>, StoreError> {
        let mut tx = self.pool.begin().await?;
        if !housekeeping::is_alone(&mut tx, LOCK).await? {
            return Ok(Vec::new());
        }
        let due = execution::due(&mut tx, after, AT_ONCE).await?;
        tx.commit().await?;
        Ok(due)
    }

    async fn carry_out(&self, id: DeletionRequestId, subject: UserId) {
        loop {
            // What was erased is on the disk before more is.
            if !self.is_ledger_written().await {
                return;
            }
            match self.step(id, subject).await {
                Ok(true) => {}
                Ok(false) => {
                    self.is_ledger_written().await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(deletion.id = %id, %error, "Request {id} cannot be carried out now; trying again");
                    return;
                }
            }
        }
    }

    async fn is_ledger_written(&self) -> bool {
        let Some(ledger) = &self.ledger else {
            return true;
        };
        let written = ledger.follow(&self.pool, self.seals.keyring()).await;
        if let Err(error) = &written {
            tracing::error!(%error, "Nothing is erased: the erasure ledger cannot be written");
        }
        written.is_ok()
    }

    /// Goes one step, in one transaction. False where nothing is to be done now.
    async fn step(&self, id: DeletionRequestId, subject: UserId) -> Result<bool, Error> {
        let mut tx = self.pool.begin().await?;
        if !housekeeping::is_alone(&mut tx, LOCK).await? {
            return Ok(false);
        }
        barrier::lock_exclusive(&mut tx, [subject]).await?;
        let Some(sealed) = deletion::lock(&mut tx, id).await? else {
            return Ok(false);
        };
        // One that is not as it was sealed is reported, and not carried out.
        let Some(request) = self.seals.open(sealed) else {
            return Ok(false);
        };
        let done = execution::done(&mut tx, id).await?;
        let job = Job {
            seals: &self.seals,
            origin: Origin::job(RequestId::fresh()),
            has_begun: has_begun(&request, &done),
            request,
        };
        let goes_on = match job.request.status {
            DeletionStatus::Scheduled | DeletionStatus::Failed => job.begin(&mut tx).await?,
            DeletionStatus::Executing => job.next(&mut tx).await?,
            DeletionStatus::Pending
            | DeletionStatus::Verified
            | DeletionStatus::Expired
            | DeletionStatus::UnderReview
            | DeletionStatus::OnHold
            | DeletionStatus::Approved
            | DeletionStatus::PartiallyApproved
            | DeletionStatus::Rejected
            | DeletionStatus::Cancelled
            | DeletionStatus::Completed => false,
        };
        tx.commit().await?;
        Ok(goes_on)
    }
}

/// Whether the beginning is among these steps and came after the approvals.
fn has_begun(request: &DeletionRequest, done: &[(ErasureStep, DateTime<Utc>)]) -> bool {
    let begun = done.iter().find(|(step, _)| *step == ErasureStep::Begin);
    let approvals = [request.first_approval, request.second_approval];
    begun.is_some_and(|(_, begun)| approvals.iter().flatten().all(|it| it.at <= *begun))
}

impl Job<'_> {
    /// Begins, where the days of grace are over, the approvals are what they were, and no hold stands in the way.
    async fn begin(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let now = users::now(tx).await?;
        if self.request.scheduled_for.is_none_or(|at| now < at) {
            return Ok(false);
        }
        if self.lacks_approver(tx).await? {
            let said = json!({ "approverLeft": true });
            return self.is_asked_again(tx, said).await;
        }
        if !self.is_approved(tx).await? {
            let id = self.request.id;
            tracing::error!(deletion.id = %id, "Request {id} is not carried out: its approvals are not in the audit trail, or of nobody who may give them");
            return Ok(false);
        }
        if let Some(held) = self.held(tx).await? {
            return Ok(held);
        }
        if self.asks_again(tx).await? {
            return Ok(false);
        }
        let Some(begun) = self.request.after(DeletionStep::Begin) else {
            return Ok(false);
        };
        execution::forget(tx, begun.id).await?;
        execution::note(tx, begun.id, ErasureStep::Begin).await?;
        save(self.seals, tx, &begun).await?;
        let said = json!({ "step": ErasureStep::Begin, "status": begun.status });
        audit::insert(tx, &[self.entry(AuditAction::DeletionExecute, said)]).await?;
        Ok(true)
    }

    /// Whether the request has to be decided once more: records that are still to be kept were stored since, and nobody said
    /// that such are erased. They are readable again until then.
    async fn asks_again(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let request = &self.request;
        // An account that is half erased takes no records any more, and goes on. Of the rest nothing is erased that was stored
        // since it began.
        if self.has_begun || request.overrides_retention {
            return Ok(false);
        }
        let named = &request.approved.records;
        let approved = Coverage {
            categories: request.approved.categories.clone(),
            records: deletion::versions_there(tx, request.user, named).await?,
        };
        let counted = DeletionRequest {
            scope: deletion::scope(tx, request.user, &approved).await?,
            ..request.clone()
        };
        let kept = counted.within_retention();
        if kept == 0 {
            return Ok(false);
        }
        self.is_asked_again(tx, json!({ "withinRetention": kept }))
            .await?;
        Ok(true)
    }

    /// Whether one of those who approved is an administrator no more: their approval counts as none. What has begun goes on.
    async fn lacks_approver(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let request = &self.request;
        if self.has_begun {
            return Ok(false);
        }
        let approvals = [request.first_approval, request.second_approval];
        for approval in approvals.into_iter().flatten() {
            // One that is not as it was sealed waits for an operator.
            let account = self.seals.account(tx, approval.by).await?;
            if account.is_some_and(|it| !it.is_active || it.role != Role::Admin) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts the request under review again, and lets its records be read until it is decided. Nothing more is to be done now.
    async fn is_asked_again(&self, tx: &mut Tx<'_>, mut said: Value) -> Result<bool, Error> {
        let request = &self.request;
        let Some(again) = request.after(DeletionStep::Review) else {
            return Ok(false);
        };
        let asked = Coverage {
            categories: request.asked.categories.clone(),
            records: deletion::versions_there(tx, request.user, &request.asked.records).await?,
        };
        let again = DeletionRequest {
            scope: deletion::scope(tx, request.user, &asked).await?,
            ..again.undecided()
        };
        save(self.seals, tx, &again).await?;
        let lifted = deletion::lift(tx, again.user).await?;
        if let Some(said) = said.as_object_mut() {
            said.insert("status".to_owned(), json!(again.status));
            said.insert("liftedRecords".to_owned(), json!(lifted));
        }
        let entry = AuditEntry {
            old_value: Some(json!({ "status": request.status })),
            ..self.entry(AuditAction::DeletionReview, said)
        };
        audit::insert(tx, &[entry]).await?;
        Ok(false)
    }

    /// Whether as many administrators approved as have to: each another one, none the subject, with accounts as they were sealed,
    /// and the audit trail says so. Before anything is done they are active administrators, too.
    async fn is_approved(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let request = &self.request;
        let approvals = [request.first_approval, request.second_approval];
        let approvals: Vec<Approval> = approvals.into_iter().flatten().collect();
        let is_subject = |it: &Approval| it.by == request.user;
        if approvals.len() != request.request_type.approvals()
            || approvals.iter().any(is_subject)
            || approvals.first().map(|it| it.by) == approvals.get(1).map(|it| it.by)
        {
            return Ok(false);
        }
        for approval in &approvals {
            // What has begun ends: they were looked at when it began.
            let account = self.seals.account(tx, approval.by).await?;
            let counts =
                account.is_some_and(|it| self.has_begun || it.is_active && it.role == Role::Admin);
            if !counts {
                return Ok(false);
            }
        }
        Ok(execution::are_in_trail(tx, request.id, &approvals).await?)
    }

    /// `None` where no hold stands in the way. What cannot be undone waits while a hold is not as it was sealed, or gone.
    async fn held(&self, tx: &mut Tx<'_>) -> Result<Option<bool>, Error> {
        if !holds::are_sound(self.seals, tx, self.request.user).await? {
            let id = self.request.id;
            tracing::error!(deletion.id = %id, "Request {id} is not carried out: a hold is not as it was sealed, or gone");
            return Ok(Some(false));
        }
        if !holds::is_held(self.seals, tx, &self.request).await? {
            return Ok(None);
        }
        if let Some(held) = self.request.after(DeletionStep::Hold) {
            save(self.seals, tx, &held).await?;
            let said = json!({ "status": held.status });
            audit::insert(tx, &[self.entry(AuditAction::DeletionHold, said)]).await?;
        }
        Ok(Some(false))
    }

    /// Goes the next step that is not done, unless a hold was placed meanwhile.
    async fn next(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        if let Some(held) = self.held(tx).await? {
            return Ok(held);
        }
        let done = execution::done(tx, self.request.id).await?;
        let is_done = |step: &&ErasureStep| done.iter().any(|(it, _)| it == *step);
        let steps = ErasureStep::of(self.request.request_type);
        let Some(step) = steps.iter().find(|step| !is_done(step)) else {
            return Ok(false);
        };
        let (is_done, said) = match step {
            ErasureStep::Begin => (true, json!({})),
            ErasureStep::Sessions => {
                let ended = account::end_sessions(self.seals, tx, self.request.user).await?;
                (true, json!({ "endedSessions": ended }))
            }
            ErasureStep::Consents => {
                let entry = |said| self.entry(AuditAction::ConsentWithdraw, said);
                let user = self.request.user;
                let (is_last, withdrawn) =
                    account::withdraw_consents(self.seals, tx, user, &entry).await?;
                (is_last, json!({ "withdrawnConsents": withdrawn }))
            }
            ErasureStep::Records => self.erase_records(tx).await?,
            ErasureStep::Keys => (true, self.destroy_keys(tx).await?),
            ErasureStep::Account => (true, self.erase_account(tx).await?),
            ErasureStep::Certificate => return self.conclude(tx).await,
        };
        if is_done {
            execution::note(tx, self.request.id, *step).await?;
        }
        let mut new = json!({ "step": step, "isDone": is_done });
        if let (Some(new), Some(said)) = (new.as_object_mut(), said.as_object()) {
            new.extend(said.clone());
        }
        audit::insert(tx, &[self.entry(AuditAction::DeletionExecute, new)]).await?;
        Ok(true)
    }

    /// Erases some records, and has the current ones closed on the chain.
    async fn erase_records(&self, tx: &mut Tx<'_>) -> Result<(bool, Value), Error> {
        let erased = execution::erase_records(tx, self.request.id, BATCH).await?;
        let current = erased.iter().filter(|(_, is_current)| *is_current);
        let closed: Vec<_> = current
            .map(|(record, _)| (*record, ClosingReason::PatientAsked))
            .collect();
        closings::insert(tx, &closed).await?;
        let is_done = i32::try_from(erased.len()).is_ok_and(|erased| erased < BATCH);
        let mut said = json!({ "erasedRecords": erased.len() });
        if !erased.is_empty() {
            let entry = LedgerEntry {
                records: erasure_ledger::ids(erased.iter().map(|(record, _)| *record)),
                ..LedgerEntry::of_request(self.request.id, self.request.user)
            };
            said["ledger"] = erasure_ledger::named(&entry.append(self.seals.keyring(), tx).await?);
        }
        Ok((is_done, said))
    }

    async fn destroy_keys(&self, tx: &mut Tx<'_>) -> Result<Value, Error> {
        let destroyed = execution::destroy_keys(tx, self.request.id).await?;
        let entries: Vec<AuditEntry> = destroyed
            .iter()
            .map(|key| AuditEntry {
                resource_type: ResourceType::PatientKey,
                resource_id: key.0,
                classification: Classification::Security,
                encryption: EncryptionStatus::KeyDestroyed,
                ..self.entry(
                    AuditAction::KeyDestroy,
                    json!({ "request": self.request.id }),
                )
            })
            .collect();
        audit::insert(tx, &entries).await?;
        let mut said = json!({ "destroyedKeys": destroyed.len() });
        if !destroyed.is_empty() {
            let entry = LedgerEntry {
                keys: erasure_ledger::key_ids(&destroyed),
                ..LedgerEntry::of_request(self.request.id, self.request.user)
            };
            said["ledger"] = erasure_ledger::named(&entry.append(self.seals.keyring(), tx).await?);
        }
        Ok(said)
    }

    /// The account stays, and says nothing of anybody.
    async fn erase_account(&self, tx: &mut Tx<'_>) -> Result<Value, Error> {
        let user = self.request.user;
        execution::remove_wallets(tx, self.request.id).await?;
        execution::erase_receipts(tx, self.request.id).await?;
        execution::erase_representations(tx, self.request.id).await?;
        execution::erase_reasons(tx, self.request.id).await?;
        account::pseudonymise(self.seals, tx, user).await?;
        let entry = LedgerEntry {
            account: true,
            ..LedgerEntry::of_request(self.request.id, user)
        };
        let head = entry.append(self.seals.keyring(), tx).await?;
        Ok(json!({ "account": "ERASED", "ledger": erasure_ledger::named(&head) }))
    }

    /// Looks whether anything is left, and issues the certificate; what is left makes the request fail, and all of it is done
    /// again.
    async fn conclude(&self, tx: &mut Tx<'_>) -> Result<bool, Error> {
        let request = &self.request;
        let left = execution::left(tx, request).await?;
        if left > 0 {
            if let Some(failed) = request.after(DeletionStep::Fail) {
                save(self.seals, tx, &failed).await?;
                let said = json!({ "status": failed.status, "left": left });
                audit::insert(tx, &[self.entry(AuditAction::DeletionExecute, said)]).await?;
                tracing::error!(deletion.id = %failed.id, left, "Request {} has left something; it is done again", failed.id);
            }
            return Ok(false);
        }
        let now = users::now(tx).await?;
        let (certificate, erased) = certificate::issue(tx, request, now).await?;
        let Some(completed) = request.after(DeletionStep::Complete) else {
            return Ok(false);
        };
        let completed = DeletionRequest {
            completed_at: Some(now),
            ..completed
        };
        execution::insert_certificate(tx, request.id, &certificate).await?;
        execution::note(tx, request.id, ErasureStep::Certificate).await?;
        save(self.seals, tx, &completed).await?;
        // What was stored since it began was kept from others until now.
        let lifted = deletion::lift(tx, request.user).await?;
        let head = erased.append(self.seals.keyring(), tx).await?;
        let said = json!({
            "status": completed.status, "certificate": certificate.sha256, "liftedRecords": lifted,
            "ledger": erasure_ledger::named(&head),
        });
        audit::insert(tx, &[self.entry(AuditAction::DeletionComplete, said)]).await?;
        Ok(false)
    }

    fn entry(&self, action: AuditAction, said: Value) -> AuditEntry {
        AuditEntry {
            resource_type: ResourceType::DeletionRequest,
            resource_id: self.request.id.0,
            new_value: Some(said),
            classification: Classification::SensitivePersonal,
            patient: Some(self.request.user),
            ..AuditEntry::new(SCHEDULER, action, Purpose::Compliance, &self.origin)
        }
    }
}
