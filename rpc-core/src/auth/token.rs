//! Bearer tokens: JWTs, signed with a secret that all cores share (HMAC).

use crate::config::{AuthConfig, TokenAlgorithm};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// Issues and verifies tokens.
pub struct Tokens {
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
    pub user_id: Uuid,
    /// When the token expires: Unix time in seconds.
    pub expires_at: i64,
}

impl Identity {
    /// Returns whether the token has expired. There is no leeway.
    pub fn is_expired(&self) -> bool {
        Utc::now().timestamp() >= self.expires_at
    }

    /// Returns how long the token is still valid.
    pub fn remaining(&self) -> Duration {
        let until = DateTime::from_timestamp(self.expires_at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        (until - Utc::now()).to_std().unwrap_or_default()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: Uuid,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
}

impl Tokens {
    /// Creates the signer and verifier.
    pub fn new(config: &AuthConfig) -> Self {
        let algorithm = match config.algorithm {
            TokenAlgorithm::Hs256 => Algorithm::HS256,
            TokenAlgorithm::Hs384 => Algorithm::HS384,
            TokenAlgorithm::Hs512 => Algorithm::HS512,
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_nbf = true;
        // Other services may issue tokens for several audiences; the signature decides here.
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self {
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
        user_id: Uuid,
        lifetime: Option<Duration>,
    ) -> Result<(String, DateTime<Utc>), jsonwebtoken::errors::Error> {
        let now = Utc::now();
        let lifetime = TimeDelta::from_std(lifetime.unwrap_or(self.lifetime)).unwrap_or(TimeDelta::MAX);
        let expires_at = now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let claims = Claims { sub: user_id, exp: expires_at.timestamp(), iat: Some(now.timestamp()) };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding)?;
        // As in the token: whole seconds.
        Ok((token, DateTime::from_timestamp(expires_at.timestamp(), 0).unwrap_or(expires_at)))
    }

    /// Returns the user of the token; `None` if it is invalid for any reason.
    pub fn verify(&self, token: &str) -> Option<Identity> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        let identity = Identity { user_id: claims.sub, expires_at: claims.exp };
        (!identity.is_expired()).then_some(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(secret: &str, algorithm: TokenAlgorithm) -> Tokens {
        Tokens::new(&AuthConfig { secret: secret.into(), algorithm, token_lifetime: Duration::from_secs(60) })
    }

    #[test]
    fn a_token_identifies_its_user() {
        let tokens = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = Uuid::now_v7();
        let (token, expires_at) = tokens.issue(user, None).unwrap();
        let identity = tokens.verify(&token).unwrap();
        assert_eq!((identity.user_id, identity.expires_at), (user, expires_at.timestamp()));
        assert!(identity.remaining() <= Duration::from_secs(60));
    }

    #[test]
    fn invalid_tokens_are_refused() {
        let ours = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = Uuid::now_v7();
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
        let later = Utc::now().timestamp() + 60;
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": "root", "exp": later}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7()}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"exp": later}))), None);
        assert_eq!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7(), "exp": later, "nbf": later}))), None);
        assert!(ours.verify(&sign(serde_json::json!({"sub": Uuid::now_v7(), "exp": later, "aud": "x"}))).is_some());
    }
}
