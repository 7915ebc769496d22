//! What the head of an HTTP request says about its sender. The gateway and the core's own port read it in the same way.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The header by which a gateway shows the core that it is one. Its value is `GATEWAY_SECRET`, if that is set.
pub const GATEWAY_HEADER: &str = "x-threadline-gateway";

/// The header by which a core tells a gateway, as it accepts a socket, how large a message may be, in bytes. It closes
/// the socket on a larger one.
pub const MESSAGE_BYTES_HEADER: &str = "x-threadline-message-bytes";

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

/// Returns the user for whom a service acts, from the headers of this name. The text of a header that is not UTF-8, and
/// of several headers, is one that no user has.
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

/// Returns the network that one client usually has to itself: the /64 of an IPv6 address, and an IPv4 address itself.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// Returns host and port of an origin or a header `Host`, in lower case and without the default port of HTTP and HTTPS.
fn authority(text: &str) -> String {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/').to_ascii_lowercase();
    let bare = text.strip_suffix(":80").or_else(|| text.strip_suffix(":443"));
    bare.unwrap_or(&text).to_owned()
}

/// Returns whether a web page of this `origin` may open a WebSocket: it comes from the host that it asks, or from one
/// of the `allowed` origins (`*` is any). Browsers send the header with each handshake, and no CORS check protects it.
pub fn is_own_origin(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    host.is_some_and(|host| authority(host) == authority(origin))
        || allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

/// Returns whether the headers `Host` of a request are as RFC 9112, section 3.2 wants them: one, with a host and maybe
/// a port. A request of HTTP/1.0 can have none (`is_optional`).
pub fn is_host_valid<'a>(mut hosts: impl Iterator<Item = &'a [u8]>, is_optional: bool) -> bool {
    match (hosts.next(), hosts.next()) {
        (None, _) => is_optional,
        (Some(host), None) => std::str::from_utf8(host).is_ok_and(is_host),
        (Some(_), Some(_)) => false,
    }
}

/// Returns whether a text is a host, with or without a port: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let (is_valid_name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            (address.parse::<Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            // The characters of a `reg-name` of RFC 3986.
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
            (!name.is_empty() && name.bytes().all(is_allowed), port)
        }
    };
    let is_valid_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    is_valid_name && is_valid_port
}

/// Whether a request to a listener that only this machine reaches may be of a web page elsewhere, whose host name was
/// made to point to this machine (DNS rebinding). `host` is the header; `known` are the names of this service.
/// Addresses and names without a dot belong to no such page.
pub fn is_rebound_host(host: &str, known: &[String]) -> bool {
    let authority = host.to_ascii_lowercase();
    // An IPv6 address in brackets has colons.
    let name = match authority.starts_with('[') {
        true => return false,
        false => authority.split(':').next().unwrap_or_default().trim_end_matches('.'),
    };
    let is_local = !name.contains('.') || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok();
    !is_local && !known.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        let is_valid = |hosts: &[&str]| is_host_valid(hosts.iter().map(|host| host.as_bytes()), false);
        for host in [
            "localhost",
            "chat.example:8000",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8000",
            "a_b-c.example.",
            "x:",
            "%C3%A4",
            " x ",
        ] {
            assert!(is_valid(&[host]), "{host}");
        }
        for host in [
            "",
            " ",
            ":80",
            "a b",
            "a@b",
            "http://a",
            "a/",
            "a?b",
            "a#b",
            "a:b",
            "a:80:90",
            "::1",
            "[::1",
            "[x]",
            "[::1]x",
            "[]",
            "ä.example",
            "a\\b",
            "a, b",
        ] {
            assert!(!is_valid(&[host]), "{host}");
        }
        assert!(!is_valid(&[]) && !is_valid(&["a", "a"]) && !is_valid(&["a", "b"]));
        // HTTP/1.0 does not know the header, and still cannot have two.
        let is_valid = |hosts: &[&str]| is_host_valid(hosts.iter().map(|host| host.as_bytes()), true);
        assert!(is_valid(&[]) && is_valid(&["a"]) && !is_valid(&["a", "b"]) && !is_valid(&["a b"]));
        assert!(!is_host_valid([b"\xff".as_slice()].into_iter(), true));
    }

    #[test]
    fn only_the_own_pages_and_those_of_allowed_origins_open_sockets() {
        let allowed = ["https://app.example".to_owned()];
        for (origin, host) in [
            ("http://127.0.0.1:8000", Some("127.0.0.1:8000")),
            ("https://chat.example", Some("chat.example")),
            ("https://Chat.example", Some("chat.example:443")),
            ("https://app.example", Some("127.0.0.1:8000")),
            ("https://app.example", None),
        ] {
            assert!(is_own_origin(origin, host, &allowed), "{origin} {host:?}");
        }
        for (origin, host) in [
            ("https://evil.example", Some("127.0.0.1:8000")),
            ("http://127.0.0.1:3000", Some("127.0.0.1:8000")),
            ("null", Some("127.0.0.1:8000")),
            ("https://app.example.evil", None),
            ("", None),
        ] {
            assert!(!is_own_origin(origin, host, &allowed), "{origin} {host:?}");
        }
        assert!(is_own_origin("https://evil.example", None, &["*".to_owned()]));
    }

    #[test]
    fn a_name_of_the_internet_is_rebound_on_a_local_listener() {
        let known = ["chat.example".to_owned()];
        for host in [
            "localhost:8000",
            "127.0.0.1",
            "[::1]:8000",
            "10.0.0.7:1",
            "threadline:8000",
            "a.localhost",
            "Chat.Example:8",
        ] {
            assert!(!is_rebound_host(host, &known), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8000", "evil.example.", "127.0.0.1.evil.example", "chat.example.evil"]
        {
            assert!(is_rebound_host(host, &known), "{host}");
        }
    }
}
