//! JSON-RPC over HTTP POST. WebSockets open on the same port.
//!
//! A status other than 200 or 204 is about the HTTP request itself (body too large, wrong verb). The errors of methods
//! are in the JSON-RPC response.

use super::codec::{self, Responder};
use super::connection::{self, X_REQUEST_ID};
use super::envelope::{Id, Request as RpcRequest};
use super::http_response::{http_response, refusal};
use super::websocket::is_handshake;
use super::{RpcServer, STRANGER_BYTES};
use crate::error::Error;
use crate::rpc::call::{CallKind, Connection, Transport};
use crate::rpc::pipeline::Pipeline;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use std::net::IpAddr;
use threadline_runtime::ByteHold;
use threadline_schema::head::{is_json, network_of};
use threadline_schema::{ErrorCode, RpcError};

impl RpcServer {
    /// Answers one HTTP request: a call, a batch, or the start of a WebSocket.
    pub async fn handle<B>(&self, peer: IpAddr, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let is_upgrade = is_handshake(&request);
        let transport = if is_upgrade { Transport::WebSocket } else { Transport::Http };
        let (proxies, gateways) = (&self.inner.parts.trusted_proxies, &self.inner.http.gateways);
        let connection = connection::from_head(transport, peer, request.headers(), proxies, gateways);
        let connection = Connection { hidden: self.hidden, ..connection };
        let request_id = connection.caller.request_id.clone();
        let mut response = if is_upgrade {
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
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        response
    }

    async fn post<B>(&self, connection: Connection, request: Request<B>) -> Response<Full<Bytes>>
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
        if !request.headers().get(header::CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes())) {
            return refusal(&RpcError::new(ErrorCode::UnsupportedMediaType, "Send `content-type: application/json`."));
        }
        // If it is not known now, the call will fail too.
        let is_stranger = !self.shows_token(&connection).await.unwrap_or(false);
        let max_bytes = self.inner.parts.pipeline.max_params_bytes();
        let limit = if is_stranger { max_bytes.min(STRANGER_BYTES) } else { max_bytes };
        // Held until the call is answered. A small body costs no more than its connection.
        let mut hold = self.inner.http.input.take(Some(network_of(connection.caller.ip)), 0);
        let body = tokio::time::timeout(self.inner.http.body_timeout, read(request.into_body(), limit, &mut hold));
        let body = match body.await {
            Ok(Ok(Some(body))) => body,
            Ok(Ok(None)) => return busy(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = match limit < max_bytes {
                    true => format!(
                        "Without a valid token in the header `Authorization`, a body may have {limit} bytes at most."
                    ),
                    false => format!("The body is larger than the {limit} bytes this server reads."),
                };
                return refusal(&RpcError::new(ErrorCode::PayloadTooLarge, message));
            }
            Ok(Err(_)) => return refusal(&RpcError::new(ErrorCode::InvalidRequest, "The body broke off.")),
            Err(_) => return refusal(&RpcError::new(ErrorCode::InvalidRequest, "The body did not arrive in time.")),
        };
        let responder = PostResponder { server: self, connection };
        match codec::respond_to_message(&responder, &body).await {
            Some(json) => http_response(StatusCode::OK, json),
            None => http_response(StatusCode::NO_CONTENT, String::new()),
        }
    }
}

/// Reads a body of at most `limit` bytes. What has arrived counts, and not what is announced. Returns `None` if there
/// is no memory for it.
async fn read<B>(
    body: B,
    limit: usize,
    hold: &mut Option<ByteHold>,
) -> Result<Option<Bytes>, Box<dyn std::error::Error + Send + Sync>>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(Limited::new(body, limit));
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let total = bytes.len().saturating_add(data.len());
        let is_held = total <= STRANGER_BYTES || hold.as_mut().is_some_and(|hold| hold.grow_to(total));
        if !is_held {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Some(bytes.freeze()))
}

/// Answers the calls of one POST.
struct PostResponder<'s> {
    server: &'s RpcServer,
    connection: Connection,
}

impl Responder for PostResponder<'_> {
    fn pipeline(&self) -> &Pipeline {
        &self.server.inner.parts.pipeline
    }

    fn max_batch_entries(&self) -> usize {
        self.server.inner.parts.max_batch_entries
    }

    fn connection(&self) -> &Connection {
        &self.connection
    }

    async fn respond(&self, request: RpcRequest<'_>, kind: CallKind) -> String {
        let RpcRequest { id, method, params } = request;
        let call = self.connection.call(method, params.map(|params| params.get()), kind);
        codec::respond_to_call(self.pipeline(), id.unwrap_or(Id::NULL), call).await
    }
}

/// Returns the response to a request for whose body there is no memory now.
fn busy() -> Response<Full<Bytes>> {
    metrics::counter!("threadline_input_refused_total", "reason" => "budget").increment(1);
    let error = Error::unavailable("The server reads too many large requests at the moment. Please try again.");
    let mut response = refusal(error.public());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    response
}
