//! Retry of a message: the old answer is removed when the new one is stored, and not before.

use crate::everywhere;
use crate::support::client::read;
use crate::support::{Client, ENDS_WITH_ITS_PROCESS, Gate, PATIENCE, Reply, Script, Sse, Upstream};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

fn retry(user: &Client, session: Uuid, item: &Value) -> RequestBuilder {
    let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/retry");
    user.request(Method::POST, &path).json(&json!({"item_id": item}))
}

/// Returns the visible items, oldest first.
async fn items(user: &Client, session: Uuid) -> Vec<Value> {
    let page = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=100")).await;
    page.data().as_array().unwrap().clone()
}

/// The words of the messages, and how many messages the session counts. Calls that led to no message stand among them
/// without words.
async fn said(user: &Client, session: Uuid) -> (Vec<String>, Value) {
    let history = user.history(session).await;
    let messages = history["messages"].as_array().unwrap().iter();
    let texts = messages.filter_map(|message| message["content"][0]["text"].as_str().map(str::to_owned)).collect();
    let sessions = user.get("/api/v1/chatkit/sessions").await.data().clone();
    let of_this = sessions.as_array().unwrap().iter().find(|one| one["id"] == session.to_string()).unwrap().clone();
    (texts, of_this["message_count"].clone())
}

/// Returns the last request to the model: roles and texts.
fn asked(upstream: &Upstream) -> Vec<(String, String)> {
    let request = upstream.requests().pop().unwrap();
    let messages = request["messages"].as_array().unwrap().iter();
    messages
        .map(|message| {
            (message["role"].as_str().unwrap().to_owned(), message["content"].as_str().unwrap_or_default().to_owned())
        })
        .skip(1)
        .collect()
}

fn removed(stream: &Sse) -> Vec<Value> {
    let events = stream.events.iter().filter(|(_, event)| event["type"] == "thread.item.removed");
    events.map(|(_, event)| event["item_id"].clone()).collect()
}

