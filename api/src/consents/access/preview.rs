//! What giving or taking back a consent would change, before it is done.

use chrono::{DateTime, Utc};
use domain::{
    access::{
        Actor,
        overview::{Permissions, beyond, concerns, named_by},
    },
    audit::{AuditAction, AuditEntry},
    consents::{Consent, Grantee, Terms},
    ids::{ConsentId, UserId},
    representatives::RepresentedActivity,
    users::Role,
};
use serde_json::json;
use store::{Pool, StoreError, Tx, audit, users};

use super::{Holder, Overview, entry, key_of, people};
use crate::{
    caller::{Caller, refuse_role, refuse_unknown, require_mandate},
    consents::{
        evidence,
        grant::{self, Standing, judge},
        withdraw,
    },
    error::Error,
    seals::Seals,
};

/// How many are looked at before other requests have their turn.
const AT_ONCE: usize = 100;
/// How many are named who would gain, and who would lose.
pub(crate) const MOST_NAMED: usize = 100;

/// What would be changed.
#[derive(Debug)]
pub(crate) enum ConsentChange {
    /// A consent by these terms and with this key would be given.
    Grant(Terms, Option<String>),
    /// This consent would be taken back.
    Withdrawal(ConsentId),
}

/// What a change would come to.
#[derive(Debug)]
pub(crate) struct Preview {
    /// The consent that is there already, given or to be taken back.
    pub(crate) consent: Option<Consent>,
    /// Who could do more, and what.
    pub(crate) gaining: AffectedHolders,
    /// Who could do less, and what.
    pub(crate) losing: AffectedHolders,
    /// The consents that are named by what is above, and are stored.
    pub(crate) stored: Vec<Consent>,
}

/// Those who would gain by a change, or lose.
#[derive(Debug)]
pub(crate) struct AffectedHolders {
    /// At most [`MOST_NAMED`] of them, and what they would gain or lose.
    pub(crate) named: Vec<Holder>,
    /// How many people, roles and organisations they are.
    pub(crate) count: usize,
    /// How many people that is, each counted once.
    pub(crate) people: i64,
}

/// What a change would come to. It is judged as the change itself would be, and nothing is changed.
///
/// # Errors
/// As of `grant::grant`, or of `withdraw::withdraw`; a consent that is not the patient's has its audit row, too.
pub(crate) async fn preview(
    pool: &Pool,
    seals: &Seals,
    caller: &Caller,
    change: ConsentChange,
) -> Result<Preview, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    let patient = actor.subject();
    let (kind, wanted) = match change {
        ConsentChange::Grant(..) => ("GRANT", AuditAction::ConsentGrant),
        ConsentChange::Withdrawal(_) => ("WITHDRAWAL", AuditAction::ConsentWithdraw),
    };
    let activity = RepresentedActivity::ChangeConsents;
    let mut tx = require_mandate(tx, caller, actor, activity, wanted).await?;
    if actor.role == Role::Admin && kind == "GRANT" {
        return Err(refuse_role(tx, caller, actor, Role::Patient, wanted).await?);
    }
    let Sides {
        before,
        after,
        consent,
    } = match Sides::of(seals, &mut tx, caller, &actor, change).await? {
        Ok(sides) => sides,
        Err(unknown) => {
            let about = AuditEntry {
                representation: actor.represents(activity),
                ..evidence::entry(caller, wanted, unknown)
            };
            return refuse_unknown(tx, about, "consent").await;
        }
    };
    let now = users::now(&mut tx).await?;
    let all: Vec<Consent> = before.iter().chain(&after).cloned().collect();
    let mut named: Vec<Grantee> = if before.len() == after.len() {
        Vec::new()
    } else {
        named_by(&all).into_iter().collect()
    };
    named.sort_by_key(key_of);
    named.dedup_by_key(|grantee| key_of(grantee));
    let overview = Overview::of(seals, &mut tx, (patient, now), &named, &all).await?;
    let changed: Vec<&Consent> = symmetric_difference(&before, &after);
    named.retain(|grantee| {
        let subject = overview.subject(grantee);
        subject.is_some_and(|subject| changed.iter().any(|consent| concerns(consent, subject)))
    });
    let (mut gaining, mut losing) = (Affected::default(), Affected::default());
    for (nth, grantee) in named.iter().enumerate() {
        if nth % AT_ONCE == 0 {
            // Of ten thousand people each is asked about twice: others are served between them.
            tokio::task::yield_now().await;
        }
        let [old, new] = [&before, &after].map(|consents| overview.permissions(grantee, consents));
        gaining.add(&overview, grantee, &beyond(&new, &old), &after);
        losing.add(&overview, grantee, &beyond(&old, &new), &before);
    }
    let gaining = gaining.counted(&mut tx, (patient, now)).await?;
    let losing = losing.counted(&mut tx, (patient, now)).await?;
    let words = json!({
        "preview": kind, "consent": consent.as_ref().map(|consent| consent.id),
        "gaining": gaining.count, "losing": losing.count,
    });
    let by = actor.represents(activity);
    audit::insert(&mut tx, &[entry(caller, by, words)]).await?;
    tx.commit().await?;
    Ok(Preview {
        consent,
        gaining,
        losing,
        stored: before,
    })
}

