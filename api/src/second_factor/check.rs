//! Showing a second factor, wherever one is asked for: at a log-in, after the password or the wallet
//! was right, and before an account is changed for good.

use chrono::{DateTime, Utc};
use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin, ResourceType},
    ids::UserId,
    purpose::Purpose,
    seals::{Factor, SealedTable, Tampered},
};
use serde_json::json;
use store::{
    Tx, audit, barrier,
    second_factors::{self, LockedFactor},
};
use vault::{keyring::WrappedKey, second_factor::recovery_hash};

use crate::{
    caller::Caller,
    dependencies::Credentials,
    error::Error,
    throttle::{self, Attempt, Pass, Throttle},
};

/// The code that somebody gave, if any: six digits of this moment, or one of their recovery codes.
#[derive(Debug, Clone)]
pub(crate) struct Code(pub(crate) Option<String>);

/// What came of showing a second factor.
pub(crate) enum FactorOutcome {
    /// There is none, or it was shown.
    Passed(Passed),
    /// It was not.
    Refused(CodeRefused),
}

/// A transaction to go on with, in which the code is used up.
pub(crate) struct Passed {
    /// Commit it when all is done.
    pub(crate) tx: Tx<'static>,
    /// What was shown.
    pub(crate) proof: SecondFactorProof,
}

/// Whether a second factor was shown, and its attempt.
pub(crate) struct SecondFactorProof {
    is_shown: bool,
    pass: Option<Pass>,
}

impl SecondFactorProof {
    /// Whether there was a second factor, and it was shown.
    pub(crate) const fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The attempt succeeded. To be said shortly before the commit.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn conclude(self, throttle: &Throttle, tx: &mut Tx<'_>) -> Result<(), Error> {
        match self.pass {
            Some(pass) => pass.succeeded(throttle, tx).await,
            None => Ok(()),
        }
    }
}

/// A refusal that is written down and not committed yet.
pub(crate) struct CodeRefused {
    tx: Tx<'static>,
    pass: Option<Pass>,
    error: Error,
}

impl CodeRefused {
    /// Commits, and gives the error to answer with. What was proven `before` was right all the same.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn conclude(
        mut self,
        throttle: &Throttle,
        before: Option<Pass>,
    ) -> Result<Error, Error> {
        if let Some(before) = before {
            before.succeeded(throttle, &mut self.tx).await?;
        }
        if let Some(pass) = self.pass {
            pass.failed(throttle, &mut self.tx).await?;
        }
        self.tx.commit().await?;
        Ok(self.error)
    }
}

/// Writes down that a second factor was not shown, and why.
async fn audit_refusal(
    tx: &mut Tx<'_>,
    user: UserId,
    origin: &Origin,
    reason: &str,
) -> Result<(), Error> {
    let entry = AuditEntry {
        resource_type: ResourceType::User,
        resource_id: user.0,
        new_value: Some(json!({ "reason": reason })),
        classification: Classification::Security,
        ..AuditEntry::new(
            user,
            AuditAction::AuthLoginFailed,
            Purpose::SystemAdministration,
            origin,
        )
    };
    Ok(audit::insert(tx, &[entry]).await?)
}

/// What came of a code.
enum CodeCheck {
    NotAsked,
    Right,
    Missing,
    Wrong,
}

impl CodeCheck {
    const fn of(is_right: bool) -> Self {
        if is_right { Self::Right } else { Self::Wrong }
    }
}

impl Code {
    /// Shows the second factor of this account, if it has one: [`Error::SecondFactorRequired`] where
    /// there is one and no code was given, [`Error::WrongCredentials`] where it was wrong.
    ///
    /// # Errors
    /// [`Error::Throttled`] where too many codes were wrong; the database's.
    pub(crate) async fn show(
        &self,
        credentials: Credentials<'_>,
        user: UserId,
        origin: &Origin,
    ) -> Result<FactorOutcome, Error> {
        let pass = match self.0 {
            Some(_) => {
                Some(throttle::pass(credentials.throttle, origin, Attempt::Code(user)).await?)
            }
            None => None,
        };
        let mut tx = credentials.pool.begin().await?;
        barrier::lock_shared(&mut tx, [user]).await?;
        let locked = second_factors::lock(&mut tx, user).await?;
        let account = credentials.seals.account(&mut tx, user).await?;
        let account = account.ok_or(Error::WrongCredentials)?;
        let checked = if account.has_second_factor {
            let tried = locked.and_then(|locked| Tried::of(credentials, locked));
            self.check(credentials, &mut tx, user, tried).await?
        } else {
            CodeCheck::NotAsked
        };
        let passed = |tx, is_shown, pass| {
            let proof = SecondFactorProof { is_shown, pass };
            Ok(FactorOutcome::Passed(Passed { tx, proof }))
        };
        let (reason, error) = match checked {
            CodeCheck::NotAsked => return passed(tx, false, pass),
            CodeCheck::Right => return passed(tx, true, pass),
            CodeCheck::Missing => ("NO_CODE", Error::SecondFactorRequired),
            CodeCheck::Wrong => ("CODE", Error::WrongCredentials),
        };
        audit_refusal(&mut tx, user, origin, reason).await?;
        Ok(FactorOutcome::Refused(CodeRefused { tx, pass, error }))
    }

