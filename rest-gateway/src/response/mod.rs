//! A response, before it gets the headers of every response.

mod body;
mod error_body;

pub use body::Body;

use crate::http::{BodyError, Observation};
use crate::sse::{SseSource, SseStream};
use crate::upstream::CallError;
use bytes::Bytes;
use error_body::{chatkit_error_body, error_body};
use futures::stream::BoxStream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;
use threadline_schema::RpcError;
use threadline_schema::call::ResponseMeta;

/// Seconds in `Retry-After` of a 503 whose error has none: about the time that a core takes to restart.
const RESTART_SECONDS: u64 = 2;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How long browsers cache files that only change with the binary.
const FIVE_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// A response, or an error that ends the request.
pub(crate) type ResponseResult = Result<Response, ErrorResponse>;

/// A response.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The error, if it is an error response.
    pub(crate) error: Option<RpcError>,
    /// The headers that only this response has.
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// What the core knows about the call.
    pub(crate) meta: ResponseMeta,
}

/// What becomes the body of a response.
pub(crate) enum Content {
    Bytes(Bytes),
    Events(SseSource),
    /// A file, read chunk by chunk.
    File(BoxStream<'static, Bytes>),
}

impl Response {
    /// Makes a response without a body.
    pub(crate) fn empty(status: u16) -> Self {
        let content = Content::Bytes(Bytes::new());
        Self { status, error: None, headers: HeaderMap::new(), content, meta: ResponseMeta::default() }
    }

    /// Makes a response of bytes.
    pub(crate) fn bytes(status: u16, content_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        let mut response = Self::empty(status).with_header(CONTENT_TYPE, content_type);
        response.content = Content::Bytes(bytes.into());
        response
    }

    /// Makes a response of JSON text.
    pub(crate) fn json(status: u16, json: impl Into<Bytes>) -> Self {
        Self::bytes(status, JSON, json)
    }

    /// Makes a response that only changes with the binary, so that browsers may cache it.
    pub(crate) fn asset(content_type: HeaderValue, bytes: impl Into<Bytes>) -> Self {
        Self::bytes(200, content_type, bytes).with_header(CACHE_CONTROL, FIVE_MINUTES)
    }

    /// Makes a response of a file.
    pub(crate) fn file(content_type: HeaderValue, chunks: BoxStream<'static, Bytes>) -> Self {
        let mut response = Self::empty(200).with_header(CONTENT_TYPE, content_type);
        response.content = Content::File(chunks);
        response
    }

    /// Makes an event stream.
    pub(crate) fn events(source: SseSource) -> Self {
        let mut response = Self::empty(200)
            .with_header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
            .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
            // nginx buffers responses without this header.
            .with_header("x-accel-buffering", HeaderValue::from_static("no"));
        response.content = Content::Events(source);
        response
    }

