//! The refresh token as a cookie, for browsers, whose scripts then never see it
//! (`docs/decisions/0084-the-refresh-cookie.md`). Nobody is logged in by it: only the exchange of the token reads it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use chrono::{DateTime, Utc};
use vault::refresh::RefreshToken;

use crate::error::Error;

/// Its name. With this prefix browsers take it only over TLS and from this host itself, so that no neighbouring host can put a
/// token of its own in its place.
const NAME: &str = "__Host-meditrustal_refresh";
/// What takes it away from a browser.
pub(crate) const TAKEN_AWAY: &str =
    "__Host-meditrustal_refresh=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict";
/// What a page sends besides, and a foreign one cannot without asking first: `1`.
const CSRF_PROOF: HeaderName = HeaderName::from_static("x-meditrustal-csrf");
/// From where a browser says that the request comes.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the headers of a request say of the cookie.
#[derive(Clone)]
pub(crate) struct RefreshCookie {
    token: Option<String>,
    is_proven: bool,
}

impl RefreshCookie {
    /// Of these headers, whose origin may call or not.
    pub(crate) fn read(headers: &HeaderMap, is_allowed: bool) -> Self {
        let site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
        let is_near = matches!(site, None | Some(b"same-origin" | b"same-site"));
        // Every browser names one of them with a POST.
        let is_of_page =
            headers.contains_key(header::ORIGIN) || site == Some(b"same-origin".as_slice());
        let is_marked = headers
            .get(CSRF_PROOF)
            .is_some_and(|value| value.as_bytes() == b"1");
        Self {
            token: value_of(headers),
            is_proven: is_allowed && is_near && is_of_page && is_marked,
        }
    }

    /// Whether the browser sent one.
    pub(crate) const fn is_there(&self) -> bool {
        self.token.is_some()
    }

    /// Refuses a request that a foreign page may have had sent.
    ///
    /// # Errors
    /// [`Error::CsrfProofMissing`].
    pub(crate) const fn require_proof(&self) -> Result<(), Error> {
        if self.is_proven {
            Ok(())
        } else {
            Err(Error::CsrfProofMissing)
        }
    }

    /// The text that is to be exchanged.
    ///
    /// # Errors
    /// [`Error::CsrfProofMissing`]; [`Error::SessionEnded`] where there is none, which nobody has guessed.
    pub(crate) fn text(&self) -> Result<&str, Error> {
        self.require_proof()?;
        self.token.as_deref().ok_or(Error::SessionEnded)
    }

    /// The token, where it may be used.
    pub(crate) fn token(&self) -> Option<RefreshToken> {
        RefreshToken::parse(self.text().ok()?)
    }
}

/// The header that gives this token to a browser until then.
pub(crate) fn given(token: &RefreshToken, until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (until - now).num_seconds().max(0);
    let token = token.reveal();
    format!("{NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict")
}

/// Its value; `None` where it is there twice, because it cannot be told which of them is ours.
fn value_of(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut values = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == NAME)
        .map(|(_, value)| value.to_owned());
    let first = values.next();
    if values.next().is_some() {
        return None;
    }
    first
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_page_that_may_call_is_told_from_a_foreign_one() {
        let marked = ("x-meditrustal-csrf", "1");
        let page = ("origin", "https://app.example.org");
        let site = |site| ("sec-fetch-site", site);
        for (lines, is_allowed, is_proven) in [
            (vec![marked, page], true, true),
            (vec![marked, page, site("same-origin")], true, true),
            (vec![marked, page, site("same-site")], true, true),
            (vec![marked, site("same-origin")], true, true),
            (vec![marked, page], false, false),
            (vec![marked, page, site("cross-site")], true, false),
            (vec![marked, page, site("none")], true, false),
            (vec![marked, site("same-site")], true, false),
            (vec![marked], true, false),
            (vec![page, site("same-origin")], true, false),
            (vec![("x-meditrustal-csrf", ""), page], true, false),
        ] {
            let cookie = RefreshCookie::read(&headers(&lines), is_allowed);
            assert_eq!(cookie.require_proof().is_ok(), is_proven, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_not_where_it_stands_twice() {
        let token = RefreshToken::fresh();
        let now = DateTime::UNIX_EPOCH;
        let until = now + chrono::TimeDelta::seconds(60);
        let given = given(&token, until, now);
        assert!(given.contains("; Max-Age=60; "), "{given}");
        let ours = given.split(';').next().unwrap();
        let both = format!("a=b; {ours};c=d");
        let is_found = |lines: &[(&'static str, &str)]| {
            let found = value_of(&headers(lines));
            found.is_some_and(|text| RefreshToken::parse(&text) == Some(token.clone()))
        };
        assert!(is_found(&[("cookie", ours)]));
        assert!(is_found(&[("cookie", both.as_str())]));
        assert!(is_found(&[("cookie", "a=b"), ("cookie", ours)]));
        assert!(!is_found(&[("cookie", ours), ("cookie", ours)]));
        assert!(!is_found(&[("cookie", ours.to_lowercase().as_str())]));
        assert!(!is_found(&[]));
        assert!(TAKEN_AWAY.starts_with(&format!("{NAME}=; ")));
    }
}
