//! Many records, or rows of the trail, over plain HTTP: `POST /import`, `GET /export`, `GET /audit/export` and `GET /my-data`; and files
//! of records, `/records/{id}/attachments/{n}`. All stream, take long,
//! and obey what every stream obeys: they hold a permit, end with their token and their log-in, and stop where
//! the other side takes or gives nothing.
//!
//! What an entry comes to and what may be taken out is `records`' to say; this is the way there.

pub(crate) mod attachments;
pub(crate) mod audit_export;
pub(crate) mod compression;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod my_data;
mod query;
mod spool;
pub(crate) mod tar;
mod transfer_request;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::{ids::UserId, throttle::Network};
use futures::{StreamExt as _, stream};
use store::Pool;
use tokio::{sync::mpsc, time::Instant};

use self::transfer_request::TransferRequest;
use crate::{
    app::App,
    caller::{Caller, RequestContext, audit_second_factor_refusal},
    codes::{ErrorCode, ServiceLimit},
    cors,
    cost_limit::STREAM_COST,
    error::Error,
    lease::{Lease, LeaseEnd, LeaseRefused},
    limits::{NoRoom, OF_ACCOUNT, Room, RoomPermit, Transfers},
    party::Party,
    rejected::{InvalidField, Rejected},
    schema::Schema,
    wire::{MediaType, refuse},
};

/// When to ask again where all of them are taken. Unit: seconds.
const TRY_AGAIN: u32 = 5;
/// How long the other side may take to accept a piece, or to send one; and how long it may let us wait in
/// all, besides a second for each [`PER_SECOND`] bytes of what matters.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much the other side takes or sends at least. Unit: bytes in a second.
const PER_SECOND: u64 = 1024;
/// How often something is asked for again where it is busy.
const TRIES: u32 = 5;
/// How many pieces wait for the other side.
const WAITING: usize = 4;
/// How much of a body that is refused is read, and for how long: whoever is still sending would
/// otherwise lose the answer. Unit: bytes.
const PASSED_OVER: usize = 1 << 20;
const PASS_OVER_FOR: Duration = Duration::from_secs(2);

/// How long the other side has let us wait, and how much came of it.
#[derive(Debug, Default)]
struct Waits {
    waited: Duration,
    bytes: u64,
}

impl Waits {
    /// How long it may let us wait now.
    fn left(&self) -> Duration {
        let earned = Duration::from_millis(self.bytes.saturating_mul(1000) / PER_SECOND);
        let left = (PATIENCE + earned).saturating_sub(self.waited);
        left.min(PATIENCE)
    }
}

/// Why nothing was begun.
#[derive(Debug)]
struct TransferRefused {
    status: StatusCode,
    refusal: Rejected,
    retry_after: Option<u32>,
}

