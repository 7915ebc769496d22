//! What the head of an HTTP request says about its sender. The gateway and the core's own port read it in the same way.

use std::net::{IpAddr, SocketAddr};

/// Longest request id that is accepted from a client, in characters.
const REQUEST_ID_CHARS: usize = 128;

/// Returns whether a request id from a client is safe in headers and log lines.
pub fn is_request_id(id: &str) -> bool {
    (1..=REQUEST_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the bearer token of the `Authorization` headers. `None` for another scheme, a malformed header, or several
/// headers.
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

/// Name of the header in which a service names the user that it acts for.
pub const ACTS_FOR: &str = "x-threadline-user";

/// Returns the user for whom a service acts, from the headers of this name. The text of a header that is not UTF-8, and of
/// several headers, is one that no user has.
pub fn acts_for<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Option<&'a str> {
    let user = std::str::from_utf8(headers.next()?).unwrap_or_default().trim();
    Some(if headers.next().is_some() { "" } else { user })
}

/// Returns whether a `Content-Type` is JSON: `application/json`, a type based on it (`application/*+json`), or one of
/// the two media types of JSON-RPC over HTTP.
pub fn is_json(content_type: &[u8]) -> bool {
    let text = std::str::from_utf8(content_type).unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = media_type.strip_prefix("application/") else { return false };
    matches!(subtype, "json" | "json-rpc" | "jsonrequest") || subtype.ends_with("+json")
}

/// Returns the address of the client. Each proxy appends the address of its peer to `X-Forwarded-For`. So the headers
/// are read from the end: the first address that is not a trusted proxy is the client. Addresses before it are not
/// trusted.
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

/// Parses an address as proxies write it: alone, in brackets, or with a port.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&ip))
}
