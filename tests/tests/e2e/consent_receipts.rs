//! Receipts of consents: what was agreed to, signed by the patient's wallet.

use serde_json::{Value, json};
use tests::{Answer, Person, World, text};

const RECEIPT: &str = "kind text hash detailsHash typedData wallet signature deadline signedAt chainState failure txHash blockNumber";

/// Links the node's account to somebody.
pub(crate) async fn linked(world: &World, person: &Person, account: &str) {
    let message = person.challenge("LINK", account).await;
    let signature = world.signs(account, &message).await;
    person.links(&message, &signature).await.data();
}

/// A consent of this patient to the doctor; its id.
pub(crate) async fn consent(patient: &Person, doctor: &Person) -> String {
    let granted = patient
        .asks(
            "mutation Grant($doctor: UUID!) { grantConsent(input: {
                purpose: TREAT, dataCategories: [IMAGING, LAB_RESULT], processingActivities: [READ, SEARCH],
                grantees: [{ user: $doctor }], expiresAt: \"2031-05-06T07:08:09.5Z\"
            }) { consent { id } } }",
            json!({ "doctor": doctor.id }),
        )
        .await;
    text(&granted.data()["grantConsent"]["consent"]["id"])
}

async fn withdraw(patient: &Person, consent: &str) {
    let mutation =
        "mutation Withdraw($id: UUID!) { withdrawConsent(input: { id: $id }) { consent { id } } }";
    patient
        .asks(mutation, json!({ "id": consent }))
        .await
        .data();
}

/// The receipts of all consents of somebody, newest consent first.
async fn receipts(person: &Person) -> Vec<(Value, Value)> {
    let query = format!(
        "{{ consents {{ nodes {{ receipt {{ {RECEIPT} }} withdrawalReceipt {{ {RECEIPT} }} }} }} }}"
    );
    let answer = person.asks(&query, json!({})).await;
    let nodes = answer.data()["consents"]["nodes"].as_array().cloned();
    let nodes = nodes.expect("a list").into_iter();
    nodes
        .map(|node| (node["receipt"].clone(), node["withdrawalReceipt"].clone()))
        .collect()
}

/// What is to be signed, or why nothing is.
async fn to_sign(person: &Person, consent: &str, kind: &str) -> Answer {
    person
        .asks(
            "query ToSign($id: UUID!, $kind: ConsentReceiptKind!) {
                consentToSign(id: $id, kind: $kind) { typedData wallet deadline }
            }",
            json!({ "id": consent, "kind": kind }),
        )
        .await
}

async fn sign(person: &Person, input: Value) -> Answer {
    person
        .asks(
            "mutation Sign($input: SignConsentInput!) { signConsent(input: $input) { consent { id } } }",
            json!({ "input": input }),
        )
        .await
}

/// Signs an act with the account's wallet; the deadline and the signature.
pub(crate) async fn signed(
    world: &World,
    person: &Person,
    account: &str,
    consent: &str,
    kind: &str,
) -> (Value, String) {
    let asked = to_sign(person, consent, kind).await;
    let asked = &asked.data()["consentToSign"];
    assert_eq!(asked["wallet"], account);
    let signature = world.signs_typed_data(account, &asked["typedData"]).await;
    let input = json!({
        "id": consent, "kind": kind, "deadline": asked["deadline"], "signature": signature
    });
    let answer = sign(person, input.clone()).await;
    assert_eq!(answer.data()["signConsent"]["consent"]["id"], consent);
    // The same again changes nothing.
    sign(person, input).await.data();
    (asked["deadline"].clone(), signature)
}

