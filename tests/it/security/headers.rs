//! Headers that protect every page and every response.

use crate::serve_and_split;

serve_and_split! {
    async fn every_response_has_security_headers_and_a_policy(setup: Setup) {
        let app = setup.start().await;
        let nobody = app.anonymous();
        for path in ["/", "/health", "/health/all", "/metrics", "/docs", "/docs/api", "/docs/api/explorer.js", "/openapi.json", "/chat", "/chat/chat.js",
                     "/api/v1/auth/me", "/nowhere"] {
            let reply = nobody.get(path).await;
            check(path, &reply.headers);
        }
        for path in ["/", "/rpc", "/health", "/metrics", "/nowhere"] {
            let reply = reqwest::get(format!("http://{}{path}", app.rpc)).await.unwrap();
            check(path, reply.headers());
        }
    }
}

#[track_caller]
fn check(path: &str, headers: &reqwest::header::HeaderMap) {
    let value = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    assert_eq!(value("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(value("x-frame-options"), "DENY", "{path}");
    assert_eq!(value("referrer-policy"), "no-referrer", "{path}");
    let policy = value("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    assert!(!value("cache-control").is_empty(), "{path}");
}
