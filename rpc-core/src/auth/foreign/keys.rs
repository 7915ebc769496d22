//! The public keys of the identity provider: read at the start, every few minutes, and when a token names an unknown
//! one.
//!
//! While the provider cannot be reached, or answers something that is no set of keys, the known keys stay valid. A set
//! that was read replaces the one before it, also by none, so a key that the provider has withdrawn is not accepted for
//! longer than the interval.

use crate::config::ProviderConfig;
use crate::error::Error;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use tokio::time::Instant;

/// How often the keys are read while no token names an unknown one.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// How often they are read while there is none.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Minimum time between two reads because of unknown keys: tokens with invented key ids must not cause traffic.
const UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time that one request to the provider may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest document that is read, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// What is wrong with a set without a key that can be used.
const NO_KEY: &str = "it has no key for RS256, PS256, ES256 or EdDSA";

/// The keys of a provider.
pub(super) struct ProviderKeys {
    issuer: String,
    jwks_url: Option<String>,
    http: reqwest::Client,
    /// `None` until they were read.
    keys: RwLock<Option<Arc<[ProviderKey]>>>,
    /// When the last read began, or when it ended. Held during a read, so that there is one at a time.
    last_read: tokio::sync::Mutex<Option<Instant>>,
}

/// Keys that a token can be signed with.
pub(super) struct Candidates {
    pub(super) keys: Vec<Arc<DecodingKey>>,
    /// Whether the token names these keys by id. Otherwise the provider may have replaced them without a new id.
    pub(super) are_named: bool,
}

struct ProviderKey {
    id: Option<String>,
    /// The algorithms that it may be used with.
    algorithms: Vec<Algorithm>,
    key: Arc<DecodingKey>,
}

