//! Headers of every answer: security, CORS, and the state of the rate limit.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use threadline_schema::call::RateLimitState;

/// What a browser may read from an answer beside the headers it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, X-Run-Id, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, \
     Idempotency-Replayed",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE, OPTIONS");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, Origin, Last-Event-ID, Idempotency-Key, X-Request-Id",
);
/// Seconds a browser may keep a preflight's answer; two hours is the most Chromium takes.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("7200");
/// Nothing of this API is a page, so nothing may be loaded and nobody may frame it.
const NO_CONTENT: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Headers that depend on the configuration.
#[derive(Debug)]
pub(crate) struct Policy {
    origins: Vec<HeaderValue>,
    hsts: bool,
}

impl Policy {
    /// Allows these origins; an origin that cannot stand in a header is none a browser could send.
    pub(crate) fn new(origins: &[String], hsts: bool) -> Self {
        Self { origins: origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(), hsts }
    }

    /// Adds what every answer carries, where the answer has not set its own.
    pub(crate) fn apply(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let mut unless_set = |name: HeaderName, value: HeaderValue| {
            answer.entry(name).or_insert(value);
        };
        unless_set(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        unless_set(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        unless_set(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        unless_set(CONTENT_SECURITY_POLICY, NO_CONTENT);
        unless_set(
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        );
        unless_set(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.hsts {
            unless_set(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains"));
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed(request) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    /// Adds what a preflight asks for, if its origin is allowed.
    pub(crate) fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.allowed(request).is_some() {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            answer.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
        }
    }

    fn allowed(&self, request: &HeaderMap) -> Option<&HeaderValue> {
        let origin = request.get(ORIGIN)?;
        self.origins.iter().find(|allowed| *allowed == origin || *allowed == "*")
    }
}

/// Adds the state of the caller's limit.
pub(crate) fn rate(answer: &mut HeaderMap, rate: RateLimitState) {
    answer.insert(HeaderName::from_static("x-ratelimit-limit"), rate.limit.into());
    answer.insert(HeaderName::from_static("x-ratelimit-remaining"), rate.remaining.into());
    answer.insert(HeaderName::from_static("x-ratelimit-reset"), rate.reset.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::new(&["https://app.example".to_owned(), "bad\norigin".to_owned()], true)
    }

    fn from(origin: &'static str) -> HeaderMap {
        [(ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    #[test]
    fn only_listed_origins_are_let_in() {
        let mut answer = HeaderMap::new();
        policy().apply(&from("https://app.example"), &mut answer);
        policy().preflight(&from("https://app.example"), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert!(answer.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        assert!(!answer.contains_key("access-control-allow-credentials"));
        for origin in ["https://app.example.evil", "null", "https://APP.example", "http://app.example"] {
            let mut answer = HeaderMap::new();
            policy().apply(&from(origin), &mut answer);
            policy().preflight(&from(origin), &mut answer);
            assert!(!answer.keys().any(|name| name.as_str().starts_with("access-control")), "{origin}");
            assert_eq!(answer[VARY], "Origin", "a cache must not hand one origin's answer to another");
        }
    }

    #[test]
    fn a_star_lets_in_everybody() {
        let mut answer = HeaderMap::new();
        Policy::new(&["*".to_owned()], false).apply(&from("https://anywhere.example"), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[test]
    fn an_answers_own_headers_win() {
        let mut answer: HeaderMap = [(CACHE_CONTROL, HeaderValue::from_static("no-cache"))].into_iter().collect();
        policy().apply(&HeaderMap::new(), &mut answer);
        assert_eq!(answer[CACHE_CONTROL], "no-cache");
        assert_eq!(answer[CONTENT_SECURITY_POLICY], NO_CONTENT);
        assert!(answer.contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
