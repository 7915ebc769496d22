//! JSON-RPC over HTTP POST and WebSocket, on one port.
//!
//! The statuses here are the transport's (a body too large, a verb that is not POST). What a method has to say is in
//! the JSON-RPC answer, whose status is always 200.

use super::in_process::{LocalService, SocketService};
use super::{RpcServer, codec};
use crate::rpc::context::{Connection, Transport};
use crate::rpc::pipeline::{Pipeline, error_object};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use jsonrpsee::server::{ConnectionState, HttpBody, MethodResponse, PingConfig, ServerConfig, ws};
use jsonrpsee::types::Id;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use threadline_schema::call::{Caller, ClientHints};
use threadline_schema::head::{self, client_ip};
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// Subscriptions per socket, at most. A gateway puts those of many users on one socket.
const MAX_FEEDS_PER_SOCKET: u32 = 16_384;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Room in a message on a socket for the envelope and for `_meta`: a gateway adds them to a body of full size.
const META_BYTES: usize = 16 * 1024;

/// How the transport behaves.
#[derive(Debug, Clone)]
pub struct RpcHttpConfig {
    /// WebSockets at one time.
    pub max_sockets: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often an idle WebSocket is pinged; it is closed after two pings without an answer.
    pub ping_interval: Duration,
}

