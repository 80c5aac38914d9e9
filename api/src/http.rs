//! HTTP: GraphQL over it, and what else a process has to answer.
//!
//! async-graphql-axum's extractor runs mutations by GET, takes forms for JSON, batches of any size and
//! bodies of any length; this one takes `application/json` alone, once, bounded
//! (`docs/threat-model.md`, T2).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use async_graphql::{Request, Response as Answer, Value, parser::types::OperationType};
use async_graphql_axum::GraphQLResponse;
use axum::{
    RequestExt as _, Router,
    body::{Body, Bytes, HttpBody as _},
    extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State},
    handler::Handler,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Redirect, Response},
    routing::{self, MethodRouter, get},
};
use domain::ids::RequestId;
use futures::StreamExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;
use vault::token::TokenError;

use crate::{
    answer_budget::Sending,
    authenticate::{PURPOSE_OF_USE, context},
    bulk,
    caller::RequestContext,
    codes::ErrorCode,
    content_coding::{self, Coding, OF_ANSWERS},
    cors,
    cursor::Cursor,
    graphql::event::LastEventId,
    instruments::{ATTACHMENTS, instruments},
    jwks,
    limits::MAX_BODY,
    playground, readiness,
    rejected::Rejected,
    request,
    schema::{Schema, Via, has_run, only_refreshes},
    sessions::refresh_cookie::RefreshCookie,
    sse, websocket,
    wire::{
        MediaType, content_type,
        pieces::{AnswerBody, to_pieces},
        refuse,
    },
};

/// Where an event stream goes on, by the browser's `EventSource` and others like it.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a request may take to arrive and be answered.
const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
/// How long a file may take, which is looked at before it is answered.
const FILE_WITHIN: Duration = Duration::from_secs(600);

/// Every address of the process.
pub(crate) fn router(
    schema: Schema,
    playground: Option<playground::Playground>,
    portal: Option<playground::Playground>,
) -> Router {
    let api = Router::new()
        .route(
            "/graphql",
            get(websocket_or_query).post(post).options(cors::preflight),
        )
        .route(
            "/import",
            routing::post(bulk::import::answer).options(cors::preflight),
        )
        .route(
            "/export",
            get_alone(bulk::export::answer).options(cors::preflight),
        )
        .route(
            "/audit/export",
            get_alone(bulk::audit_export::answer).options(cors::preflight),
        )
        .route(
            "/my-data",
            get_alone(bulk::my_data::answer).options(cors::preflight),
        )
        .route(
            "/records/{record}/attachments/{place}",
            get_alone(bulk::attachments::download)
                .put(bulk::attachments::upload)
                .options(cors::preflight),
        )
        .layer(middleware::from_fn_with_state(schema.clone(), single))
        .layer(middleware::from_fn_with_state(schema.clone(), cors::answer))
        .with_state(schema.clone());
    let mut router = Router::new()
        .merge(api)
        .route(
            "/.well-known/jwks.json",
            get(jwks::answer).with_state(schema.clone()),
        )
        .route("/health/live", get(|| async { "alive\n" }))
        .route(
            "/health/ready",
            get(readiness::ready).with_state(schema.clone()),
        )
        .route(
            "/health/serving",
            get(readiness::serving).with_state(schema),
        );
    if let Some(playground) = playground {
        router = router
            .route("/", get(|| async { Redirect::temporary("/playground") }))
            .merge(playground::router(playground));
    }
    if let Some(portal) = portal {
        router = router.merge(playground::portal_router(portal));
    }
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("A request panicked");
            let refusal =
                Rejected::new(ErrorCode::Internal, "something went wrong on our side").response();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                GraphQLResponse::from(refusal),
            )
                .into_response()
        }))
        .layer(middleware::from_fn(deadline))
        .layer(middleware::from_fn(identify))
        .layer(middleware::from_fn(measure))
}

/// A GET that writes down what it hands out: no HEAD, for which that would be untrue.
fn get_alone<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler).head(|| async { StatusCode::METHOD_NOT_ALLOWED })
}

/// Counts each request by its address, and how long its answer took to begin.
async fn measure(request: axum::extract::Request, next: Next) -> Response {
    let began = Instant::now();
    let path = match request.uri().path() {
        file if file.starts_with("/records/") => ATTACHMENTS.to_owned(),
        path => path.to_owned(),
    };
    let response = next.run(request).await;
    instruments().answered(&path, response.status(), began.elapsed());
    response
}

