//! Organisations, and who belongs to them, in the schema.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use domain::{
    countries::{Country, InvalidCountry, UnassignedCountry},
    ids::{MembershipId, OrganizationId, UserId},
    organizations::{InvalidOrganizationName, OrganizationName},
    users::words,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    list,
    members::{self, NewMember},
    shown::Organization,
    write::{self, OrganizationChange},
};
use crate::{
    cursor::{Cursor, ListCursors},
    error::{Error, both},
    graphql::{asks_nodes_for, loaders, payload::Payload, request},
    page::{self, Connection, CountedConnection, PageArguments, asks_total},
    users::memberships::Membership,
};

#[derive(Default)]
pub(crate) struct OrganizationQuery;

#[Object]
impl OrganizationQuery {
    /// Organisations whose name fits `search`, newest first, to name one in a consent. Open to every account. Searching is
    /// recorded in the audit trail. The list is read forward alone, because organisations that are not as they were sealed are
    /// left out, and a page ends after `first` candidates.
    ///
    /// Error codes: `BAD_USER_INPUT` (`search`).
    async fn organizations(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The beginnings of words of the name, in any order, at least 2 letters or digits in all and at most 50 characters; all organisations without it."
        )]
        search: Option<String>,
        #[graphql(desc = "How many nodes the page has at most, 1 to 100.", default = 20)]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
    ) -> Result<Connection<Organization>> {
        let (app, caller) = request(ctx)?;
        let arguments = json!([search.as_deref().map(words)]);
        let cursors = ListCursors::of(&app.index_key, "organizations", caller.user, &arguments);
        let (size, from) = page::place(&cursors, first, after.as_ref())?;
        let search = search.as_deref();
        let found = list::search(&app.pool, &app.seals, &caller, search, from, size).await?;
        let end = found.end.map(|end| cursors.at(&end));
        let shown = found.shown.into_iter().map(Arc::new).map(Organization::new);
        let page = Connection::whole(
            shown.collect(),
            found.has_next,
            after.is_some(),
            |it: &Organization| cursors.at(&it.page_key()),
        );
        Ok(page.looked_up_to(end))
    }

    /// Who belongs to an organisation, and who did, newest membership first. Needs the role ADMIN. Reading them is recorded in
    /// the audit trail.
    ///
    /// Error codes: `FORBIDDEN` for all but administrators.
    async fn organization_members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the organisation.")] organization_id: Uuid,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100; 20 where neither `first` nor `last` is given."
        )]
        first: Option<i32>,
        #[graphql(desc = "The cursor after which the page begins; the first page without it.")]
        after: Option<Cursor>,
        #[graphql(
            desc = "How many nodes the page has at most, 1 to 100, where it is read backward: the last ones of the list, or those before `before`."
        )]
        last: Option<i32>,
        #[graphql(
            desc = "The cursor before which the page ends, where it is read backward; the end of the list without it."
        )]
        before: Option<Cursor>,
    ) -> Result<CountedConnection<Membership>> {
        let (app, caller) = request(ctx)?;
        let arguments = json!([organization_id]);
        let name = "organizationMembers";
        let cursors = ListCursors::of(&app.index_key, name, caller.user, &arguments);
        let asked = PageArguments {
            first,
            after,
            last,
            before,
        };
        let range = asked.range::<(DateTime<Utc>, Uuid)>(&cursors)?;
        let id = OrganizationId(organization_id);
        let is_counted = asks_total(ctx);
        let found = members::list(&app.pool, &app.seals, &caller, id, range, is_counted).await?;
        if asks_nodes_for(ctx, &["doctor"]) {
            let people = found.rows.iter().map(|(membership, _)| membership.doctor);
            loaders(ctx)?.prepare_users(people.collect()).await;
        }
        let members = found.rows.into_iter().map(Membership::new).collect();
        let page = Connection::of_range(members, &range, |it: &Membership| {
            cursors.at(&it.page_key())
        });
        Ok(page.counted(found.total))
    }
}

/// Those of these organisations that are as they were sealed.
///
/// # Errors
/// As of the list of them.
pub(crate) async fn by_ids(
    ctx: &Context<'_>,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Organization)>, Error> {
    let (app, caller) = request(ctx)?;
    let ids: Vec<OrganizationId> = ids.iter().copied().map(OrganizationId).collect();
    let found = list::by_ids(&app.pool, &app.seals, &caller, &ids).await?;
    let found = found.into_iter().map(Arc::new);
    Ok(found.map(|it| (it.id.0, Organization::new(it))).collect())
}

/// The data of a new organisation.
#[derive(Debug, InputObject)]
pub(crate) struct CreateOrganizationInput {
    /// The name, 2 to 200 characters, which no other organisation of the country may have.
    name: String,
    /// The country of the organisation, as ISO 3166-1 alpha-2 writes it: two capital letters.
    country: String,
}

/// The result of `createOrganization`: the organisation that was made.
#[derive(Debug, SimpleObject)]
pub(crate) struct CreateOrganizationPayload {
    /// The new organisation, which is active and to which nobody belongs yet.
    organization: Organization,
}

/// What is to be changed of an organisation; what is left out stays as it is.
#[derive(Debug, InputObject)]
pub(crate) struct UpdateOrganizationInput {
    /// The ID of the organisation.
    id: Uuid,
    /// The new name, 2 to 200 characters, which no other organisation of the country may have.
    name: Option<String>,
    /// The new country, as ISO 3166-1 alpha-2 writes it. Consents that name the organisation with another country let nobody
    /// in through it from then on.
    country: Option<String>,
    /// False to deactivate the organisation: consents that name it let nobody in through it from then on.
    is_active: Option<bool>,
}

