//! The HTTP requests of the streamable HTTP transport.
//!
//! Sessions, their renewal and the resumption of streams are those of `rmcp`. This reads the responses: whatever
//! content type they have, and whatever the status of a refusal is.

use super::message::{Expected, MAX_MESSAGE_BYTES, read_messages, refusal_in, refused, too_long};
use super::sse::{bounded, events_of, readable_events};
use crate::json_rpc::Refusal;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, ClientRequest, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    HttpStatusError, SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

const SESSION_ID: &str = "mcp-session-id";
/// Members of `_meta`, and headers: where a call stands in its trace.
pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";
const LAST_EVENT_ID: &str = "last-event-id";
const ACCEPTED_TYPES: &str = "application/json, text/event-stream";
/// Maximum size of the body of a refusal, in bytes. The rest is not read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Maximum length of a server's text about a refusal, in characters.
const REFUSAL_CHARS: usize = 500;
/// Code of a refusal by HTTP status.
const BY_STATUS: i64 = -32000;
/// Codes by which servers refuse a request with status 200 because of its session.
const LOST_SESSION_CODES: &[std::ops::RangeInclusive<i64>] = &[-32_099..=-32_000, -32_600..=-32_600];
/// What servers say of a session that they do not know.
const LOST_SESSION: &[&str] = &[
    "not found",
    "no valid",
    "invalid",
    "unknown",
    "expired",
    "terminated",
    "closed",
    "missing",
    "required",
    "gone",
    "no longer",
    "not exist",
    "no such",
];

type HttpError = StreamableHttpError<reqwest::Error>;
type Events = BoxStream<'static, Result<Sse, SseError>>;

/// Sends the messages of one connection.
#[derive(Clone)]
pub(super) struct McpHttpClient {
    client: Client,
    /// Notified when a new session has replaced an expired one: the server may have restarted with other tools.
    tools_changed: Arc<Notify>,
    is_initialized: Arc<AtomicBool>,
    /// Requests that were refused because of their session. Each is made once more, in a new session; if that is
    /// refused too, the reason is another one.
    refused_once: Arc<Mutex<HashSet<RequestId>>>,
}

/// A body, up to a size limit.
struct Body {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl McpHttpClient {
    pub(super) fn new(client: Client, tools_changed: Arc<Notify>) -> Self {
        Self { client, tools_changed, is_initialized: Arc::default(), refused_once: Arc::default() }
    }

    /// The handshake ends with this notification. The second handshake is that of a new session.
    fn notice_renewal(&self, message: &ClientJsonRpcMessage) {
        if let ClientJsonRpcMessage::Notification(sent) = message
            && matches!(sent.notification, ClientNotification::InitializedNotification(_))
            && self.is_initialized.swap(true, Ordering::AcqRel)
        {
            self.tools_changed.notify_one();
        }
    }
}

impl StreamableHttpClient for McpHttpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        headers: HashMap<http::HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let max_event_bytes = MAX_MESSAGE_BYTES;
        self.post_message_with_max_sse_event_size(uri, message, session_id, auth_header, headers, max_event_bytes).await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        headers: HashMap<http::HeaderName, HeaderValue>,
        max_event_bytes: usize,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let has_session = session_id.is_some();
        let mut headers = all_headers(headers, session_id.as_deref(), None);
        add_trace(&mut headers, &message);
        let request = self.client.post(&*uri).headers(headers).json(&message);
        let response = send(&self.client, request).await?;
        let ClientJsonRpcMessage::Request(request) = &message else {
            self.notice_renewal(&message);
            // Nothing waits for an answer to a notification. A server that refuses one refuses the next request too.
            let is_lost = matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) && has_session;
            return if is_lost { Err(HttpError::SessionExpired) } else { Ok(StreamableHttpPostResponse::Accepted) };
        };
        let is_initialize = matches!(request.request, ClientRequest::InitializeRequest(_));
        let id = request.id.clone();
        let expected = Expected { initialize: is_initialize.then(|| id.clone()), only: Some(id.clone()) };
        let is_first_try = !self.refused_once.lock().remove(&id);
        let may_renew = has_session && is_first_try;
        let read = read_response(response, id.clone(), expected, (has_session, may_renew), max_event_bytes).await;
        if matches!(read, Err(HttpError::SessionExpired)) {
            self.refused_once.lock().insert(id);
        }
        read
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        headers: HashMap<http::HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        // A server that cannot end a session forgets it some day.
        let request = self.client.delete(&*uri).headers(all_headers(headers, Some(&session_id), None));
        send(&self.client, request).await.map(|_| ())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        headers: HashMap<http::HeaderName, HeaderValue>,
    ) -> Result<Events, HttpError> {
        self.get_stream_with_max_sse_event_size(uri, session_id, last_event_id, auth_header, headers, MAX_MESSAGE_BYTES)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        headers: HashMap<http::HeaderName, HeaderValue>,
        max_event_bytes: usize,
    ) -> Result<Events, HttpError> {
        let headers = all_headers(headers, session_id.as_deref(), last_event_id.as_deref());
        let response = send(&self.client, self.client.get(&*uri).headers(headers)).await?;
        let status = response.status();
        if !status.is_success() || !has_type(&response, "text/event-stream") {
            // Many servers have no such stream, and say so in their own way. A server in trouble is asked again.
            return Err(match status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
                true => HttpStatusError::new(status.as_u16(), None).into(),
                false => HttpError::ServerDoesNotSupportSse,
            });
        }
        Ok(readable_events(
            SseStream::from_bytes_stream(bounded(response.bytes_stream(), max_event_bytes)),
            Expected::default(),
        ))
    }
}

