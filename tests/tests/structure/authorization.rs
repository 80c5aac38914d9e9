//! Every field at the root of the schema, asked by every kind of caller.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::transfer::{NDJSON, heart_rate};
use tests::{Answer, World, documents, id, text};

use super::cast::{Cast, represented, to_members_of_one_of_two};

/// Who asks, in the order of the columns of [`CASES`].
pub(super) const CALLERS: [&str; 9] = [
    "nobody",
    "ana, whose data it is",
    "budi, another patient",
    "dr.citra, without a consent",
    "dr.bo, whom ana lets read and search",
    "an administrator",
    "dr.eka, a member of an organisation without a consent",
    "dr.fitri, a member of an organisation whose members ana lets read and search",
    "ibu, on behalf of ana where the field takes that, else for herself",
];

/// The column of whoever acts for ana.
pub(super) const REPRESENTATIVE: usize = 8;

/// The fields that a representative asks for somebody else, by `onBehalfOf`: what is not among them is not delegated.
const DELEGATED: [&str; 16] = [
    "Mutation.cancelAccessCode",
    "Mutation.createAccessCode",
    "Mutation.createMedicalRecord",
    "Mutation.grantConsent",
    "Mutation.importRecords",
    "Mutation.withdrawConsent",
    "Query.accessCodes",
    "Query.consents",
    "Query.medicalRecord",
    "Query.medicalRecords",
    "Query.myAccessLog",
    "Query.myAccessLogByDay",
    "Query.nodes",
    "Query.previewConsent",
    "Query.verifyRecord",
    "Query.whoHasAccess",
];

/// A document as this column asks it, whose root field is this one (`consents`): on behalf of ana, where the field can be.
pub(super) fn asked_by(nth: usize, root: &str, document: &str) -> String {
    let is_delegated = DELEGATED.iter().any(|field| name_of(field) == root);
    if nth != REPRESENTATIVE || !is_delegated {
        return document.to_owned();
    }
    let start = document
        .find(root)
        .expect("a document asks for its root field");
    let (before, after) = document.split_at(start + root.len());
    match after.strip_prefix('(') {
        Some(arguments) => format!(r#"{before}(onBehalfOf: "$ANA", {arguments}"#),
        None => format!(r#"{before}(onBehalfOf: "$ANA"){after}"#),
    }
}

/// The name of a field without its type.
pub(super) fn name_of(field: &str) -> &str {
    field.split('.').next_back().unwrap_or_default()
}

/// What comes back to each of them.
pub(super) type Wanted = [&'static str; CALLERS.len()];

/// For what everybody does who is logged in.
const EVERYBODY: Wanted = [
    "UNAUTHENTICATED",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
    "ok",
];
/// For what needs no log-in.
const PUBLIC: Wanted = ["ok"; CALLERS.len()];
/// For what needs no log-in, of a code that is not known.
const PUBLIC_UNKNOWN: Wanted = ["BAD_USER_INPUT"; CALLERS.len()];
/// For lists of which everybody has their own, and nobody anything in it.
const NONE: Wanted = [
    "UNAUTHENTICATED",
    "0 nodes",
    "0 nodes",
    "0 nodes",
    "0 nodes",
    "0 nodes",
    "0 nodes",
    "0 nodes",
    "0 nodes",
];
/// For what is ana's alone.
const OWN_ALONE: Wanted = [
    "UNAUTHENTICATED",
    "ok",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
];
/// The same where a representative does it, too.
const DELEGATED_ALONE: Wanted = [
    "UNAUTHENTICATED",
    "ok",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "NOT_FOUND",
    "ok",
];
/// For what is ana's, and for whom she lets in.
const LET_IN: Wanted = [
    "UNAUTHENTICATED",
    "ok",
    "NOT_FOUND",
    "NOT_FOUND",
    "ok",
    "NOT_FOUND",
    "NOT_FOUND",
    "ok",
    "ok",
];
/// For what says once more who is there, with a password that is nobody's.
const WRONG_PASSWORD: Wanted = [
    "UNAUTHENTICATED",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
    "WRONG_CREDENTIALS",
];
/// For what administrators do.
const ADMINISTRATORS: Wanted = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "ok",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
];
/// The same of lists that have nothing in them.
const ADMINISTRATORS_NONE: Wanted = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "0 nodes",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
];
/// The same of what is not there.
const ADMINISTRATORS_NOTHING: Wanted = [
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
    "NOT_FOUND",
    "FORBIDDEN",
    "FORBIDDEN",
    "FORBIDDEN",
];

/// A field, how it is asked for, and what comes back: a code; `ok`; `null`; how many nodes; or, where
/// the nodes are about records, whether any is about ana's.
///
/// `$NAME` in a document stands for what the cast has under that name.
pub(super) struct Case(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) Wanted,
);

