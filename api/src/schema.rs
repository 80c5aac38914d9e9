//! The schema, and the one way anything of it is run.
//!
//! async-graphql gives the schema and its execution; how requests come in, what they may cost and what
//! errors say is ours ([`crate::query_limits`], [`crate::http`], [`crate::websocket`]).

use std::{
    any::TypeId,
    cell::LazyCell,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_graphql::{
    MergedObject, MergedSubscription, Request, Response, SDLExportOptions, Schema as GraphQlSchema,
    ServerError, Value, Variables,
    parser::{
        parse_query, parse_schema,
        types::{ExecutableDocument, OperationDefinition, OperationType},
    },
};
use futures::{FutureExt as _, Stream, StreamExt, stream};
use tokio::sync::Semaphore;
use vault::refresh::RefreshToken;

use crate::{
    answer_budget::AnswerBudget,
    app::App,
    audit::{
        access_logs::AccessLogs,
        days::AccessDayQuery,
        graphql::{AuditQuery, AuditSubscription},
        promise::graphql::{AuditPromiseQuery, PromisedRows},
    },
    break_glass::graphql::{BreakGlassMutation, BreakGlassQuery},
    caller::{RequestContext, audit_second_factor_refusal},
    codes::ErrorCode,
    consents::{
        access::graphql::AccessQuery,
        access_codes::graphql::{AccessCodeMutation, AccessCodeQuery},
        document::graphql::{ConsentDocumentMutation, ConsentDocumentQuery},
        graphql::{ConsentMutation, ConsentQuery},
        receipts::graphql::{ReceiptMutation, ReceiptQuery},
        referred::ReferredConsents,
    },
    cost_limit::{CostPermit, STREAM_COST},
    countries::graphql::{CountryMutation, CountryQuery},
    deletion::graphql::{DeletionMutation, DeletionQuery},
    documents::{DocumentHash, Documents},
    error::Error,
    graphql::{RequestWeight, document, event::EventCursor, root::NullableFields},
    input_limits::{InputLimits, TooLong},
    instruments::instruments,
    integrity::{
        graphql::{IntegrityQuery, IntegritySubscription},
        record_updates::graphql::RecordUpdateSubscription,
    },
    literals,
    loaders::Loaders,
    my_data::graphql::MyDataQueries,
    nodes::graphql::NodeQuery,
    notifications::graphql::{NotificationMutation, NotificationQuery, NotificationSubscription},
    organizations::graphql::{OrganizationMutation, OrganizationQuery},
    parsed_documents::{ParsedDocument, ParsedDocuments},
    party::Party,
    query_limits::{self, CheckTimer, FixedCount, QueryLimits},
    records::{
        AmendmentMutation, ImportMutation,
        decrypted::DecryptedRecords,
        graphql::{RecordMutation, RecordQuery},
        referred::ReferredRecords,
    },
    rejected::{InvalidField, Rejected},
    representatives::graphql::{RepresentativeMutation, RepresentativeQuery},
    second_factor::graphql::{SecondFactorMutation, SecondFactorQuery},
    sessions::{
        graphql::{SessionMutation, SessionQuery},
        refresh_cookie::RefreshCookie,
        shown_token::{Exchange, holder_of},
    },
    users::graphql::{UserMutation, UserQuery},
    variables::{InputTypes, InvalidValue, VariablePositions},
    wallets::graphql::{WalletMutation, WalletQuery},
};

/// What is told of a document that does not fit, where the schema is not told.
const UNFIT: &str = "the document or its variables do not fit the schema";
/// How many refresh tokens are looked up at once to know who pays.
const LOOKUPS: usize = 4;
/// How many errors of a document are told.
const MAX_ERRORS: usize = 20;
/// How many places of it each of them names.
const MAX_LOCATIONS: usize = 4;

/// What can be read. Every field but `registry`, `indexStatus`, `mySecondFactor` and `me` needs a session with a
/// second factor where the operator requires one. A field that fails is null beside its error, which has a stable
/// `extensions.code`. Every field may answer `UNAUTHENTICATED`, `TOKEN_EXPIRED`,
/// `SECOND_FACTOR_REQUIRED`, `BUSY`, `TOO_LARGE_ANSWER`, `UNAVAILABLE`, `INTERNAL`, and
/// `BAD_USER_INPUT` for a header `X-Purpose-Of-Use` that is no purpose. A query as a whole is refused
/// with `THROTTLED` where the account, or the address, asks for more than its share.
#[derive(MergedObject, Default)]
pub(crate) struct Query(
    UserQuery,
    SessionQuery,
    RecordQuery,
    ConsentQuery,
    AccessQuery,
    AccessCodeQuery,
    ConsentDocumentQuery,
    ReceiptQuery,
    CountryQuery,
    OrganizationQuery,
    AuditQuery,
    AccessDayQuery,
    AuditPromiseQuery,
    DeletionQuery,
    IntegrityQuery,
    WalletQuery,
    SecondFactorQuery,
    BreakGlassQuery,
    RepresentativeQuery,
    NotificationQuery,
    MyDataQueries,
    NodeQuery,
);

/// What can be changed. A mutation that fails is null beside its error; what whoever filled in a form
/// can mend is told by `userErrors` instead, where that field of the payload is selected. Each
/// mutation names the error codes (`extensions.code`, or `code` of a user error) that it answers
/// itself. Besides these, every mutation may answer `BUSY`, `UNAVAILABLE`, `INTERNAL`, and
/// `TOO_LARGE_ANSWER` where it was done and its answer is too long; and every mutation that needs a
/// session may answer `UNAUTHENTICATED`, `TOKEN_EXPIRED`, `SECOND_FACTOR_REQUIRED` where the operator
/// requires a second factor that the session has not shown, and `BAD_USER_INPUT` for a header
/// `X-Purpose-Of-Use` that is no purpose. An operation as a whole is refused with `THROTTLED` where
/// the account, or the address, asks for more than its share.
#[derive(MergedObject, Default)]
pub(crate) struct Mutation(
    UserMutation,
    SessionMutation,
    RecordMutation,
    AmendmentMutation,
    ImportMutation,
    ConsentMutation,
    AccessCodeMutation,
    ConsentDocumentMutation,
    ReceiptMutation,
    CountryMutation,
    OrganizationMutation,
    DeletionMutation,
    WalletMutation,
    SecondFactorMutation,
    BreakGlassMutation,
    RepresentativeMutation,
    NotificationMutation,
);

/// What can be followed, over a WebSocket (`graphql-transport-ws`) or as Server-Sent Events. A stream
/// ends with the access token or the session it was begun with.
#[derive(MergedSubscription, Default)]
pub(crate) struct Subscription(
    IntegritySubscription,
    RecordUpdateSubscription,
    NotificationSubscription,
    AuditSubscription,
);

type Inner = GraphQlSchema<NullableFields<Query>, NullableFields<Mutation>, Subscription>;

/// The public contract, as `schema.graphql` holds it; printed once.
pub(crate) fn sdl() -> &'static str {
    static SDL: OnceLock<String> = OnceLock::new();
    SDL.get_or_init(|| {
        let sdl = Inner::build(
            NullableFields::default(),
            NullableFields::default(),
            Subscription::default(),
        )
        .finish()
        .sdl_with_options(SDLExportOptions::new().include_specified_by());
        let tidy = sdl
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n");
        format!("{}\n", tidy.trim())
    })
}

