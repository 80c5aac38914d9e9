//! Wallets: linked, listed, unlinked, logged in with, and everything that is no proof of one.

use dev::process::Signal;
use serde_json::{Value, json};
use tests::{Person, World, text};

const MINE: &str =
    "{ myWallets { nodes { id address chainId provenBy unlinkedAt } } me { blockchainAddress } }";

/// Another message out of ours.
type Changed<'a> = Box<dyn Fn(&str) -> String + 'a>;
/// A signature out of the wallet's own and another's.
type Signed<'a> = Box<dyn Fn(&str, &str) -> String + 'a>;

/// Links a wallet of the node's to somebody; answers the wallet.
async fn linked(world: &World, person: &Person, account: &str) -> Value {
    let message = person.challenge("LINK", account).await;
    let signature = world.signs(account, &message).await;
    let answer = person.links(&message, &signature).await;
    answer.data()["linkWallet"]["wallet"].clone()
}

/// The codes of the reasons for which nobody was logged in, or nothing linked, oldest first.
async fn reasons(world: &World, action: &str) -> Vec<String> {
    let condition = format!("action_type = '{action}' AND new_value ? 'reason'");
    let rows = world.audit_rows(&condition).await;
    let reasons = rows.iter().map(|row| text(&row["new_value"]["reason"]));
    reasons.collect()
}

#[tokio::test]
async fn a_wallet_is_linked_logged_in_with_and_unlinked() {
    let world = World::start().await;
    let (ana, nobody) = (world.patient("ana").await, world.nobody());
    let account = world.account(0).await;

    let wallet = linked(&world, &ana, &account).await;
    let listed = ana.asks(MINE, json!({})).await.data().clone();
    let message = nobody.challenge("LOG_IN", &account.to_lowercase()).await;
    let signature = world.signs(&account, &message).await;
    let session = nobody.shows_wallet(&message, &signature, None).await;
    let unlinked = ana.unlinks().await.data()["unlinkWallet"]["wallet"].clone();

    assert_eq!(wallet["address"], account, "as EIP-55 writes it");
    assert_eq!(wallet["provenBy"], "KEY");
    assert_eq!(listed["me"]["blockchainAddress"], account);
    assert_eq!(listed["myWallets"]["nodes"][0]["id"], wallet["id"]);
    assert_eq!(listed["myWallets"]["nodes"][0]["chainId"], "31337");
    let session = &session.data()["logInWithWallet"];
    assert_eq!(session["user"]["id"], ana.id.as_str());
    let token = text(&session["accessToken"]);
    let logged_in = Person {
        client: ana.client.clone().with_token(&token),
        ..ana.clone()
    };
    logged_in.asks("{ me { id } }", json!({})).await.data();
    assert_eq!(unlinked["id"], wallet["id"]);
    assert!(unlinked["unlinkedAt"].is_string());
    let left = ana.asks(MINE, json!({})).await.data().clone();
    assert_eq!(left["me"]["blockchainAddress"], Value::Null);
    assert_eq!(
        left["myWallets"]["nodes"][0]["unlinkedAt"],
        unlinked["unlinkedAt"]
    );
    ana.unlinks().await.fails_with("NOT_FOUND");
    let message = nobody.challenge("LOG_IN", &account).await;
    let signature = world.signs(&account, &message).await;
    let refused = nobody.shows_wallet(&message, &signature, None).await;
    refused.fails_with("WRONG_CREDENTIALS");
    for action in ["WALLET_LINK", "WALLET_UNLINK"] {
        let rows = world.audit_rows(&format!("action_type = '{action}'")).await;
        assert_eq!(rows.len(), 1, "{action}");
        assert_eq!(rows[0]["user_id"], ana.id.as_str());
        assert_eq!(rows[0]["resource_id"], wallet["id"]);
        assert_eq!(rows[0]["data_classification"], "SECURITY");
    }
}

