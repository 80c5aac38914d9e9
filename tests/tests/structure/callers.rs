//! Every field at the root of the schema, asked by those whose outcome follows from another column of
//! [`super::authorization::CASES`]: deactivated accounts, tokens that are over, a doctor with a window of emergency access.

use serde_json::json;
use tests::Person;
use vault::token::TokenKeys;

use super::authorization::{CASES, Case, outcome};
use super::cast::Cast;

/// What a doctor with a window on ana's records is answered, who says so (`X-Purpose-Of-Use: BTG`), where it is not what a doctor
/// without a consent is answered.
const IN_AN_EMERGENCY: [(&str, &str); 10] = [
    ("Query.medicalRecord", "ok"),
    ("Query.node", "ok"),
    ("Query.nodes", "ok"),
    ("Query.medicalRecords", "1 nodes"),
    ("Query.verifyRecord", "ok"),
    ("Query.patients", "1 nodes"),
    ("Query.myBreakGlassWindows", "1 nodes"),
    // The one without a consent is the grantee whom these name, and nobody names themselves.
    ("Query.previewConsent", "ok"),
    ("Mutation.grantConsent", "ok"),
    ("Mutation.appointRepresentative", "ok"),
];
/// What a deactivated account is answered where it is not what nobody is: a document is read before it is asked whose it is, and
/// who shows a token is told that it is over also where none is needed.
const DEACTIVATED: [(&str, &str); 4] = [
    ("Mutation.importConsent", "INVALID_DOCUMENT"),
    ("Mutation.importConsents", "INVALID_DOCUMENT"),
    ("Query.registry", "UNAUTHENTICATED"),
    ("Query.indexStatus", "UNAUTHENTICATED"),
];

/// What a table says of a field, or else this.
fn said(
    table: &[(&'static str, &'static str)],
    field: &str,
    otherwise: &'static str,
) -> &'static str {
    let told = table.iter().find(|(of, _)| *of == field);
    told.map_or(otherwise, |(_, wanted)| *wanted)
}

/// Asks for every field as this person; answers what is not as it should be.
async fn differs(
    cast: &Cast,
    caller: &Person,
    wanted: impl Fn(&Case) -> &'static str,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in &CASES {
        let Case(field, document, _) = case;
        let (document, variables) = cast
            .completes(document, &format!("fresh.{}", caller.username))
            .await;
        let answer = caller.asks_with(&document, &variables).await;
        let (found, wanted) = (outcome(field, &answer, &cast.record), wanted(case));
        if found != wanted {
            wrong.push(format!("{field}: {found}, not {wanted}"));
        }
    }
    wrong
}

#[tokio::test]
async fn a_deactivated_account_is_answered_as_nobody() {
    let cast = Cast::start().await;
    let over = cast.world.patient("over").await;
    let deactivate =
        "mutation($id: UUID!) { deactivateUser(input: { userId: $id }) { user { id } } }";
    let deactivated = cast.kim.asks(deactivate, json!({ "id": over.id })).await;
    deactivated.data();

    let wanted = |Case(field, _, wanted): &Case| said(&DEACTIVATED, field, wanted[0]);
    let wrong = differs(&cast, &over, wanted).await;

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_token_that_is_over_is_told_so_whatever_is_asked_but_to_refresh() {
    let cast = Cast::start().await;
    let key = cast.world.foundation.dir().join("keys/token-key.pem");
    let key = TokenKeys::load(&key).expect("the key is there");
    let asked = format!(
        "SELECT id, now() - INTERVAL '11 minutes' AS lately FROM sessions WHERE user_id = '{}' LIMIT 1",
        cast.kim.id
    );
    let log_in = cast.world.sql(&asked).await.remove(0);
    let user = serde_json::from_value(json!(cast.kim.id)).expect("an id");
    let session = serde_json::from_value(log_in["id"].clone()).expect("an id");
    let time = serde_json::from_value(log_in["lately"].clone()).expect("a time");
    let (token, _) = key.issue(user, session, time);
    let late = Person {
        username: "late".to_owned(),
        client: cast.kim.client.with_token(&token),
        ..cast.kim.clone()
    };

    let wanted = |Case(field, _, wanted): &Case| match *field {
        // Another token is shown, because this one is over.
        "Mutation.refreshSession" => wanted[0],
        _ => "TOKEN_EXPIRED",
    };
    let wrong = differs(&cast, &late, wanted).await;

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_window_of_emergency_access_opens_records_and_nothing_else() {
    let cast = Cast::start().await;
    let dewi = cast.world.doctor("dewi").await;
    let open = "mutation($patient: UUID!) { breakGlass(input: {
        patientId: $patient, reason: \"found unconscious, allergies unknown\"
    }) { window { id } } }";
    let opened = dewi.asks(open, json!({ "patient": cast.ana.id })).await;
    opened.data();
    let dewi = Person {
        client: dewi.client.with_purpose("BTG"),
        ..dewi
    };

    let wanted = |Case(field, _, wanted): &Case| said(&IN_AN_EMERGENCY, field, wanted[3]);
    let wrong = differs(&cast, &dewi, wanted).await;

    assert!(wrong.is_empty(), "{wrong:#?}");
}