impl TransferRefused {
    fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            refusal: Rejected::new(code, message),
            retry_after: None,
        }
    }

    /// The answer.
    fn answer(&self, schema: &Schema, context: &RequestContext) -> Response {
        let mut response = refuse(schema, &self.refusal, context, self.status, MediaType::Json);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Error> for TransferRefused {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Unauthenticated | Error::TokenExpired | Error::SessionEnded => {
                StatusCode::UNAUTHORIZED
            }
            Error::SecondFactorRequired
            | Error::SecondFactorMissing
            | Error::Forbidden(_)
            | Error::CsrfProofMissing
            | Error::WrongCredentials => StatusCode::FORBIDDEN,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::BadInput { .. } | Error::Document(_) => StatusCode::BAD_REQUEST,
            Error::Conflict { .. } | Error::LimitReached { .. } | Error::Integrity(_) => {
                StatusCode::CONFLICT
            }
            Error::Throttled { .. } | Error::OverBudget { .. } | Error::OverUploads { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Error::AnswerTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Busy { .. } | Error::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut refused = Self {
            retry_after: error.retry_after(),
            ..Self::new(status, error.public_code(), error.to_string())
        };
        let fields = error.bad_fields().map(|(field, message)| InvalidField {
            field: field.to_owned(),
            message: message.to_owned(),
        });
        refused.refusal.fields = fields.collect();
        refused.refusal.limit = error.limit();
        if let Error::Document(issues) = &error {
            let issues = issues.iter().map(|issue| InvalidField {
                field: issue.path.clone(),
                message: format!("{} ({})", issue.message, issue.rule),
            });
            refused.refusal.fields = issues.collect();
        }
        refused
    }
}

impl From<LeaseRefused> for TransferRefused {
    fn from(refused: LeaseRefused) -> Self {
        match refused {
            LeaseRefused::TooMany => Self {
                status: StatusCode::TOO_MANY_REQUESTS,
                ..refused.rejection().into()
            },
            LeaseRefused::SessionEnded => Error::Unauthenticated.into(),
        }
    }
}

impl From<NoRoom> for TransferRefused {
    fn from(none: NoRoom) -> Self {
        match none {
            NoRoom::OfEach => {
                let refusal = format!(
                    "{OF_ACCOUNT} of these are under way for this account: wait for one of them"
                );
                let mut refused =
                    Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::Busy, refusal);
                refused.retry_after = Some(TRY_AGAIN);
                refused.refusal.limit = Some(ServiceLimit::Transfers);
                refused
            }
            NoRoom::OfAll => Error::Busy {
                retry_after_seconds: TRY_AGAIN,
                limit: Some(ServiceLimit::Transfers),
            }
            .into(),
        }
    }
}

impl From<Rejected> for TransferRefused {
    fn from(refusal: Rejected) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            refusal,
            retry_after: None,
        }
    }
}

/// One import or export that may begin.
#[derive(Debug)]
struct Transfer {
    app: App,
    caller: Caller,
    /// Who pays for it.
    party: Party,
    lease: Lease,
    /// Whether the caller is promised the rows of the audit trail that are written for it.
    wants_promises: bool,
    _place: RoomPermit<UserId>,
}

/// Why a transfer ends before it is done.
#[derive(Debug, Clone)]
struct Ending {
    code: ErrorCode,
    message: String,
}

impl Ending {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl From<&Error> for Ending {
    fn from(error: &Error) -> Self {
        match error {
            // The log-in ended while its records were on their way.
            Error::Unauthenticated => LeaseEnd::SessionEnded.into(),
            _ => Self::new(error.public_code(), error.to_string()),
        }
    }
}

impl From<LeaseEnd> for Ending {
    fn from(end: LeaseEnd) -> Self {
        let (code, message) = end.told();
        Self::new(code, message)
    }
}

impl Transfer {
    /// Lets a caller begin: from an origin that may, by a token and a log-in that are good, where there
    /// is room.
    async fn begin(
        request: &TransferRequest,
        room: impl FnOnce(&Transfers) -> &Room<UserId>,
    ) -> Result<Self, TransferRefused> {
        let (schema, context) = (&request.schema, &request.context);
        if !cors::is_allowed(schema, &request.headers) {
            let refusal = "this origin may not call; see MEDITRUSTAL_ALLOWED_ORIGINS";
            return Err(TransferRefused::new(
                StatusCode::FORBIDDEN,
                ErrorCode::Forbidden,
                refusal,
            ));
        }
        let caller = context.caller()?;
        let Some(Ok(bearer)) = context.token else {
            return Err(Error::Unauthenticated.into());
        };
        let app = schema.app();
        let mut lease = Lease::open(app.leasing(), Network::of(context.origin.address))?;
        lease.hold_for(app.leasing(), bearer)?;
        check_session(&app.pool, context, &caller).await?;
        let party = context.party();
        app.costs.charge(party, STREAM_COST).await?;
        let place = room(&app.transfers).take(caller.user)?;
        Ok(Self {
            app: app.clone(),
            caller,
            party,
            lease,
            wants_promises: context.wants_promises,
            _place: place,
        })
    }

    /// Charges the caller that something was refused: it is a row that somebody else may have to read.
    async fn charge_refusal(&self) {
        let costs = &self.app.costs;
        costs.charge_refusals(self.party, 1).await;
    }