/// Says of a document what does not fit the schema. Nothing of it runs: no operation has the name that is asked for, which is
/// looked for last.
pub(crate) fn validator() -> impl Fn(&str) -> Result<(), String> {
    const NO_NAME: &str = "(none)";
    let inner = LazyCell::new(|| {
        let (query, mutation) = (NullableFields::default(), NullableFields::default());
        Inner::build(query, mutation, Subscription::default())
            .limit_recursive_depth(64)
            .finish()
    });
    move |document| {
        let request = Request::new(document).operation_name(NO_NAME);
        let answer = inner.execute(request).now_or_never();
        let first = answer.and_then(|answer| answer.errors.into_iter().next());
        match first.map(|error| error.message) {
            Some(told) if told.ends_with(&format!(r#"named "{NO_NAME}""#)) => Ok(()),
            Some(told) => Err(told),
            None => Err("it was not validated".to_owned()),
        }
    }
}

/// The fields of the roots: what the metrics tell apart.
pub(crate) fn root_fields() -> Vec<String> {
    let sdl = sdl();
    let mut fields = Vec::new();
    for root in [
        "\ntype Query {",
        "\ntype Mutation {",
        "\ntype Subscription {",
    ] {
        let body = sdl.split_once(root).map_or("", |(_, body)| body);
        let body = body.split("\n}").next().unwrap_or_default();
        let mut is_described = false;
        for line in body.lines() {
            // What stands deeper are arguments.
            let line = line.strip_prefix('\t').filter(|it| !it.starts_with('\t'));
            match line {
                Some("\"\"\"") => is_described = !is_described,
                Some(line) if !is_described => {
                    let name = line.find(['(', ':']).map(|end| line[..end].to_owned());
                    fields.extend(name);
                }
                Some(_) | None => {}
            }
        }
    }
    fields
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A POST: queries and mutations.
    Post,
    /// A GET: queries alone.
    Get,
    /// A WebSocket: subscriptions alone.
    Stream,
    /// An event stream by POST: everything.
    Events,
    /// An event stream by GET: queries and subscriptions.
    EventsByGet,
}

/// The schema and its query limits. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Schema {
    inner: Inner,
    app: App,
    limits: QueryLimits,
    documents: Documents,
    inputs: Arc<InputLimits>,
    input_types: Arc<InputTypes>,
    positions: Arc<VariablePositions>,
    parsed: ParsedDocuments,
    lookups: Arc<Semaphore>,
    timeout: Duration,
}

impl Schema {
    /// The schema over this process, and the documents that are known to it by their hashes.
    ///
    /// # Panics
    /// Where what is printed of the schema cannot be parsed: the same library does both.
    pub(crate) fn new(app: App, documents: Documents, timeout: Duration) -> Self {
        let mut builder = Inner::build(
            NullableFields::default(),
            NullableFields::default(),
            Subscription::default(),
        )
        .data(app.clone())
        .disable_suggestions()
        // The query limits count better; these must only not be stricter.
        .limit_recursive_depth(64);
        if !app.introspection {
            builder = builder.disable_introspection();
        }
        let limits = QueryLimits::new(app.introspection);
        let printed = parse_schema(sdl()).expect("a schema that was printed can be parsed");
        Self {
            inner: builder.finish(),
            app,
            limits,
            documents,
            inputs: Arc::new(InputLimits::of(&printed)),
            input_types: Arc::new(InputTypes::of(&printed)),
            positions: Arc::new(VariablePositions::of(&printed)),
            parsed: ParsedDocuments::new(),
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            timeout,
        }
    }

    /// The process.
    pub(crate) const fn app(&self) -> &App {
        &self.app
    }

    /// Checks a request against the query limits, and says what kind of operation would run.
    ///
    /// # Errors
    /// [`Rejected`]; nothing of it ran.
    pub(crate) fn check_request(
        &self,
        mut request: Request,
        via: Via,
        context: &RequestContext,
    ) -> Result<(OperationType, Request), Rejected> {
        let mut timer = CheckTimer::default();
        let named = self.find_document(&mut request, &mut timer)?;
        let cookie = of_request::<RefreshCookie>(&request);
        let name = request.operation_name.clone();
        // Lent to the query limits and given back: they may hold a whole document.
        let variables = std::mem::take(&mut request.variables);
        let known = self.parse(&mut request, &mut timer)?;
        let before = known.as_ref().and_then(|known| known.count);
        let document = request.parsed_query().map_err(|error| unparsed(&error))?;
        let name = name.as_deref();
        let (counted, fixed) = timer
            .measure(|| query_limits::count(document, name, &variables, &self.limits, before))
            .map_err(limit_error)?;
        self.inputs
            .check(document, &variables)
            .map_err(|errors| too_long(&errors))?;
        let chosen = query_limits::chosen(document, name);
        let exchange = chosen.and_then(Exchange::alone);
        let only_refreshes = OnlyRefreshes(exchange.is_some());
        let shown = exchange.and_then(|it| it.shown_token(&variables, cookie.as_ref()));
        let problems = chosen.map_or_else(Vec::new, |chosen| {
            self.misfits(document, chosen, &variables)
        });
        request.variables = variables;
        if known.is_none() {
            self.keep_parsed(&mut request, fixed);
        }
        let wanted = match (counted.kind, via) {
            (_, Via::Events)
            | (OperationType::Query, Via::Post | Via::Get | Via::EventsByGet)
            | (OperationType::Mutation, Via::Post)
            | (OperationType::Subscription, Via::Stream | Via::EventsByGet) => None,
            (OperationType::Mutation, Via::Get | Via::EventsByGet) => {
                Some("send mutations by POST")
            }
            (OperationType::Subscription, Via::Post | Via::Get) => Some(
                "follow subscriptions over a WebSocket at this address, or ask for text/event-stream",
            ),
            (_, Via::Stream) => Some("only subscriptions run over a WebSocket; send this by POST"),
        };
        if let Some(message) = wanted {
            return Err(Rejected {
                is_wrong_method: true,
                ..Rejected::new(ErrorCode::WrongMethod, message)
            });
        }
        if !problems.is_empty() {
            return Err(self.unfit(problems));
        }
        if let Some(named) = named {
            self.documents.remember(named, &request.query);
        }
        let party = context.party();
        let context = Arc::new(context.clone());
        let request = request
            .data(Arc::clone(&context))
            .data(Loaders::new(&self.app.pool, &self.app.seals))
            .data(AccessLogs::new(&self.app.pool, &context))
            .data(ReferredRecords::new(
                &self.app.pool,
                &self.app.costs,
                &context,
            ))
            .data(ReferredConsents::new(
                &self.app.pool,
                &self.app.costs,
                &context,
            ))
            .data(DecryptedRecords::default())
            .data(self.app.answers.begin(party))
            .data(RequestWeight(counted.weight))
            .data(only_refreshes)
            .data(ShownToken(shown.map(Arc::new)));
        Ok((counted.kind, request))
    }

    /// Parses the document of a request, or takes what the same text was parsed to; gives that, where it is known.
    fn parse(
        &self,
        request: &mut Request,
        timer: &mut CheckTimer,
    ) -> Result<Option<Arc<ParsedDocument>>, Rejected> {
        if let Some(known) = self.parsed.get(&request.query) {
            request.set_parsed_query(known.document.clone());
            return Ok(Some(known));
        }
        self.check_text(&request.query, timer)?;
        if let Some(at) = literals::open_text(&request.query) {
            return Err(unparsed(&ServerError::new(
                "a text without an end",
                Some(at),
            )));
        }
        timer
            .measure(|| query_limits::check_width(&request.query, &self.limits))
            .map_err(limit_error)?;
        let parsed = parse_query(&request.query);
        let document = parsed.map_err(|error| unparsed(&error.into()))?;
        if literals::repeats_a_field(&request.query) {
            let refusal = "an input object in the document has a field twice";
            return Err(Rejected::new(ErrorCode::GraphqlValidationFailed, refusal));
        }
        request.set_parsed_query(document);
        Ok(None)
    }

    /// Keeps what the document of a request was parsed and counted to, which the limits let through.
    fn keep_parsed(&self, request: &mut Request, count: Option<FixedCount>) {
        let text = std::mem::take(&mut request.query);
        if let Ok(document) = request.parsed_query() {
            self.parsed.keep(&text, document, count);
        }
        request.query = text;
    }

    /// Refuses text that is too long or too deeply nested.
    fn check_text(&self, query: &str, timer: &mut CheckTimer) -> Result<(), Rejected> {
        let checked = timer.measure(|| query_limits::check_text(query, &self.limits));
        checked.map_err(limit_error)
    }

    /// Puts the document in the place of its hash where that alone was sent; gives the hash, if one was.
    fn find_document(
        &self,
        request: &mut Request,
        timer: &mut CheckTimer,
    ) -> Result<Option<DocumentHash>, Rejected> {
        let named = of_request::<DocumentHash>(request);
        if self.documents.are_compared(named.as_ref()) {
            // What is too long is not hashed.
            self.check_text(&request.query, timer)?;
        }
        if let Some(trusted) = named.as_ref().and_then(|it| self.documents.trusted(it)) {
            let (operation, cost) = (trusted.operation.as_str(), trusted.cost);
            tracing::debug!(operation, cost, "A trusted document is asked for");
        }
        if let Some(document) = self.documents.find(named.as_ref(), &request.query)? {
            document.as_ref().clone_into(&mut request.query);
        }
        Ok(named)
    }

    /// What is wrong with the variables of an operation: with where they stand, or else with their values.
    fn misfits(
        &self,
        document: &ExecutableDocument,
        chosen: &OperationDefinition,
        variables: &Variables,
    ) -> Vec<InvalidValue> {
        let misplaced = self.positions.check(document, chosen);
        if misplaced.is_empty() {
            let definitions = &chosen.variable_definitions;
            return self.input_types.check(definitions, variables);
        }
        misplaced
    }

    /// Says what is wrong with variables; where introspection is off, without what only the schema knows.
    fn unfit(&self, mut problems: Vec<InvalidValue>) -> Rejected {
        if !self.app.introspection {
            problems.retain(|problem| problem.is_given);
            for problem in &mut problems {
                "a value of the type that belongs there".clone_into(&mut problem.wanted);
            }
        }
        let fields = problems.into_iter().map(|problem| InvalidField {
            message: format!("`{}` has to be {}", problem.place, problem.wanted),
            field: problem.place,
        });
        Rejected {
            fields: fields.collect(),
            ..Rejected::new(ErrorCode::GraphqlValidationFailed, UNFIT)
        }
    }

    /// Runs a query or a mutation that was let through, when its party's others leave it room, to its end,
    /// whoever waits for it and how long. The text
    /// of the answer is paid for by the budget that comes with it: keep that until it was sent.
    pub(crate) async fn execute(
        &self,
        mut request: Request,
        context: &RequestContext,
    ) -> (Response, Option<AnswerBudget>) {
        let party = self.payer(&request, context).await;
        if party != context.party() {
            request = request.data(self.app.answers.begin(party));
        }
        let budget = of_request::<AnswerBudget>(&request);
        let running = match self.app.costs.enter(party, weight(&request)).await {
            Ok(running) => running,
            Err(error) => return (self.finish_errors(failed(error), context), budget),
        };
        let response = self.run(request, context, running).await;
        let paid = budget
            .as_ref()
            .map(|budget| budget.charge_text(document::length(&response)));
        match paid {
            // Errors alone are short, and may say just this.
            Some(Err(error)) if has_run(&response) => {
                (self.finish_errors(failed(error), context), budget)
            }
            Some(_) | None => (response, budget),
        }
    }

    /// Whose share the request takes: the account's whose good refresh token it exchanges though nobody is
    /// logged in. Few tokens are looked up at once; where many are, or the database does not say, it is the
    /// network's.
    async fn payer(&self, request: &Request, context: &RequestContext) -> Party {
        let party = context.party();
        let shown = of_request::<ShownToken>(request).and_then(|ShownToken(shown)| shown);
        let (Party::Network(_), Some(token)) = (party, shown) else {
            return party;
        };
        let Ok(_place) = self.lookups.try_acquire() else {
            return party;
        };
        match holder_of(&self.app.pool, &token).await {
            Ok(Some(holder)) => Party::Account(holder),
            Ok(None) | Err(_) => party,
        }
    }

    /// Charges what was refused: each refusal is a row that somebody else may have to read. One that is answered by null is charged
    /// where it is decided.
    async fn charge_refusals(&self, response: &Response, context: &RequestContext) {
        let refused = response.errors.iter().filter(|error| {
            let source = error.source.as_ref();
            let ours = source.and_then(|source| source.downcast_ref::<Error>());
            matches!(ours, Some(Error::NotFound(_) | Error::Forbidden(_)))
        });
        let costs = &self.app.costs;
        costs
            .charge_refusals(context.party(), refused.count())
            .await;
    }

    /// Does it in a task of its own, which holds the party's room until it is done.
    async fn run(
        &self,
        request: Request,
        context: &RequestContext,
        running: CostPermit,
    ) -> Response {
        let (schema, asking) = (self.clone(), context.clone());
        let request = request.data(running.root_fields());
        let work = async move {
            let response = schema.inner.execute(request).await;
            let mut response = schema.audit_refusals(response, &asking).await;
            schema.charge_refusals(&response, &asking).await;
            let promised = PromisedRows::default();
            let (pool, seals) = (&schema.app.pool, schema.app.promise_sealing());
            // All of it is committed by now.
            promised.write(pool, seals, &asking, &mut response).await;
            drop(running);
            response
        };
        let work = self.app.detached.run_to_completion(work);
        let response = match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => failed(error),
            Err(_) => {
                let refusal = "this took too long; what it has begun is finished";
                Rejected::new(ErrorCode::Timeout, refusal).response()
            }
        };
        self.finish_errors(response, context)
    }

    /// Writes down where somebody was kept out for want of a second factor: what refused them did it
    /// before it had anything to write. Unwritten, it is not told either.
    async fn audit_refusals(&self, response: Response, context: &RequestContext) -> Response {
        let missing = response.errors.iter().any(|error| {
            let source = error.source.as_ref();
            let ours = source.and_then(|source| source.downcast_ref::<Error>());
            matches!(ours, Some(Error::SecondFactorMissing))
        });
        if !missing {
            return response;
        }
        let written =
            async { audit_second_factor_refusal(self.app.pool.begin().await?, context).await };
        match written.await {
            Ok(()) => response,
            Err(error) => Rejected::new(error.public_code(), error.to_string()).response(),
        }
    }

    /// Follows a subscription that was let through. The `extensions` of each answer hold the cursor of its
    /// event.
    pub(crate) fn follow(
        &self,
        request: Request,
        context: Arc<RequestContext>,
    ) -> impl Stream<Item = Response> + Send + use<> {
        let schema = self.clone();
        // In a box, because a stream would keep the room of it for as long as it is open.
        let admitted = Box::pin(async move {
            let party = context.party();
            // What went by is read again for each stream that begins.
            let cost = weight(&request).saturating_add(STREAM_COST);
            match schema.app.costs.charge(party, cost).await {
                Ok(()) => schema.answers(request, context).left_stream(),
                Err(error) => {
                    let refused = schema.finish_errors(failed(error), &context);
                    stream::once(async { refused }).right_stream()
                }
            }
        });
        stream::once(admitted).flatten()
    }

    fn answers(
        &self,
        request: Request,
        context: Arc<RequestContext>,
    ) -> impl Stream<Item = Response> + Send + use<> {
        let schema = self.clone();
        let refusal = EventCursor::default();
        let kept = Arc::new(KeptForAnswer::of(&request));
        let request = request.data(refusal.clone());
        let promised = Arc::new(PromisedRows::default());
        self.inner
            .execute_stream(request)
            .then(move |mut response| {
                refusal.write(&mut response);
                let (schema, context) = (schema.clone(), Arc::clone(&context));
                let promised = Arc::clone(&promised);
                let kept = Arc::clone(&kept);
                // In a box: most of the time no answer is on its way.
                Box::pin(async move {
                    kept.forget().await;
                    let mut response = schema.audit_refusals(response, &context).await;
                    let (pool, seals) = (&schema.app.pool, schema.app.promise_sealing());
                    promised.write(pool, seals, &context, &mut response).await;
                    instruments().subscription_events.inc();
                    schema.finish_errors(response, &context)
                })
            })
    }

    /// Gives every error a code and the request's id, and leaves out what async-graphql would tell of
    /// the schema or of the value where introspection is off.
    pub(crate) fn finish_errors(
        &self,
        mut response: Response,
        context: &RequestContext,
    ) -> Response {
        cut(&mut response.errors);
        for error in &mut response.errors {
            let ours = error
                .source
                .clone()
                .and_then(|source| source.downcast::<Error>().ok());
            let extensions = error.extensions.get_or_insert_default();
            if let Some(ours) = ours {
                ours.extend(extensions);
            }
            if extensions.get("code").is_none() {
                extensions.set("code", ErrorCode::GraphqlValidationFailed.as_str());
                error.message = if self.app.introspection {
                    error.message.chars().take(300).collect()
                } else {
                    UNFIT.to_owned()
                };
            }
            if let Some(Value::String(code)) = extensions.get("code") {
                instruments().erred(code);
            }
            extensions.set("requestId", context.origin.request.to_string());
        }
        response
    }
}

