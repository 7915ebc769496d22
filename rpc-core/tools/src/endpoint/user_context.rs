//! Tells a service for which user a call is made, with a short-lived token that the service can verify.

use crate::config::UserContext;
use crate::tool::ToolContext;
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use threadline_schema::call::ClientHints;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use uuid::Uuid;

/// Lifetime of a token, in seconds: the service verifies it when the request arrives.
const LIFETIME: i64 = 60;
const ISSUER: &str = "threadline";

/// Signs the tokens of one endpoint.
pub(super) struct UserContextSigner {
    header: HeaderName,
    key: EncodingKey,
    audience: Option<String>,
}

/// The claims of a token. `docs/AGENTS.md` documents them.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// For whom the token is, if the file says so: services that share a key must not take each other's tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    /// The user.
    sub: UserId,
    thread: ThreadId,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    tool: &'a str,
    /// Unique per call.
    jti: Uuid,
    iat: i64,
    exp: i64,
    /// The languages that the client prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<&'a str>,
    /// The metadata that the client sent with its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

impl UserContextSigner {
    pub(super) fn new(config: &UserContext) -> Result<Self, String> {
        let header = HeaderName::try_from(&config.header).map_err(|error| error.to_string())?;
        let key = EncodingKey::from_secret(config.key.expose_secret().as_bytes());
        Ok(Self { header, key, audience: config.audience.clone() })
    }

    /// Signs a token for one call. Returns it with the name of its header.
    ///
    /// # Errors
    /// If signing fails. The text is for the model.
    pub(super) fn sign(
        &self,
        context: ToolContext<'_>,
        tool: &str,
        now: DateTime<Utc>,
    ) -> Result<(HeaderName, HeaderValue), String> {
        let now = now.timestamp();
        let claims = Claims {
            iss: ISSUER,
            aud: self.audience.as_deref(),
            sub: context.user_id,
            thread: context.thread_id,
            run: context.run_id,
            tool,
            jti: Uuid::new_v4(),
            iat: now,
            exp: now + LIFETIME,
            languages: context.client_hints.and_then(|hints| hints.languages.as_deref()),
            metadata: context.client_hints.and_then(ClientHints::metadata_json),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).map_err(|error| {
            tracing::error!(tool, %error, "user context of a tool call cannot be signed");
            "The call could not be prepared. Nothing was done.".to_owned()
        })?;
        let mut token = HeaderValue::try_from(token).map_err(|error| error.to_string())?;
        token.set_sensitive(true);
        Ok((self.header.clone(), token))
    }
}
