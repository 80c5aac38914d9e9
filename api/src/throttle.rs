//! Throttling: whoever tries to get in passes here first. The rule is `domain::throttle`, the
//! counters are PostgreSQL's; here they are put together.
//!
//! ```ignore
//! let pass = throttle::pass(&app.throttle, &context.origin, Attempt::LogIn(login)).await?;
//! // … is the secret right? In the transaction with the audit row:
//! pass.failed(&app.throttle, &mut tx).await?;       // or
//! pass.succeeded(&app.throttle, &mut tx).await?;    // or, where being right proves nothing,
//! pass.given_back(&app.throttle, &mut tx).await?;
//! ```
//!
//! The attempt is charged before it is made. A pass that is dropped was a failure.

use std::time::Duration;

use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin},
    ids::UserId,
    purpose::Purpose,
    throttle::{AttemptKind, Counter, Network, Scope, ThrottleLimits, ThrottleState},
    users::{ANONYMOUS, User, fold},
};
use serde_json::json;
use store::{
    Pool, Tx, audit,
    throttle::{CounterKey, Counters, hold, save},
};
use tokio::sync::Semaphore;
use vault::digest;

use crate::{codes::ServiceLimit, error::Error, instruments::instruments};

/// How many attempts look at their counters at once: attempts from one address wait for one row, and
/// must not take all connections with them.
const AT_ONCE: usize = 4;
/// How many may wait for that.
const WAITING: usize = 256;

/// What is tried, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt<'a> {
    /// To log in, by whatever means, under a name that was typed or an account that was shown.
    LogIn(&'a str),
    /// To prove more, by an account that is known: the present password.
    Proof(UserId),
    /// To show a second factor. Apart from the rest: a password that is right every time must not make
    /// wrong codes forgotten.
    Code(UserId),
    /// To verify a deletion request by a wallet's signature. Apart from the rest, too: whoever holds a wallet must not make
    /// wrong passwords forgotten.
    Signature(UserId),
    /// To redeem an access code of a patient.
    AccessCode(UserId),
    /// To have the certificate of an erased account by its claim code.
    CertificateClaim,
    /// To go on with a session.
    Refresh,
    /// To make an account.
    Register,
    /// To be given a message for a wallet to log in with.
    Challenge,
    /// To be given a message for a wallet that this account would link.
    LinkChallenge(UserId),
    /// To be given what a wallet is to sign to verify a deletion request of this account.
    DeletionChallenge(UserId),
}

impl Attempt<'_> {
    const fn kind(self) -> AttemptKind {
        match self {
            Self::LogIn(_) => AttemptKind::LogIn,
            Self::Proof(_)
            | Self::Code(_)
            | Self::Signature(_)
            | Self::AccessCode(_)
            | Self::CertificateClaim => AttemptKind::Proof,
            Self::Refresh => AttemptKind::Refresh,
            Self::Register => AttemptKind::Register,
            Self::Challenge | Self::LinkChallenge(_) | Self::DeletionChallenge(_) => {
                AttemptKind::Challenge
            }
        }
    }

    /// The account that is tried, where it is known to be one.
    const fn account(self) -> UserId {
        match self {
            Self::Proof(user)
            | Self::Code(user)
            | Self::Signature(user)
            | Self::AccessCode(user)
            | Self::LinkChallenge(user)
            | Self::DeletionChallenge(user) => user,
            Self::LogIn(_)
            | Self::CertificateClaim
            | Self::Refresh
            | Self::Register
            | Self::Challenge => ANONYMOUS,
        }
    }

    /// What it is counted under; unknown names like known ones.
    fn name(self) -> Option<String> {
        match self {
            Self::LogIn(login) => Some(name_of(login)),
            Self::Proof(user) => Some(format!("proof {user}")),
            Self::Code(user) => Some(format!("code {user}")),
            Self::Signature(user) => Some(format!("signature {user}")),
            Self::AccessCode(user) => Some(format!("access code {user}")),
            Self::CertificateClaim
            | Self::Refresh
            | Self::Register
            | Self::Challenge
            | Self::LinkChallenge(_)
            | Self::DeletionChallenge(_) => None,
        }
    }

    /// Who is counted besides a name: an account that is known by its log-in, or else everybody in a network.
    fn sender(self, network: Network) -> String {
        match self {
            Self::LinkChallenge(user) | Self::DeletionChallenge(user) => format!("account {user}"),
            Self::LogIn(_)
            | Self::Proof(_)
            | Self::Code(_)
            | Self::Signature(_)
            | Self::AccessCode(_)
            | Self::CertificateClaim
            | Self::Refresh
            | Self::Register
            | Self::Challenge => network.to_string(),
        }
    }
}

