//! A `Consent` as it is read: what it says, or why no consent of ours can say it.

use chrono::{DateTime, Utc};
use domain::{
    consents::{Activity, Category, Grantee, MAX_CONSENTS_IN_FORCE, Terms},
    ids::{OrganizationId, UserId},
    purpose::Purpose,
    users::Role,
};
use fhir::{Issue, IssueCode, Json, Severity};
use uuid::Uuid;

use super::{
    ACT_CODES, ACTIONS, ACTIVITIES, CATEGORIES, CONSENT_DOCUMENT, COUNTRY, LOINC, PARTICIPATIONS,
    PURPOSES, RECIPIENT, ROLES, SCOPES, action_of,
};

/// What may stand in a concept: its text and what is shown say nothing that the codes do not.
const CONCEPT: [&str; 2] = ["coding", "text"];
/// What may stand in a coding.
const CODING: [&str; 5] = ["system", "version", "code", "display", "userSelected"];

/// What this document of this patient says at `now`.
///
/// # Errors
/// Everything that is not R4, or that no consent of ours can say.
pub(super) fn terms(
    document: &Json,
    patient: UserId,
    now: DateTime<Utc>,
) -> Result<Terms, Vec<Issue>> {
    let issues = fhir::validate::base(document);
    if !issues.is_empty() {
        return Err(issues);
    }
    let mut reading = Reading::default();
    let terms = reading.consent(document, patient, now);
    match terms {
        Some(terms) if reading.issues.is_empty() => Ok(terms),
        _ => Err(reading.issues),
    }
}

/// What the consents of a bundle say that are active.
#[derive(Debug, Default)]
pub(super) struct ReadConsents {
    /// The terms of each, with its place among the entries.
    pub(super) terms: Vec<(usize, Terms)>,
    /// How many are over.
    pub(super) inactive: usize,
}

/// What a bundle of consents may have: anything else could change what its consents say.
const BUNDLE: [&str; 8] = [
    "resourceType",
    "id",
    "meta",
    "identifier",
    "type",
    "timestamp",
    "total",
    "entry",
];

/// What a bundle of this patient's consents says at `now`, as `exportConsents` gives one: what is over is counted alone.
///
/// # Errors
/// Everything that is not R4, or that no consent of ours can say, by the entry that says it.
pub(super) fn bundle(
    bundle: &Json,
    patient: UserId,
    now: DateTime<Utc>,
) -> Result<ReadConsents, Vec<Issue>> {
    if text(bundle, "resourceType") != Some("Bundle") || text(bundle, "type") != Some("collection")
    {
        let told = "a Bundle of the type collection is wanted, as exportConsents gives it";
        return Err(vec![issue("Bundle.type", "bundle", told)]);
    }
    let mut members = bundle.as_object().into_iter().flatten();
    let is_unread = bundle
        .get("entry")
        .is_some_and(|it| it.as_array().is_none());
    if is_unread || members.any(|(name, _)| !BUNDLE.contains(&name.as_str())) {
        let told =
            "a bundle of consents has a list of entries, and says nothing that they do not say";
        return Err(vec![issue("Bundle.entry", "bundle", told)]);
    }
    let entries = list(bundle, "entry");
    if entries.len() > MAX_CONSENTS_IN_FORCE {
        let told = "a bundle of consents has 100 entries at most";
        return Err(vec![issue("Bundle.entry", "entries", told)]);
    }
    let (mut read, mut issues) = (ReadConsents::default(), Vec::new());
    for (nth, entry) in entries.iter().enumerate() {
        let document = entry.get("resource").unwrap_or(&Json::Null);
        let is_consent = text(document, "resourceType") == Some("Consent");
        if is_consent && text(document, "status") == Some("inactive") {
            read.inactive += 1;
            continue;
        }
        match terms(document, patient, now) {
            Ok(terms) => read.terms.push((nth, terms)),
            Err(found) => issues.extend(found.into_iter().map(|issue| within(nth, issue))),
        }
    }
    if issues.is_empty() {
        Ok(read)
    } else {
        Err(issues)
    }
}

