//! Limits: requests per minute, sessions per user, characters per message.

use crate::support::client::read;
use crate::support::token::mint;
use crate::support::{Client, Reply, Setup};
use crate::{everywhere, serve_and_split};
use reqwest::Method;
use serde_json::json;

const SESSIONS: &str = "/api/v1/chatkit/sessions";

fn remaining(reply: &Reply) -> u32 {
    assert_eq!(reply.header("x-ratelimit-limit"), "5");
    reply.header("x-ratelimit-reset").parse::<u32>().unwrap();
    reply.header("x-ratelimit-remaining").parse().unwrap()
}

#[track_caller]
fn limited(reply: &Reply) {
    let message = reply.fails(429, "RATE_LIMITED");
    assert!(message.contains('5'), "{message}");
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=12).contains(&wait), "one request in twelve seconds: {wait}");
    assert_eq!(reply.body["error"]["retry_after"], wait);
    assert_eq!((reply.header("x-ratelimit-limit"), reply.header("x-ratelimit-remaining")), ("5", "0"));
}

serve_and_split! {
    async fn the_sixth_request_of_a_minute_is_refused(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
        let (user, other) = (app.user().await, app.user().await);
        for left in [4, 3, 2, 1, 0] {
            let reply = user.get("/api/v1/auth/me").await;
            assert_eq!((reply.status, remaining(&reply)), (200, left));
        }
        limited(&user.get("/api/v1/auth/me").await);
        limited(&user.post(SESSIONS, &json!({})).await);
        // Another token of the same user does not help, and another user is not affected.
        limited(&user.with_token(mint(user.user_id.unwrap(), 77)).get(SESSIONS).await);
        assert_eq!(remaining(&other.get("/api/v1/auth/me").await), 4);
        // Requests of monitoring are not counted.
        for path in ["/health", "/health/db", "/health/all", "/metrics", "/openapi.json", "/docs", "/"] {
            let reply = user.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        }
    }

    async fn malformed_requests_without_a_token_count_by_address(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
        let anyone = app.anonymous();
        let login = |kind: &str, body: String| {
            anyone.request(Method::POST, "/api/v1/auth/login").header("content-type", kind).body(body)
        };
        let upload = anyone.request(Method::PUT, "/api/v1/chatkit/attachments/x/content").body("abc");
        for (left, request, status, code) in [
            (4, login("application/json", "{".into()), 400, "INVALID_JSON"),
            (3, login("application/json", "[]".into()), 400, "INVALID_REQUEST"),
            (2, login("text/plain", "{}".into()), 415, "UNSUPPORTED_MEDIA_TYPE"),
            (1, login("application/json", "x".repeat(2 << 20)), 413, "PAYLOAD_TOO_LARGE"),
            (0, upload, 400, "INVALID_REQUEST"),
        ] {
            let reply = read(request).await;
            reply.fails(status, code);
            assert_eq!(remaining(&reply), left, "{}", reply.text);
        }
        limited(&read(login("application/json", "{".into())).await);
        limited(&read(login("application/json", "x".repeat(2 << 20))).await);
        limited(&anyone.get("/api/v1/auth/me").await);
        // Logins have an allowance of their own.
        let login = anyone.post("/api/v1/auth/login", &json!({"email": "a@example.com", "password": "12345678"})).await;
        login.fails(401, "INVALID_CREDENTIALS");
        // Requests of monitoring are not counted.
        assert_ne!(anyone.get("/health/db?unknown=1").await.status, 429);
    }

    async fn what_does_not_exist_counts_by_address(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
        let (anyone, user) = (app.anonymous(), app.user().await);
        let asks = |client: &Client, method: Method, path: &str| read(client.request(method, path));
        // A token, good or not, makes no difference.
        let mut left = None;
        for (client, method, path, status, code) in [
            (&anyone, Method::GET, "/wp-login.php", 404, "NOT_FOUND"),
            (&user, Method::POST, "/api/v1/nothing", 404, "NOT_FOUND"),
            (&anyone.with_token("no.good.token"), Method::PATCH, "/api/v1/tasks", 405, "METHOD_NOT_ALLOWED"),
            (&anyone, Method::GET, "/chat/nothing.js", 404, "NOT_FOUND"),
        ] {
            let reply = asks(client, method, path).await;
            reply.fails(status, code);
            let now = remaining(&reply);
            assert!(left.is_none_or(|before| before == now + 1), "{path}: {left:?}, then {now}");
            left = Some(now);
        }
        // There may be one left: the registration of the user can count, too.
        asks(&anyone, Method::GET, "/wp-login.php").await;
        limited(&asks(&anyone, Method::GET, "/wp-login.php").await);
        limited(&asks(&anyone, Method::DELETE, "/").await);
        // What exists has limits of its own.
        assert_eq!(remaining(&user.get("/api/v1/auth/me").await), 4);
        assert_eq!(anyone.get("/health").await.status, 200);
    }

    async fn a_message_counts_once(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let answer = user.say(session, "Hello").await;
        assert_eq!(answer.terminal()["type"], "run.completed");
        assert_eq!(answer.headers["x-ratelimit-remaining"], "3");
        let run = answer.run_id();
        // Resuming a run is a separate request.
        let followed = user.follow(run, None).await.unwrap().finish().await;
        assert_eq!(followed.headers["x-ratelimit-remaining"], "2");
        let json = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message("Hello"));
        assert_eq!(remaining(&read(json.header("accept", "application/json")).await), 1);
        // Refused requests count too.
        assert_eq!(remaining(&user.post(&Client::runs_path(session), &Client::message(" ")).await), 0);
        limited(&user.say_in_vain(session, "Hello").await);
        assert_eq!(user.follow(run, None).await.err().unwrap().status, 429);
    }

    async fn calls_without_a_user_are_counted_by_address(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5).start().await;
        let anybody = app.anonymous();
        let wrong = json!({"email": "nobody@example.com", "password": "wrong password"});
        for left in [4, 3, 2] {
            assert_eq!(remaining(&anybody.post("/api/v1/auth/login", &wrong).await), left);
        }
        let unauthorized = anybody.get("/api/v1/auth/me").await;
        unauthorized.fails(401, "UNAUTHORIZED");
        // Logins have an allowance of their own.
        assert_eq!(remaining(&unauthorized), 4);
        assert_eq!(remaining(&anybody.with_token("no.good.token").get("/api/v1/auth/me").await), 3);
        for left in [1, 0] {
            assert_eq!(remaining(&anybody.post("/api/v1/auth/login", &wrong).await), left);
        }
        limited(&anybody.post("/api/v1/auth/login", &wrong).await);
        for left in [2, 1, 0] {
            assert_eq!(remaining(&anybody.get("/api/v1/auth/me").await), left);
        }
        limited(&anybody.get("/api/v1/auth/me").await);
        // The header of an untrusted peer is ignored.
        let forwarded = anybody.request(Method::GET, "/api/v1/auth/me").header("x-forwarded-for", "203.0.113.7");
        limited(&read(forwarded).await);
    }
}

