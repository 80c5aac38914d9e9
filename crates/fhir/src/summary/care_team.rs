//! A `CareTeam`: who looks after somebody, what for and since when.

use super::elements::{Concept, Party, Period};
use super::parts::Part;
use super::prescription::reasons;
use super::silent::silent;

/// A `CareTeam`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CareTeam {
    /// `name`.
    pub name: Option<String>,
    /// `status`: proposed, active, suspended, inactive, entered-in-error.
    pub status: Option<String>,
    /// `category`: of one event, of one condition, …
    pub categories: Vec<Concept>,
    /// `period`.
    pub period: Option<Period>,
    /// `reasonCode`, then `reasonReference` in words: what there is a team for.
    pub reasons: Vec<Concept>,
    /// `participant`.
    pub members: Vec<CareTeamMember>,
    /// `managingOrganization`.
    pub organizations: Vec<Party>,
}

/// Somebody of a team.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CareTeamMember {
    /// `role`.
    pub roles: Vec<Concept>,
    /// `member`.
    pub member: Option<Party>,
    /// `onBehalfOf`.
    pub on_behalf_of: Option<Party>,
    /// `period`.
    pub period: Option<Period>,
}

silent!(CareTeam, CareTeamMember);

pub(super) fn care_team(team: Part<'_>) -> CareTeam {
    CareTeam {
        name: team.written("name"),
        status: team.written("status"),
        categories: team.concepts("category").collect(),
        period: team.period("period"),
        reasons: reasons(team),
        members: team.items("participant").map(member).collect(),
        organizations: team.parties("managingOrganization").collect(),
    }
}

fn member(participant: Part<'_>) -> CareTeamMember {
    CareTeamMember {
        roles: participant.concepts("role").collect(),
        member: participant.party("member"),
        on_behalf_of: participant.party("onBehalfOf"),
        period: participant.period("period"),
    }
}
