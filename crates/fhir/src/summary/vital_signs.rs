//! `VITAL_SIGNS`: what was measured, and when.

use super::measurement::{Measurement, measurement};
use super::parts::Parts;
use super::silent::silent;

/// What `VITAL_SIGNS` say.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VitalSignsSummary {
    /// Each `Observation`. A blood pressure has systolic and diastolic among its components.
    pub measurements: Vec<Measurement>,
    /// What can turn the rest into its opposite and has no field of its own here, such as
    /// `Observation.modifierExtension(http://…)`: who cannot read it reads the document.
    pub unsupported_modifiers: Vec<String>,
}

silent!(VitalSignsSummary);

impl VitalSignsSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        Self {
            unsupported_modifiers: Vec::new(), // `summarise` knows the whole document
            measurements: parts.all("Observation").map(measurement).collect(),
        }
    }
}