#[tokio::test]
async fn a_message_that_is_not_ours_links_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hers, other) = (world.account(0).await, world.account(1).await);
    let here = world.api.url();
    let authority = here.replace("http://", "");
    let times = world
        .sql(
            r#"SELECT to_char(now() AT TIME ZONE 'UTC' + i * INTERVAL '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at
               FROM (VALUES (-7), (-2), (1), (6)) AS v(i) ORDER BY i"#,
        )
        .await;
    let at = |nth: usize| text(&times[nth]["at"]);
    let line = |message: &str, tag: &str, value: &str| {
        let old = message.lines().find(|line| line.starts_with(tag));
        let old = old.unwrap_or_else(|| panic!("{message} has no {tag}"));
        message.replacen(old, &format!("{tag}{value}"), 1)
    };
    let timed = |message: &str, from: String, to: String| {
        line(
            &line(message, "Issued At: ", &from),
            "Expiration Time: ",
            &to,
        )
    };
    let table: [(&str, Changed<'_>); 12] = [
        (
            "DOMAIN",
            Box::new(|it| it.replacen(&authority, "evil.example", 1)),
        ),
        (
            "URI",
            Box::new(|it| line(it, "URI: ", "https://evil.example")),
        ),
        (
            "URI",
            Box::new(|it| line(it, "URI: ", &format!("{here}/graphql"))),
        ),
        ("CHAIN_ID", Box::new(|it| line(it, "Chain ID: ", "1"))),
        ("MALFORMED", Box::new(|it| line(it, "Version: ", "2"))),
        (
            "PURPOSE",
            Box::new(|it| it.replace("Link this wallet to my MediTrustAl account.", "Hello.")),
        ),
        ("EXPIRED", Box::new(|it| timed(it, at(0), at(1)))),
        ("NOT_YET_VALID", Box::new(|it| timed(it, at(2), at(3)))),
        (
            "LIFETIME",
            Box::new(|it| line(it, "Expiration Time: ", "2999-01-01T00:00:00Z")),
        ),
        (
            "SURPLUS",
            Box::new(|it| format!("{it}\nResources:\n- https://evil.example")),
        ),
        ("NONCE", Box::new(|it| line(it, "Nonce: ", &"0".repeat(32)))),
        // Nobody asked for a message that this wallet is to sign.
        ("NONCE", Box::new(|it| it.replace(&hers, &other))),
    ];

    for (reason, change) in &table {
        let message = change(&ana.challenge("LINK", &hers).await);
        let signer = if message.contains(&other) {
            &other
        } else {
            &hers
        };
        let signature = world.signs(signer, &message).await;
        let told = ana.links(&message, &signature).await;
        let told = told.fails_with("BAD_USER_INPUT").clone();
        assert_eq!(told.extensions["field"], "message", "{reason}: {message}");
        let seen = reasons(&world, "ACCESS_DENIED").await;
        assert_eq!(seen.last().map(String::as_str), Some(*reason), "{message}");
    }
    let linked = world.sql("SELECT 1 FROM wallets").await;
    assert!(linked.is_empty());
}

