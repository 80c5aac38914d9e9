#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use domain::clock::Clock;

use super::*;

const USER: UserId = UserId(Uuid::from_u128(1));
const SESSION: SessionId = SessionId(Uuid::from_u128(2));

fn keys() -> TokenKeys {
    TokenKeys::parse(&TokenKeys::generate()).unwrap()
}

/// The same keys twice: where a token is issued and where it was never seen.
fn two_processes() -> [TokenKeys; 2] {
    let text = TokenKeys::generate();
    [(); 2].map(|()| TokenKeys::parse(&text).unwrap())
}

/// A token of these keys with another header, signed as any other.
fn with_header(keys: &TokenKeys, change: impl FnOnce(&mut Header)) -> String {
    let now = Clock::System.now();
    let mut header = Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(keys.keys[0].id.clone()),
        ..Header::new(Algorithm::EdDSA)
    };
    change(&mut header);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: USER.0,
        sid: SESSION.0,
        jti: "1".to_owned(),
        iat: now.timestamp(),
        nbf: now.timestamp(),
        exp: (now + LIFETIME).timestamp(),
    };
    jsonwebtoken::encode(&header, &claims, &keys.keys[0].signing).unwrap()
}

#[test]
fn a_token_says_who_and_until_when_wherever_it_is_checked() {
    let ([here, elsewhere], now) = (two_processes(), Clock::System.now());
    let (token, expires_at) = here.issue(USER, SESSION, now);
    for keys in [&here, &elsewhere, &elsewhere] {
        let bearer = keys.check(&token, now).unwrap();
        assert_eq!((bearer.user, bearer.session), (USER, SESSION));
        assert_eq!(bearer.expires_at.timestamp(), expires_at.timestamp());
    }
}

#[test]
fn an_old_and_an_early_token_are_refused_wherever_they_are_checked() {
    let ([here, elsewhere], now) = (two_processes(), Clock::System.now());
    let (old, _) = here.issue(USER, SESSION, now - TimeDelta::hours(1));
    let (early, _) = here.issue(USER, SESSION, now + TimeDelta::hours(1));
    for keys in [&here, &elsewhere] {
        assert_eq!(keys.check(&old, now), Err(TokenError::Expired));
        assert_eq!(keys.check(&early, now), Err(TokenError::Invalid));
    }
}

#[test]
fn a_foreign_and_a_changed_token_are_refused() {
    let (keys, now) = (keys(), Clock::System.now());
    let (token, _) = self::keys().issue(USER, SESSION, now);
    assert_eq!(keys.check(&token, now), Err(TokenError::Invalid));

    let (token, _) = keys.issue(USER, SESSION, now);
    let unsigned = token.rsplit_once('.').unwrap().0;
    // {"alg":"none","typ":"JWT"}
    let none = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        unsigned.split_once('.').unwrap().1
    );
    for forged in ["", "a.b.c", unsigned, &none, &token[..token.len() - 4]] {
        assert_eq!(
            keys.check(forged, now),
            Err(TokenError::Invalid),
            "{forged}"
        );
    }
}

#[test]
fn a_token_that_was_seen_is_still_refused_once_it_is_over() {
    let (keys, now) = (keys(), Clock::System.now());
    let (token, expires_at) = keys.issue(USER, SESSION, now);
    assert!(keys.check(&token, now).is_ok());

    let late = expires_at + LEEWAY;
    assert!(keys.check(&token, late - TimeDelta::seconds(1)).is_ok());
    assert_eq!(
        keys.check(&token, late + TimeDelta::seconds(1)),
        Err(TokenError::Expired)
    );
}

#[test]
fn only_an_access_token_by_a_key_that_it_names_is_one() {
    let (keys, now) = (keys(), Clock::System.now());
    let good = with_header(&keys, |_| {});
    assert!(keys.check(&good, now).is_ok());
    let wrong: [fn(&mut Header); 4] = [
        |header| header.typ = Some("JWT".to_owned()),
        |header| header.typ = None,
        |header| header.kid = Some("another".to_owned()),
        |header| header.kid = None,
    ];
    for change in wrong {
        let token = with_header(&keys, change);
        assert_eq!(keys.check(&token, now), Err(TokenError::Invalid));
    }
}

#[test]
fn a_new_key_in_front_signs_and_the_older_ones_still_verify() {
    let (old, new) = (TokenKeys::generate(), TokenKeys::generate());
    let now = Clock::System.now();
    let before = TokenKeys::parse(&old).unwrap();
    let (token, _) = before.issue(USER, SESSION, now);

    let both = TokenKeys::parse(&format!("{}\n{}", new.as_str(), old.as_str())).unwrap();
    let added = TokenKeys::parse(&TokenKeys::add(&old, 1)).unwrap();
    assert_eq!(added.ids().count(), 2);
    assert!(added.check(&token, now).is_ok());
    assert_eq!(added.ids().last(), before.ids().next());
    let alone = TokenKeys::parse(&TokenKeys::add(&old, 0)).unwrap();
    assert_eq!(alone.check(&token, now), Err(TokenError::Invalid));

    assert!(both.check(&token, now).is_ok());
    let (newer, _) = both.issue(USER, SESSION, now);
    assert_eq!(before.check(&newer, now), Err(TokenError::Invalid));
    assert!(TokenKeys::parse(&new).unwrap().check(&newer, now).is_ok());
    assert_eq!(both.ids().count(), 2);
    let jwks: serde_json::Value = serde_json::from_str(&both.jwks()).unwrap();
    let listed = jwks["keys"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(listed, both.ids().collect::<Vec<_>>());
    assert!(!both.jwks().contains("\"d\""), "public keys alone");
    for malformed in ["", "-----END PRIVATE KEY-----", "no key"] {
        assert!(TokenKeys::parse(malformed).is_err(), "{malformed:?}");
    }
}

#[test]
fn a_successor_is_the_same_each_time_and_known_by_its_hash_after_a_rotation_of_keys() {
    let (old, new) = (TokenKeys::generate(), TokenKeys::generate());
    let before = TokenKeys::parse(&old).unwrap();
    let after = TokenKeys::parse(&format!("{}{}", new.as_str(), old.as_str())).unwrap();
    let (parent, child) = (RefreshToken::fresh(), SessionId::fresh());

    let token = before.successor(&parent, child);

    assert_eq!(before.successor(&parent, child), token);
    let again = after.known_successor(&parent, child, &token.hash());
    assert_eq!(again, Some(token.clone()));
    assert_ne!(after.successor(&parent, child), token, "another key");
    assert_ne!(before.successor(&parent, SessionId::fresh()), token);
    assert_ne!(before.successor(&RefreshToken::fresh(), child), token);
    let unknown = before.known_successor(&parent, SessionId::fresh(), &token.hash());
    assert_eq!(unknown, None);
}
