//! Bearer tokens: JWTs, signed with a secret that all cores share (HMAC).

use super::grant::{Grant, KeyInUse, MethodScope};
use super::numeric_date::NumericDate;
use super::standing::{ISSUER_LEEWAY, Issued};
use crate::config::{AuthConfig, TokenAlgorithm};
use crate::store::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::{ClientTokenId, ServiceKeyId, UserId};

/// Issues and verifies tokens. Times are those of the database, so a token of one replica is valid at all of them.
pub struct Tokens {
    clock: Arc<Clock>,
    header: Header,
    encoding: EncodingKey,
    /// The key that signs, and those that signed before it.
    decoding: Vec<DecodingKey>,
    validation: Validation,
    lifetime: Duration,
}

/// The verified user of a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// When the token expires: Unix time in seconds.
    pub expires_at: i64,
    /// What the token says about its issue: its user may have ended the tokens from before a time.
    pub issued: Issued,
    remaining: Duration,
    /// What it may be used for; `None` for everything that its user may do.
    pub(crate) grant: Option<Arc<Grant>>,
}

impl Identity {
    /// A user whose token is valid for a minute.
    #[cfg(test)]
    pub(crate) fn for_tests(user_id: UserId) -> Self {
        let issued = Issued::Generation(0);
        Self { user_id, expires_at: 1_800_000_060, issued, remaining: Duration::from_secs(60), grant: None }
    }

    /// Returns the user of a token that is valid at `now`.
    pub(crate) fn new(user_id: UserId, exp: NumericDate, issued: Issued, now: DateTime<Utc>) -> Self {
        let until = exp.time();
        let remaining = (until - now).to_std().unwrap_or_default();
        Self { user_id, expires_at: until.timestamp(), issued, remaining, grant: None }
    }

    /// Returns the user for whom a service key acts at `now`. `until` is the end of the key; `None` if it has none.
    pub(crate) fn of_service(user_id: UserId, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let (expires_at, remaining) = match until {
            Some(until) => (until.timestamp(), (until - now).to_std().unwrap_or_default()),
            None => (i64::MAX, Duration::MAX),
        };
        Self { user_id, expires_at, issued: Issued::Always, remaining, grant: None }
    }

    /// Returns the same user with less rights.
    pub(crate) fn with_grant(self, grant: Arc<Grant>) -> Self {
        Self { grant: Some(grant), ..self }
    }

    /// Returns the service key that acts for the user; `None` if the user acts.
    pub(crate) fn service_key(&self) -> Option<&KeyInUse> {
        self.grant.as_ref()?.service_key.as_ref()
    }

    /// Returns how long the token was valid at the time of its verification.
    pub fn remaining(&self) -> Duration {
        self.remaining
    }
}

/// The claims of a token that this service issues.
#[derive(Serialize)]
struct IssuedClaims {
    sub: UserId,
    exp: i64,
    iat: i64,
    #[serde(rename = "gen")]
    generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<ClientClaims>,
}

/// The claims of a client token.
#[derive(Serialize, Deserialize)]
struct ClientClaims {
    id: ClientTokenId,
    /// The service key with which it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<ServiceKeyId>,
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<Arc<str>>,
}

