//! People: what each does with the product, in a word.

use std::fmt::Display;

use dev::client::{Client, ClientError, Subscription};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{Answer, Events, eventually, id, patiently};

const CREATE: &str = "mutation Create($input: CreateMedicalRecordInput!) {
  createMedicalRecord(input: $input) {
    record {
      id recordType version completeness missing metadata dataHash blockchainRecordId createdAt updatedAt
      patient { id username } author { id username }
      anchor { state txHash registrar blockNumber blockHash logIndex sequence confirmedAt finalizedAt }
    }
  }
}";
const AMEND: &str = "mutation Amend($input: AmendMedicalRecordInput!) {
  amendMedicalRecord(input: $input) {
    record {
      id recordType version isCurrent isWithdrawn completeness metadata dataHash blockchainRecordId
      patient { id } author { id username } anchor { state txHash }
    }
  }
}";
const RETRACT: &str = "mutation Retract($input: WithdrawMedicalRecordInput!) {
  withdrawMedicalRecord(input: $input) {
    record {
      id recordType version isCurrent isWithdrawn completeness metadata dataHash blockchainRecordId
      patient { id } author { id username } anchor { state txHash }
    }
  }
}";
const GRANT: &str = "mutation Grant($input: GrantConsentInput!) {
  grantConsent(input: $input) {
    consent {
      id purpose dataCategories processingActivities givenAt expiresAt withdrawnAt isActive
      grantees { kind role organizationId country user { id } }
    }
  }
}";
const WITHDRAW: &str = "mutation Withdraw($input: WithdrawConsentInput!) {
  withdrawConsent(input: $input) { consent { id isActive withdrawnAt } }
}";
const READ: &str = "query Read($id: UUID!, $purpose: PurposeOfUse) {
  medicalRecord(id: $id, purpose: $purpose) {
    id recordType version dataHash document canonical
    patient { id username } author { id username } anchor { state txHash blockNumber sequence }
  }
}";
const VERIFY: &str = "query Verify($id: UUID!) {
  verifyRecord(id: $id) {
    verdict contentMatches onChain dataHash computedHash chainRegistrar chainBlock chainTime chainStatus
    chainSuccessor checkedAt
  }
}";

/// Somebody, logged in unless they are [`crate::World::nobody`].
#[derive(Debug, Clone)]
pub struct Person {
    /// Their account; empty for nobody.
    pub id: String,
    /// What they log in with.
    pub username: String,
    /// Where mail reaches them.
    pub email: String,
    /// Their password.
    pub password: String,
    /// Speaks for them.
    pub client: Client,
    /// The database that what they do is written down in, for a superuser.
    pub trail: PgPool,
}

impl Person {
    /// The same person at another api, such as a second one on the same database.
    #[must_use]
    pub fn at(&self, api: &crate::Program) -> Self {
        let client = Client::new(&format!("{}/graphql", api.url()));
        let client = match self.client.token() {
            Some(token) => client.with_token(token),
            None => client,
        };
        Self {
            client,
            ..self.clone()
        }
    }

    /// Asks anything. There must be an answer; what it says is for the test to judge.
    pub async fn asks(&self, document: &str, variables: Value) -> Answer {
        self.asks_with(document, &variables.to_string()).await
    }

    /// The same with variables as JSON text, sent byte for byte: so a decimal keeps its digits.
    pub async fn asks_with(&self, document: &str, variables: &str) -> Answer {
        match self.client.query_text(document, variables).await {
            Ok(answer) => Answer::new(document, answer),
            Err(error) => panic!("{} got no answer to {document}: {error}", self.username),
        }
    }

    /// The same when there may be no answer at all.
    ///
    /// # Errors
    ///
    /// When nobody answers, or something that is not GraphQL.
    pub async fn tries(&self, document: &str, variables: Value) -> Result<Answer, ClientError> {
        let answer = self.client.query(document, &variables).await?;
        Ok(Answer::new(document, answer))
    }

    /// Lets a person do these with every record, for treatment; answers the consent's id.
    pub async fn lets(&self, somebody: &Person, activities: &[&str]) -> String {
        let input = json!({
            "purpose": "TREAT",
            "dataCategories": ["ALL_RECORDS"],
            "processingActivities": activities,
            "grantees": [{ "user": somebody.id }],
        });
        let answer = patiently(|| self.grants(input.clone())).await;
        id(&answer.data()["grantConsent"]["consent"])
    }

    /// Gives any consent, or tries to.
    pub async fn grants(&self, input: Value) -> Answer {
        self.asks(GRANT, json!({ "input": input })).await
    }

    /// Takes a consent back; answers it as it is then.
    pub async fn withdraws(&self, consent: &str) -> Value {
        let input = json!({ "input": { "id": consent } });
        let answer = patiently(|| self.asks(WITHDRAW, input.clone())).await;
        answer.data()["withdrawConsent"]["consent"].clone()
    }

