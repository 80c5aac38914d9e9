//! The events that both registries have: of pausing, of roles and of the administrator.

/// What the fields of these events become, of the bindings of one registry.
macro_rules! administrative_events {
    ($bound:ident) => {
        impl From<$bound::PausedSet> for RegistryEvent {
            fn from(e: $bound::PausedSet) -> Self {
                Self::PausedSet {
                    paused: e.paused,
                    by: e.by.into(),
                }
            }
        }

        impl From<$bound::RoleChanged> for RegistryEvent {
            fn from(e: $bound::RoleChanged) -> Self {
                Self::RoleChanged {
                    role: e.role.0,
                    account: e.account.into(),
                    by: e.by.into(),
                    granted: e.granted,
                }
            }
        }

        impl TryFrom<$bound::AdminStepTaken> for RegistryEvent {
            type Error = String;

            fn try_from(e: $bound::AdminStepTaken) -> Result<Self, String> {
                Ok(Self::AdminStepTaken {
                    step: AdminStep::of(e.step)?,
                    account: e.account.into(),
                    by: e.by.into(),
                    delay: e.delay.to(),
                    schedule: e.schedule.to(),
                })
            }
        }
    };
}
pub(super) use administrative_events;