serve_and_split! {
    async fn the_address_of_a_trusted_proxy_is_used(setup: Setup) {
        let app = setup
            .with("RATE_LIMIT_REQUESTS_PER_MINUTE", 5)
            .with("TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")
            .start()
            .await;
        let ask = |forwarded: &'static str| {
            read(app.anonymous().request(Method::GET, "/api/v1/auth/me").header("x-forwarded-for", forwarded))
        };
        for left in [4, 3, 2, 1, 0] {
            assert_eq!(remaining(&ask("203.0.113.7").await), left);
        }
        limited(&ask("203.0.113.7").await);
        // Addresses from the client come before those that the proxies have added.
        limited(&ask("198.51.100.1, 203.0.113.7").await);
        limited(&ask("203.0.113.7, 10.1.2.3").await);
        assert_eq!(remaining(&ask("203.0.113.8").await), 4);
        // An IPv6 network is one client.
        assert_eq!(remaining(&ask("2001:db8:1:2::1").await), 4);
        assert_eq!(remaining(&ask("2001:db8:1:2:ffff::1").await), 3);
        assert_eq!(remaining(&ask("2001:db8:1:3::1").await), 4);
    }
}

everywhere! {
    async fn a_user_has_a_maximum_number_of_sessions(setup: Setup) {
        let app = setup.with("MAX_SESSIONS_PER_USER", 2).start().await;
        let (user, racer) = (app.user().await, app.user().await);
        let first = user.session().await;
        user.session().await;
        let refused = user.post(SESSIONS, &json!({})).await;
        assert_eq!(refused.fails(429, "SESSION_LIMIT"), "Maximum 2 sessions allowed. Please delete an old session.");
        user.delete(&format!("{SESSIONS}/{first}")).await.data();
        user.session().await;
        user.post(SESSIONS, &json!({})).await.fails(429, "SESSION_LIMIT");

        // Two of twenty concurrent requests succeed.
        let racing = (0..20).map(|_| {
            let racer = racer.clone();
            tokio::spawn(async move { racer.post(SESSIONS, &json!({})).await })
        });
        let mut made = 0;
        for reply in futures::future::join_all(racing).await {
            let reply = reply.unwrap();
            match reply.status {
                200 => made += 1,
                _ => assert_eq!(
                    reply.fails(429, "SESSION_LIMIT"),
                    "Maximum 2 sessions allowed. Please delete an old session."
                ),
            }
        }
        assert_eq!(made, 2);
        let list = racer.get(SESSIONS).await;
        assert_eq!((list.data().as_array().unwrap().len(), &list.body["meta"]["total"]), (2, &json!(2)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_maximum_length() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let session = user.session().await;
    let refused = user.say_in_vain(session, &"x".repeat(501)).await;
    let message = refused.fails(400, "MESSAGE_TOO_LONG");
    assert!(message.contains("501") && message.contains("500"), "{message}");
    // Characters, not bytes: an emoji is one.
    assert_eq!(user.say(session, &"🥛".repeat(500)).await.terminal()["type"], "run.completed");
    user.say_in_vain(session, &"🥛".repeat(501)).await.fails(400, "MESSAGE_TOO_LONG");
    // The parts of a message are counted together.
    let part = |text: String| json!({"type": "input_text", "text": text});
    let parts = json!({"message": {"role": "user", "content": [part("x".repeat(250)), part("x".repeat(251))]}});
    user.post(&Client::runs_path(session), &parts).await.fails(400, "MESSAGE_TOO_LONG");
    assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_lifts_a_limit() {
    let setup = Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("MAX_MESSAGE_CHARS", 0);
    let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
    let user = app.user().await;
    for _ in 0..11 {
        user.session().await;
    }
    for _ in 0..31 {
        let reply = user.get("/api/v1/auth/me").await;
        assert_eq!(reply.status, 200);
        assert!(!reply.headers.contains_key("x-ratelimit-limit"), "no limit, nothing to tell");
    }
    let session = user.session().await;
    let text = "long ".repeat(20_000);
    assert_eq!(user.say(session, &text).await.terminal()["type"], "run.completed");
    assert_eq!(user.history(session).await["messages"][0]["content"][0]["text"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_are_what_is_documented() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", "").start().await;
    let user = app.user().await;
    for _ in 0..10 {
        user.session().await;
    }
    let eleventh = user.post(SESSIONS, &json!({})).await;
    assert_eq!(eleventh.header("x-ratelimit-limit"), "30");
    assert_eq!(eleventh.fails(429, "SESSION_LIMIT"), "Maximum 10 sessions allowed. Please delete an old session.");
}
