//! An api somewhere, as the commands that bring records in and take them out reach it: with a token from a
//! file, and again where the line broke.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, redirect};
use serde_json::Value;

use super::output::{Failure, fail, note};

use crate::{authenticate::AUDIT_PROMISE, codes::ErrorCode};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the api may be silent.
pub(super) const SILENT_FOR: Duration = Duration::from_secs(60);
/// How long no pause between two tries is longer than.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where the api is, and as whom to speak.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// Where the api answers, such as <https://records.example.org>
    #[arg(long, env = "MEDITRUSTAL_URL")]
    url: String,

    /// A file that holds an access token, as `logIn` gives it; read again whenever the token has expired
    #[arg(long, env = "MEDITRUSTAL_TOKEN_FILE")]
    token_file: PathBuf,

    /// Why, such as TREAT; by default PATRQT for your own, TREAT for a doctor
    #[arg(long)]
    pub(super) purpose: Option<String>,

    /// A file to keep what the api promises of its audit trail in, behind what is there: `meditrustal audit verify --promises` and
    /// `auditPromise` compare it with the trail
    #[arg(long)]
    promises: Option<PathBuf>,

    /// How often it is tried without getting any further, the longer apart the more often
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tries: u32,
}

impl Remote {
    /// What speaks to it.
    pub(super) fn connect(self) -> Result<ApiConnection, Failure> {
        self.connect_by(client().read_timeout(SILENT_FOR))
    }

    /// The same for uploads: behind a proxy the answer begins when all has arrived, however long that takes.
    pub(super) fn connect_for_uploads(self) -> Result<ApiConnection, Failure> {
        self.connect_by(client())
    }

    fn connect_by(self, client: ClientBuilder) -> Result<ApiConnection, Failure> {
        Ok(ApiConnection {
            remote: self,
            client: client.build()?,
            token: None,
            fruitless: 0,
        })
    }
}

fn client() -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls::client())
        .connect_timeout(CONNECT_WITHIN)
        // A token goes nowhere but where it was meant for.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("meditrustal/", env!("CARGO_PKG_VERSION")))
}

/// A line to the api.
pub(super) struct ApiConnection {
    pub(super) remote: Remote,
    client: Client,
    /// The token that was sent last.
    token: Option<String>,
    /// How often in a row nothing came of it.
    fruitless: u32,
}

/// Why something has to be asked for again.
#[derive(Debug)]
pub(super) struct RetryAfter {
    why: String,
    pause: Option<Duration>,
    needs_token: bool,
}

impl RetryAfter {
    /// The line broke, or the api said that it cannot go on.
    pub(super) fn after(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            pause: None,
            needs_token: false,
        }
    }

    /// What an api said that ended early; an error for what trying again does not mend.
    pub(super) fn ended(code: &str, message: &str) -> Result<Self, Failure> {
        let again = Self::after(format!("{message} ({code})"));
        match ErrorCode::of(code) {
            Some(ErrorCode::Unavailable | ErrorCode::Busy | ErrorCode::Timeout) => Ok(again),
            Some(
                ErrorCode::TokenExpired | ErrorCode::SessionEnded | ErrorCode::Unauthenticated,
            ) => Ok(Self {
                needs_token: true,
                ..again
            }),
            _ => Err(again.why.into()),
        }
    }
}

impl ApiConnection {
    /// A request, with the token that is in the file now.
    pub(super) fn request(
        &mut self,
        request: impl FnOnce(&Client, String) -> RequestBuilder,
        path: &str,
    ) -> Result<RequestBuilder, Failure> {
        let file = &self.remote.token_file;
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(format!("{} is empty: put an access token into it", file.display()).into());
        }
        self.token = Some(token.to_owned());
        let url = format!("{}{path}", self.remote.url.trim_end_matches('/'));
        let request = request(&self.client, url).bearer_auth(token);
        Ok(match self.remote.promises {
            Some(_) => request.header(AUDIT_PROMISE, "true"),
            None => request,
        })
    }

    /// Keeps what the api promises, where that is wanted.
    pub(super) fn keep(&self, promised: &str) -> Result<(), Failure> {
        let Some(path) = &self.remote.promises else {
            return Ok(());
        };
        let mut options = std::fs::OpenOptions::new();
        let opened = options.create(true).append(true).open(path);
        let written = opened.and_then(|mut file| writeln!(file, "{promised}"));
        written.map_err(|error| {
            format!("promises cannot be kept in {}: {error}", path.display()).into()
        })
    }

    /// Sends it. An inner error may be tried again.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<Result<Response, RetryAfter>, Failure> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(format!("--url cannot be used: {error}").into());
            }
            Err(error) => return Ok(Err(RetryAfter::after(in_words(&error)))),
        };
        let promised = response.headers().get(AUDIT_PROMISE);
        if let Some(promised) = promised.and_then(|promised| promised.to_str().ok()) {
            self.keep(promised)?;
        }
        let status = response.status();
        if status.is_success() {
            return Ok(Ok(response));
        }
        let seconds = response.headers().get("retry-after");
        let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let (code, message) = error_of(response).await;
        let mut again = match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                RetryAfter::after(format!("{message} ({code})"))
            }
            StatusCode::UNAUTHORIZED => {
                RetryAfter::ended(ErrorCode::Unauthenticated.as_str(), &message)?
            }
            _ => return Err(format!("the api refused: {message} ({code})").into()),
        };
        again.pause = seconds.map(Duration::from_secs);
        Ok(Err(again))
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// Where it makes no sense to try again; says what to do instead.
    pub(super) async fn wait(
        &mut self,
        again: RetryAfter,
        has_come_further: bool,
    ) -> Result<(), Failure> {
        let RetryAfter {
            why,
            pause,
            needs_token,
        } = again;
        if needs_token && !self.has_new_token() {
            let file = self.remote.token_file.display();
            let text = format!(
                "{why}: log in again, put the new access token into {file}, and run this again"
            );
            return Err(text.into());
        }
        self.fruitless = if has_come_further {
            1
        } else {
            self.fruitless + 1
        };
        let tries = self.remote.tries;
        if self.fruitless > tries {
            return Err(format!("{why}: gave up after {tries} tries without getting any further; run this again later").into());
        }
        let usual = Duration::from_secs(1 << self.fruitless.min(5)).min(LONGEST_PAUSE);
        let pause = pause.unwrap_or(usual / 2);
        note(&format!("{why}; trying again in {} s", pause.as_secs_f32()));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn has_new_token(&self) -> bool {
        let text = std::fs::read_to_string(&self.remote.token_file).unwrap_or_default();
        !text.trim().is_empty() && Some(text.trim()) != self.token.as_deref()
    }
}

/// How a command ends: 0, or 1 where this many records were left aside; 2 where it did not come to an end,
/// after it was told why.
pub(super) fn exit_code(left_aside: Result<u64, Failure>) -> ExitCode {
    match left_aside {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            fail(error.as_ref());
            ExitCode::from(2)
        }
    }
}

/// The code and the text of a refusal.
async fn error_of(response: Response) -> (String, String) {
    let status = response.status();
    let body: Value = match response.text().await {
        Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let error = &body["errors"][0];
    let text = |value: &Value, other: String| value.as_str().map_or(other, str::to_owned);
    (
        text(&error["extensions"]["code"], status.as_str().to_owned()),
        text(&error["message"], format!("the answer was {status}")),
    )
}

/// Why a request came to nothing, without the address it went to.
pub(super) fn in_words(error: &reqwest::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    format!("the line to the api broke: {deepest}")
}
