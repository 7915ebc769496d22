//! Requests of front ends and their responses.

use crate::support::client::read;
use crate::support::{Client, Gate, Script, Sse, Upstream};
use crate::{everywhere, serve_and_split};
use reqwest::Method;
use serde_json::{Value, json};

/// Returns the names of the members in alphabetical order.
fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

const THREAD: [&str; 6] = ["created_at", "id", "items", "metadata", "status", "title"];

/// Returns the types of the events; consecutive deltas count as one.
fn kinds(stream: &Sse) -> Vec<String> {
    let mut kinds: Vec<String> = stream
        .events
        .iter()
        .map(|(_, event)| match event["update"]["type"].as_str() {
            Some(update) => update.to_owned(),
            None => event["type"].as_str().unwrap().to_owned(),
        })
        .collect();
    kinds.dedup_by(|next, kind| next == kind && kind.ends_with("text_delta"));
    kinds
}

fn said(stream: &Sse) -> String {
    stream.events.iter().filter_map(|(_, event)| event["update"]["delta"].as_str()).collect()
}

everywhere! {
    async fn a_whole_conversation(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("Hello there")})).await;
        let stream = stream.unwrap().finish().await;
        assert_eq!(
            kinds(&stream),
            [
                "thread.created",
                "thread.item.done",
                "stream_options",
                "thread.item.added",
                "assistant_message.content_part.added",
                "assistant_message.content_part.text_delta",
                "assistant_message.content_part.done",
                "thread.item.done",
            ]
        );
        assert_eq!(said(&stream), "Hello from upstream.");
        assert!(stream.events.iter().all(|(id, _)| id.is_none()) && !stream.done, "no ids and no [DONE]");
        assert_eq!(user.run(stream.run_id()).await["status"], "completed");
        let thread = &stream.events[0].1["thread"];
        assert_eq!(members(thread), THREAD);
        assert_eq!(thread["metadata"], json!({}));
        let id = thread["id"].clone();

        let stream = user
            .chatkit_stream("threads.add_user_message", json!({"thread_id": id, "input": Client::chatkit_input("And now?")}))
            .await
            .unwrap()
            .finish()
            .await;
        assert_eq!(kinds(&stream)[..3], ["thread.item.done", "stream_options", "thread.item.added"]);
        let answer = stream.events.last().unwrap().1["item"].clone();

        let renamed = user.chatkit("threads.update", json!({"thread_id": id, "title": "Greetings"})).await;
        assert_eq!((renamed.status, members(&renamed.body)), (200, THREAD.to_vec()));
        assert_eq!(renamed.body["title"], "Greetings");

        let got = user.chatkit("threads.get_by_id", json!({"thread_id": id})).await.body;
        assert_eq!(members(&got), THREAD);
        let items = got["items"]["data"].as_array().unwrap();
        let types: Vec<_> = items.iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["user_message", "assistant_message", "user_message", "assistant_message"]);
        assert_eq!(items[3], answer, "what is read later is what was streamed");

        let list = user.chatkit("threads.list", json!({"limit": 9999, "order": "desc"})).await.body;
        assert_eq!((members(&list), &list["has_more"]), (vec!["data", "has_more"], &json!(false)));
        assert_eq!((members(&list["data"][0]), &list["data"][0]["id"]), (THREAD.to_vec(), &id));

        let page = user.chatkit("items.list", json!({"thread_id": id, "limit": 3, "order": "desc"})).await.body;
        assert_eq!(members(&page), ["after", "data", "has_more"]);
        assert_eq!((page["data"].as_array().unwrap().len(), &page["data"][0]), (3, &answer));
        let rest = user.chatkit("items.list", json!({"thread_id": id, "after": page["after"], "order": "desc"})).await;
        assert_eq!(rest.body, json!({"data": [items[0]], "has_more": false}));

        let deleted = user.chatkit("threads.delete", json!({"thread_id": id})).await;
        assert_eq!((deleted.status, deleted.body), (200, json!({})));
        user.chatkit("threads.get_by_id", json!({"thread_id": id})).await.fails(404, "THREAD_NOT_FOUND");
    }

    async fn a_run_that_fails_is_an_event(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::fails(500, &json!({"error": "secret"}))).queue(Script::stream().words(&["Half"]));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("Hello")})).await;
        let stream = stream.unwrap().finish().await;
        assert_eq!(kinds(&stream), ["thread.created", "thread.item.done", "stream_options", "error"]);
        let error = &stream.events.last().unwrap().1;
        assert_eq!((&error["code"], &error["allow_retry"]), (&json!("custom"), &json!(true)));
        assert!(!error["message"].as_str().unwrap().contains("secret"), "{error}");

        let id = stream.events[0].1["thread"]["id"].clone();
        let params = json!({"thread_id": id, "input": Client::chatkit_input("Again")});
        let stream = user.chatkit_stream("threads.add_user_message", params).await.unwrap().finish().await;
        assert_eq!((said(&stream).as_str(), kinds(&stream).last().unwrap().as_str()), ("Half", "error"));
    }

    async fn a_repeated_request_is_executed_once(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let ask = || {
            let request = user.chatkit_request("threads.create", json!({"input": Client::chatkit_input("Once")}));
            Sse::open(request.header("idempotency-key", "k1"))
        };
        let first = ask().await.unwrap().finish().await;
        let again = ask().await.unwrap().finish().await;
        assert_eq!(first.run_id(), again.run_id());
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(first.events, again.events);
        assert_eq!(upstream.requests().len(), 1);
    }
}

