//! The public keys, for whoever wants to check our access tokens without asking us.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::schema::Schema;

/// How long an answer may be kept. A new key signs from the moment it is read; whoever meets a `kid` that
/// they do not know asks again. Unit: seconds.
const CACHE: &str = "public, max-age=300, must-revalidate";

/// `GET /.well-known/jwks.json`.
pub(crate) async fn answer(State(schema): State<Schema>) -> Response {
    let keys = schema.app().tokens.jwks();
    (
        [
            (header::CONTENT_TYPE, "application/jwk-set+json"),
            (header::CACHE_CONTROL, CACHE),
        ],
        keys,
    )
        .into_response()
}
