//! From a matched operation to its response: requires a token, reads the body, binds the parameters, calls the core,
//! and makes the response.
//!
//! The order of the checks is part of the API: 401 and 429 come before 400, so a caller without a valid token learns
//! nothing about a request. The token is checked before more than a little of a body is read. Only for a body that
//! cannot be read (too large, too slow) it is not checked. Every request counts against a rate limit, those of
//! monitoring excepted.

mod call;
mod chatkit;
mod download;
mod errors;
mod export;
mod reject;
mod stream;
mod upload;

use crate::bind::{BindInput, Bound, bind};
use crate::http::{BodyChunks, BodyError, BodyMemory, SMALL_BYTES, last_event_id, read_body, require_json};
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
use threadline_runtime::ByteBudget;
use threadline_schema::RpcError;
use threadline_schema::attachments::{min_piece_bytes, piece_bytes};
use threadline_schema::call::Caller;
use threadline_schema::rpc::MethodInfo;

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
            let memory = BodyMemory::new(&self.input, caller.ip);
            // With the first piece the core checks who sends the file, before more of it is read.
            let first = min_piece_bytes(self.max_body_bytes);
            let chunks = BodyChunks::new(body, first, chunk_bytes, self.body_timeout, memory);
            return upload::upload(rule, (method, format), &bound, upstream, caller, chunks).await;
        }
        let limit = if rule.requires_token() { self.max_body_bytes } else { self.max_body_bytes.min(SMALL_BYTES) };
        let (body, _memory) = match self.read(body, limit, &caller).await {
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

    /// Reads a body of at most `limit` bytes. One that is not small needs a valid token, and takes of the memory that
    /// all bodies share, until the request is answered.
    async fn read<B>(&self, body: B, limit: usize, caller: &Caller) -> Result<(Bytes, BodyMemory), BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut memory = BodyMemory::new(&self.input, caller.ip);
        let check = async { self.upstream.check_token(caller.clone()).await };
        let body = read_body(body, limit, self.body_timeout, &mut memory, check).await?;
        Ok((body, memory))
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
        let (body, _memory) = match self.read(body, self.max_body_bytes, &caller).await {
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