/// Ends a request whose body does not arrive. An import ends by limits of its own: it may be answered when all of it has arrived.
async fn deadline(request: axum::extract::Request, next: Next) -> Response {
    if request.uri().path() == "/import" {
        return next.run(request).await;
    }
    let within = if request.method() == Method::PUT {
        FILE_WITHIN
    } else {
        ARRIVE_WITHIN
    };
    match tokio::time::timeout(within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Refuses a request that says twice what is decided by: a proxy may go by the one, and we by the other.
async fn single(
    State(schema): State<Schema>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(id): axum::Extension<RequestId>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let once = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::HOST,
        header::ORIGIN,
        LAST_EVENT_ID,
        PURPOSE_OF_USE,
    ];
    let headers = request.headers();
    let twice = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    let Some(name) = once.iter().find(twice) else {
        return next.run(request).await;
    };
    let refusal = Rejected::new(
        ErrorCode::BadRequest,
        format!("the header `{name}` is given twice"),
    );
    let context = context(&schema, id, peer, headers);
    let (status, media) = (StatusCode::BAD_REQUEST, MediaType::Json);
    refuse(&schema, &refusal, &context, status, media)
}

/// Gives each request its id, which stands in every log line of it, and each answer the headers that
/// every answer has.
async fn identify(mut request: axum::extract::Request, next: Next) -> Response {
    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let id = RequestId::fresh();
    request.extensions_mut().insert(id);
    // Of the highest level, so that no filter of the log takes the id away.
    let span = tracing::error_span!("request", %id);
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn post(
    State(schema): State<Schema>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(id): axum::Extension<RequestId>,
    headers: HeaderMap,
    request: axum::extract::Request,
) -> Response {
    let body = whole(request.into_limited_body()).await;
    let context = context(&schema, id, peer, &headers);
    let Some(media) = MediaType::wanted(&headers) else {
        return not_acceptable(&schema, &context);
    };
    if !is_json(&headers) {
        let refusal = Rejected::new(
            ErrorCode::UnsupportedMediaType,
            "send `Content-Type: application/json`",
        );
        return refuse(
            &schema,
            &refusal,
            &context,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            media,
        );
    }
    if !is_uncompressed(&headers) {
        let refusal = Rejected::new(
            ErrorCode::UnsupportedMediaType,
            "send the request as it is, without `Content-Encoding`",
        );
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return refuse(&schema, &refusal, &context, status, media);
    }
    let Ok(body) = body else {
        let refusal = Rejected::new(
            ErrorCode::TooLarge,
            format!("a request has at most {MAX_BODY} bytes"),
        );
        return refuse(
            &schema,
            &refusal,
            &context,
            StatusCode::PAYLOAD_TOO_LARGE,
            media,
        );
    };
    match request::from_body(body) {
        Ok(request) => {
            let request = with_cookie(resuming(request, &headers), &schema, &headers, media);
            let coding = Coding::wanted(&headers, &OF_ANSWERS);
            run(&schema, request, Via::Post, &context, (media, coding)).await
        }
        Err(refusal) => refuse(&schema, &refusal, &context, StatusCode::BAD_REQUEST, media),
    }
}

/// A body as a whole, copied into one place as it arrives: there are no pieces besides.
async fn whole(body: Body) -> Result<Vec<u8>, axum::Error> {
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(MAX_BODY);
    let mut whole = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        if whole.is_empty() {
            whole.reserve_exact(length.min(MAX_BODY));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Refuses a client that takes none of what there is.
fn not_acceptable(schema: &Schema, context: &RequestContext) -> Response {
    let refusal = Rejected::new(
        ErrorCode::NotAcceptable,
        "answers are `application/json`, `application/graphql-response+json` or `text/event-stream`",
    );
    let (status, media) = (StatusCode::NOT_ACCEPTABLE, MediaType::Json);
    refuse(schema, &refusal, context, status, media)
}

async fn websocket_or_query(
    State(schema): State<Schema>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(id): axum::Extension<RequestId>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    upgrade: websocket::Upgrade,
) -> Response {
    let context = context(&schema, id, peer, &headers);
    if let Some(upgrade) = upgrade.0 {
        return websocket::accept(schema, context, &headers, upgrade);
    }
    let Some(media) = MediaType::wanted(&headers) else {
        return not_acceptable(&schema, &context);
    };
    if method == Method::HEAD {
        let allow = [(header::ALLOW, "GET, POST, OPTIONS")];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    match request::from_query(query.as_deref().unwrap_or_default()) {
        Ok(request) => {
            let request = resuming(request, &headers);
            let coding = Coding::wanted(&headers, &OF_ANSWERS);
            run(&schema, request, Via::Get, &context, (media, coding)).await
        }
        Err(refusal) => refuse(&schema, &refusal, &context, StatusCode::BAD_REQUEST, media),
    }
}

/// Lets a stream go on after the last event that its client has.
fn resuming(request: Request, headers: &HeaderMap) -> Request {
    match headers.get(LAST_EVENT_ID) {
        None => request,
        // What is no text is no cursor either, and is refused as such.
        Some(id) => {
            let id = String::from_utf8_lossy(id.as_bytes()).into_owned();
            request.data(LastEventId(Cursor::of_text(id)))
        }
    }
}

/// Lets a refresh token be exchanged and handed over by a cookie. An event stream has sent its headers before it answers.
fn with_cookie(
    request: Request,
    schema: &Schema,
    headers: &HeaderMap,
    media: MediaType,
) -> Request {
    if media == MediaType::Events {
        return request;
    }
    request.data(RefreshCookie::read(
        headers,
        cors::is_allowed(schema, headers),
    ))
}

/// A token that is no good is told at once: a client would otherwise act as nobody unawares.
fn token_refused(
    schema: &Schema,
    error: TokenError,
    context: &RequestContext,
    media: MediaType,
) -> Response {
    let code = match error {
        TokenError::Expired => ErrorCode::TokenExpired,
        TokenError::Invalid => ErrorCode::Unauthenticated,
    };
    let refusal = Rejected::new(code, format!("{error}; log in again"));
    let mut response = refuse(schema, &refusal, context, StatusCode::UNAUTHORIZED, media);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

async fn run(
    schema: &Schema,
    request: Request,
    via: Via,
    context: &RequestContext,
    (media, coding): (MediaType, Option<Coding>),
) -> Response {
    let refused = context.token.and_then(Result::err);
    if let Some(error) = refused
        && (media == MediaType::Events || error == TokenError::Invalid)
    {
        return token_refused(schema, error, context, media);
    }
    if media == MediaType::Events {
        let via = match via {
            Via::Get | Via::EventsByGet => Via::EventsByGet,
            Via::Post | Via::Stream | Via::Events => Via::Events,
        };
        return sse::answer(schema.clone(), request, via, context.clone()).await;
    }
    let checked = schema.check_request(request, via, context);
    if let Some(error) = refused {
        // Whoever refreshes does it because the token has expired, and may have sent it along.
        let refreshes = checked
            .as_ref()
            .is_ok_and(|(_, request)| only_refreshes(request));
        if !refreshes {
            return token_refused(schema, error, context, media);
        }
    }
    match checked {
        Err(refusal) if refusal.is_wrong_method => {
            let mut response = refuse(
                schema,
                &refusal,
                context,
                StatusCode::METHOD_NOT_ALLOWED,
                media,
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("POST"));
            response
        }
        Err(refusal) => refuse(schema, &refusal, context, media.refused(), media),
        Ok(admitted) => answered(schema, admitted, context, (media, coding)).await,
    }
}

/// Runs what was let through.
async fn answered(
    schema: &Schema,
    (kind, request): (OperationType, Request),
    context: &RequestContext,
    (media, coding): (MediaType, Option<Coding>),
) -> Response {
    let (mut response, budget) = schema.execute(request, context).await;
    let cookie = response.http_headers.remove(header::SET_COOKIE);
    let later = retry_after(&response);
    let status = if has_run(&response) {
        StatusCode::OK
    } else if later.is_some() && media == MediaType::GraphQl {
        StatusCode::TOO_MANY_REQUESTS
    } else {
        media.refused()
    };
    let pieces = to_pieces(response);
    // Tokens and other secrets of log-ins come of mutations alone, whose answers say nothing by their lengths.
    let coding = coding.filter(|_| kind == OperationType::Query);
    let (pieces, coding) = content_coding::encode(pieces, coding).await;
    let pieces = match budget {
        // Given back when the last byte was sent.
        Some(budget) => {
            let sending = |piece| Bytes::from_owner(Sending::new(piece, budget.clone()));
            pieces.into_iter().map(sending).collect()
        }
        None => pieces,
    };
    let media = [(header::CONTENT_TYPE, media.as_str())];
    let body = Body::new(AnswerBody::new(pieces));
    let mut answer = (status, media, body).into_response();
    let headers = answer.headers_mut();
    if let Some(coding) = coding {
        let coding = HeaderValue::from_static(coding.as_str());
        headers.insert(header::CONTENT_ENCODING, coding);
    }
    if let Some(mut cookie) = cookie {
        cookie.set_sensitive(true);
        headers.insert(header::SET_COOKIE, cookie);
    }
    if let Some(seconds) = later {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    answer
}

/// When to try again, if the answer says that too much was going on. Unit: seconds.
fn retry_after(response: &Answer) -> Option<u32> {
    let refusal = response
        .errors
        .iter()
        .find_map(|error| error.extensions.as_ref()?.get("retryAfterSeconds"));
    match refusal {
        Some(Value::Number(seconds)) => u32::try_from(seconds.as_u64()?).ok(),
        _ => None,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

/// Whether the body is as its media type says, and not compressed besides.
fn is_uncompressed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