/// An issue with an entry's document, as one with the bundle.
pub(super) fn within(nth: usize, issue: Issue) -> Issue {
    let path = match issue.path.strip_prefix("Consent") {
        Some(rest) => format!("Bundle.entry[{nth}].resource{rest}"),
        None => format!("Bundle.entry[{nth}].resource.{}", issue.path),
    };
    Issue { path, ..issue }
}

/// An issue of ours with a document.
pub(super) fn issue(path: &str, rule: &str, message: &str) -> Issue {
    Issue {
        severity: Severity::Error,
        code: IssueCode::BusinessRule,
        path: path.to_owned(),
        rule: format!("consent:{rule}"),
        message: message.to_owned(),
    }
}

/// What was found so far that no consent of ours can say.
#[derive(Default)]
struct Reading {
    issues: Vec<Issue>,
}

impl Reading {
    fn refuse(&mut self, path: &str, rule: &str, message: &str) {
        self.issues.push(issue(path, rule, message));
    }

    /// Refuses every member but these: what is not understood could say anything.
    fn only(&mut self, json: &Json, path: &str, known: &[&str]) {
        for (name, _) in json.as_object().unwrap_or_default() {
            if !known.contains(&name.as_str()) {
                let told = "no consent here can say this: leave it out, if the document says the same without it";
                self.refuse(&format!("{path}.{name}"), "unsupported", told);
            }
        }
    }

    fn consent(&mut self, document: &Json, patient: UserId, now: DateTime<Utc>) -> Option<Terms> {
        if text(document, "resourceType") != Some("Consent") {
            self.refuse("resourceType", "resource", "the document is no Consent");
            return None;
        }
        let known = [
            "resourceType",
            "id",
            "meta",
            "language",
            "text",
            "identifier",
            "status",
            "scope",
            "category",
            "patient",
            "dateTime",
            "policyRule",
            "provision",
        ];
        self.only(document, "Consent", &known);
        self.about(document);
        if text(document, "status") != Some("active") {
            let told = "only an active consent can be given: what is over, or not agreed to yet, lets nobody in";
            self.refuse("Consent.status", "status", told);
        }
        self.fixed(document, "scope", (SCOPES, "patient-privacy"));
        for (nth, category) in list(document, "category").iter().enumerate() {
            let path = format!("Consent.category[{nth}]");
            self.code(category, &path, (LOINC, CONSENT_DOCUMENT));
        }
        let whose = document.get("patient");
        let is_own = whose
            .is_some_and(|it| text(it, "reference") == Some(format!("Patient/{patient}").as_str()));
        if !is_own {
            let told = "the patient is a reference to your own account: Patient/<your id>";
            self.refuse("Consent.patient", "patient", told);
        }
        if let Some(whose) = whose {
            self.only(whose, "Consent.patient", &["reference", "type", "display"]);
        }
        // It says what holds beside the provision: here, nothing.
        self.fixed(document, "policyRule", (ACT_CODES, "OPTOUT"));
        let Some(provision) = document.get("provision") else {
            let told = "without a provision it says nothing about whom it lets in";
            self.refuse("Consent.provision", "required", told);
            return None;
        };
        self.provision(provision, now)
    }

    /// What stands about the document: nothing that could say more than its elements.
    fn about(&mut self, document: &Json) {
        if let Some(meta) = document.get("meta") {
            let known = ["versionId", "lastUpdated", "source", "profile"];
            self.only(meta, "Consent.meta", &known);
        }
        let narrative = document.get("text");
        if narrative.is_some_and(|it| text(it, "status") != Some("generated")) {
            let told =
                "the text may say more than the elements, and nobody here reads it: leave it out";
            self.refuse("Consent.text.status", "narrative", told);
        }
    }

