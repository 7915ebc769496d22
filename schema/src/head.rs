//! What the head of an HTTP request says about its sender, read alike by the gateway and by the core's own port.

use std::net::{IpAddr, SocketAddr};

/// Longest name for a request that is taken over from a client.
const REQUEST_ID_CHARS: usize = 128;

/// Whether a client's name for its request is fit for headers and log lines.
pub fn is_request_id(id: &str) -> bool {
    (1..=REQUEST_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The bearer token of the `Authorization` headers. Another scheme, a malformed header and several headers are all no
/// token.
pub fn token<'a>(mut authorization: impl Iterator<Item = &'a [u8]>) -> Option<&'a str> {
    let value = std::str::from_utf8(authorization.next()?).ok()?;
    if authorization.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}

/// Whether a `Content-Type` is JSON: `application/json`, a type that is built on it (`application/*+json`), or one of the
/// two names that JSON-RPC over HTTP has had.
pub fn is_json(content_type: &[u8]) -> bool {
    let text = std::str::from_utf8(content_type).unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = media_type.strip_prefix("application/") else { return false };
    matches!(subtype, "json" | "json-rpc" | "jsonrequest") || subtype.ends_with("+json")
}

/// Address of the client. Proxies each append the address they heard from, so the `X-Forwarded-For` headers are read
/// from their end: the first address that is not a trusted proxy is the client, and whatever stands before it is hearsay.
pub fn client_ip<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    is_trusted: impl Fn(&IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer.to_canonical();
    if !is_trusted(&client) {
        return client;
    }
    for entry in forwarded_for.rev().flat_map(|value| value.rsplit(',')) {
        let Some(ip) = parse_ip(entry.trim()) else { break };
        client = ip;
        if !is_trusted(&ip) {
            break;
        }
    }
    client
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}
