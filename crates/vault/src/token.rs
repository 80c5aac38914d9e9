//! Access tokens: JWT signed with Ed25519 and nothing else.

use std::{fmt, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{SessionId, UserId};
use ed25519_dalek::{
    Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result as JwtResult},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    digest,
    keyfile::{self, KeyFileError},
    random,
};

/// How long an access token lives.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Who issues tokens.
const ISSUER: &str = "meditrustal";
/// For whom.
const AUDIENCE: &str = "meditrustal-api";
/// How far clocks may differ. Unit: seconds.
const LEEWAY_SECONDS: u64 = 30;

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

/// Signs and checks access tokens.
pub struct TokenKey {
    id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl TokenKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`TokenKeyError`].
    pub fn load(path: &Path) -> Result<Self, TokenKeyError> {
        let pem = keyfile::read(path)?;
        Self::parse(&pem)
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`TokenKeyError::Malformed`].
    pub fn parse(pem: &str) -> Result<Self, TokenKeyError> {
        let key = SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| TokenKeyError::Malformed)?;
        let public = key.verifying_key().to_bytes();
        // Set already where another key was read before: the provider is the same.
        ED25519.install_default().ok();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        Ok(Self {
            id: digest::hex_of(&public)[..16].to_owned(),
            signing: EncodingKey::from_ed_der(&key.to_bytes()),
            verifying: DecodingKey::from_ed_der(&public),
            validation,
        })
    }

    /// The text of a new key file.
    pub fn generate() -> Zeroizing<String> {
        let key = SigningKey::from_bytes(&random::bytes());
        key.to_pkcs8_pem(LineEnding::LF)
            .expect("an Ed25519 key always encodes")
    }

    /// A token for this log-in, good for [`LIFETIME`].
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
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let token = jsonwebtoken::encode(&header, &claims, &self.signing)
            .expect("Ed25519 signs any message");
        (token, expires_at)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenError`]; never says more than expired or not.
    pub fn check(&self, token: &str) -> Result<Bearer, TokenError> {
        let data = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                _ => TokenError::Invalid,
            })?;
        if data.header.kid.as_deref() != Some(&self.id) {
            return Err(TokenError::Invalid);
        }
        let expires_at = DateTime::from_timestamp(data.claims.exp, 0).ok_or(TokenError::Invalid)?;
        Ok(Bearer {
            user: UserId(data.claims.sub),
            session: SessionId(data.claims.sid),
            expires_at,
        })
    }
}

/// jsonwebtoken with Ed25519 alone: its own backends bring RSA, two elliptic curves or a C library.
static ED25519: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(Ed25519Signer(SigningKey::from_bytes(
            key.as_bytes()
                .try_into()
                .map_err(|_| ErrorKind::InvalidEddsaKey)?,
        )))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is jsonwebtoken's"
)]
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::EdDSA {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let bytes = key
        .try_get_as_bytes()?
        .try_into()
        .map_err(|_| ErrorKind::InvalidEddsaKey)?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(Ed25519Verifier(key)))
}

struct Ed25519Signer(SigningKey);

impl signature::Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(VerifyingKey);

impl signature::Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let bytes =
            <[u8; 64]>::try_from(signature.as_slice()).map_err(|_| signature::Error::new())?;
        // Strict: no weak keys, and one signature for one message.
        self.0
            .verify_strict(message, &bytes.into())
            .map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use domain::clock::Clock;

    use super::*;

    const USER: UserId = UserId(Uuid::from_u128(1));
    const SESSION: SessionId = SessionId(Uuid::from_u128(2));

    #[test]
    fn a_token_says_who_and_until_when() {
        let key = TokenKey::parse(&TokenKey::generate()).unwrap();
        let (token, expires_at) = key.issue(USER, SESSION, Clock::System.now());
        let bearer = key.check(&token).unwrap();
        assert_eq!((bearer.user, bearer.session), (USER, SESSION));
        assert_eq!(bearer.expires_at.timestamp(), expires_at.timestamp());
    }

    #[test]
    fn an_old_a_foreign_and_a_changed_token_are_refused() {
        let key = TokenKey::parse(&TokenKey::generate()).unwrap();
        let now = Clock::System.now();
        let (old, _) = key.issue(USER, SESSION, now - TimeDelta::hours(1));
        assert_eq!(key.check(&old), Err(TokenError::Expired));
        let (early, _) = key.issue(USER, SESSION, now + TimeDelta::hours(1));
        assert_eq!(key.check(&early), Err(TokenError::Invalid));

        let stranger = TokenKey::parse(&TokenKey::generate()).unwrap();
        let (token, _) = stranger.issue(USER, SESSION, now);
        assert_eq!(key.check(&token), Err(TokenError::Invalid));

        let (token, _) = key.issue(USER, SESSION, now);
        let unsigned = token.rsplit_once('.').unwrap().0;
        // {"alg":"none","typ":"JWT"}
        let none = format!(
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
            unsigned.split_once('.').unwrap().1
        );
        for forged in ["", "a.b.c", unsigned, &none, &token[..token.len() - 4]] {
            assert_eq!(key.check(forged), Err(TokenError::Invalid), "{forged}");
        }
    }
}
