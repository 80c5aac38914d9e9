//! Every mutation where its row of the audit trail cannot be written: it fails, and nothing of it is written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, from_value, json};
use tests::{Person, World, documents, id, text};
use vault::second_factor::FactorSecret;

use super::audited::breaks_the_trail;
use super::authorization::outcome;
use super::cast::Cast;

/// Mutations that write no row: what they make is worth nothing until it is signed.
const WITHOUT_ROWS: [&str; 1] = ["walletChallenge"];

/// Tables that programs write by themselves at any time, or that count attempts.
const BY_JOBS: [&str; 22] = [
    "anchor_attempts",
    "anchor_outbox",
    "audit_checkpoints",
    "audit_leaves",
    "audit_nodes",
    "audit_watermark",
    "chain_blocks",
    "chain_cursors",
    "chain_events",
    "deep_checks",
    "erasure_ledger",
    "indexer_leases",
    "indexer_sweeps",
    "integrity_feed",
    "integrity_findings",
    "key_checks",
    "maintenance_runs",
    "record_anchors",
    "record_closings",
    "registry_feed",
    "signers",
    "throttle_counters",
];

const UNTIL: &str = "2040-01-01T00:00:00Z";

/// One mutation that is ready to be carried out.
struct Act {
    field: &'static str,
    who: Person,
    input: Value,
    /// What is answered where the trail can be written.
    then: &'static str,
}

fn act(field: &'static str, who: &Person, input: Value) -> Act {
    Act {
        field,
        who: who.clone(),
        input,
        then: "ok",
    }
}

impl Act {
    /// Carries it out, or tries to; answers the outcome.
    async fn is_tried(&self, world: &World) -> String {
        let Self { field, .. } = self;
        let document = match *field {
            "logOut" | "logOutEverywhere" => format!("mutation {{ {field} {{ __typename }} }}"),
            "endMembership" => {
                format!("mutation($input: UUID!) {{ {field}(id: $input) {{ __typename }} }}")
            }
            "importRecords" => format!(
                "mutation($input: ImportRecordsInput!) {{ {field}(input: $input) {{ results {{ code }} }} }}"
            ),
            _ => format!(
                "mutation($input: {}!) {{ {field}(input: $input) {{ __typename }} }}",
                input_type(field)
            ),
        };
        let input = match *field {
            "confirmSecondFactor" => json!({ "code": code_now(world, &self.input).await }),
            _ => self.input.clone(),
        };
        let answer = self.who.asks(&document, json!({ "input": input })).await;
        outcome(field, &answer, "")
    }
}

fn input_type(field: &str) -> String {
    match field {
        "deactivateUser" | "reactivateUser" => "UserActivityInput".to_owned(),
        "approveRepresentative" | "rejectRepresentative" => {
            "RepresentativeProposalInput".to_owned()
        }
        _ => {
            let (first, rest) = field.split_at(1);
            format!("{}{rest}Input", first.to_uppercase())
        }
    }
}

/// What a device shows now, by the database's clock, that was given this secret.
async fn code_now(world: &World, secret: &Value) -> String {
    let secret = FactorSecret::from_base32(&text(secret)).expect("32 letters and digits");
    let now = world.sql("SELECT now() AS now").await.remove(0);
    secret.code_at(from_value(now["now"].clone()).expect("a time"))
}

/// The payload of a mutation that succeeds.
async fn made(who: &Person, field: &str, input: Value, shown: &str) -> Value {
    let document = format!(
        "mutation($input: {}!) {{ {field}(input: $input) {{ {shown} }} }}",
        input_type(field)
    );
    let answer = who.asks(&document, json!({ "input": input })).await;
    answer.data()[field].clone()
}

/// About accounts and log-ins.
async fn of_accounts(cast: &Cast) -> Vec<Act> {
    let Cast {
        world,
        budi,
        citra,
        bo,
        kim,
        ..
    } = cast;
    let [third, fourth] = ["third", "fourth"].map(|name| world.stranger(name));
    let (third, fourth) = (
        world.registers(&third).await,
        world.registers(&fourth).await,
    );
    let nobody = world.nobody();
    let credentials =
        |person: &Person| json!({ "login": person.username, "password": person.password });
    let log_in = made(&nobody, "logIn", credentials(bo), "refreshToken").await;
    let other = made(&nobody, "logIn", credentials(bo), "session { id }").await;
    let leaver = world.patient("leaver").await;
    vec![
        act(
            "register",
            &nobody,
            json!({ "email": "late@meditrustal.example", "username": "late", "password": "nobody else knows this" }),
        ),
        act("logIn", &nobody, credentials(budi)),
        act(
            "refreshSession",
            &nobody,
            json!({ "refreshToken": log_in["refreshToken"] }),
        ),
        act("revokeSession", bo, json!({ "id": id(&other["session"]) })),
        act(
            "changePassword",
            bo,
            json!({ "currentPassword": bo.password, "newPassword": "bo tells nobody any more" }),
        ),
        act(
            "updateProfile",
            citra,
            json!({ "currentPassword": citra.password, "username": "dr.citra.again" }),
        ),
        act("deactivateUser", kim, json!({ "userId": third })),
        act("reactivateUser", kim, json!({ "userId": third })),
        act(
            "setRole",
            kim,
            json!({ "userId": fourth, "role": "DOCTOR" }),
        ),
        act("logOut", &world.logs_in(citra).await, json!({})),
        act(
            "logOutEverywhere",
            &world.logs_in(&cast.fitri).await,
            json!({}),
        ),
        act(
            "deactivateAccount",
            &leaver,
            json!({ "currentPassword": leaver.password }),
        ),
    ]
}

