//! `runs.subscribe`: each subscriber gets each event once and in order.

use super::{Wire, input, refusal};
use crate::support::{App, Client, ENDS_WITH_ITS_PROCESS, Gate, Script, Setup, Upstream};
use serde_json::{Value, json};
use uuid::Uuid;

/// Starts a service whose model sends "one two", waits for the gate, and then sends "three".
async fn gated() -> (App, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    upstream.queue(Script::stream().words(&["one", " two"]).stop(&gate).words(&[" three"]).done("stop"));
    (Setup::new().await.upstream(&upstream).start().await, gate)
}

/// Starts a run. Returns the ids of thread and run.
async fn start(user: &Client) -> (String, String) {
    let begun = user.rpc_ok("threads.create", json!({"input": input("Count")})).await;
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    (id(&begun["thread"]), id(&begun["run"]))
}

fn numbers(events: &[(u64, Value)]) -> Vec<u64> {
    events.iter().map(|(seq, _)| *seq).collect()
}

fn text(events: &[(u64, Value)]) -> String {
    events.iter().filter_map(|(_, event)| event["update"]["delta"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_subscriber_gets_each_event_once() {
    let (app, gate) = gated().await;
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let (mut one, mut two) = (user.socket().await, user.socket().await);
    let first = one.subscribe(&run, None).await;
    let second = one.subscribe(&run, None).await;
    let third = two.subscribe(&run, None).await;
    assert_ne!(first, second, "two subscriptions of one socket have two ids");
    // All subscribers have the first events before the run continues.
    let mut begun = one.event(&first).await;
    while text(std::slice::from_ref(&begun)) != " two" {
        begun = one.event(&first).await;
    }
    gate.open();
    let rest = one.events(&first).await;
    let all = one.events(&second).await;
    assert_eq!(two.events(&third).await, all);
    assert_eq!(rest.as_slice(), &all[all.len() - rest.len()..], "the same events under the same numbers");

    assert_eq!(numbers(&all), (1..=all.len() as u64).collect::<Vec<_>>());
    assert_eq!(text(&all), "one two three");
    let (last, end) = all.last().unwrap();
    assert_eq!((&end["type"], &end["run"]["id"]), (&json!("run.completed"), &json!(run)));
    assert_eq!(end["run"]["last_seq"], *last);
    assert_eq!(all.iter().filter(|(_, event)| event["type"].as_str().unwrap().starts_with("run.")).count(), 1);
    assert_eq!(one.follow(&run, None).await, all, "a run that has ended gives the same events");
    assert!(one.kept().is_empty() && two.kept().is_empty(), "nothing comes after the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_continues_after_the_cursor() {
    let (app, gate) = gated().await;
    gate.open();
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let mut socket = user.socket().await;
    let all = socket.follow(&run, None).await;
    let last = all.len() as u64;
    for after in [0, 1, last - 1] {
        let expected = &all[usize::try_from(after).unwrap()..];
        for cursor in [json!(after), json!(after.to_string()), json!(format!("{run}:{after}"))] {
            assert_eq!(socket.follow(&run, Some(cursor.clone())).await, expected, "after {cursor}");
        }
    }
    assert_eq!(socket.follow(&run, Some(json!(last))).await, &all[all.len() - 1..], "the end is told again");

    let elsewhere = format!("{}:1", Uuid::now_v7());
    for wrong in
        [json!(last + 1), json!(elsewhere), json!(""), json!("x"), json!(-1), json!(1.5), json!([1]), json!(true)]
    {
        let answer = socket.call("runs.subscribe", json!({"run_id": run, "after": wrong})).await;
        let words = refusal(&answer, -32602, "INVALID_REQUEST");
        assert!(words.contains("`after`"), "{wrong}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_unsubscribing_nothing_arrives() {
    let (app, gate) = gated().await;
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let mut socket = user.socket().await;
    let mut subscriptions = Vec::new();
    for _ in 0..4 {
        subscriptions.push(socket.subscribe(&run, None).await);
    }
    let [by_position, by_name, with_fraction, staying] = &subscriptions[..] else { panic!("four") };
    for subscription in &subscriptions {
        while text(&[socket.event(subscription).await]) != " two" {}
    }
    assert_eq!(socket.ok("runs.unsubscribe", json!([by_position])).await, json!(true));
    assert_eq!(socket.ok("runs.unsubscribe", json!({"subscription": by_name})).await, json!(true));
    let fraction = json!({"subscription": with_fraction.as_f64().unwrap()});
    assert_eq!(socket.ok("runs.unsubscribe", fraction).await, json!(true));
    assert_eq!(socket.ok("runs.unsubscribe", json!([by_name])).await, json!(false), "it has ended already");
    for wrong in [json!({}), json!([]), json!({"subscription": staying, "x": 1}), json!([{}])] {
        let answer = socket.call("runs.unsubscribe", wrong).await;
        refusal(&answer, -32602, "INVALID_REQUEST");
    }
    gate.open();
    assert_eq!(text(&socket.events(staying).await), " three");
    // Responses and events are sent in order, so an event would have arrived by now.
    socket.ok("auth.me", json!({})).await;
    assert!(socket.kept().is_empty(), "{:?}", socket.kept());

    // A socket cannot end the subscription of another one.
    let mut other = user.socket().await;
    let theirs = other.subscribe(&run, None).await;
    assert_eq!(socket.ok("runs.unsubscribe", json!([theirs])).await, json!(false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_its_owners() {
    let (app, gate) = gated().await;
    let (user, stranger) = (app.user().await, app.user().await);
    let (thread, run) = start(&user).await;
    let mut socket = stranger.socket().await;
    let answer = socket.call("runs.subscribe", json!({"run_id": run})).await;
    refusal(&answer, -32003, "FORBIDDEN");
    refusal(&stranger.rpc("runs.get", json!({"run_id": run})).await, -32003, "FORBIDDEN");
    refusal(&stranger.rpc("runs.cancel", json!({"run_id": run})).await, -32003, "FORBIDDEN");
    let busy = user.rpc("threads.add_user_message", json!({"thread_id": thread, "input": input("And?")})).await;
    refusal(&busy, -32009, "THREAD_BUSY");
    gate.open();
    let events = user.socket().await.follow(&run, None).await;
    assert_eq!(text(&events), "one two three");
    let answer = socket.call("runs.subscribe", json!({"run_id": run})).await;
    refusal(&answer, -32003, "FORBIDDEN");
    let missing = socket.call("runs.subscribe", json!({"run_id": Uuid::now_v7()})).await;
    refusal(&missing, -32004, "RUN_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_needs_a_socket_and_a_call_of_its_own() {
    let (app, gate) = gated().await;
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let subscribe = |id: Option<u64>| {
        let mut call = json!({"jsonrpc": "2.0", "method": "runs.subscribe", "params": {"run_id": run}});
        if let Some(id) = id {
            call["id"] = json!(id);
        }
        call
    };
    let mut post = Wire::Post(user.clone());
    let words = post.refused("runs.subscribe", json!({"run_id": run}), -32602, "INVALID_REQUEST").await;
    assert!(words.contains("WebSocket"), "{words}");

    let mut socket = user.socket().await;
    socket.send(&json!([subscribe(Some(7))]).to_string()).await;
    let answers = socket.receive().await.unwrap();
    assert_eq!(answers.as_array().map(Vec::len), Some(1), "{answers}");
    refusal(&answers[0], -32602, "INVALID_REQUEST");
    socket.send(&subscribe(None).to_string()).await;
    gate.open();
    socket.follow(&run, None).await;
    socket.ok("auth.me", json!({})).await;
    assert!(socket.kept().is_empty(), "a notification opened a stream: {:?}", socket.kept());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_replaced_by_a_resync() {
    let app = Setup::new().await.with("RUN_EVENTS_RETENTION_MINUTES", "0").start().await;
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let before = user.socket().await.follow(&run, None).await;
    let (last, end) = before.last().cloned().unwrap();
    let mut socket = user.socket().await;
    for after in [None, Some(json!(0)), Some(json!(format!("{run}:{}", last - 2)))] {
        let events = socket.follow(&run, after).await;
        assert_eq!(numbers(&events), [last - 1, last]);
        let (_, resync) = &events[0];
        assert_eq!(resync["type"], "run.resync");
        assert_eq!(resync["run"], end["run"]);
        let kinds: Vec<_> = resync["items"]["data"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert!(kinds.contains(&&json!("assistant_message")), "{kinds:?}");
        assert_eq!(events[1], (last, end.clone()));
    }
    // A subscriber with the resync event, or the event that it replaces, gets only the terminal event.
    for after in [last - 1, last] {
        assert_eq!(socket.follow(&run, Some(json!(after))).await, [(last, end.clone())]);
    }
    let ahead = socket.call("runs.subscribe", json!({"run_id": run, "after": last + 1})).await;
    refusal(&ahead, -32602, "INVALID_REQUEST");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_at_any_position_learn_of_a_crash() {
    let upstream = Upstream::start().await;
    upstream.queue(Script::stream().words(&["one", " two"]).hang());
    let app = Setup::new().await.upstream(&upstream).agents(ENDS_WITH_ITS_PROCESS).start().await;
    let user = app.user().await;
    let (_, run) = start(&user).await;
    let mut socket = user.socket().await;
    let stream = socket.subscribe(&run, None).await;
    let seen = loop {
        let event = socket.event(&stream).await;
        if text(std::slice::from_ref(&event)) == " two" {
            break event.0;
        }
    };
    app.database.logged(run.parse().unwrap(), seen).await;
    let app = app.crash_and_restart().await;
    let user = app.anonymous().with_token(user.token.unwrap());
    let mut socket = user.socket().await;
    let whole = socket.follow(&run, None).await;
    assert_eq!(text(&whole), "one two");
    // A number of the dead process is never used again, also if its event was lost.
    const HEIR: u64 = 1_000_000_000;
    let durable: Vec<_> = (1..=seen).chain([HEIR + 1, HEIR + 2]).collect();
    assert_eq!(numbers(&whole), durable);
    for after in [1, 2, seen, seen + 2, HEIR] {
        let events = socket.follow(&run, Some(json!(after))).await;
        assert!(numbers(&events).iter().eq(durable.iter().filter(|seq| **seq > after)), "after {after}");
        let kinds: Vec<_> = events.iter().rev().take(2).map(|(_, event)| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["run.interrupted", "run.resync"], "after {after}");
    }
}
