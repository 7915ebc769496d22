//! The opening handshake (RFC 6455, section 4.2).

use crate::rpc::transport::http_response::{refusal, refusal_with};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use threadline_schema::{ErrorCode, RpcError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The version of the protocol that RFC 6455 describes.
const VERSION: HeaderValue = HeaderValue::from_static("13");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// Returns whether a request asks to open a WebSocket, correctly or not. A request to upgrade to another protocol, as
/// curl offers HTTP/2, is an ordinary one.
pub(in crate::rpc::transport) fn is_handshake<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    has_token(headers, &header::UPGRADE, "websocket")
        || (request.method() == Method::GET && headers.contains_key(header::SEC_WEBSOCKET_KEY))
}

/// Returns the response that accepts a handshake.
///
/// # Errors
/// The response that refuses it: 405, 426 with the version that is spoken, or 400.
pub(super) fn accept<B>(request: &Request<B>) -> Result<Response<Full<Bytes>>, Box<Response<Full<Bytes>>>> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let error = RpcError::new(ErrorCode::MethodNotAllowed, "A WebSocket is opened with GET.");
        let mut response = refusal(&error);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return Err(response.into());
    }
    if request.version() != Version::HTTP_11 {
        return Err(bad("A WebSocket is opened with HTTP/1.1."));
    }
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err(bad("`Upgrade` must be `websocket`."));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(bad("`Connection` must name `Upgrade`."));
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
        let error = RpcError::new(ErrorCode::InvalidRequest, "`Sec-WebSocket-Version` must be 13.");
        let mut response = refusal_with(StatusCode::UPGRADE_REQUIRED, &error);
        let headers = response.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::UPGRADE, WEBSOCKET);
        headers.insert(header::CONNECTION, UPGRADE);
        return Err(response.into());
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let Some(key) = key.filter(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)) else {
        return Err(bad("`Sec-WebSocket-Key` must be 16 bytes in base64."));
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::CONNECTION, UPGRADE);
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key)) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

fn bad(message: &str) -> Box<Response<Full<Bytes>>> {
    refusal(&RpcError::new(ErrorCode::InvalidRequest, message)).into()
}

/// Returns whether a list of tokens, in one header or several, has this one in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// Returns a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
