//! The refresh token that a request shows, as text or by its cookie, read before it runs: what the request costs, and its answer, are
//! paid by the account of a good one, and not by its network.

use async_graphql::{
    Name, Value as ConstValue, Variables,
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
pub(crate) struct Exchange<'a> {
    field: &'a Field,
    operation: &'a OperationDefinition,
}

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
        exchanges.then_some(Self {
            field: &field.node,
            operation,
        })
    }

    /// The token that it shows: what its input says, whatever that is; a cookie that may be used only where the input says none.
    /// A cookie beside a written token is not exchanged, and so its account does not pay.
    pub(crate) fn shown_token(
        self,
        variables: &Variables,
        cookie: Option<&RefreshCookie>,
    ) -> Option<RefreshToken> {
        match self.written(variables) {
            WrittenToken::Text(text) => RefreshToken::parse(text),
            WrittenToken::Unfit => None,
            WrittenToken::Absent => cookie.and_then(RefreshCookie::token),
        }
    }

    fn written<'b>(self, variables: &'b Variables) -> WrittenToken<'b>
    where
        'a: 'b,
    {
        let Some(input) = self.field.get_argument("input") else {
            return WrittenToken::Unfit;
        };
        // By reference: a variable may be as long as a request.
        match &input.node {
            Value::Variable(name) => match self.value_of(name, variables) {
                Some(ConstValue::Object(members)) => WrittenToken::of(members.get("refreshToken")),
                _ => WrittenToken::Unfit,
            },
            Value::Object(members) => match members.get("refreshToken") {
                Some(Value::String(text)) => WrittenToken::Text(text),
                Some(Value::Variable(name)) => WrittenToken::of(self.value_of(name, variables)),
                None | Some(Value::Null) => WrittenToken::Absent,
                Some(_) => WrittenToken::Unfit,
            },
            _ => WrittenToken::Unfit,
        }
    }

    /// What a variable stands for: what was sent, or else its default.
    fn value_of<'b>(self, name: &Name, variables: &'b Variables) -> Option<&'b ConstValue>
    where
        'a: 'b,
    {
        variables.get(name).or_else(|| {
            let mut definitions = self.operation.variable_definitions.iter();
            let definition = definitions.find(|it| it.node.name.node == *name)?;
            definition.node.default_value.as_ref().map(|it| &it.node)
        })
    }
}

/// What an input says of the token.
enum WrittenToken<'a> {
    /// This, whether it is a token or not.
    Text(&'a str),
    /// Something that is no text: nothing is exchanged.
    Unfit,
    /// Nothing: it is in the cookie.
    Absent,
}

impl<'a> WrittenToken<'a> {
    fn of(given: Option<&'a ConstValue>) -> Self {
        match given {
            Some(ConstValue::String(text)) => Self::Text(text),
            None | Some(ConstValue::Null) => Self::Absent,
            Some(_) => Self::Unfit,
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

    fn cookie(site: &'static str) -> RefreshCookie {
        let token = RefreshToken::fresh().reveal();
        let cookie = format!("__Host-meditrustal_refresh={token}");
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
        headers.insert("x-meditrustal-csrf", HeaderValue::from_static("1"));
        headers.insert("sec-fetch-site", HeaderValue::from_static(site));
        RefreshCookie::read(&headers, true)
    }

    #[test]
    fn a_token_that_is_not_written_is_read_from_a_cookie_that_may_be_used() {
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

    #[test]
    fn a_cookie_beside_a_written_token_is_not_shown_whatever_is_written() {
        let exchange = |definition: &str, input: &str| {
            format!("mutation{definition} {{ refreshSession(input: {input}) {{ expiresAt }} }}")
        };
        let of_text =
            |default: &str| exchange(&format!("($t: String{default})"), "{ refreshToken: $t }");
        let of_input = exchange("($input: RefreshSessionInput!)", "$input");
        let written = |text: &str| exchange("", &format!("{{ refreshToken: {text} }}"));
        for (document, variables, is_shown) in [
            (written("null"), json!({}), true),
            (written("\"none of ours\""), json!({}), false),
            (written("\"\""), json!({}), false),
            (written("7"), json!({}), false),
            (of_text(""), json!({}), true),
            (of_text(""), json!({ "t": null }), true),
            (of_text(""), json!({ "t": "none of ours" }), false),
            (of_text(" = \"none of ours\""), json!({}), false),
            (of_text(" = \"none of ours\""), json!({ "t": null }), true),
            (of_input.clone(), json!({ "input": {} }), true),
            (
                of_input.clone(),
                json!({ "input": { "refreshToken": null } }),
                true,
            ),
            (
                of_input.clone(),
                json!({ "input": { "refreshToken": "none of ours" } }),
                false,
            ),
            (
                of_input.clone(),
                json!({ "input": { "refreshToken": ["x"] } }),
                false,
            ),
            (of_input, json!({}), false),
        ] {
            let parsed = parse_query(&document).unwrap();
            let operation = chosen(&parsed, None).unwrap();
            let given = Variables::from_json(variables.clone());
            let shown = Exchange::alone(operation)
                .and_then(|exchange| exchange.shown_token(&given, Some(&cookie("same-origin"))));
            assert_eq!(shown.is_some(), is_shown, "{document} {variables}");
        }
    }
}
