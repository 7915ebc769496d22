//! WebSockets. jsonrpsee reads the messages and owns the subscriptions: their ids, sinks and ends. Every call passes
//! the pipeline all the same.

use super::codec::{self, Responder};
use super::http::refusal;
use super::{RpcServer, connection};
use crate::error::Error;
use crate::rpc::call::{CallKind, Connection};
use crate::rpc::feed::Feed;
use crate::rpc::pipeline::Pipeline;
use crate::rpc::reply::{Reply, Response};
use http::header::{self, HeaderValue};
use http::{Request as HttpRequest, Response as HttpResponse};
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::middleware::{Batch, Notification, Request, RpcServiceBuilder, RpcServiceT};
use jsonrpsee::server::middleware::rpc::RpcService;
use jsonrpsee::server::{
    ConnectionState, HttpBody, MethodCallback, MethodResponse, Methods, PingConfig, ServerConfig, ServerHandle,
    StopHandle, SubscriptionCloseResponse, SubscriptionSink, stop_channel, ws,
};
use jsonrpsee::types::error::reject_too_many_subscriptions;
use jsonrpsee::types::{ErrorCode as JsonRpcErrorCode, Params, SubscriptionId};
use jsonrpsee::{Extensions, PendingSubscriptionSink, RpcModule};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use threadline_runtime::{GaugeGuard, TaskKind};
use threadline_schema::Kind;
use threadline_schema::call::{META, ResponseMeta};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service;

/// Most subscriptions of one socket. A gateway puts those of many users on one.
const MAX_SUBSCRIPTIONS_PER_SOCKET: u32 = 16_384;
/// Room in a message for the envelope and for `_meta`, in bytes: a gateway adds them to params of full size.
const ENVELOPE_BYTES: usize = 16 * 1024;
/// Messages that wait until a socket can be written to. The subscriptions of a socket share them.
const BUFFERED_MESSAGES: u32 = 256;
/// Seconds after which a client may try to connect again. Sockets last long, so this is a guess.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// All WebSockets of this process.
pub(super) struct Sockets {
    /// The methods that jsonrpsee answers: subscribe and unsubscribe.
    methods: Methods,
    permits: Arc<Semaphore>,
    next_id: AtomicU32,
    tracker: TaskTracker,
    stop: StopHandle,
    handle: ServerHandle,
}

impl Sockets {
    /// # Errors
    /// If two subscriptions have one name, or share the name of a notification.
    pub(super) fn new(pipeline: &Pipeline, max_sockets: usize) -> Result<Self, RegisterMethodError> {
        let (stop, handle) = stop_channel();
        Ok(Self {
            methods: subscription_methods(pipeline)?,
            permits: Arc::new(Semaphore::new(max_sockets)),
            next_id: AtomicU32::new(0),
            tracker: TaskTracker::new(),
            stop,
            handle,
        })
    }

