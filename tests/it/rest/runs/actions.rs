//! Widgets and their actions.

use crate::everywhere;
use crate::support::{Client, Gate, Reply, Script, Sse, Upstream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

fn act(user: &Client, session: Uuid, path: &str, body: &Value) -> RequestBuilder {
    user.request(Method::POST, &format!("/api/v1/chatkit/sessions/{session}/threads/{session}/{path}")).json(body)
}

fn complete(item: &Value, task: &Value) -> Value {
    json!({"item_id": item, "action": {"type": "tasks.complete", "payload": {"task_id": task}}})
}

async fn refused(request: RequestBuilder) -> Reply {
    match Sse::open(request).await {
        Ok(stream) => panic!("a stream: {:?}", stream.finish().await.types()),
        Err(reply) => reply,
    }
}

async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().clone()
}

async fn widget(user: &Client, session: Uuid) -> Value {
    items(user, session).await.into_iter().find(|item| item["type"] == "widget").expect("a widget")
}

/// Returns the rows of a list: task, title, and action.
fn rows(widget: &Value) -> Vec<(&Value, &Value, &Value)> {
    assert_eq!(widget["widget"]["type"], "ListView", "{widget}");
    let rows = widget["widget"]["children"].as_array().unwrap().iter();
    rows.map(|row| (&row["key"], &row["children"][1]["value"], &row["onClickAction"])).collect()
}

/// Creates a session that shows tasks, newest first: two of them are open.
async fn shown(user: &Client) -> (Uuid, Value) {
    let session = user.session().await;
    for title in ["Done", "Milk", "Bread"] {
        user.post("/api/v1/tasks", &json!({"title": title})).await.data();
    }
    user.say(session, "Complete done").await.terminal();
    assert!(items(user, session).await.iter().all(|item| item["type"] != "widget"), "what is changed is not shown");
    user.say(session, "Show my tasks").await.terminal();
    (session, widget(user, session).await)
}

async fn open_titles(user: &Client) -> Vec<Value> {
    let tasks = user.get("/api/v1/tasks?status=pending").await;
    tasks.data().as_array().unwrap().iter().map(|task| task["title"].clone()).collect()
}