    /// Stores a document, given as JSON text or value; answers the record.
    pub async fn creates(
        &self,
        patient: &Person,
        record_type: &str,
        document: impl Display,
    ) -> Value {
        let answer = self.stores(patient, record_type, document, json!({})).await;
        answer.data()["createMedicalRecord"]["record"].clone()
    }

    /// The terms of a consent that lets this person read and find images.
    pub fn terms(&self) -> Value {
        json!({
            "purpose": "TREAT",
            "dataCategories": ["IMAGING"],
            "processingActivities": ["READ", "SEARCH"],
            "grantees": [{ "user": self.id }],
        })
    }

    /// Stores a document, or tries to, with more input: `metadata`, `purpose`, `idempotencyKey`.
    pub async fn stores(
        &self,
        patient: &Person,
        record_type: &str,
        document: impl Display,
        more: Value,
    ) -> Answer {
        let mut input = json!({ "patientId": patient.id, "recordType": record_type });
        if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
            input.extend(more.clone());
        }
        let input = input.to_string();
        let open = input.strip_suffix('}').expect("an object ends so");
        let variables = format!(r#"{{"input":{open},"document":{document}}}}}"#);
        self.asks_with(CREATE, &variables).await
    }

    /// Writes a new version of a record, or tries to. `more` is input that is there besides, or takes
    /// the place of what is: `expectedVersion`, `reason`, `metadata`, `purpose`, `idempotencyKey`.
    pub async fn amends(&self, record: &Value, document: impl Display, more: Value) -> Answer {
        let input = change(record, &more).to_string();
        let open = input.strip_suffix('}').expect("an object ends so");
        let variables = format!(r#"{{"input":{open},"document":{document}}}}}"#);
        self.asks_with(AMEND, &variables).await
    }

    /// Withdraws a record as entered in error, or tries to; `more` as in [`Self::amends`].
    pub async fn retracts(&self, record: &Value, more: Value) -> Answer {
        self.asks(RETRACT, json!({ "input": change(record, &more) }))
            .await
    }

    /// Opens a record, or tries to, under the default purpose.
    pub async fn reads(&self, record: &str) -> Answer {
        self.asks(READ, json!({ "id": record })).await
    }

    /// Opens a record, or tries to, under this purpose.
    pub async fn reads_for(&self, purpose: &str, record: &str) -> Answer {
        self.asks(READ, json!({ "id": record, "purpose": purpose }))
            .await
    }

    /// Compares a record with the chain, or tries to.
    pub async fn verifies(&self, record: &str) -> Answer {
        self.asks(VERIFY, json!({ "id": record })).await
    }

    /// Follows `integrityEvents`; `variables` may hold `after` and `recordId`. Without `after`,
    /// everything is told that happens once this has returned.
    pub async fn watches(&self, variables: Value) -> Events {
        let before = self.subscriptions().await;
        let subscribed = self.client.subscribe(Events::DOCUMENT, &variables).await;
        let subscribed =
            subscribed.unwrap_or_else(|error| panic!("{} may not watch: {error}", self.username));
        let mut events = Events::new(subscribed);
        // The protocol acknowledges no subscription; its audit row says that it has begun.
        let begun = eventually("the subscription has begun", async || {
            (self.subscriptions().await > before).then_some(())
        });
        tokio::select! {
            () = begun => {}
            () = events.looks_ahead() => {}
        }
        events
    }

    /// Follows a subscription from a cursor, or from now; answers once it has begun.
    pub async fn follows(&self, document: &str, after: Value) -> Subscription {
        let before = self.subscriptions().await;
        let subscribed = self
            .client
            .subscribe(document, &json!({ "after": after }))
            .await;
        let subscribed =
            subscribed.unwrap_or_else(|error| panic!("{} may not follow: {error}", self.username));
        eventually("the stream has begun", async || {
            (self.subscriptions().await > before).then_some(())
        })
        .await;
        subscribed
    }

    /// How often this account has subscribed, says the audit trail.
    async fn subscriptions(&self) -> i64 {
        let query = "SELECT count(*) FROM audit_logs
                     WHERE user_id::text = $1 AND new_value ->> 'subscription' IS NOT NULL";
        let count = sqlx::query_scalar(query).bind(&self.id);
        let count = count.fetch_one(&self.trail).await;
        count.unwrap_or_else(|error| panic!("the audit trail cannot be read: {error}"))
    }
}

fn change(record: &Value, more: &Value) -> Value {
    let mut input = json!({
        "id": record["id"],
        "expectedVersion": record["version"],
        "reason": "the sample was somebody else's",
    });
    if let (Some(input), Some(more)) = (input.as_object_mut(), more.as_object()) {
        input.extend(more.clone());
    }
    input
}
