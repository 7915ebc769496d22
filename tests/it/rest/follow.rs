//! `GET /api/v1/chatkit/sessions/{session_id}/events`: the stream of a session over several runs.

use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, Gate, Script, Setup, Sse, Upstream, eventually, token};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Reads to the end of a number of runs.
async fn runs(stream: &mut Sse, count: usize) {
    for _ in 0..count {
        stream.until("run.completed").await;
    }
}

/// Returns the events with an id, which belong to runs.
fn of_runs(stream: &Sse) -> Vec<(String, Value)> {
    stream.events.iter().filter_map(|(id, event)| Some((id.clone()?, event.clone()))).collect()
}

/// Returns the events of several run streams as one list.
fn joined(answers: &[&Sse]) -> Vec<(String, Value)> {
    answers.iter().flat_map(|answer| of_runs(answer)).collect()
}

/// Returns the messages that a client has after a snapshot and the events after it, in order.
fn fold(stream: &Sse) -> Vec<(String, String)> {
    let mut order = Vec::new();
    let mut texts: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut put = |item: &Value| {
        let kind = item["type"].as_str().unwrap();
        if !["user_message", "assistant_message"].contains(&kind) {
            return None;
        }
        let id = item["id"].as_str().unwrap().to_owned();
        let text = item["content"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect();
        if !order.contains(&id) {
            order.push(id.clone());
        }
        Some((id, (kind.trim_end_matches("_message").to_owned(), text)))
    };
    for (_, event) in &stream.events {
        match event["type"].as_str().unwrap() {
            "thread.snapshot" => {
                texts.extend(event["thread"]["items"]["data"].as_array().unwrap().iter().filter_map(&mut put));
            }
            "thread.item.added" | "thread.item.done" => texts.extend(put(&event["item"])),
            "thread.item.content.part.delta" => {
                let (_, text) = texts.get_mut(event["item_id"].as_str().unwrap()).unwrap();
                text.push_str(event["delta"].as_str().unwrap());
            }
            "run.resync" => texts.extend(event["items"]["data"].as_array().unwrap().iter().filter_map(&mut put)),
            _ => {}
        }
    }
    order.iter().map(|id| texts[id].clone()).collect()
}

/// Returns the messages of the session.
async fn told(user: &Client, session: Uuid) -> Vec<(String, String)> {
    let history = user.history(session).await;
    let messages = history["messages"].as_array().unwrap().iter();
    let text = |message: &Value| {
        message["content"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect()
    };
    messages.map(|message| (message["role"].as_str().unwrap().to_owned(), text(message))).collect()
}

everywhere! {
    async fn a_second_screen_gets_all_runs_of_the_first(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream.queue(Script::stream().words(&["one", " two"]).stop(&gate).words(&[" three"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut early = user.follow_session(session, "", None).await.unwrap();
        assert!(!early.headers.contains_key("x-run-id"), "there is no one run");
        assert_eq!(early.headers["cache-control"], "no-cache");
        let mut starter = user.start(session, "Count").await.unwrap();
        while starter.text() != "one two" {
            starter.next().await.unwrap();
        }
        // In the middle of a run: the whole run arrives.
        let mut late = user.follow_session(session, "", None).await.unwrap();
        while early.text() != "one two" || late.text() != "one two" {
            if early.text() != "one two" { early.next().await } else { late.next().await }.unwrap();
        }
        gate.open();
        let first = starter.finish().await;
        let second = user.say(session, "Go on").await;
        let third = user.say(session, "And on").await;
        for stream in [&mut early, &mut late] {
            runs(stream, 3).await;
            assert_eq!(of_runs(stream), joined(&[&first, &second, &third]), "each event once, under its own id");
            assert!(!stream.done && stream.comments > 0, "the end of a run is not the end of the stream");
        }
        let mut idle = user.follow_session(session, "", None).await.unwrap();
        let fourth = user.say(session, "Once more").await;
        runs(&mut idle, 1).await;
        assert_eq!(of_runs(&idle), of_runs(&fourth), "what was over is not told again");
    }

    async fn a_reader_resumes_at_its_position(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.follow_session(session, "", None).await.unwrap();
        let first = user.say(session, "Add task: Buy milk").await;
        runs(&mut stream, 1).await;
        let between = stream.last_id.clone().unwrap();
        drop(stream);
        let missed = [user.say(session, "Add task: Buy bread").await, user.say(session, "List my tasks").await];

        // Between runs: everything since then, and nothing else.
        let mut back = user.follow_session(session, "", Some(&between)).await.unwrap();
        runs(&mut back, 2).await;
        assert_eq!(of_runs(&back), joined(&[&missed[0], &missed[1]]));
        drop(back);
        // Inside each of the runs, at every place.
        let all = joined(&[&first, &missed[0], &missed[1]]);
        for at in (0..all.len() - 1).step_by(3) {
            let query = format!("?after={}", all[at].0);
            let mut back = user.follow_session(session, &query, None).await.unwrap();
            while of_runs(&back).len() < all.len() - at - 1 {
                back.next().await.unwrap();
            }
            assert_eq!(of_runs(&back), all[at + 1..], "after {at}");
        }
        // From the first event of all, and from the last.
        let mut whole = user.follow_session(session, "?after=0", None).await.unwrap();
        runs(&mut whole, 3).await;
        assert_eq!(of_runs(&whole), all);
        let mut back = user.follow_session(session, "", Some(&all.last().unwrap().0)).await.unwrap();
        let next = user.say(session, "Hello").await;
        runs(&mut back, 1).await;
        assert_eq!(of_runs(&back), of_runs(&next), "the end of the last run is not told again");
    }

    async fn a_stream_that_broke_before_its_first_event_misses_nothing(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        for runs_before in 0..2 {
            let session = user.session().await;
            for _ in 0..runs_before {
                user.say(session, "Hello").await;
            }
            let mut stream = user.follow_session(session, "", None).await.unwrap();
            // Its first block has no event, so a short stream is used.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(300), stream.next()).await;
            let cursor = stream.last_id.clone().expect("where the stream begins");
            drop(stream);
            let missed = user.say(session, "Add task: Buy milk").await;
            let mut back = user.follow_session(session, "", Some(&cursor)).await.unwrap();
            runs(&mut back, 1).await;
            assert_eq!(of_runs(&back), of_runs(&missed));
        }
    }

    async fn a_snapshot_and_the_events_after_it_are_the_session(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut from_nothing = user.follow_session(session, "?snapshot=true", None).await.unwrap();
        user.say(session, "First").await;
        upstream.queue(Script::stream().words(&["one", " two"]).stop(&gate).words(&[" three"]).done("stop"));
        let mut starter = user.start(session, "Count").await.unwrap();
        while starter.text() != "one two" {
            starter.next().await.unwrap();
        }
        let mut inside = user.follow_session(session, "?snapshot=true", None).await.unwrap();
        let snapshot = inside.next().await.unwrap();
        assert_eq!((&snapshot["type"], &inside.events[0].0), (&json!("thread.snapshot"), &None), "it has no id");
        assert_eq!(snapshot["thread"]["id"], json!(session));
        gate.open();
        starter.finish().await;
        runs(&mut inside, 1).await;
        runs(&mut from_nothing, 2).await;
        let mut after = user.follow_session(session, "?snapshot=true", None).await.unwrap();
        after.next().await.unwrap();
        user.say(session, "Third").await;
        runs(&mut inside, 1).await;
        runs(&mut from_nothing, 1).await;
        runs(&mut after, 1).await;
        let told = told(&user, session).await;
        assert_eq!(told.len(), 6);
        for stream in [&inside, &from_nothing, &after] {
            assert_eq!(fold(stream), told, "{:?}", stream.types());
        }
        // A snapshot with a cursor: the events continue after the cursor.
        let cursor = of_runs(&from_nothing)[2].0.clone();
        let mut both = user.follow_session(session, "?snapshot=true", Some(&cursor)).await.unwrap();
        assert_eq!(both.next().await.unwrap()["type"], "thread.snapshot");
        runs(&mut both, 3).await;
        assert_eq!(of_runs(&both), of_runs(&from_nothing)[3..]);
    }

    async fn only_the_owner_can_subscribe_to_a_session(setup: Setup) {
        let app = setup.start().await;
        let (user, stranger) = (app.user().await, app.user().await);
        let (session, other) = (user.session().await, user.session().await);
        let run = user.say(session, "Hello").await;
        let path = |session: Uuid| format!("/api/v1/chatkit/sessions/{session}/events");
        stranger.get(&path(session)).await.fails(403, "FORBIDDEN");
        user.get(&path(Uuid::now_v7())).await.fails(404, "SESSION_NOT_FOUND");
        app.anonymous().get(&path(session)).await.fails(401, "UNAUTHORIZED");
        let theirs = stranger.session().await;
        let cursor = format!("{}:1", run.run_id());
        for (who, session, cursor) in [
            (&user, other, cursor.as_str()),
            (&stranger, theirs, &cursor),
            (&user, session, &format!("{}:1", Uuid::now_v7())),
            (&user, session, &format!("{}:999", run.run_id())),
            (&user, session, &format!("{}:", run.run_id())),
            (&user, session, "x"),
            (&user, session, "3"),
        ] {
            let reply = read(who.request(Method::GET, &path(session)).header("last-event-id", cursor)).await;
            let words = reply.fails(400, "INVALID_REQUEST");
            assert!(words.contains("after"), "{cursor}: {words}");
        }
    }

    async fn a_stream_ends_with_the_session(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        for answering in [false, true] {
            let session = user.session().await;
            let stream = user.follow_session(session, "", None).await.unwrap();
            let starter = if answering {
                upstream.queue(Script::stream().words(&["one"]).hang());
                let mut starter = user.start(session, "Count").await.unwrap();
                starter.until("thread.item.content.part.delta").await;
                Some(starter)
            } else {
                None
            };
            user.delete(&format!("/api/v1/chatkit/sessions/{session}")).await.data();
            let stream = stream.finish().await;
            assert!(stream.done);
            let (id, last) = stream.events.last().unwrap();
            assert_eq!((id, last), (&None, &json!({"type": "thread.deleted", "thread_id": session})));
            if starter.is_some() {
                assert!(stream.types().contains(&"run.cancelled"), "{:?}", stream.types());
            }
        }
    }

    async fn a_stream_ends_with_the_token(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let (idle, busy) = (user.session().await, user.session().await);
        upstream.queue(Script::stream().words(&["one"]).hang());
        let mut starter = user.start(busy, "Count").await.unwrap();
        starter.until("thread.item.content.part.delta").await;
        let brief = user.with_token(token::mint(user.user_id.unwrap(), 3));
        let streams = [
            brief.follow_session(idle, "", None).await.unwrap(),
            brief.follow_session(busy, "", None).await.unwrap(),
        ];
        for stream in streams {
            let stream = stream.finish().await;
            assert!(stream.done);
            let last = &stream.events.last().unwrap().1;
            assert_eq!((&last["type"], &last["allow_retry"]), (&json!("error"), &json!(true)));
            assert!(last["message"].as_str().unwrap().contains("token"), "{last}");
        }
    }

    async fn a_user_has_a_maximum_number_of_streams(setup: Setup) {
        let app = setup.with("MAX_STREAMS_PER_USER", 3).start().await;
        let (user, other) = (app.user().await, app.user().await);
        let session = user.session().await;
        let run = user.say(session, "Hello").await.run_id();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(user.follow_session(session, "", None).await.unwrap());
        }
        let path = format!("/api/v1/chatkit/sessions/{session}/events");
        let reply = user.get(&path).await;
        assert!(reply.fails(429, "RATE_LIMITED").contains('3'), "{}", reply.text);
        assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
        user.get(&format!("/api/v1/chatkit/runs/{run}/events")).await.fails(429, "RATE_LIMITED");
        let theirs = other.session().await;
        other.follow_session(theirs, "", None).await.unwrap();
        // A closed stream frees its slot.
        drop(open.pop());
        let again = eventually("a stream that was left is not counted", || async {
            user.follow_session(session, "", None).await.ok()
        })
        .await;
        drop((open, again));
        eventually("nothing is left open", || async {
            let finished = user.follow(run, None).await.ok()?.finish().await;
            finished.done.then_some(())
        })
        .await;
    }

    async fn a_crash_between_is_told(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let first = user.say(session, "Add task: Buy milk").await;
        let second = user.say(session, "Hello").await;
        let app = app.crash_and_restart().await;
        let user = app.anonymous().with_token(user.token.unwrap());
        let cursor = first.events[3].0.clone().unwrap();
        let mut stream = user.follow_session(session, "", Some(&cursor)).await.unwrap();
        runs(&mut stream, 2).await;
        // From the log or from the items: each run arrives to its end, once and in order.
        let ends: Vec<_> = of_runs(&stream).into_iter().filter(|(_, event)| event["type"] == "run.completed").collect();
        let expected = [&first, &second].map(|answer| of_runs(answer).pop().unwrap());
        assert_eq!(ends, expected);
        let third = user.say(session, "Hello again").await;
        runs(&mut stream, 1).await;
        assert!(of_runs(&stream).ends_with(&of_runs(&third)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_keeps_the_stream_when_its_core_is_replaced() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut app = Setup::new().await.split().with("RPC_LISTEN", port).start().await;
    let user = app.user().await;
    let (session, fresh) = (user.session().await, user.session().await);
    user.say(session, "Hello").await;
    let mut streams = Vec::new();
    for session in [session, fresh] {
        streams.push(user.follow_session(session, "?snapshot=true", None).await.unwrap());
    }
    for round in 0..2 {
        if round == 0 {
            app.core().signal("TERM");
            assert_eq!(app.core().exit_code().await, Some(0));
        } else {
            app.core().kill();
        }
        app.start_core().await;
        for (session, stream) in [session, fresh].into_iter().zip(&mut streams) {
            let answer = eventually("the gateway reaches its core", || async {
                Some(user.start(session, "Add task: Buy milk").await.ok()?.finish().await)
            })
            .await;
            runs(stream, 1).await;
            assert!(of_runs(stream).ends_with(&of_runs(&answer)), "{:?}", stream.types());
        }
    }
    for (session, stream) in [session, fresh].into_iter().zip(&streams) {
        assert_eq!(stream.types().iter().filter(|kind| **kind == "thread.snapshot").count(), 1);
        assert_eq!(fold(stream), told(&user, session).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_sends_the_same_events() {
    let Some(setup) = Setup::postgres().await else { return };
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    upstream.queue(Script::stream().words(&["one", " two"]).stop(&gate).words(&[" three"]).done("stop"));
    let app = setup.upstream(&upstream).start().await;
    let mut replica = app.again().start().await;
    let user = app.user().await;
    let there = replica.anonymous().with_token(user.token.clone().unwrap());
    let session = user.session().await;
    let mut idle = there.follow_session(session, "?snapshot=true", None).await.unwrap();
    let mut starter = user.start(session, "Count").await.unwrap();
    while starter.text() != "one two" {
        starter.next().await.unwrap();
    }
    let mut inside = there.follow_session(session, "?snapshot=true", None).await.unwrap();
    while inside.text() != "one two" {
        inside.next().await.unwrap();
    }
    gate.open();
    let first = starter.finish().await;
    // The next run starts at the other replica, and the one after it at the first.
    let second = there.say(session, "Go on").await;
    let third = user.say(session, "And on").await;
    let mut from_first = user.follow_session(session, "?after=0", None).await.unwrap();
    for stream in [&mut idle, &mut inside, &mut from_first] {
        runs(stream, 3).await;
        assert_eq!(of_runs(stream), joined(&[&first, &second, &third]), "each event once, under its own id");
    }
    assert_eq!(fold(&idle), told(&user, session).await);
    assert_eq!(fold(&inside), told(&user, session).await);

    let other = user.session().await;
    let gone = there.follow_session(other, "", None).await.unwrap();
    let begun = std::time::Instant::now();
    user.delete(&format!("/api/v1/chatkit/sessions/{other}")).await.data();
    assert_eq!(gone.finish().await.events.last().unwrap().1["type"], "thread.deleted");
    assert!(begun.elapsed().as_secs() < 10, "it was told, not found out");

    // A replica that stops ends its streams with a hint to reconnect, also in the middle of another replica's run.
    let gate = Gate::closed();
    upstream.queue(Script::stream().words(&["four"]).stop(&gate).words(&[" five"]).done("stop"));
    let mut starter = user.start(session, "Once more").await.unwrap();
    inside.until("thread.item.content.part.delta").await;
    replica.core().signal("TERM");
    let left = inside.finish().await;
    assert!(left.done);
    assert_eq!(left.events.last().unwrap().1["type"], "error");
    assert_eq!(replica.core().exit_code().await, Some(0));
    let mut back = user.follow_session(session, "", left.last_id.as_deref()).await.unwrap();
    gate.open();
    runs(&mut back, 1).await;
    while starter.next().await.is_some() {}
    let both: Vec<_> = of_runs(&left).into_iter().chain(of_runs(&back)).collect();
    assert_eq!(both, joined(&[&first, &second, &third, &starter]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_do_not_delay_a_shutdown() {
    let mut app = Setup::new().await.with("DRAIN_SECONDS", 10).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let stream = user.follow_session(session, "", None).await.unwrap();
    let begun = std::time::Instant::now();
    app.core().signal("TERM");
    let stream = stream.finish().await;
    assert!(stream.done);
    let last = &stream.events.last().unwrap().1;
    assert_eq!((&last["type"], &last["allow_retry"]), (&json!("error"), &json!(true)), "it says to come back");
    assert_eq!(app.core().exit_code().await, Some(0));
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
