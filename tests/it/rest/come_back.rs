//! A client that reads the stream of a `POST` and lost it: it sends the same request with `Last-Event-ID`.

use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, Gate, Script, Sse, Upstream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

fn again(user: &Client, session: Uuid, body: &Value, cursor: &str) -> RequestBuilder {
    user.request(Method::POST, &Client::runs_path(session)).json(body).header("last-event-id", cursor)
}

everywhere! {
    async fn the_same_request_goes_on_after_the_last_event(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream.queue(Script::stream().words(&["One", " two"]).stop(&gate).words(&[" three"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let body = Client::message("Count");
        let mut first = Sse::open(again(&user, session, &body, "")).await.unwrap();
        let seen = first.until_said("One two").await;
        let run = first.run_id();
        drop(first);

        // While the run continues, and no second answer is paid for.
        let mut second = Sse::open(again(&user, session, &body, &format!("{run}:{seen}"))).await.unwrap();
        assert_eq!(second.headers["idempotency-replayed"], "true");
        gate.open();
        second = second.finish().await;
        assert_eq!((second.run_id(), second.text().as_str()), (run, " three"));
        assert_eq!(second.seqs()[0], seen + 1);
        // After its end.
        let third = Sse::open(again(&user, session, &body, &format!("{run}:{seen}"))).await.unwrap().finish().await;
        assert_eq!(third.events, second.events);
        let json = read(again(&user, session, &body, &format!("{run}:{seen}")).header("accept", "application/json")).await;
        assert_eq!(json.data()["content"][0]["text"], "One two three", "a whole message is whole");
        assert_eq!(upstream.requests().len(), 1);
        assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 2);
    }

    async fn a_number_that_no_event_has_is_refused_and_starts_nothing(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let run = user.say(session, "Hello").await.run_id();
        for number in ["1000", "18446744073709551615", "18446744073709551616", "99999999999999999999999999"] {
            let cursor = format!("{run}:{number}");
            let posted = Sse::open(again(&user, session, &Client::message("Hello"), &cursor)).await.err().expect("a refusal");
            let events = user.request(Method::GET, &format!("/api/v1/chatkit/runs/{run}/events"));
            let got = Sse::open(events.header("last-event-id", &cursor)).await.err().expect("a refusal");
            for reply in [posted, got] {
                reply.fails(400, "INVALID_REQUEST");
            }
        }
        assert_eq!(upstream.requests().len(), 1, "no second answer is paid for");
    }

    async fn any_other_request_is_one_of_its_own(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let (user, other) = (app.user().await, app.user().await);
        let session = user.session().await;
        let first = user.say(session, "Hello").await;
        let cursor = format!("{}:2", first.run_id());
        let mut runs = vec![first.run_id()];
        let elsewhere = user.session().await;
        let others = other.session().await;
        let quoting = json!({"message": {"role": "user", "content": [
            {"type": "input_text", "text": "Hello"}, {"type": "input_text", "text": "again"}
        ]}});
        let hello = Client::message("Hello");
        for (what, user, session, body, cursor) in [
            ("another message", &user, session, Client::message("Something else"), cursor.clone()),
            ("more parts", &user, session, quoting, cursor.clone()),
            ("another thread", &user, elsewhere, hello.clone(), cursor.clone()),
            ("another user", &other, others, hello.clone(), cursor.clone()),
            ("no such run", &user, session, hello.clone(), format!("{}:2", Uuid::now_v7())),
            ("no cursor", &user, session, hello.clone(), "17".to_owned()),
            ("no number", &user, session, hello.clone(), format!("{}:x", first.run_id())),
            ("nothing", &user, session, hello, String::new()),
        ] {
            let answer = Sse::open(again(user, session, &body, &cursor)).await;
            let answer = answer.unwrap_or_else(|reply| panic!("{what}: {}", reply.text)).finish().await;
            assert!(!answer.headers.contains_key("idempotency-replayed"), "{what}");
            assert_eq!(answer.seqs()[0], 1, "{what}");
            assert!(!runs.contains(&answer.run_id()), "{what}");
            runs.push(answer.run_id());
        }
        assert_eq!(upstream.requests().len(), runs.len());
        // An idempotency key decides, if there is one.
        let keyed = again(&user, session, &Client::message("Hello"), &cursor).header("idempotency-key", "new");
        assert_ne!(Sse::open(keyed).await.unwrap().finish().await.run_id(), first.run_id());
    }

    async fn so_does_a_retry_and_a_message_of_chatkit(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream.queue(Script::says(&["Once"]));
        let app = setup.upstream(&upstream).with("CHATKIT_CANCEL_GRACE_MS", 600_000).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Hello").await;
        let message = user.history(session).await["messages"][0]["id"].clone();
        let path = Client::runs_path(session).replace("/runs", "/retry");
        let retry = |cursor: &str| {
            user.request(Method::POST, &path).json(&json!({"item_id": message})).header("last-event-id", cursor)
        };
        let first = Sse::open(retry("")).await.unwrap().finish().await;
        let again = Sse::open(retry(&format!("{}:1", first.run_id()))).await.unwrap().finish().await;
        assert_eq!((again.run_id(), again.seqs()[0]), (first.run_id(), 2));

        upstream.queue(Script::stream().words(&["Long"]).stop(&gate).words(&[" answer"]).done("stop"));
        let params = json!({"thread_id": session, "input": Client::chatkit_input("Talk")});
        let mut stream = user.chatkit_stream("threads.add_user_message", params.clone()).await.unwrap();
        while stream.next().await.expect("events")["update"]["delta"] != "Long" {}
        let run = stream.run_id();
        drop(stream);
        let back = user.chatkit_request("threads.add_user_message", params).header("last-event-id", format!("{run}:1"));
        let back = Sse::open(back).await.unwrap();
        gate.open();
        let back = back.finish().await;
        assert_eq!(back.run_id(), run);
        assert!(back.events.iter().any(|(_, event)| event["update"]["delta"] == " answer"), "{:?}", back.events);
        assert_eq!(upstream.requests().len(), 3);
    }

    async fn so_does_a_message_that_was_answered_again(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let first = user.say(session, "Hello").await;
        let message = user.history(session).await["messages"][0]["id"].clone();
        let path = Client::runs_path(session).replace("/runs", "/retry");
        let retry = user.request(Method::POST, &path).json(&json!({"item_id": message}));
        let retried = Sse::open(retry).await.unwrap().finish().await;
        assert_ne!(retried.run_id(), first.run_id());

        let (hello, cursor) = (Client::message("Hello"), format!("{}:2", first.run_id()));
        let back = Sse::open(again(&user, session, &hello, &cursor)).await.unwrap().finish().await;
        assert_eq!((back.run_id(), back.seqs()[0]), (first.run_id(), 3));
        assert_eq!(upstream.requests().len(), 2, "no third answer is paid for");
        assert_eq!(user.history(session).await["messages"].as_array().unwrap().len(), 2);
        // Another message is one of its own, and so is one with the cursor of the retry, which it has not started.
        for (text, cursor) in [("Other", cursor), ("Hello", format!("{}:2", retried.run_id()))] {
            let other = again(&user, session, &Client::message(text), &cursor);
            let other = Sse::open(other).await.unwrap().finish().await;
            assert!(![first.run_id(), retried.run_id()].contains(&other.run_id()), "{text}");
        }
        assert_eq!(upstream.requests().len(), 4);
    }
}