pub(super) const CASES: [Case; 93] = [
    Case("Query.me", "{ me { id } }", EVERYBODY),
    Case(
        "Query.users",
        "{ users { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "10 nodes",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Query.roleProposals",
        "{ roleProposals { nodes { id } } }",
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Query.mySessions",
        "{ mySessions(first: 1) { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
        ],
    ),
    Case(
        "Query.medicalRecord",
        r#"{ medicalRecord(id: "$RECORD") { id } }"#,
        LET_IN,
    ),
    Case(
        "Query.node",
        r#"{ node(id: "$NODE") { nodeId } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "NOT_FOUND",
            "NOT_FOUND",
            "ok",
            "NOT_FOUND",
            "NOT_FOUND",
            "ok",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Query.nodes",
        r#"{ nodes(ids: ["$NODE"]) { nodeId } }"#,
        LET_IN,
    ),
    Case(
        "Query.medicalRecords",
        r#"{ medicalRecords(patientId: "$ANA") { nodes { id } } }"#,
        [
            "UNAUTHENTICATED",
            "1 nodes",
            "0 nodes",
            "0 nodes",
            "1 nodes",
            "0 nodes",
            "0 nodes",
            "1 nodes",
            "1 nodes",
        ],
    ),
    Case(
        "Query.verifyRecord",
        r#"{ verifyRecord(id: "$RECORD") { verdict } }"#,
        LET_IN,
    ),
    Case(
        "Query.exportMyData",
        "{ exportMyData { path sections { name count } } }",
        EVERYBODY,
    ),
    Case(
        "Query.consents",
        "{ consents { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "2 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "2 nodes",
        ],
    ),
    Case(
        "Query.whoHasAccess",
        "{ whoHasAccess { nodes { kind } } }",
        [
            "UNAUTHENTICATED",
            "3 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "3 nodes",
        ],
    ),
    Case(
        "Query.previewConsent",
        r#"{ previewConsent(input: { grant: {
            purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ], grantees: [{ user: "$CITRA" }]
        } }) { gainingCount } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "ok",
            "BAD_USER_INPUT",
            "ok",
            "FORBIDDEN",
            "ok",
            "ok",
            "ok",
        ],
    ),
    Case("Query.accessCodes", "{ accessCodes { id } }", EVERYBODY),
    Case(
        "Mutation.createAccessCode",
        "mutation { createAccessCode(input: {
            purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ]
        }) { accessCode { id } } }",
        [
            "UNAUTHENTICATED",
            "ok",
            "ok",
            "ok",
            "ok",
            "FORBIDDEN",
            "ok",
            "ok",
            "ok",
        ],
    ),
    Case(
        "Mutation.redeemAccessCode",
        r#"mutation { redeemAccessCode(input: { code: "2345-6789-AC" }) { consent { id } } }"#,
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "BAD_USER_INPUT",
            "BAD_USER_INPUT",
            "FORBIDDEN",
            "BAD_USER_INPUT",
            "BAD_USER_INPUT",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Mutation.cancelAccessCode",
        r#"mutation { cancelAccessCode(input: { id: "$CODE" }) { accessCode { id } } }"#,
        DELEGATED_ALONE,
    ),
    Case(
        "Query.exportConsents",
        "{ exportConsents(first: 1) { bundle } }",
        EVERYBODY,
    ),
    Case(
        "Mutation.importConsent",
        r#"mutation { importConsent(input: { document: { resourceType: "Consent" } }) { consent { id } } }"#,
        [
            "UNAUTHENTICATED",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
        ],
    ),
    Case(
        "Mutation.importConsents",
        r#"mutation { importConsents(input: { document: { resourceType: "Bundle" } }) { inactive } }"#,
        [
            "UNAUTHENTICATED",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
            "INVALID_DOCUMENT",
        ],
    ),
    Case(
        "Query.countryRules",
        "{ countryRules { country } }",
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.setCountryRule",
        r#"mutation { setCountryRule(input: {
            country: "US", isAdequate: false, hasSafeguards: false, needsConsent: true
        }) { countryRule { country } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Query.organizations",
        "{ organizations { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "2 nodes",
            "2 nodes",
            "2 nodes",
            "2 nodes",
            "2 nodes",
            "2 nodes",
            "2 nodes",
            "2 nodes",
        ],
    ),
    Case(
        "Query.organizationMembers",
        r#"{ organizationMembers(organizationId: "$RECORD") { nodes { id } } }"#,
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Mutation.createOrganization",
        r#"mutation { createOrganization(input: { name: "RS Harapan", country: "ID" }) { organization { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.updateOrganization",
        r#"mutation { updateOrganization(input: { id: "$RECORD", isActive: false }) { organization { id } } }"#,
        ADMINISTRATORS_NOTHING,
    ),
    Case(
        "Mutation.addMember",
        r#"mutation { addMember(input: { doctorId: "$CITRA", organizationId: "$RECORD" }) { membership { id } } }"#,
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "BAD_USER_INPUT",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Mutation.endMembership",
        r#"mutation { endMembership(id: "$RECORD") { membership { id } } }"#,
        ADMINISTRATORS_NOTHING,
    ),
    Case(
        "Query.consentHistory",
        "{ consentHistory(first: 1) { nodes { kind } } }",
        [
            "UNAUTHENTICATED",
            "1 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
        ],
    ),
    Case(
        "Query.consentsGivenToMe",
        "{ consentsGivenToMe { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "0 nodes",
            "1 nodes",
            "FORBIDDEN",
            "0 nodes",
            "1 nodes",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Query.patients",
        "{ patients { nodes { records } } }",
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "0 nodes",
            "1 nodes",
            "FORBIDDEN",
            "0 nodes",
            "1 nodes",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Query.doctors",
        r#"{ doctors(search: "citra") { nodes { id } } }"#,
        [
            "UNAUTHENTICATED",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
            "1 nodes",
        ],
    ),
    Case(
        "Query.auditLogs",
        r#"{ auditLogs(resourceId: "$RECORD", actionType: RECORD_CREATE) { nodes { id } } }"#,
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
            "1 nodes",
            "FORBIDDEN",
            "FORBIDDEN",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Query.auditPromise",
        r#"{ auditPromise(id: "$ROW", leafHash: "0000000000000000000000000000000000000000000000000000000000000000") { state } }"#,
        EVERYBODY,
    ),
    Case(
        "Query.auditProof",
        r#"{ auditProof(id: "$ROW") { id } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "ok",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Query.myAccessLogByDay",
        "{ myAccessLogByDay { pageInfo { hasNextPage } } }",
        EVERYBODY,
    ),
    Case(
        "Query.myAccessLog",
        "{ myAccessLog(first: 100) { nodes { recordId } } }",
        [
            "UNAUTHENTICATED",
            "ana's",
            "not ana's",
            "not ana's",
            "not ana's",
            "not ana's",
            "not ana's",
            "not ana's",
            "ana's",
        ],
    ),
    Case(
        "Query.dataDeletionRequests",
        "{ dataDeletionRequests { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "2 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "2 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
        ],
    ),
    Case(
        "Query.registry",
        "{ registry { address version events { topic } } }",
        PUBLIC,
    ),
    Case(
        "Query.indexStatus",
        "{ indexStatus { chainId indexedBlock } }",
        PUBLIC,
    ),
    Case("Query.myWallets", "{ myWallets { nodes { id } } }", NONE),
    Case(
        "Query.mySecondFactor",
        "{ mySecondFactor { isOn } }",
        EVERYBODY,
    ),
    Case(
        "Mutation.walletChallenge",
        r#"mutation { walletChallenge(input: {
            address: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC", purpose: LINK
        }) { message } }"#,
        EVERYBODY,
    ),
    Case(
        "Mutation.linkWallet",
        r#"mutation { linkWallet(input: {
            message: "", signature: "0x", password: "nobody's password"
        }) { wallet { id } } }"#,
        WRONG_PASSWORD,
    ),
    Case(
        "Mutation.unlinkWallet",
        r#"mutation { unlinkWallet(input: { password: "nobody's password" }) { wallet { id } } }"#,
        WRONG_PASSWORD,
    ),
    Case(
        "Mutation.logInWithWallet",
        r#"mutation { logInWithWallet(input: { message: "", signature: "0x" }) { user { id } } }"#,
        [
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
        ],
    ),
    Case(
        "Mutation.startSecondFactor",
        r#"mutation { startSecondFactor(input: { password: "nobody's password" }) { uri } }"#,
        WRONG_PASSWORD,
    ),
    Case(
        "Mutation.confirmSecondFactor",
        r#"mutation { confirmSecondFactor(input: { code: "123456" }) { recoveryCodes } }"#,
        [
            "UNAUTHENTICATED",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.removeSecondFactor",
        r#"mutation { removeSecondFactor(input: { password: "nobody's password" }) { secondFactor { isOn } } }"#,
        WRONG_PASSWORD,
    ),
    Case(
        "Mutation.register",
        r#"mutation { register(input: {
            email: "$FRESH@meditrustal.example", username: "$FRESH", password: "nobody else knows this"
        }) { user { id } } }"#,
        ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"],
    ),
    Case(
        "Mutation.logIn",
        r#"mutation { logIn(input: { login: "budi", password: "budi tells nobody" }) { user { id } } }"#,
        ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"],
    ),
    // Whoever has a refresh token goes on with its log-in; who else they are does not matter.
    Case(
        "Mutation.refreshSession",
        r#"mutation { refreshSession(input: { refreshToken: "$REFRESH" }) { accessToken } }"#,
        ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"],
    ),
    Case(
        "Mutation.revokeSession",
        r#"mutation { revokeSession(input: { id: "$SESSION" }) { endedSessions } }"#,
        OWN_ALONE,
    ),
    Case(
        "Mutation.changePassword",
        r#"mutation { changePassword(input: {
            currentPassword: "ana tells nobody", newPassword: "ana tells nobody"
        }) { endedSessions } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
        ],
    ),
    Case(
        "Mutation.updateProfile",
        r#"mutation { updateProfile(input: {
            currentPassword: "ana tells nobody", username: "ana"
        }) { user { id } } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
            "WRONG_CREDENTIALS",
        ],
    ),
    Case(
        "Mutation.deactivateUser",
        r#"mutation { deactivateUser(input: { userId: "$SPARE" }) { user { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.reactivateUser",
        r#"mutation { reactivateUser(input: { userId: "$SPARE" }) { user { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.setRole",
        r#"mutation { setRole(input: { userId: "$BUDI", role: PATIENT }) { user { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.createMedicalRecord",
        r#"mutation($document: JSON!) { createMedicalRecord(input: {
            patientId: "$ANA", recordType: VITAL_SIGNS, document: $document
        }) { record { id } } }"#,
        DELEGATED_ALONE,
    ),
    Case(
        "Mutation.importRecords",
        r#"mutation($document: JSON!) { importRecords(input: {
            patientId: "$ANA", entries: [{ document: $document }]
        }) { results { code } } }"#,
        DELEGATED_ALONE,
    ),
    Case(
        "Mutation.amendMedicalRecord",
        r#"mutation($document: JSON!) { amendMedicalRecord(input: {
            id: "$VERSION", expectedVersion: 1, document: $document, reason: "a digit was wrong"
        }) { record { id } } }"#,
        OWN_ALONE,
    ),
    Case(
        "Mutation.withdrawMedicalRecord",
        r#"mutation { withdrawMedicalRecord(input: {
            id: "$VERSION", expectedVersion: 1, reason: "a digit was wrong"
        }) { record { id } } }"#,
        OWN_ALONE,
    ),
    Case(
        // Nobody names themselves.
        "Mutation.grantConsent",
        r#"mutation { grantConsent(input: {
            purpose: TREAT, dataCategories: [IMAGING], processingActivities: [READ], grantees: [{ user: "$CITRA" }]
        }) { consent { id } } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "ok",
            "BAD_USER_INPUT",
            "ok",
            "FORBIDDEN",
            "ok",
            "ok",
            "ok",
        ],
    ),
    Case(
        "Mutation.withdrawConsent",
        r#"mutation { withdrawConsent(input: { id: "$CONSENT" }) { consent { id } } }"#,
        DELEGATED_ALONE,
    ),
    // She has linked no wallet.
    Case(
        "Query.consentToSign",
        r#"{ consentToSign(id: "$CONSENT", kind: GRANT) { wallet } }"#,
        [
            "UNAUTHENTICATED",
            "CONFLICT",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.signConsent",
        r#"mutation { signConsent(input: {
            id: "$CONSENT", kind: GRANT, deadline: "2030-01-01T00:00:00Z", signature: "0x"
        }) { consent { id } } }"#,
        [
            "UNAUTHENTICATED",
            "CONFLICT",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.requestDataDeletion",
        "mutation { requestDataDeletion(input: {
            requestType: RESTRICTION, dataCategories: [ALL_RECORDS]
        }) { request { id } } }",
        EVERYBODY,
    ),
    Case(
        "Query.myBreakGlassWindows",
        "{ myBreakGlassWindows { nodes { id } } }",
        NONE,
    ),
    Case(
        "Query.breakGlassReviews",
        "{ breakGlassReviews { nodes { disclosures } } }",
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Query.notifications",
        "{ notifications { nodes { id } } }",
        // She was told that she acts for ana.
        [
            "UNAUTHENTICATED",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "1 nodes",
        ],
    ),
    Case(
        "Query.unreadNotifications",
        "{ unreadNotifications }",
        EVERYBODY,
    ),
    Case(
        "Mutation.markNotificationsRead",
        "mutation { markNotificationsRead(input: {}) { marked } }",
        EVERYBODY,
    ),
    Case(
        "Query.myRepresentatives",
        "{ myRepresentatives { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "1 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
        ],
    ),
    Case(
        "Query.peopleIRepresent",
        "{ peopleIRepresent { nodes { id } } }",
        [
            "UNAUTHENTICATED",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "0 nodes",
            "1 nodes",
        ],
    ),
    Case(
        "Query.representativeProposals",
        "{ representativeProposals { nodes { id } } }",
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Mutation.appointRepresentative",
        r#"mutation { appointRepresentative(input: { representativeId: "$CITRA", relationship: CARER, activities: [READ_RECORDS], validUntil: "2040-01-01T00:00:00Z" }) { representative { id } } }"#,
        [
            "UNAUTHENTICATED",
            "ok",
            "ok",
            "BAD_USER_INPUT",
            "ok",
            "FORBIDDEN",
            "ok",
            "ok",
            "ok",
        ],
    ),
    Case(
        "Mutation.endRepresentation",
        r#"mutation { endRepresentation(input: { id: "$RECORD" }) { representative { id } } }"#,
        [
            "UNAUTHENTICATED",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.proposeRepresentative",
        r#"mutation { proposeRepresentative(input: { patientId: "$BUDI", representativeId: "$CITRA", relationship: CARER, activities: [READ_RECORDS], validUntil: "2040-01-01T00:00:00Z", reason: "by the order of a court of law" }) { proposal { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.approveRepresentative",
        r#"mutation { approveRepresentative(input: { id: "$RECORD" }) { representative { id } } }"#,
        ADMINISTRATORS_NOTHING,
    ),
    Case(
        "Mutation.rejectRepresentative",
        r#"mutation { rejectRepresentative(input: { id: "$RECORD" }) { proposal { id } } }"#,
        ADMINISTRATORS_NOTHING,
    ),
    Case(
        "Mutation.endBreakGlass",
        r#"mutation { endBreakGlass(input: { id: "$RECORD" }) { window { id } } }"#,
        [
            "UNAUTHENTICATED",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.reviewBreakGlass",
        r#"mutation { reviewBreakGlass(input: { id: "$RECORD", decision: JUSTIFIED }) { review { disclosures } } }"#,
        ADMINISTRATORS_NOTHING,
    ),
    // A doctor needs no consent: whom the patient refuses is refused when they read.
    Case(
        "Mutation.breakGlass",
        r#"mutation { breakGlass(input: { patientId: "$BUDI", reason: "found unconscious, allergies unknown" }) { window { id } } }"#,
        [
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "FORBIDDEN",
            "ok",
            "ok",
            "FORBIDDEN",
            "ok",
            "ok",
            "FORBIDDEN",
        ],
    ),
    Case(
        "Query.deletionQueue",
        "{ deletionQueue(status: COMPLETED) { nodes { id } } }",
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Query.deletionCertificate",
        r#"{ deletionCertificate(id: "$DELETION") { sha256 } }"#,
        [
            "UNAUTHENTICATED",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Query.legalHolds",
        "{ legalHolds { nodes { id } } }",
        ADMINISTRATORS_NONE,
    ),
    Case(
        "Mutation.cancelDeletion",
        r#"mutation { cancelDeletion(input: { id: "$CANCELLED" }) { request { id } } }"#,
        OWN_ALONE,
    ),
    Case(
        "Mutation.deletionChallenge",
        r#"mutation { deletionChallenge(input: { id: "$DELETION" }) { wallet } }"#,
        [
            "UNAUTHENTICATED",
            "CONFLICT",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ],
    ),
    Case(
        "Mutation.verifyDeletionRequest",
        r#"mutation { verifyDeletionRequest(input: { id: "$DELETION", currentPassword: "ana tells nobody" }) { request { id } } }"#,
        OWN_ALONE,
    ),
    Case(
        "Mutation.claimDeletionCertificate",
        r#"mutation { claimDeletionCertificate(input: {
            code: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        }) { certificate { sha256 } } }"#,
        PUBLIC_UNKNOWN,
    ),
    Case(
        "Mutation.reviewDeletion",
        r#"mutation { reviewDeletion(input: {
            id: "$DELETION", decision: REJECT, reason: "the table wants it"
        }) { request { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.placeHold",
        r#"mutation { placeHold(input: { patientId: "$BUDI", reason: "the table wants it" }) { hold { id } } }"#,
        ADMINISTRATORS,
    ),
    Case(
        "Mutation.releaseHold",
        r#"mutation { releaseHold(input: { id: "$BUDI" }) { isReleased } }"#,
        ADMINISTRATORS_NOTHING,
    ),
];

