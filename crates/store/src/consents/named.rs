//! By which values of `third_parties` a consent names somebody: the rule of `domain::access::decide` about grantees, for
//! statements. A consent that lets in names its organisation with its country, a refusal names it wherever it is.

use domain::{
    access::Actor,
    consents::Grantee,
    ids::{OrganizationId, UserId},
    organizations::{CurrentMembership, OrganizationReach},
};
use serde_json::{Value, json};

/// What `third_parties` contains of consents that name an actor.
pub(crate) struct NamedActor {
    /// Of consents that let the actor in.
    pub(crate) admitted: Vec<Value>,
    /// Of consents that let the actor in if they allow TRANSFER.
    pub(crate) admitted_abroad: Vec<Value>,
    /// Of refusals that keep the actor out; where the actor left an organisation, also of those that were given afterwards
    /// and do not.
    pub(crate) refused: Vec<Value>,
}

impl NamedActor {
    pub(crate) fn of(actor: &Actor) -> Self {
        let in_person = json!([Grantee::User { id: actor.id }]);
        let by_role = json!([Grantee::Role { role: actor.role }]);
        let through = |reach| {
            let memberships = actor.memberships.all();
            let open = memberships.filter(move |it| it.reach == reach);
            open.map(with_country).collect::<Vec<Value>>()
        };
        let mut refused = vec![in_person.clone(), by_role.clone()];
        if actor.memberships.some_unknown() || actor.memberships.left_others() {
            refused.push(json!([{ "kind": "org" }]));
        }
        refused.extend(actor.memberships.all().map(|it| anywhere(it.organization)));
        refused.extend(actor.memberships.left().map(|(it, _)| anywhere(it)));
        let mut admitted = vec![in_person, by_role];
        admitted.extend(through(OrganizationReach::Home));
        Self {
            admitted,
            admitted_abroad: through(OrganizationReach::Abroad),
            refused,
        }
    }

    /// Of consents that may let the actor in.
    pub(crate) fn lets_in(&self) -> Vec<Value> {
        let all = self.admitted.iter().chain(&self.admitted_abroad);
        all.cloned().collect()
    }
}

/// What `third_parties` contains of consents that name this person, or anybody by a role: of whoever it is not known yet which
/// role they have.
pub(crate) fn person_or_role(person: UserId) -> Vec<Value> {
    vec![
        json!([Grantee::User { id: person }]),
        json!([{ "kind": "role" }]),
    ]
}

fn with_country(membership: &CurrentMembership) -> Value {
    json!([Grantee::Org {
        id: membership.organization,
        country: membership.country.to_string(),
    }])
}

fn anywhere(organization: OrganizationId) -> Value {
    json!([{ "kind": "org", "id": organization }])
}