    fn provision(&mut self, provision: &Json, now: DateTime<Utc>) -> Option<Terms> {
        const PATH: &str = "Consent.provision";
        let known = ["type", "period", "actor", "action", "purpose", "class"];
        self.only(provision, PATH, &known);
        let is_denial = match text(provision, "type") {
            Some("permit") => false,
            Some("deny") => true,
            _ => {
                let told = "say whether it permits or denies";
                self.refuse("Consent.provision.type", "type", told);
                return None;
            }
        };
        let expires_at = self.period(provision.get("period"), now);
        let purpose = self.purpose(list(provision, "purpose"));
        let categories = self.categories(list(provision, "class"));
        let activities = self.activities(list(provision, "action"), is_denial);
        let actors = list(provision, "actor");
        if actors.is_empty() && !is_denial {
            let told = "a provision without an actor permits everybody: name whom it lets in";
            self.refuse("Consent.provision.actor", "required", told);
        }
        let actors = actors.iter().enumerate();
        let grantees = actors.filter_map(|(nth, actor)| {
            let path = format!("Consent.provision.actor[{nth}]");
            self.actor(actor, &path)
        });
        Some(Terms {
            grantees: grantees.collect(),
            purpose: purpose?,
            categories,
            activities,
            expires_at,
        })
    }

    fn period(&mut self, period: Option<&Json>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        const PATH: &str = "Consent.provision.period";
        let period = period?;
        self.only(period, PATH, &["start", "end"]);
        let told =
            "write a time to the second, with its offset: what a day is depends on where one is";
        let mut at = |name: &str| {
            let written = text(period, name)?;
            let at = DateTime::parse_from_rfc3339(written).ok();
            if at.is_none() {
                self.refuse(&format!("{PATH}.{name}"), "precision", told);
            }
            at.map(|at| at.with_timezone(&Utc))
        };
        let (start, end) = (at("start"), at("end"));
        if start.is_some_and(|start| now < start) {
            let told = "a consent holds from the moment it is given: it cannot begin later";
            self.refuse("Consent.provision.period.start", "start", told);
        }
        end
    }

    fn purpose(&mut self, purposes: &[Json]) -> Option<Purpose> {
        const PATH: &str = "Consent.provision.purpose";
        let [purpose] = purposes else {
            let told = "a consent is given for one purpose: write one document for each";
            self.refuse(PATH, "one", told);
            return None;
        };
        let path = format!("{PATH}[0]");
        self.only(purpose, &path, &CODING);
        let code = text(purpose, "code").filter(|_| text(purpose, "system") == Some(PURPOSES));
        let known = code.and_then(|code| code.parse().ok());
        if known.is_none() {
            let told = format!("a purpose is a code of {PURPOSES} that PurposeOfUse here has");
            self.refuse(&path, "purpose", &told);
        }
        known
    }

    fn categories(&mut self, classes: &[Json]) -> Vec<Category> {
        if classes.is_empty() {
            return vec![Category::All];
        }
        let mut found = Vec::with_capacity(classes.len());
        for (nth, class) in classes.iter().enumerate() {
            let path = format!("Consent.provision.class[{nth}]");
            self.only(class, &path, &CODING);
            let code = text(class, "code").filter(|_| text(class, "system") == Some(CATEGORIES));
            if let Some(category) = code.and_then(category) {
                found.push(category);
                continue;
            }
            let told = format!("a class is a code of {CATEGORIES}: a record type, or ALL_RECORDS");
            self.refuse(&path, "class", &told);
        }
        found
    }

    fn activities(&mut self, actions: &[Json], is_denial: bool) -> Vec<Activity> {
        const PATH: &str = "Consent.provision.action";
        if is_denial {
            if !actions.is_empty() {
                let told =
                    "a refusal here refuses everything: one of some actions alone cannot be given";
                self.refuse(PATH, "denial", told);
            }
            return vec![Activity::Deny];
        }
        if actions.is_empty() {
            let told = "a provision without an action permits everything: name what may be done";
            self.refuse(PATH, "required", told);
        }
        let mut found = Vec::new();
        for (nth, action) in actions.iter().enumerate() {
            let path = format!("{PATH}[{nth}]");
            self.only(action, &path, &CONCEPT);
            let codings = list(action, "coding");
            for coding in codings {
                self.only(coding, &format!("{path}.coding"), &CODING);
            }
            if let Some(activities) = activities_of(codings) {
                found.extend(activities);
                continue;
            }
            let told = format!(
                "an action is a code of {ACTIVITIES}, or access or correct of {ACTIONS}; several codes of one \
                 action say the same"
            );
            self.refuse(&path, "action", &told);
        }
        found
    }

