//! Bearer tokens: JWTs, signed with a secret that all cores share (HMAC).

use crate::config::{AuthConfig, TokenAlgorithm};
use crate::store::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::UserId;

/// Issues and verifies tokens. Times are those of the database, so a token of one replica is valid at all of them.
pub struct Tokens {
    clock: Arc<Clock>,
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

/// The verified user of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// When the token expires: Unix time in seconds.
    pub expires_at: i64,
    remaining: Duration,
}

impl Identity {
    /// A user whose token is valid for a minute.
    #[cfg(test)]
    pub(crate) fn for_tests(user_id: UserId) -> Self {
        Self { user_id, expires_at: 1_800_000_060, remaining: Duration::from_secs(60) }
    }

    /// Returns how long the token was valid at the time of its verification.
    pub fn remaining(&self) -> Duration {
        self.remaining
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<f64>,
}

impl Tokens {
    /// Creates the signer and verifier.
    pub fn new(config: &AuthConfig, clock: Arc<Clock>) -> Self {
        let algorithm = match config.algorithm {
            TokenAlgorithm::Hs256 => Algorithm::HS256,
            TokenAlgorithm::Hs384 => Algorithm::HS384,
            TokenAlgorithm::Hs512 => Algorithm::HS512,
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        // The library compares with the local clock; `verify` compares with that of the database.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        // Other services may issue tokens for several audiences; the signature decides here.
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self {
            clock,
            header: Header::new(algorithm),
            encoding: EncodingKey::from_secret(config.secret.expose_secret().as_bytes()),
            decoding: DecodingKey::from_secret(config.secret.expose_secret().as_bytes()),
            validation,
            lifetime: config.token_lifetime,
        }
    }

    /// Issues a token for this user; `None` uses the configured lifetime. Returns it and when it expires.
    ///
    /// # Errors
    /// If signing fails, which depends on the secret alone.
    pub fn issue(
        &self,
        user_id: UserId,
        lifetime: Option<Duration>,
    ) -> Result<(String, DateTime<Utc>), jsonwebtoken::errors::Error> {
        let now = self.clock.now().utc();
        let lifetime = TimeDelta::from_std(lifetime.unwrap_or(self.lifetime)).unwrap_or(TimeDelta::MAX);
        let expires_at = now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let claims = Claims { sub: user_id, exp: expires_at.timestamp(), iat: Some(now.timestamp()), nbf: None };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding)?;
        // As in the token: whole seconds.
        Ok((token, DateTime::from_timestamp(expires_at.timestamp(), 0).unwrap_or(expires_at)))
    }

    /// Returns the user of the token; `None` if it is invalid for any reason.
    pub fn verify(&self, token: &str) -> Option<Identity> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        let now = self.clock.now().utc();
        // There is no leeway. Both are Unix times in seconds; `nbf` may have a fraction.
        let is_too_early = claims.nbf.is_some_and(|nbf| (now.timestamp() as f64) < nbf);
        if is_too_early || now.timestamp() >= claims.exp {
            return None;
        }
        let until = DateTime::from_timestamp(claims.exp, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let remaining = (until - now).to_std().unwrap_or_default();
        Some(Identity { user_id: claims.sub, expires_at: claims.exp, remaining })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tokens(secret: &str, algorithm: TokenAlgorithm) -> Tokens {
        let config = AuthConfig { secret: secret.into(), algorithm, token_lifetime: Duration::from_secs(60) };
        Tokens::new(&config, Arc::new(Clock::for_tests()))
    }

    #[test]
    fn a_token_identifies_its_user() {
        let tokens = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = UserId::random();
        let (token, expires_at) = tokens.issue(user, None).unwrap();
        let identity = tokens.verify(&token).unwrap();
        assert_eq!((identity.user_id, identity.expires_at), (user, expires_at.timestamp()));
        assert!(identity.remaining() <= Duration::from_secs(60));
    }

    #[test]
    fn invalid_tokens_are_refused() {
        let ours = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = UserId::random();
        let (good, _) = ours.issue(user, None).unwrap();
        let (foreign, _) = tokens("another secret", TokenAlgorithm::Hs256).issue(user, None).unwrap();
        let (longer, _) = tokens("a secret of the tests", TokenAlgorithm::Hs512).issue(user, None).unwrap();
        let (expired, _) = ours.issue(user, Some(Duration::ZERO)).unwrap();
        let (head, rest) = good.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        // {"alg":"none","typ":"JWT"}
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
        let cases = [
            ("of another secret", foreign),
            ("of another algorithm", longer),
            ("expired", expired),
            ("unsigned", none),
            ("with its signature cut", format!("{head}.{body}.")),
            ("with a changed body", format!("{head}.{}A.{signature}", &body[..body.len() - 1])),
            ("empty", String::new()),
            ("no token at all", "x.y.z".to_owned()),
        ];
        for (what, token) in cases {
            assert_eq!(ours.verify(&token), None, "a token {what} was accepted");
        }
        assert!(ours.verify(&good).is_some());
    }

    #[test]
    fn sub_must_be_a_uuid_and_exp_is_required() {
        let ours = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let sign = |claims: serde_json::Value| jsonwebtoken::encode(&ours.header, &claims, &ours.encoding).unwrap();
        let later = ours.clock.now().utc().timestamp() + 60;
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": "root", "exp": later}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7()}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"exp": later}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7(), "exp": later, "nbf": later}))), None);
        assert!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7(), "exp": later, "aud": "x"}))).is_some());
    }
}
