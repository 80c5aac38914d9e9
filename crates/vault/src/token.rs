//! Access tokens: JWT signed with Ed25519 and nothing else.

mod provider;
mod seen;

use std::{fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{SessionId, UserId};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use hkdf::Hkdf;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use self::{provider::ED25519, seen::Seen};
use crate::{
    digest,
    keyfile::{self, KeyFileError},
    random,
    refresh::RefreshToken,
};

/// How long an access token lives.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Who issues tokens.
const ISSUER: &str = "meditrustal";
/// For whom.
const AUDIENCE: &str = "meditrustal-api";
/// The `typ` of an access token (RFC 9068, section 2.1): no other token of ours can pass for one.
const TYPE: &str = "at+jwt";
/// How far clocks may differ. Unit: seconds.
const LEEWAY_SECONDS: u64 = 30;
/// The same, as a span.
const LEEWAY: TimeDelta = TimeDelta::seconds(LEEWAY_SECONDS.cast_signed());
/// What sets the keys of refresh tokens apart from everything else that a token key signs.
const SUCCESSOR: &[u8] = b"meditrustal refresh token 1";
/// The last line of a PEM block.
const END_OF_BLOCK: &str = "-----END PRIVATE KEY-----";

/// Why the token key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Not an Ed25519 key in PKCS#8 PEM.
    #[error("the token key file is no Ed25519 private key in PKCS#8 PEM")]
    Malformed,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It was good until lately.
    #[error("the access token has expired")]
    Expired,
    /// It was never one of ours.
    #[error("the access token is not valid")]
    Invalid,
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// Who.
    pub user: UserId,
    /// By which log-in.
    pub session: SessionId,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// One key of the file.
struct TokenKey {
    id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    public: [u8; 32],
    secret: Zeroizing<[u8; 32]>,
}

impl TokenKey {
    fn parse(pem: &str) -> Result<Self, TokenKeyError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| TokenKeyError::Malformed)?;
        let public = key.verifying_key().to_bytes();
        Ok(Self {
            id: digest::hex_of(&public)[..16].to_owned(),
            signing: EncodingKey::from_ed_der(&key.to_bytes()),
            verifying: DecodingKey::from_ed_der(&public),
            public,
            secret: Zeroizing::new(key.to_bytes()),
        })
    }
}

/// Signs and checks access tokens. The first key of the file signs, all of them verify, so a new key in
/// front logs nobody out; one that is removed ends what it signed.
pub struct TokenKeys {
    keys: Vec<TokenKey>,
    validation: Validation,
    seen: Seen,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

impl TokenKeys {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub fn load(path: &Path) -> Result<Self, TokenKeyError> {
        let pem = keyfile::read(path)?;
        Self::parse(&pem)
    }

    /// Reads the text of a key file: one PEM block after another.
    ///
    /// # Errors
    /// [`TokenKeyError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TokenKeyError> {
        let keys: Vec<_> = blocks(text)
            .map(TokenKey::parse)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(TokenKeyError::Malformed);
        }
        // Set already where other keys were read before: the provider is the same.
        ED25519.install_default().ok();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // `sid`, `jti` and `iat` are required by their type: see `Claims`.
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Ok(Self {
            keys,
            validation,
            seen: Seen::default(),
        })
    }

    /// The text of a new key file.
    pub fn generate() -> Zeroizing<String> {
        let key = SigningKey::from_bytes(&random::bytes());
        key.to_pkcs8_pem(LineEnding::LF)
            .expect("an Ed25519 key always encodes")
    }

    /// The text of a key file with a new key in front and this many of those that are there.
    pub fn add(text: &str, keep: usize) -> Zeroizing<String> {
        let mut all = Self::generate();
        for block in blocks(text).take(keep) {
            all.push_str(block);
            all.push('\n');
        }
        all
    }

    /// The ids of the keys, the one that signs first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// The public keys as a JSON Web Key Set (RFC 7517, RFC 8037): who checks our tokens needs no more.
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                serde_json::json!({
                    "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                    "kid": key.id, "x": BASE64.encode(key.public),
                })
            })
            .collect();
        serde_json::json!({ "keys": keys }).to_string()
    }

    /// A token for this log-in, good for [`LIFETIME`]. It counts as seen: who signed it need not verify it.
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> (String, DateTime<Utc>) {
        let expires_at = now + LIFETIME;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.0,
            sid: session.0,
            jti: random::hex::<16>(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
        };
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: Some(self.keys[0].id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.keys[0].signing)
            .expect("Ed25519 signs any message");
        if let Some(bearer) = bearer(&claims) {
            self.seen.put(digest::of(token.as_bytes()), bearer, now);
        }
        (token, expires_at)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenError`]; never says more than expired or not.
    pub fn check(&self, token: &str, now: DateTime<Utc>) -> Result<Bearer, TokenError> {
        let name = digest::of(token.as_bytes());
        if let Some(bearer) = self.seen.get(&name) {
            return still_good(bearer, now);
        }
        let bearer = self.verify(token)?;
        self.seen.put(name, bearer, now);
        still_good(bearer, now)
    }

    /// Reads a token that was not seen before.
    fn verify(&self, token: &str) -> Result<Bearer, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let is_ours = header
            .typ
            .is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE));
        let key = self
            .keys
            .iter()
            .find(|key| is_ours && header.kid.as_ref() == Some(&key.id))
            .ok_or(TokenError::Invalid)?;
        let data = jsonwebtoken::decode::<Claims>(token, &key.verifying, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            })?;
        bearer(&data.claims).ok_or(TokenError::Invalid)
    }

    /// What a refresh token is rotated to: the same each time, so that a client which asked twice at once
    /// is answered twice, and unknown to whoever has only the parent, or only the database.
    pub fn successor(&self, parent: &RefreshToken, child: SessionId) -> RefreshToken {
        successor(&self.keys[0], parent, child)
    }

    /// The successor that was given already, by whichever key, if its hash is this one.
    pub fn known_successor(
        &self,
        parent: &RefreshToken,
        child: SessionId,
        hash: &str,
    ) -> Option<RefreshToken> {
        self.keys
            .iter()
            .map(|key| successor(key, parent, child))
            .find(|token| token.hash() == hash)
    }
}

/// The PEM blocks of a key file.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(END_OF_BLOCK)
        .map(str::trim)
        .filter(|block| !block.is_empty())
}

fn successor(key: &TokenKey, parent: &RefreshToken, child: SessionId) -> RefreshToken {
    let mut bytes = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, key.secret.as_slice())
        .expand_multi_info(
            &[SUCCESSOR, parent.as_bytes(), child.0.as_bytes()],
            bytes.as_mut_slice(),
        )
        .expect("HKDF-SHA256 gives up to 8160 bytes and 32 are asked for");
    RefreshToken::from_bytes(bytes)
}

/// Whom the claims name; `None` where they end at no time there is.
fn bearer(claims: &Claims) -> Option<Bearer> {
    Some(Bearer {
        user: UserId(claims.sub),
        session: SessionId(claims.sid),
        expires_at: DateTime::from_timestamp(claims.exp, 0)?,
    })
}

/// A token is good from [`LIFETIME`] before its end on, whenever it was verified.
fn still_good(bearer: Bearer, now: DateTime<Utc>) -> Result<Bearer, TokenError> {
    if bearer.expires_at + LEEWAY < now {
        return Err(TokenError::Expired);
    }
    if bearer.expires_at - LIFETIME - LEEWAY > now {
        return Err(TokenError::Invalid);
    }
    Ok(bearer)
}

#[cfg(test)]
mod tests;
