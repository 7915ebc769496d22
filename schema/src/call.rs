//! What travels with a call besides its params and its result, over every transport.

use crate::ids::UserId;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The reserved member of by-name params. A gateway puts the caller of each call into it, because many users share one
/// connection. The pipeline removes it, so that no method sees it.
pub const META: &str = "_meta";

/// Returns a new request id. Ids of one process are in the order of time, for people who read logs; nothing is decided
/// by it.
#[expect(clippy::disallowed_methods, reason = "only people read the order, and each machine has a clock")]
pub fn new_request_id() -> Arc<str> {
    Uuid::now_v7().to_string().into()
}

/// Who makes a call, as far as the transport knows. Nothing in it is trusted before the token is verified.
#[derive(Clone)]
pub struct Caller {
    /// The bearer token, without the word `Bearer`.
    pub token: Option<Arc<str>>,
    /// The user for whom a service acts, as the service names it: an id, or `ISSUER|SUBJECT`.
    pub acts_for: Option<Arc<str>>,
    /// Address of the client, not of a proxy in between.
    pub ip: IpAddr,
    /// Identifies the request in log lines, here and in the services that this one calls.
    pub request_id: Arc<str>,
    /// What the client says about itself.
    pub hints: Option<Arc<ClientHints>>,
    /// Where the request stands in a trace, as the client says.
    pub trace: Option<Arc<TraceHeaders>>,
}

impl Caller {
    /// Returns what a run keeps of the request that started it.
    pub fn request_context(&self) -> RequestContext {
        RequestContext { request_id: self.request_id.clone(), hints: self.hints.clone(), trace: None }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token: debug output ends up in logs.
        f.debug_struct("Caller").field("ip", &self.ip).field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// The request that started a run, for as long as the run lasts.
#[derive(Clone)]
pub struct RequestContext {
    /// Identifies the request in log lines, here and in the services that this one calls.
    pub request_id: Arc<str>,
    /// What the client says about itself.
    pub hints: Option<Arc<ClientHints>>,
    /// Where the request stood in its trace, if the run continues in another process.
    pub trace: Option<Arc<TraceHeaders>>,
}

/// The position of a request in a trace: the headers `traceparent` and `tracestate` of W3C Trace Context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeaders {
    traceparent: Box<str>,
    tracestate: Option<Box<str>>,
}

/// Longest `tracestate` that is kept, in bytes: the recommendation asks for 512.
const TRACESTATE_BYTES: usize = 512;

impl TraceHeaders {
    /// Creates a position from the values of the headers. `None` if `traceparent` is invalid, which the recommendation
    /// tells to ignore. A `tracestate` that is too long or has other characters than headers have is left out.
    pub fn new(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let bytes = traceparent.as_bytes();
        let (fixed, rest) = bytes.split_at_checked(55)?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let mut parts = fixed.split(|byte| *byte == b'-');
        let [version, trace_id, span_id, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let lengths = [(version, 2), (trace_id, 32), (span_id, 16), (flags, 2)];
        let has_form = lengths.iter().all(|(part, length)| part.len() == *length && part.iter().all(|b| is_hex(*b)));
        let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        // Later versions may say more, after another dash.
        let has_version = match version {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        if !has_form || !has_version || is_zero(trace_id) || is_zero(span_id) {
            return None;
        }
        let known = traceparent.get(2..55)?;
        let is_kept = |state: &&str| {
            (1..=TRACESTATE_BYTES).contains(&state.len())
                && state.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
        };
        let tracestate = tracestate.map(str::trim).filter(is_kept).map(Into::into);
        Some(Self { traceparent: format!("00{known}").into(), tracestate })
    }

    /// Returns the value of the header `traceparent`, in version 00.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Returns the value of the header `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }
}

/// What a client says about itself: hints for tools and prompts. Not trusted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientHints {
    /// Preferred languages, in the format of `Accept-Language`.
    pub languages: Option<Box<str>>,
    /// Data that an integration sends with its requests: the text of a JSON object.
    pub metadata: Option<Box<str>>,
}

/// Longest language list that is kept, in characters.
const MAX_LANGUAGES_CHARS: usize = 256;

/// Largest `metadata` of a request, in bytes of JSON text.
pub const METADATA_BYTES: usize = 4096;

impl ClientHints {
    /// Creates the hints of a client; `None` if there are none. A language list that no browser sends is dropped.
    ///
    /// # Errors
    /// If `metadata` is not a JSON object, or is larger than [`METADATA_BYTES`].
    pub fn new(languages: Option<&str>, metadata: Option<&RawValue>) -> Result<Option<Arc<Self>>, InvalidMetadata> {
        let is_valid =
            |list: &&str| (1..=MAX_LANGUAGES_CHARS).contains(&list.len()) && list.bytes().all(is_language_byte);
        let languages = languages.map(str::trim).filter(is_valid).map(Into::into);
        let metadata = match metadata.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.len() > METADATA_BYTES => return Err(InvalidMetadata),
            Some(text) => {
                let members: serde_json::Map<_, _> = serde_json::from_str(text).map_err(|_| InvalidMetadata)?;
                (!members.is_empty()).then(|| text.into())
            }
        };
        let hints = Self { languages, metadata };
        Ok((hints != Self::default()).then(|| Arc::new(hints)))
    }

