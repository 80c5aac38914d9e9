//! Showing a second factor, wherever one is asked for: at a log-in, after the password or the wallet
//! was right, and before an account is changed for good.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, Origin, ResourceType},
    ids::UserId,
    purpose::Purpose,
};
use serde_json::json;
use store::{
    Tx, audit, barrier,
    second_factors::{self, FactorRow},
};
use vault::{keyring::WrappedKey, second_factor::recovery_hash};

use crate::{
    app::{App, commit},
    caller::Caller,
    error::Error,
    throttle::{self, Attempt, Pass},
};

/// The code that somebody gave, if any: six digits of this moment, or one of their recovery codes.
#[derive(Debug, Clone)]
pub(crate) struct Code(pub(crate) Option<String>);

/// What came of showing a second factor.
pub(crate) enum Shown {
    /// There is none, or it was shown.
    Passed(Passed),
    /// It was not.
    Refused(Refused),
}

/// A transaction to go on with, in which the code is used up.
pub(crate) struct Passed {
    /// Commit it when all is done.
    pub(crate) tx: Tx<'static>,
    /// What was shown.
    pub(crate) proof: Proof,
}

/// Whether a second factor was shown, and its attempt.
pub(crate) struct Proof {
    is_shown: bool,
    pass: Option<Pass>,
}

impl Proof {
    /// Whether there was a second factor, and it was shown.
    pub(crate) const fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// The attempt succeeded. To be said shortly before the commit.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn conclude(self, app: &App, tx: &mut Tx<'_>) -> Result<(), Error> {
        match self.pass {
            Some(pass) => pass.succeeded(app, tx).await,
            None => Ok(()),
        }
    }
}

/// A refusal that is written down and not committed yet.
pub(crate) struct Refused {
    tx: Tx<'static>,
    pass: Option<Pass>,
    error: Error,
}

impl Refused {
    /// Commits, and gives the error to answer with. What was proven `before` was right all the same.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn conclude(
        mut self,
        app: &App,
        before: Option<Pass>,
    ) -> Result<Error, Error> {
        if let Some(before) = before {
            before.succeeded(app, &mut self.tx).await?;
        }
        if let Some(pass) = self.pass {
            pass.failed(app, &mut self.tx).await?;
        }
        commit(self.tx).await?;
        Ok(self.error)
    }
}

/// What came of a code.
enum Seen {
    NotAsked,
    Right,
    Missing,
    Wrong,
}

impl Code {
    /// Shows the second factor of this account, if it has one: [`Error::SecondFactorRequired`] where
    /// there is one and no code was given, [`Error::WrongCredentials`] where it was wrong.
    ///
    /// # Errors
    /// [`Error::Throttled`] where too many codes were wrong; the database's.
    pub(crate) async fn show(
        &self,
        app: &App,
        user: UserId,
        origin: &Origin,
    ) -> Result<Shown, Error> {
        let pass = match self.0 {
            Some(_) => Some(throttle::pass(app, origin, Attempt::Code(user)).await?),
            None => None,
        };
        let mut tx = app.begin().await?;
        barrier::lock_shared(&mut tx, [user]).await?;
        let seen = match second_factors::lock(&mut tx, user).await? {
            Some(factor) if factor.confirmed_at.is_some() => {
                self.compare(app, &mut tx, user, &factor).await?
            }
            Some(_) | None => Seen::NotAsked,
        };
        let passed = |tx, is_shown, pass| {
            let proof = Proof { is_shown, pass };
            Ok(Shown::Passed(Passed { tx, proof }))
        };
        let (reason, error) = match seen {
            Seen::NotAsked => return passed(tx, false, pass),
            Seen::Right => return passed(tx, true, pass),
            Seen::Missing => ("NO_CODE", Error::SecondFactorRequired),
            Seen::Wrong => ("CODE", Error::WrongCredentials),
        };
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
        audit::insert(&mut tx, &[entry]).await?;
        Ok(Shown::Refused(Refused { tx, pass, error }))
    }

    /// The same for somebody who is logged in: their log-in counts as having shown it from then on.
    ///
    /// # Errors
    /// [`Error::SecondFactorRequired`], [`Error::WrongCredentials`], [`Error::Throttled`].
    pub(crate) async fn demand(&self, app: &App, caller: &Caller) -> Result<Tx<'static>, Error> {
        let Passed { mut tx, proof } = match self.show(app, caller.user, &caller.origin).await? {
            Shown::Passed(passed) => passed,
            Shown::Refused(refused) => return Err(refused.conclude(app, None).await?),
        };
        if proof.is_shown() {
            second_factors::shown_by(&mut tx, caller.session).await?;
        }
        proof.conclude(app, &mut tx).await?;
        Ok(tx)
    }

    async fn compare(
        &self,
        app: &App,
        tx: &mut Tx<'_>,
        user: UserId,
        factor: &FactorRow,
    ) -> Result<Seen, Error> {
        let Some(code) = self.0.as_deref().map(str::trim) else {
            return Ok(Seen::Missing);
        };
        let is_recovery_code = code.len() > 6;
        if is_recovery_code {
            let hash = recovery_hash(code);
            let taken = second_factors::use_recovery_code(tx, user, &hash).await?;
            return Ok(if taken { Seen::Right } else { Seen::Wrong });
        }
        match step_of(app, user, factor, code)? {
            Some(step) => {
                second_factors::use_step(tx, user, step).await?;
                Ok(Seen::Right)
            }
            None => Ok(Seen::Wrong),
        }
    }
}

/// The step whose code this is, by the database's clock. A step serves once, and none before it any
/// more (RFC 6238, section 5.2).
///
/// # Errors
/// [`Error::Internal`] where the secret does not open.
pub(super) fn step_of(
    app: &App,
    user: UserId,
    factor: &FactorRow,
    code: &str,
) -> Result<Option<i64>, Error> {
    let sealed = WrappedKey {
        bytes: factor.sealed_secret.clone(),
        master_key_id: factor.master_key_id.clone(),
    };
    let secret = app.keyring.open_factor(user, &sealed).map_err(|error| {
        tracing::error!(user.id = %user, %error, "The secret of a second factor does not open");
        Error::Internal
    })?;
    let step = secret.step_of(code, factor.now);
    Ok(step.filter(|step| *step > factor.last_step))
}
