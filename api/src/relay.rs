//! Hands signed transactions to the node, again and again until they are mined. Sending the same bytes
//! twice is harmless, so nothing here has to be remembered and two relays at once do no harm.
//!
//! What the registry would refuse now is not sent: it would be mined without effect. While the registry is paused, or takes
//! nothing from this account, everything waits; where registrars have ended as many records as they may in this hour, what
//! supersedes another version waits, and what has a later nonce with it. Closings get their nonce here (`closings`), once they
//! can be done, and so does what patients' wallets have signed of consents (`consents`).
//!
//! What gets nowhere is signed again: with a higher fee where it offers too little (`raising`), with another nonce where
//! its own was used without effect (`again`). What another key of ours has signed is sent to its end (`others`). A record that
//! waits for an operator is a finding meanwhile (`stuck`). What cannot be taken back or costs money is done only where a second node
//! says the same (`agreed`).
//!
//! Each account that is in use has a relay of its own, so that one which cannot pay holds up no other. What is nobody's in
//! particular, the relay of the first one does.

mod again;
pub(crate) mod agreed;
mod closings;
mod consents;
pub(crate) mod ends;
mod handing_over;
mod others;
mod raising;
mod stuck;

use std::{collections::HashSet, sync::Arc, time::Duration};

use chain::{ChainAddress, Client, Fees, RegistryRoom, Signer, Signers};
use store::{
    PgConnection, Pool, StoreError,
    closings::{ClosedBy, DueClosing},
    outbox::{
        self, DueTransaction, EndsUnderWay,
        again::{self as failed_anchors, FailedAnchor},
    },
    receipts::{StoredReceipt, relaying as receipts},
    signers::{self, SignerAccount},
};
use tokio::sync::{Mutex, Notify, watch};
use vault::keyring::Keyring;

use self::{
    ends::{EndClaims, EndDecision},
    stuck::StuckReason,
};

/// How often the outbox is looked at without a notification.
const POLL: Duration = Duration::from_millis(500);
/// How many transactions are handed over before the outbox is looked at again.
const BATCH: i64 = 256;
/// How many anchors are signed again in one go: the node is asked about each.
const AGAIN_AT_ONCE: i64 = 64;
/// How many travel in one request. Public nodes take a hundred and more.
const TOGETHER: usize = 64;
/// When a transaction that was taken and not mined is handed over again: nodes forget.
const AGAIN_IN: Duration = Duration::from_secs(15);
/// When a transaction that was not taken is tried again.
const RETRY_IN: Duration = Duration::from_secs(2);

/// What the relay of an account works with.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The database.
    pub(crate) pool: Pool,
    /// The node.
    pub(crate) client: Client,
    /// The chain.
    pub(crate) chain_id: i64,
    /// The account whose transactions are sent.
    pub(crate) signer: Arc<Signer>,
    /// All that are in use.
    pub(crate) signers: Signers,
    /// What all relays have decided to supersede or close: the registry counts those of all accounts together.
    pub(crate) ends: EndClaims,
    /// What a transaction should offer now.
    pub(crate) fees: watch::Receiver<Fees>,
    /// The most that one may offer. Unit: wei per gas.
    pub(crate) most_fee: u128,
    /// When one that is in no block is replaced by one that offers more, where more is usual by then.
    pub(crate) raise_after: Duration,
    /// Notified when there is something to send.
    pub(crate) wake: Arc<Notify>,
    /// The registry of consents, where it is told what patients' wallets have signed.
    pub(crate) consents: Option<ChainAddress>,
    /// By what a receipt of a consent is believed.
    pub(crate) keyring: Arc<Keyring>,
    /// The rows of the outbox whose nonce seems to be used by somebody else: nodes that stand behind one another may each say
    /// something else for a moment, so it counts when it is seen again.
    pub(crate) doubts: Mutex<HashSet<i64>>,
}

/// Why something waits that could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The registry takes nothing.
    Paused,
    /// It takes nothing from this account.
    NoRole,
    /// Registrars have ended as many records in this hour as this one may.
    LimitReached,
}

