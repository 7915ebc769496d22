//! From a matched operation to its response: requires a token, reads the body, binds the parameters, calls the core,
//! and makes the response.
//!
//! The order of the checks is part of the API: 401 and 429 come before 400, so a caller without a valid token learns
//! nothing about a request. Only for a body that cannot be read (too large, too slow) the token is not checked. Every
//! request counts against a rate limit, those of monitoring excepted.

mod call;
mod chatkit;
mod download;
mod errors;
mod export;
mod reject;
mod stream;
mod upload;

use crate::bind::{BindInput, Bound, bind};
use crate::http::{BodyChunks, BodyError, last_event_id, read_body, require_json};
use crate::operation::Operation;
use crate::response::{ErrorResponse, ResponseResult};
use crate::rule::{ResponseMode, StreamScope};
use crate::upstream::{Call, Upstream};
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use reject::{reject, reject_malformed, reject_unknown, reject_unread, require_token};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{ByteBudget, ByteHold};
use threadline_schema::attachments::piece_bytes;
use threadline_schema::call::Caller;
use threadline_schema::rpc::MethodInfo;
use threadline_schema::{ErrorCode, RpcError};

/// A request whose operation is known.
pub(crate) struct MatchedRequest<'a, B> {
    pub(crate) operation: &'static Operation,
    /// Names and values of the path variables, not decoded.
    pub(crate) variables: Vec<(&'a str, &'a str)>,
    pub(crate) head: &'a Parts,
    pub(crate) body: B,
    pub(crate) caller: Caller,
}

/// Sends requests to the core.
pub(crate) struct Dispatcher {
    pub(crate) upstream: Arc<dyn Upstream>,
    /// Largest body of a request.
    pub(crate) max_body_bytes: usize,
    /// Longest time that a body may take to arrive.
    pub(crate) body_timeout: Duration,
    /// Memory for bodies that are not answered yet.
    pub(crate) input: ByteBudget,
}

/// Largest body of a request to a method that needs no token, in bytes: an email and a password.
const STRANGER_BYTES: usize = 16 * 1024;

impl Dispatcher {
    /// Handles a request to an operation that calls a method.
    pub(crate) async fn call_method<B>(
        &self,
        request: MatchedRequest<'_, B>,
        method: &MethodInfo,
        mode: &ResponseMode,
    ) -> ResponseResult
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let MatchedRequest { operation, variables, head, body, caller } = request;
        let (rule, upstream) = (operation.rule, self.upstream.as_ref());
        if rule.requires_token() {
            require_token(upstream, &caller).await?;
        }
        if let ResponseMode::Upload(format) = mode {
            let bound = match bind_request(operation, head, variables, &[]) {
                Ok(bound) => bound,
                Err(error) => return Err(reject_unread(BodyError(error), rule, upstream, caller).await),
            };
            let chunk_bytes = piece_bytes(self.max_body_bytes);
            let Some(_hold) = self.input.take(chunk_bytes) else {
                return Err(reject_unread(busy(), rule, upstream, caller).await);
            };
            let chunks = BodyChunks::new(body, chunk_bytes, self.body_timeout);
            return upload::upload(rule, (method, format), &bound, upstream, caller, chunks).await;
        }
        let limit = if rule.requires_token() { self.max_body_bytes } else { self.max_body_bytes.min(STRANGER_BYTES) };
        let (body, _hold) = match self.read(body, limit).await {
            Ok(read) => read,
            Err(error) => return Err(reject_unread(error, rule, upstream, caller).await),
        };
        let Bound { params, path_id } = match bind_request(operation, head, variables, &body) {
            Ok(bound) => bound,
            Err(error) => return Err(reject_malformed(error, rule, upstream, caller).await),
        };
        let call = Call { method: method.name, params, caller };
        match mode {
            ResponseMode::Json(format) | ResponseMode::Upload(format) => {
                call::call(rule, format, &path_id, upstream, call).await
            }
            ResponseMode::StartedRun { subscribe } => {
                let answer = stream::AnswerAs::of(&head.headers);
                stream::started_run(rule, subscribe, upstream, call, answer).await
            }
            ResponseMode::ChatKitRun { subscribe, run_id } => {
                stream::chatkit_run(rule, subscribe, *run_id, upstream, call, last_event_id(&head.headers)).await
            }
            ResponseMode::Subscription(StreamScope::Run) => stream::run(rule, &path_id, upstream, call).await,
            ResponseMode::Subscription(StreamScope::Thread) => stream::thread(rule, upstream, call).await,
            ResponseMode::Download => download::download(rule, &self.upstream, call).await,
            ResponseMode::Export => export::export(rule, &self.upstream, call).await,
        }
    }

    /// Reads a body of at most `limit` bytes. One that is not small takes of the memory that all bodies share, until
    /// the request is answered.
    async fn read<B>(&self, body: B, limit: usize) -> Result<(Bytes, Option<ByteHold>), BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let declared = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        let hold = match declared.unwrap_or(limit).min(limit) {
            ..=STRANGER_BYTES => None,
            bytes => Some(self.input.take(bytes).ok_or_else(busy)?),
        };
        Ok((read_body(body, limit, self.body_timeout).await?, hold))
    }

    /// Refuses a request for a path or an HTTP method that does not exist.
    pub(crate) async fn reject_unknown(&self, error: RpcError, caller: Caller) -> ErrorResponse {
        reject_unknown(error, self.upstream.as_ref(), caller).await
    }

    /// Handles a request to ChatKit's endpoint.
    pub(crate) async fn call_chatkit<B>(&self, request: MatchedRequest<'_, B>) -> ResponseResult
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let MatchedRequest { operation, head, body, caller, .. } = request;
        let upstream = self.upstream.as_ref();
        require_token(upstream, &caller).await?;
        let (body, _hold) = match self.read(body, self.max_body_bytes).await {
            Ok(read) => read,
            Err(error) => return Err(reject_unread(error, operation.rule, upstream, caller).await),
        };
        let parsed = require_json(&head.headers, &body).and_then(|()| chatkit::parse(&head.headers, &body));
        match parsed {
            Ok(request) => chatkit::respond(request, upstream, caller, last_event_id(&head.headers)).await,
            Err(error) => Err(reject(error, upstream, caller).await),
        }
    }
}

/// The error of a request for whose body there is no memory now.
fn busy() -> BodyError {
    metrics::counter!("threadline_input_refused_total", "reason" => "budget").increment(1);
    let message = "The server reads too many large requests at the moment. Please try again.";
    BodyError(RpcError::new(ErrorCode::ServiceUnavailable, message).with("retry_after", 2))
}

/// Makes the params object. A request with a body needs the content type of JSON.
fn bind_request(
    operation: &Operation,
    head: &Parts,
    variables: Vec<(&str, &str)>,
    body: &[u8],
) -> Result<Bound, RpcError> {
    if operation.rule.verb.has_body() {
        require_json(&head.headers, body)?;
    }
    bind(operation, &BindInput { variables, query: head.uri.query(), headers: &head.headers, body })
}