#[tokio::test]
async fn a_patient_signs_what_was_agreed_to_and_what_was_taken_back() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;

    let (deadline, signature) = signed(&world, &ana, &account, &consent, "GRANT").await;
    withdraw(&ana, &consent).await;
    signed(&world, &ana, &account, &consent, "WITHDRAWAL").await;

    let (given, taken) = receipts(&ana).await.remove(0);
    assert_eq!(given["kind"], "GRANT");
    assert_eq!(given["wallet"], account);
    assert_eq!(given["deadline"], deadline);
    assert_eq!(given["signature"], signature);
    assert!(given["signedAt"].is_string());
    assert_eq!(given["chainState"], Value::Null, "nobody relays");
    assert_eq!(given["typedData"]["primaryType"], "ConsentGrant");
    let said: Value = serde_json::from_str(&text(&given["text"])).expect("it is JSON");
    assert_eq!(said["consent"], consent.as_str());
    assert_eq!(said["patient"], ana.id.as_str());
    assert_eq!(said["details"]["purpose"], "TREAT: READ, SEARCH");
    assert_eq!(said["details"]["grantee"], format!("person {}", bo.id));
    assert_eq!(
        given["typedData"]["message"]["details"]["salt"],
        said["details"]["salt"]
    );
    assert_eq!(given["typedData"]["message"]["expiresAt"], "1935817689");
    assert_eq!(taken["kind"], "WITHDRAWAL");
    assert_eq!(taken["typedData"]["primaryType"], "ConsentWithdrawal");
    assert_eq!(taken["detailsHash"], given["detailsHash"], "the same salt");
    assert_ne!(taken["hash"], given["hash"]);
    for (receipt, action) in [(&given, "CONSENT_GRANT"), (&taken, "CONSENT_WITHDRAW")] {
        assert_eq!(
            receipt["hash"],
            vault::digest::hex_of(text(&receipt["text"]).as_bytes())
        );
        let rows = world.audit_rows(&format!("action_type = '{action}'")).await;
        assert_eq!(rows[0]["new_value"]["receipt"], receipt["hash"], "{action}");
    }
    let rows = world.audit_rows("action_type = 'CONSENT_SIGN'").await;
    let kinds: Vec<&Value> = rows.iter().map(|row| &row["new_value"]["kind"]).collect();
    assert_eq!(kinds, ["GRANT", "WITHDRAWAL"], "each once");
    assert_eq!(rows[0]["new_value"]["receipt"], given["hash"]);
    assert_eq!(rows[0]["consent_reference"], consent.as_str());
}

