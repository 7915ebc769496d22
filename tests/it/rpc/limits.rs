//! One rate limit per user over all transports.

use super::{Wire, refusal};
use crate::serve_and_split;
use crate::support::{Client, Setup};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transports_share_it() {
    // One request is allowed every 10 s.
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 6).start().await;
    let (user, other) = (app.user().await, app.user().await);
    let mut wires = Wire::all(&app, user.token.as_deref()).await;
    for (_, wire) in &mut wires {
        wire.ok("tasks.list", json!({})).await;
    }
    let fifth = user.get("/api/v1/tasks").await;
    assert_eq!(
        (fifth.status, fifth.header("x-ratelimit-limit"), fifth.header("x-ratelimit-remaining")),
        (200, "6", "1")
    );
    user.get("/api/v1/tasks").await.data();
    let seventh = user.get("/api/v1/tasks").await;
    seventh.fails(429, "RATE_LIMITED");
    assert!((1..=10).contains(&seventh.header("retry-after").parse::<u64>().unwrap()));
    for (name, wire) in &mut wires {
        let refused = wire.call("tasks.list", json!({})).await;
        refusal(&refused, -32029, "RATE_LIMITED");
        assert!((1..=10).contains(&refused["error"]["data"]["retry_after"].as_u64().unwrap()), "{name}: {refused}");
        // Health checks are never refused.
        wire.ok("system.health", json!({})).await;
    }
    other.rpc_ok("tasks.list", json!({})).await;
}

serve_and_split! {
    async fn a_message_with_its_stream_counts_once(setup: Setup) {
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 4).start().await;
        let user = app.user().await;
        let session = user.session().await;
        assert!(user.say(session, "Hello").await.done);
        let listed = user.get("/api/v1/tasks").await;
        assert_eq!((listed.status, listed.header("x-ratelimit-remaining")), (200, "1"), "{}", listed.text);
        let again = user.post(&Client::runs_path(session), &Client::message("Again")).await;
        assert_eq!(again.status, 200, "{}", again.text);
        user.get("/api/v1/tasks").await.fails(429, "RATE_LIMITED");
    }
}