impl RpcServer {
    /// Answers one HTTP request: a call, a batch, or the beginning of a WebSocket.
    pub async fn handle<B>(&self, peer: IpAddr, request: Request<B>) -> Response<HttpBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut connection = self.connection_of(peer, request.headers());
        let request_id = connection.caller.request_id.clone();
        let mut response = if ws::is_upgrade_request(&request) {
            connection.transport = Transport::WebSocket;
            // Boxed: a handshake is rare and its future large, and every connection would hold room for it.
            Box::pin(self.upgrade(connection, request)).await
        } else {
            Box::pin(self.post(connection, request)).await
        };
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            headers.insert(X_REQUEST_ID, value);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn post<B>(&self, connection: Connection, request: Request<B>) -> Response<HttpBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() != Method::POST {
            let error =
                RpcError::new(ErrorCode::MethodNotAllowed, "JSON-RPC is spoken with POST, or over a WebSocket.");
            let mut response = refusal(&error);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let content_type = request.headers().get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| head::is_json(value.as_bytes())) {
            return refusal(&RpcError::new(ErrorCode::UnsupportedMediaType, "Send `content-type: application/json`."));
        }
        let limit = self.core().config.limits.body_bytes;
        let body = Limited::new(request.into_body(), limit).collect();
        let body = match tokio::time::timeout(self.inner.http.body_timeout, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("The body is larger than the {limit} bytes this server reads.");
                return refusal(&RpcError::new(ErrorCode::PayloadTooLarge, message));
            }
            Ok(Err(_)) => return refusal(&RpcError::new(ErrorCode::InvalidRequest, "The body broke off.")),
            Err(_) => return refusal(&RpcError::new(ErrorCode::InvalidRequest, "The body did not arrive in time.")),
        };
        let mut extensions = http::Extensions::new();
        extensions.insert(connection);
        let answer = codec::dispatch(&self.inner.local, &body, &extensions).await;
        if answer.is_notification() {
            return reply(StatusCode::NO_CONTENT, String::new());
        }
        reply(StatusCode::OK, Box::<str>::from(answer.into_json()).into_string())
    }

    async fn upgrade<B>(&self, connection: Connection, request: Request<B>) -> Response<HttpBody> {
        let offered = offered_protocols(request.headers());
        let token = connection.caller.token.as_deref();
        if token.is_some_and(|token| self.core().tokens.verify(token).is_none()) {
            let mut response = refusal(crate::Error::unauthorized().public());
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        let sockets = &self.inner.sockets;
        let Ok(permit) = sockets.permits.clone().try_acquire_owned() else {
            let mut response = refusal(crate::Error::unavailable("Too many WebSockets are open.", None).public());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return response;
        };
        let id = sockets.next_id.fetch_add(1, Ordering::Relaxed);
        let state = ConnectionState::new(sockets.stop.clone(), id, permit);
        let (mut parts, _) = request.into_parts();
        parts.extensions.insert(connection);
        let request = Request::from_parts(parts, ());
        let shared = self.inner.shared.clone();
        let pipeline = RpcServiceBuilder::new().layer_fn(move |subscriptions| {
            let methods = LocalService::new(shared.clone());
            Pipeline::new(SocketService { subscriptions, methods }, shared.clone())
        });
        let methods = self.inner.shared.registered.methods.clone();
        match ws::connect(request, self.socket_config(), methods, state, pipeline).await {
            Ok((mut response, socket)) => {
                if offered.iter().any(|protocol| protocol == "bearer") {
                    // A browser drops the socket unless one of the protocols it offered is confirmed.
                    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bearer"));
                }
                let gauge = metrics::gauge!("threadline_websockets");
                sockets.tracker.spawn(async move {
                    gauge.increment(1);
                    socket.await;
                    gauge.decrement(1);
                });
                response
            }
            Err(response) => response,
        }
    }

    fn socket_config(&self) -> ServerConfig {
        // Twice what is taken: what is somewhat too large is read, and refused by the pipeline in words of our own.
        let message_bytes = self.core().config.limits.body_bytes.saturating_mul(2).saturating_add(META_BYTES);
        let message_bytes = u32::try_from(message_bytes).unwrap_or(u32::MAX);
        let ping = PingConfig::new()
            .ping_interval(self.inner.http.ping_interval)
            .inactive_limit(self.inner.http.ping_interval * 2)
            .max_failures(2);
        ServerConfig::builder()
            // The library takes the second for the size of a message it receives; both are set, lest that change.
            .max_request_body_size(message_bytes)
            .max_response_body_size(message_bytes)
            .max_subscriptions_per_connection(MAX_FEEDS_PER_SOCKET)
            // Messages that wait for a socket with no room; the subscriptions of a socket share them.
            .set_message_buffer_capacity(256)
            .enable_ws_ping(ping)
            .build()
    }

    fn connection_of(&self, peer: IpAddr, headers: &HeaderMap) -> Connection {
        let peer = peer.to_canonical();
        let trusted_proxies = &self.core().config.trusted_proxies;
        let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
        // A proxy speaks for the client it names in the header. One that names none is a gateway, which speaks for many
        // clients in `_meta`; what a client behind a proxy writes there is hearsay.
        let ip = client_ip(peer, forwarded_for(headers), is_trusted);
        let trusted = is_trusted(&peer) && !headers.contains_key(FORWARDED_FOR);
        let request_id = headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(|id| head::is_request_id(id))
            .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
        let languages = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        // Only metadata can be wrong.
        let hints = ClientHints::new(languages, None).unwrap_or_default();
        let caller = Caller { token: bearer(headers).map(Into::into), ip, request_id: request_id.into(), hints };
        Connection { caller, transport: Transport::Http, trusted }
    }
}

fn forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok())
}

/// The token: of the header, or for browsers, which cannot set it, the one offered after the protocol `bearer`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter().peekable();
    if values.peek().is_some() {
        return head::token(values.map(http::HeaderValue::as_bytes)).map(str::to_owned);
    }
    let mut offered = offered_protocols(headers).into_iter();
    offered.find(|protocol| protocol == "bearer")?;
    offered.next()
}

fn offered_protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(|protocol| protocol.trim().to_owned())).collect()
}

/// A request that never became a call: a JSON-RPC error all the same, under the status its row has.
fn refusal(error: &RpcError) -> Response<HttpBody> {
    let answer = MethodResponse::error(Id::Null, error_object(error));
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    reply(status, Box::<str>::from(answer.into_json()).into_string())
}

fn reply(status: StatusCode, json: String) -> Response<HttpBody> {
    let mut response = Response::new(HttpBody::from(json));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
