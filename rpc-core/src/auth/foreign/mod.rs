//! Tokens of an identity provider (OpenID Connect). A valid token identifies a user, whose account is created with the
//! first token.
//!
//! A user is a pair of issuer and subject. The provider's keys are read from its JWKS; `keys.rs` says when.

mod claims;
mod keys;
mod refusal;
mod users;

use self::claims::Claims;
use self::keys::ProviderKeys;
pub(crate) use self::refusal::TokenRefusal;
use self::users::ForeignUsers;
use super::secret_code;
use super::standing::Issued;
use super::standings::Standings;
use super::token::Identity;
use crate::config::ProviderConfig;
use crate::error::Error;
use crate::store::{Clock, Store};
use async_recursion::async_recursion as boxed;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::sync::Arc;
use threadline_runtime::Supervisor;
use threadline_schema::error::Chain;
use tokio::time::Instant;

/// Largest token that is parsed, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Verifies the tokens of one identity provider.
pub(crate) struct ForeignTokens {
    config: ProviderConfig,
    keys: ProviderKeys,
    users: ForeignUsers,
    clock: Arc<Clock>,
}

/// The part of a token's header that decides how it is verified.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    /// Whether there are extensions that must be understood. None is, and `null` is not a list of none.
    #[serde(default, rename = "crit", deserialize_with = "is_there")]
    has_extensions: bool,
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl ForeignTokens {
    /// Creates the verifier. The provider is not contacted yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be created.
    pub(crate) fn new(
        config: ProviderConfig,
        store: Store,
        clock: Arc<Clock>,
        standings: Arc<Standings>,
    ) -> Result<Self, reqwest::Error> {
        let users = ForeignUsers::new(store, clock.clone(), standings);
        Ok(Self { keys: ProviderKeys::new(&config)?, users, config, clock })
    }

    /// Starts the task that reads the provider's keys at an interval.
    pub(crate) fn spawn(self: &Arc<Self>, supervisor: &Supervisor) {
        let this = self.clone();
        supervisor.spawn(threadline_runtime::TaskKind::ProviderKeys, async move { this.keys.refresh_often().await });
    }

    /// Returns the user of a token, or why it is not accepted.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the provider's keys were never read, or the database cannot be reached.
    pub(crate) async fn identify(&self, token: &str) -> Result<Result<Identity, TokenRefusal>, Error> {
        let began = Instant::now();
        let Some((header, algorithm)) = read_header(token) else { return Ok(Err(TokenRefusal::Invalid)) };
        let id = header.kid.as_deref();
        let candidates = self.keys.find(id, algorithm).await?;
        if candidates.keys.is_empty() {
            return Ok(Err(TokenRefusal::UnknownKey));
        }
        let mut verified = verify_signature(token, &candidates.keys, algorithm);
        if verified.is_none() && !candidates.are_named {
            let replaced = Box::pin(self.keys.find_replaced(id, algorithm, began)).await;
            verified = verify_signature(token, &replaced, algorithm);
        }
        let Some(claims) = verified else { return Ok(Err(TokenRefusal::Invalid)) };
        let now = self.clock.now().utc();
        let user = match claims.check(&self.config, now) {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(user_id) = self.users.find_or_create(&self.config.issuer, user, claims.iat).await? else {
            return Ok(Err(TokenRefusal::Erased));
        };
        let issued = Issued::At(claims.iat.map(super::numeric_date::NumericDate::seconds));
        Ok(Ok(Identity::new(user_id, claims.exp, issued, now)))
    }
}

/// Reads the keys of an identity provider, without a running service. Returns how many can be used.
///
/// # Errors
/// A line that names the setting to look at.
#[boxed]
pub async fn check_provider(config: &ProviderConfig) -> Result<usize, String> {
    let keys = ProviderKeys::new(config).map_err(|error| error.to_string())?;
    keys.count().await.map_err(|error| Chain(&error).to_string())
}

/// Returns the hash by which the erased user of a provider is known for as long as tokens from before may be valid.
pub(crate) fn identity_hash(issuer: &str, subject: &str) -> String {
    secret_code::hash(&format!("{issuer}|{subject}"))
}

/// Reads the header of a token. `None` for an algorithm that is not one of the provider's: above all `none`, and those
/// with a shared secret, for which a public key could be taken.
fn read_header(token: &str) -> Option<(Header, Algorithm)> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (header, _) = token.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "PS256" => Algorithm::PS256,
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    };
    let is_for_access = header.typ.as_deref().is_none_or(is_access_type);
    (is_for_access && !header.has_extensions).then_some((header, algorithm))
}

/// Returns whether a token of this type gives access. A provider signs others with the same keys, such as logout
/// tokens, which have the audience and the subject too (RFC 8725, 3.11).
fn is_access_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Returns the claims of a token if one of the keys has signed it.
fn verify_signature(token: &str, keys: &[Arc<DecodingKey>], algorithm: Algorithm) -> Option<Claims> {
    let mut validation = Validation::new(algorithm);
    // `identify` checks the claims, by the clock that all processes share.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    keys.iter().find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &validation).ok()).map(|token| token.claims)
}
