//! `Idempotency-Key`: a repeated request creates nothing new.

use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, Gate, Reply, Script, Sse, Upstream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

fn message(user: &Client, session: Uuid, text: &str, key: &str) -> RequestBuilder {
    user.request(Method::POST, &Client::runs_path(session)).json(&Client::message(text)).header("idempotency-key", key)
}

async fn create(user: &Client, key: &str) -> Reply {
    read(user.request(Method::POST, "/api/v1/chatkit/sessions").header("idempotency-key", key)).await
}

everywhere! {
    async fn a_message_with_the_same_key_is_the_same_message(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let (user, other) = (app.user().await, app.user().await);
        let session = user.session().await;
        let first = Sse::open(message(&user, session, "Hello", "k-1")).await.unwrap().finish().await;
        assert!(!first.headers.contains_key("idempotency-replayed"));
        let again = Sse::open(message(&user, session, "Hello", "k-1")).await.unwrap().finish().await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.run_id(), first.run_id());
        assert_eq!(again.events, first.events);
        let json = read(message(&user, session, "Hello", "k-1").header("accept", "application/json")).await;
        assert_eq!(json.data()["content"], json!([{"type": "text", "text": first.text()}]));
        assert_eq!(upstream.requests().len(), 1, "the model was asked once");
        assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 2);

        read(message(&user, session, "Something else", "k-1")).await.fails(409, "CONFLICT");
        let elsewhere = user.session().await;
        read(message(&user, elsewhere, "Hello", "k-1")).await.fails(409, "CONFLICT");
        // Keys are per user.
        let others = other.session().await;
        let of_other = Sse::open(message(&other, others, "Hello", "k-1")).await.unwrap().finish().await;
        assert!(of_other.run_id() != first.run_id() && !of_other.headers.contains_key("idempotency-replayed"));
        for bad in ["", &"k".repeat(256), "tab\there"] {
            read(message(&user, session, "Hello", bad)).await.fails(400, "INVALID_REQUEST");
        }
        assert_eq!(upstream.requests().len(), 2);
    }

    async fn a_session_with_the_same_key_is_the_same_session(setup: Setup) {
        let app = setup.with("MAX_SESSIONS_PER_USER", 2).start().await;
        let user = app.user().await;
        let first = create(&user, "s-1").await;
        let again = create(&user, "s-1").await;
        assert_eq!(again.data(), first.data());
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_ne!(create(&user, "s-2").await.data()["id"], first.data()["id"]);
        create(&user, "s-3").await.fails(429, "SESSION_LIMIT");
        assert_eq!(create(&user, "s-1").await.data(), first.data(), "a retry needs no room");
        assert_eq!(user.get("/api/v1/chatkit/sessions").await.body["meta"]["total"], 2);
    }

    async fn one_of_many_concurrent_requests_is_executed(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["On"]).stop(&gate).words(&["ce"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let racing = (0..8).map(|_| {
            let request = message(&user, session, "Hello", "race");
            tokio::spawn(async move { Sse::open(request).await })
        });
        let streams = futures::future::join_all(racing).await;
        gate.open();
        let mut answers = Vec::new();
        for stream in streams {
            let stream = stream.unwrap().unwrap_or_else(|reply| panic!("a racing retry was refused: {}", reply.text));
            answers.push(stream.finish().await);
        }
        assert!(answers.iter().all(|answer| answer.events == answers[0].events));
        assert_eq!(answers[0].text(), "Once");
        let replays = answers.iter().filter(|answer| answer.headers.contains_key("idempotency-replayed")).count();
        assert_eq!((replays, upstream.requests().len()), (7, 1));
        let messages: Value = user.history(session).await["messages"].clone();
        assert_eq!(messages.as_array().unwrap().len(), 2);
    }
}
