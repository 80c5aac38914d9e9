//! What holds whatever the programs do: the arrows between the crates, the database's shape and its
//! privileges, who may ask for what, which files import which, and that what stands in two places is the same.

mod alerts;
mod arrows;
mod audited;
mod authorization;
mod blocking;
mod callers;
mod cast;
mod catalogue;
mod circles;
mod client_libraries;
mod composition;
mod conflicts;
mod contracts;
mod deployment;
mod event_stream;
mod http_audits;
mod inputs;
mod lengths;
mod maps;
mod migrations;
mod names;
mod nested;
mod playground;
mod portal;
mod privileges;
mod recipes;
mod schema;
mod script;
mod settings;
mod signatures;
mod specification;
mod tenants;
mod threats;
mod trail_row;
mod unrecorded;