/// Fields that are asked for in a test of their own below.
const ELSEWHERE: [&str; 9] = [
    "Mutation.deactivateAccount",
    "Mutation.logOut",
    "Mutation.logOutEverywhere",
    "Subscription.integrityEvents",
    // `record_updates` of the tests over the real programs: told to whom `integrityEvents` are told.
    "Subscription.recordUpdated",
    // `accesses_are_told_as_they_are_written_over_all_processes_and_again_after_a_cursor` of the tests over the real programs.
    "Subscription.accessEvents",
    // `what_happens_is_told_at_once_in_order_and_again_after_a_cursor` of the tests over the real programs.
    "Subscription.notifications",
    // `public_events` and `chain_head` of the same tests: they tell everybody the same.
    "Subscription.publicIntegrityEvents",
    "Subscription.chainHead",
];

/// What ends the log-in that asks: everybody ends their own and nobody else's.
#[tokio::test]
async fn everybody_ends_their_own_log_ins_and_account() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, kim) = (world.doctor("bo").await, world.admin("kim").await);
    let deactivate = |password: &str| {
        format!(
            "mutation {{ deactivateAccount(input: {{ currentPassword: {} }}) {{ user {{ id }} }} }}",
            json!(password)
        )
    };
    let log_out = "mutation { logOut { endedSessions } }";
    let everywhere = "mutation { logOutEverywhere { endedSessions } }";
    let nobody = world.nobody();
    for document in [log_out, everywhere, &deactivate(&ana.password)] {
        let refused = nobody.asks(document, json!({})).await;
        refused.fails_with("UNAUTHENTICATED");
    }

    for person in [&ana, &bo, &kim] {
        for document in [log_out, everywhere, &deactivate(&person.password)] {
            let own = world.logs_in(person).await;
            own.asks(document, json!({})).await.data();
            let over = own.asks("{ me { id } }", json!({})).await;
            over.fails_with("UNAUTHENTICATED");
        }
        let guessed = deactivate(&person.password);
        let refused = budi.asks(&guessed, json!({})).await;
        refused.fails_with("WRONG_CREDENTIALS");
        budi.asks("{ me { id } }", json!({})).await.data();
    }
}