/// Reads the response to the request with this id. A refusal because of the session is an error if `may_renew`.
async fn read_response(
    response: Response,
    id: RequestId,
    expected: Expected,
    (has_session, may_renew): (bool, bool),
    max_event_bytes: usize,
) -> Result<StreamableHttpPostResponse, HttpError> {
    let status = response.status();
    let session_id = response.headers().get(SESSION_ID).and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
    if status.is_success() && has_type(&response, "text/event-stream") {
        let events = SseStream::from_bytes_stream(bounded(response.bytes_stream(), max_event_bytes));
        return Ok(StreamableHttpPostResponse::Sse(readable_events(events, expected), session_id));
    }
    let max_bytes = if status.is_success() { MAX_MESSAGE_BYTES } else { MAX_REFUSAL_BYTES };
    let body = read_body(response, max_bytes).await?;
    if !status.is_success() {
        return read_refusal(status, &body, id, &expected, may_renew);
    }
    if body.is_cut {
        return Ok(StreamableHttpPostResponse::Json(too_long(id), session_id));
    }
    let messages = match read_messages(&body.bytes, &expected) {
        Some(messages) if !is_event_stream(&body.bytes) => messages,
        // Events that are declared as another type.
        _ => {
            // The last one may lack the blank line behind it.
            let text = String::from_utf8_lossy(&body.bytes).into_owned() + "\n\n";
            let events = stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(text))]);
            let events: Vec<_> = SseStream::from_bytes_stream(events).collect().await;
            let data = events.into_iter().filter_map(Result::ok).filter_map(|event| event.data);
            data.filter_map(|data| read_messages(data.as_bytes(), &expected)).flatten().collect()
        }
    };
    let answers = |message: &ServerJsonRpcMessage| {
        matches!(message, ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_))
    };
    if !messages.iter().any(answers) {
        if status == StatusCode::ACCEPTED && has_session {
            // The answer comes over the stream of the session.
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let bytes = body.bytes.len();
        return Err(HttpError::UnexpectedServerResponse(
            format!("a response with status {} whose {bytes} bytes hold no answer", status.as_u16()).into(),
        ));
    }
    let is_about_session = |Refusal { code, message }: Refusal| {
        LOST_SESSION_CODES.iter().any(|codes| codes.contains(&code)) && says_session_is_lost(status, &message)
    };
    if may_renew && messages.iter().filter_map(refusal_in).any(is_about_session) {
        return Err(HttpError::SessionExpired);
    }
    let mut messages = messages;
    if messages.iter().filter(|message| answers(message)).count() == 1 {
        messages.iter_mut().for_each(|message| set_id(message, &id));
    }
    Ok(match messages.pop() {
        Some(only) if messages.is_empty() => StreamableHttpPostResponse::Json(only, session_id),
        last => {
            messages.extend(last);
            StreamableHttpPostResponse::Sse(events_of(messages), session_id)
        }
    })
}

/// Reads a response whose status is not a success.
fn read_refusal(
    status: StatusCode,
    body: &Body,
    id: RequestId,
    expected: &Expected,
    may_renew: bool,
) -> Result<StreamableHttpPostResponse, HttpError> {
    let text = String::from_utf8_lossy(&body.bytes);
    // The protocol says 404. Other servers say it with another status and in their own words.
    let is_lost = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    if may_renew && (is_lost || says_session_is_lost(status, &text)) {
        return Err(HttpError::SessionExpired);
    }
    let message = read_messages(&body.bytes, expected).and_then(|mut messages| messages.pop());
    if let Some(mut message) = message
        && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    {
        set_id(&mut message, &id);
        return Ok(StreamableHttpPostResponse::Json(message, None));
    }
    let is_executed =
        status.is_server_error() && !matches!(status, StatusCode::NOT_IMPLEMENTED | StatusCode::SERVICE_UNAVAILABLE);
    if is_executed || expected.initialize.is_some() {
        return Err(HttpStatusError::new(status.as_u16(), None).into());
    }
    let text = text.trim();
    let text: String = match text.starts_with('<') {
        // An error page says nothing to a model.
        true => String::new(),
        false => text.chars().take(REFUSAL_CHARS).collect(),
    };
    let message = format!("HTTP status {} {text}", status.as_u16()).trim_end().to_owned();
    Ok(StreamableHttpPostResponse::Json(refused(id, &Refusal { code: BY_STATUS, message }), None))
}

