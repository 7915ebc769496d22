//! An answer before it is an HTTP response: what the row's code decides, without what every answer carries.

use crate::receive::Unread;
use crate::sse::{Begin, Sse, write};
use crate::upstream::{Frames, Refusal};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use threadline_schema::call::{Frame, ResponseMeta};
use threadline_schema::chatkit::{StreamErrorCode, ThreadStreamEvent};
use threadline_schema::{ErrorCode, RpcError};

/// Seconds after which a 503 is worth trying again when nobody knows better: about what a core takes to restart.
const RETRY_SECONDS: u64 = 2;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer, or one that ends the request early.
pub(crate) type Outcome = Result<Answer, Box<Answer>>;

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Why it was refused, if it was.
    pub(crate) error: Option<RpcError>,
    /// Headers of this answer, in addition to what every answer carries.
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    pub(crate) facts: ResponseMeta,
}

/// The body of an answer.
pub(crate) enum Content {
    Bytes(Bytes),
    /// A run or a thread: what is there already, and the frames to come.
    Events(Begin, Frames),
    /// A file, as it is read.
    File(BoxStream<'static, Bytes>),
}

impl Answer {
    /// Bytes of a content type.
    pub(crate) fn bytes(status: u16, kind: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        let headers = [(CONTENT_TYPE, kind)].into_iter().collect();
        Self { status, error: None, headers, content: Content::Bytes(bytes.into()), facts: ResponseMeta::default() }
    }

    /// A file of a content type.
    pub(crate) fn file(kind: HeaderValue, bytes: BoxStream<'static, Bytes>) -> Self {
        let mut answer = Self::bytes(200, kind, Bytes::new());
        answer.content = Content::File(bytes);
        answer
    }

    /// JSON text.
    pub(crate) fn json(status: u16, json: impl Into<Bytes>) -> Self {
        Self::bytes(status, JSON, json)
    }

    /// Headers alone.
    pub(crate) fn empty(status: u16) -> Self {
        let content = Content::Bytes(Bytes::new());
        Self { status, error: None, headers: HeaderMap::new(), content, facts: ResponseMeta::default() }
    }

