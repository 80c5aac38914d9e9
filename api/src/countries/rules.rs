//! Reading and setting the rules of countries.

use domain::{
    audit::{AuditAction, AuditEntry, Classification, ResourceType},
    countries::CountryRule,
    purpose::Purpose,
    users::Role,
};
use serde_json::{Value, json};
use store::{Pool, audit, countries};

use crate::{
    caller::{Caller, refuse_role},
    error::Error,
};

/// Every rule, in the order of countries, with its audit row.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::Unauthenticated`].
pub(super) async fn list(pool: &Pool, caller: &Caller) -> Result<Vec<CountryRule>, Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        let wanted = AuditAction::CountryRuleRead;
        return Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?);
    }
    let found = countries::rules(&mut tx).await?;
    audit::insert(&mut tx, &[entry(caller, AuditAction::CountryRuleRead)]).await?;
    tx.commit().await?;
    Ok(found)
}

/// Sets the rule of a country, with its audit row; exports that go there are decided by it from then on.
///
/// # Errors
/// [`Error::Forbidden`] for all but administrators; [`Error::Unauthenticated`].
pub(super) async fn set(pool: &Pool, caller: &Caller, rule: CountryRule) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    let actor = caller.actor(&mut tx).await?;
    if actor.role != Role::Admin {
        let wanted = AuditAction::CountryRuleSet;
        return Err(refuse_role(tx, caller, actor, Role::Admin, wanted).await?);
    }
    let old = countries::set(&mut tx, &rule).await?;
    let entry = AuditEntry {
        old_value: old.map(evidence),
        new_value: Some(evidence(rule)),
        ..entry(caller, AuditAction::CountryRuleSet)
    };
    audit::insert(&mut tx, &[entry]).await?;
    tx.commit().await?;
    Ok(())
}

fn evidence(rule: CountryRule) -> Value {
    json!({
        "country": rule.country.as_str(),
        "isAdequate": rule.is_adequate,
        "hasSafeguards": rule.has_safeguards,
        "needsConsent": rule.needs_consent,
    })
}

fn entry(caller: &Caller, action: AuditAction) -> AuditEntry {
    AuditEntry {
        resource_type: ResourceType::CountryRule,
        classification: Classification::Internal,
        ..caller.entry(action, Purpose::Compliance)
    }
}
