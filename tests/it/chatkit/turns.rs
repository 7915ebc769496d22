//! Turns that begin otherwise than with a message, as the front ends ask for them.

use crate::everywhere;
use crate::support::{Client, Script, Sse, Upstream};
use serde_json::{Value, json};

fn types(stream: &Sse) -> Vec<&str> {
    let types = stream.types();
    types.into_iter().filter(|kind| *kind != "thread.item.updated").collect()
}

async fn stream(user: &Client, kind: &str, params: Value) -> Sse {
    user.chatkit_stream(kind, params).await.unwrap_or_else(|reply| panic!("{kind}: {}", reply.text)).finish().await
}

everywhere! {
    async fn all_ways_to_start_a_run_work_at_the_endpoint(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream
            .queue(Script::calls(&[("list_tasks", json!({}))]))
            .queue(Script::says(&["Old"]))
            .queue(Script::calls(&[("ask_user", json!({"questions": [{"question": "Which?"}]}))]))
            .queue(Script::says(&["That"]));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let task = user.post("/api/v1/tasks", &json!({"title": "Milk"})).await.data()["id"].clone();
        let first = stream(&user, "threads.create", json!({"input": Client::chatkit_input("Hello")})).await;
        let thread = first.events[0].1["thread"]["id"].clone();
        let item = |stream: &Sse, kind: &str| {
            let done = stream.events.iter().filter(|(_, event)| event["type"] == "thread.item.done");
            done.map(|(_, event)| event["item"].clone()).find(|item| item["type"] == kind).unwrap()
        };
        let widget = item(&first, "widget");
        let click = |task: &Value| json!({"type": "tasks.complete", "payload": {"task_id": task}});

        let acted = stream(&user, "threads.custom_action", json!({"thread_id": thread, "item_id": widget["id"], "action": click(&task)})).await;
        assert_eq!(types(&acted), ["stream_options", "thread.item.added", "thread.item.replaced", "thread.item.done"]);
        let other = user.post("/api/v1/tasks", &json!({"title": "Bread"})).await.data()["id"].clone();
        let synced = user.chatkit("threads.sync_custom_action", json!({"thread_id": thread, "item_id": widget["id"], "action": click(&other)})).await;
        assert_eq!((synced.status, &synced.body), (200, &json!({})), "a task that the widget does not show");
        assert_eq!(user.get("/api/v1/tasks?status=pending").await.data(), &json!([]));

        let message = item(&first, "user_message")["id"].clone();
        let asked = stream(&user, "threads.retry_after_item", json!({"thread_id": thread, "item_id": message})).await;
        let removed = types(&asked).iter().filter(|kind| **kind == "thread.item.removed").count();
        assert_eq!(removed, 4, "a workflow, a widget, an answer and the action's workflow: {:?}", types(&asked));
        let questions = item(&asked, "structured_input");
        let input = json!({"status": "answered", "answers": {"q1": {"values": ["This"], "skipped": false}}});
        let answered = stream(&user, "threads.add_structured_input", json!({"thread_id": thread, "item_id": questions["id"], "input": input})).await;
        assert_eq!(types(&answered)[..2], ["stream_options", "thread.item.replaced"]);
        let refused = user.chatkit("threads.add_client_tool_output", json!({"thread_id": thread, "result": null})).await;
        assert_eq!((refused.status, &refused.body["error"]["code"]), (409, &json!("CONFLICT")), "{}", refused.text);

        let answer = item(&answered, "assistant_message")["id"].clone();
        let given = user.chatkit("items.feedback", json!({"thread_id": thread, "item_ids": [answer], "kind": "positive"})).await;
        assert_eq!((given.status, &given.body), (200, &json!({})));
        let feedback = user.get(&format!("/api/v1/chatkit/sessions/{}/feedback", thread.as_str().unwrap())).await;
        assert_eq!(feedback.data()[0]["item_id"], answer);
    }
}