#[tokio::test]
async fn a_signature_that_is_not_the_wallets_links_nothing() {
    let world = World::start().await;
    // The node knows no state of before it was copied.
    world.mine(3).await;
    let ana = world.patient("ana").await;
    let (hers, other) = (world.account(0).await, world.account(1).await);
    let table: [(&str, Signed<'_>); 7] = [
        ("another wallet's", Box::new(|_, others| others.to_owned())),
        ("a bit flipped", Box::new(|own, _| flipped(own))),
        ("in the upper half", Box::new(|own, _| upper_half(own))),
        (
            "cut short",
            Box::new(|own, _| own[..own.len() - 2].to_owned()),
        ),
        ("with a byte more", Box::new(|own, _| format!("{own}00"))),
        ("without 0x", Box::new(|own, _| own[2..].to_owned())),
        ("none", Box::new(|_, _| String::new())),
    ];

    for (what, change) in &table {
        let message = ana.challenge("LINK", &hers).await;
        let own = world.signs(&hers, &message).await;
        let others = world.signs(&other, &message).await;
        let told = ana.links(&message, &change(&own, &others)).await;
        let told = told.fails_with("BAD_USER_INPUT").clone();
        assert_eq!(told.extensions["field"], "signature", "{what}");
        // A failed answer is an answer: the right one comes too late.
        let late = ana.links(&message, &own).await;
        assert_eq!(
            late.fails_with("BAD_USER_INPUT").extensions["field"],
            "message"
        );
    }
    let linked = world.sql("SELECT 1 FROM wallets").await;
    assert!(linked.is_empty());
}

fn flipped(signature: &str) -> String {
    let at = 20;
    let other = if &signature[at..=at] == "0" { "1" } else { "0" };
    format!("{}{other}{}", &signature[..at], &signature[at + 1..])
}

/// The other signature that the curve takes for the same text: the order less `s`, and the other `v`.
fn upper_half(signature: &str) -> String {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let bytes = |hex: &str| -> Vec<i32> {
        let pairs = (0..hex.len() / 2).map(|nth| &hex[nth * 2..nth * 2 + 2]);
        pairs
            .map(|pair| i32::from_str_radix(pair, 16).expect("hexadecimal digits"))
            .collect()
    };
    let (r, s, v) = (&signature[2..66], &signature[66..130], &signature[130..]);
    let mut borrow = 0;
    let mut high: Vec<String> = bytes(ORDER)
        .iter()
        .zip(bytes(s))
        .rev()
        .map(|(order, s)| {
            let left = order - s - borrow;
            borrow = i32::from(left < 0);
            format!("{:02x}", left.rem_euclid(256))
        })
        .collect();
    high.reverse();
    let v = if v == "1b" { "1c" } else { "1b" };
    format!("0x{r}{}{v}", high.concat())
}

#[tokio::test]
async fn a_message_is_answered_once_and_by_whoever_asked() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let account = world.account(0).await;
    let budis = budi.challenge("LINK", &account).await;
    let to_log_in = world.nobody().challenge("LOG_IN", &account).await;
    let late = ana.challenge("LINK", &account).await;
    world
        .executes("UPDATE wallet_challenges SET expires_at = now() WHERE purpose = 'LINK' AND user_id <> (SELECT id FROM users WHERE username = 'budi')")
        .await;
    let first = ana.challenge("LINK", &account).await;
    let signature = world.signs(&account, &first).await;

    for message in [&budis, &late] {
        let signature = world.signs(&account, message).await;
        let told = ana.links(message, &signature).await;
        assert_eq!(
            told.fails_with("BAD_USER_INPUT").extensions["field"],
            "message"
        );
    }
    let made_for_log_in = world.signs(&account, &to_log_in).await;
    let told = ana.links(&to_log_in, &made_for_log_in).await;
    told.fails_with("BAD_USER_INPUT");
    ana.links(&first, &signature).await.data();
    ana.unlinks().await.data();
    let again = ana.links(&first, &signature).await;

    let told = again.fails_with("BAD_USER_INPUT");
    assert_eq!(told.extensions["field"], "message");
    assert_eq!(
        reasons(&world, "ACCESS_DENIED").await,
        ["NONCE", "NONCE", "PURPOSE", "NONCE"]
    );
    budi.links(&budis, &world.signs(&account, &budis).await)
        .await
        .data();
    let stored = world.sql("SELECT nonce_hash FROM wallet_challenges").await;
    let nonce = to_log_in.lines().find_map(|it| it.strip_prefix("Nonce: "));
    let nonce = nonce.expect("a message has a nonce");
    assert!(
        nonce.len() >= 32,
        "128 bits, in hexadecimal digits: {nonce}"
    );
    assert!(!json!(stored).to_string().contains(nonce));
}

#[tokio::test]
async fn a_wallet_has_one_account_and_an_account_one_wallet_whatever_the_capitals() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (first, second) = (world.account(0).await, world.account(1).await);
    linked(&world, &ana, &first).await;
    world
        .executes("UPDATE users SET blockchain_address = lower(blockchain_address); UPDATE wallets SET address = lower(address)")
        .await;
    world.seals().await;

    for (who, account) in [(&budi, &first), (&ana, &second), (&ana, &first)] {
        let message = who.challenge("LINK", account).await;
        let signature = world.signs(account, &message).await;
        let told = who.links(&message, &signature).await;
        assert_eq!(told.fails_with("CONFLICT").extensions["field"], "message");
    }

    let seen = reasons(&world, "ACCESS_DENIED").await;
    assert_eq!(seen[0], "TAKEN");
    assert!(
        seen[1..].iter().all(|it| it == "HAS_ONE" || it == "TAKEN"),
        "{seen:?}"
    );
    ana.unlinks().await.data();
    linked(&world, &budi, &first).await;
    linked(&world, &ana, &second).await;
}