/// The claims that are read. Another service that has the key may issue tokens without `gen`.
#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    exp: NumericDate,
    #[serde(default)]
    iat: Option<NumericDate>,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(rename = "gen", default)]
    generation: Option<i64>,
    #[serde(default)]
    client: Option<ClientClaims>,
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
        // `Claims` requires `exp` and `sub`. The library reads dates as whole numbers that fit into 64 bits.
        validation.required_spec_claims.clear();
        Self {
            clock,
            header: Header::new(algorithm),
            encoding: EncodingKey::from_secret(config.secret.expose_secret().as_bytes()),
            decoding: config.all_secrets().map(|secret| DecodingKey::from_secret(secret.as_bytes())).collect(),
            validation,
            lifetime: config.token_lifetime,
        }
    }

    /// Issues a token for this user, in the present generation of the user's tokens; `None` uses the configured
    /// lifetime. Returns it and when it expires.
    ///
    /// # Errors
    /// If signing fails, which depends on the secret alone.
    pub fn issue(
        &self,
        user_id: UserId,
        generation: i64,
        lifetime: Option<Duration>,
    ) -> Result<(String, DateTime<Utc>), jsonwebtoken::errors::Error> {
        self.sign(user_id, generation, lifetime.unwrap_or(self.lifetime), None)
    }

    /// Issues a client token: one that has a part of its user's rights.
    ///
    /// # Errors
    /// As for [`issue`](Self::issue).
    pub(crate) fn issue_client(
        &self,
        user_id: UserId,
        generation: i64,
        lifetime: Duration,
        grant: &Grant,
        id: ClientTokenId,
    ) -> Result<(String, DateTime<Utc>), jsonwebtoken::errors::Error> {
        let scopes = grant.methods.patterns().to_vec();
        let client = ClientClaims { id, key: grant.key_id, scopes, agent: grant.agent.clone() };
        self.sign(user_id, generation, lifetime, Some(client))
    }

    fn sign(
        &self,
        user_id: UserId,
        generation: i64,
        lifetime: Duration,
        client: Option<ClientClaims>,
    ) -> Result<(String, DateTime<Utc>), jsonwebtoken::errors::Error> {
        let now = self.clock.now().utc();
        let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        let expires_at = now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let claims =
            IssuedClaims { sub: user_id, exp: expires_at.timestamp(), iat: now.timestamp(), generation, client };
        let token = jsonwebtoken::encode(&self.header, &claims, &self.encoding)?;
        // As in the token: whole seconds.
        Ok((token, DateTime::from_timestamp(expires_at.timestamp(), 0).unwrap_or(expires_at)))
    }

    /// Returns the user of the token; `None` if it is invalid for any reason.
    pub fn verify(&self, token: &str) -> Option<Identity> {
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let verified = self.decoding.iter().find_map(decode)?;
        // Extensions that must be understood (RFC 7515, 4.1.11). None is.
        if verified.header.crit.is_some() {
            return None;
        }
        let claims = verified.claims;
        let now = self.clock.now().utc();
        // There is no leeway: the clock is that by which the token was issued.
        if claims.nbf.is_some_and(|nbf| nbf.is_after(now)) || !claims.exp.is_after(now) {
            return None;
        }
        let issued = match claims.generation {
            Some(generation) => Issued::Generation(generation),
            // By the clock of another service.
            None if claims.iat.is_some_and(|iat| iat.is_after(now + ISSUER_LEEWAY)) => return None,
            None => Issued::At(claims.iat.map(NumericDate::seconds)),
        };
        let identity = Identity::new(claims.sub, claims.exp, issued, now);
        Some(match claims.client {
            None => identity,
            Some(ClientClaims { id, key, scopes, agent }) => identity.with_grant(Arc::new(Grant {
                key_id: key,
                service_key: None,
                token_id: Some(id),
                methods: MethodScope::new(scopes),
                agent,
            })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn tokens(secret: &str, algorithm: TokenAlgorithm) -> Tokens {
        let config = AuthConfig {
            secret: secret.into(),
            former_secrets: vec![],
            algorithm,
            token_lifetime: Duration::from_secs(60),
        };
        Tokens::new(&config, Arc::new(Clock::for_tests()))
    }

    #[test]
    fn a_token_identifies_its_user() {
        let tokens = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = UserId::random();
        let (token, expires_at) = tokens.issue(user, 0, None).unwrap();
        let identity = tokens.verify(&token).unwrap();
        assert_eq!((identity.user_id, identity.expires_at), (user, expires_at.timestamp()));
        assert_eq!(identity.issued, Issued::Generation(0));
        assert!(identity.remaining() <= Duration::from_secs(60));
    }

    #[test]
    fn invalid_tokens_are_refused() {
        let ours = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let user = UserId::random();
        let (good, _) = ours.issue(user, 0, None).unwrap();
        let (foreign, _) = tokens("another secret", TokenAlgorithm::Hs256).issue(user, 0, None).unwrap();
        let (longer, _) = tokens("a secret of the tests", TokenAlgorithm::Hs512).issue(user, 0, None).unwrap();
        let (expired, _) = ours.issue(user, 0, Some(Duration::ZERO)).unwrap();
        let (head, rest) = good.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        let header = Header { crit: Some(vec!["x".into()]), ..ours.header.clone() };
        let claims = serde_json::json!({"sub": user, "exp": 4_000_000_000_u64});
        let extended = jsonwebtoken::encode(&header, &claims, &ours.encoding).unwrap();
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
            ("with an extension that must be understood", extended),
        ];
        for (what, token) in cases {
            assert_eq!(ours.verify(&token), None, "a token {what} was accepted");
        }
        assert!(ours.verify(&good).is_some());
    }

    #[test]
    fn who_is_named_by_a_service_is_known_for_as_long_as_its_key_is_valid() {
        let (user, now) = (UserId::random(), DateTime::UNIX_EPOCH);
        assert_eq!(Identity::of_service(user, None, now).remaining(), Duration::MAX);
        let until = |seconds: i64| Some(now + TimeDelta::seconds(seconds));
        let valid = Identity::of_service(user, until(7), now);
        assert_eq!((valid.remaining(), valid.expires_at), (Duration::from_secs(7), now.timestamp() + 7));
        assert_eq!(Identity::of_service(user, until(-7), now).remaining(), Duration::ZERO);
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

    #[test]
    fn dates_may_have_fractions_and_be_absurd() {
        let ours = tokens("a secret of the tests", TokenAlgorithm::Hs256);
        let sign = |claims: String| {
            let claims: serde_json::Value = serde_json::from_str(&claims).unwrap();
            jsonwebtoken::encode(&ours.header, &claims, &ours.encoding).unwrap()
        };
        let now = ours.clock.now().utc().timestamp();
        let verify = |dates: &str| {
            let dates = dates.replace("NOW", &now.to_string());
            ours.verify(&sign(format!(r#"{{"sub":"{}",{dates}}}"#, Uuid::nil()))).is_some()
        };
        for good in [r#""exp":NOW9.5"#, r#""exp":1e300"#, r#""exp":NOW9,"iat":NOW.25"#, r#""exp":NOW9,"nbf":-1e300"#] {
            assert!(verify(good), "{good}");
        }
        for bad in [
            r#""exp":"NOW9""#,
            r#""exp":-1"#,
            r#""exp":-1e300"#,
            r#""exp":null"#,
            r#""exp":NOW9,"nbf":1e300"#,
            r#""exp":[NOW9]"#,
            r#""exp":NOW9,"iat":"x""#,
            r#""exp":NOW9,"iat":NOW9"#,
            r#""exp":0"#,
        ] {
            assert!(!verify(bad), "{bad}");
        }
    }

    #[test]
    fn a_former_key_verifies_and_only_the_first_signs() {
        let before = tokens("the former secret", TokenAlgorithm::Hs256);
        let config = AuthConfig {
            secret: "the new secret".into(),
            former_secrets: vec!["the former secret".into()],
            algorithm: TokenAlgorithm::Hs256,
            token_lifetime: Duration::from_secs(60),
        };
        let after = Tokens::new(&config, Arc::new(Clock::for_tests()));
        let user = UserId::random();
        let (old, _) = before.issue(user, 0, None).unwrap();
        let (new, _) = after.issue(user, 0, None).unwrap();
        assert_eq!(after.verify(&old).unwrap().user_id, user);
        assert_eq!(after.verify(&new).unwrap().user_id, user);
        assert_eq!(before.verify(&new), None);
    }
}
