//! The late status: a run that fails before the first output is an error, one that fails after it a stream that ends.

use crate::everywhere;
use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Script, Upstream};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// What no client may ever see.
const INNER: &str = "quota of project 4711 exceeded";

fn inner() -> serde_json::Value {
    json!({"error": {"message": INNER, "code": 500}})
}

everywhere! {
    async fn a_run_that_fails_before_the_first_token_is_an_error(setup: Setup) {
        let upstream = Upstream::start().await;
        let setup = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).with("AGENT_TIMEOUT_SECONDS", 1);
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let cases = [
            ("500", Script::fails(500, &inner()), 502, "UPSTREAM_ERROR"),
            ("400", Script::fails(400, &inner()), 502, "UPSTREAM_ERROR"),
            ("401", Script::fails(401, &inner()), 502, "UPSTREAM_ERROR"),
            ("429", Script::fails(429, &inner()), 503, "SERVICE_UNAVAILABLE"),
            ("503", Script::fails_with(503, "retry-after: 60\r\n", &inner()), 503, "SERVICE_UNAVAILABLE"),
            ("a connection that breaks", Script::default(), 502, "UPSTREAM_ERROR"),
            ("a head and no more", Script::stream(), 502, "UPSTREAM_ERROR"),
            ("no words", Script::stream().done("stop"), 502, "UPSTREAM_ERROR"),
            ("an error in the stream", Script::stream().raw(format!("data: {}\n\n", inner())), 502, "UPSTREAM_ERROR"),
            ("no JSON", Script::stream().raw("data: {oops\n\n"), 502, "UPSTREAM_ERROR"),
            ("silence", Script::stream().hang(), 504, "UPSTREAM_TIMEOUT"),
            ("silence before the head", Script::default().hang(), 504, "UPSTREAM_TIMEOUT"),
        ];
        let count = cases.len();
        for (what, script, status, code) in cases {
            upstream.queue(script);
            let started = Instant::now();
            let reply = user.say_in_vain(session, "Hello").await;
            assert_eq!((reply.status, &reply.body["error"]["code"]), (status, &json!(code)), "{what}: {}", reply.text);
            assert!(!reply.text.contains("project 4711"), "{what}: {}", reply.text);
            assert_eq!(reply.headers.contains_key("retry-after"), status == 503, "{what}");
            assert_eq!((reply.header("x-content-type-options"), reply.header("x-frame-options")), ("nosniff", "DENY"));
            assert!(started.elapsed() < Duration::from_secs(8), "{what}: {:?}", started.elapsed());
            let run = user.run(reply.header("x-run-id").parse().unwrap()).await;
            assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!(code)), "{what}");
            assert!(!run.to_string().contains("project 4711"));
        }
        // Each message was stored once and has no response, and the thread is free.
        let messages = user.history(session).await["messages"].clone();
        assert_eq!(messages.as_array().unwrap().len(), count);
        assert_eq!(user.say(session, "Are you back?").await.terminal()["type"], "run.completed");
        // The words of the model's server are in the log.
        assert!(app.log().iter().any(|line| line["cause"].as_str().is_some_and(|cause| cause.contains(INNER))));
    }
}