/// The result of `updateOrganization`: the organisation as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct UpdateOrganizationPayload {
    /// The organisation with its changes.
    organization: Organization,
}

/// Who is to belong to an organisation, and how long.
#[derive(Debug, InputObject)]
pub(crate) struct AddMemberInput {
    /// The ID of the doctor's account.
    doctor_id: Uuid,
    /// The ID of the organisation.
    organization_id: Uuid,
    /// The time from which the doctor belongs to the organisation; now where it is left out.
    from: Option<DateTime<Utc>>,
    /// The time until which the doctor belongs to the organisation, exclusive; null for no end.
    until: Option<DateTime<Utc>>,
}

/// The result of `addMember`: the membership that was added.
#[derive(Debug, SimpleObject)]
pub(crate) struct AddMemberPayload {
    /// The membership as it was added.
    membership: Membership,
}

/// The result of `endMembership`: the membership as it is now.
#[derive(Debug, SimpleObject)]
pub(crate) struct EndMembershipPayload {
    /// The membership with its end.
    membership: Membership,
}

fn name_of(text: &str) -> Result<OrganizationName, Error> {
    let told = |error: InvalidOrganizationName| Error::bad("name", error.to_string());
    OrganizationName::parse(text).map_err(told)
}

fn country_of(text: &str) -> Result<Country, Error> {
    let told = |error: InvalidCountry| Error::bad("country", error.to_string());
    let country: Country = text.parse().map_err(told)?;
    if country.is_assigned() {
        Ok(country)
    } else {
        Err(Error::bad("country", UnassignedCountry.to_string()))
    }
}

#[derive(Default)]
pub(crate) struct OrganizationMutation;

#[Object]
impl OrganizationMutation {
    /// Makes an organisation that consents may name. Open to administrators.
    ///
    /// Error codes: `BAD_USER_INPUT` (`name`, `country`), `CONFLICT` for a name that another organisation of the country
    /// has, `FORBIDDEN` for all but administrators.
    async fn create_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The name and the country of the organisation.")]
        input: CreateOrganizationInput,
    ) -> Result<Payload<CreateOrganizationPayload>> {
        let (app, caller) = request(ctx)?;
        let (name, country) = both(name_of(&input.name), country_of(&input.country))?;
        let made = write::create(&app.pool, &app.seals, &caller, &name, country).await?;
        Ok(Payload(CreateOrganizationPayload {
            organization: Organization::new(Arc::new(made)),
        }))
    }

    /// Changes the name, the country or the state of an organisation. What consents to it let its members do, is decided by
    /// what it is from then on. Open to administrators.
    ///
    /// Error codes: `BAD_USER_INPUT` (`name`, `country`), `CONFLICT` for a name that another organisation of the country
    /// has, `NOT_FOUND`, `BUSY` while doctors become members of it, `FORBIDDEN` for all but administrators.
    async fn update_organization(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The organisation and what is to be changed of it.")]
        input: UpdateOrganizationInput,
    ) -> Result<Payload<UpdateOrganizationPayload>> {
        let (app, caller) = request(ctx)?;
        let (name, country) = both(
            input.name.as_deref().map(name_of).transpose(),
            input.country.as_deref().map(country_of).transpose(),
        )?;
        let change = OrganizationChange {
            name,
            country,
            is_active: input.is_active,
        };
        let id = OrganizationId(input.id);
        let changed = write::update(&app.pool, &app.seals, &caller, id, change).await?;
        Ok(Payload(UpdateOrganizationPayload {
            organization: Organization::new(Arc::new(changed)),
        }))
    }

    /// Makes a doctor a member of an organisation: consents to the organisation let the doctor in while the membership is in
    /// force. Open to administrators.
    ///
    /// Error codes: `BAD_USER_INPUT` (`doctorId` for an account that is no active doctor's, `organizationId` for an
    /// organisation that is inactive or unknown, `from`, `until`), `CONFLICT` where the doctor belongs to the organisation at
    /// that time already, `LIMIT_REACHED` where the doctor has 8 memberships that are not over, or 100 in all, or the organisation 1,000,
    /// `FORBIDDEN` for all but administrators.
    async fn add_member(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The doctor, the organisation and the time.")] input: AddMemberInput,
    ) -> Result<Payload<AddMemberPayload>> {
        let (app, caller) = request(ctx)?;
        let new = NewMember {
            doctor: UserId(input.doctor_id),
            organization: OrganizationId(input.organization_id),
            from: input.from,
            until: input.until,
        };
        let added = members::add(&app.pool, &app.seals, &caller, new).await?;
        Ok(Payload(AddMemberPayload {
            membership: Membership::new((added, true)),
        }))
    }

    /// Ends a membership: from then on consents to the organisation let the doctor in no more. Ending it twice is harmless.
    /// Open to administrators.
    ///
    /// Error codes: `NOT_FOUND`, `FORBIDDEN` for all but administrators.
    async fn end_membership(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the membership.")] id: Uuid,
    ) -> Result<Payload<EndMembershipPayload>> {
        let (app, caller) = request(ctx)?;
        let ended = members::end(&app.pool, &app.seals, &caller, MembershipId(id)).await?;
        Ok(Payload(EndMembershipPayload {
            membership: Membership::new((ended, true)),
        }))
    }
}