everywhere! {
    async fn a_task_is_completed_in_its_widget(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let (session, list) = shown(&user).await;
        let before = rows(&list);
        assert_eq!(before.iter().map(|(_, title, _)| *title).collect::<Vec<_>>(), ["Bread", "Milk", "Done"]);
        assert_eq!(before[2].2, &Value::Null, "what is done is done");
        let bread = before[0].0;
        assert_eq!((&before[0].2["type"], &before[0].2["payload"]), (&json!("tasks.complete"), &json!({"task_id": bread})));

        let keyed = || act(&user, session, "actions", &complete(&list["id"], bread)).header("idempotency-key", "click");
        let stream = Sse::open(keyed()).await.unwrap().finish().await;
        assert_eq!(stream.terminal()["type"], "run.completed");
        assert_eq!(stream.terminal()["run"]["tool_calls"][0]["name"], "complete_task");
        assert_eq!(open_titles(&user).await, ["Milk"]);
        let after = widget(&user, session).await;
        assert_eq!((rows(&after)[0].2, rows(&after)[1]), (&Value::Null, before[1]));
        assert_eq!(after["widget"]["children"][0]["children"][0]["name"], "check-circle-filled");
        let told = |kind: &str| stream.events.iter().rfind(|(_, event)| event["type"] == kind).unwrap().1.clone();
        assert_eq!(told("thread.item.replaced")["item"], after);
        let updates = stream.events.iter().filter(|(_, event)| event["item_id"] == list["id"]);
        let updates: Vec<_> = updates.map(|(_, event)| event["update"].clone()).collect();
        assert_eq!(updates, [json!({"type": "widget.root.updated", "widget": after["widget"]})]);
        assert_eq!(Sse::open(keyed()).await.unwrap().finish().await.events, stream.events);
        // So does the same request with the place in the stream that it has started.
        let again = act(&user, session, "actions", &complete(&list["id"], bread));
        let again = Sse::open(again.header("last-event-id", format!("{}:1", stream.run_id()))).await.unwrap();
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.run_id(), stream.run_id());
        assert_eq!(again.finish().await.events, stream.events[1..]);

        let synced = crate::support::client::read(act(&user, session, "sync-actions", &complete(&list["id"], before[1].0))).await;
        assert_eq!(open_titles(&user).await, Vec::<Value>::new());
        assert_eq!(synced.data()["updated_item"], widget(&user, session).await);
        assert!(rows(&widget(&user, session).await).iter().all(|(_, _, action)| action.is_null()));
        let elsewhere = json!({"action": {"type": "tasks.complete", "payload": {"task_id": bread}}});
        let alone = user.rpc_ok("threads.sync_custom_action", json!({"thread_id": session, "action": elsewhere["action"]})).await;
        assert_eq!(alone, json!({}), "without a widget there is none to show");
        // The conversation continues.
        assert_eq!(user.say(session, "Show my tasks").await.terminal()["type"], "run.completed");
    }

    async fn a_widget_can_be_used_while_the_text_below_it_is_streamed(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream
            .queue(Script::calls(&[("list_tasks", json!({}))]))
            .queue(Script::stream().words(&["Here"]).stop(&gate).words(&[" it is"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let task = user.post("/api/v1/tasks", &json!({"title": "Milk"})).await.data()["id"].clone();
        let mut stream = user.start(session, "What is there to do?").await.unwrap();
        stream.until_said("Here").await;
        let told = stream.events.iter().find(|(_, event)| event["item"]["type"] == "widget").unwrap().1.clone();
        assert_eq!(told, json!({"type": "thread.item.done", "item": widget(&user, session).await}));
        let click = act(&user, session, "sync-actions", &complete(&told["item"]["id"], &task));
        let synced = crate::support::client::read(click).await.data()["updated_item"].clone();
        gate.open();
        assert_eq!(stream.finish().await.terminal()["type"], "run.completed");
        assert_eq!((&open_titles(&user).await, &widget(&user, session).await), (&vec![], &synced));
    }

    async fn impossible_requests_are_refused(setup: Setup) {
        let app = setup.start().await;
        let (user, other) = (app.user().await, app.user().await);
        let (session, list) = shown(&user).await;
        let (others, others_list) = shown(&other).await;
        let milk = rows(&list)[1].0;
        let message = &items(&user, session).await[0]["id"];
        for path in ["actions", "sync-actions"] {
            for bad in [
                json!({"item_id": list["id"], "action": {"type": "tasks.explode", "payload": {"task_id": milk}}}),
                json!({"item_id": list["id"], "action": {"type": "tasks.complete"}}),
                json!({"item_id": list["id"], "action": {"type": "tasks.complete", "payload": {"task_id": "\u{0}"}}}),
                json!({"item_id": list["id"], "action": {"type": "tasks.complete", "payload": [milk]}}),
                json!({"item_id": list["id"], "action": {"payload": {"task_id": milk}}}),
                json!({"item_id": list["id"]}),
                complete(message, milk),
                complete(&json!("x"), milk),
            ] {
                refused(act(&user, session, path, &bad)).await.fails(400, "INVALID_REQUEST");
            }
            for stranger in [&others_list["id"], &json!(Uuid::now_v7())] {
                refused(act(&user, session, path, &complete(stranger, milk))).await.fails(404, "ITEM_NOT_FOUND");
            }
            refused(act(&user, others, path, &complete(&others_list["id"], milk))).await.fails(403, "FORBIDDEN");
        }
        // A task of another user is not completed.
        let foreign = complete(&list["id"], rows(&others_list)[1].0);
        refused(act(&user, session, "sync-actions", &foreign)).await.fails(403, "FORBIDDEN");
        let stream = Sse::open(act(&user, session, "actions", &foreign)).await.unwrap().finish().await;
        assert!(stream.types().contains(&"notice"), "{:?}", stream.types());
        assert_eq!((open_titles(&user).await.len(), open_titles(&other).await.len()), (2, 2));
        assert_eq!((widget(&user, session).await, widget(&other, others).await), (list, others_list));
    }
}
