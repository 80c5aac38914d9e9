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
    granted.map_err(by_path)
}

/// What giving the consents of a bundle came to.
#[derive(Debug)]
pub(super) struct ImportedConsents {
    /// Those that are in force now, in the order of the bundle.
    pub(super) consents: Vec<Consent>,
    /// How many entries were passed over, because they are over.
    pub(super) inactive: usize,
}

/// Gives the consents that a bundle of the caller's says, all of them or none.
///
/// # Errors
/// As of [`import`], with the entry of each path.
pub(super) async fn import_all(
    pool: &Pool,
    seals: &Seals,
    clock: &Clock,
    caller: &Caller,
    bundle: &Json,
) -> Result<ImportedConsents, Error> {
    let read = read::bundle(bundle, caller.user, clock.now()).map_err(Error::Document)?;
    let consents = grant::grant_all(pool, seals, caller, read.terms, of_entry).await?;
    Ok(ImportedConsents {
        consents,
        inactive: read.inactive,
    })
}

/// What cannot be given of an entry, by its path in the bundle.
fn of_entry(nth: usize, error: Error) -> Error {
    match by_path(error) {
        Error::Document(issues) => {
            let issues = issues.into_iter();
            Error::Document(issues.map(|issue| read::within(nth, issue)).collect())
        }
        error => error,
    }
}

/// What cannot be given, by its path in the document.
fn by_path(error: Error) -> Error {
    let fields: Option<Vec<Issue>> = error
        .bad_fields()
        .map(|(field, message)| Some(read::issue(path_of(field)?, "terms", message)))
        .collect();
    match fields {
        Some(issues) if !issues.is_empty() => Error::Document(issues),
        _ => error,
    }
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
