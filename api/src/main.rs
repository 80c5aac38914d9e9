//! MediTrustAl's GraphQL server and its operator's command line.
//!
//! # A map of the api
//!
//! From the outermost layer to the innermost. A module uses modules of its own layer and of those below it.
//!
//! Programs
//!
//! - `commands`: `serve`, `schema`, `health`, `maintain`, `verify`, `audit`, `retention`, `erasures`, `import`, `export`, `migrate`, `backup`, `restore`, `database`, `keys`, `signer`, `seal`, `records`, `admin`, `config`
//! - `config`: the settings, read from the environment and from options
//! - `core_dumps`: forbids dumps of this process's memory
//!
//! Transport
//!
//! - `connections`: accepts TCP connections, limited in number, in all and of one network, and in time; by TLS where there is a certificate
//! - `http`: the routes, and GraphQL over HTTP
//! - `websocket`: subscriptions by the protocol `graphql-transport-ws`
//! - `sse`: GraphQL over Server-Sent Events
//! - `bulk`: `POST /import`, `GET /export`, `GET /audit/export`, `GET /my-data`, and the files of records
//! - `authenticate`: who sends a request
//! - `request`: reads a GraphQL request from a body, a URL or a message
//! - `wire`: answers as they are sent
//! - `content_coding`: how answers are compressed
//! - `cors`: which web pages may call
//! - `readiness`: answers whether the process can do its work
//! - `jwks`: the public keys of the access tokens
//! - `playground`: serves GraphiQL, and the portal
//!
//! Schema
//!
//! - `schema`: the GraphQL schema, and how a request is executed
//!
//! Nouns: the use cases, and the part of the schema of each
//!
//! - `users`: accounts, passwords, roles
//! - `sessions`: sessions, refresh tokens, revocations
//! - `second_factor`: codes of a device, recovery codes
//! - `wallets`: wallets and the messages that they sign
//! - `records`: medical records: stored, amended, disclosed, listed, verified, imported, exported
//! - `consents`: consents: granted, withdrawn, listed; who has access, and what a consent would change
//! - `countries`: which countries data may be sent to
//! - `organizations`: organisations, and which doctors belong to them
//! - `audit`: the audit trail
//! - `deletion`: requests to erase or restrict data
//! - `retention`: what has been kept long enough, and how it is removed
//! - `erasure_ledger`: what was erased, in a file, and erased again after a restore
//! - `backups`: dumps of records and of keys: made, listed, verified, removed
//! - `restores`: dumps loaded into an empty database, and what has to follow
//! - `break_glass`: emergency access: opened, closed, reviewed, escalated
//! - `representatives`: who acts for whom: named, proposed, ended
//! - `my_data`: everything about a person, for that person
//! - `notifications`: what people are told: listed, marked as read, followed
//! - `integrity`: the registry, integrity events, the check of every record
//! - `nodes`: objects by their global IDs, of whatever type
//!
//! GraphQL vocabulary
//!
//! - `graphql`: scalars and enums of the schema, what every resolver begins with, and what mutations answer
//! - `loaders`: fetch together what resolvers ask for one by one
//!
//! Process
//!
//! - `app`: what one process consists of
//! - `dependencies`: what use cases may touch, where the same things go together
//! - `users/own`: the accounts of callers who ask, in batches
//! - `records/writer`: stores records, in batches
//! - `records/disclosure`: discloses single records, in batches
//! - `records/list`: finds lists of records, in batches
//! - `records/filter`: what records are looked for by
//! - `records/draft`: a record on its way to the writer
//! - `records/authorize`: decides which drafts may be stored
//! - `records/restored`: answers drafts of versions that are there already
//! - `records/sources`: answers drafts of documents that their source has sent before
//! - `records/succession`: ends the versions that drafts supersede
//! - `records/patient_keys`: the keys of patients that something is sealed with
//! - `records/signing`: signs the transactions of drafts
//! - `records/record_rows`: the rows that a draft becomes
//! - `sessions/revocations`: ends what is open of log-ins that were revoked
//! - `sessions/refresh_cookie`: the refresh token as a cookie, and what proves that no foreign page sent it
//! - `sessions/shown_token`: finds whose refresh token a request shows
//! - `wallets/proof`: whether a wallet signed
//! - `health`: whether the process can do its work
//! - `page`: pages of a list
//! - `cursor`: cursors, each good for the list that it was given out for
//! - `caller`: who sends a request, and the audit entries of that person
//! - `party`: the account or the network whose share a request takes
//! - `cost_limit`: limits what the requests of a party cost at a time and in a minute
//! - `upload_limit`: limits how many bytes of files an account sends in a day
//! - `answer_budget`: limits how many bytes answers have
//! - `parsed_documents`: keeps what GraphQL documents were parsed and counted to, by their texts
//! - `documents`: the documents that clients name by their hash instead of sending them
//! - `query_limits`: counts what a GraphQL document costs before it runs, and refuses one that costs too much
//! - `input_limits`: the limits of its variables
//! - `literals`: finds input objects in a document that have a field twice
//! - `long_entries`: how much memory there is for long entries of imports and their files
//! - `variables`: compares the values of variables with their types
//! - `facts`: what a decision goes by, read under the locks of the people concerned
//! - `batcher`: runs requests that wait together as one batch, and each alone where it fails
//! - `detached`: finishes what requests have begun, whoever waits
//! - `lease`: what everything that stays open holds: until its token, its log-in or the process ends
//! - `limits`: how much may be open at a time
//! - `event_writer`: writes an event stream to its connection
//! - `write_deadline`: ends an event stream whose client takes nothing
//! - `connection_limiter`: counts what is open for each key, such as a network or an account, up to a limit
//! - `throttle`: limits attempts to log in, by the rule of `domain::throttle`
//! - `hashing`: hashes passwords on threads of their own
//! - `tokens`: the keys of the access tokens
//! - `profiles`: reads the packages of profiles that documents are held against
//! - `key_checks`: compares the keys with the database before they are used
//! - `seals`: checks the seals of rows that decide, and seals what is written
//! - `proxies`: the client's address behind a trusted proxy
//! - `feed`: reads the feed of integrity events, and what people are told, for all subscribers
//! - `visibility`: decides which events subscribers may see
//! - `integrity/chain_head`: tells subscribers where the chain is, and how far it was followed
//! - `relay`: sends signed transactions to the chain, each account's by itself
//! - `relay/handing_over`: hands transactions to the node, and sees what becomes of them
//! - `relay/raising`: signs what offers too little again, with a higher fee
//! - `relay/again`: signs anchors again whose transaction came to nothing
//! - `relay/agreed`: asks a second node before something is done that cannot be taken back or costs money
//! - `relay/ends`: counts what the relays of this process decide to end, so that they share what is left of the hour
//! - `relay/others`: sends what accounts have signed that are not in use
//! - `relay/stuck`: findings about anchors that do not come to the chain
//! - `relay/closings`: signs what closes a record on the chain
//! - `relay/consents`: signs what tells the registry of consents what patients have signed
//! - `housekeeping`: removes old rows on a schedule
//! - `sampler`: looks every few seconds at what nobody counts as it happens, and tells the metrics
//! - `audit/sequencer`: gives the rows of the trail their places in the tree
//! - `audit/checkpoints`: pins the tree in the registry
//! - `audit/check`: compares the trail with its tree, and the tree with what was pinned
//! - `audit/purged`: what retention removed from the trail, and who signed that
//! - `audit/export`: the trail as a file, and the check of such a file
//! - `audit/finding`: findings about the trail
//! - `instruments`: what the process counts and measures, by closed lists of labels
//! - `error`: every way a request can fail
//! - `codes`: the code of every error, and of every reason to close a WebSocket
//! - `rejected`: the refusal of a request before anything of it runs
//! - `idempotency`: the keys by which a client may ask twice

