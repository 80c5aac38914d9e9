//! What a program logs, and the traces that it hands to a collector.
//!
//! Both leave the process, so neither holds a value of a statement, the text of one, an id of a person or anything of a record.
//! A statement is named by its first words and by the beginning of its file's name in `.sqlx`. What stands in a trace is a
//! closed list ([`traces`]): nothing that is logged elsewhere can get into one.

mod export;
mod log_file;
mod statement;
mod traces;

use std::{io, path::PathBuf, sync::Arc};

use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    fmt::{self, writer::BoxMakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

pub use self::export::{InvalidCollector, collector_url};
use self::{
    export::Exporter,
    log_file::LogFile,
    statement::{STATEMENTS, SlowStatements},
    traces::Traces,
};

/// What to log, and where to.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// A level, or `tracing`'s filter syntax; `info` where it is neither.
    pub filter: String,
    /// One JSON object a line, for machines.
    pub is_json: bool,
    /// Instead of the standard error.
    pub file: Option<PathBuf>,
    /// What collects traces, such as `http://127.0.0.1:4318`; without it there are none.
    pub collector: Option<String>,
    /// What this program is called there.
    pub service: &'static str,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file's.
    #[error("MEDITRUSTAL_LOG_FILE: {} cannot be written", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The collector's address.
    #[error("MEDITRUSTAL_OTLP_URL cannot be used")]
    Collector(#[from] InvalidCollector),
}

/// What goes on while a program runs: the file is opened again on SIGHUP, and traces are handed over.
#[derive(Debug)]
#[must_use = "nothing of it goes on before `begin`"]
pub struct Telemetry {
    file: Option<Arc<LogFile>>,
    exporter: Option<Exporter>,
}

/// What goes on, until it is ended.
#[derive(Debug)]
pub struct RunningTelemetry {
    stopping: CancellationToken,
    exporting: Option<tokio::task::JoinHandle<()>>,
}

/// Whether it is a statement that took too long, as sqlx tells it: with its text.
fn is_slow_statement(what: &Metadata<'_>) -> bool {
    what.target() == STATEMENTS && *what.level() == Level::WARN
}

/// Starts logging. Once in a process.
///
/// # Errors
/// [`StartError`]; nothing is logged then.
pub fn start(settings: &LogSettings) -> Result<Telemetry, StartError> {
    let file = settings.file.clone().map(|path| {
        let opened = LogFile::open(path.clone());
        opened.map_err(|source| StartError::File { path, source })
    });
    let file = file.transpose()?.map(Arc::new);
    let writer = match &file {
        Some(file) => BoxMakeWriter::new(Arc::clone(file)),
        None => BoxMakeWriter::new(io::stderr),
    };
    let lines = fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if settings.is_json {
        lines.json().boxed()
    } else {
        lines.with_ansi(false).boxed()
    };
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let others = filter_fn(|what| !is_slow_statement(what)).with_max_level_hint(LevelFilter::TRACE);
    let lines = lines.with_filter(filter.and(others));

    let slow = filter_fn(is_slow_statement).with_max_level_hint(LevelFilter::WARN);
    let (traces, exporter) = match &settings.collector {
        Some(url) => {
            let (traces, finished) = Traces::new();
            (
                Some(traces),
                Some(Exporter::new(url, settings.service, finished)?),
            )
        }
        None => (None, None),
    };
    let in_traces = filter_fn(traces::is_traced).with_max_level_hint(LevelFilter::DEBUG);
    tracing_subscriber::registry()
        .with(lines)
        .with(SlowStatements.with_filter(slow))
        .with(traces.map(|traces| traces.with_filter(in_traces)))
        .init();
    Ok(Telemetry { file, exporter })
}

impl Telemetry {
    /// Begins what goes on while the program runs, in the runtime of the caller.
    ///
    /// # Errors
    /// Where the program cannot be told by signals.
    pub fn begin(self) -> io::Result<RunningTelemetry> {
        let stopping = CancellationToken::new();
        if let Some(file) = self.file {
            file.reopen_on_hangup(stopping.clone())?;
        }
        let exporting = self.exporter.map(|exporter| {
            let stop = stopping.clone();
            tokio::spawn(exporter.run(stop))
        });
        Ok(RunningTelemetry {
            stopping,
            exporting,
        })
    }
}

impl RunningTelemetry {
    /// Hands over what is left. Takes a few seconds at most.
    pub async fn end(self) {
        self.stopping.cancel();
        if let Some(exporting) = self.exporting {
            // What did not get there is lost; the program ends all the same.
            tokio::time::timeout(export::WITHIN, exporting).await.ok();
        }
    }
}