#[tokio::test]
async fn a_stolen_token_links_and_unlinks_nothing() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let (hers, thiefs) = (world.account(0).await, world.account(1).await);
    linked(&world, &ana, &hers).await;
    let thief = Person {
        password: "some other password".to_owned(),
        ..ana.clone()
    };
    let message = thief.challenge("LINK", &thiefs).await;
    let signature = world.signs(&thiefs, &message).await;

    thief.unlinks().await.fails_with("WRONG_CREDENTIALS");
    let told = thief.links(&message, &signature).await;

    told.fails_with("WRONG_CREDENTIALS");
    assert_eq!(
        reasons(&world, "ACCESS_DENIED").await,
        ["PASSWORD", "PASSWORD"]
    );
    let mine = ana.asks(MINE, json!({})).await;
    assert_eq!(mine.data()["me"]["blockchainAddress"], hers);
}

#[tokio::test]
async fn a_contract_is_asked_at_each_log_in() {
    let world = World::start().await;
    let (ana, nobody) = (world.patient("ana").await, world.nobody());
    let (owner, other) = (world.account(0).await, world.account(1).await);
    let contract = world.contract_wallet(&owner).await;
    let signed_by = async |who: &str, message: &str| {
        let signature = world.signs(who, message).await;
        format!("0x77{}", &signature[2..])
    };

    let foreign = ana.challenge("LINK", &contract).await;
    let told = ana
        .links(&foreign, &signed_by(&other, &foreign).await)
        .await;
    told.fails_with("BAD_USER_INPUT");
    let bare = ana.challenge("LINK", &contract).await;
    let told = ana.links(&bare, &world.signs(&owner, &bare).await).await;
    told.fails_with("BAD_USER_INPUT");
    let message = ana.challenge("LINK", &contract).await;
    let answer = ana
        .links(&message, &signed_by(&owner, &message).await)
        .await;
    assert_eq!(
        answer.data()["linkWallet"]["wallet"]["provenBy"],
        "CONTRACT"
    );
    let message = nobody.challenge("LOG_IN", &contract).await;
    let signature = signed_by(&owner, &message).await;
    let session = nobody.shows_wallet(&message, &signature, None).await;
    assert_eq!(
        session.data()["logInWithWallet"]["user"]["id"],
        ana.id.as_str()
    );

    // The contract gives itself up: what it said before is worth nothing any more.
    world.rpc("anvil_setCode", json!([contract, "0x"])).await;
    world.mine(3).await;
    let message = nobody.challenge("LOG_IN", &contract).await;
    let signature = signed_by(&owner, &message).await;
    let refused = nobody.shows_wallet(&message, &signature, None).await;
    refused.fails_with("WRONG_CREDENTIALS");
    assert_eq!(reasons(&world, "AUTH_LOGIN_FAILED").await, ["SIGNATURE"]);
}

#[tokio::test]
async fn an_account_that_delegates_to_code_still_has_its_key() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let account = world.account(0).await;
    let delegated = format!("0xef0100{}", &world.account(1).await[2..]);
    world
        .rpc("anvil_setCode", json!([account, delegated]))
        .await;
    world.mine(3).await;

    let wallet = linked(&world, &ana, &account).await;

    assert_eq!(wallet["provenBy"], "KEY");
}

#[tokio::test]
async fn without_the_chain_a_key_is_known_and_a_contract_is_not() {
    let world = World::start().await;
    let (ana, budi) = (world.patient("ana").await, world.patient("budi").await);
    let (owner, account) = (world.account(0).await, world.account(1).await);
    let contract = world.contract_wallet(&owner).await;
    let to_contract = ana.challenge("LINK", &contract).await;
    let of_contract = format!("0x77{}", &world.signs(&owner, &to_contract).await[2..]);
    let to_key = budi.challenge("LINK", &account).await;
    let of_key = world.signs(&account, &to_key).await;
    let node = world.foundation.node.as_ref().expect("the node is ours");
    node.process().signal(Signal::STOP);

    let unknown = ana.links(&to_contract, &of_contract).await;
    let known = budi.links(&to_key, &of_key).await;
    node.process().signal(Signal::CONT);
    let later = ana.links(&to_contract, &of_contract).await;

    unknown.fails_with("UNAVAILABLE");
    assert_eq!(known.data()["linkWallet"]["wallet"]["provenBy"], "KEY");
    assert_eq!(
        later.data()["linkWallet"]["wallet"]["provenBy"],
        "CONTRACT",
        "the message waited"
    );
}

