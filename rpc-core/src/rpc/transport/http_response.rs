//! HTTP responses that hold a JSON-RPC message.

use super::envelope::Id;
use super::response::{self, error_object};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use threadline_schema::RpcError;

/// Returns the response to an HTTP request that holds no call: a JSON-RPC error with the HTTP status of its code.
pub(super) fn refusal(error: &RpcError) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    refusal_with(status, error)
}

/// Returns [`refusal`] with another status than that of the error's code.
pub(super) fn refusal_with(status: StatusCode, error: &RpcError) -> Response<Full<Bytes>> {
    http_response(status, response::failure(Id::NULL, &error_object(error)))
}

/// Returns a response with this JSON as its body.
pub(super) fn http_response(status: StatusCode, json: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}