    fn actor(&mut self, actor: &Json, path: &str) -> Option<Grantee> {
        self.only(actor, path, &["role", "reference", "extension"]);
        if let Some(role) = actor.get("role") {
            self.code(role, &format!("{path}.role"), (PARTICIPATIONS, RECIPIENT));
        }
        let reference = actor.get("reference")?;
        let place = format!("{path}.reference");
        self.only(
            reference,
            &place,
            &["reference", "type", "identifier", "display"],
        );
        let extensions = list(actor, "extension");
        let to = text(reference, "reference");
        let found = match (
            to.and_then(|to| to.split_once('/')),
            reference.get("identifier"),
        ) {
            (Some(("Practitioner", id)), None) if extensions.is_empty() => {
                let id: Option<Uuid> = id.parse().ok();
                id.map(|id| Grantee::User { id: UserId(id) })
            }
            (Some(("Organization", id)), None) => {
                let country = match extensions {
                    [one] if text(one, "url") == Some(COUNTRY) => text(one, "valueCode"),
                    _ => None,
                };
                let id: Option<Uuid> = id.parse().ok();
                id.zip(country).map(|(id, country)| Grantee::Org {
                    id: OrganizationId(id),
                    country: country.to_owned(),
                })
            }
            (None, Some(identifier)) if extensions.is_empty() && to.is_none() => {
                self.only(
                    identifier,
                    &format!("{place}.identifier"),
                    &["system", "value"],
                );
                let value = text(identifier, "value");
                let value = value.filter(|_| text(identifier, "system") == Some(ROLES));
                let role: Option<Role> = value.and_then(|role| role.parse().ok());
                role.map(|role| Grantee::Role { role })
            }
            _ => None,
        };
        if found.is_none() {
            let told = format!(
                "an actor is Practitioner/<account>, Organization/<id> with the extension {COUNTRY}, or an identifier \
                 of {ROLES}"
            );
            self.refuse(&place, "actor", &told);
        }
        found
    }

    /// An element of the document that can have one code only.
    fn fixed(&mut self, document: &Json, name: &str, wanted: (&str, &str)) {
        let path = format!("Consent.{name}");
        match document.get(name) {
            Some(concept) => self.code(concept, &path, wanted),
            None => self.refuse(
                &path,
                "required",
                &format!("write {} of {}", wanted.1, wanted.0),
            ),
        }
    }

    /// A concept that is this code and no other.
    fn code(&mut self, concept: &Json, path: &str, (system, code): (&str, &str)) {
        self.only(concept, path, &CONCEPT);
        let is_it = match list(concept, "coding") {
            [one] => text(one, "system") == Some(system) && text(one, "code") == Some(code),
            _ => false,
        };
        if !is_it {
            self.refuse(
                path,
                "code",
                &format!("here it can be {code} of {system} only"),
            );
        }
    }
}

/// What the codings of one action say, where all of them say the same.
fn activities_of(codings: &[Json]) -> Option<Vec<Activity>> {
    let code_of = |wanted: &str| {
        let mut codes = codings
            .iter()
            .filter(|it| text(it, "system") == Some(wanted));
        let code = codes.next().and_then(|it| text(it, "code"));
        code.filter(|_| codes.next().is_none())
    };
    let (ours, theirs) = (code_of(ACTIVITIES), code_of(ACTIONS));
    if codings.len() != usize::from(ours.is_some()) + usize::from(theirs.is_some()) {
        return None;
    }
    match (ours, theirs) {
        (Some(ours), theirs) => {
            let activity: Activity = ours.parse().ok()?;
            if activity == Activity::Deny {
                return None;
            }
            theirs
                .is_none_or(|theirs| action_of(activity) == Some(theirs))
                .then(|| vec![activity])
        }
        (None, Some("access")) => Some(vec![Activity::Read, Activity::Search]),
        (None, Some("correct")) => Some(vec![Activity::Amend]),
        (None, _) => None,
    }
}

fn category(code: &str) -> Option<Category> {
    serde_json::from_value(code.into()).ok()
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Json::as_str)
}

fn list<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json.get(name).and_then(Json::as_array).unwrap_or_default()
}

#[cfg(test)]
mod tests;