#[tokio::test]
async fn what_was_not_signed_by_the_linked_wallet_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (hers, other) = (world.account(0).await, world.account(1).await);
    let (first, second) = (consent(&ana, &bo).await, {
        let refusal = ana
            .asks(
                "mutation { grantConsent(input: {
                    purpose: HRESCH, dataCategories: [ALL_RECORDS], processingActivities: [DENY], grantees: []
                }) { consent { id } } }",
                json!({}),
            )
            .await;
        text(&refusal.data()["grantConsent"]["consent"]["id"])
    });
    let without_wallet = to_sign(&ana, &first, "GRANT").await;
    let without_wallet = without_wallet.fails_with("CONFLICT");
    assert_eq!(without_wallet.extensions["field"], "id");
    linked(&world, &ana, &hers).await;
    let asked = to_sign(&ana, &first, "GRANT").await;
    let asked = asked.data()["consentToSign"].clone();
    let good = world.signs_typed_data(&hers, &asked["typedData"]).await;
    let by_other = world.signs_typed_data(&other, &asked["typedData"]).await;
    let of_second = to_sign(&ana, &second, "GRANT").await;
    let of_second = of_second.data()["consentToSign"]["typedData"].clone();
    let of_second = world.signs_typed_data(&hers, &of_second).await;
    let at = |days: i64| format!("2026-01-{days:02}T00:00:00Z");

    let base =
        json!({ "id": first, "kind": "GRANT", "deadline": asked["deadline"], "signature": good });
    let cases = [
        ("signature", json!(by_other), "BAD_USER_INPUT", "signature"),
        ("signature", json!(of_second), "BAD_USER_INPUT", "signature"),
        ("signature", json!("0x12"), "BAD_USER_INPUT", "signature"),
        (
            "signature",
            json!(&good[2..]),
            "BAD_USER_INPUT",
            "signature",
        ),
        ("signature", json!(""), "BAD_USER_INPUT", "signature"),
        ("id", json!(second), "BAD_USER_INPUT", "signature"),
        ("deadline", json!(at(1)), "BAD_USER_INPUT", "deadline"),
        (
            "deadline",
            json!("2999-01-01T00:00:00Z"),
            "BAD_USER_INPUT",
            "deadline",
        ),
        ("kind", json!("WITHDRAWAL"), "CONFLICT", "kind"),
    ];
    for (field, value, code, blamed) in cases {
        let mut input = base.clone();
        input[field] = value;
        let answer = sign(&ana, input.clone()).await;
        let told = answer.fails_with(code);
        assert_eq!(told.extensions["field"], blamed, "{input}");
    }
    let nobodys =
        json!({ "id": ana.id, "kind": "GRANT", "deadline": asked["deadline"], "signature": good });
    sign(&ana, nobodys).await.fails_with("NOT_FOUND");
    sign(&bo, base.clone()).await.fails_with("NOT_FOUND");

    let untouched = world
        .sql("SELECT 1 AS n FROM consent_receipts WHERE num_nonnulls(signature, chain_state) > 0")
        .await;
    assert!(untouched.is_empty());
    let reasons = world
        .audit_rows("action_type = 'ACCESS_DENIED' AND new_value ->> 'reason' = 'SIGNATURE'")
        .await;
    assert_eq!(reasons.len(), 6, "each refused signature is in the trail");

    sign(&ana, base).await.data();
    let asked = to_sign(&ana, &first, "GRANT").await;
    let asked = asked.data()["consentToSign"].clone();
    let another = world.signs_typed_data(&hers, &asked["typedData"]).await;
    let input = json!({ "id": first, "kind": "GRANT", "deadline": asked["deadline"], "signature": another });
    let again = sign(&ana, input).await;
    // A second of its own: otherwise it is the same signature.
    if another != good {
        assert_eq!(
            again.fails_with("CONFLICT").extensions["field"],
            "signature"
        );
    }
    withdraw(&ana, &first).await;
    let over = to_sign(&ana, &first, "GRANT").await;
    assert_eq!(over.fails_with("CONFLICT").extensions["field"], "kind");
}