/// What there is to do for an account.
struct DueWork {
    transactions: Vec<DueTransaction>,
    failed: Vec<FailedAnchor>,
    closings: Vec<DueClosing>,
    receipts: Vec<StoredReceipt>,
}

impl DueWork {
    fn is_empty(&self) -> bool {
        self.transactions.is_empty()
            && self.failed.is_empty()
            && self.closings.is_empty()
            && self.receipts.is_empty()
    }
}

impl Relay {
    /// Sends until the process ends.
    pub(crate) async fn run(self) {
        let mut waiting = None;
        loop {
            let again = match self.round(&mut waiting).await {
                Ok(sent_all) => sent_all,
                Err(error) => {
                    tracing::warn!(
                        sql_state = error.sql_state(),
                        "The outbox cannot be read; trying again"
                    );
                    false
                }
            };
            if !again {
                // A notification that comes while we work is taken at once afterwards.
                tokio::time::timeout(POLL, self.wake.notified()).await.ok();
            }
        }
    }

    /// One look at the outbox. True where there may be more to do at once.
    async fn round(&self, waiting: &mut Option<Waiting>) -> Result<bool, StoreError> {
        let address = self.signer.address().to_string();
        let signer = SignerAccount {
            chain_id: self.chain_id,
            address: &address,
        };
        if self.is_first() {
            stuck::close(&self.pool).await?;
        }
        let more = self.go_on(signer, waiting).await?;
        if self.is_first() {
            self.finish_others().await?;
        }
        Ok(more)
    }

    /// Whether this is the relay of the account that was named first.
    fn is_first(&self) -> bool {
        self.signers.first().address() == self.signer.address()
    }

    /// What there is to do for the account.
    async fn due_work(&self, signer: SignerAccount<'_>) -> Result<DueWork, StoreError> {
        let mut conn = self.pool.acquire().await?;
        let in_use = self.in_use(&mut conn).await?;
        let transactions = outbox::due(&mut conn, signer, BATCH).await?;
        let mut failed = failed_anchors::due(&mut conn, signer, &in_use, AGAIN_AT_ONCE).await?;
        // What none of those that are in use has signed goes to the account that begins the patient's records.
        failed.retain(|it| it.signer == signer.address || self.is_of_patient(it));
        let by = ClosedBy {
            signer,
            others: self.is_first(),
            in_use: &in_use,
        };
        let closings = store::closings::due(&mut conn, by, closings::AT_ONCE).await?;
        let mut receipts = match self.consents {
            Some(_) => receipts::due(&mut conn, self.chain_id, consents::AT_ONCE).await?,
            None => Vec::new(),
        };
        let own = self.signer.address();
        receipts.retain(|it| self.signers.of_consent(it.consent).address() == own);
        Ok(DueWork {
            transactions,
            failed,
            closings,
            receipts,
        })
    }

    /// The accounts whose work is their own: those whose keys are here, and those that are in use, whoever has their keys. Has the
    /// writer begin with those in use.
    async fn in_use(&self, conn: &mut PgConnection) -> Result<Vec<String>, StoreError> {
        let in_use = signers::in_use(conn, self.chain_id).await?;
        self.signers.begin_with(&in_use);
        let here = self.signers.addresses();
        let elsewhere = in_use.into_iter().filter(|it| !here.contains(it));
        Ok(here.iter().cloned().chain(elsewhere).collect())
    }

    fn is_of_patient(&self, anchor: &FailedAnchor) -> bool {
        self.signers.of_patient(anchor.patient).address() == self.signer.address()
    }

