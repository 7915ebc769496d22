//! WebSockets (RFC 6455). tungstenite reads and writes the frames; what they mean is decided here, and every call
//! passes the pipeline.

mod close;
mod frame_heads;
mod handshake;
mod messages;
mod metered;
mod socket;
mod subscriptions;

pub(super) use handshake::is_handshake;

use super::connection;
use super::http_response::refusal;
use super::{Inner, RpcServer};
use crate::error::Error;
use crate::rpc::call::Connection;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use messages::Messages;
use metered::{Meter, Metered};
use socket::{Limits, Socket};
use std::sync::Arc;
use threadline_runtime::{GaugeGuard, TaskKind};
use threadline_schema::ErrorCode;
use threadline_schema::head::{MESSAGE_BYTES_HEADER, is_own_origin, network_of};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Room in a message for the envelope and for `_meta`, in bytes: a gateway adds them to params of full size.
const ENVELOPE_BYTES: usize = 16 * 1024;
/// Bytes that are read at a time. Each socket has a buffer of this size, so that an idle one is cheap.
const READ_BUFFER_BYTES: usize = 8 * 1024;
/// Bytes that are collected before they are written, unless nothing else waits to be written.
const WRITE_BUFFER_BYTES: usize = 32 * 1024;
/// Seconds after which a client may try to connect again. Sockets last long, so this is a guess.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

impl RpcServer {
    /// Answers the HTTP request that opens a WebSocket.
    pub(super) async fn upgrade<B>(&self, connection: Connection, mut request: Request<B>) -> Response<Full<Bytes>> {
        let mut response = match handshake::accept(&request) {
            Ok(response) => response,
            Err(refusal) => return *refusal,
        };
        if let Some(refusal) = self.refuse_page(&request) {
            return refusal;
        }
        let has_token = match self.shows_token(&connection).await {
            Ok(has_token) => has_token,
            Err(error) => {
                let mut response = refusal(error.public());
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                return response;
            }
        };
        if connection.caller.token.is_some() && !has_token {
            let mut response = refusal(Error::unauthorized().public());
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        if has_token || connection.is_gateway {
            connection.known.set_known();
        }
        let sockets = &self.inner.sockets;
        let Ok(permit) = sockets.permits.clone().try_acquire_owned() else {
            let mut response = refusal(Error::unavailable("Too many WebSockets are open.").public());
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            return response;
        };
        if connection::offered_protocols(request.headers()).iter().any(|protocol| protocol == "bearer") {
            // A browser drops the socket unless the server confirms one of the protocols that it offered.
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("bearer"));
        }
        if connection.is_gateway {
            // Many users share its sockets, so it must not send what closes one.
            let config = socket_config(self.inner.parts.pipeline.max_params_bytes());
            let message_bytes = config.max_message_size.unwrap_or(usize::MAX);
            response.headers_mut().insert(MESSAGE_BYTES_HEADER, HeaderValue::from(message_bytes));
        }
        let upgrade = hyper::upgrade::on(&mut request);
        let inner = self.inner.clone();
        let socket = async move {
            let _permit = permit;
            match upgrade.await {
                Ok(upgraded) => serve(inner, connection, upgraded).await,
                Err(error) => tracing::debug!(%error, "a connection ended before it became a WebSocket"),
            }
        };
        self.inner.parts.supervisor.spawn(TaskKind::Connection, sockets.tracker.track_future(socket));
        response
    }
}

impl RpcServer {
    /// Returns the refusal of a handshake by a web page of another origin; `None` if the handshake is allowed.
    fn refuse_page<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let host = request.headers().get(header::HOST).map(text);
        let origin = request.headers().get(header::ORIGIN).map(text)?;
        if is_own_origin(&origin, host.as_deref(), &self.inner.http.origins) {
            return None;
        }
        let message =
            "Pages of this origin may not open a WebSocket here. CORS_ORIGINS of the server lists those that may.";
        Some(refusal(Error::new(ErrorCode::Forbidden, message).public()))
    }
}

async fn serve(inner: Arc<Inner>, connection: Connection, upgraded: hyper::upgrade::Upgraded) {
    let _open = GaugeGuard::new(metrics::gauge!("threadline_websockets"));
    let config = socket_config(inner.parts.pipeline.max_params_bytes());
    let known = connection.known.clone();
    let max_frame = config.max_frame_size.unwrap_or(usize::MAX);
    let peer = (!connection.is_gateway).then(|| network_of(connection.caller.ip));
    let meter = Meter::new(known.clone(), inner.http.input.clone(), peer, max_frame);
    let stream = Metered::new(TokioIo::new(upgraded), meter.clone());
    let stream = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let stop = inner.sockets.stop.clone();
    let limits =
        Limits { ping_interval: inner.http.ping_interval, stranger_timeout: inner.http.stranger_timeout, known, meter };
    let (messages, outgoing) = Messages::new(inner, connection);
    Socket::new(stream, messages, outgoing, limits).run(&stop).await;
}

fn socket_config(max_params_bytes: usize) -> WebSocketConfig {
    // Twice the limit: params that are somewhat too large are read, and refused by the pipeline with its own error.
    let message_bytes = max_params_bytes.saturating_mul(2).saturating_add(ENVELOPE_BYTES);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
}