serve_and_split! {
    async fn a_run_that_fails_after_the_first_token_is_a_stream_that_ends(setup: Setup) {
        let upstream = Upstream::start().await;
        let setup = setup.upstream(&upstream).with("AGENT_TIMEOUT_SECONDS", 1);
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let begun = || Script::stream().words(&["Half", " a"]);
        for (what, script, code) in [
            ("cut off", begun(), "UPSTREAM_ERROR"),
            ("an error in the stream", begun().raw(format!("data: {}\n\n", inner())), "UPSTREAM_ERROR"),
            ("silence", begun().hang(), "UPSTREAM_TIMEOUT"),
        ] {
            upstream.queue(script.clone());
            let stream = user.say(session, "Hello").await;
            assert_eq!(stream.text(), "Half a", "{what}");
            let ends = &stream.types()[stream.events.len() - 2..];
            assert_eq!(ends, ["error", "run.failed"], "{what}");
            let (error, failed) = (&stream.events[stream.events.len() - 2].1, stream.terminal());
            assert_eq!((&error["code"], &error["allow_retry"]), (&json!("custom"), &json!(true)), "{what}");
            assert_eq!(
                (&failed["error"]["code"], &failed["run"]["status"]),
                (&json!(code), &json!("failed")),
                "{what}"
            );
            assert_eq!(error["message"], failed["error"]["message"]);
            assert!(!stream.events.iter().any(|(_, event)| event.to_string().contains("project 4711")), "{what}");
            assert_eq!(stream.seqs(), (1..=stream.events.len() as u64).collect::<Vec<_>>());
            // The same for a later reader, and an error for a client that wants one document.
            let again = user.follow(stream.run_id(), None).await.unwrap().finish().await;
            assert_eq!(again.events, stream.events, "{what}");
            upstream.queue(script);
            let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message("Hello"));
            let reply = read(request.header("accept", "application/json")).await;
            let status = if code == "UPSTREAM_TIMEOUT" { 504 } else { 502 };
            reply.fails(status, code);
            let kept = user.history(session).await["messages"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(kept["content"], json!([{"type": "text", "text": "Half a"}]), "{what}: what was heard is kept");
        }
        assert_eq!(user.say(session, "Are you back?").await.terminal()["type"], "run.completed");
        let asked = upstream.requests().len();
        assert_eq!(asked, 7, "after the first word nothing is tried again");
    }

    async fn a_failure_before_the_first_token_is_retried(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::fails(500, &inner())).queue(Script::fails_with(429, "retry-after: 0\r\n", &inner()));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        assert_eq!(user.say(session, "Hello").await.text(), "Hello from upstream.");
        assert_eq!(upstream.requests().len(), 3);
        assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 2);
    }

    async fn an_unreachable_model_is_an_error(setup: Setup) {
        let upstream = Upstream::start().await;
        let setup = setup.upstream(&upstream).with("OPENROUTER_BASE_URL", "http://127.0.0.1:9/v1");
        let app = setup.with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let reply = user.say_in_vain(session, "Hello").await;
        reply.fails(502, "UPSTREAM_ERROR");
        assert!(!reply.text.contains("127.0.0.1"), "{}", reply.text);
    }

    async fn a_slow_body_ends_in_time(setup: Setup) {
        let upstream = Upstream::start().await;
        let setup = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).with("AGENT_TIMEOUT_SECONDS", 1);
        let app = setup.with("RUN_MAX_SECONDS", 3).start().await;
        let user = app.user().await;
        let slow = Duration::from_millis(100);
        let word = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"slow\"}}]}\n\n";
        // Bytes are not tokens: a server that sends them one by one is silent.
        for (what, script) in [
            ("a slow head", Script::default().drip("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n", slow)),
            ("a slow first event", Script::stream().drip(word, slow)),
            ("slow comments", Script::stream().drip(": still here\n\n: and here\n\n", slow)),
        ] {
            upstream.queue(script);
            let started = Instant::now();
            let reply = user.say_in_vain(user.session().await, "Hello").await;
            assert!(reply.fails(504, "UPSTREAM_TIMEOUT").contains("in time"), "{what}: {}", reply.text);
            assert!(started.elapsed() < Duration::from_secs(3), "{what}: {:?}", started.elapsed());
        }
        // The words so far are kept, and the end is told in the stream.
        let tokens = (0..100).fold(Script::stream(), |script, _| script.words(&["on "]).wait(slow * 5));
        for (what, script, text) in [
            ("a slow second event", Script::stream().words(&["One"]).drip(word, slow), "One"),
            ("slow tokens", tokens, "on "),
        ] {
            upstream.queue(script);
            let (started, session) = (Instant::now(), user.session().await);
            let stream = user.say(session, "Hello").await;
            let end = stream.terminal();
            assert_eq!((&end["type"], &end["error"]["code"]), (&json!("run.failed"), &json!("UPSTREAM_TIMEOUT")), "{what}: {end}");
            assert!(stream.text().starts_with(text), "{what}: {}", stream.text());
            assert!(started.elapsed() < Duration::from_secs(6), "{what}: {:?}", started.elapsed());
            assert!(user.history(session).await["messages"][1]["content"][0]["text"].as_str().unwrap().starts_with(text));
        }
    }

    async fn a_run_has_a_maximum_duration(setup: Setup) {
        let upstream = Upstream::start().await;
        let script =
            (0..100).fold(Script::stream(), |script, _| script.words(&["on "]).wait(Duration::from_millis(100)));
        upstream.queue(script);
        let app = setup.upstream(&upstream).with("RUN_MAX_SECONDS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let stream = user.say(session, "Go on for ever").await;
        assert_eq!(stream.terminal()["error"]["code"], "UPSTREAM_TIMEOUT");
        assert!(!stream.text().is_empty());
    }
}
