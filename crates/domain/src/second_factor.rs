//! The second factor: who must have one, and what is known of one. Codes and secrets are `vault`'s.

use chrono::{DateTime, Utc};

use crate::{text::text_enum, users::Role};

text_enum! {
    /// For what the operator may ask for a second factor.
    Occasion {
        /// All that is an administrator's.
        Admins = "admins",
        /// Breaking the glass.
        BreakGlass = "break-glass",
    }
}

/// For what the operator does ask for a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Requirement {
    /// All that is an administrator's.
    pub of_admins: bool,
    /// Breaking the glass.
    pub to_break_glass: bool,
}

impl Requirement {
    /// The requirement made of these occasions.
    pub fn on(occasions: &[Occasion]) -> Self {
        Self {
            of_admins: occasions.contains(&Occasion::Admins),
            to_break_glass: occasions.contains(&Occasion::BreakGlass),
        }
    }

    /// Whether somebody of this role must have one before anything else.
    pub const fn is_for(self, role: Role) -> bool {
        match role {
            Role::Admin => self.of_admins,
            Role::Patient | Role::Doctor => false,
        }
    }
}

/// What somebody may know of their own second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FactorState {
    /// When it was begun; `None` where there is none.
    pub started_at: Option<DateTime<Utc>>,
    /// Since when it is asked for; `None` until its first code.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// How many recovery codes have not been used.
    pub recovery_codes_left: u32,
}

/// How many recovery codes there are: as many as fit on a card.
pub const RECOVERY_CODES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_required_and_only_of_administrators() {
        let table = [
            ([].as_slice(), [false, false, false], false),
            (&[Occasion::Admins], [false, false, true], false),
            (&[Occasion::BreakGlass], [false, false, false], true),
            (
                &[Occasion::BreakGlass, Occasion::Admins],
                [false, false, true],
                true,
            ),
        ];
        for (occasions, roles, to_break_glass) in table {
            let requirement = Requirement::on(occasions);
            let found = [Role::Patient, Role::Doctor, Role::Admin].map(|r| requirement.is_for(r));
            assert_eq!(found, roles, "{occasions:?}");
            assert_eq!(requirement.to_break_glass, to_break_glass);
        }
    }
}
