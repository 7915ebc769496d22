//! The service without a core: what it answers by itself, and what it answers when no core can be reached.

use super::*;
use crate::{Remote, RemoteConfig};
use http::HeaderMap;
use http::header::*;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use threadline_runtime::Supervisor;

const ID: &str = "0199e0f0-0000-7000-8000-00000000000a";
const RUNS: &str = "/api/v1/chatkit/sessions/0199e0f0-0000-7000-8000-00000000000a/threads/\
                    0199e0f0-0000-7000-8000-00000000000a/runs";
const AUTH: (&str, &str) = ("authorization", "Bearer abc");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A gateway whose core does not exist: the port was free a moment ago.
async fn gateway() -> Gateway {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = GatewayConfig {
        cors_origins: vec!["https://app.example".to_owned()],
        trusted_proxies: Arc::new([]),
        body_bytes: 1000,
        body_timeout: Duration::from_secs(5),
        heartbeat: Duration::from_secs(15),
        hsts: false,
        chat_page: true,
        chat_images: Vec::new(),
        pages: Pages::All,
        console: true,
        input: threadline_runtime::ByteBudget::new(1_000_000),
    };
    let remote = Remote::connect(RemoteConfig::new(format!("ws://{address}")), &Supervisor::default()).unwrap();
    Gateway::new(config, Arc::new(remote), Arc::new(|| "up 1\n".to_owned()))
}

/// A response, read whole.
struct Received {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn code(&self) -> String {
        let body = self.json();
        assert_eq!(body["success"], false);
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

async fn send(verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Received {
    let mut request = Request::builder().method(verb).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let (head, body) = gateway().await.handle("192.0.2.1".parse().unwrap(), request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    for name in ["x-request-id", "x-content-type-options", "x-frame-options", "referrer-policy", "vary"] {
        assert!(head.headers.contains_key(name), "{verb} {path} lacks {name}");
    }
    Received { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

#[tokio::test]
async fn pages_need_no_core() {
    let health = send("GET", "/health", &[("x-request-id", "mine-1")], "").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")));
    assert_eq!(health.headers["x-request-id"], "mine-1");
    assert_eq!(health.headers[CACHE_CONTROL], "no-store");
    assert_eq!(send("GET", "/metrics", &[], "").await.body, "up 1\n");
    assert_eq!(send("GET", "/openapi.json", &[], "").await.json()["openapi"], "3.1.0");
    assert_eq!(send("GET", "/", &[], "").await.json()["docs"], "/docs");
    let docs = send("GET", "/docs", &[], "").await;
    assert_eq!(docs.headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(docs.headers[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; style-src"));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (get, head) = (send("GET", "/health", &[], "").await, send("HEAD", "/health", &[], "").await);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.headers[CONTENT_LENGTH], get.body.len().to_string().as_str());
}

#[tokio::test]
async fn unknown_paths_differ_from_unknown_verbs() {
    for path in ["/nope", "/api/v1/tasks/", "/health/x"] {
        let response = send("GET", path, &[], "").await;
        assert_eq!((response.status, response.code().as_str()), (404, "NOT_FOUND"), "{path}");
    }
    for verb in ["PUT", "BREW", "TRACE"] {
        let response = send(verb, "/api/v1/tasks", &[], "").await;
        assert_eq!((response.status, response.code().as_str()), (405, "METHOD_NOT_ALLOWED"), "{verb}");
        assert_eq!(response.headers[ALLOW], "GET, HEAD, POST, OPTIONS");
    }
}

#[tokio::test]
async fn options_lists_verbs_and_preflights_only_listed_origins() {
    let response = send("OPTIONS", "/api/v1/tasks", &[], "").await;
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    assert_eq!(response.headers[ALLOW], "GET, HEAD, POST, OPTIONS");
    assert!(!response.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    for (origin, allowed) in [("https://app.example", true), ("https://evil.example", false)] {
        let asks = [("origin", origin), ("access-control-request-method", "POST")];
        let response = send("OPTIONS", "/api/v1/tasks", &asks, "").await;
        assert_eq!(response.status, 204);
        assert_eq!(response.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), allowed);
        assert_eq!(response.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS), allowed);
    }
}

#[tokio::test]
async fn a_preflight_of_an_unknown_path_lets_the_page_see_the_404() {
    let ours = ("origin", "https://app.example");
    let asks = ("access-control-request-method", "POST");
    let response = send("OPTIONS", "/api/v1/nothing", &[ours, asks], "").await;
    assert_eq!(response.status, 204);
    assert_eq!(response.headers[ACCESS_CONTROL_ALLOW_ORIGIN], ours.1);
    assert!(response.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
    assert!(!response.headers.contains_key(ALLOW), "the path has no methods");
    let theirs = ("origin", "https://evil.example");
    for headers in [&[theirs, asks][..], &[ours], &[asks], &[]] {
        let response = send("OPTIONS", "/api/v1/nothing", headers, "").await;
        assert_eq!((response.status, response.code().as_str()), (404, "NOT_FOUND"), "{headers:?}");
        assert!(!response.headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS), "{headers:?}");
    }
}

#[tokio::test]
async fn invalid_requests_without_a_token_do_not_reach_the_core() {
    let login = "/api/v1/auth/login";
    let long = "x".repeat(1001);
    let cases = [
        ("POST", login, "{}", &[][..], 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("POST", login, "{", &[JSON], 400, "INVALID_JSON"),
        ("POST", login, "{\"emial\":\"x\"}", &[JSON], 400, "INVALID_REQUEST"),
        ("POST", login, &long, &[JSON], 413, "PAYLOAD_TOO_LARGE"),
        ("GET", "/health/db?nope=1", "", &[], 400, "INVALID_REQUEST"),
    ];
    for (verb, path, body, headers, status, code) in cases {
        let response = send(verb, path, headers, body).await;
        assert_eq!((response.status, response.code().as_str()), (status, code), "{verb} {path}");
        assert_eq!(
            response.headers.contains_key(CONNECTION),
            status == 413,
            "only an unread body closes the connection"
        );
    }
}

#[tokio::test]
async fn the_caller_is_admitted_before_a_bad_request_is_rejected() {
    for (verb, path, body) in
        [("POST", RUNS, "{"), ("GET", "/api/v1/tasks?nope=1", ""), ("GET", "/api/v1/tasks/%ff", "")]
    {
        let response = send(verb, path, &[AUTH, JSON], body).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (503, "SERVICE_UNAVAILABLE"),
            "{verb} {path}: the core was not asked"
        );
    }
}

#[tokio::test]
async fn a_core_that_cannot_be_reached_is_unavailable() {
    let task = format!("/api/v1/tasks/{ID}");
    let events = format!("/api/v1/chatkit/runs/{ID}/events");
    for (path, headers) in [(&task, &[AUTH][..]), (&events, &[AUTH]), (&task, &[])] {
        let response = send("GET", path, headers, "").await;
        assert_eq!((response.status, response.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{path}");
        assert!(response.headers.contains_key(RETRY_AFTER));
    }
    let health = send("GET", "/health/all", &[], "").await;
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("unhealthy")));
    assert!(health.json().get("success").is_none(), "health checks have a form of their own");
}