/// What is kept while an answer is made. A stream makes many, and keeps nothing from one to the next: each is decided by itself, and
/// shows how things are then.
struct KeptForAnswer {
    loaders: Option<Loaders>,
    records: Option<ReferredRecords>,
    consents: Option<ReferredConsents>,
    opened: Option<DecryptedRecords>,
    budget: Option<AnswerBudget>,
}

impl KeptForAnswer {
    fn of(request: &Request) -> Self {
        Self {
            loaders: of_request(request),
            records: of_request(request),
            consents: of_request(request),
            opened: of_request(request),
            budget: of_request(request),
        }
    }

    async fn forget(&self) {
        if let Some(loaders) = &self.loaders {
            loaders.forget().await;
        }
        if let Some(records) = &self.records {
            records.forget().await;
        }
        if let Some(consents) = &self.consents {
            consents.forget().await;
        }
        if let Some(opened) = &self.opened {
            opened.forget();
        }
        if let Some(budget) = &self.budget {
            budget.begin_anew();
        }
    }
}

/// The refresh token that a request shows, if it is one that exchanges it.
#[derive(Clone)]
struct ShownToken(Option<Arc<RefreshToken>>);

/// Whether a request exchanges a refresh token and does nothing else.
#[derive(Debug, Clone, Copy)]
struct OnlyRefreshes(bool);