/// Whether these are the words of a server that does not know the session, for example after a restart.
fn says_session_is_lost(status: StatusCode, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    // Of another status, the words must be clear: a program that has failed may speak of a session of its own.
    let is_bad_request = status == StatusCode::BAD_REQUEST;
    let is_of_session = is_bad_request || LOST_SESSION.iter().any(|words| text.contains(words));
    let is_of_start = ["not initialized", "not initialised"].iter().any(|words| text.contains(words));
    text.contains("session") && is_of_session || is_of_start && (is_bad_request || text.contains("server"))
}

/// Makes an answer the one to this request, the only one that was made. Servers that cannot read a request, or do not
/// care, answer with another id.
fn set_id(message: &mut ServerJsonRpcMessage, id: &RequestId) {
    match message {
        ServerJsonRpcMessage::Response(response) => response.id = id.clone(),
        ServerJsonRpcMessage::Error(error) => error.id = Some(id.clone()),
        ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Notification(_) => {}
    }
}

/// Sends a request. A redirect within the server, such as that to the path with a slash at its end, is followed once;
/// the configured headers go to no other server.
async fn send(client: &Client, request: RequestBuilder) -> Result<Response, HttpError> {
    // The URL can hold a key.
    let failed = |error: reqwest::Error| HttpError::Client(error.without_url());
    let request = request.build().map_err(failed)?;
    let again = request.try_clone();
    let response = client.execute(request).await.map_err(failed)?;
    if let (StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT, Some(mut again)) =
        (response.status(), again)
        && let Some(target) = response.headers().get(LOCATION).and_then(|target| target.to_str().ok())
        && let Ok(target) = again.url().join(target)
        && target.origin() == again.url().origin()
    {
        *again.url_mut() = target;
        return client.execute(again).await.map_err(failed);
    }
    Ok(response)
}

async fn read_body(response: Response, max_bytes: usize) -> Result<Body, HttpError> {
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| HttpError::Client(error.without_url()))?);
        if bytes.len() > max_bytes {
            bytes.truncate(max_bytes);
            return Ok(Body { bytes, is_cut: true });
        }
    }
    Ok(Body { bytes, is_cut: false })
}

/// Returns the headers of a request. Those of the protocol win.
fn all_headers(
    headers: HashMap<http::HeaderName, HeaderValue>,
    session_id: Option<&str>,
    last_event_id: Option<&str>,
) -> HeaderMap {
    let mut all: HeaderMap = headers.into_iter().collect();
    all.insert(ACCEPT, HeaderValue::from_static(ACCEPTED_TYPES));
    for (name, value) in [(SESSION_ID, session_id), (LAST_EVENT_ID, last_event_id)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            all.insert(name, value);
        }
    }
    all
}

/// Adds the trace of a tool call. Another task sends the message, so that is known from the message alone.
fn add_trace(headers: &mut HeaderMap, message: &ClientJsonRpcMessage) {
    let ClientJsonRpcMessage::Request(request) = message else { return };
    let ClientRequest::CallToolRequest(call) = &request.request else { return };
    let Some(meta) = &call.params.meta else { return };
    for name in [TRACEPARENT, TRACESTATE] {
        if let Some(value) = meta.0.0.get(name).and_then(|value| HeaderValue::from_str(value.as_str()?).ok()) {
            headers.insert(name, value);
        }
    }
}

fn has_type(response: &Response, media_type: &str) -> bool {
    let found = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    found.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

fn is_event_stream(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    ["data:", "event:", "id:", "retry:", ":"].iter().any(|start| body.starts_with(start.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_session_is_known_by_the_words_about_it() {
        for (status, text, is_lost) in [
            (400, "Bad Request: No valid session ID provided", true),
            (400, "Mcp-Session-Id header", true),
            (400, "Bad Request: Server not initialized", true),
            (400, "bad rows", false),
            (401, r#"{"error":"invalid session"}"#, true),
            (401, "token expired", false),
            (422, "Session does not exist", true),
            (500, "Session terminated", true),
            (500, "the cache is not initialized", false),
            (200, "Session not found", true),
            (200, "no such order", false),
        ] {
            assert_eq!(says_session_is_lost(StatusCode::from_u16(status).unwrap(), text), is_lost, "{status} {text}");
        }
    }
}
