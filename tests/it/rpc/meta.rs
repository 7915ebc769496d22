//! The reserved member `_meta`, which a gateway adds to the params.

use super::{Wire, refusal};
use crate::support::{Setup, Socket};
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meta_names_the_user_and_methods_do_not_see_it() {
    let app = Setup::new().await.start().await;
    let (ada, bob) = (app.user().await, app.user().await);
    for (name, mut wire) in Wire::all(&app, ada.token.as_deref()).await {
        let me = wire.ok("auth.me", json!({"_meta": {"auth": bob.token}})).await;
        assert_eq!(me["id"], bob.user_id.unwrap().to_string(), "{name}: the call's own token counts");
        assert!(me.get("_meta").is_none());
        assert_eq!(wire.ok("auth.me", json!({"_meta": {}})).await["id"], ada.user_id.unwrap().to_string());
        // This method refuses unknown params.
        wire.ok("tasks.create", json!({"title": "x", "_meta": {"request_id": "r-1", "ip": "192.0.2.1"}})).await;
        wire.ok("tasks.list", json!({"_meta": {"languages": "de-CH, de", "metadata": {"page": "cart"}}})).await;
        for metadata in [json!([]), json!({"x": "y".repeat(5000)})] {
            let params = json!({"_meta": {"metadata": metadata}});
            let words = wire.refused("tasks.list", params, -32602, "INVALID_REQUEST").await;
            assert!(words.contains("`metadata`"), "{name}: {words}");
        }
        for wrong in [
            json!({"user": 1}),
            json!("x"),
            json!(null),
            json!({"ip": "here"}),
            json!({"auth": 7}),
            json!({"facts": "yes"}),
        ] {
            let words = wire.refused("auth.me", json!({"_meta": wrong}), -32602, "INVALID_REQUEST").await;
            assert!(words.contains("`_meta`") && words.contains("`auth`"), "{wrong}: {words}");
        }
        // Only the member of that name, and not a text that looks like it.
        wire.ok("tasks.create", json!({"title": "\"_meta\": {"})).await;
        let words = wire.refused("tasks.create", json!({"title": "x", "_META": {}}), -32602, "INVALID_REQUEST").await;
        assert!(words.contains("_META"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_metadata_is_sent_on_request() {
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 30).start().await;
    let user = app.user().await;
    let mut left = 30;
    for (name, mut wire) in Wire::all(&app, user.token.as_deref()).await {
        let me = wire.ok("auth.me", json!({"_meta": {"facts": true}})).await;
        left -= 1;
        let facts = &me["_meta"];
        assert_eq!(facts["user_id"], user.user_id.unwrap().to_string(), "{name}: {facts}");
        assert_eq!((&facts["rate"][0], &facts["replayed"]), (&json!(30), &json!(false)), "{name}: {facts}");
        // One request is allowed every 2 s.
        assert!((left..30).contains(&facts["rate"][1].as_u64().unwrap()), "{name}: {facts}");
        assert!(facts["db_us"].is_u64(), "{name}: {facts}");
        assert_eq!(me["id"], user.user_id.unwrap().to_string());

        let refused = wire.call("tasks.create", json!({"title": "", "_meta": {"facts": true}})).await;
        left -= 1;
        refusal(&refused, -32602, "INVALID_REQUEST");
        assert_eq!(refused["error"]["data"]["_meta"]["user_id"], user.user_id.unwrap().to_string(), "{refused}");
        let task = wire.ok("tasks.create", json!({"title": "x"})).await;
        let done = wire.ok("tasks.delete", json!({"task_id": task["id"], "_meta": {"facts": true}})).await;
        left -= 2;
        assert_eq!(done.as_object().unwrap().keys().collect::<Vec<_>>(), ["_meta"]);
    }
    // How long the database took tells strangers nothing about accounts.
    for email in [user.email.as_str(), "nobody@example.com"] {
        for (name, mut wire) in Wire::all(&app, None).await.into_iter().take(2) {
            let login = json!({"email": email, "password": "not the password", "_meta": {"facts": true}});
            let refused = wire.call("auth.login", login).await;
            assert_eq!(refused["error"]["data"]["_meta"]["db_us"], 0, "{name}: {refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_proxy_sets_the_address_of_a_client() {
    let login = json!({"email": "nobody@example.com", "password": "wrong-password"});
    let from = |host: u8| {
        let mut params = login.clone();
        params["_meta"] = json!({"ip": format!("192.0.2.{host}")});
        params
    };
    let limited = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 2);
    let app = limited.start().await;
    let mut wire = Wire::Post(app.anonymous());
    for host in 1..=2 {
        wire.refused("auth.login", from(host), -32002, "INVALID_CREDENTIALS").await;
    }
    wire.refused("auth.login", from(3), -32029, "RATE_LIMITED").await;

    // A proxy that sends no `X-Forwarded-For` is not a gateway, whatever its clients write.
    let trusting = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 2).with("TRUSTED_PROXIES", "127.0.0.0/8");
    let app = trusting.start().await;
    for mut wire in [Wire::Post(app.anonymous()), Wire::Socket(Box::new(app.anonymous().socket().await))] {
        let mut codes = Vec::new();
        for host in 1..=3 {
            codes.push(wire.call("auth.login", from(host)).await["error"]["data"]["code"].clone());
        }
        assert_eq!(codes[2], "RATE_LIMITED", "{codes:?}");
    }

    let with_secret = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 2).with("GATEWAY_SECRET", "s3cret");
    let app = with_secret.start().await;
    let mut request = format!("ws://{}/", app.rpc).into_client_request().unwrap();
    request.headers_mut().insert("x-threadline-gateway", "s3cret".parse().unwrap());
    let mut wire = Wire::Socket(Box::new(Socket::open(request).await.unwrap()));
    for host in 1..=3 {
        wire.refused("auth.login", from(host), -32002, "INVALID_CREDENTIALS").await;
        wire.refused("auth.login", from(host), -32002, "INVALID_CREDENTIALS").await;
        wire.refused("auth.login", from(host), -32029, "RATE_LIMITED").await;
    }
}