    /// Parses the metadata into a JSON object.
    pub fn metadata_json(&self) -> Option<serde_json::Value> {
        self.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }
}

/// Whether `Accept-Language` may contain this byte.
fn is_language_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-,;=.* ".contains(&byte)
}

/// The metadata of a request is not a JSON object, or is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`metadata` must be a JSON object of at most {METADATA_BYTES} bytes.")]
pub struct InvalidMetadata;

/// What the core knows about a call once it has ended, successful or not. The gateway writes it into response headers
/// and into its log line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResponseMeta {
    /// The rate limit that the call counted against; `None` if no limit applied.
    pub rate_limit: Option<RateLimitState>,
    /// The verified user.
    pub user_id: Option<UserId>,
    /// Time that the call spent in the database.
    pub db_time: Duration,
    /// Whether the reply is that of an earlier request with the same idempotency key.
    pub replayed: bool,
}

/// State of one rate limit after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitState {
    /// Calls per minute.
    pub limit: u32,
    /// Calls that are allowed right now.
    pub remaining: u32,
    /// Seconds until the whole allowance is available again.
    pub reset: u64,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_says() {
        const IDS: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for (given, kept) in [("00-{}-01", "00-{}-01"), ("00-{}-00", "00-{}-00"), ("cc-{}-01-what", "00-{}-01")] {
            let read = TraceHeaders::new(&given.replace("{}", IDS), None).unwrap();
            assert_eq!(read.traceparent(), kept.replace("{}", IDS));
        }
        let zero = |from: &str, digits: usize| format!("00-{}-01", IDS.replace(from, &"0".repeat(digits)));
        for wrong in [
            String::new(),
            IDS.to_owned(),
            format!("ff-{IDS}-01"),
            format!("00-{IDS}-01-more"),
            format!("cc-{IDS}-01.more"),
            format!("00-{}-01", IDS.to_uppercase()),
            format!("00-{IDS}-0g"),
            format!("00-{IDS}-0"),
            format!("00_{IDS}_01"),
            zero("0af7651916cd43dd8448eb211c80319c", 32),
            zero("b7ad6b7169203331", 16),
            format!("00-{IDS}-0\u{e9}"),
        ] {
            assert_eq!(TraceHeaders::new(&wrong, Some("a=1")), None, "{wrong}");
        }
        let state = |state| TraceHeaders::new(&format!("00-{IDS}-01"), Some(state)).unwrap();
        assert_eq!(state(" a=1,b=2 ").tracestate(), Some("a=1,b=2"));
        for dropped in ["", "a=\nb", &"x".repeat(513)] {
            assert_eq!(state(dropped).tracestate(), None);
        }
    }

    #[test]
    fn invalid_hints_are_dropped_or_refused() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let client = ClientHints::new(Some("de-CH, de;q=0.9, *;q=0.1"), Some(&raw(r#"{"page": 1}"#))).unwrap().unwrap();
        assert_eq!(client.languages.as_deref(), Some("de-CH, de;q=0.9, *;q=0.1"));
        assert_eq!(client.metadata.as_deref(), Some(r#"{"page": 1}"#));
        assert_eq!(client.metadata_json(), Some(serde_json::json!({"page": 1})));
        for nothing in ["", " ", "de\"", "d\u{e9}", &"x".repeat(300)] {
            assert!(ClientHints::new(Some(nothing), Some(&raw("{}"))).unwrap().is_none(), "{nothing}");
        }
        let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(METADATA_BYTES));
        for wrong in ["[]", "7", "\"x\"", large.as_str()] {
            assert_eq!(ClientHints::new(None, Some(&raw(wrong))).err(), Some(InvalidMetadata), "{wrong}");
        }
    }
}
