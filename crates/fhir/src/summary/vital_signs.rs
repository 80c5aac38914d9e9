//! `VITAL_SIGNS`: what was measured, and when.

use super::elements::Period;
use super::measurement::{Measurement, measurement};
use super::parts::Parts;
use super::silent::silent;

/// What `VITAL_SIGNS` say.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct VitalSignsSummary {
    /// What it is about, in words, with each state that is not the usual one: what a list shows of it.
    pub title: Option<String>,
    /// The latest date that it is about, as the document gives it.
    pub date: Option<String>,
    /// The period that this date belongs to, as the document gives it; `None` where it is no part of one.
    pub date_period: Option<Period>,
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
            // `summarise` knows the whole document.
            title: None,
            date: None,
            date_period: None,
            unsupported_modifiers: Vec::new(),
            measurements: parts.all("Observation").map(measurement).collect(),
        }
    }
}
