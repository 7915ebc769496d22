//! What every call passes, whichever way it came: verify, count, time, log.
//!
//! One service wraps whatever dispatches: jsonrpsee's own for the subscriptions of a WebSocket,
//! [`LocalService`](crate::rpc::transport) for the rest. A batch is taken apart here and each entry passes as a call of its own; so does a notification, whose answer
//! is dropped. The order is the point: nobody is counted before it is known who they are, and nothing is done before
//! it is counted.

mod admit;
mod meta;
mod unsubscribe;

use crate::core::Core;
use crate::error::Error;
use crate::rpc::context::Call;
use crate::rpc::registry::Registered;
use crate::store::timing;
use jsonrpsee::core::middleware::{Batch, BatchEntry, Notification, Request, RpcServiceT};
use jsonrpsee::server::{BatchResponseBuilder, MethodResponse};
use jsonrpsee::types::error::INVALID_REQUEST_CODE;
use jsonrpsee::types::{ErrorObject, Id};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::auth::AuthMe;
use threadline_schema::{ErrorCode, Kind, MethodInfo, RpcError, RpcMethod};

/// The pipeline around a service that dispatches.
#[derive(Clone)]
pub(crate) struct Pipeline<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What the pipeline needs of the rest.
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) registered: Registered,
}

impl Shared {
    /// What HTTP checks while it reads. On a socket jsonrpsee reads more than is taken, so that what is too large can be
    /// told so here; what is larger still it refuses by itself.
    fn check_size(&self, bytes: usize) -> Result<(), Error> {
        let limit = self.core.config.limits.body_bytes;
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("The params have {bytes} bytes; this server takes {limit}.");
        Err(Error::new(ErrorCode::PayloadTooLarge, message))
    }
}

fn bytes_of(params: Option<&RawValue>) -> usize {
    params.map_or(0, |params| params.get().len())
}

impl<S> Pipeline<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }

    /// Authenticates and counts a request of a user that becomes no call.
    pub(crate) async fn admit(&self, call: &Call) -> Result<(), Error> {
        let request = Request::borrowed(AuthMe::NAME, None, Id::Null);
        let info = MethodInfo::of::<AuthMe>();
        let (admitted, db) = timing::timed(admit::admit(&self.shared.core, call, &request, Some(&info))).await;
        call.facts().db_time = db;
        admitted
    }
}

impl<S> RpcServiceT for Pipeline<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { this.one(request, CallKind::Single).await }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            let limit = this.shared.core.config.limits.batch_entries;
            if batch.len() > limit {
                let message =
                    format!("A batch has at most {limit} calls; this one has {}. Send it in parts.", batch.len());
                return MethodResponse::error(Id::Null, invalid_request(message));
            }
            let bytes = batch.iter().flatten().map(|entry| match entry {
                BatchEntry::Call(request) => bytes_of(request.params.as_deref()),
                BatchEntry::Notification(notification) => bytes_of(notification.params.as_deref()),
            });
            if let Err(error) = this.shared.check_size(bytes.sum()) {
                return MethodResponse::error(Id::Null, error_object(error.public()));
            }
            let mut answers = BatchResponseBuilder::new_with_limit(crate::rpc::transport::MAX_RESPONSE_BYTES);
            let mut only_notifications = !batch.is_empty();
            for entry in batch {
                let answer = match entry {
                    Ok(BatchEntry::Call(request)) => this.one(request, CallKind::Batched).await,
                    Ok(BatchEntry::Notification(notification)) => {
                        this.notified(notification).await;
                        continue;
                    }
                    Err(entry) => {
                        let (_, id) = entry.into_parts();
                        MethodResponse::error(id, not_a_call())
                    }
                };
                only_notifications = false;
                if let Err(too_large) = answers.append(answer) {
                    return too_large;
                }
            }
            match (only_notifications, answers.is_empty()) {
                (true, _) => MethodResponse::notification(),
                (false, true) => MethodResponse::error(Id::Null, not_a_call()),
                (false, false) => MethodResponse::from_batch(answers.finish()),
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move {
            this.notified(notification).await;
            MethodResponse::notification()
        }
    }
}

impl<S> Pipeline<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse> + Clone + Send + Sync + 'static,
{
    /// A notification is a call whose answer nobody hears. jsonrpsee would not make it at all.
    async fn notified(&self, notification: Notification<'_>) {
        let Notification { method, params, extensions, .. } = notification;
        let mut request = Request::owned(method.into_owned(), params.map(std::borrow::Cow::into_owned), Id::Null);
        request.extensions = extensions;
        self.one(request, CallKind::Batched).await;
    }

