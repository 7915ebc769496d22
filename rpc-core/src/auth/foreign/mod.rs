//! Tokens of an identity provider (OpenID Connect): whoever shows a valid one is a user, who is created at first sight.
//!
//! A user is a pair of issuer and subject. The provider's keys are read from its JWKS; `keys.rs` says when.

mod claims;
mod keys;
mod users;

use self::claims::Claims;
use self::keys::ProviderKeys;
use self::users::ForeignUsers;
use super::secret_code;
use super::standing::Issued;
use super::token::Identity;
use crate::config::ProviderConfig;
use crate::error::Error;
use crate::store::{Clock, Store};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::sync::Arc;
use threadline_runtime::Supervisor;
use threadline_schema::error::Chain;

/// Largest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// How much later than by our clock a token may begin: the provider has a clock of its own.
const NBF_LEEWAY: chrono::TimeDelta = chrono::TimeDelta::seconds(30);

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
    /// Extensions that must be understood. None is.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

impl ForeignTokens {
    /// Creates the verifier. The provider is not contacted yet.
    ///
    /// # Errors
    /// If the HTTP client cannot be created.
    pub(crate) fn new(config: ProviderConfig, store: Store, clock: Arc<Clock>) -> Result<Self, reqwest::Error> {
        Ok(Self { keys: ProviderKeys::new(&config)?, users: ForeignUsers::new(store, clock.clone()), config, clock })
    }

    /// Starts the task that reads the provider's keys now and then.
    pub(crate) fn spawn(self: &Arc<Self>, supervisor: &Supervisor) {
        let this = self.clone();
        supervisor.spawn(threadline_runtime::TaskKind::ProviderKeys, async move { this.keys.refresh_often().await });
    }

    /// Returns the user of a token; `None` if the token is invalid for any reason.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the provider's keys were never read, or the database cannot be reached.
    pub(crate) async fn identify(&self, token: &str) -> Result<Option<Identity>, Error> {
        let Some((header, algorithm)) = read_header(token) else { return Ok(None) };
        let candidates = self.keys.find(header.kid.as_deref(), algorithm).await?;
        let Some(claims) = candidates.iter().find_map(|key| verify_signature(token, key, algorithm)) else {
            return Ok(None);
        };
        let now = self.clock.now().utc();
        let is_current = claims.exp.is_after(now) && !claims.nbf.is_some_and(|nbf| nbf.is_after(now + NBF_LEEWAY));
        if !is_current || claims.iss != self.config.issuer || !claims.is_for(&self.config.audiences) {
            return Ok(None);
        }
        let Some(user) = claims.user(&self.config) else { return Ok(None) };
        let Some(user_id) = self.users.find_or_create(&self.config.issuer, user, claims.iat).await? else {
            return Ok(None);
        };
        let issued = Issued::At(claims.iat.map(super::numeric_date::NumericDate::seconds));
        Ok(Some(Identity::new(user_id, claims.exp, issued, now)))
    }
}

/// Reads the keys of an identity provider, without a running service. Returns how many can be used.
///
/// # Errors
/// A line that names the setting to look at.
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
    header.crit.is_none().then_some((header, algorithm))
}

fn verify_signature(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
    let mut validation = Validation::new(algorithm);
    // `identify` checks the claims, by the clock that all processes share.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Claims>(token, key, &validation).ok().map(|token| token.claims)
}