mod answer_budget;
mod app;
mod audit;
mod authenticate;
mod backups;
mod batcher;
mod break_glass;
mod bulk;
mod caller;
mod codes;
mod commands;
mod config;
mod connection_limiter;
mod connections;
mod consents;
mod content_coding;
mod core_dumps;
mod cors;
mod cost_limit;
mod countries;
mod cursor;
mod deletion;
mod dependencies;
mod detached;
mod documents;
mod erasure_ledger;
mod error;
mod event_writer;
mod facts;
mod feed;
mod graphql;
mod hashing;
mod health;
mod housekeeping;
mod http;
mod idempotency;
mod input_limits;
mod instruments;
mod integrity;
mod jwks;
mod key_checks;
mod lease;
mod limits;
mod literals;
mod loaders;
mod long_entries;
mod my_data;
mod nodes;
mod notifications;
mod organizations;
mod page;
mod parsed_documents;
mod party;
mod playground;
mod profiles;
mod proxies;
mod query_limits;
mod readiness;
mod records;
mod rejected;
mod relay;
mod representatives;
mod request;
mod restores;
mod retention;
mod sampler;
mod schema;
mod seals;
mod second_factor;
mod sessions;
mod sse;
mod throttle;
mod tokens;
mod upload_limit;
mod users;
mod variables;
mod visibility;
mod wallets;
mod websocket;
mod wire;
mod write_deadline;

use std::{process::ExitCode, time::Duration};

use clap::CommandFactory as _;
use domain::environment::{self, unknown_settings};
use mimalloc::MiMalloc;

/// A request is thousands of small texts.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long what blocks a thread may go on at the end. A call of a foreign library, such as a PKCS#11 token's, may never return.
const UNFINISHED_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let own = settings::variables_of(commands::Cli::command());
    let given = settings::GivenSettings::read(settings::SettingNames {
        variables: [environment::variables(), own.clone()].concat(),
        secrets: environment::SECRETS.map(str::to_owned).to_vec(),
    });
    let unknown = unknown_settings(given.variables(), &own);
    // What is missing may be what was mistyped.
    let cli = settings::parse::<commands::Cli>(&given, &unknown);
    let lines = cli.plain_lines(&given);
    // Before anybody is spoken to, the collector of traces among them.
    if let Err(error) = tls::trust(cli.files.root_certificates.as_deref()) {
        return commands::fail(&error);
    }
    let telemetry = match cli.log.start() {
        Ok(telemetry) => telemetry,
        Err(error) => return commands::fail(&error),
    };
    if let Some(file) = &cli.files.config {
        tracing::debug!("Settings are read from {}", file.display());
    }
    if let Err(risky) = cli.safety.judge([unknown, lines].concat()) {
        commands::fail(&risky);
        return cli.command.refused();
    }
    if let Err(error) = core_dumps::forbid() {
        return commands::fail(&error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return commands::fail(&error),
    };
    let ran = runtime.block_on(async {
        let running = telemetry.begin()?;
        let ran = cli.command.run(&cli.files, &cli.safety, &given).await;
        running.end().await;
        ran
    });
    runtime.shutdown_timeout(UNFINISHED_WITHIN);
    match ran {
        Ok(code) => code,
        Err(error) => commands::fail(error.as_ref()),
    }
}