    /// Everything of the account that signs. True where there may be more to do at once.
    async fn go_on(
        &self,
        signer: SignerAccount<'_>,
        waiting: &mut Option<Waiting>,
    ) -> Result<bool, StoreError> {
        let work = self.due_work(signer).await?;
        if work.is_empty() {
            return Ok(false);
        }
        // Until what is decided here is written down. Begun before it is read what is under way.
        let decision = self.ends.begin();
        let DueWork {
            transactions: mut due,
            failed,
            closings: to_close,
            receipts: to_tell,
        } = work;
        let mut conn = self.pool.acquire().await?;
        let under_way = outbox::under_way(&mut conn, signer).await?;
        drop(conn);
        let room = match self.client.room(self.signer.address()).await {
            Ok(room) => room,
            Err(error) => {
                self.put_off_all(&due, &error).await?;
                self.put_off_failed(&failed, again_after(&error)).await?;
                return Ok(false);
            }
        };
        let is_full = i64::try_from(due.len()).is_ok_and(|rows| rows >= BATCH);
        let held = due.split_off(claim_sendable(&decision, &due, room, under_way));
        // Earlier versions come first: what is signed again gets its nonce before anything else does.
        let again = self
            .sign_again(signer, &failed, room, (under_way, &decision))
            .await?;
        let under_way = EndsUnderWay {
            queued: under_way.queued + again.ends,
            ..under_way
        };
        let closed = self
            .close(signer, &to_close, room, (under_way, &decision))
            .await?;
        let waits = !held.is_empty() || !closed.all || !again.all;
        note_waiting(self.signer.address(), waiting, room, waits);
        self.hold(&held, room).await?;
        // Anchors first: telling asks the node about each consent.
        let handed = self.send(self.signer.address(), &due).await?;
        let told = handed.is_reachable && self.tell_consents(signer, to_tell).await;
        let has_more = again.any || closed.any || handed.raised || told;
        Ok(handed.is_reachable && (has_more || (is_full && held.is_empty())))
    }

    /// Puts off what the registry would not take now.
    async fn hold(&self, held: &[DueTransaction], room: RegistryRoom) -> Result<(), StoreError> {
        if held.is_empty() {
            return Ok(());
        }
        if !room.paused
            && !room.may_anchor
            && let Some(first) = held.iter().find(|it| it.is_first)
        {
            stuck::open(&self.pool, first, StuckReason::RoleLost).await?;
        }
        let held: Vec<i64> = held.iter().map(|it| it.outbox).collect();
        let mut conn = self.pool.acquire().await?;
        outbox::put_off(&mut conn, &held, RETRY_IN).await
    }

    /// Signs what the registry of consents is to be told, where it is told anything. True where anything was signed. What
    /// fails is tried again, and holds up nothing else.
    async fn tell_consents(&self, signer: SignerAccount<'_>, due: Vec<StoredReceipt>) -> bool {
        let Some(contract) = self.consents else {
            return false;
        };
        self.tell(signer, contract, due)
            .await
            .unwrap_or_else(|error| {
                tracing::warn!(
                    sql_state = error.sql_state(),
                    "The registry of consents cannot be told now; trying again"
                );
                false
            })
    }

    /// Notes that the node cannot be reached.
    async fn put_off_all(
        &self,
        due: &[DueTransaction],
        error: &chain::ClientError,
    ) -> Result<(), StoreError> {
        tracing::warn!(%error, waiting = due.len(), "The node cannot be reached; the outbox waits");
        let due: Vec<i64> = due.iter().map(|it| it.outbox).collect();
        let mut conn = self.pool.acquire().await?;
        outbox::put_off(&mut conn, &due, again_after(error)).await
    }
}

/// When something is tried again that the node gave no answer to: as late as it asks for, at least.
fn again_after(error: &chain::ClientError) -> Duration {
    error.retry_after().unwrap_or_default().max(RETRY_IN)
}

/// How many of these the registry would take now, beside what other relays have decided to end meanwhile.
fn claim_sendable(
    decision: &EndDecision,
    due: &[DueTransaction],
    room: RegistryRoom,
    under_way: EndsUnderWay,
) -> usize {
    decision.claim(|taken| {
        let under_way = EndsUnderWay {
            sent: under_way.sent + taken,
            ..under_way
        };
        let fits = sendable(due, room, under_way);
        let new_ends = due.iter().take(fits).filter(|it| it.ends && !it.is_sent);
        (fits, i64::try_from(new_ends.count()).unwrap_or(i64::MAX))
    })
}