/// Whether a request that was let through exchanges a refresh token and does nothing else: what other token comes with it
/// makes no difference then.
pub(crate) fn only_refreshes(request: &Request) -> bool {
    of_request(request).is_some_and(|OnlyRefreshes(only)| only)
}

fn weight(request: &Request) -> u64 {
    of_request(request).map_or(1, |RequestWeight(weight)| weight)
}

/// What was put into a request when it was let through.
fn of_request<T: Clone + 'static>(request: &Request) -> Option<T> {
    let found = request.data.get(&TypeId::of::<T>())?;
    found.downcast_ref::<T>().cloned()
}

/// The answer of a request that failed as a whole.
fn failed(error: Error) -> Response {
    let mut refusal = ServerError::new(error.to_string(), None);
    refusal.source = Some(Arc::new(error));
    Response::from_errors(vec![refusal])
}

/// Keeps the first of the errors that stand in no field: validation tells one for each use of whatever is
/// wrong, so their number is the document's length and not what anybody reads.
fn cut(errors: &mut Vec<ServerError>) {
    let (of_fields, of_document): (Vec<_>, Vec<_>) = std::mem::take(errors)
        .into_iter()
        .partition(|error| !error.path.is_empty());
    let more = of_document.len().saturating_sub(MAX_ERRORS);
    errors.extend(of_document.into_iter().take(MAX_ERRORS));
    for error in errors.iter_mut() {
        error.locations.truncate(MAX_LOCATIONS);
    }
    if more > 0 {
        let refusal = format!("and {more} more errors, which are not told");
        let refusal = Rejected::new(ErrorCode::GraphqlValidationFailed, refusal);
        errors.extend(refusal.response().errors);
    }
    errors.extend(of_fields);
}