/// About second factors: one that is begun, one that waits for its first code, and one that counts.
async fn of_second_factors(cast: &Cast) -> Vec<Act> {
    let password = |person: &Person| json!({ "password": person.password });
    let waits = made(
        &cast.ibu,
        "startSecondFactor",
        password(&cast.ibu),
        "secret",
    )
    .await;
    let begun = made(
        &cast.eka,
        "startSecondFactor",
        password(&cast.eka),
        "secret",
    )
    .await;
    let code = json!({ "code": code_now(&cast.world, &begun["secret"]).await });
    let counts = made(&cast.eka, "confirmSecondFactor", code, "recoveryCodes").await;
    let recovery = &counts["recoveryCodes"][0];
    vec![
        act("startSecondFactor", &cast.fitri, password(&cast.fitri)),
        act("confirmSecondFactor", &cast.ibu, waits["secret"].clone()),
        act(
            "removeSecondFactor",
            &cast.eka,
            json!({ "password": cast.eka.password, "code": recovery }),
        ),
    ]
}

/// What a wallet of the node's signed to be linked, or to log in.
async fn signed(world: &World, person: &Person, purpose: &str, account: &str) -> Value {
    let message = person.challenge(purpose, account).await;
    let signature = world.signs(account, &message).await;
    json!({ "message": message, "signature": signature, "password": person.password })
}

/// About wallets, and what ana's signs.
async fn of_wallets(cast: &Cast) -> Vec<Act> {
    let Cast {
        world, ana, budi, ..
    } = cast;
    let (hers, his) = (world.account(0).await, world.account(1).await);
    let linked = signed(world, ana, "LINK", &hers).await;
    made(ana, "linkWallet", linked, "wallet { id }").await;
    let nobody = world.nobody();
    let mut log_in = signed(world, &nobody, "LOG_IN", &hers).await;
    if let Some(members) = log_in.as_object_mut() {
        members.remove("password");
    }
    let consent = &cast.consents[0];
    let asked = "query($id: UUID!) { consentToSign(id: $id, kind: GRANT) { typedData deadline } }";
    let asked = ana.asks(asked, json!({ "id": consent })).await;
    let asked = &asked.data()["consentToSign"];
    let signature = world.signs_typed_data(&hers, &asked["typedData"]).await;
    let agreed = json!({
        "id": consent, "kind": "GRANT", "deadline": asked["deadline"], "signature": signature,
    });
    let request = request(ana, "CATEGORY_ERASURE", "LAB_RESULT").await;
    vec![
        act("linkWallet", budi, signed(world, budi, "LINK", &his).await),
        act("logInWithWallet", &nobody, log_in),
        act("signConsent", ana, agreed),
        act("deletionChallenge", ana, json!({ "id": request })),
        act("unlinkWallet", ana, json!({ "password": ana.password })),
    ]
}