    /// Closes all sockets and waits for them.
    pub(super) async fn close(&self) {
        // Fails only if it was called before.
        let _ = self.handle.stop();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl RpcServer {
    /// Answers the HTTP request that opens a WebSocket.
    pub(super) async fn upgrade<B>(&self, connection: Connection, request: HttpRequest<B>) -> HttpResponse<HttpBody> {
        let offered = connection::offered_protocols(request.headers());
        let token = connection.caller.token.as_deref();
        if token.is_some_and(|token| self.inner.parts.tokens.verify(token).is_none()) {
            let mut response = refusal(Error::unauthorized().public());
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        let sockets = &self.inner.sockets;
        let Ok(permit) = sockets.permits.clone().try_acquire_owned() else {
            let mut response = refusal(Error::unavailable("Too many WebSockets are open.").public());
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            return response;
        };
        let id = sockets.next_id.fetch_add(1, Ordering::Relaxed);
        let state = ConnectionState::new(sockets.stop.clone(), id, permit);
        let socket = Arc::new(Socket {
            connection,
            subscriptions: Arc::new(Semaphore::new(MAX_SUBSCRIPTIONS_PER_SOCKET as usize)),
        });
        let (pipeline, methods) = (self.inner.parts.pipeline.clone(), sockets.methods.clone());
        let max_batch_entries = self.inner.parts.max_batch_entries;
        let service = RpcServiceBuilder::new().layer_fn(move |jsonrpsee| SocketService {
            pipeline: pipeline.clone(),
            max_batch_entries,
            methods: methods.clone(),
            jsonrpsee,
            socket: socket.clone(),
        });
        let (head, _) = request.into_parts();
        let request = HttpRequest::from_parts(head, ());
        let config = socket_config(self.inner.parts.pipeline.max_params_bytes(), self.inner.http.ping_interval);
        match ws::connect(request, config, sockets.methods.clone(), state, service).await {
            Ok((mut response, socket)) => {
                if offered.iter().any(|protocol| protocol == "bearer") {
                    // A browser drops the socket unless the server confirms one of the protocols that it offered.
                    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bearer"));
                }
                let serve = async move {
                    let _open = GaugeGuard::new(metrics::gauge!("threadline_websockets"));
                    socket.await;
                };
                self.inner.parts.supervisor.spawn(TaskKind::Connection, sockets.tracker.track_future(serve));
                response
            }
            Err(response) => response,
        }
    }
}

fn socket_config(max_params_bytes: usize, ping_interval: Duration) -> ServerConfig {
    // Twice the limit: params that are somewhat too large are read, and refused by the pipeline with its own error.
    let message_bytes = max_params_bytes.saturating_mul(2).saturating_add(ENVELOPE_BYTES);
    let message_bytes = u32::try_from(message_bytes).unwrap_or(u32::MAX);
    let ping = PingConfig::new().ping_interval(ping_interval).inactive_limit(ping_interval * 2).max_failures(2);
    ServerConfig::builder()
        // jsonrpsee bounds received messages by the response size. Both are set, in case that changes.
        .max_request_body_size(message_bytes)
        .max_response_body_size(message_bytes)
        // `Socket` counts them, after the pipeline has counted the call.
        .max_subscriptions_per_connection(u32::MAX)
        .set_message_buffer_capacity(BUFFERED_MESSAGES)
        .enable_ws_ping(ping)
        .build()
}

/// One WebSocket.
struct Socket {
    connection: Connection,
    /// Permits for its subscriptions.
    subscriptions: Arc<Semaphore>,
}

/// Answers the messages of one socket: subscriptions through jsonrpsee, everything else as over HTTP.
#[derive(Clone)]
struct SocketService {
    pipeline: Pipeline,
    max_batch_entries: usize,
    methods: Methods,
    jsonrpsee: RpcService,
    socket: Arc<Socket>,
}

impl RpcServiceT for SocketService {
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { this.respond(request, CallKind::Single).await }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { codec::respond_to_batch(&this, batch).await }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let this = self.clone();
        async move { codec::respond_to_notification(&this, notification).await }
    }
}

impl Responder for SocketService {
    fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn max_batch_entries(&self) -> usize {
        self.max_batch_entries
    }

    async fn respond(&self, mut request: Request<'_>, kind: CallKind) -> MethodResponse {
        match self.methods.method(&request.method) {
            Some(MethodCallback::Subscription(_)) if kind == CallKind::Single => {
                request.extensions.insert(self.socket.clone());
                self.jsonrpsee.call(request).await
            }
            Some(MethodCallback::Unsubscription(_)) => {
                let params = request.params.as_ref().map(|params| params.get());
                let call = self.socket.connection.call(&*request.method, params, kind);
                match self.pipeline.unsubscribe(call, params_by_position) {
                    Ok(params) => {
                        request.params = Some(Cow::Owned(params));
                        self.jsonrpsee.call(request).await
                    }
                    Err(error) => MethodResponse::error(request.id, codec::call_error_object(&error)),
                }
            }
            _ => {
                let Request { id, method, params, .. } = request;
                let call = self.socket.connection.call(method, codec::params_text(params), kind);
                codec::respond_to_call(&self.pipeline, id, call).await
            }
        }
    }
}

/// Reads the params of a call that ends a subscription: `{"subscription": id}`, or `[id]` as clients of jsonrpsee send
/// it. Returns the second form.
///
/// # Errors
/// `INVALID_REQUEST`.
fn params_by_position(params: Option<&str>) -> Result<Box<RawValue>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ByName<'a> {
        #[serde(borrow)]
        subscription: SubscriptionId<'a>,
    }
    let params = params.unwrap_or_default();
    let by_position = serde_json::from_str::<(SubscriptionId<'_>,)>(params);
    let by_position =
        by_position.or_else(|_| serde_json::from_str(params).map(|ByName { subscription }| (subscription,)));
    let by_position = by_position
        .map_err(|_| Error::invalid("`subscription` must be the id that the subscription was answered with."))?;
    Ok(to_raw_value(&by_position)?)
}

/// Registers the subscriptions with jsonrpsee.
fn subscription_methods(pipeline: &Pipeline) -> Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::new(pipeline.clone());
    for method in pipeline.registry().methods() {
        if let Kind::Subscription { notification, unsubscribe } = method.kind {
            let name = method.name;
            module.register_subscription(
                name,
                notification,
                unsubscribe,
                move |params, pending, pipeline, extensions| {
                    serve_subscription(name, params, pending, pipeline, extensions)
                },
            )?;
        }
    }
    Ok(module.into())
}