serve_and_split! {
    async fn both_paths_are_one_endpoint_and_a_request_counts_once(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).with("RATE_LIMIT_REQUESTS_PER_MINUTE", 1000).start().await;
        let user = app.user().await;
        let request = json!({"type": "threads.create", "params": {"input": Client::chatkit_input("Hello")}});
        let mut left = Vec::new();
        for path in ["/chatkit", "/api/v1/chatkit"] {
            let stream = Sse::open(user.request(Method::POST, path).json(&request)).await.unwrap();
            assert_eq!(stream.headers["content-type"], "text/event-stream");
            left.push(stream.headers["x-ratelimit-remaining"].to_str().unwrap().parse::<i64>().unwrap());
            stream.finish().await;
        }
        // The limit recovers continuously, so the second call can find more than the first one left.
        assert!(left[0] >= 998 && left[1] >= 997, "{left:?}");
        let options = read(user.request(Method::OPTIONS, "/chatkit")).await;
        assert_eq!((options.status, options.header("allow")), (204, "POST, OPTIONS"));
        read(user.request(Method::GET, "/chatkit")).await.fails(405, "METHOD_NOT_ALLOWED");
    }

    async fn tools_at_work_are_a_workflow_and_nothing_hidden_is_shown(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::calls(&[("add_task", json!({"title": "Milk"}))])).queue(Script::says(&["Done."]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("Milk")})).await;
        let stream = stream.unwrap().finish().await;
        let begun = stream.events.iter().find(|(_, event)| event["type"] == "thread.item.added").unwrap();
        let entries: Vec<_> = begun.1["item"]["workflow"]["tasks"].as_array().unwrap().iter().collect();
        assert!(entries.len() == 1 && entries[0]["status_indicator"] == "loading", "it begins with an entry: {entries:?}");
        let kinds = kinds(&stream);
        let updates: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("workflow.")).collect();
        assert_eq!(updates, ["workflow.task.updated"]);
        let id = &stream.events[0].1["thread"]["id"];
        let items = user.chatkit("items.list", json!({"thread_id": id, "order": "asc"})).await;
        let types: Vec<_> =
            items.body["data"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
        assert_eq!(types, ["user_message", "workflow", "assistant_message"]);
        assert!(!items.text.contains("tool_call"), "{}", items.text);
    }

    async fn text_is_streamed(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["Wait"]).stop(&gate).words(&[" for it"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let stream = user.chatkit_stream("threads.create", json!({"input": Client::chatkit_input("Hello")})).await;
        let mut stream = stream.unwrap();
        while said(&stream) != "Wait" {
            assert!(stream.next().await.is_some(), "{:?}", kinds(&stream));
        }
        gate.open();
        assert_eq!(said(&stream.finish().await), "Wait for it");
    }
}