/// Why the keys could not be read. The text names the setting to look at.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("{setting}: {url} cannot be read")]
    Request {
        setting: &'static str,
        url: String,
        #[source]
        cause: reqwest::Error,
    },
    #[error("{setting}: {url} is not what it should be: {problem}")]
    Document { setting: &'static str, url: String, problem: String },
    #[error("AUTH_ISSUER: the provider says that its issuer is {found:?}; set AUTH_ISSUER to exactly that")]
    OtherIssuer { found: String },
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeyDocument {
    /// Each key is parsed separately: one with an unknown form does not hide the others.
    keys: Vec<serde_json::Value>,
}

impl ProviderKeys {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self {
            issuer: config.issuer.clone(),
            jwks_url: config.jwks_url.clone(),
            http,
            keys: RwLock::new(None),
            last_read: tokio::sync::Mutex::new(None),
        })
    }

    /// Returns the keys that a token with this key id and algorithm can be signed with. If there is none, reads the
    /// provider's keys first, unless that was done a moment ago.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the keys were never read.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Candidates, Error> {
        let has_some = |known: &Candidates| !known.keys.is_empty();
        if let Some(known) = self.known(id, algorithm).filter(has_some) {
            return Ok(known);
        }
        let mut last_read = self.last_read.lock().await;
        // Another call may have read them while this one waited.
        if let Some(known) = self.known(id, algorithm).filter(has_some) {
            return Ok(known);
        }
        self.read_if_due(&mut last_read).await;
        self.known(id, algorithm)
            .ok_or_else(|| Error::unavailable("The identity provider cannot be reached right now. Please try again."))
    }

    /// Returns the keys that have replaced those of `find` since a time, for a token that none of them has signed.
    /// Reads the provider's keys first, unless that was done a moment ago.
    pub(super) async fn find_replaced(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        since: Instant,
    ) -> Vec<Arc<DecodingKey>> {
        let mut last_read = self.last_read.lock().await;
        let was_read = last_read.is_some_and(|at| at > since) || self.read_if_due(&mut last_read).await;
        if was_read { self.known(id, algorithm).map(|known| known.keys).unwrap_or_default() } else { Vec::new() }
    }

    /// Reads the keys again and again.
    pub(super) async fn refresh_often(&self) {
        loop {
            self.read_now(&mut *self.last_read.lock().await).await;
            let has_keys = self.keys.read().as_ref().is_some_and(|keys| !keys.is_empty());
            tokio::time::sleep(if has_keys { REFRESH_EVERY } else { RETRY_EVERY }).await;
        }
    }

    fn known(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Candidates> {
        let keys = self.keys.read().clone()?;
        let fits = |key: &&ProviderKey| {
            // A key without an id can be any.
            let is_named = id.is_none() || key.id.is_none() || key.id.as_deref() == id;
            is_named && key.algorithms.contains(&algorithm)
        };
        let fitting: Vec<&ProviderKey> = keys.iter().filter(fits).collect();
        Some(Candidates {
            are_named: id.is_some() && fitting.iter().all(|key| key.id.is_some()),
            keys: fitting.into_iter().map(|key| key.key.clone()).collect(),
        })
    }

    /// Reads the keys, unless that was done a moment ago. Returns whether it did.
    async fn read_if_due(&self, last_read: &mut Option<Instant>) -> bool {
        if last_read.is_some_and(|at| at.elapsed() < UNKNOWN_KEY_INTERVAL) {
            return false;
        }
        self.read_now(last_read).await;
        true
    }

    async fn read_now(&self, last_read: &mut Option<Instant>) {
        // A caller that leaves meanwhile has caused a read too.
        *last_read = Some(Instant::now());
        self.read_and_log().await;
        // Callers that have waited for a slow provider must not ask it again, one after the other.
        *last_read = Some(Instant::now());
    }

    async fn read_and_log(&self) {
        match self.read().await {
            Ok(keys) => {
                metrics::counter!("threadline_provider_key_reads_total", "outcome" => "ok").increment(1);
                let is_empty = keys.is_empty();
                let before = self.keys.write().replace(keys);
                if is_empty {
                    tracing::warn!(
                        issuer = self.issuer,
                        "the identity provider has no key that can be used: all its tokens are refused"
                    );
                } else if before.is_none() {
                    tracing::info!(issuer = self.issuer, "keys of the identity provider were read");
                }
            }
            Err(error) => {
                metrics::counter!("threadline_provider_key_reads_total", "outcome" => "failed").increment(1);
                tracing::warn!(error = %Chain(&error), "keys of the identity provider cannot be read");
            }
        }
    }

    /// Reads the keys, and returns how many there are. None is an error: everybody would be locked out.
    pub(super) async fn count(&self) -> Result<usize, KeysError> {
        let (setting, url) = self.location().await?;
        match self.read_at(setting, &url).await?.len() {
            0 => Err(KeysError::Document { setting, url, problem: NO_KEY.to_owned() }),
            count => Ok(count),
        }
    }

    async fn read(&self) -> Result<Arc<[ProviderKey]>, KeysError> {
        let (setting, url) = self.location().await?;
        self.read_at(setting, &url).await
    }

    async fn read_at(&self, setting: &'static str, url: &str) -> Result<Arc<[ProviderKey]>, KeysError> {
        let document: KeyDocument = self.get(setting, url).await?;
        Ok(document.keys.into_iter().filter_map(usable).collect())
    }

    /// Returns the URL of the keys, and the setting that leads to it.
    async fn location(&self) -> Result<(&'static str, String), KeysError> {
        match &self.jwks_url {
            Some(url) => Ok(("AUTH_JWKS_URL", url.clone())),
            None => Ok(("AUTH_ISSUER", self.discover().await?)),
        }
    }

    /// Returns the URL of the keys from the provider's discovery document.
    async fn discover(&self) -> Result<String, KeysError> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let document: Discovery = self.get("AUTH_ISSUER", &url).await?;
        if document.issuer != self.issuer {
            return Err(KeysError::OtherIssuer { found: document.issuer });
        }
        let is_https = |url: &str| url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        if is_https(&self.issuer) && !is_https(&document.jwks_uri) {
            // An attacker between this service and the provider could replace the keys.
            let problem = format!("its `jwks_uri` is {:?}; it must begin with https://", document.jwks_uri);
            return Err(KeysError::Document { setting: "AUTH_ISSUER", url, problem });
        }
        Ok(document.jwks_uri)
    }

    async fn get<T: DeserializeOwned>(&self, setting: &'static str, url: &str) -> Result<T, KeysError> {
        let failed = |cause: reqwest::Error| {
            // The URL is in the text already.
            KeysError::Request { setting, url: url.to_owned(), cause: cause.without_url() }
        };
        let wrong = |problem: String| KeysError::Document { setting, url: url.to_owned(), problem };
        let mut response =
            self.http.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
        if response.status().is_redirection() {
            return Err(wrong(format!("{} leads elsewhere; set the URL that it leads to", response.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(wrong(format!("it is larger than {MAX_BYTES} bytes")));
            }
        }
        serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))
    }
}

/// Reads a public key for signatures; `None` for any other key, above all for a shared secret.
fn usable(value: serde_json::Value) -> Option<ProviderKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let common = &jwk.common;
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    let possible: &[(Algorithm, KeyAlgorithm)] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => {
            &[(Algorithm::RS256, KeyAlgorithm::RS256), (Algorithm::PS256, KeyAlgorithm::PS256)]
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            &[(Algorithm::ES256, KeyAlgorithm::ES256)]
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[(Algorithm::EdDSA, KeyAlgorithm::EdDSA)]
        }
        _ => return None,
    };
    let allowed = possible.iter().filter(|(_, name)| common.key_algorithm.is_none_or(|only| only == *name));
    let algorithms: Vec<_> = allowed.map(|(algorithm, _)| *algorithm).collect();
    let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
    (!algorithms.is_empty()).then(|| ProviderKey { id: common.key_id.clone(), algorithms, key })
}