#[tokio::test]
async fn a_log_in_with_a_wallet_fails_alike_whatever_is_wrong() {
    let world = World::start().await;
    // The node knows no state of before it was copied.
    world.mine(3).await;
    let (ana, dea, nobody) = (
        world.patient("ana").await,
        world.patient("dea").await,
        world.nobody(),
    );
    let accounts = [
        world.account(0).await,
        world.account(1).await,
        world.account(2).await,
    ];
    linked(&world, &ana, &accounts[0]).await;
    linked(&world, &dea, &accounts[1]).await;
    world
        .executes("UPDATE users SET is_active = FALSE WHERE username = 'dea'")
        .await;
    world.seals().await;
    let used = nobody.challenge("LOG_IN", &accounts[0]).await;
    let good = world.signs(&accounts[0], &used).await;
    nobody.shows_wallet(&used, &good, None).await.data();
    let mut attempts = vec![
        (used, good, "NONCE"),
        ("not a message".to_owned(), "0x".to_owned(), "MALFORMED"),
    ];
    for (account, signer, reason) in [
        (&accounts[0], &accounts[2], "SIGNATURE"),
        (&accounts[1], &accounts[1], "NOBODYS"),
        (&accounts[2], &accounts[2], "NOBODYS"),
    ] {
        let message = nobody.challenge("LOG_IN", account).await;
        let signature = world.signs(signer, &message).await;
        attempts.push((message, signature, reason));
    }

    let mut told = std::collections::BTreeSet::new();
    for (message, signature, _) in &attempts {
        let answer = nobody.shows_wallet(message, signature, None).await;
        told.insert(answer.fails_with("WRONG_CREDENTIALS").message.clone());
    }

    assert_eq!(told.len(), 1, "{told:?}");
    let wanted: Vec<_> = attempts.iter().map(|(.., reason)| *reason).collect();
    assert_eq!(reasons(&world, "AUTH_LOGIN_FAILED").await, wanted);
    let answer = nobody.asks_to("LINK", &accounts[0]).await;
    answer.fails_with("UNAUTHENTICATED");
    let answer = nobody
        .asks_to("LOG_IN", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
        .await;
    assert_eq!(
        answer.fails_with("BAD_USER_INPUT").extensions["field"],
        "address"
    );
}

#[tokio::test]
async fn a_wallet_is_shown_the_site_that_the_operator_names() {
    let world = World::start().await;
    let account = world.account(0).await;
    let site = ("MEDITRUSTAL_SITE", "https://app.example.org");
    let elsewhere = world.another_api("site", &[site]).await;
    let (here, there) = (world.patient("ana").await, world.patient("budi").await);
    let there = there.at(&elsewhere);

    let message = there.challenge("LINK", &account).await;

    let first =
        format!("app.example.org wants you to sign in with your Ethereum account:\n{account}\n");
    assert!(message.starts_with(&first), "{message}");
    assert!(
        message.contains("\nURI: https://app.example.org\n"),
        "{message}"
    );
    let signature = world.signs(&account, &message).await;
    there.links(&message, &signature).await.data();
    let message = here.challenge("LINK", &account).await;
    let signature = world.signs(&account, &message).await;
    let told = here.at(&elsewhere).links(&message, &signature).await;
    assert_eq!(
        told.fails_with("BAD_USER_INPUT").extensions["field"],
        "message"
    );
}

#[tokio::test]
async fn a_new_message_takes_away_those_that_are_over() {
    let world = World::start().await;
    let (nobody, account) = (world.nobody(), world.account(0).await);
    for _ in 0..5 {
        nobody.challenge("LOG_IN", &account).await;
    }
    world
        .executes("UPDATE wallet_challenges SET expires_at = now() - INTERVAL '1 second'")
        .await;

    nobody.challenge("LOG_IN", &account).await;

    let left = world.sql("SELECT 1 FROM wallet_challenges").await;
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn nobody_is_challenged_for_an_address_that_is_no_wallet() {
    let world = World::start().await;
    let ana = world.patient("ana").await;
    let registry = ana.asks("{ registry { address } }", json!({})).await;
    let registry = text(&registry.data()["registry"]["address"]);
    let address = |low: u32| format!("0x{low:040x}");

    for nobody in [
        address(0),
        address(1),
        address(0x11),
        address(0x100),
        address(0xffff),
        registry,
    ] {
        for purpose in ["LINK", "LOG_IN"] {
            let answer = ana.asks_to(purpose, &nobody).await;

            let told = answer.fails_with("BAD_USER_INPUT");
            assert_eq!(told.extensions["field"], "address", "{nobody}");
        }
    }
    ana.asks_to("LINK", &address(0x1_0000)).await.data();
}
