//! What the head of an HTTP request says about its sender.

use super::gateways::{GatewayRights, GatewayTrust};
use crate::rpc::call::{Connection, Transport};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use threadline_schema::call::{Caller, ClientHints, new_request_id};
use threadline_schema::head::{self, client_ip};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads the caller from the head of a request.
pub(super) fn from_head(
    transport: Transport,
    peer: IpAddr,
    headers: &HeaderMap,
    trusted_proxies: &Arc<[IpNet]>,
    gateways: &GatewayTrust,
) -> Connection {
    let peer = peer.to_canonical();
    let is_trusted = |ip: &IpAddr| trusted_proxies.iter().any(|net| net.contains(ip));
    let forwarded_for = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let ip = client_ip(peer, forwarded_for, is_trusted);
    let request_id = headers
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| head::is_request_id(id))
        .map_or_else(new_request_id, Arc::from);
    let languages = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    // Only metadata can be invalid, and there is none.
    let hints = ClientHints::new(languages, None).unwrap_or_default();
    // Gateways use sockets alone.
    let rights = match transport {
        Transport::WebSocket => gateways.rights_of(peer, headers, trusted_proxies),
        Transport::Http | Transport::InProcess => GatewayRights::default(),
    };
    let caller = Caller {
        token: bearer_token(headers).map(Into::into),
        acts_for: head::acts_for(headers.get_all(head::ACTS_FOR).iter().map(HeaderValue::as_bytes)).map(Into::into),
        ip,
        request_id,
        hints,
        // The calls of a socket belong to many traces: each says so itself.
        trace: if transport == Transport::WebSocket { None } else { threadline_trace::headers_of(headers) },
    };
    Connection {
        trusts_meta_ip: rights.names_addresses,
        is_gateway: rights.is_gateway,
        ..Connection::of(caller, transport)
    }
}

/// Returns the token of the `Authorization` header. A browser cannot set it for a WebSocket: there the token is the
/// protocol that it offers after `bearer`.
fn bearer_token(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter().peekable();
    if values.peek().is_some() {
        return head::token(values.map(http::HeaderValue::as_bytes)).map(str::to_owned);
    }
    let mut protocols = offered_protocols(headers).into_iter();
    protocols.find(|protocol| protocol == "bearer")?;
    protocols.next()
}

/// Returns the subprotocols that the client offers for a WebSocket.
pub(super) fn offered_protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(|protocol| protocol.trim().to_owned())).collect()
}