/// How many of these, in the order of nonces, the registry would take now: all that were handed over before, and as
/// many that end a record as are left in this hour. What is under way may be counted twice for a moment, by the node
/// and by us, which makes the room smaller and never larger.
fn sendable(due: &[DueTransaction], room: RegistryRoom, under_way: EndsUnderWay) -> usize {
    if room.paused || !room.may_anchor {
        return 0;
    }
    let mut left = i64::from(room.left) - under_way.sent;
    due.iter()
        .position(|it| {
            let is_new_end = it.ends && !it.is_sent;
            left -= i64::from(is_new_end);
            is_new_end && left < 0
        })
        .unwrap_or(due.len())
}

/// Says once that something waits for the registry, and once that nothing does any more.
fn note_waiting(
    account: ChainAddress,
    before: &mut Option<Waiting>,
    room: RegistryRoom,
    waits: bool,
) {
    let now = match (waits, room.paused, room.may_anchor) {
        (false, ..) => None,
        (true, true, _) => Some(Waiting::Paused),
        (true, false, false) => Some(Waiting::NoRole),
        (true, false, true) => Some(Waiting::LimitReached),
    };
    if *before == now {
        return;
    }
    match now {
        Some(Waiting::Paused) => {
            tracing::warn!(
                %account,
                "The registry is paused: nothing is sent until its administrator releases it"
            );
        }
        Some(Waiting::NoRole) => {
            tracing::error!(
                %account,
                "The registry takes nothing from this account: nothing of it is sent until its administrator gives it the registrar's role, or another key is used"
            );
        }
        Some(Waiting::LimitReached) => tracing::warn!(
            %account,
            limit = room.limit,
            "Registrars have ended as many records in this hour as the registry lets this account: what ends another waits, and so does what was signed after it"
        ),
        None => tracing::info!(%account, "Nothing waits for the registry any more"),
    }
    *before = now;
}

#[cfg(test)]
mod tests {
    use domain::ids::RecordId;
    use store::outbox::OutboxKind;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_the_registry_would_refuse_is_held_and_what_comes_after_it() {
        let room = |paused, left| RegistryRoom {
            paused,
            may_anchor: true,
            limit: 100,
            left,
        };
        let without_the_role = RegistryRoom {
            may_anchor: false,
            ..room(false, 100)
        };
        let cases = [
            // the outbox: a is an anchor, e ends a record, E was sent before; what the registry says; sent → how many go
            ("aeae", room(true, 100), 0, 0),
            ("aeae", without_the_role, 0, 0),
            ("", room(false, 100), 0, 0),
            ("aeae", room(false, 100), 0, 4),
            ("aeae", room(false, 1), 0, 3),
            ("aeae", room(false, 0), 0, 1),
            ("aaa", room(false, 0), 9, 3),
            ("aEae", room(false, 2), 1, 4),
            ("aEae", room(false, 1), 1, 3),
            // What was mined and is not known here yet counts twice: never too little.
            ("EEe", room(false, 1), 2, 2),
        ];
        for (outbox, room, sent, wanted) in cases {
            let due: Vec<DueTransaction> = outbox
                .chars()
                .map(|it| DueTransaction {
                    outbox: 1,
                    of: RecordId(Uuid::nil()).into(),
                    nonce: 1,
                    tx_hash: String::new(),
                    raw_transaction: Vec::new(),
                    kind: OutboxKind::Anchor,
                    ends: it != 'a',
                    is_sent: it == 'E',
                    max_fee_per_gas: 1,
                    signed_seconds: 0.0,
                    is_first: false,
                })
                .collect();
            let under_way = EndsUnderWay { sent, queued: 0 };
            assert_eq!(
                sendable(&due, room, under_way),
                wanted,
                "{outbox} {room:?} {sent}"
            );
        }
    }
}
