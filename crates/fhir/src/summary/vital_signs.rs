//! `VITAL_SIGNS`: what was measured, and when.

use super::measurement::{Measurement, measurement};
use super::parts::Parts;
use super::silent;

/// What `VITAL_SIGNS` say.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VitalSignsSummary {
    /// Each `Observation`. A blood pressure has systolic and diastolic among its components.
    pub measurements: Vec<Measurement>,
}

silent!(VitalSignsSummary);

impl VitalSignsSummary {
    pub(super) fn of(parts: &Parts<'_>) -> Self {
        Self {
            measurements: parts.all("Observation").map(measurement).collect(),
        }
    }
}