    /// What the code comes to, where the account names a second factor.
    async fn check(
        &self,
        credentials: Credentials<'_>,
        tx: &mut Tx<'_>,
        user: UserId,
        tried: Option<Tried>,
    ) -> Result<CodeCheck, Error> {
        if let Some(tried) = tried.filter(|tried| tried.factor.confirmed_at.is_some()) {
            return self.compare(credentials, tx, &tried).await;
        }
        // It was taken away, or is not as it was sealed: no code is the right one.
        credentials.seals.report(Tampered {
            table: SealedTable::SecondFactors,
            row: user.0,
            of: user,
        });
        Ok(match self.0 {
            Some(_) => CodeCheck::Wrong,
            None => CodeCheck::Missing,
        })
    }

    /// The same for somebody who is logged in: their log-in counts as having shown it from then on.
    ///
    /// # Errors
    /// [`Error::SecondFactorRequired`], [`Error::WrongCredentials`], [`Error::Throttled`].
    pub(crate) async fn demand(
        &self,
        credentials: Credentials<'_>,
        caller: &Caller,
    ) -> Result<Tx<'static>, Error> {
        let Passed { mut tx, proof } =
            match self.show(credentials, caller.user, &caller.origin).await? {
                FactorOutcome::Passed(passed) => passed,
                FactorOutcome::Refused(refused) => {
                    return Err(refused.conclude(credentials.throttle, None).await?);
                }
            };
        if proof.is_shown() {
            credentials
                .seals
                .show_second_factor(&mut tx, caller.session)
                .await?;
        }
        proof.conclude(credentials.throttle, &mut tx).await?;
        Ok(tx)
    }

    async fn compare(
        &self,
        credentials: Credentials<'_>,
        tx: &mut Tx<'_>,
        tried: &Tried,
    ) -> Result<CodeCheck, Error> {
        let Tried { factor, .. } = tried;
        let user = factor.user;
        let Some(code) = self.0.as_deref().map(str::trim) else {
            return Ok(CodeCheck::Missing);
        };
        let is_recovery_code = code.len() > 6;
        if is_recovery_code {
            let hash = recovery_hash(code);
            // One that is not sealed with the others was written by somebody else.
            let taken = factor.code_hashes.contains(&hash)
                && second_factors::use_recovery_code(tx, user, &hash).await?;
            return Ok(CodeCheck::of(taken));
        }
        let step = tried.step_of(credentials, code)?;
        if let Some(step) = step {
            second_factors::use_step(tx, user, step).await?;
        }
        Ok(CodeCheck::of(step.is_some()))
    }
}

/// A second factor that is as it was sealed, to be tried.
pub(super) struct Tried {
    /// The factor.
    pub(super) factor: Factor,
    /// The database's clock.
    pub(super) now: DateTime<Utc>,
    last_step: i64,
}

impl Tried {
    /// `None` where it is not as it was sealed.
    pub(super) fn of(credentials: Credentials<'_>, locked: LockedFactor) -> Option<Self> {
        let factor = credentials.seals.open(locked.factor)?;
        Some(Self {
            factor,
            now: locked.now,
            last_step: locked.last_step,
        })
    }

    /// The step whose code this is, by the database's clock. A step serves once, and none before it any
    /// more (RFC 6238, section 5.2).
    ///
    /// # Errors
    /// [`Error::Internal`] where the secret does not open.
    pub(super) fn step_of(
        &self,
        credentials: Credentials<'_>,
        code: &str,
    ) -> Result<Option<i64>, Error> {
        let user = self.factor.user;
        let sealed = WrappedKey {
            bytes: self.factor.sealed_secret.clone(),
            master_key_id: self.factor.master_key_id.clone(),
        };
        let secret = credentials.keyring.open_factor(user, &sealed).map_err(|error| {
            tracing::error!(user.id = %user, %error, "The secret of a second factor does not open");
            Error::Internal
        })?;
        let step = secret.step_of(code, self.now);
        Ok(step.filter(|step| *step > self.last_step))
    }
}
