//! What the head of a request says about its client.

use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use threadline_schema::call::{ClientHints, new_request_id};
use threadline_schema::head;

/// Name of the header with the request id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Returns the request id of the client if it is valid in headers and logs, otherwise a new random one.
pub(crate) fn request_id(headers: &HeaderMap) -> Arc<str> {
    headers
        .get(REQUEST_ID)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .filter(|id| head::is_request_id(id))
        .map_or_else(new_request_id, Arc::from)
}

/// Returns the bearer token. Another scheme, a malformed header and more than one header count as no token; the core
/// then answers 401.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<Arc<str>> {
    head::token(headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes)).map(Into::into)
}

/// Returns the user for whom a service acts.
pub(crate) fn acts_for(headers: &HeaderMap) -> Option<Arc<str>> {
    head::acts_for(headers.get_all(head::ACTS_FOR).iter().map(HeaderValue::as_bytes)).map(Into::into)
}

/// Returns the languages that the client prefers.
pub(crate) fn languages(headers: &HeaderMap) -> Option<&str> {
    headers.get(ACCEPT_LANGUAGE)?.to_str().ok()
}

/// Returns what the headers say about the client.
pub(crate) fn client_hints(headers: &HeaderMap) -> Option<Arc<ClientHints>> {
    // Only metadata can be invalid, and headers have none.
    ClientHints::new(languages(headers), None).unwrap_or_default()
}

/// Returns the address of the client: the peer, or what trusted proxies say in `X-Forwarded-For`.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if headers.contains_key("x-forwarded-for") && !trusted.iter().any(|net| net.contains(&peer.to_canonical())) {
        warn_of_unknown_proxy(peer);
    }
    let forwarded_for = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    head::client_ip(peer, forwarded_for, |ip| trusted.iter().any(|net| net.contains(ip)))
}

/// Warns once: behind a proxy that is not known, all clients share the limits of its address.
fn warn_of_unknown_proxy(peer: IpAddr) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For of this peer is ignored, so all clients behind it share the limits of one address. If it is your proxy, add it to TRUSTED_PROXIES"
        );
    }
}

/// Returns the cursor of the last event that the client has, if it comes back.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id")?.to_str().ok()
}

/// Returns whether the client wants the whole message as JSON instead of a stream: `Accept` has `application/json` and
/// not `text/event-stream`.
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    let mut json = false;
    for media_type in acceptable(headers, ACCEPT) {
        if media_type.eq_ignore_ascii_case("text/event-stream") {
            return false;
        }
        json |= media_type.eq_ignore_ascii_case("application/json");
    }
    json
}

/// Returns whether the client takes a body that is compressed with gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    acceptable(headers, ACCEPT_ENCODING).any(|coding| coding.eq_ignore_ascii_case("gzip") || coding == "*")
}

/// Returns what the values of a header such as `Accept` name, without what they exclude.
fn acceptable(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let ranges = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().unwrap_or_default();
        // RFC 9110: quality 0 means "not acceptable".
        let is_excluded = parts.any(|part| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.and_then(|quality| quality.parse::<f32>().ok()).is_some_and(|quality| quality <= 0.0)
        });
        (!is_excluded).then_some(named)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_valid_request_id_is_kept_and_another_replaced() {
        for good in ["a", "req-1/ü".trim_end_matches("/ü"), &"x".repeat(128)] {
            assert_eq!(&*request_id(&headers("x-request-id", &[good.as_bytes()])), good);
        }
        for bad in [&b""[..], b"a b", b"\xfc", "ü".as_bytes(), &[b'x'; 129]] {
            let generated = request_id(&headers("x-request-id", &[bad]));
            assert_eq!(generated.parse::<Uuid>().unwrap().get_version_num(), 7);
        }
    }

    #[test]
    fn only_a_single_bearer_token_counts() {
        for good in [&b"Bearer abc.d-e_f"[..], b"bearer abc.d-e_f", b"BEARER   abc.d-e_f "] {
            assert_eq!(bearer_token(&headers("authorization", &[good])).as_deref(), Some("abc.d-e_f"));
        }
        for bad in [&b"Bearer"[..], b"Bearer ", b"Basic abc", b"abc", b"Bearer a b", b"Bearer \xff", b""] {
            assert_eq!(bearer_token(&headers("authorization", &[bad])), None);
        }
        assert_eq!(bearer_token(&headers("authorization", &[b"Bearer a", b"Bearer b"])), None);
    }

    #[test]
    fn only_trusted_proxies_set_the_address() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let cases: &[(&str, &[&str], &str)] = &[
            ("1.2.3.4", &["9.9.9.9"], "1.2.3.4"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("::ffff:10.0.0.1", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1", &["6.6.6.6", "9.9.9.9,10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["9.9.9.9, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["9.9.9.9:1234"], "9.9.9.9"),
            ("10.0.0.1", &["[2001:db8::1]:1234"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("fd00::1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ];
        for (peer, forwarded, client) in cases {
            let values: Vec<_> = forwarded.iter().map(|value| value.as_bytes()).collect();
            let found = client_ip(peer.parse().unwrap(), &headers("x-forwarded-for", &values), &trusted);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn json_is_preferred_only_if_accept_says_so() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json, text/plain, */*", true),
            ("application/json, text/event-stream", false),
            ("text/event-stream;q=0, application/json", true),
            ("application/json;q=0", false),
            ("text/event-stream", false),
            ("*/*", false),
            ("text/html", false),
            ("", false),
        ];
        for (accept, json) in cases {
            assert_eq!(prefers_json(&headers("accept", &[accept.as_bytes()])), json, "{accept}");
        }
        assert!(!prefers_json(&HeaderMap::new()));
    }
}