/// Makes the call that subscribes, and sends its feed until one side ends it.
async fn serve_subscription(
    method: &'static str,
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    pipeline: Arc<Pipeline>,
    extensions: Extensions,
) -> SubscriptionCloseResponse {
    let Some(socket) = extensions.get::<Arc<Socket>>() else {
        tracing::error!(method, "a subscription did not come through the service of its socket");
        pending.reject(JsonRpcErrorCode::InternalError).await;
        return SubscriptionCloseResponse::None;
    };
    let call = socket.connection.call(method, params.as_str(), CallKind::Single);
    let Ok(_permit) = socket.subscriptions.clone().try_acquire_owned() else {
        let error = match pipeline.admit(call).await {
            Ok(_) => reject_too_many_subscriptions(MAX_SUBSCRIPTIONS_PER_SOCKET),
            Err(error) => codec::call_error_object(&error),
        };
        pending.reject(error).await;
        return SubscriptionCloseResponse::None;
    };
    let (feed, meta) = match Pipeline::clone(&pipeline).call(call).await {
        Ok(Response { result: Reply::Feed(feed), meta, wants_meta }) => (feed, wants_meta.then_some(meta)),
        Ok(Response { result: Reply::Result(_), .. }) => {
            tracing::error!(method, "a command was dispatched as a subscription");
            pending.reject(JsonRpcErrorCode::InternalError).await;
            return SubscriptionCloseResponse::None;
        }
        Err(error) => {
            pending.reject(codec::call_error_object(&error)).await;
            return SubscriptionCloseResponse::None;
        }
    };
    // Fails if the socket is closed.
    let Ok(sink) = pending.accept().await else { return SubscriptionCloseResponse::None };
    send_feed(feed, meta, &sink).await
}

/// Sends the frames of a feed, each when the socket has room for it.
async fn send_feed(mut feed: Feed, meta: Option<ResponseMeta>, sink: &SubscriptionSink) -> SubscriptionCloseResponse {
    if let Some(meta) = meta {
        // A gateway needs the metadata for its response headers, and the first event may be long in coming.
        let begins_after =
            feed.begins_after().map_or_else(String::new, |cursor| format!(r#","begins_after":"{cursor}""#));
        let meta = codec::meta_json(&meta);
        if send(sink, format!(r#"{{"{META}":{meta},"seq":0,"event":null{begins_after}}}"#)).await.is_err() {
            return SubscriptionCloseResponse::None;
        }
    }
    let _open = GaugeGuard::new(metrics::gauge!("threadline_streams", "transport" => "websocket"));
    loop {
        let frame = tokio::select! {
            frame = feed.next() => frame,
            () = sink.closed() => None,
        };
        let Some(frame) = frame else { break };
        if send(sink, feed.notification(&frame)).await.is_err() {
            break;
        }
    }
    // The terminal event says that nothing more comes. If the feed ends without it, the end of the subscription is
    // announced; a gateway would otherwise wait for more.
    match feed.early_end().map(|error| to_raw_value(error.public().message.as_str())) {
        Some(Ok(message)) => SubscriptionCloseResponse::NotifErr(message.into()),
        _ => SubscriptionCloseResponse::None,
    }
}

/// The subscriber is gone, or a frame is not JSON.
struct SendError;

async fn send(sink: &SubscriptionSink, json: String) -> Result<(), SendError> {
    let json = RawValue::from_string(json).map_err(|_| SendError)?;
    sink.send(json).await.map_err(|_| SendError)
}
