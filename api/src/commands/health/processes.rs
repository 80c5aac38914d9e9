//! What the processes say of themselves.

use std::time::Duration;

use domain::monitoring::{CheckName, HealthCheck};
use reqwest::{StatusCode, redirect};
use serde_json::Value;

use super::CheckHealth;

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

impl CheckHealth {
    pub(super) async fn processes(&self) -> Vec<HealthCheck> {
        let asked = [
            (CheckName::ApiProcess, &self.api_url),
            (CheckName::IndexerProcess, &self.indexer_url),
        ];
        let mut checks = Vec::new();
        for (name, url) in asked {
            if let Some(url) = url {
                checks.push(process(name, url).await);
            }
        }
        checks
    }
}

async fn process(name: CheckName, url: &str) -> HealthCheck {
    // Neither its address nor what it answers is shown as it came.
    match ask(url).await {
        Ok((StatusCode::OK, _)) => HealthCheck::ok(name, "it is ready"),
        Ok((status, said)) => {
            let failing = said["failing"].as_object().map(|parts| {
                let parts: Vec<_> = parts.keys().map(String::as_str).collect();
                format!("failing: {}", parts.join(", "))
            });
            let halted = said["halted"].as_str().map(|why| format!("halted: {why}"));
            let reason = failing
                .or(halted)
                .unwrap_or_else(|| format!("it answers {}", status.as_u16()));
            HealthCheck::critical(name, format!("it is not ready: {reason}"))
        }
        Err(_) => HealthCheck::critical(name, "it does not answer"),
    }
}

async fn ask(url: &str) -> Result<(StatusCode, Value), reqwest::Error> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client())
        .timeout(ANSWER_WITHIN)
        .redirect(redirect::Policy::none())
        .build()?;
    let address = format!("{}/health/ready", url.trim_end_matches('/'));
    let answer = client.get(address).send().await?;
    let status = answer.status();
    Ok((status, answer.json().await.unwrap_or_default()))
}