    /// Charges the caller a file of so many bytes.
    async fn charge_upload(&self, bytes: u64) -> Result<(), Error> {
        let uploads = &self.app.transfers.uploads;
        uploads.charge(self.caller.user, bytes).await
    }

    /// What came of the asking; where it is not there for the caller, that refusal is charged.
    async fn charged<T>(&self, found: Result<T, Error>) -> Result<T, Error> {
        if matches!(found, Err(Error::NotFound(_))) {
            self.charge_refusal().await;
        }
        found
    }

    /// Waits until it must end, whatever it is doing.
    async fn over(&self) -> Ending {
        self.lease.over().await.into()
    }
}

/// Waits where something is busy; gives how often it may be asked for yet. Else the transfer is over.
async fn wait_where_busy(error: Error, left: u32) -> Result<u32, Ending> {
    match error {
        Error::Busy {
            retry_after_seconds,
            ..
        } if left > 0 => {
            tokio::time::sleep(Duration::from_secs(retry_after_seconds.into())).await;
            Ok(left - 1)
        }
        error => Err((&error).into()),
    }
}

/// Whether the log-in is still good, and showed a second factor where one is wanted.
async fn check_session(
    pool: &Pool,
    context: &RequestContext,
    caller: &Caller,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    match caller.actor(&mut tx).await {
        Ok(_) => Ok(()),
        Err(Error::SecondFactorMissing) => {
            audit_second_factor_refusal(tx, context).await?;
            Err(Error::SecondFactorMissing)
        }
        Err(error) => Err(error),
    }
}

/// What is said to the other side, piece by piece.
#[derive(Debug)]
struct ResponseBody {
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
    waits: Mutex<Waits>,
}

/// Nobody listens any more.
#[derive(Debug)]
struct Disconnected;

impl ResponseBody {
    /// A body and what fills it. Whoever fills it waits for who reads it.
    fn new() -> (Self, Body) {
        let (output, heard) = mpsc::channel(WAITING);
        let pieces = stream::unfold(heard, |mut heard| async {
            let piece = heard.recv().await?;
            Some((piece, heard))
        });
        let output = Self {
            pieces: output,
            waits: Mutex::default(),
        };
        (output, Body::from_stream(pieces))
    }

    /// Waits until there is room for one more piece; then it can be made.
    async fn room(&self) -> Result<mpsc::Permit<'_, std::io::Result<Bytes>>, Disconnected> {
        let left = self.waits().left();
        let begun = Instant::now();
        let room = tokio::time::timeout(left, self.pieces.reserve()).await;
        self.waits().waited += begun.elapsed();
        match room {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Disconnected),
        }
    }

    /// Notes how much was said.
    fn output(&self, bytes: usize) {
        self.waits().bytes += bytes as u64;
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, piece: impl Into<Bytes>) -> Result<(), Disconnected> {
        let piece = piece.into();
        let room = self.room().await?;
        self.output(piece.len());
        room.send(Ok(piece));
        Ok(())
    }

    /// Ends the body as something that is not whole: the connection breaks off.
    async fn abort(&self) {
        if let Ok(room) = self.room().await {
            room.send(Err(std::io::Error::other("this is not all of it")));
        }
    }

    /// Waits until nobody listens.
    async fn disconnected(&self) {
        self.pieces.closed().await;
    }
}

/// Reads what is left of a body that is refused, within reason.
async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let read = async {
        let mut left = PASSED_OVER;
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whoever sends more than that, or slower, may lose the answer.
    tokio::time::timeout(PASS_OVER_FOR, read).await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slow_has_so_long_and_more_for_what_comes() {
        let mut waits = Waits::default();
        assert_eq!(waits.left(), PATIENCE);
        waits.waited = PATIENCE.saturating_sub(Duration::from_secs(1));
        assert_eq!(waits.left(), Duration::from_secs(1), "nothing came");
        waits.bytes = 5 * PER_SECOND;
        assert_eq!(waits.left(), Duration::from_secs(6));
        waits.bytes = 1 << 30;
        assert_eq!(waits.left(), PATIENCE, "but never longer at a time");
        waits.waited = Duration::from_secs(1 << 40);
        assert_eq!(waits.left(), Duration::ZERO);
    }
}
