//! Giving the consent that a document says.

use domain::{clock::Clock, consents::Consent};
use fhir::{Issue, Json};
use store::Pool;

use super::read;
use crate::{caller::Caller, consents::grant, error::Error, seals::Seals};

/// Gives the consent that this document of the caller says, as `grantConsent` does.
///
/// # Errors
/// [`Error::Document`] for what is no R4 `Consent`, what no consent of ours can say, and what cannot be given, with the
/// path of each; [`Error::BadInput`] for the key; else as of [`grant::grant`].
pub(super) async fn import(
    pool: &Pool,
    seals: &Seals,
    clock: &Clock,
    caller: &Caller,
    document: &Json,
    key: Option<&str>,
) -> Result<Consent, Error> {
    let terms = read::terms(document, caller.user, clock.now()).map_err(Error::Document)?;
    let granted = grant::grant(pool, seals, caller, terms, key).await;
    granted.map_err(|error| {
        let fields: Option<Vec<Issue>> = error
            .bad_fields()
            .map(|(field, message)| Some(read::issue(path_of(field)?, "terms", message)))
            .collect();
        match fields {
            Some(issues) if !issues.is_empty() => Error::Document(issues),
            _ => error,
        }
    })
}

/// Where in the document a field of the terms stands.
fn path_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "purpose" => "Consent.provision.purpose",
        "dataCategories" => "Consent.provision.class",
        "processingActivities" => "Consent.provision.action",
        "grantees" => "Consent.provision.actor",
        "expiresAt" => "Consent.provision.period.end",
        _ => return None,
    })
}
