//! What travels beside a call, whichever transport carries it.

use serde_json::value::RawValue;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The reserved member of by-name params: the end user's token and the facts of the original request, on a
/// connection that many users share. Every method ignores it.
pub const META: &str = "_meta";

/// Who calls, as far as the transport knows. Nothing in it is believed before the token is verified.
#[derive(Clone)]
pub struct Caller {
    /// The bearer token, without the word `Bearer`.
    pub token: Option<Arc<str>>,
    /// Address of the client, not of a proxy in between.
    pub ip: IpAddr,
    /// Names the request in every log line it causes, here and upstream.
    pub request_id: Arc<str>,
    /// What the client says of itself, if anything.
    pub client: Option<Arc<Client>>,
}

impl Caller {
    /// What is known about a request when its call has been answered and the run it started goes on.
    pub fn origin(&self) -> Origin {
        Origin { request_id: self.request_id.clone(), client: self.client.clone() }
    }
}

/// The request that a run came from.
#[derive(Clone)]
pub struct Origin {
    /// Names it in every log line it causes, here and upstream.
    pub request_id: Arc<str>,
    /// What its client said of itself, if anything.
    pub client: Option<Arc<Client>>,
}

/// What a client says of itself beside its request: hints for tools and answers, and proof of nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The languages it prefers, as `Accept-Language` has them.
    pub languages: Option<Box<str>>,
    /// What an integration keeps with its requests: the text of a JSON object.
    pub metadata: Option<Box<str>>,
}

/// Characters of a list of languages that is taken over.
const LANGUAGES_CHARS: usize = 256;

/// Bytes of metadata that a request may have.
pub const METADATA_BYTES: usize = 4096;

impl Client {
    /// A client with these hints; `None` when there are none. Languages that no browser would send are none.
    ///
    /// # Errors
    /// When `metadata` is no object, or a larger one than [`METADATA_BYTES`] allows.
    pub fn new(languages: Option<&str>, metadata: Option<&RawValue>) -> Result<Option<Arc<Self>>, NoMetadata> {
        let fits = |list: &&str| (1..=LANGUAGES_CHARS).contains(&list.len()) && list.bytes().all(is_of_languages);
        let languages = languages.map(str::trim).filter(fits).map(Into::into);
        let metadata = match metadata.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.len() > METADATA_BYTES => return Err(NoMetadata),
            Some(text) => {
                let members: serde_json::Map<_, _> = serde_json::from_str(text).map_err(|_| NoMetadata)?;
                (!members.is_empty()).then(|| text.into())
            }
        };
        let client = Self { languages, metadata };
        Ok((client != Self::default()).then(|| Arc::new(client)))
    }

    /// The metadata as a JSON object.
    pub fn metadata_json(&self) -> Option<serde_json::Value> {
        self.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }
}

fn is_of_languages(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-,;=.* ".contains(&byte)
}

/// What should be a request's metadata is no JSON object, or too large a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`metadata` must be a JSON object of at most {METADATA_BYTES} bytes.")]
pub struct NoMetadata;

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token: what is printed for debugging ends up in logs.
        f.debug_struct("Caller").field("ip", &self.ip).field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// What the service found out while it answered; the gateway puts it in headers and its log line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// State of the caller's rate limit; `None` when no limit applied.
    pub rate: Option<Rate>,
    /// The verified user.
    pub user_id: Option<Uuid>,
    /// Time spent in the database.
    pub db: Duration,
    /// Whether the answer is that of an earlier submission under the same idempotency key.
    pub replayed: bool,
}

/// State of one rate limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls per minute.
    pub limit: u32,
    /// Calls that would be let through right now.
    pub remaining: u32,
    /// Seconds until the whole allowance is back.
    pub reset: u64,
}

/// One event of a run on its way to a subscriber.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The run.
    pub run_id: Uuid,
    /// Number of the event in its run, from 1; 0 for what is no event of a run and moves no cursor.
    pub seq: u64,
    /// The event's JSON, shared by all who read it.
    pub event: Arc<str>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_client_may_say_of_itself_is_kept() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let client = Client::new(Some("de-CH, de;q=0.9, *;q=0.1"), Some(&raw(r#"{"page": 1}"#))).unwrap().unwrap();
        assert_eq!(client.languages.as_deref(), Some("de-CH, de;q=0.9, *;q=0.1"));
        assert_eq!(client.metadata.as_deref(), Some(r#"{"page": 1}"#));
        assert_eq!(client.metadata_json(), Some(serde_json::json!({"page": 1})));
        for nothing in ["", " ", "de\"", "d\u{e9}", &"x".repeat(300)] {
            assert!(Client::new(Some(nothing), Some(&raw("{}"))).unwrap().is_none(), "{nothing}");
        }
        let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(METADATA_BYTES));
        for wrong in ["[]", "7", "\"x\"", large.as_str()] {
            assert_eq!(Client::new(None, Some(&raw(wrong))).err(), Some(NoMetadata), "{wrong}");
        }
    }
}