/// What attempts of a kind are measured as.
const fn measured_as(kind: AttemptKind) -> &'static str {
    match kind {
        AttemptKind::LogIn => "log-in",
        AttemptKind::Proof => "proof",
        AttemptKind::Refresh => "refresh",
        AttemptKind::Register => "register",
        AttemptKind::Challenge => "challenge",
    }
}

fn name_of(login: &str) -> String {
    format!("log-in {}", fold(login))
}

/// A keyless digest of the name typed, for the audit trail: attempts on one name can be counted, and
/// a password typed into the wrong field is not stored.
pub(crate) fn login_digest(login: &str) -> String {
    digest::hex_of(fold(login).as_bytes())[..16].to_owned()
}

/// The limits, and access to the counters.
#[derive(Debug)]
pub(crate) struct Throttle {
    pool: Pool,
    limits: ThrottleLimits,
    at_once: Semaphore,
    waiting: Semaphore,
}

impl Throttle {
    /// With these limits; the counters are in this database.
    pub(crate) fn new(limits: ThrottleLimits, pool: Pool) -> Self {
        Self {
            pool,
            limits,
            at_once: Semaphore::new(AT_ONCE),
            waiting: Semaphore::new(AT_ONCE + WAITING),
        }
    }
}

/// An attempt that was let through and charged. What came of it is to be said in the end.
#[derive(Debug)]
#[must_use = "say whether it succeeded; what is dropped has failed"]
pub(crate) struct Pass {
    kind: AttemptKind,
    sender: String,
    name: Option<String>,
    /// Whether the address was charged: who gives back more than was taken could guess without end.
    is_address_charged: bool,
    /// The counter of the pair before this attempt, and with it.
    charged: Option<(Counter, Counter)>,
}

/// Lets an attempt through.
///
/// # Errors
/// [`Error::Throttled`], and when to try again. The first refusal of a name's wait is written down.
pub(crate) async fn pass(
    throttle: &Throttle,
    origin: &Origin,
    attempt: Attempt<'_>,
) -> Result<Pass, Error> {
    let _place = throttle.waiting.try_acquire().map_err(|_| Error::Busy {
        retry_after_seconds: 5,
        limit: Some(ServiceLimit::WaitingAttempts),
    })?;
    let _turn = throttle
        .at_once
        .acquire()
        .await
        .map_err(|_| Error::Unavailable)?;
    let mut pass = Pass {
        kind: attempt.kind(),
        sender: attempt.sender(Network::of(origin.address)),
        name: attempt.name(),
        is_address_charged: false,
        charged: None,
    };
    let (pair, account) = (pass.pair(), pass.account());
    let (address, everybody) = (pass.address(), everybody());
    let held: Vec<CounterKey> = pair.iter().chain([&address]).cloned().collect();
    let seen: Vec<CounterKey> = account.iter().chain([&everybody]).cloned().collect();

    let mut tx = throttle.pool.begin().await?;
    let found = hold(&mut tx, &held, &seen).await?;
    let state = ThrottleState {
        pair: pair.as_ref().map(|key| found.of(key)),
        address: found.of(&address),
        account: account.as_ref().map(|key| found.of(key)),
        everybody: found.of(&everybody),
    };
    match throttle.limits.charge(pass.kind, &state, found.now) {
        Ok(charged) => {
            pass.is_address_charged = charged.address != state.address;
            pass.charged = state.pair.zip(charged.pair);
            let mut counters = vec![(address, charged.address)];
            counters.extend(pair.zip(charged.pair));
            save(&mut tx, &counters).await?;
            tx.commit().await?;
            Ok(pass)
        }
        Err(refused) => {
            instruments().throttled(measured_as(attempt.kind()));
            let wait = (refused.until - found.now).to_std().unwrap_or_default();
            let retry_after_seconds = in_seconds(wait);
            let untold = state.pair.filter(|counter| !counter.is_told);
            if let (Scope::Pair | Scope::Account, Some(key), Some(counter)) =
                (refused.by, pair, untold)
            {
                let entry = locked(origin, attempt, refused.by, &counter, retry_after_seconds);
                let told = Counter {
                    is_told: true,
                    ..counter
                };
                save(&mut tx, &[(key, told)]).await?;
                audit::insert(&mut tx, &[entry]).await?;
                tx.commit().await?;
            }
            Err(Error::Throttled {
                retry_after_seconds,
            })
        }
    }
}

