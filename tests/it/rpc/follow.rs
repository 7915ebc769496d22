//! `threads.subscribe`: a conversation over a WebSocket, run after run.

use super::{Wire, input, nobody_panicked, refusal};
use crate::everywhere;
use crate::support::{Client, Gate, Script, Setup, Socket, Upstream, token};
use serde_json::{Value, json};
use uuid::Uuid;

/// What a notification of `thread.event` carries.
async fn next(socket: &mut Socket, subscription: &Value) -> Value {
    let mut message = socket.notification(subscription, "thread.event").await;
    message["params"]["result"].take()
}

/// Reads on up to an event of this type, that one included.
async fn until(socket: &mut Socket, subscription: &Value, kind: &str) -> Vec<Value> {
    let mut notes = Vec::new();
    loop {
        let note = next(socket, subscription).await;
        let found = note["event"]["type"] == kind;
        notes.push(note);
        if found {
            return notes;
        }
    }
}

/// Returns all events of a run, from its own subscription, in the form of a thread's notifications.
async fn run_of(user: &Client, run: &Value) -> Vec<Value> {
    let events = user.socket().await.follow(run.as_str().unwrap(), None).await;
    events.into_iter().map(|(seq, event)| json!({"run_id": run, "seq": seq, "event": event})).collect()
}

/// Sends a message. Returns the id of its run.
async fn say(user: &Client, thread: &Value, text: &str) -> Value {
    user.rpc_ok("threads.add_user_message", json!({"thread_id": thread, "input": input(text)})).await["id"].clone()
}

fn cursor(note: &Value) -> Value {
    json!(format!("{}:{}", note["run_id"].as_str().unwrap(), note["seq"]))
}