/// Says where a document cannot be parsed.
fn unparsed(error: &ServerError) -> Rejected {
    let place = error.locations.first().map_or_else(String::new, |at| {
        format!(" at line {}, column {}", at.line, at.column)
    });
    let refusal = format!("the document cannot be parsed{place}");
    Rejected::new(ErrorCode::GraphqlParseFailed, refusal)
}

fn limit_error(refused: query_limits::LimitError) -> Rejected {
    let code = match refused {
        query_limits::LimitError::TooMuch(_) => ErrorCode::TooComplex,
        query_limits::LimitError::FragmentCycle
        | query_limits::LimitError::NoSuchOperation
        | query_limits::LimitError::TypeName
        | query_limits::LimitError::ManyRootFields
        | query_limits::LimitError::FieldConflict
        | query_limits::LimitError::RepeatedMutation => ErrorCode::GraphqlValidationFailed,
        query_limits::LimitError::InlineDecimal => ErrorCode::BadUserInput,
        query_limits::LimitError::Introspection => ErrorCode::IntrospectionDisabled,
    };
    let excess = match refused {
        query_limits::LimitError::TooMuch(excess) => Some(excess),
        _ => None,
    };
    Rejected {
        excess,
        ..Rejected::new(code, refused.to_string())
    }
}

fn too_long(errors: &[TooLong]) -> Rejected {
    let fields = errors.iter().map(|error| InvalidField {
        field: error.field().to_owned(),
        message: error.to_string(),
    });
    Rejected {
        fields: fields.collect(),
        ..Rejected::new(ErrorCode::BadUserInput, "variables are too long")
    }
}

/// Whether anything ran: a request that was refused has no data at all.
pub(crate) fn has_run(response: &Response) -> bool {
    response.data != Value::Null || response.errors.iter().any(|error| !error.path.is_empty())
}
