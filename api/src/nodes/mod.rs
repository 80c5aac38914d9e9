//! Objects by their global IDs, of whatever type: each is found by the use case of its noun.

pub(crate) mod graphql;
