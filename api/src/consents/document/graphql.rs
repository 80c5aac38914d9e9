//! Consents as FHIR documents in the schema.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use domain::ids::ConsentId;
use serde_json::{Value, json};

use super::{import, write};
use crate::{
    consents::{
        graphql::{Consent, GrantConsentPayload},
        list::{self, ListedConsent},
    },
    cursor::{Cursor, ListCursors},
    graphql::{document::Document, payload::Payload, request},
    page,
};

/// A part of your consents as FHIR documents.
#[derive(Debug, SimpleObject)]
pub(crate) struct ConsentExport {
    /// A FHIR R4 `Bundle` of the type collection, which holds a `Consent` for each.
    bundle: Document,
    /// The cursor to go on with; null where these were the last.
    end_cursor: Option<Cursor>,
}

/// A consent as a FHIR document, to be given.
#[derive(Debug, InputObject)]
pub(crate) struct ImportConsentInput {
    /// A FHIR R4 `Consent` whose patient is your own account, in the form that `Consent.fhir` has. What no consent here
    /// can say is refused, with its path.
    document: Document,
    /// A key of the client's choice, 1 to 128 bytes: repeating the request with the same key gives the
    /// same consent and stores no second one.
    idempotency_key: Option<String>,
}

/// Consents as a FHIR bundle, to be given.
#[derive(Debug, InputObject)]
pub(crate) struct ImportConsentsInput {
    /// A FHIR R4 `Bundle` of the type collection with at most 100 `Consent`s, as `exportConsents` gives it. Each is read as
    /// `importConsent` reads one; those whose status is inactive are passed over.
    document: Document,
}

/// The result of `importConsents`: what is in force by the bundle.
#[derive(Debug, SimpleObject)]
pub(crate) struct ImportConsentsPayload {
    /// The consents that are in force from now on, or were already, in the order of the bundle.
    consents: Vec<Consent>,
    /// The number of entries that were passed over, because their consents are over.
    inactive: i32,
}

#[derive(Default)]
pub(crate) struct ConsentDocumentQuery;

#[Object]
impl ConsentDocumentQuery {
    /// All of your consents as FHIR documents, newest first, those that are over among them: ask again with `endCursor`
    /// until it is null. Recorded in the audit trail.
    async fn export_consents(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "How many consents the part has at most, 1 to 100.",
            default = 100
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the part begins; the first part without it.")]
        after: Option<Cursor>,
    ) -> Result<ConsentExport> {
        let (app, caller) = request(ctx)?;
        let cursors = ListCursors::of(&app.index_key, "exportConsents", caller.user, &Value::Null);
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let from = from.map(|(at, id)| (at, ConsentId(id)));
        let listed = list::export(&app.pool, &app.seals, &caller, from, size).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = listed.len() > size;
        let listed = listed.get(..size).unwrap_or(&listed);
        let last = listed.last().filter(|_| has_more);
        let end_cursor = last.map(|(last, _)| cursors.at(&(last.given_at, last.id.0)));
        let now = app.clock.now();
        let entry = |(consent, counts): &ListedConsent| {
            // Given a moment ago by the database's clock, which may be ahead of this one.
            let is_active = *counts && consent.is_active(now.max(consent.given_at));
            json!({
                "fullUrl": format!("urn:uuid:{}", consent.id),
                "resource": write::document(consent, is_active),
            })
        };
        let mut bundle = json!({ "resourceType": "Bundle", "type": "collection" });
        if !listed.is_empty() {
            let entries: Vec<Value> = listed.iter().map(entry).collect();
            bundle["entry"] = json!(entries);
        }
        Ok(ConsentExport {
            bundle: bundle.into(),
            end_cursor,
        })
    }
}

#[derive(Default)]
pub(crate) struct ConsentDocumentMutation;

#[Object]
impl ConsentDocumentMutation {
    /// Gives the consent that a FHIR R4 `Consent` says, as `grantConsent` does: exactly that, or nothing. Open to patients
    /// and doctors, not to administrators.
    ///
    /// Error codes: `INVALID_DOCUMENT` with a path for each thing that is no R4, that no consent here can say, or that
    /// cannot be given, `BAD_USER_INPUT` (`idempotencyKey`), `FORBIDDEN` for administrators, `CONFLICT` (`idempotencyKey`:
    /// used for another request), `NOT_FOUND` where the consent of that key is not as it was sealed, `LIMIT_REACHED` (100
    /// are in force).
    async fn import_consent(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The consent as a document.")] input: ImportConsentInput,
    ) -> Result<Payload<GrantConsentPayload>> {
        let (app, caller) = request(ctx)?;
        let key = input.idempotency_key.as_deref();
        let document = input.document.into_json();
        let (pool, seals) = (&app.pool, &app.seals);
        let consent = import::import(pool, seals, &app.clock, &caller, &document, key).await?;
        let consent = Consent::new(app.clock.now(), consent);
        Ok(Payload(GrantConsentPayload::of(consent)))
    }

    /// Gives every active consent that a FHIR R4 `Bundle` of `exportConsents` holds, as `importConsent` gives one: all of
    /// them or none. What is in force already stays as it is. Open to patients and doctors, not to administrators.
    ///
    /// Error codes: `INVALID_DOCUMENT` with a path for each thing that is no R4, that no consent here can say, or that
    /// cannot be given, `FORBIDDEN` for administrators, `LIMIT_REACHED` (100 are in force).
    async fn import_consents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The consents as a bundle.")] input: ImportConsentsInput,
    ) -> Result<Payload<ImportConsentsPayload>> {
        let (app, caller) = request(ctx)?;
        let bundle = input.document.into_json();
        let (pool, seals) = (&app.pool, &app.seals);
        let imported = import::import_all(pool, seals, &app.clock, &caller, &bundle).await?;
        let now = app.clock.now();
        let consents = imported.consents.into_iter();
        Ok(Payload(ImportConsentsPayload {
            consents: consents.map(|it| Consent::new(now, it)).collect(),
            inactive: i32::try_from(imported.inactive).unwrap_or(i32::MAX),
        }))
    }
}
