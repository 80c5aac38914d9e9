//! Organisations, and who belongs to them, as an administrator has them.

use serde_json::{Value, json};

use crate::{Answer, Person, World, id};

const CREATE: &str = "mutation($input: CreateOrganizationInput!) {
  createOrganization(input: $input) { organization { id name country isActive } }
}";
const UPDATE: &str = "mutation($input: UpdateOrganizationInput!) {
  updateOrganization(input: $input) { organization { id name country isActive } }
}";
const ADD: &str = "mutation($input: AddMemberInput!) {
  addMember(input: $input) { membership { id from until endedAt isActive doctor { id } organization { id name } } }
}";
const END: &str =
    "mutation($id: UUID!) { endMembership(id: $id) { membership { id until endedAt isActive } } }";

impl Person {
    /// Makes an organisation, or tries to.
    pub async fn creates_organization(&self, name: &str, country: &str) -> Answer {
        let input = json!({ "name": name, "country": country });
        self.asks(CREATE, json!({ "input": input })).await
    }

    /// Changes an organisation, or tries to: `change` is what is to be changed.
    pub async fn updates_organization(&self, organization: &str, change: Value) -> Answer {
        let mut input = change;
        input["id"] = json!(organization);
        self.asks(UPDATE, json!({ "input": input })).await
    }

    /// Makes a doctor a member of an organisation, or tries to; `more` may say from when and until when.
    pub async fn adds_member(&self, organization: &str, doctor: &Person, more: Value) -> Answer {
        let mut input = more;
        input["organizationId"] = json!(organization);
        input["doctorId"] = json!(doctor.id);
        self.asks(ADD, json!({ "input": input })).await
    }

    /// Ends a membership, or tries to.
    pub async fn ends_membership(&self, membership: &str) -> Answer {
        self.asks(END, json!({ "id": membership })).await
    }

    /// Lets the members of an organisation in its country do these with every record, for treatment; answers the consent's
    /// id.
    pub async fn lets_members(
        &self,
        organization: &str,
        country: &str,
        activities: &[&str],
    ) -> String {
        let answer = self
            .grants(json!({
                "purpose": "TREAT",
                "dataCategories": ["ALL_RECORDS"],
                "processingActivities": activities,
                "grantees": [{ "organization": { "id": organization, "country": country } }],
            }))
            .await;
        id(&answer.data()["grantConsent"]["consent"])
    }
}

impl World {
    /// A new organisation; answers its id.
    pub async fn organization(&self, name: &str, country: &str) -> String {
        let admin = self.first_admin().await;
        let answer = admin.creates_organization(name, country).await;
        id(&answer.data()["createOrganization"]["organization"])
    }

    /// A doctor belongs to an organisation from now on; answers the membership's id.
    pub async fn joins(&self, doctor: &Person, organization: &str) -> String {
        let admin = self.first_admin().await;
        let answer = admin.adds_member(organization, doctor, json!({})).await;
        id(&answer.data()["addMember"]["membership"])
    }
}
