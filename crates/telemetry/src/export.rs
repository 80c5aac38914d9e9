//! Hands finished spans to a collector: OTLP over HTTP, as JSON.
//!
//! Written out because the libraries for it hand over every field of every span of every crate, sqlx's texts of statements
//! among them (`docs/decisions/0065-tenants-and-operations.md`).

use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::traces::FinishedSpan;

/// How often spans are handed over.
const EVERY: Duration = Duration::from_secs(1);
/// How many go into one request.
const AT_ONCE: usize = 512;
/// How long the collector may take, and the program for the last of them.
pub(crate) const WITHIN: Duration = Duration::from_secs(3);

/// The address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no address of a collector of traces, which looks like https://collector.example.org:4318 or http://127.0.0.1:4318"
)]
pub struct InvalidCollector;

/// Reads the address of a collector that this build can speak to. Nobody is asked.
///
/// # Errors
/// [`InvalidCollector`].
pub fn collector_url(text: &str) -> Result<String, InvalidCollector> {
    endpoint(text).map(|_| text.to_owned())
}

/// Where traces are taken: `/v1/traces` below the address.
fn endpoint(url: &str) -> Result<Url, InvalidCollector> {
    let url = format!("{}/v1/traces", url.trim_end_matches('/'));
    let url = Url::parse(&url).map_err(|_| InvalidCollector)?;
    if ["http", "https"].contains(&url.scheme()) && url.has_host() {
        Ok(url)
    } else {
        Err(InvalidCollector)
    }
}

/// Takes spans and hands them over.
#[derive(Debug)]
pub(crate) struct Exporter {
    http: reqwest::Client,
    url: Url,
    service: &'static str,
    finished: mpsc::Receiver<FinishedSpan>,
}

impl Exporter {
    /// To the collector at this address; the program is called `service` there. By https it is believed as [`tls::client`] says.
    pub(crate) fn new(
        url: &str,
        service: &'static str,
        finished: mpsc::Receiver<FinishedSpan>,
    ) -> Result<Self, InvalidCollector> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client())
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| InvalidCollector)?;
        Ok(Self {
            http,
            url: endpoint(url)?,
            service,
            finished,
        })
    }

    /// Hands over what is there, again and again, and a last time when it is told to stop.
    pub(crate) async fn run(mut self, stopping: CancellationToken) {
        let mut is_away = false;
        loop {
            let is_last = tokio::select! {
                () = stopping.cancelled() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            loop {
                let spans = self.waiting();
                if spans.is_empty() {
                    break;
                }
                let was_away = is_away;
                is_away = !self.hand_over(&spans).await;
                match (was_away, is_away) {
                    (false, true) => {
                        tracing::warn!("The collector of traces takes none; they are dropped");
                    }
                    (true, false) => tracing::info!("The collector of traces takes them again"),
                    (true, true) | (false, false) => {}
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn waiting(&mut self) -> Vec<FinishedSpan> {
        let mut spans = Vec::new();
        while spans.len() < AT_ONCE
            && let Ok(span) = self.finished.try_recv()
        {
            spans.push(span);
        }
        spans
    }

    /// Whether the collector took them.
    async fn hand_over(&self, spans: &[FinishedSpan]) -> bool {
        let body = document(self.service, spans);
        let sent = self.http.post(self.url.clone()).json(&body).send().await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }
}

/// `ExportTraceServiceRequest`, by OTLP's rules for JSON: ids are hexadecimal, numbers of 64 bits are texts.
fn document(service: &str, spans: &[FinishedSpan]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": { "attributes": [attribute("service.name", service)] },
            "scopeSpans": [{ "scope": { "name": "meditrustal" }, "spans": spans }],
        }],
    })
}

fn span(span: &FinishedSpan) -> Value {
    let attributes = span.attributes.iter();
    let attributes: Vec<Value> = attributes
        .map(|(name, value)| attribute(name, value))
        .collect();
    json!({
        "traceId": span.trace,
        "spanId": format!("{:016x}", span.id),
        "parentSpanId": span.parent.map(|id| format!("{id:016x}")).unwrap_or_default(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.began.to_string(),
        "endTimeUnixNano": span.ended.to_string(),
        "attributes": attributes,
    })
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_collector_is_one_of_http_or_https() {
        for url in [
            "http://127.0.0.1:4318",
            "http://collector:4318/",
            "https://collector",
        ] {
            let endpoint = endpoint(url).expect("an address");
            assert!(endpoint.path() == "/v1/traces", "{endpoint}");
        }
        for url in ["", "127.0.0.1:4318", "grpc://collector", "file:///tmp"] {
            assert_eq!(collector_url(url), Err(InvalidCollector), "{url}");
        }
    }

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let spans = [FinishedSpan {
            trace: "0193b5a00000700080000000000000aa".to_owned(),
            id: 255,
            parent: Some(1),
            name: "node call",
            kind: 3,
            began: 1,
            ended: 1_000_000_000_000_000_000,
            attributes: vec![("rpc.method", "eth_call".to_owned())],
        }];
        let written = document("meditrustal", &spans);

        let written = &written["resourceSpans"][0];
        let service = json!([{ "key": "service.name", "value": { "stringValue": "meditrustal" } }]);
        assert_eq!(written["resource"]["attributes"], service);
        let expected = json!({
            "traceId": "0193b5a00000700080000000000000aa",
            "spanId": "00000000000000ff",
            "parentSpanId": "0000000000000001",
            "name": "node call",
            "kind": 3,
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "1000000000000000000",
            "attributes": [{ "key": "rpc.method", "value": { "stringValue": "eth_call" } }],
        });
        assert_eq!(written["scopeSpans"][0]["spans"], json!([expected]));
    }
}
