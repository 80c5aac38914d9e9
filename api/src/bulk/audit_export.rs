//! `GET /audit/export`: the audit trail as FHIR `AuditEvent`s, one in a line: what is about the caller, or, to an administrator,
//! everything.

use std::str::FromStr;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use fhir::Severity;
use tracing::Instrument as _;

use super::{
    Disconnected, Ending, ResponseBody, TRIES, Transfer, TransferRefused,
    export::{LAST_WORD, outcome},
    query::QueryParameters,
    transfer_request::TransferRequest,
    wait_where_busy,
};
use crate::{
    audit::events::{EventExport, Period},
    wire::UNBUFFERED,
};

/// Whose rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Those about the caller's own data.
    Own,
    /// All.
    Everybodys,
}

impl FromStr for Whose {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "own" => Ok(Self::Own),
            "everybody" => Ok(Self::Everybodys),
            _ => Err(()),
        }
    }
}

/// Answers with the events that the caller may take out.
pub(crate) async fn answer(request: TransferRequest) -> Response {
    let asking = request.clone();
    let begun = async move {
        let transfer = Transfer::begin(&asking, |room| &room.exports).await?;
        let (whose, period) = asked(asking.query.as_deref())?;
        let everybodys = whose == Whose::Everybodys;
        let (pool, caller) = (&transfer.app.pool, &transfer.caller);
        let export = EventExport::begin(pool, caller, period, everybodys).await?;
        Ok::<_, TransferRefused>((transfer, export))
    };
    match request.finish(begun).await {
        Ok((transfer, export)) => {
            let promised = request.promised(false).await;
            let (output, answer) = ResponseBody::new();
            let run = EventRun {
                transfer,
                export,
                output,
            };
            tokio::spawn(run.run().in_current_span());
            let kind = [(header::CONTENT_TYPE, "application/fhir+ndjson")];
            (UNBUFFERED, kind, promised, answer).into_response()
        }
        Err(refused) => request.refuse(&refused).await,
    }
}

fn asked(query: Option<&str>) -> Result<(Whose, Period), TransferRefused> {
    let mut asked = QueryParameters::read(query)?;
    let whose = asked.parse("of", "`of` is own or everybody");
    let period = Period {
        from: asked.time("from"),
        to: asked.time("to"),
    };
    let period = asked.finish(Some(period))?;
    Ok((whose.unwrap_or(Whose::Own), period))
}

/// One export.
struct EventRun {
    transfer: Transfer,
    export: EventExport,
    output: ResponseBody,
}

impl EventRun {
    async fn run(mut self) {
        if let Err(Some(over)) = self.work().await {
            let mut said = outcome(Severity::Fatal, over.code, &over.message);
            said.push(b'\n');
            if self.output.write(said).await.is_ok() {
                tokio::time::sleep(LAST_WORD).await;
                self.output.abort().await;
            }
        }
    }

    /// Sends all of it; or why it ends before, unless nobody listens any more.
    async fn work(&mut self) -> Result<(), Option<Ending>> {
        let Self {
            transfer,
            export,
            output,
        } = self;
        let mut left = TRIES;
        loop {
            let lines = tokio::select! {
                biased;
                over = transfer.over() => return Err(Some(over)),
                () = output.disconnected() => return Err(None),
                lines = export.lines(&transfer.app.pool, &transfer.caller) => lines,
            };
            let lines = match lines {
                Ok(Some(lines)) => lines,
                Ok(None) => return Ok(()),
                Err(error) => {
                    left = tokio::select! {
                        biased;
                        over = transfer.over() => return Err(Some(over)),
                        () = output.disconnected() => return Err(None),
                        again = wait_where_busy(error, left) => again?,
                    };
                    continue;
                }
            };
            left = TRIES;
            let room = tokio::select! {
                biased;
                over = transfer.over() => return Err(Some(over)),
                room = output.room() => room.map_err(|Disconnected| None)?,
            };
            output.output(lines.len());
            room.send(Ok(lines.into()));
        }
    }
}