everywhere! {
    async fn a_new_answer_replaces_the_old_one(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        upstream
            .queue(Script::calls(&[("add_task", json!({"title": "Milk"}))]))
            .queue(Script::says(&["Old"]))
            .queue(Script::says(&["Later"]))
            .queue(Script::stream().words(&["Hm"]).event(json!({"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "list_tasks", "arguments": "{}"}}]}), None).done("tool_calls"))
            .queue(Script::stream().words(&["New"]).stop(&gate).words(&["er"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let first = user.say(session, "Milk, please").await.run_id();
        user.say(session, "And then?").await.terminal();
        let before = items(&user, session).await;
        let message = &before[0]["id"];

        let mut stream = Sse::open(retry(&user, session, message)).await.unwrap();
        while stream.text() != "HmNew" {
            stream.next().await.unwrap();
        }
        assert_eq!(items(&user, session).await, before, "there is one answer at any time");
        assert_eq!(said(&user, session).await, (["Milk, please", "Old", "And then?", "Later"].map(String::from).to_vec(), json!(4)));
        gate.open();
        let stream = stream.finish().await;
        assert_eq!(stream.terminal()["type"], "run.completed");
        assert_eq!(stream.terminal()["run"]["retry_of"], *message);
        let old: Vec<Value> = before[1..].iter().map(|item| item["id"].clone()).collect();
        assert_eq!(removed(&stream), old);
        let question = ("user".to_owned(), "Milk, please".to_owned());
        assert_eq!(asked(&upstream)[0], question);
        assert!(asked(&upstream).iter().all(|(_, words)| !words.contains("Old") && !words.contains("then")));

        let after = items(&user, session).await;
        assert_eq!(after[0], before[0]);
        let whole: Vec<Value> = stream.events.iter().filter(|(_, event)| event["type"] == "thread.item.done").map(|(_, event)| event["item"].clone()).collect();
        // The `done` event of a workflow comes at once, that of a message when it is stored.
        let kinds: Vec<_> = after.iter().map(|item| item["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["user_message", "assistant_message", "workflow", "widget", "assistant_message"]);
        assert!(whole.len() == 4 && whole.iter().all(|item| after.contains(item)), "{whole:?}");
        assert_eq!(said(&user, session).await, (["Milk, please", "Hm", "Newer"].map(String::from).to_vec(), json!(3)));
        let calls = user.history(session).await["messages"][2]["tool_calls"].clone();
        assert_eq!(calls[0]["function"]["name"], "list_tasks", "{calls}");

        // The next message follows the new answer.
        upstream.queue(Script::says(&["Good"]));
        user.say(session, "Thanks").await.terminal();
        let words: Vec<_> = asked(&upstream).into_iter().filter(|(role, _)| role != "tool").map(|(_, words)| words).collect();
        assert_eq!(words, ["Milk, please", "Hm", "Newer", "Thanks"]);
        // The events of the first run are unchanged.
        assert_eq!(user.run(first).await["status"], "completed");
        // A client that reads the session from the beginning gets the same items.
        let followed = follow_all(&user, session).await;
        assert_eq!(followed, items(&user, session).await);
    }

    async fn without_a_new_answer_the_old_one_stays(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Old"]));
        let app = setup.upstream(&upstream).with("AGENT_MAX_ATTEMPTS", 1).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Hello").await.terminal();
        let before = items(&user, session).await;
        let message = &before[0]["id"];

        upstream.queue(Script::fails(500, &json!({"error": {"message": "no"}})));
        refused(retry(&user, session, message)).await.fails(502, "UPSTREAM_ERROR");
        assert_eq!(items(&user, session).await, before);

        // It fails after a call has acted and text was emitted.
        upstream
            .queue(Script::stream().words(&["Hm"]).event(json!({"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "add_task", "arguments": "{\"title\":\"Milk\"}"}}]}), None).done("tool_calls"))
            .queue(Script::stream().words(&["Ne"]));
        let failed = Sse::open(retry(&user, session, message)).await.unwrap().finish().await;
        assert_eq!(failed.terminal()["type"], "run.failed");
        assert_eq!(removed(&failed).len(), 3, "two messages and the workflow: {:?}", failed.types());
        assert_eq!(items(&user, session).await, before);

        upstream.queue(Script::stream().words(&["New"]).hang());
        let mut stream = Sse::open(retry(&user, session, message)).await.unwrap();
        stream.until_said("New").await;
        let cancel = format!("/api/v1/chatkit/runs/{}/cancel", stream.run_id());
        assert_eq!(user.post(&cancel, &json!({})).await.data()["status"], "cancelled");
        let stream = stream.finish().await;
        assert_eq!((&stream.terminal()["type"], &stream.terminal()["run"]["message_id"]), (&json!("run.cancelled"), &Value::Null));
        assert_eq!(removed(&stream).len(), 1);
        assert_eq!(items(&user, session).await, before);
        assert_eq!(said(&user, session).await, (["Hello", "Old"].map(String::from).to_vec(), json!(2)));

        // The model gets the old answer, and the calls that were made.
        upstream.queue(Script::says(&["Fine"]));
        user.say(session, "Go on").await.terminal();
        let prompt = asked(&upstream);
        assert_eq!(prompt.iter().map(|(role, _)| role.as_str()).collect::<Vec<_>>(), ["user", "assistant", "tool", "assistant", "user"]);
        // The withdrawn answer leaves a gap: after the result of a call it is the assistant's turn.
        let texts = [1, 3, 4].map(|index: usize| prompt[index].1.as_str());
        assert_eq!(texts, ["Old", "[No answer.]", "Go on"]);
        assert!(prompt[2].1.contains("Milk"), "{prompt:?}");
    }

    async fn a_crash_leaves_the_old_answer(setup: Setup) {
        let upstream = Upstream::start().await;
        upstream.queue(Script::says(&["Old"]));
        let app = setup.upstream(&upstream).agents(ENDS_WITH_ITS_PROCESS).start().await;
        let user = app.user().await;
        let session = user.session().await;
        user.say(session, "Hello").await.terminal();
        let before = items(&user, session).await;
        upstream
            .queue(Script::stream().words(&["Hm"]).event(json!({"tool_calls": [{"index": 0, "id": "call_9", "type": "function", "function": {"name": "add_task", "arguments": "{\"title\":\"Milk\"}"}}]}), None).done("tool_calls"))
            .queue(Script::stream().words(&["New"]).hang());
        let mut stream = Sse::open(retry(&user, session, &before[0]["id"])).await.unwrap();
        let said_at = stream.until_said("HmNew").await;
        let run = stream.run_id();
        app.database.logged(run, said_at).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        // On PostgreSQL its lease must expire first.
        let deadline = std::time::Instant::now() + 3 * PATIENCE;
        while user.run(run).await["status"] == "running" {
            assert!(std::time::Instant::now() < deadline, "the run of a dead process goes on for ever");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(user.run(run).await["status"], "interrupted");
        assert_eq!(items(&user, session).await, before);
        let late = user.follow(run, Some(&format!("{run}:{said_at}"))).await.unwrap().finish().await;
        assert_eq!(late.types(), ["run.resync", "run.interrupted"]);
        assert_eq!(late.events[0].1["items"]["data"], json!([]), "there is nothing of it to be shown");
        // The thread is free, and the same message can be retried.
        upstream.queue(Script::says(&["New"]));
        let again = Sse::open(retry(&user, session, &before[0]["id"])).await.unwrap().finish().await;
        assert_eq!(again.terminal()["type"], "run.completed");
        assert_eq!(said(&user, session).await, (["Hello", "New"].map(String::from).to_vec(), json!(2)));
    }

    async fn impossible_retries_are_refused(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let (user, other) = (app.user().await, app.user().await);
        let (session, elsewhere, others) = (user.session().await, user.session().await, other.session().await);
        for (who, session) in [(&user, session), (&user, elsewhere), (&other, others)] {
            who.say(session, "Hello").await.terminal();
        }
        let own = items(&user, session).await;
        for stranger in [&items(&user, elsewhere).await[0]["id"], &items(&other, others).await[0]["id"], &json!(Uuid::now_v7())] {
            refused(retry(&user, session, stranger)).await.fails(404, "ITEM_NOT_FOUND");
        }
        refused(retry(&user, others, &items(&other, others).await[0]["id"])).await.fails(403, "FORBIDDEN");
        refused(retry(&user, session, &own[1]["id"])).await.fails(400, "INVALID_REQUEST");
        for bad in [json!(null), json!(1), json!("\u{0}"), json!([own[0]["id"]])] {
            refused(retry(&user, session, &bad)).await.fails(400, "INVALID_REQUEST");
        }

        let gate = Gate::closed();
        upstream.queue(Script::stream().words(&["On"]).stop(&gate).words(&["ce"]).done("stop"));
        let keyed = || retry(&user, session, &own[0]["id"]).header("idempotency-key", "again");
        let mut stream = Sse::open(keyed()).await.unwrap();
        stream.until_said("On").await;
        refused(retry(&user, session, &own[0]["id"])).await.fails(409, "THREAD_BUSY");
        user.say_in_vain(session, "Hello?").await.fails(409, "THREAD_BUSY");
        gate.open();
        let stream = stream.finish().await;
        let again = Sse::open(keyed()).await.unwrap().finish().await;
        assert_eq!((&again.headers["idempotency-replayed"], again.events), (&"true".parse().unwrap(), stream.events));
        refused(retry(&user, session, &json!(Uuid::now_v7())).header("idempotency-key", "again")).await.fails(409, "CONFLICT");
        let json = read(keyed().header("accept", "application/json")).await;
        assert_eq!(json.data()["content"], json!([{"type": "text", "text": "Once"}]));
        assert_eq!(upstream.requests().len(), 4, "the model was asked once for the key");
    }
}

/// Sends a request that is refused, or fails before the first output.
async fn refused(request: RequestBuilder) -> Reply {
    match Sse::open(request).await {
        Ok(stream) => panic!("a stream: {:?}", stream.finish().await.types()),
        Err(reply) => reply,
    }
}

/// Returns the items of a client that reads the session from its beginning to the end of its last run.
async fn follow_all(user: &Client, session: Uuid) -> Vec<Value> {
    let mut stream = user.follow_session(session, "", Some("0")).await.unwrap();
    let mut items: Vec<Value> = Vec::new();
    let mut ended = 0;
    while ended < 4 {
        let event = stream.next().await.unwrap();
        match event["type"].as_str().unwrap() {
            "thread.item.done" => items.push(event["item"].clone()),
            "thread.item.removed" => items.retain(|item| item["id"] != event["item_id"]),
            "run.completed" => ended += 1,
            _ => {}
        }
    }
    items
}
