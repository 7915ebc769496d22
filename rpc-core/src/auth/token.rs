//! Bearer tokens: JWTs signed with the server's secret.

use crate::config::{AuthConfig, TokenAlgorithm};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// Makes and checks tokens.
pub struct Tokens {
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

/// Whom a good token names, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: Uuid,
    /// Unix time, in seconds, from which the token is worth nothing.
    pub expires_at: i64,
}

impl Identity {
    /// Whether the token has expired. There is no leeway.
    pub fn is_expired(&self) -> bool {
        Utc::now().timestamp() >= self.expires_at
    }

    /// How long the token is still good.
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
    /// Tokens as configured.
    pub fn new(config: &AuthConfig) -> Self {
        let algorithm = match config.algorithm {
            TokenAlgorithm::Hs256 => Algorithm::HS256,
            TokenAlgorithm::Hs384 => Algorithm::HS384,
            TokenAlgorithm::Hs512 => Algorithm::HS512,
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_nbf = true;
        // Other services may mint tokens for several audiences; the signature is what counts here.
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

    /// A token for this user, and when it expires.
    ///
    /// # Errors
    /// When signing fails, which the secret alone decides.
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
        // What the token says: whole seconds.
        Ok((token, DateTime::from_timestamp(expires_at.timestamp(), 0).unwrap_or(expires_at)))
    }

    /// Whom the token names; `None` for any token that is not good, whatever is wrong with it.
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
    fn a_token_names_its_user() {
        let tokens = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = Uuid::now_v7();
        let (token, expires_at) = tokens.issue(user, None).unwrap();
        let identity = tokens.verify(&token).unwrap();
        assert_eq!((identity.user_id, identity.expires_at), (user, expires_at.timestamp()));
        assert!(identity.remaining() <= Duration::from_secs(60));
    }

    #[test]
    fn bad_tokens_name_nobody() {
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
            assert_eq!(ours.verify(&token), None, "a token {what} was taken");
        }
        assert!(ours.verify(&good).is_some());
    }

    #[test]
    fn sub_must_be_a_uuid_and_exp_must_be_there() {
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
