//! `cargo dev demo`: the main job, played once over the public interface, with nobody watching.

mod emergency;
mod erasure;

use std::path::Path;
use std::time::Duration;

use dev::client::{Client, Subscription};
use dev::stack::{Options, Run, Stack};
use dev::{Error, Result, repository, say};
use serde_json::{Value, json};

use super::person::{self, Insider, log_in, person, text};
use super::steps::Steps;
use super::{
    seeds,
    tamper::Tamper,
    up::{erases_at_once, interrupted},
};

/// How long the chain and the indexer may take for one thing on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

const EVENTS: &str = "subscription Events($recordId: UUID) {
  integrityEvents(recordId: $recordId) {
    kind at recordId state txHash blockNumber sequence finding { id kind openedAt resolvedAt }
  }
}";
const VERIFY: &str = "query Verify($id: UUID!) {
  verifyRecord(id: $id) { verdict contentMatches onChain dataHash computedHash chainBlock chainRegistrar }
}";
const READ: &str = "query Read($id: UUID!) {
  medicalRecord(id: $id, purpose: TREAT) { recordType document }
}";
const WITHDRAW: &str = "mutation Withdraw($input: WithdrawConsentInput!) {
  withdrawConsent(input: $input) { consent { id isActive withdrawnAt } }
}";
const ACCESS_LOG: &str = "{ myAccessLog(first: 20) { nodes { sentence allowed recordId } } }";

/// Play the main job once, on the running stack or on a fresh one that is removed afterwards.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Use a fresh stack even when one is running.
    #[arg(long)]
    fresh: bool,
}

/// What the story is told on.
struct Stage {
    anybody: Client,
    admin: Insider,
    superuser_url: String,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<()> {
        let root = repository::root()?;
        let running = if self.fresh { None } else { Run::find(&root) };
        if let Some(running) = running {
            say::line(format_args!(
                "The main job, on the running stack {}\n",
                running.api_url
            ));
            let anybody = Client::new(&format!("{}/graphql", running.api_url));
            let admin = running.people.iter().find(|person| person.role == "admin");
            let admin = admin.ok_or_else(|| {
                Error::Needs("the running stack was started --empty: try demo --fresh".to_owned())
            })?;
            let admin = log_in(&anybody, admin).await?;
            return play(
                &root,
                Stage {
                    anybody,
                    admin,
                    superuser_url: running.superuser_url,
                },
            )
            .await;
        }
        // Dropping the stack stops and removes it, also when Ctrl-C cuts the story short.
        tokio::select! {
            played = on_a_fresh_stack(&root) => played,
            () = interrupted() => Err(Error::Needs("interrupted".to_owned())),
        }
    }
}

async fn on_a_fresh_stack(root: &Path) -> Result<()> {
    let mut options = Options::throw_away(root);
    options.mining = Options::persistent(root).mining;
    options.progress = true;
    options.api.extend(erases_at_once());
    let stack = Stack::start(options).await?;
    say::line(format_args!(
        "The main job, on a fresh stack {}\n",
        stack.url()
    ));
    let anybody = stack.client();
    let admin = person("admin", "ada");
    let admin = seeds::administrator(&stack.foundation, &anybody, &admin).await?;
    let superuser_url = stack.foundation.database.superuser_url();
    let played = play(
        root,
        Stage {
            anybody,
            admin,
            superuser_url,
        },
    )
    .await;
    stack.stop().await;
    played
}

async fn play(root: &Path, stage: Stage) -> Result<()> {
    let mut steps = Steps::new();
    let played = story(root, &stage, &mut steps).await;
    steps.end(&played);
    played.map_err(|_| Error::Needs("the demo failed, see above".to_owned()))
}

/// What the story is about, once it exists.
struct Care {
    ana: Insider,
    bo: Insider,
    consent: String,
    /// What Ana proves with that it is her.
    password: String,
}

/// A stored record.
struct Stored {
    id: String,
    hash: String,
}

async fn story(root: &Path, stage: &Stage, steps: &mut Steps) -> Result<()> {
    let care = begin(stage, steps).await?;
    let record = store(root, &care, steps).await?;
    read(&care, &record, steps).await?;
    withdraw(&care, &record, steps).await?;
    emergency::emergency(stage, &care, &record, steps).await?;
    look_back(&care, &record, steps).await?;
    tamper(stage, &record, steps).await?;
    erasure::erasure(stage, &care, &record, steps).await
}

