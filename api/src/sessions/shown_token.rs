//! The refresh token that a request shows, as text or by its cookie, read before it runs: what the request costs, and its answer, are
//! paid by the account of a good one, and not by its network.

use async_graphql::{
    Value as ConstValue, Variables,
    parser::types::{Field, OperationDefinition, OperationType, Selection},
};
use async_graphql_value::Value;
use domain::{
    ids::UserId,
    sessions::{RefreshVerdict, judge},
};
use store::{Pool, sessions};
use vault::refresh::RefreshToken;

use super::refresh_cookie::RefreshCookie;
use crate::error::Error;

/// The field by which an operation exchanges a refresh token.
#[derive(Clone, Copy)]
pub(crate) struct Exchange<'a>(&'a Field);

impl<'a> Exchange<'a> {
    /// Of an operation that exchanges a token and does nothing else; `None` of any other.
    pub(crate) fn alone(operation: &'a OperationDefinition) -> Option<Self> {
        let [only] = operation.selection_set.node.items.as_slice() else {
            return None;
        };
        let Selection::Field(field) = &only.node else {
            return None;
        };
        let exchanges =
            operation.ty == OperationType::Mutation && field.node.name.node == "refreshSession";
        exchanges.then_some(Self(&field.node))
    }

    /// The token that it shows, in its input or else by a cookie that may be used.
    pub(crate) fn shown_token(
        self,
        variables: &Variables,
        cookie: Option<&RefreshCookie>,
    ) -> Option<RefreshToken> {
        self.written_token(variables)
            .or_else(|| cookie.and_then(RefreshCookie::token))
    }

    fn written_token(self, variables: &Variables) -> Option<RefreshToken> {
        let input = self.0.get_argument("input")?;
        // By reference: a variable may be as long as a request.
        let given = match &input.node {
            Value::Variable(name) => match variables.get(name)? {
                ConstValue::Object(members) => members.get("refreshToken")?,
                _ => return None,
            },
            Value::Object(members) => match members.get("refreshToken")? {
                Value::String(text) => return RefreshToken::parse(text),
                Value::Variable(name) => variables.get(name)?,
                _ => return None,
            },
            _ => return None,
        };
        match given {
            ConstValue::String(text) => RefreshToken::parse(text),
            _ => None,
        }
    }
}

/// Whose log-in a token would go on with, as it seems before its row is locked; `None` where it would not be
/// taken. 256 bits are not found by trying, so that looking them up needs no counting.
///
/// # Errors
/// The database's.
pub(crate) async fn holder_of(pool: &Pool, token: &RefreshToken) -> Result<Option<UserId>, Error> {
    let mut conn = pool.acquire().await?;
    let found = sessions::peek_token(&mut conn, &token.hash()).await?;
    let holder = found.filter(|found| {
        matches!(
            judge(&found.presented, found.now),
            RefreshVerdict::Rotate | RefreshVerdict::Again
        )
    });
    Ok(holder.map(|found| found.user))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use async_graphql::parser::parse_query;
    use axum::http::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::*;
    use crate::query_limits::chosen;

    #[test]
    fn a_token_is_read_where_it_is_exchanged_and_nothing_else_is_done() {
        let text = RefreshToken::fresh().reveal();
        let inline = |token: &str| {
            format!(
                "mutation {{ refreshSession(input: {{ refreshToken: \"{token}\" }}) {{ expiresAt }} }}"
            )
        };
        let whole = "mutation($input: RefreshSessionInput!) { again: refreshSession(input: $input) { expiresAt } }";
        let part =
            "mutation($t: String!) { refreshSession(input: { refreshToken: $t }) { expiresAt } }";
        let both = "mutation($t: String!) { refreshSession(input: { refreshToken: $t }) { expiresAt } logOut { success } }";
        let query =
            "query($t: String!) { refreshSession(input: { refreshToken: $t }) { expiresAt } }";
        let other = "mutation($t: String!) { logIn(input: { refreshToken: $t }) { expiresAt } }";
        let variables = json!({ "input": { "refreshToken": text }, "t": text });
        for (document, is_shown) in [
            (inline(&text).as_str(), true),
            (inline("none of ours").as_str(), false),
            (whole, true),
            (part, true),
            (both, false),
            (query, false),
            (other, false),
        ] {
            let document = parse_query(document).unwrap();
            let operation = chosen(&document, None).unwrap();
            let variables = Variables::from_json(variables.clone());
            let shown = Exchange::alone(operation)
                .and_then(|exchange| exchange.shown_token(&variables, None));
            assert_eq!(shown.is_some(), is_shown, "{document:?}");
        }
    }

    #[test]
    fn a_token_that_is_not_written_is_read_from_a_cookie_that_may_be_used() {
        let cookie = |site: &'static str| {
            let token = RefreshToken::fresh().reveal();
            let cookie = format!("__Host-meditrustal_refresh={token}");
            let mut headers = HeaderMap::new();
            headers.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
            headers.insert("x-meditrustal-csrf", HeaderValue::from_static("1"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            RefreshCookie::read(&headers, true)
        };
        for (document, site, is_shown) in [
            (
                "mutation { refreshSession(input: {}) { expiresAt } }",
                "same-origin",
                true,
            ),
            (
                "mutation { refreshSession(input: {}) { expiresAt } }",
                "cross-site",
                false,
            ),
            (
                "mutation { logOut { endedSessions } }",
                "same-origin",
                false,
            ),
        ] {
            let document = parse_query(document).unwrap();
            let operation = chosen(&document, None).unwrap();
            let shown = Exchange::alone(operation).and_then(|exchange| {
                exchange.shown_token(&Variables::default(), Some(&cookie(site)))
            });
            assert_eq!(shown.is_some(), is_shown, "{document:?} {site}");
        }
    }
}
