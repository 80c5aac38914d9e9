//! For how long the certificate is in force by which clients believe the api, or the proxy before it.

use std::path::Path;

use chrono::{DateTime, Utc};
use domain::{
    clock::Clock,
    monitoring::{CERTIFICATE_LEFT, CheckName, HealthCheck},
};

use super::{CheckHealth, span};

/// How long a day is. Unit: seconds.
const DAY: f64 = 86_400.0;

impl CheckHealth {
    pub(super) fn certificate(&self) -> Option<HealthCheck> {
        let file = self.tls_cert_file.as_deref()?;
        Some(left(file, Clock::System.now()))
    }
}

fn left(file: &Path, now: DateTime<Utc>) -> HealthCheck {
    let name = CheckName::Certificate;
    let end = match tls::in_force_until(file) {
        Ok(end) => end,
        Err(error) => return HealthCheck::warning(name, error.to_string()),
    };
    let seconds = (end - now).as_seconds_f64();
    let found = if seconds < 0.0 {
        format!("it was over {} ago, at {end}", span(-seconds))
    } else {
        format!("it is in force for {} more, until {end}", span(seconds))
    };
    HealthCheck::at_least(name, seconds / DAY, CERTIFICATE_LEFT, found)
}
