//! Which countries data may be sent to: administrators say by what.

pub(crate) mod graphql;
mod rules;