    async fn one(&self, mut request: Request<'_>, kind: CallKind) -> MethodResponse {
        let started = Instant::now();
        let Shared { core, registered } = &*self.shared;
        let call = match meta::open(&mut request) {
            Ok(call) => call,
            Err((call, error)) => {
                let refusal = MethodResponse::error(request.id.clone(), call.refuse(&request.method, error));
                finish(&call, UNKNOWN, &refusal, started, Duration::ZERO);
                return refusal;
            }
        };
        // The label is the contract's name, never the caller's: a metric must not grow with what people send.
        let (info, name) = match registered.info(&request.method) {
            Some(info) => (Some(info), info.name),
            None if registered.methods.method(&request.method).is_some() => (None, UNSUBSCRIBE),
            None => (None, UNKNOWN),
        };
        let (response, db) = timing::timed(async {
            // Ending a subscription is free and needs no token: it concerns the socket it came on and nothing else, and
            // a gateway that may not do it would keep the streams of users who have left.
            if name != UNSUBSCRIBE
                && let Err(error) = admit::admit(core, &call, &request, info).await
            {
                return MethodResponse::error(request.id.clone(), call.refuse(name, error));
            }
            if let Err(error) = self.shared.check_size(bytes_of(request.params.as_deref())) {
                return MethodResponse::error(request.id.clone(), call.refuse(name, error));
            }
            if name == UNKNOWN {
                let error =
                    Error::new(ErrorCode::MethodNotFound, "There is no such method; `rpc.discover` lists them.");
                return MethodResponse::error(request.id.clone(), call.refuse(name, error));
            }
            if kind == CallKind::Batched && info.is_some_and(|info| info.kind != Kind::Command) {
                // jsonrpsee sends the answer to a subscription by itself, so it can be no part of another one.
                let error = Error::invalid("Subscribe with a call by itself: not in a batch, and with an `id`.");
                return MethodResponse::error(request.id.clone(), call.refuse(name, error));
            }
            if name == UNSUBSCRIBE
                && let Err(error) = unsubscribe::by_position(&mut request)
            {
                return MethodResponse::error(request.id.clone(), call.refuse(name, error));
            }
            request.extensions.insert(call.clone());
            self.inner.call(request).await
        })
        .await;
        finish(&call, name, &response, started, db);
        response
    }
}

/// How a call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallKind {
    /// A request in a message of its own; so is its response.
    Single,
    /// An entry of a batch, or a notification.
    Batched,
}

const UNKNOWN: &str = "unknown";
const UNSUBSCRIBE: &str = "unsubscribe";

/// What stands in metrics and log for no error.
const SUCCESS: &str = "0";

fn finish(call: &Call, method: &'static str, response: &MethodResponse, started: Instant, db: Duration) {
    let elapsed = started.elapsed();
    call.facts().db_time = db;
    let code = match (call.refusal(), response.as_error_code()) {
        (Some(refusal), _) => refusal.name(),
        // The library underneath refused by itself.
        (None, Some(number)) => ErrorCode::from_rpc_code(number).name(),
        (None, None) => SUCCESS,
    };
    metrics::histogram!("threadline_rpc_request_seconds", "method" => method, "code" => code)
        .record(elapsed.as_secs_f64());
    let user_id = call.identity().map(|identity| tracing::field::display(identity.user_id));
    let (ms, db_ms) = (elapsed.as_secs_f64() * 1e3, db.as_secs_f64() * 1e3);
    if call.transport == crate::rpc::context::Transport::Local {
        // The gateway writes the line of this request.
        tracing::debug!(target: "threadline::rpc", request_id = %call.caller.request_id, user_id, method, code, ms, db_ms, "call");
    } else {
        tracing::info!(target: "threadline::rpc", request_id = %call.caller.request_id, user_id, method, code, ms, db_ms, "call");
    }
}

/// An error of the table as JSON-RPC has it.
pub(crate) fn error_object(error: &RpcError) -> ErrorObject<'static> {
    ErrorObject::owned(error.code.rpc_code(), error.message.clone(), Some(error.data()))
}

/// What something is told that is JSON but no call.
pub(crate) fn not_a_call() -> ErrorObject<'static> {
    invalid_request(
        r#"This is no JSON-RPC 2.0 request: it needs "jsonrpc": "2.0", "method" and, to be answered, an "id" that is a string, a whole number from 0, or null."#,
    )
}

/// JSON-RPC's "Invalid Request", for what is wrong with the envelope. Wrong params have another number, and the name of
/// both is the same.
fn invalid_request(message: impl Into<String>) -> ErrorObject<'static> {
    let error = RpcError::new(ErrorCode::InvalidRequest, message);
    ErrorObject::owned(INVALID_REQUEST_CODE, error.message.clone(), Some(error.data()))
}