everywhere! {
    async fn all_runs_arrive_completely_and_in_order(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream.queue(Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let begun = user.rpc_ok("threads.create", json!({"input": input("Count")})).await;
        let (thread, first) = (begun["thread"]["id"].clone(), begun["run"]["id"].clone());
        let mut socket = user.socket().await;
        let early = socket.ok("threads.subscribe", json!({"thread_id": thread})).await;
        gate.open();
        let mut seen = until(&mut socket, &early, "run.completed").await;
        let mut expected = run_of(&user, &first).await;
        assert_eq!(seen, expected, "the run that answers comes from its beginning");
        for text in ["And on", "And on"] {
            let run = say(&user, &thread, text).await;
            seen.extend(until(&mut socket, &early, "run.completed").await);
            expected.extend(run_of(&user, &run).await);
        }
        assert_eq!(seen, expected);

        // Behind any event of any run, on a socket that has others too.
        for at in [0, 3, expected.len() / 2, expected.len() - 2] {
            let params = json!({"thread_id": thread, "after": cursor(&expected[at])});
            let back = socket.ok("threads.subscribe", params).await;
            for note in &expected[at + 1..] {
                assert_eq!(next(&mut socket, &back).await, *note, "after {at}");
            }
            assert_eq!(socket.ok("threads.unsubscribe", json!({"subscription": back})).await, json!(true));
        }
        let snapshot = socket.ok("threads.subscribe", json!({"thread_id": thread, "snapshot": true})).await;
        let note = next(&mut socket, &snapshot).await;
        assert_eq!((&note["seq"], &note["event"]["type"]), (&json!(0), &json!("thread.snapshot")));
        assert!(note.get("run_id").is_none(), "{note}");
        let shown = user.rpc_ok("threads.get_by_id", json!({"thread_id": thread, "limit": 1000})).await;
        assert_eq!(note["event"]["thread"], shown);

        user.rpc_ok("threads.delete", json!({"thread_id": thread})).await;
        for subscription in [&early, &snapshot] {
            let note = next(&mut socket, subscription).await;
            assert_eq!(note, json!({"seq": 0, "event": {"type": "thread.deleted", "thread_id": thread}}));
        }
        socket.ok("auth.me", json!({})).await;
        assert!(socket.kept().is_empty(), "{:?}", socket.kept());
        nobody_panicked(&app);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_followed_without_a_gap() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let thread = user.rpc_ok("threads.create", json!({})).await["thread"]["id"].clone();
    let (mut socket, mut writer) = (user.socket().await, user.socket().await);
    let followed = socket.ok("threads.subscribe", json!({"thread_id": thread})).await;
    let mut started = Vec::new();
    for turn in 0..40 {
        let text = input(if turn % 2 == 0 { "Add task: Buy milk" } else { "Hello" });
        let run = writer.ok("threads.add_user_message", json!({"thread_id": thread, "input": text})).await;
        // As soon as it has ended the next begins: a reader is then often still in the one before.
        writer.follow(run["id"].as_str().unwrap(), None).await;
        started.push(run["id"].clone());
    }
    let mut seen: Vec<Value> = Vec::new();
    while seen.last() != started.last() {
        let notes = until(&mut socket, &followed, "run.completed").await;
        assert!(notes.iter().zip(1..).all(|(note, seq)| note["seq"] == seq), "numbered without a gap");
        assert!(notes.iter().all(|note| note["run_id"] == notes[0]["run_id"]));
        seen.push(notes[0]["run_id"].clone());
    }
    assert_eq!(seen, started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_its_owners() {
    let app = Setup::new().await.with("MAX_STREAMS_PER_USER", 2).start().await;
    let (user, stranger) = (app.user().await, app.user().await);
    let begun = user.rpc_ok("threads.create", json!({"input": input("Hello")})).await;
    let (thread, run) = (begun["thread"]["id"].clone(), begun["run"]["id"].as_str().unwrap().to_owned());
    let theirs = stranger.rpc_ok("threads.create", json!({})).await["thread"]["id"].clone();
    user.socket().await.follow(&run, None).await;

    let mut socket = stranger.socket().await;
    let answer = socket.call("threads.subscribe", json!({"thread_id": thread})).await;
    refusal(&answer, -32003, "FORBIDDEN");
    let answer = socket.call("threads.subscribe", json!({"thread_id": Uuid::now_v7()})).await;
    refusal(&answer, -32004, "THREAD_NOT_FOUND");
    for after in [format!("{run}:1"), "x".to_owned(), String::new(), run.clone()] {
        let answer = socket.call("threads.subscribe", json!({"thread_id": theirs, "after": after})).await;
        assert!(refusal(&answer, -32602, "INVALID_REQUEST").contains("`after`"), "{after}");
    }
    let mut post = Wire::Post(user.clone());
    post.refused("threads.subscribe", json!({"thread_id": thread}), -32602, "INVALID_REQUEST").await;

    // Refused streams use no slot; open ones do, of both kinds, and free it at their end.
    let mut socket = user.socket().await;
    let one = socket.ok("threads.subscribe", json!({"thread_id": thread})).await;
    socket.ok("threads.subscribe", json!({"thread_id": thread, "after": format!("{run}:1")})).await;
    for (method, params) in
        [("threads.subscribe", json!({"thread_id": thread})), ("runs.subscribe", json!({"run_id": run}))]
    {
        let answer = socket.call(method, params).await;
        assert!(refusal(&answer, -32029, "RATE_LIMITED").contains('2'), "{answer}");
        assert!(answer["error"]["data"]["retry_after"].as_u64().unwrap() > 0);
    }
    socket.ok("threads.unsubscribe", json!({"subscription": one})).await;
    crate::support::eventually("a place is free again", || async {
        let mut other = user.socket().await;
        let answer = other.call("runs.subscribe", json!({"run_id": run})).await;
        answer.get("result").is_some().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_token_ends_the_subscription() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let thread = user.rpc_ok("threads.create", json!({})).await["thread"]["id"].clone();
    let mut socket = user.with_token(token::mint(user.user_id.unwrap(), 2)).socket().await;
    let subscription = socket.ok("threads.subscribe", json!({"thread_id": thread})).await;
    let note = next(&mut socket, &subscription).await;
    assert_eq!((&note["seq"], &note["event"]["type"]), (&json!(0), &json!("error")));
    // The end of the subscription is announced as well.
    let closed = socket.notification(&subscription, "thread.event").await;
    assert!(closed["params"]["error"].is_string() || closed["params"]["error"].is_object(), "{closed}");
}