    /// Makes an error response. Status and headers follow from the error's row in the error table.
    pub(crate) fn error(error: &RpcError) -> Self {
        let mut response = Self::json(error.code.http_status(), error_body(error));
        let retry_after = error.retry_after().or_else(|| (response.status == 503).then_some(RESTART_SECONDS));
        if let Some(seconds) = retry_after {
            response.headers.insert(RETRY_AFTER, seconds.into());
        }
        if response.status == 401 {
            response.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.error = Some(error.clone());
        response
    }

    /// Adds the members of ChatKit's `error` event to the body, if this is an error response.
    pub(crate) fn with_chatkit_error(mut self) -> Self {
        if let Some(error) = &self.error {
            self.content = Content::Bytes(chatkit_error_body(error).into());
        }
        self
    }

    /// Sets a header.
    pub(crate) fn with_header(mut self, name: impl http::header::IntoHeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets what the core knows about the call.
    pub(crate) fn with_meta(mut self, meta: ResponseMeta) -> Self {
        self.meta = meta;
        self
    }

    /// Closes the connection after the response, because the rest of the request is not read.
    pub(crate) fn close_connection(self) -> Self {
        self.with_header(CONNECTION, HeaderValue::from_static("close"))
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").field("status", &self.status).field("error", &self.error).finish_non_exhaustive()
    }
}

/// An error response, as the `Err` of a step of the request. Boxed, because a response is large.
#[derive(Debug)]
pub(crate) struct ErrorResponse(Box<Response>);

impl ErrorResponse {
    /// Returns the response.
    pub(crate) fn into_response(self) -> Response {
        *self.0
    }
}

impl From<Response> for ErrorResponse {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl From<RpcError> for ErrorResponse {
    fn from(error: RpcError) -> Self {
        Response::error(&error).into()
    }
}

impl From<CallError> for ErrorResponse {
    fn from(CallError { error, meta }: CallError) -> Self {
        Response::error(&error).with_meta(meta).into()
    }
}

impl From<BodyError> for ErrorResponse {
    fn from(BodyError(error): BodyError) -> Self {
        Response::error(&error).close_connection().into()
    }
}

impl Content {
    /// Makes the body. A stream keeps the observation until its end.
    pub(crate) fn into_body(self, heartbeat: Duration, observation: Observation) -> Body {
        match self {
            Self::Bytes(bytes) => Body::bytes(bytes),
            Self::File(chunks) => Body::file(chunks, observation),
            Self::Events(source) => Body::events(SseStream::new(source, heartbeat, observation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ErrorCode;

    fn body(response: &Response) -> String {
        let Content::Bytes(bytes) = &response.content else { panic!("an error response is not a stream") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn errors_have_one_form_and_the_headers_of_their_status() {
        let error = RpcError::new(ErrorCode::RateLimited, "slow \"down\"").with("retry_after", 7).with("secret", 1);
        let response = Response::error(&error);
        let expected = concat!(
            r#"{"success":false,"error":{"code":"RATE_LIMITED","message":"slow \"down\"","retry_after":7,"#,
            r##""docs":"/docs#RATE_LIMITED"}}"##
        );
        assert_eq!((response.status, body(&response).as_str()), (429, expected));
        assert_eq!(response.headers[RETRY_AFTER], "7");

        let response = Response::error(&RpcError::new(ErrorCode::ServiceUnavailable, "later"));
        assert_eq!(response.headers[RETRY_AFTER], "2", "each 503 has a Retry-After");
        let response = Response::error(&RpcError::new(ErrorCode::Unauthorized, "who?"));
        assert_eq!(response.headers[WWW_AUTHENTICATE], "Bearer");
        let expected =
            r##"{"success":false,"error":{"code":"UNAUTHORIZED","message":"who?","docs":"/docs#UNAUTHORIZED"}}"##;
        assert_eq!(body(&response), expected);
    }

    #[test]
    fn chatkits_errors_have_the_members_of_its_error_event_too() {
        let error = RpcError::new(ErrorCode::ThreadBusy, "Wait.");
        let expected = concat!(
            r#"{"type":"error","code":"custom","message":"Wait.","allow_retry":true,"#,
            r##""success":false,"error":{"code":"THREAD_BUSY","message":"Wait.","docs":"/docs#THREAD_BUSY"}}"##
        );
        let response = Response::error(&error).with_chatkit_error();
        assert_eq!((response.status, body(&response).as_str()), (409, expected));
        let error = RpcError::new(ErrorCode::Conflict, "Closed.");
        assert!(body(&Response::error(&error).with_chatkit_error()).contains(r#""allow_retry":false"#));
        assert_eq!(body(&Response::json(200, "{}").with_chatkit_error()), "{}");
    }

    #[test]
    fn a_body_that_was_not_read_closes_the_connection() {
        let error = BodyError(RpcError::new(ErrorCode::PayloadTooLarge, "too much"));
        let response = ErrorResponse::from(error).into_response();
        assert_eq!(response.status, 413);
        assert_eq!(response.headers[CONNECTION], "close");
    }
}