/// Those who would gain, or lose, as they are found.
#[derive(Default)]
struct Affected<'a> {
    named: Vec<Holder>,
    all: Vec<&'a Grantee>,
}

impl<'a> Affected<'a> {
    /// Adds somebody for whom these permissions are the difference, where there are any.
    fn add(
        &mut self,
        overview: &Overview,
        grantee: &'a Grantee,
        permitted: &Permissions,
        consents: &[Consent],
    ) {
        if permitted.is_empty() {
            return;
        }
        if self.named.len() < MOST_NAMED {
            let holder = overview.holder(grantee, permitted, consents);
            self.named.push(holder);
        }
        self.all.push(grantee);
    }

    async fn counted(
        mut self,
        tx: &mut Tx<'_>,
        at: (UserId, DateTime<Utc>),
    ) -> Result<AffectedHolders, StoreError> {
        people::count(tx, at, &mut self.named).await?;
        Ok(AffectedHolders {
            count: self.all.len(),
            people: people::together(tx, at, &self.all).await?,
            named: self.named,
        })
    }
}

/// The consents in force without and with a change.
struct Sides {
    before: Vec<Consent>,
    after: Vec<Consent>,
    /// The consent that is there already.
    consent: Option<Consent>,
}

impl Sides {
    /// Both sides; the id of the consent that would be taken back, where it is not one of the patient's.
    async fn of(
        seals: &Seals,
        tx: &mut Tx<'_>,
        caller: &Caller,
        actor: &Actor,
        change: ConsentChange,
    ) -> Result<Result<Self, ConsentId>, Error> {
        let patient = actor.subject();
        match change {
            ConsentChange::Grant(terms, key) => {
                grant::check_own_interest(caller, actor, &terms)?;
                let key = key.as_deref().map(|key| (caller.user, key));
                let granting = judge(seals, tx, patient, terms, key).await?;
                if granting.standing == Standing::New && granting.consent.is_denial() {
                    let account = seals.account(tx, patient).await?;
                    granting.refusals(account.ok_or(Error::Unauthenticated)?.refusals)?;
                }
                let before = granting.in_force;
                let mut after = before.clone();
                let consent = match granting.standing {
                    Standing::New => {
                        after.push(granting.consent);
                        None
                    }
                    Standing::Repeated | Standing::InForce => Some(granting.consent),
                };
                Ok(Ok(Self {
                    before,
                    after,
                    consent,
                }))
            }
            ConsentChange::Withdrawal(id) => {
                let Some(consent) = withdraw::own(seals, tx, id, patient).await? else {
                    return Ok(Err(id));
                };
                withdraw::check_own_interest(caller, actor, &consent)?;
                let now = users::now(tx).await?;
                let (mut before, _) = seals.in_force(tx, &[patient], now).await?;
                before.retain(|consent| consent.is_active(now));
                let mut after = before.clone();
                after.retain(|other| other.id != id);
                Ok(Ok(Self {
                    before,
                    after,
                    consent: Some(consent),
                }))
            }
        }
    }
}

/// The consents that stand in one of the two alone.
fn symmetric_difference<'a>(some: &'a [Consent], others: &'a [Consent]) -> Vec<&'a Consent> {
    let alone = |one: &'a [Consent], other: &'a [Consent]| {
        let is_there = move |consent: &&Consent| other.iter().all(|it| it.id != consent.id);
        one.iter().filter(is_there)
    };
    alone(some, others).chain(alone(others, some)).collect()
}
