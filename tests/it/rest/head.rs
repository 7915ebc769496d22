//! Heads of requests and responses: CORS, security headers, request ids, verbs, paths and queries.

use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Reply, Setup};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

const ORIGIN: &str = "https://app.example";

async fn ask(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = client.request(method.parse().unwrap(), path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request).await
}

serve_and_split! {
    async fn only_listed_origins_are_allowed(setup: Setup) {
        let app = setup.with("CORS_ORIGINS", format!(r#"["{ORIGIN}", "http://localhost:3000"]"#)).start().await;
        let anybody = app.anonymous();
        let asks = [
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,last-event-id"),
        ];
        for origin in [ORIGIN, "http://localhost:3000"] {
            let headers = [&[("origin", origin)], &asks[..]].concat();
            let reply = ask(&anybody, "OPTIONS", "/api/v1/chatkit/sessions", &headers).await;
            assert_eq!((reply.status, reply.text.as_str()), (204, ""));
            assert_eq!(reply.header("access-control-allow-origin"), origin);
            assert_eq!(reply.header("access-control-allow-methods"), "GET, POST, PUT, PATCH, DELETE, OPTIONS");
            assert_eq!(
                reply.header("access-control-allow-headers"),
                "Authorization, Content-Type, Accept, Origin, Last-Event-ID, Idempotency-Key, X-Request-Id"
            );
            assert!(!reply.headers.contains_key("access-control-allow-credentials"), "there are no cookies");
            // Errors are for the page as well.
            let reply = ask(&anybody, "GET", "/api/v1/auth/me", &[("origin", origin)]).await;
            reply.fails(401, "UNAUTHORIZED");
            assert_eq!(reply.header("access-control-allow-origin"), origin);
            assert!(reply.header("access-control-expose-headers").contains("X-Run-Id"));
        }
        for origin in [
            "https://evil.example",
            "https://app.example.evil.example",
            "http://app.example",
            "null",
            "https://APP.example",
        ] {
            let headers = [&[("origin", origin)], &asks[..]].concat();
            for (method, path) in [("OPTIONS", "/api/v1/chatkit/sessions"), ("GET", "/health"), ("GET", "/nowhere")] {
                let reply = ask(&anybody, method, path, &headers).await;
                let told: Vec<_> =
                    reply.headers.keys().filter(|name| name.as_str().starts_with("access-control")).collect();
                assert!(told.is_empty(), "{method} {path} for {origin}: {told:?}");
                assert_eq!(reply.header("vary"), "Origin");
            }
        }
    }

    async fn all_responses_have_security_headers_and_a_request_id(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let stream = user.say(session, "Hello").await;
        let runs = Client::runs_path(session);
        let large = read(
            user.request(Method::POST, &runs).header("content-type", "application/json").body("x".repeat(2 << 20)),
        )
        .await;
        let mut answers = vec![(200, stream.headers), (413, large.headers)];
        for (status, method, path) in [
            (200, "GET", "/health"),
            (200, "GET", "/docs"),
            (200, "GET", "/chat"),
            (200, "GET", "/chat/chat.js"),
            (200, "GET", "/metrics"),
            (200, "GET", "/openapi.json"),
            (200, "HEAD", "/health"),
            (204, "OPTIONS", "/health"),
            (400, "GET", "/api/v1/tasks/x"),
            (404, "GET", "/nowhere"),
            (404, "GET", "/api/v1/tasks/0199e0f0-0000-7000-8000-000000000001"),
            (405, "DELETE", "/api/v1/tasks"),
        ] {
            let reply = ask(&user, method, path, &[]).await;
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
            answers.push((status, reply.headers));
        }
        answers.push((401, app.anonymous().get("/api/v1/auth/me").await.headers));
        for (status, headers) in answers {
            for (name, value) in
                [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer")]
            {
                assert_eq!(headers[name], value, "{status}");
            }
            assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"), "{status}");
            let id: Uuid = headers["x-request-id"].to_str().unwrap().parse().unwrap();
            assert_eq!(id.get_version_num(), 7, "{status}");
            assert!(!headers.contains_key("strict-transport-security") && !headers.contains_key("server"));
        }
    }

    async fn the_request_id_of_the_client_is_kept(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let reply = ask(&user, "GET", "/api/v1/auth/me", &[("x-request-id", "from-the-client/1")]).await;
        assert_eq!(reply.header("x-request-id"), "from-the-client/1");
        for bad in ["", "two words", &"x".repeat(129), "ü"] {
            let reply = ask(&user, "GET", "/api/v1/auth/me", &[("x-request-id", bad)]).await;
            assert!(reply.header("x-request-id").parse::<Uuid>().is_ok(), "{bad}");
        }
        let lines: Vec<_> = app.log().into_iter().filter(|line| line["request_id"] == "from-the-client/1").collect();
        let line = lines.iter().find(|line| line["target"] == "threadline::http").expect("a line for the request");
        assert_eq!(
            (&line["route"], &line["status"], &line["method"]),
            (&json!("/api/v1/auth/me"), &json!(200), &json!("GET"))
        );
        assert_eq!(line["user_id"], json!(user.user_id));
        assert!(line["ms"].is_f64() && line["db_ms"].is_f64(), "{line}");
        // Split, the core speaks of the request by the same name.
        assert_eq!(lines.iter().any(|line| line["target"] == "threadline::rpc"), app.split);
    }

    async fn unknown_paths_and_wrong_verbs_are_refused(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        for (method, path, allow) in [
            ("DELETE", "/api/v1/tasks", "GET, HEAD, POST, OPTIONS"),
            ("GET", "/api/v1/auth/login", "POST, OPTIONS"),
            ("POST", "/health", "GET, HEAD, OPTIONS"),
            ("PUT", "/api/v1/chatkit/sessions/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
            ("TRACE", "/health", "GET, HEAD, OPTIONS"),
            ("BREW", "/health", "GET, HEAD, OPTIONS"),
        ] {
            let reply = ask(&user, method, path, &[]).await;
            reply.fails(405, "METHOD_NOT_ALLOWED");
            assert_eq!(reply.header("allow"), allow, "{method} {path}");
            let options = ask(&user, "OPTIONS", path, &[]).await;
            assert_eq!((options.status, options.header("allow")), (204, allow));
        }
        for path in
            ["/nowhere", "/api/v1", "/api/v1/tasks/", "/API/v1/tasks", "/api/v1/chatkit/sessions/x/y", "//health"]
        {
            for method in ["GET", "POST", "DELETE", "OPTIONS"] {
                ask(&user, method, path, &[]).await.fails(404, "NOT_FOUND");
            }
        }
        let get = ask(&user, "GET", "/api/v1/auth/me", &[]).await;
        let head = ask(&user, "HEAD", "/api/v1/auth/me", &[]).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
        assert_eq!(head.header("content-length"), get.text.len().to_string());
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(ask(&app.anonymous(), "HEAD", "/api/v1/auth/me", &[]).await.status, 401);

        let reply = ask(&user, "GET", "/api/v1/auth/me?verbose=1", &[]).await;
        assert!(reply.fails(400, "INVALID_REQUEST").contains("verbose"), "{}", reply.text);
        let reply = ask(&user, "GET", "/api/v1/chatkit/sessions?limi=1", &[]).await;
        let message = reply.fails(400, "INVALID_REQUEST");
        assert!(message.contains("limi") && message.contains("limit, order"), "what there is instead: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_only_is_told_when_it_is_wanted() {
    let app = Setup::new().await.with("HSTS", true).start().await;
    assert!(app.anonymous().get("/health").await.header("strict-transport-security").contains("max-age="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rpc_path_of_the_rest_port_has_the_same_headers() {
    let app = Setup::new().await.with("CORS_ORIGINS", "https://app.example").start().await;
    let user = app.user().await;
    let of_page = |method| user.request(method, "/rpc").header("origin", "https://app.example");

    let preflight = read(of_page(Method::OPTIONS).header("access-control-request-method", "POST")).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-headers").contains("Authorization"));

    // Tracing libraries add headers of their own. A name that is not listed blocks the request.
    for path in ["/rpc", "/api/v1/tasks", "/api/v1/chatkit/sessions", "/chatkit"] {
        let asked = user.request(Method::OPTIONS, path).header("origin", "https://app.example");
        let asked = asked.header("access-control-request-method", "POST");
        let reply = read(asked.header("access-control-request-headers", "authorization,baggage,x-b3-traceid")).await;
        let allowed = reply.header("access-control-allow-headers").to_ascii_lowercase();
        let allowed: Vec<_> = allowed.split(", ").collect();
        for name in ["authorization", "baggage", "x-b3-traceid", "last-event-id"] {
            assert!(allowed.contains(&name), "{path}: {name} in {allowed:?}");
        }
        assert!(reply.header("access-control-max-age").parse::<u32>().is_ok());
        let stranger = user.request(Method::OPTIONS, path).header("origin", "https://evil.example");
        let stranger = stranger.header("access-control-request-method", "POST");
        let reply = read(stranger.header("access-control-request-headers", "baggage")).await;
        assert!(!reply.headers.contains_key("access-control-allow-headers"), "{path}");
        let varies: Vec<_> = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(varies.contains(&"Origin") && varies.contains(&"Access-Control-Request-Headers"), "{varies:?}");
    }

    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "auth.me"});
    let answer = read(of_page(Method::POST).json(&call)).await;
    assert_eq!(answer.body["result"]["email"], user.email.as_str());
    for reply in [&preflight, &answer] {
        assert_eq!(reply.header("access-control-allow-origin"), "https://app.example");
        for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"] {
            assert!(reply.headers.contains_key(name), "no {name}");
        }
    }
}
