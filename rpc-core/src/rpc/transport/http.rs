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
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use std::net::IpAddr;
use threadline_schema::head::is_json;
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
        let declared = request.body().size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        // Held until the call is answered. A small body costs no more than its connection.
        let _hold = match declared.unwrap_or(limit).min(limit) {
            ..=STRANGER_BYTES => None,
            bytes => match self.inner.http.input.take(bytes) {
                Some(hold) => Some(hold),
                None => return busy(),
            },
        };
        let body = Limited::new(request.into_body(), limit).collect();
        let body = match tokio::time::timeout(self.inner.http.body_timeout, body).await {
            Ok(Ok(body)) => body.to_bytes(),
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