/// Accounts and a consent.
async fn begin(stage: &Stage, steps: &mut Steps) -> Result<Care> {
    // Names of their own each time, so that it can be played again on the same stack.
    let name = dev::fresh_name()?;
    let ana = person("patient", &format!("ana-{name}"));
    let bo = person("doctor", &format!("bo-{name}"));

    steps.step("Ana and Bo register, and an administrator makes Bo a doctor");
    person::register(&stage.anybody, &ana).await?;
    let id = person::register(&stage.anybody, &bo).await?;
    let made = person::make_doctor(&stage.admin, &id).await?;
    steps.done(format_args!(
        "{} · {} is {}",
        ana.username,
        bo.username,
        show(&made["role"])
    ));

    steps.step("Both log in");
    let password = ana.password.clone();
    let ana = log_in(&stage.anybody, &ana).await?;
    let bo = log_in(&stage.anybody, &bo).await?;
    steps.done(format_args!("Ana is {}\nBo is {}", ana.id, bo.id));

    steps.step("Ana lets Bo read and write her records, for treatment");
    let consent = person::grant(&ana, &bo.id).await?;
    expect(&consent["isActive"], &json!(true), "the consent is active")?;
    let purpose = show(&consent["purpose"]);
    let consent = text(&consent["id"])?;
    steps.done(format_args!("consent {consent}, purpose {purpose}"));
    Ok(Care {
        ana,
        bo,
        consent,
        password,
    })
}

/// A record, and its way to the chain.
async fn store(root: &Path, care: &Care, steps: &mut Steps) -> Result<Stored> {
    steps.step("Bo stores a laboratory report about Ana, a FHIR DiagnosticReport");
    let mut watched = care.ana.client.subscribe(EVENTS, &json!({})).await?;
    let document = person::document(root, "lab-result.json")?;
    let record = person::create(&care.bo, &care.ana.id, "LAB_RESULT", &document).await?;
    let (id, hash) = (text(&record["id"])?, text(&record["dataHash"])?);
    let (state, transaction) = (&record["anchor"]["state"], &record["blockchainRecordId"]);
    steps.done(format_args!(
        "record {id}\nSHA-256 {hash}\nanchor {} in {}",
        show(state),
        show(transaction)
    ));

    steps.step("Ana watches it go PENDING → CONFIRMED → FINALIZED over a subscription");
    steps.done(anchored(&mut watched, &id).await?);
    Ok(Stored { id, hash })
}

/// What the people may see.
async fn read(care: &Care, record: &Stored, steps: &mut Steps) -> Result<()> {
    let id = json!({ "id": record.id });
    steps.step("Ana verifies it: the row, the document and the chain agree");
    let verified = care.ana.client.ask(VERIFY, &id).await?;
    let verified = &verified["verifyRecord"];
    expect(
        &verified["verdict"],
        &json!("VERIFIED"),
        "the record is verified",
    )?;
    expect(
        &verified["computedHash"],
        &json!(record.hash),
        "the document has the stored hash",
    )?;
    let (block, registrar) = (&verified["chainBlock"], &verified["chainRegistrar"]);
    steps.done(format_args!(
        "VERIFIED, anchored in block {block} by {}",
        show(registrar)
    ));

    steps.step("Bo reads it");
    let answer = care.bo.client.ask(READ, &id).await?;
    let resource = &answer["medicalRecord"]["document"]["resourceType"];
    expect(
        resource,
        &json!("DiagnosticReport"),
        "the document is what was stored",
    )?;
    steps.done(format_args!("a {}, decrypted", show(resource)));
    Ok(())
}

/// What they may not see any more.
async fn withdraw(care: &Care, record: &Stored, steps: &mut Steps) -> Result<()> {
    steps.step("Ana withdraws the consent; for Bo there is no such record now");
    let input = json!({ "input": { "id": care.consent } });
    let withdrawn = care.ana.client.ask(WITHDRAW, &input).await?;
    let active = &withdrawn["withdrawConsent"]["consent"]["isActive"];
    expect(active, &json!(false), "the consent is not active any more")?;
    let refused = care
        .bo
        .client
        .query(READ, &json!({ "id": record.id }))
        .await?;
    expect(&json!(refused.code()), &json!("NOT_FOUND"), "Bo is refused")?;
    expect(
        &refused.data["medicalRecord"],
        &Value::Null,
        "Bo sees nothing",
    )?;
    let said: Vec<_> = refused
        .errors
        .iter()
        .map(|error| error.message.as_str())
        .collect();
    steps.done(format_args!("NOT_FOUND: {}", said.join("; ")));
    Ok(())
}