/// About records and the rights to them.
async fn of_records_and_consents(cast: &Cast) -> Vec<Act> {
    let Cast {
        ana, budi, citra, ..
    } = cast;
    let stored = async || {
        let made = ana.creates(ana, "VITAL_SIGNS", documents::vital_signs());
        id(&made.await)
    };
    let (amended, withdrawn) = (stored().await, stored().await);
    let document: Value = serde_json::from_str(&documents::vital_signs()).expect("it is JSON");
    let change =
        |record: &str| json!({ "id": record, "expectedVersion": 1, "reason": "a digit was wrong" });
    let mut amendment = change(&amended);
    amendment["document"] = document.clone();
    let consent = ana.lets(citra, &["CREATE"]).await;
    let given = budi.lets(&cast.bo, &["READ"]).await;
    let taken_out =
        "{ consents(first: 1) { nodes { fhir } } exportConsents(first: 100) { bundle } }";
    let taken_out = budi.asks(taken_out, json!({})).await.data().clone();
    budi.withdraws(&given).await;
    let terms = json!({ "purpose": "TREAT", "dataCategories": ["IMAGING"], "processingActivities": ["READ"] });
    let code = made(
        ana,
        "createAccessCode",
        terms.clone(),
        "code accessCode { id }",
    )
    .await;
    let unused = made(ana, "createAccessCode", terms.clone(), "accessCode { id }").await;
    vec![
        act(
            "createMedicalRecord",
            ana,
            json!({ "patientId": ana.id, "recordType": "VITAL_SIGNS", "document": document }),
        ),
        act(
            "importRecords",
            ana,
            json!({ "patientId": ana.id, "entries": [{ "document": document }] }),
        ),
        act("amendMedicalRecord", ana, amendment),
        act("withdrawMedicalRecord", ana, change(&withdrawn)),
        act("grantConsent", ana, citra.terms()),
        act("withdrawConsent", ana, json!({ "id": consent })),
        act("createAccessCode", ana, terms),
        act("redeemAccessCode", citra, json!({ "code": code["code"] })),
        act(
            "cancelAccessCode",
            ana,
            json!({ "id": id(&unused["accessCode"]) }),
        ),
        act(
            "importConsent",
            budi,
            json!({ "document": taken_out["consents"]["nodes"][0]["fhir"] }),
        ),
        act(
            "importConsents",
            budi,
            json!({ "document": taken_out["exportConsents"]["bundle"] }),
        ),
    ]
}

/// About organisations, countries, representatives and notifications.
async fn of_others(cast: &Cast) -> Vec<Act> {
    let Cast {
        world,
        ana,
        budi,
        citra,
        kim,
        ibu,
        ..
    } = cast;
    let first = world.first_admin().await;
    let old = world.organization("RS Lama", "ID").await;
    let membership = world.joins(&cast.bo, &old).await;
    let represents = |person: &Person| {
        json!({
            "representativeId": person.id, "relationship": "CARER", "activities": ["READ_RECORDS"], "validUntil": UNTIL,
        })
    };
    let proposal = |person: &Person| {
        let mut proposal = represents(person);
        proposal["patientId"] = json!(budi.id);
        proposal["reason"] = json!("by the order of a court of law");
        proposal
    };
    let proposed = async |person: &Person| {
        let made = made(
            kim,
            "proposeRepresentative",
            proposal(person),
            "proposal { id }",
        )
        .await;
        json!({ "id": id(&made["proposal"]) })
    };
    vec![
        act(
            "setCountryRule",
            kim,
            json!({ "country": "US", "isAdequate": true, "hasSafeguards": false, "needsConsent": false }),
        ),
        act(
            "createOrganization",
            kim,
            json!({ "name": "RS Baru", "country": "ID" }),
        ),
        act(
            "updateOrganization",
            kim,
            json!({ "id": old, "name": "RS Lama Sekali" }),
        ),
        act(
            "addMember",
            kim,
            json!({ "doctorId": citra.id, "organizationId": old }),
        ),
        act("endMembership", kim, json!(membership)),
        act("appointRepresentative", budi, represents(citra)),
        act(
            "endRepresentation",
            ana,
            json!({ "id": cast.representation }),
        ),
        act("proposeRepresentative", kim, proposal(ibu)),
        act("approveRepresentative", first, proposed(&cast.eka).await),
        act("rejectRepresentative", first, proposed(&cast.fitri).await),
        act("markNotificationsRead", ibu, json!({})),
    ]
}

