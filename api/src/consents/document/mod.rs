//! A consent as a FHIR R4 `Consent`, and back. What is written says all that the consent says, and what is read becomes
//! a consent that says what the document says, or is refused: never less, and nothing else.
//!
//! ```text
//! status               active where it holds now, else inactive
//! scope                patient-privacy
//! policyRule           OPTOUT: nobody is let in but by the provision
//! provision.type       permit; deny for a refusal, which has no action: it refuses all
//! provision.period     from when it was given until its end, exclusive
//! provision.actor      Practitioner/<account>, Organization/<id> with its country, or the identifier of a role
//! provision.action     a processing activity of ours, with the code of HL7's consentaction that says no more beside it
//! provision.purpose    one code of HL7 v3 PurposeOfUse
//! provision.class      data categories of ours; none is all
//! ```

pub(crate) mod graphql;
mod import;
mod read;
pub(super) mod write;

use domain::consents::Activity;

/// What kind of consent it is: about privacy.
const SCOPES: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
/// Codes of laboratories and documents.
const LOINC: &str = "http://loinc.org";
/// LOINC's code of a patient's consent.
const CONSENT_DOCUMENT: &str = "59284-0";
/// Codes of acts, policies among them.
const ACT_CODES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// Codes of purposes of use.
const PURPOSES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// How somebody takes part.
const PARTICIPATIONS: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/// The one who is given information.
const RECIPIENT: &str = "IRCP";
/// What may be done, in HL7's words.
const ACTIONS: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
/// What may be done, in ours.
const ACTIVITIES: &str = "https://meditrustal.example/fhir/CodeSystem/processing-activity";
/// Data categories.
const CATEGORIES: &str = "https://meditrustal.example/fhir/CodeSystem/data-category";
/// Roles of accounts.
const ROLES: &str = "https://meditrustal.example/fhir/CodeSystem/role";
/// The country of an organisation.
const COUNTRY: &str = "https://meditrustal.example/fhir/StructureDefinition/country";
/// When a consent was taken back.
const WITHDRAWN_AT: &str = "https://meditrustal.example/fhir/StructureDefinition/withdrawn-at";

/// The nearest word of HL7's, which has fewer of them.
const fn action_of(activity: Activity) -> Option<&'static str> {
    match activity {
        Activity::Read | Activity::Search => Some("access"),
        Activity::Amend => Some("correct"),
        Activity::Export | Activity::Transfer => Some("disclose"),
        // `collect` is gathering what is there, not adding to it.
        Activity::Create | Activity::Deny => None,
    }
}
