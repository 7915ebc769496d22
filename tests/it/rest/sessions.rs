//! `/api/v1/chatkit/sessions`: sessions, and a whole conversation.

use crate::everywhere;
use crate::support::Setup;
use serde_json::{Value, json};
use uuid::Uuid;

const SESSIONS: &str = "/api/v1/chatkit/sessions";

fn ids(list: &Value) -> Vec<Uuid> {
    list.as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap().parse().unwrap()).collect()
}

everywhere! {
    async fn a_message_is_answered_and_its_task_created(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let created = user.post(SESSIONS, &json!({})).await;
        assert_eq!(created.status, 200);
        let (id, made) = (created.data()["id"].clone(), created.data()["created_at"].clone());
        assert_eq!(created.data(), &json!({"id": id, "user_id": user.user_id, "created_at": made}));
        let session: Uuid = id.as_str().unwrap().parse().unwrap();
        assert_eq!(session.get_version_num(), 7);
        assert!(made.as_str().unwrap().ends_with('Z'));
        for _ in 0..2 {
            let thread = user.post(&format!("{SESSIONS}/{session}/threads"), &json!({})).await;
            assert_eq!(thread.data(), &json!({"id": id, "session_id": id, "created_at": made}));
        }
        let fresh = user.history(session).await;
        assert_eq!((&fresh["title"], &fresh["messages"]), (&json!("New Chat"), &json!([])));

        let answer = user.say(session, "Add task: Buy milk").await;
        let run = answer.run_id();
        for (name, value) in
            [("content-type", "text/event-stream"), ("cache-control", "no-cache"), ("x-accel-buffering", "no")]
        {
            assert_eq!(answer.headers[name], value);
        }
        let numbers: Vec<Option<String>> = (1..=answer.events.len()).map(|seq| Some(format!("{run}:{seq}"))).collect();
        assert_eq!(answer.events.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), numbers);
        let terminal = answer.terminal();
        assert_eq!((&terminal["type"], &terminal["run"]["status"]), (&json!("run.completed"), &json!("completed")));
        assert_eq!(terminal["run"]["id"], json!(run));
        assert_eq!(terminal["run"]["last_seq"], json!(answer.events.len()));
        let ends = answer.types().into_iter().filter(|kind| kind.starts_with("run.")).count();
        assert_eq!(ends, 1, "one event says how the run ended");

        // The deltas together are the message.
        assert!(answer.deltas().len() > 3, "{:?}", answer.deltas());
        for (_, delta) in answer.events.iter().filter(|(_, event)| event["type"] == "thread.item.content.part.delta") {
            assert_eq!(
                delta.as_object().unwrap().keys().collect::<Vec<_>>(),
                ["content_index", "delta", "item_id", "type"]
            );
        }
        let said =
            answer.events.iter().rfind(|(_, event)| event["item"]["type"] == "assistant_message").unwrap().1.clone();
        assert_eq!(said["type"], "thread.item.done");
        assert_eq!(said["item"]["content"][0]["text"], json!(answer.text()));

        // An active tool call is a workflow with a task.
        let workflow = answer
            .events
            .iter()
            .find(|(_, event)| event["type"] == "thread.item.done" && event["item"]["type"] == "workflow");
        let steps = &workflow.unwrap().1["item"]["workflow"]["tasks"];
        assert_eq!(steps, &json!([{"type": "custom", "status_indicator": "complete", "title": "Added \"Buy milk\""}]));

        let tasks = user.get("/api/v1/tasks").await;
        assert_eq!(tasks.data().as_array().unwrap().len(), 1);
        assert_eq!(tasks.data()[0]["title"], "Buy milk");

        let history = user.history(session).await;
        assert_eq!(history["title"], "Add task: Buy milk");
        assert_eq!(history["user_id"], json!(user.user_id));
        let [asked, answered] = history["messages"].as_array().unwrap().as_slice() else { panic!("{history}") };
        assert_eq!((&asked["role"], &asked["tool_calls"]), (&json!("user"), &Value::Null));
        assert_eq!(asked["content"], json!([{"type": "input_text", "text": "Add task: Buy milk"}]));
        assert_eq!((&answered["role"], &answered["finish_reason"]), (&json!("assistant"), &json!("stop")));
        assert!(asked.get("finish_reason").is_none(), "{asked}");
        assert_eq!(answered["content"], json!([{"type": "text", "text": answer.text()}]));
        let [call] = answered["tool_calls"].as_array().unwrap().as_slice() else { panic!("{answered}") };
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("add_task")));
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments["title"], "Buy milk");
        let result: Value = serde_json::from_str(call["result"].as_str().unwrap()).unwrap();
        assert_eq!(result["task"]["id"], tasks.data()[0]["id"]);
        assert!(asked["created_at"].as_str().unwrap() < answered["created_at"].as_str().unwrap());
    }

    async fn the_first_message_is_the_title_of_an_unnamed_session(setup: Setup) {
        let app = setup.with("MAX_MESSAGE_CHARS", 0).start().await;
        let user = app.user().await;
        let title = |session: Uuid| {
            let user = user.clone();
            async move { user.history(session).await["title"].as_str().unwrap().to_owned() }
        };
        let long = user.session().await;
        user.say(long, &"ä🥛".repeat(80)).await.terminal();
        assert_eq!(title(long).await, "ä🥛".repeat(50), "a hundred characters");
        user.say(long, "and more").await.terminal();
        assert_eq!(title(long).await, "ä🥛".repeat(50), "the first message only");

        let named = user.session().await;
        let path = format!("{SESSIONS}/{named}");
        let renamed = user.patch(&path, &json!({"title": " Groceries "})).await;
        assert_eq!(renamed.data()["title"], "Groceries");
        let fields: Vec<_> = renamed.data().as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["created_at", "id", "message_count", "title", "updated_at", "user_id"]);
        user.say(named, "Hello").await.terminal();
        assert_eq!(title(named).await, "Groceries");
        for bad in [
            json!({"title": ""}),
            json!({"title": " "}),
            json!({"title": "x".repeat(201)}),
            json!({"title": 1}),
            json!({}),
        ] {
            let reply = user.patch(&path, &bad).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains("title"), "{bad}: {}", reply.text);
        }
        assert_eq!(title(named).await, "Groceries");
    }

    async fn sessions_are_listed_last_used_first_page_by_page(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let mut sessions = Vec::new();
        for _ in 0..5 {
            sessions.push(user.session().await);
        }
        user.say(sessions[1], "Hello").await.terminal();
        user.patch(&format!("{SESSIONS}/{}", sessions[3]), &json!({"title": "Renamed"})).await.data();
        let expected = [3, 1, 4, 2, 0].map(|index| sessions[index]);

        let whole = user.get(SESSIONS).await;
        assert_eq!(ids(whole.data()), expected);
        assert_eq!(whole.body["meta"], json!({"total": 5, "has_more": false, "after": null}));
        let counts: Vec<_> =
            whole.data().as_array().unwrap().iter().map(|session| session["message_count"].clone()).collect();
        assert_eq!(counts, [0, 2, 0, 0, 0]);
        let fields: Vec<_> = whole.data()[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["created_at", "id", "message_count", "title", "updated_at", "user_id"]);

        let mut seen = Vec::new();
        let mut path = format!("{SESSIONS}?limit=2");
        for page in 0.. {
            let reply = user.get(&path).await;
            seen.extend(ids(reply.data()));
            let meta = reply.body["meta"].clone();
            assert_eq!(meta["total"], 5);
            if page == 0 {
                // A session that is used between two pages moves to the front, and is not listed twice.
                user.say(sessions[3], "Hello").await.terminal();
            }
            let Some(after) = meta["after"].as_str() else {
                assert_eq!(meta["has_more"], false);
                break;
            };
            path = format!("{SESSIONS}?limit=2&after={after}");
        }
        assert_eq!(seen, expected);

        for (query, names) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("after=x", "after"),
            ("after=-300000000000000000_0199e0f0-0000-7000-8000-000000000001", "after"),
            ("order=up", "order"),
            ("offset=1", "offset"),
        ] {
            let reply = user.get(&format!("{SESSIONS}?{query}")).await;
            assert!(reply.fails(400, "INVALID_REQUEST").contains(names), "{query}: {}", reply.text);
        }
        let other = app.user().await;
        assert_eq!(other.get(SESSIONS).await.body["meta"]["total"], 0);
    }

    async fn deleting_a_session_deletes_all_of_it(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let (session, kept) = (user.session().await, user.session().await);
        let run = user.say(session, "Add task: Buy milk").await.run_id();
        let kept_run = user.say(kept, "Hello").await.run_id();
        let path = format!("{SESSIONS}/{session}");
        let deleted = user.delete(&path).await;
        assert_eq!(deleted.status, 200);
        assert_eq!(deleted.data(), &json!({"id": session, "session_id": session, "deleted": true}));

        user.delete(&path).await.fails(404, "SESSION_NOT_FOUND");
        user.get(&path).await.fails(404, "SESSION_NOT_FOUND");
        user.get(&format!("{path}/items")).await.fails(404, "SESSION_NOT_FOUND");
        user.post(&format!("{path}/threads"), &json!({})).await.fails(404, "SESSION_NOT_FOUND");
        user.say_in_vain(session, "Hello?").await.fails(404, "SESSION_NOT_FOUND");
        user.get(&format!("/api/v1/chatkit/runs/{run}")).await.fails(404, "RUN_NOT_FOUND");
        user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await.fails(404, "RUN_NOT_FOUND");
        assert_eq!(user.follow(run, None).await.err().expect("no events of a run that is gone").status, 404);
        let list = user.get(SESSIONS).await;
        assert_eq!(ids(list.data()), [kept]);
        assert_eq!(list.body["meta"]["total"], 1);
        assert_eq!(user.run(kept_run).await["status"], "completed");
        assert_eq!(user.get("/api/v1/tasks").await.data().as_array().unwrap().len(), 1, "tasks are the user's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_session_is_read_in_pages() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let session = user.session().await;
    for text in ["Add task: one", "Hello", "Add task: two"] {
        user.say(session, text).await.terminal();
    }
    let whole = user.get(&format!("{SESSIONS}/{session}")).await;
    assert_eq!(whole.body.get("meta"), None, "nothing is missing");
    assert_eq!(whole.data()["messages"].as_array().unwrap().len(), 6);

    let mut messages = Vec::new();
    let mut path = format!("{SESSIONS}/{session}?limit=3");
    loop {
        let page = user.get(&path).await;
        messages.extend(page.data()["messages"].as_array().unwrap().iter().map(|message| message["id"].clone()));
        let Some(after) = page.body["meta"]["after"].as_str() else { break };
        path = format!("{SESSIONS}/{session}?limit=3&after={after}");
    }
    let all: Vec<_> =
        whole.data()["messages"].as_array().unwrap().iter().map(|message| message["id"].clone()).collect();
    assert_eq!(messages, all);
    for query in ["limit=0", "limit=1001", "include_tool_calls=false", "order=desc"] {
        user.get(&format!("{SESSIONS}/{session}?{query}")).await.fails(400, "INVALID_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_thread_id_is_not_the_sessions() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let (one, two) = (user.session().await, user.session().await);
    let path = format!("{SESSIONS}/{one}/threads/{two}/runs");
    let reply = user.post(&path, &crate::support::Client::message("Hello")).await;
    reply.fails(404, "THREAD_NOT_FOUND");
    assert_eq!(user.history(one).await["messages"], json!([]));
    // A UUID is the same in capitals.
    let path = format!("{SESSIONS}/{}", one.to_string().to_uppercase());
    assert_eq!(user.get(&path).await.data()["id"], json!(one));
}