/// What is written down when a name has to wait: once for each wait, because who does not wait
/// must not fill the audit trail.
fn locked(
    origin: &Origin,
    attempt: Attempt<'_>,
    by: Scope,
    counter: &Counter,
    seconds: u32,
) -> AuditEntry {
    let mut why = json!({
        "by": by,
        "failures": counter.failures,
        "retryAfterSeconds": seconds,
    });
    if let Attempt::LogIn(login) = attempt {
        why["loginDigest"] = json!(login_digest(login));
    }
    AuditEntry {
        classification: Classification::Security,
        new_value: Some(why),
        ..AuditEntry::new(
            attempt.account(),
            AuditAction::AuthLocked,
            Purpose::SystemAdministration,
            origin,
        )
    }
}

fn in_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

impl Pass {
    fn pair(&self) -> Option<CounterKey> {
        self.name.as_deref().map(|name| self.pair_of(name))
    }

    fn pair_of(&self, name: &str) -> CounterKey {
        key(Scope::Pair, &format!("{} {name}", self.sender))
    }

    fn address(&self) -> CounterKey {
        key(self.kind.address_scope(), &self.sender)
    }

    fn account(&self) -> Option<CounterKey> {
        self.name.as_deref().map(|name| key(Scope::Account, name))
    }

    /// The secret was wrong. To be said last before the commit: all failures wait for one row.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn failed(self, throttle: &Throttle, tx: &mut Tx<'_>) -> Result<(), Error> {
        let keys: Vec<CounterKey> = self.account().into_iter().chain([everybody()]).collect();
        let found = hold(tx, &keys, &[]).await?;
        let limits = &throttle.limits;
        let counters: Vec<(CounterKey, Counter)> = keys
            .into_iter()
            .map(|key| {
                let counter = limits.failed(key.scope, &found.of(&key), found.now);
                (key, counter)
            })
            .collect();
        Ok(save(tx, &counters).await?)
    }

    /// The secret was right: what this attempt and those before it cost here is forgotten, and the
    /// address is known as one of its own from now on.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn succeeded(self, throttle: &Throttle, tx: &mut Tx<'_>) -> Result<(), Error> {
        let pairs = self.pair().into_iter().collect();
        self.forget(throttle, tx, pairs).await
    }

    /// The secret was right, and is not of who tries: it proves nothing. What this attempt cost is given back, and
    /// no more: who has right ones of their own makes no wrong ones forgotten with them.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn given_back(
        self,
        throttle: &Throttle,
        tx: &mut Tx<'_>,
    ) -> Result<(), Error> {
        let address = self.is_address_charged.then(|| self.address());
        let pair = self.pair().zip(self.charged);
        let keys = pair.iter().map(|(key, _)| key).chain(&address);
        let keys: Vec<CounterKey> = keys.cloned().collect();
        let found: Counters = hold(tx, &keys, &[]).await?;
        let mut counters = Vec::with_capacity(keys.len());
        if let Some((key, (before, charged))) = pair {
            let now = found.of(&key);
            let counter = if now == charged {
                before
            } else {
                // Others were charged meanwhile: what they cost stays.
                Counter {
                    failures: now.failures.saturating_sub(1),
                    ..now
                }
            };
            counters.push((key, counter));
        }
        counters.extend(address.map(|key| {
            let given_back = throttle.limits.succeeded(self.kind, &found.of(&key));
            (key, given_back)
        }));
        Ok(save(tx, &counters).await?)
    }

    /// [`Self::succeeded`] for somebody who has logged in: under both of their names.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn logged_in(
        self,
        throttle: &Throttle,
        tx: &mut Tx<'_>,
        user: &User,
    ) -> Result<(), Error> {
        let names = [&user.username, &user.email].map(|name| name_of(name));
        let mut pairs: Vec<CounterKey> = self.pair().into_iter().collect();
        pairs.extend(names.iter().map(|name| self.pair_of(name)));
        pairs.sort();
        pairs.dedup();
        self.forget(throttle, tx, pairs).await
    }

    async fn forget(
        &self,
        throttle: &Throttle,
        tx: &mut Tx<'_>,
        pairs: Vec<CounterKey>,
    ) -> Result<(), Error> {
        let address = self.is_address_charged.then(|| self.address());
        let keys: Vec<CounterKey> = pairs.iter().chain(&address).cloned().collect();
        let found: Counters = hold(tx, &keys, &[]).await?;
        let limits = &throttle.limits;
        let mut counters: Vec<(CounterKey, Counter)> = pairs
            .into_iter()
            .map(|key| (key, Counter::proven(found.now)))
            .collect();
        counters.extend(address.map(|key| {
            let given_back = limits.succeeded(self.kind, &found.of(&key));
            (key, given_back)
        }));
        Ok(save(tx, &counters).await?)
    }
}

fn everybody() -> CounterKey {
    key(Scope::Everybody, "")
}

fn key(scope: Scope, subject: &str) -> CounterKey {
    CounterKey {
        scope,
        subject: digest::hex_of(format!("throttle {scope} {subject}").as_bytes()),
    }
}
