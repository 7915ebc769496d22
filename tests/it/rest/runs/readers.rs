//! Readers of a run: several, late, and reconnecting ones.

use crate::everywhere;
use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Gate, Script, Setup, Sse, Upstream};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

/// The ways to send a cursor.
async fn resume(user: &Client, run: Uuid, after: &str, how: usize) -> Sse {
    let path = format!("/api/v1/chatkit/runs/{run}/events");
    let request = match how % 3 {
        0 => user.request(Method::GET, &path).header("last-event-id", format!("{run}:{after}")),
        1 => user.request(Method::GET, &format!("{path}?after={after}")),
        _ => user.request(Method::GET, &format!("{path}?after={run}:{after}")),
    };
    Sse::open(request).await.unwrap_or_else(|reply| panic!("after {after}: {}", reply.text))
}

everywhere! {
    async fn an_ended_run_is_read_from_any_event(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let whole = user.say(session, "Add task: Buy milk").await;
        let run = whole.run_id();
        for after in 0..=whole.events.len() {
            let rest = resume(&user, run, &after.to_string(), after).await.finish().await;
            // A reader that has all events gets the terminal event again.
            let from = after.min(whole.events.len() - 1);
            assert_eq!(rest.events, whole.events[from..], "after {after}");
            assert!(rest.done);
            assert_eq!(rest.headers["x-run-id"], run.to_string().as_str());
        }
        let path = format!("/api/v1/chatkit/runs/{run}/events");
        let both = user.request(Method::GET, &format!("{path}?after=3")).header("last-event-id", format!("{run}:5"));
        assert_eq!(
            Sse::open(both).await.unwrap().finish().await.events,
            whole.events[5..],
            "the header is the later one"
        );
        let empty = user.request(Method::GET, &path).header("last-event-id", "");
        assert_eq!(Sse::open(empty).await.unwrap().finish().await.events, whole.events);
        for bad in
            ["x", "-1", "1.5", &format!("{}:1", Uuid::now_v7()), &format!("{run}:"), &format!("{run}:999"), "999"]
        {
            let reply = read(user.request(Method::GET, &path).header("last-event-id", bad)).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains("after"), "{bad}: {}", reply.text);
        }
    }

    async fn an_active_run_has_many_readers_on_all_transports(setup: Setup) {
        let upstream = Upstream::start().await;
        let (first, second) = (Gate::closed(), Gate::closed());
        let script =
            Script::stream().words(&["a", "b", "c"]).stop(&first).words(&["d", "e"]).stop(&second).words(&["f"]);
        upstream.queue(script.done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut starter = user.start(session, "Spell").await.unwrap();
        let run = starter.run_id();
        while starter.text() != "abc" {
            starter.next().await.unwrap();
        }
        let so_far = starter.events.len();
        let mut readers = Vec::new();
        for after in 0..=so_far {
            readers.push((after, resume(&user, run, &after.to_string(), after).await));
        }
        first.open();
        while starter.text() != "abcde" {
            starter.next().await.unwrap();
        }
        for after in [0, so_far, starter.events.len()] {
            readers.push((after, resume(&user, run, &after.to_string(), after).await));
        }
        second.open();
        let whole = starter.finish().await;
        assert_eq!(whole.text(), "abcdef");
        assert_eq!(whole.seqs(), (1..=whole.events.len() as u64).collect::<Vec<_>>());
        for (after, reader) in readers {
            let reader = reader.finish().await;
            assert_eq!(reader.events, whole.events[after..], "after {after}: no gap, nothing twice");
            assert!(reader.done);
        }
        assert_eq!(upstream.requests().len(), 1);
    }

    async fn a_disconnected_reader_does_not_stop_the_run(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Still"]).stop(&gate).words(&[" here"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Are you there?").await.unwrap();
        stream.until("thread.item.content.part.delta").await;
        let (run, cursor) = (stream.run_id(), stream.events.last().unwrap().0.clone().unwrap());
        drop(stream);
        assert_eq!(user.run(run).await["status"], "running");
        let back = user.follow(run, Some(&cursor)).await.unwrap();
        gate.open();
        let back = back.finish().await;
        assert_eq!((back.text().as_str(), &back.terminal()["type"]), (" here", &json!("run.completed")));
        assert_eq!(user.history(session).await["messages"][1]["content"][0]["text"], "Still here");
        assert_eq!(upstream.aborted(), 0);
    }
}

serve_and_split! {
    async fn a_client_that_waits_for_one_document_can_disconnect(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Still"]).stop(&gate).words(&[" here"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let request = user.request(Method::POST, &Client::runs_path(session)).json(&Client::message("Hello"));
        let waiting = tokio::spawn(read(request.header("accept", "application/json")));
        crate::support::eventually("the model is asked", || async { (!upstream.requests().is_empty()).then_some(()) })
            .await;
        waiting.abort();
        let _ = waiting.await;
        gate.open();
        let history = crate::support::eventually("the answer is kept", || async {
            Some(user.history(session).await).filter(|history| history["messages"].as_array().unwrap().len() == 2)
        })
        .await;
        assert_eq!(history["messages"][1]["content"][0]["text"], "Still here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_sends_comments() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["So"]).stop(&gate).done("stop"));
    let app = Setup::new().await.upstream(&upstream).with("AGENT_TIMEOUT_SECONDS", 60).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut stream = user.start(session, "Hello").await.unwrap();
    stream.until("thread.item.content.part.delta").await;
    // A comment comes after fifteen seconds; nothing else arrives until then.
    let waited = tokio::time::timeout(std::time::Duration::from_secs(17), stream.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(stream.comments, 1);
    gate.open();
    assert_eq!(stream.finish().await.terminal()["type"], "run.completed");
}
