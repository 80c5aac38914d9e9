//! Integrity: the registry, and the events that verifiers follow.

pub(crate) mod chain_head;
pub(crate) mod deep_check;
pub(crate) mod graphql;
mod public_events;
pub(crate) mod record_updates;
mod subscription;
