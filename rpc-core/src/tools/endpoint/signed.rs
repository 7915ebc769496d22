//! For whom a call is made, as a short-lived token that the service can check.

use crate::config::UserContext;
use crate::tools::ToolContext;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use threadline_schema::call::ClientHints;
use uuid::Uuid;

/// Seconds that a token is good for: it is checked when the call arrives.
const LIFETIME: i64 = 60;
/// Who says so.
const ISSUER: &str = "threadline";

/// Signs tokens for one endpoint.
pub(super) struct Signer {
    header: HeaderName,
    key: EncodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// The user.
    sub: Uuid,
    thread: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Uuid>,
    tool: &'a str,
    /// Differs from call to call.
    jti: Uuid,
    iat: i64,
    exp: i64,
    /// The languages that the client prefers.
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<&'a str>,
    /// What the client keeps with its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

impl Signer {
    pub(super) fn new(config: &UserContext) -> Result<Self, String> {
        let header = HeaderName::try_from(&config.header).map_err(|error| error.to_string())?;
        Ok(Self { header, key: EncodingKey::from_secret(config.key.expose_secret().as_bytes()) })
    }

    /// A token for one call, and the header it travels in.
    ///
    /// # Errors
    /// In words for the model, when it cannot be made.
    pub(super) fn sign(&self, context: ToolContext<'_>, tool: &str) -> Result<(HeaderName, HeaderValue), String> {
        let now = Utc::now().timestamp();
        let claims = Claims {
            iss: ISSUER,
            sub: context.user_id,
            thread: context.thread_id,
            run: context.run_id,
            tool,
            jti: Uuid::new_v4(),
            iat: now,
            exp: now + LIFETIME,
            languages: context.client.and_then(|client| client.languages.as_deref()),
            metadata: context.client.and_then(ClientHints::metadata_json),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).map_err(|error| {
            tracing::error!(tool, %error, "the context of a call could not be signed");
            "The call could not be prepared. Nothing was done.".to_owned()
        })?;
        let mut token = HeaderValue::try_from(token).map_err(|error| error.to_string())?;
        token.set_sensitive(true);
        Ok((self.header.clone(), token))
    }
}