#[tokio::test]
async fn only_the_patient_sees_a_receipt_and_one_that_was_changed_outside_is_none() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    consent(&ana, &bo).await;
    let given = "{ consentsGivenToMe { nodes { receipt { hash } } } }";
    let refused = bo.asks(given, json!({})).await;
    refused.fails_with("GRAPHQL_VALIDATION_FAILED");
    assert!(receipts(&ana).await[0].0["hash"].is_string());

    world
        .executes("UPDATE consent_receipts SET text = replace(text, 'IMAGING', 'DIAGNOSIS')")
        .await;
    assert_eq!(receipts(&ana).await[0].0, Value::Null);
    tests::eventually("the finding is there", async || {
        let rows = world
            .sql("SELECT kind FROM integrity_findings WHERE table_name = 'consent_receipts'")
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
}

/// A world whose patients' signatures are relayed.
async fn relaying() -> World {
    let mut world = World::start().await;
    world
        .deploys_consents(&[("MEDITRUSTAL_RELAY_CONSENTS", "true")])
        .await;
    world
}

/// keccak256 of a signature of a function: its first four bytes.
async fn selector(world: &World, function: &str) -> String {
    let digits: Vec<String> = function.bytes().map(|it| format!("{it:02x}")).collect();
    let hash = world.rpc("web3_sha3", json!([format!("0x{}", digits.concat())]));
    text(&hash.await)[2..10].to_owned()
}

/// What the registry of consents itself says: 0 nothing, 1 granted, 2 withdrawn.
async fn on_chain(world: &World, wallet: &str, details_hash: &str) -> u64 {
    let selector = selector(world, "consentOf(address,bytes32)").await;
    let wallet = format!("{:0>64}", wallet[2..].to_lowercase());
    let call = json!([{
        "to": world.consent_registry(),
        "data": format!("0x{selector}{wallet}{details_hash}"),
    }, "latest"]);
    let answer = text(&world.rpc("eth_call", call).await);
    u64::from_str_radix(&answer[2..66], 16).expect("a number")
}

/// Waits until the receipt of an act has this state; `FINALIZED` serves for `CONFIRMED` as well.
async fn waits(person: &Person, kind: &str, state: &str) -> Value {
    tests::eventually(
        &format!("the receipt of the {kind} is {state}"),
        async || {
            let (given, taken) = receipts(person).await.remove(0);
            let receipt = if kind == "GRANT" { given } else { taken };
            let now = receipt["chainState"].as_str().unwrap_or_default();
            let there = now == state || (state == "CONFIRMED" && now == "FINALIZED");
            there.then_some(receipt)
        },
    )
    .await
}

async fn findings(world: &World, state: &str) -> Vec<Value> {
    let query = format!(
        "SELECT kind, record_hash, details FROM integrity_findings
         WHERE kind IN ('UNKNOWN_CONSENT', 'CONSENT_MISMATCH') AND resolved_at IS {state} ORDER BY opened_at"
    );
    world.sql(&query).await
}

#[tokio::test]
async fn what_a_patient_signs_comes_to_the_chain_and_the_receipt_says_so() {
    let world = relaying().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    let hash = text(&receipts(&ana).await[0].0["detailsHash"]);
    assert_eq!(on_chain(&world, &account, &hash).await, 0);

    signed(&world, &ana, &account, &consent, "GRANT").await;
    let given = waits(&ana, "GRANT", "CONFIRMED").await;
    assert_eq!(on_chain(&world, &account, &hash).await, 1);
    let mined = world
        .rpc("eth_getTransactionReceipt", json!([given["txHash"]]))
        .await;
    assert_eq!(mined["status"], "0x1");
    assert_eq!(
        mined["blockNumber"],
        format!("{:#x}", given["blockNumber"].as_u64().expect("a number"))
    );
    assert_eq!(given["failure"], Value::Null);

    withdraw(&ana, &consent).await;
    signed(&world, &ana, &account, &consent, "WITHDRAWAL").await;
    waits(&ana, "WITHDRAWAL", "CONFIRMED").await;
    assert_eq!(on_chain(&world, &account, &hash).await, 2);
    world.mine(8).await;
    waits(&ana, "GRANT", "FINALIZED").await;
    waits(&ana, "WITHDRAWAL", "FINALIZED").await;

    assert!(findings(&world, "NULL").await.is_empty());
    // Anchors go on by the same nonces.
    let record = ana
        .creates(&ana, "VITAL_SIGNS", tests::documents::vital_signs())
        .await;
    world
        .wait_for_anchor(&tests::id(&record), "CONFIRMED")
        .await;
    let waiting = world
        .sql("SELECT 1 AS n FROM anchor_outbox WHERE state <> 'MINED'")
        .await;
    assert!(waiting.is_empty());
}

/// anvil's account 6, which `deploys_consents` deploys with: administrator and pauser.
pub(crate) const ADMINISTRATOR: &str = "0x976EA74026E726554dB657fA54763abd0C3a0aa9";

/// Pauses the registry of consents, or releases it.
async fn pauses_consents(world: &World, paused: bool) {
    let call = json!([{
        "from": ADMINISTRATOR,
        "to": world.consent_registry(),
        "data": tests::registry::set_paused(paused),
    }]);
    let transaction = world.rpc("eth_sendTransaction", call).await;
    tests::eventually("the call is in a block", async || {
        let receipt = world
            .rpc("eth_getTransactionReceipt", json!([transaction]))
            .await;
        (receipt["status"] == "0x1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_grant_that_waits_is_not_told_any_more_once_the_consent_is_withdrawn() {
    let world = relaying().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    let hash = text(&receipts(&ana).await[0].0["detailsHash"]);
    pauses_consents(&world, true).await;
    signed(&world, &ana, &account, &consent, "GRANT").await;
    assert_eq!(receipts(&ana).await[0].0["chainState"], "PENDING");

    withdraw(&ana, &consent).await;
    let given = receipts(&ana).await.remove(0).0;
    assert_eq!(given["chainState"], "FAILED");
    assert_eq!(given["failure"], "WITHDRAWN_HERE");

    // Whatever has it wait again: the relay asks whether the consent stands.
    world
        .executes(
            "UPDATE consent_receipts SET chain_state = 'PENDING', failure = NULL, due_at = now() WHERE kind = 'GRANT'",
        )
        .await;
    pauses_consents(&world, false).await;
    let given = waits(&ana, "GRANT", "FAILED").await;
    assert_eq!(given["failure"], "WITHDRAWN_HERE");
    assert_eq!(on_chain(&world, &account, &hash).await, 0);
    signed(&world, &ana, &account, &consent, "WITHDRAWAL").await;
    waits(&ana, "WITHDRAWAL", "CONFIRMED").await;
    assert_eq!(on_chain(&world, &account, &hash).await, 2);
}

#[tokio::test]
async fn a_withdrawal_is_signed_by_the_wallet_that_signed_the_grant() {
    let world = World::start().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (first, second) = (world.account(0).await, world.account(1).await);
    linked(&world, &ana, &first).await;
    let signed_one = consent(&ana, &bo).await;
    signed(&world, &ana, &first, &signed_one, "GRANT").await;
    withdraw(&ana, &signed_one).await;
    let unsigned = consent(&ana, &bo).await;
    withdraw(&ana, &unsigned).await;
    ana.unlinks().await.data();
    linked(&world, &ana, &second).await;

    let refused = to_sign(&ana, &signed_one, "WITHDRAWAL").await;
    assert_eq!(refused.fails_with("CONFLICT").extensions["field"], "id");
    // Where no wallet has signed the grant, any may sign the withdrawal.
    signed(&world, &ana, &second, &unsigned, "WITHDRAWAL").await;
}

#[tokio::test]
async fn no_more_signatures_are_relayed_than_the_registrar_pays_for() {
    let world = relaying().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    for _ in 0..10 {
        let consent = consent(&ana, &bo).await;
        signed(&world, &ana, &account, &consent, "GRANT").await;
        withdraw(&ana, &consent).await;
        signed(&world, &ana, &account, &consent, "WITHDRAWAL").await;
    }
    let last = consent(&ana, &bo).await;
    let soon = ana
        .asks(
            "query ToSign($id: UUID!, $deadline: DateTime!) {
                consentToSign(id: $id, kind: GRANT, deadline: $deadline) { deadline }
            }",
            json!({ "id": last, "deadline": chrono::Utc::now() + chrono::TimeDelta::minutes(5) }),
        )
        .await;
    let soon = soon.fails_with("BAD_USER_INPUT");
    assert_eq!(soon.extensions["field"], "deadline");

    let asked = to_sign(&ana, &last, "GRANT").await;
    let asked = asked.data()["consentToSign"].clone();
    let signature = world.signs_typed_data(&account, &asked["typedData"]).await;
    let input = json!({
        "id": last, "kind": "GRANT", "deadline": asked["deadline"], "signature": signature
    });
    sign(&ana, input).await.fails_with("LIMIT_REACHED");
}

#[tokio::test]
async fn a_signature_that_is_taken_away_with_its_seal_is_found() {
    let often = [
        ("MEDITRUSTAL_DEEP_CHECK_PER_SECOND", "1000"),
        ("MEDITRUSTAL_DEEP_CHECK_REST", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let world = World::with(|options| options.api.extend(often)).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    let before = world
        .sql("SELECT encode(seal, 'hex') AS seal FROM consent_receipts")
        .await;
    let seal = text(&before[0]["seal"]);
    signed(&world, &ana, &account, &consent, "GRANT").await;

    world
        .executes(&format!(
            "UPDATE consent_receipts
             SET chain_id = NULL, contract = NULL, wallet = NULL, deadline = NULL, signature = NULL, signed_at = NULL,
                 seal = decode('{seal}', 'hex')"
        ))
        .await;
    tests::eventually("the finding is there", async || {
        let rows = world
            .sql("SELECT kind FROM integrity_findings WHERE table_name = 'consent_receipts'")
            .await;
        (rows.len() == 1).then_some(())
    })
    .await;
}

/// Receipts in a low and in a high block of a chain that another indexer follows.
async fn of_another_chain(world: &World, patient: &Person) {
    let insert = format!(
        "INSERT INTO consent_receipts (
             id, consent_id, user_id, kind, text, details_hash, registry_end, made_at, chain_id, contract, wallet,
             deadline, signature, signed_at, chain_state, tx_hash, block_number, block_hash
         )
         SELECT lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), '{}', 'GRANT', '{{}}', lpad(to_hex(n), 64, '0'),
             0, CURRENT_TIMESTAMP, 1, '0x' || repeat('4', 40), '0x' || repeat('5', 40),
             CURRENT_TIMESTAMP, '\\x00', CURRENT_TIMESTAMP, 'CONFIRMED', '0x' || repeat('6', 64), n, '0x' || repeat('7', 64)
         FROM UNNEST(ARRAY[1, 1000000]) AS n",
        patient.id
    );
    world.attacks(&insert).await;
}

#[tokio::test]
async fn a_reorganisation_takes_a_receipt_back_and_it_is_told_again() {
    let world = relaying().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    let hash = text(&receipts(&ana).await[0].0["detailsHash"]);
    signed(&world, &ana, &account, &consent, "GRANT").await;
    let before = waits(&ana, "GRANT", "CONFIRMED").await;
    of_another_chain(&world, &ana).await;

    world.reorg(1).await;
    tests::eventually("its event was undone and is there again", async || {
        let rows = world
            .sql("SELECT undone_at FROM chain_events WHERE kind = 'CONSENT_CHANGED' ORDER BY id")
            .await;
        let undone = rows
            .iter()
            .filter(|row| row["undone_at"].is_string())
            .count();
        (undone == 1 && rows.len() == 2).then_some(())
    })
    .await;
    let after = waits(&ana, "GRANT", "CONFIRMED").await;
    assert_eq!(after["txHash"], before["txHash"], "the same bytes");
    assert_eq!(on_chain(&world, &account, &hash).await, 1);
    let open = findings(&world, "NULL").await;
    assert!(open.iter().all(|it| text(&it["record_hash"]) != hash));

    world.mine(8).await;
    waits(&ana, "GRANT", "FINALIZED").await;
    let elsewhere = world
        .sql(
            "SELECT chain_state, block_number FROM consent_receipts WHERE chain_id = 1 ORDER BY id",
        )
        .await;
    let as_they_were =
        [1, 1_000_000].map(|block| json!({ "chain_state": "CONFIRMED", "block_number": block }));
    assert_eq!(elsewhere, as_they_were);
}

#[tokio::test]
async fn what_the_chain_says_and_nobody_agreed_to_here_is_a_finding() {
    let world = relaying().await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let (hers, other) = (world.account(0).await, world.account(1).await);
    linked(&world, &ana, &hers).await;
    let consent = consent(&ana, &bo).await;
    let hash = text(&receipts(&ana).await[0].0["detailsHash"]);
    signed(&world, &ana, &hers, &consent, "GRANT").await;
    waits(&ana, "GRANT", "CONFIRMED").await;

    // Who sends it themselves needs no signature.
    let selector = selector(&world, "withdraw(address,bytes32,uint256,bytes)").await;
    let withdraws = async |wallet: &str, details: &str| {
        let word = format!("{:0>64}", wallet[2..].to_lowercase());
        let rest = format!("{:064x}{:064x}{:064x}", 0, 128, 0);
        let transaction = json!([{
            "from": wallet,
            "to": world.consent_registry(),
            "data": format!("0x{selector}{word}{details}{rest}"),
        }]);
        world.rpc("eth_sendTransaction", transaction).await
    };
    let foreign = "ab".repeat(32);
    // A stranger's wallet says nothing about anybody here, whatever it writes.
    withdraws(&other, &"cd".repeat(32)).await;
    withdraws(&other, &hash).await;
    withdraws(&hers, &foreign).await;
    withdraws(&hers, &hash).await;
    let open = tests::eventually("both are found", async || {
        let open = findings(&world, "NULL").await;
        (open.len() == 2).then_some(open)
    })
    .await;
    let of = |kind: &str| open.iter().find(|it| it["kind"] == kind).cloned();
    let unknown = of("UNKNOWN_CONSENT").expect("nobody agreed to it here");
    assert_eq!(unknown["record_hash"], foreign.as_str());
    assert_eq!(unknown["details"]["wallet"], hers.as_str());
    let mismatch = of("CONSENT_MISMATCH").expect("it is in force here");
    assert_eq!(mismatch["record_hash"], hash.as_str());
    assert_eq!(mismatch["details"]["reason"], "NOT_WITHDRAWN_HERE");
    let events = world
        .sql("SELECT 1 AS n FROM chain_events WHERE kind = 'CONSENT_CHANGED'")
        .await;
    assert_eq!(events.len(), 5, "every event is kept");

    // She withdraws it here, too, and signs: then both say the same.
    withdraw(&ana, &consent).await;
    signed(&world, &ana, &hers, &consent, "WITHDRAWAL").await;
    waits(&ana, "WITHDRAWAL", "CONFIRMED").await;
    tests::eventually("the finding is resolved", async || {
        let left = findings(&world, "NULL").await;
        (left.len() == 1 && left[0]["kind"] == "UNKNOWN_CONSENT").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_signed_while_nothing_is_relayed_stays_off_the_chain() {
    let mut world = World::start().await;
    world.deploys_consents(&[]).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;

    signed(&world, &ana, &account, &consent, "GRANT").await;
    let record = ana
        .creates(&ana, "VITAL_SIGNS", tests::documents::vital_signs())
        .await;
    // The relay has looked at the outbox meanwhile.
    world
        .wait_for_anchor(&tests::id(&record), "CONFIRMED")
        .await;

    let receipt = receipts(&ana).await.remove(0).0;
    assert_eq!(receipt["chainState"], Value::Null);
    assert_eq!(
        receipt["typedData"]["domain"]["verifyingContract"],
        world.consent_registry()
    );
    assert_eq!(
        on_chain(&world, &account, &text(&receipt["detailsHash"])).await,
        0
    );
}

#[tokio::test]
async fn a_receipt_that_says_what_the_chain_does_not_is_found() {
    let mut world = World::start().await;
    world.deploys_consents(&[]).await;
    let (ana, bo) = (world.patient("ana").await, world.doctor("bo").await);
    let account = world.account(0).await;
    linked(&world, &ana, &account).await;
    let consent = consent(&ana, &bo).await;
    signed(&world, &ana, &account, &consent, "GRANT").await;

    world
        .executes("UPDATE consent_receipts SET chain_state = 'FINALIZED', block_number = 1")
        .await;
    let open = tests::eventually("it is found", async || findings(&world, "NULL").await.pop());
    let open = open.await;
    assert_eq!(open["kind"], "CONSENT_MISMATCH");
    assert_eq!(open["details"]["reason"], "MISSING_ON_CHAIN");

    world
        .executes("UPDATE consent_receipts SET chain_state = NULL, block_number = NULL")
        .await;
    tests::eventually("the finding is resolved", async || {
        findings(&world, "NULL").await.is_empty().then_some(())
    })
    .await;
}