#[tokio::test]
async fn every_field_answers_every_caller_as_the_table_says() {
    let cast = Cast::start().await;
    let callers = cast.callers();

    let mut wrong = Vec::new();
    for Case(field, document, wanted) in &CASES {
        for (nth, caller) in callers.iter().enumerate() {
            let document = asked_by(nth, name_of(field), document);
            let (document, variables) = cast.completes(&document, &format!("fresh{nth}")).await;
            let answer = caller.asks_with(&document, &variables).await;
            let found = outcome(field, &answer, &cast.record);
            if found != wanted[nth] {
                wrong.push(format!(
                    "{field}, asked by {}: {found}, not {}",
                    CALLERS[nth], wanted[nth]
                ));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What goes by files, asked by every kind of caller: status and code of an export, and what became of the
/// one entry of an import.
#[tokio::test]
async fn files_answer_every_caller_as_the_fields_do() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let kim = world.admin("kim").await;
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    let helper = world.doctor("dewi").await;
    let activities = ["CREATE", "EXPORT"];
    ana.lets(&helper, &activities).await;
    let (eka, fitri) = (world.doctor("eka").await, world.doctor("fitri").await);
    to_members_of_one_of_two(&world, &ana, [&fitri, &eka], &activities).await;
    let ibu = world.patient("ibu").await;
    represented(&ana, &ibu).await;
    let for_ana = format!("&onBehalfOf={}", ana.id);
    let table = [
        (
            world.nobody(),
            "",
            "401 UNAUTHENTICATED",
            "401 UNAUTHENTICATED",
        ),
        (ana.clone(), "", "200 CREATED", "200"),
        (budi, "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (citra, "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (bo, "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (kim, "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (helper, "", "200 CREATED", "200"),
        (eka, "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (fitri, "", "200 CREATED", "200"),
        (ibu.clone(), "", "200 NOT_FOUND", "404 NOT_FOUND"),
        (ibu, for_ana.as_str(), "200 CREATED", "200"),
    ];

    for (person, more, imported, exported) in table {
        let upload = (NDJSON, more);
        let report = person
            .imports(&world.api, &ana, upload, heart_rate(60))
            .await;
        let reply = person.exports(&world.api, &ana, more).await;

        let told = report.lines.first().map(|line| {
            let outcome = line["code"].as_str().or(line["outcome"].as_str());
            outcome.unwrap_or_default().to_owned()
        });
        let told = told.unwrap_or_else(|| report.reply.code());
        assert_eq!(
            format!("{} {told}", report.reply.status),
            imported,
            "{}",
            person.username
        );
        let code = if reply.status == 200 {
            String::new()
        } else {
            reply.code()
        };
        let found = format!("{} {code}", reply.status);
        assert_eq!(found.trim(), exported, "{}", person.username);
    }
}

/// `Subscription.integrityEvents`: the first event each of them is told after a moment that all of
/// them name, when something happened to ana's record first and to budi's then.
#[tokio::test]
async fn events_are_delivered_to_those_who_may_see_the_record() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (bo, citra) = (world.doctor("bo").await, world.doctor("citra").await);
    let kim = world.admin("kim").await;
    ana.lets(&bo, &["READ", "SEARCH"]).await;
    budi.lets(&citra, &["READ", "SEARCH"]).await;
    let mut everything = kim.watches(json!({})).await;
    let first = ana
        .creates(&ana, "VITAL_SIGNS", documents::vital_signs())
        .await;
    world.wait_for_anchor(&id(&first), "CONFIRMED").await;
    world.mine(2).await;
    let (moment, _) = everything.until("ANCHOR_FINALIZED").await;
    for person in [&ana, &budi] {
        let record = person
            .creates(person, "VITAL_SIGNS", documents::vital_signs())
            .await;
        world.wait_for_anchor(&id(&record), "CONFIRMED").await;
    }

    let after = json!({ "after": moment["cursor"] });
    let nobody = world.nobody();
    let refused = nobody
        .client
        .subscribe("subscription { integrityEvents { kind } }", &json!({}))
        .await;
    let refused = refused.map(|_| ()).expect_err("nobody is told anything");
    assert!(refused.to_string().contains("4401"), "{refused}");
    for (person, whose) in [
        (&ana, &ana),
        (&budi, &budi),
        (&citra, &budi),
        (&bo, &ana),
        (&kim, &ana),
    ] {
        let event = person.watches(after.clone()).await.next().await;
        assert_eq!(
            event["patientId"], whose.id,
            "{} is told {event}",
            person.username
        );
    }
}

#[tokio::test]
async fn every_field_has_its_line_in_the_table() {
    let world = World::start().await;
    let introspection = "{ __schema {
        queryType { name fields { name args { name } } }
        mutationType { name fields { name args { name } } }
        subscriptionType { name fields { name args { name } } }
    } }";

    let answer = world.nobody().asks(introspection, json!({})).await;

    let schema = &answer.data()["__schema"];
    let roots = ["queryType", "mutationType", "subscriptionType"].map(|root| &schema[root]);
    let (mut served, mut delegated) = (BTreeSet::new(), BTreeSet::new());
    for root in roots {
        for field in root["fields"].as_array().expect("a root has fields") {
            let name = format!("{}.{}", text(&root["name"]), text(&field["name"]));
            let mut arguments = field["args"].as_array().expect("a list").iter();
            if arguments.any(|argument| argument["name"] == "onBehalfOf") {
                delegated.insert(name.clone());
            }
            served.insert(name);
        }
    }
    let listed = CASES.iter().map(|Case(field, ..)| *field);
    let listed: BTreeSet<_> = listed.chain(ELSEWHERE).map(str::to_owned).collect();
    assert_eq!(served, listed, "what is served has to be what is tested");
    let acted = BTreeSet::from(DELEGATED.map(str::to_owned));
    assert_eq!(delegated, acted, "what takes `onBehalfOf`");
}

pub(super) fn outcome(field: &str, answer: &Answer, record: &str) -> String {
    if let Some(code) = answer.code() {
        return code.to_owned();
    }
    let value = &answer.partial_data()[name_of(field)];
    // Of an import each entry has an answer of its own.
    if let Some(code) = value["results"][0]["code"].as_str() {
        return code.to_owned();
    }
    match value {
        Value::Null => "null".to_owned(),
        value => match value["nodes"].as_array() {
            Some(nodes) if nodes.iter().any(|node| node.get("recordId").is_some()) => {
                let hers = nodes.iter().any(|node| node["recordId"] == record);
                if hers { "ana's" } else { "not ana's" }.to_owned()
            }
            Some(nodes) => format!("{} nodes", nodes.len()),
            None => "ok".to_owned(),
        },
    }
}