    /// A row of the error table.
    pub(crate) fn error(error: &RpcError) -> Self {
        let mut answer = Self::json(error.code.http_status(), error_body(error, None));
        let retry_after = error.retry_after().or_else(|| (answer.status == 503).then_some(RETRY_SECONDS));
        if let Some(seconds) = retry_after {
            answer.headers.insert(RETRY_AFTER, seconds.into());
        }
        if answer.status == 401 {
            answer.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer.error = Some(error.clone());
        answer
    }

    /// The same, if it is an error, in the words of ChatKit's protocol too: as its `error` event has them.
    pub(crate) fn in_chatkit(mut self) -> Self {
        if let Some(error) = &self.error {
            let passes = error.code.http_status() >= 500 || error.retry_after().is_some();
            let event = ThreadStreamEvent::Error {
                code: StreamErrorCode::Custom,
                message: Some(error.message.clone()),
                allow_retry: passes || error.code == ErrorCode::ThreadBusy,
            };
            self.content = Content::Bytes(error_body(error, Some(event)).into());
        }
        self
    }

    /// Events of a run: those held back so far, and those to come.
    pub(crate) fn events(held: Vec<Frame>, frames: Frames) -> Self {
        Self::stream(Begin::Run(held), frames)
    }

    /// Events of a thread, the first of which may be long in coming.
    pub(crate) fn thread_events(frames: Frames, begins_after: Option<&str>) -> Self {
        Self::stream(Begin::Thread(write::greeting(begins_after)), frames)
    }

    /// Events of a run as ChatKit's own server sends them.
    pub(crate) fn chatkit_events(frames: Frames) -> Self {
        Self::stream(Begin::ChatKit, frames)
    }

    fn stream(begin: Begin, frames: Frames) -> Self {
        let mut answer = Self::empty(200);
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        answer.headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx would otherwise collect events before it sends them on.
        answer.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        answer.content = Content::Events(begin, frames);
        answer
    }

    /// The same with a header more.
    pub(crate) fn with(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same with what the core found out.
    pub(crate) fn with_facts(mut self, facts: ResponseMeta) -> Self {
        self.facts = facts;
        self
    }
}

impl From<RpcError> for Box<Answer> {
    fn from(error: RpcError) -> Self {
        Box::new(Answer::error(&error))
    }
}

impl From<Refusal> for Box<Answer> {
    fn from(refusal: Refusal) -> Self {
        Box::new(Answer::error(&refusal.error).with_facts(refusal.facts))
    }
}

impl From<Unread> for Box<Answer> {
    fn from(Unread(error): Unread) -> Self {
        let mut answer = Answer::error(&error);
        answer.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Box::new(answer)
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("error", &self.error).finish_non_exhaustive()
    }
}

/// What goes out as the body of `Content`.
impl Content {
    pub(crate) fn into_body(
        self,
        heartbeat: std::time::Duration,
        observation: crate::observe::Observation,
    ) -> crate::body::Body {
        match self {
            Self::Bytes(bytes) => crate::body::Body::bytes(bytes),
            Self::File(bytes) => crate::body::Body::file(bytes, observation),
            Self::Events(begin, frames) => crate::body::Body::events(Sse::new(begin, frames, heartbeat, observation)),
        }
    }
}

/// `{"success":false,"error":{...}}`, with the members of an event that says the same.
fn error_body(error: &RpcError, event: Option<ThreadStreamEvent>) -> Vec<u8> {
    let told = Envelope {
        event,
        success: false,
        error: Told { code: error.code.name(), message: &error.message, retry_after: error.retry_after() },
    };
    // Strings and numbers always serialise; an empty body would still have its status.
    serde_json::to_vec(&told).unwrap_or_default()
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(flatten)]
    event: Option<ThreadStreamEvent>,
    success: bool,
    error: Told<'a>,
}

#[derive(Serialize)]
struct Told<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answer: &Answer) -> String {
        let Content::Bytes(bytes) = &answer.content else { panic!("an error is no stream") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn errors_have_one_form_and_the_headers_of_their_status() {
        let error = RpcError::new(ErrorCode::RateLimited, "slow \"down\"").with("retry_after", 7).with("secret", 1);
        let answer = Answer::error(&error);
        let body = r#"{"success":false,"error":{"code":"RATE_LIMITED","message":"slow \"down\"","retry_after":7}}"#;
        assert_eq!((answer.status, told(&answer).as_str()), (429, body));
        assert_eq!(answer.headers[RETRY_AFTER], "7");

        let answer = Answer::error(&RpcError::new(ErrorCode::ServiceUnavailable, "later"));
        assert_eq!(answer.headers[RETRY_AFTER], "2", "a 503 always says when to come back");
        let answer = Answer::error(&RpcError::new(ErrorCode::Unauthorized, "who?"));
        assert_eq!(answer.headers[WWW_AUTHENTICATE], "Bearer");
        let body = r#"{"success":false,"error":{"code":"UNAUTHORIZED","message":"who?"}}"#;
        assert_eq!(told(&answer), body);
    }

    #[test]
    fn chatkit_reads_its_own_error_beside_ours() {
        let error = RpcError::new(ErrorCode::ThreadBusy, "Wait.");
        let expected = concat!(
            r#"{"type":"error","code":"custom","message":"Wait.","allow_retry":true,"#,
            r#""success":false,"error":{"code":"THREAD_BUSY","message":"Wait."}}"#
        );
        let answer = Answer::error(&error).in_chatkit();
        assert_eq!((answer.status, told(&answer).as_str()), (409, expected));
        let error = RpcError::new(ErrorCode::Conflict, "Closed.");
        assert!(told(&Answer::error(&error).in_chatkit()).contains(r#""allow_retry":false"#));
        let well = Answer::json(200, "{}").in_chatkit();
        assert_eq!(told(&well), "{}");
    }

    #[test]
    fn a_body_that_was_not_read_closes_the_connection() {
        let unread = Unread(RpcError::new(ErrorCode::PayloadTooLarge, "too much"));
        let answer: Box<Answer> = unread.into();
        assert_eq!(answer.status, 413);
        assert_eq!(answer.headers[CONNECTION], "close");
    }
}