/// About emergencies, deletions and holds.
async fn of_emergencies_and_deletions(cast: &Cast) -> Vec<Act> {
    let Cast {
        ana,
        budi,
        citra,
        kim,
        eka,
        fitri,
        ..
    } = cast;
    let emergency =
        json!({ "patientId": budi.id, "reason": "found unconscious, allergies unknown" });
    let opened = async |doctor: &Person| {
        let made = made(doctor, "breakGlass", emergency.clone(), "window { id }").await;
        id(&made["window"])
    };
    let (open, over) = (opened(eka).await, opened(fitri).await);
    made(
        fitri,
        "endBreakGlass",
        json!({ "id": over }),
        "window { id }",
    )
    .await;
    let verification = |person: &Person, request: &str| json!({ "id": request, "currentPassword": person.password });
    let of_budi = request(budi, "CATEGORY_ERASURE", "IMAGING").await;
    let of_account = request(budi, "ACCOUNT_ERASURE", "ALL_RECORDS").await;
    let verified = async |request: &str| {
        let input = verification(budi, request);
        made(budi, "verifyDeletionRequest", input, "claimCode").await
    };
    verified(&of_budi).await;
    let claim = verified(&of_account).await;
    let held = json!({ "patientId": citra.id, "reason": "a court of law has asked for it" });
    let hold = made(kim, "placeHold", held.clone(), "hold { id }").await;
    let pending = request(ana, "CATEGORY_ERASURE", "DIAGNOSIS").await;
    let taken_back = request(ana, "CATEGORY_ERASURE", "VACCINATION").await;
    vec![
        act("breakGlass", citra, emergency.clone()),
        act("endBreakGlass", eka, json!({ "id": open })),
        act(
            "reviewBreakGlass",
            kim,
            json!({ "id": over, "decision": "JUSTIFIED" }),
        ),
        act(
            "requestDataDeletion",
            &cast.ibu,
            json!({ "requestType": "RESTRICTION", "dataCategories": ["ALL_RECORDS"] }),
        ),
        act("verifyDeletionRequest", ana, verification(ana, &pending)),
        act("cancelDeletion", ana, json!({ "id": taken_back })),
        act(
            "reviewDeletion",
            kim,
            json!({ "id": of_budi, "decision": "REJECT", "reason": "the test wants it" }),
        ),
        // Nothing is erased: that is what its row says.
        Act {
            then: "CONFLICT",
            ..act(
                "claimDeletionCertificate",
                &cast.world.nobody(),
                json!({ "code": claim["claimCode"] }),
            )
        },
        act("placeHold", kim, held),
        act("releaseHold", kim, json!({ "id": id(&hold["hold"]) })),
    ]
}

/// Asks for a deletion; answers the request.
async fn request(person: &Person, kind: &str, category: &str) -> String {
    let input = json!({ "requestType": kind, "dataCategories": [category] });
    let made = made(person, "requestDataDeletion", input, "request { id }").await;
    id(&made["request"])
}

/// What all tables hold that only requests write: a digest of each.
async fn holdings(world: &World) -> BTreeMap<String, Value> {
    let tables = "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename";
    let tables = world.sql(tables).await;
    let tables = tables.iter().map(|row| text(&row["name"]));
    let tables = tables.filter(|name| !BY_JOBS.contains(&name.as_str()) && !name.starts_with('_'));
    let digests = tables.map(|name| {
        format!(
            "SELECT '{name}' AS name, md5(coalesce(string_agg(held::text, '|' ORDER BY held::text), '')) AS digest
             FROM {name} AS held"
        )
    });
    let digests: Vec<String> = digests.collect();
    let held = world.sql(&digests.join(" UNION ALL ")).await;
    let held = held.into_iter();
    held.map(|row| (text(&row["name"]), row["digest"].clone()))
        .collect()
}

/// The mutations that the schema has.
async fn mutations(world: &World) -> BTreeSet<String> {
    let introspection = "{ __schema { mutationType { fields { name } } } }";
    let answer = world.nobody().asks(introspection, json!({})).await;
    let fields = answer.data()["__schema"]["mutationType"]["fields"]
        .as_array()
        .cloned();
    let fields = fields.expect("a root has fields").into_iter();
    fields.map(|field| text(&field["name"])).collect()
}

#[tokio::test]
async fn every_mutation_fails_and_writes_nothing_where_its_audit_row_cannot_be_written() {
    let cast = Cast::start().await;
    let world = &cast.world;
    let mut acts = of_wallets(&cast).await;
    acts.extend(of_records_and_consents(&cast).await);
    acts.extend(of_emergencies_and_deletions(&cast).await);
    acts.extend(of_others(&cast).await);
    acts.extend(of_second_factors(&cast).await);
    acts.extend(of_accounts(&cast).await);
    let tried = acts.iter().map(|act| act.field).chain(WITHOUT_ROWS);
    let tried: BTreeSet<String> = tried.map(str::to_owned).collect();
    assert_eq!(
        mutations(world).await,
        tried,
        "every mutation has to be tried"
    );

    breaks_the_trail(world).await;
    let before = holdings(world).await;
    let mut wrong = Vec::new();
    for act in &acts {
        let found = act.is_tried(world).await;
        if found == "ok" || found == act.then {
            wrong.push(format!("{} answers {found}", act.field));
        }
        let mut changed = holdings(world).await;
        changed.retain(|table, digest| before.get(table) != Some(&*digest));
        let changed: Vec<&String> = changed.keys().collect();
        if !changed.is_empty() {
            wrong.push(format!("{} writes {changed:?}", act.field));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // It was for nothing but the row.
    world.executes("DROP TRIGGER no_audit ON audit_logs").await;
    for act in &acts {
        let found = act.is_tried(world).await;
        if found != act.then {
            wrong.push(format!("{}: {found}, not {}", act.field, act.then));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