/// Who saw it.
async fn look_back(care: &Care, record: &Stored, steps: &mut Steps) -> Result<()> {
    steps.step("Ana reads who saw her record, and who tried to");
    steps.done(access_log(&care.ana, &record.id).await?);
    Ok(())
}

/// A change behind everybody's back, and who notices.
async fn tamper(stage: &Stage, record: &Stored, steps: &mut Steps) -> Result<()> {
    let about = json!({ "recordId": record.id });
    let mut verifier = stage.admin.client.subscribe(EVENTS, &about).await?;
    let mut database = Tamper::connect(&stage.superuser_url).await?;

    steps.step("Somebody changes the row in PostgreSQL; a verifier is told");
    let forged = "0".repeat(64);
    database.set_hash(&record.id, &forged).await?;
    let found = finding(&mut verifier, "FINDING_OPENED", "HASH_MISMATCH").await?;
    steps.done(format_args!("data_hash := {}…\n{found}", &forged[..16]));

    steps.step("The row is put back; the verifier is told that too");
    database.set_hash(&record.id, &record.hash).await?;
    let resolved = finding(&mut verifier, "FINDING_RESOLVED", "HASH_MISMATCH").await?;
    steps.done(format_args!(
        "data_hash := {}…\n{resolved}",
        &record.hash[..16]
    ));
    Ok(())
}

/// Follows the record's anchor until it is final; answers the way it took.
async fn anchored(events: &mut Subscription, record: &str) -> Result<String> {
    let mut way = Vec::new();
    loop {
        let event = next(events, record).await?;
        let kind = show(&event["kind"]);
        let block = event["blockNumber"]
            .as_u64()
            .map(|block| format!(" in block {block}"));
        way.push(format!("{kind}{}", block.unwrap_or_default()));
        match kind.as_str() {
            "ANCHOR_FINALIZED" => break,
            "ANCHOR_FAILED" => return Err(Error::Needs(format!("it failed: {}", way.join(" → ")))),
            _ => {}
        }
    }
    let at = |kind: &str| way.iter().position(|step| step.starts_with(kind));
    let (pending, confirmed) = (at("ANCHOR_PENDING"), at("ANCHOR_CONFIRMED"));
    if pending.is_none() || confirmed.is_none() || pending > confirmed {
        return Err(Error::Needs(format!(
            "not the way it should be: {}",
            way.join(" → ")
        )));
    }
    Ok(way.join("\n"))
}

/// Waits for an event about a finding of this kind; answers what it says.
async fn finding(events: &mut Subscription, kind: &str, about: &str) -> Result<String> {
    loop {
        let event = next(events, "").await?;
        if event["kind"] == kind && event["finding"]["kind"] == about {
            let id = show(&event["finding"]["id"]);
            return Ok(format!("{kind} {about}, finding {id}"));
        }
    }
}

/// The next event, about this record if one is named.
async fn next(events: &mut Subscription, record: &str) -> Result<Value> {
    loop {
        let mut data = events.next_within(PATIENCE).await?.data()?;
        let event = data["integrityEvents"].take();
        if record.is_empty() || event["recordId"] == record {
            return Ok(event);
        }
    }
}

/// Everything that was done with the record, in Ana's words; Bo's refusal must be in it.
async fn access_log(ana: &Insider, record: &str) -> Result<String> {
    let data = ana.client.ask(ACCESS_LOG, &json!({})).await?;
    let entries = data["myAccessLog"]["nodes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let about: Vec<_> = entries
        .iter()
        .filter(|entry| entry["recordId"] == record)
        .collect();
    for allowed in [true, false] {
        if !about.iter().any(|entry| entry["allowed"] == allowed) {
            let missing = if allowed {
                "what was read"
            } else {
                "what was refused"
            };
            return Err(Error::Needs(format!(
                "the access log does not say {missing}: {entries:?}"
            )));
        }
    }
    let lines = about.iter().map(|entry| {
        let mark = if entry["allowed"] == true {
            '✓'
        } else {
            '✗'
        };
        format!("{mark} {}", show(&entry["sentence"]))
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn expect(got: &Value, wanted: &Value, what: &str) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    Err(Error::Needs(format!(
        "expected that {what}: got {got}, not {wanted}"
    )))
}

/// Text without its quotes.
fn show(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
