//! Headers of every response: security, CORS, and the state of the rate limit.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, HeaderName, ORIGIN, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use threadline_schema::call::{RateLimitState, ResponseMeta};

/// Response headers that scripts of other origins may read, in addition to those that CORS always allows.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, X-Run-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, \
     Idempotency-Replayed, WWW-Authenticate, Content-Disposition",
);
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
/// Request headers that are always allowed.
const ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, Accept, Origin, Last-Event-ID, Idempotency-Key, X-Request-Id";
/// Maximum number of headers that a preflight can ask for in addition, and their total length in bytes. Browsers ask
/// for the few that the page has set.
const MAX_REQUESTED_HEADERS: usize = 64;
const MAX_REQUESTED_BYTES: usize = 4096;
/// Seconds for which a browser may cache a preflight response. Chromium accepts two hours at most.
const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// The content security policy of responses that are not pages: nothing is loaded, and no page may frame them.
const LOAD_NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The headers that depend on the configuration.
#[derive(Debug)]
pub(crate) struct HeaderPolicy {
    origins: Vec<HeaderValue>,
    hsts: bool,
}

impl HeaderPolicy {
    /// Allows these origins; `*` allows all. An origin that is not a valid header value is dropped: no browser can send
    /// it.
    pub(crate) fn new(origins: &[String], hsts: bool) -> Self {
        Self { origins: origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(), hsts }
    }

    /// Adds the headers of every response. A header that the response has already stays.
    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let mut set_default = |name: HeaderName, value: HeaderValue| {
            response.entry(name).or_insert(value);
        };
        set_default(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        set_default(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        set_default(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        set_default(CONTENT_SECURITY_POLICY, LOAD_NOTHING);
        set_default(
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        );
        set_default(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.hsts {
            set_default(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
        }
        // Before what a preflight varies by.
        if let Some(also) = response.insert(VARY, HeaderValue::from_static("Origin")) {
            response.append(VARY, also);
        }
        if let Some(origin) = self.allowed_origin(request) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    /// Adds the headers of a preflight response, if the origin is allowed.
    pub(crate) fn preflight(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.allows(request) {
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(request));
            response.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_MAX_AGE);
        }
        // Also without the rest: a cache must not serve one preflight the response of another.
        response.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    }

    /// Returns whether the page that makes this request may read the response.
    pub(crate) fn allows(&self, request: &HeaderMap) -> bool {
        self.allowed_origin(request).is_some()
    }

    fn allowed_origin(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let origin = request.get(ORIGIN)?;
        self.origins.iter().find(|allowed| *allowed == origin || *allowed == "*")
    }
}

/// Returns the request headers that a preflight allows: those that clients of this service need, and those that this
/// one asks for. Tracing libraries add headers of their own to each request, and a name that is not listed blocks it; a
/// star never covers `Authorization`. Nothing is given away, because no cookie is read, and unknown headers are
/// ignored.
fn allowed_headers(request: &HeaderMap) -> HeaderValue {
    let asked = request.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter().filter_map(|value| value.to_str().ok());
    let names = asked.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let mut allowed = ALLOWED_HEADERS.to_owned();
    // An empty part of the list, and what is not a name of a header, asks for nothing.
    let names = names.filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok());
    for name in names.take(MAX_REQUESTED_HEADERS) {
        let is_listed = allowed.split(", ").any(|listed| listed.eq_ignore_ascii_case(&name));
        if !is_listed && allowed.len() + name.len() <= MAX_REQUESTED_BYTES {
            allowed.push_str(", ");
            allowed.push_str(&name);
        }
    }
    HeaderValue::try_from(allowed).unwrap_or(HeaderValue::from_static(ALLOWED_HEADERS))
}

/// Adds what the core knows about a call: the state of the rate limit, and whether the reply was replayed.
pub(crate) fn add_response_meta(response: &mut HeaderMap, meta: &ResponseMeta) {
    if let Some(RateLimitState { limit, remaining, reset }) = meta.rate_limit {
        response.insert(HeaderName::from_static("x-ratelimit-limit"), limit.into());
        response.insert(HeaderName::from_static("x-ratelimit-remaining"), remaining.into());
        response.insert(HeaderName::from_static("x-ratelimit-reset"), reset.into());
    }
    if meta.replayed {
        response.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> HeaderPolicy {
        HeaderPolicy::new(&["https://app.example".to_owned(), "bad\norigin".to_owned()], true)
    }

    fn from(origin: &'static str) -> HeaderMap {
        [(ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    #[test]
    fn only_listed_origins_are_allowed() {
        let mut response = HeaderMap::new();
        policy().apply(&from("https://app.example"), &mut response);
        policy().preflight(&from("https://app.example"), &mut response);
        assert_eq!(response[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert!(response.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        assert!(!response.contains_key("access-control-allow-credentials"));
        for origin in ["https://app.example.evil", "null", "https://APP.example", "http://app.example"] {
            let mut response = HeaderMap::new();
            policy().apply(&from(origin), &mut response);
            policy().preflight(&from(origin), &mut response);
            assert!(!response.keys().any(|name| name.as_str().starts_with("access-control")), "{origin}");
            let varies: Vec<_> = response.get_all(VARY).iter().collect();
            assert_eq!(
                varies,
                ["Origin", "Access-Control-Request-Headers"],
                "a cache must not serve one origin the response of another"
            );
        }
    }

    #[test]
    fn a_preflight_allows_the_headers_that_it_asks_for() {
        let allowed = |asked: &[&str]| -> Vec<String> {
            let mut request = from("https://app.example");
            for asked in asked {
                request.append(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_str(asked).unwrap());
            }
            let mut response = HeaderMap::new();
            policy().preflight(&request, &mut response);
            let allowed = response[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
            allowed.split(", ").map(str::to_owned).collect()
        };
        let always = allowed(&[]);
        assert!(always.iter().any(|name| name == "Last-Event-ID"), "{always:?}");
        let names = allowed(&["authorization,baggage", "Sentry-Trace , ,traceparent,baggage"]);
        assert_eq!(names[always.len()..], ["baggage", "sentry-trace", "traceparent"]);
        assert_eq!(
            allowed(&["a b", "x:y, \"quoted\"", "*", ""])[always.len()..],
            ["*"],
            "a star is a name like others"
        );
        let many: Vec<_> = (0..1000).map(|number| format!("x-{number}")).collect();
        assert!(allowed(&[&many.join(",")]).len() <= always.len() + MAX_REQUESTED_HEADERS);
        let long = vec!["x".repeat(1000); 3].join("y,");
        assert!(allowed(&[&long]).iter().map(String::len).sum::<usize>() <= MAX_REQUESTED_BYTES);
        let mut stranger = from("https://evil.example");
        stranger.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("baggage"));
        let mut response = HeaderMap::new();
        policy().preflight(&stranger, &mut response);
        assert!(!response.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
    }

    #[test]
    fn a_star_allows_all_origins() {
        let mut response = HeaderMap::new();
        HeaderPolicy::new(&["*".to_owned()], false).apply(&from("https://anywhere.example"), &mut response);
        assert_eq!(response[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[test]
    fn the_headers_of_the_response_have_precedence() {
        let mut response: HeaderMap = [(CACHE_CONTROL, HeaderValue::from_static("no-cache"))].into_iter().collect();
        policy().apply(&HeaderMap::new(), &mut response);
        assert_eq!(response[CACHE_CONTROL], "no-cache");
        assert_eq!(response[CONTENT_SECURITY_POLICY], LOAD_NOTHING);
        assert!(response.contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
