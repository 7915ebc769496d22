//! What each listener serves.

use crate::telemetry::MetricsPage;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use threadline_core::RpcServer;
use threadline_gateway::{Body, Gateway};
use threadline_schema::ErrorCode;
use threadline_schema::head::{is_host_valid, is_rebound_host};

/// The path of JSON-RPC on the REST port.
const RPC_PATH: &str = "/rpc";
/// What a browser may load into a response that is not a page.
const LOAD_NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// A response of the JSON-RPC port.
pub(super) type RpcResponse = Response<Full<Bytes>>;
/// A response of the REST port.
pub(super) type RestResponse = Response<Either<Body, Full<Bytes>>>;

/// Which names in the header `Host` a listener answers to.
#[derive(Debug, Clone)]
pub(super) enum Hosts {
    /// Any.
    Any,
    /// Names of this machine and of its network, and these. A page whose name was made to point to this machine is
    /// refused.
    Local(Arc<[String]>),
}

/// What the JSON-RPC port serves besides JSON-RPC.
#[derive(Clone)]
pub(super) enum RpcPages {
    /// `/health` and `/metrics`.
    WithMetrics(MetricsPage),
    /// `/health`: operators have a listener of their own.
    Health,
}

impl Hosts {
    /// Returns the refusal of a request that names no host, several, or one that is not served.
    fn refuse<B>(&self, request: &Request<B>) -> Option<RpcResponse> {
        let values = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
        if !is_host_valid(values, request.version() < Version::HTTP_11) {
            let message = "A request needs one header `Host`: a host name or an address, and maybe a port.";
            return Some(refusal(ErrorCode::InvalidRequest, message));
        }
        let Self::Local(names) = self else { return None };
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        is_rebound_host(host, names).then(|| {
            let message = "This server listens on a local address and does not know this host name. Its operator can \
                           set PUBLIC_URL to the URL at which clients reach it.";
            refusal(ErrorCode::Forbidden, message)
        })
    }
}

/// Returns a refusal after which the connection is closed.
fn refusal(code: ErrorCode, message: &str) -> RpcResponse {
    let body = serde_json::json!({"success": false, "error": {"code": code.name(), "message": message}});
    let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = text(status, "application/json", body.to_string().into());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Handles a request to the REST port: the REST API, and JSON-RPC under one path.
pub(super) async fn rest_with_rpc(
    gateway: Gateway,
    rpc_server: RpcServer,
    hosts: Hosts,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> RestResponse {
    if let Some(refusal) = hosts.refuse(&request) {
        return refusal.map(Either::Right);
    }
    if request.uri().path() != RPC_PATH {
        return gateway.handle(peer.ip(), request).await.map(Either::Left);
    }
    let headers = request.headers().clone();
    if request.method() == Method::OPTIONS {
        return gateway.preflight(&headers).map(Either::Left);
    }
    let mut response = rpc_server.handle(peer.ip(), request).await;
    gateway.apply_headers(&headers, &mut response);
    response.map(Either::Right)
}

/// Handles a request to a port that serves a gateway alone.
pub(super) async fn gateway_alone(
    gateway: Gateway,
    hosts: Hosts,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> RestResponse {
    match hosts.refuse(&request) {
        Some(refusal) => refusal.map(Either::Right),
        None => gateway.handle(peer.ip(), request).await.map(Either::Left),
    }
}

/// Handles a request to the JSON-RPC port.
pub(super) async fn rpc(
    rpc_server: RpcServer,
    pages: RpcPages,
    hosts: Hosts,
    peer: IpAddr,
    request: Request<Incoming>,
) -> RpcResponse {
    if let Some(refusal) = hosts.refuse(&request) {
        return refusal;
    }
    let is_get = *request.method() == Method::GET || *request.method() == Method::HEAD;
    match (request.uri().path(), pages) {
        ("/health", _) if is_get => text(StatusCode::OK, "application/json", r#"{"status":"healthy"}"#.into()),
        ("/metrics", RpcPages::WithMetrics(metrics)) if is_get => {
            text(StatusCode::OK, "text/plain; version=0.0.4", metrics.render().into())
        }
        ("/" | RPC_PATH, _) => rpc_server.handle(peer, request).await,
        _ => text(StatusCode::NOT_FOUND, "text/plain", "JSON-RPC is spoken at / and at /rpc.\n".into()),
    }
}

fn text(status: StatusCode, kind: &'static str, body: Bytes) -> RpcResponse {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, LOAD_NOTHING),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
