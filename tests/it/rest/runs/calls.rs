//! Interrupted tool calls: their outcome is unknown, and all clients learn that.

use crate::everywhere;
use crate::support::{App, Client, Gate, Script, Setup, Sse, Upstream, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Returns the tool calls of a session with their results.
async fn kept(user: &Client, session: Uuid) -> Vec<(String, Value)> {
    let history = user.history(session).await;
    let messages = history["messages"].as_array().unwrap();
    let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
    let read = |call: &Value| match call["result"].as_str() {
        Some(result) => serde_json::from_str(result).expect("a result is JSON"),
        None => call["result"].clone(),
    };
    calls.map(|call| (call["function"]["name"].as_str().unwrap().to_owned(), read(call))).collect()
}

/// Returns the results that the model got, in order.
fn told(body: &Value) -> Vec<Value> {
    let messages = body["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "tool");
    messages.map(|message| serde_json::from_str(message["content"].as_str().unwrap()).unwrap()).collect()
}

/// Returns the tasks of the stored workflows.
async fn entries(user: &Client, session: Uuid) -> Vec<Value> {
    let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=100&order=asc")).await;
    let items = items.data().as_array().unwrap().clone();
    items.iter().filter_map(|item| item["workflow"]["tasks"].as_array()).flatten().cloned().collect()
}

/// Starts a run that emits text and then calls `add_task`, which hangs in the database.
async fn hanging(app: &App, upstream: &Upstream, user: &Client, session: Uuid) -> Sse {
    app.database.dawdle(long(app)).await;
    upstream.queue(
        Script::stream()
            .words(&["One", " moment"])
            .event(call("add_task", &json!({"title": "Milk"})), None)
            .done("tool_calls"),
    );
    let mut stream = user.start(session, "Milk, please").await.unwrap();
    while stream.until("thread.item.added").await["item"]["type"] != "workflow" {}
    stream
}

/// A duration in seconds that nothing else here takes. On a busy machine, SQLite, which counts them, takes longer, and
/// the others wait for it.
fn long(app: &App) -> f64 {
    if app.database.is_postgres() { 5.0 } else { 2.0 }
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"tool_calls": [{"index": 0, "id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]})
}

fn is_unknown(result: &Value) -> bool {
    result["status"] == "unknown" && result["error"].as_str().is_some_and(|error| error.contains("may or may not"))
}

/// Creates a session with one call whose outcome is unknown, and asks the model again.
async fn everybody_is_told(upstream: &Upstream, user: &Client, session: Uuid) {
    let calls = kept(user, session).await;
    assert!(calls.len() == 1 && calls[0].0 == "add_task" && is_unknown(&calls[0].1), "{calls:?}");
    assert_eq!(user.say(session, "Did it work?").await.terminal()["type"], "run.completed");
    let asked = upstream.requests().pop().unwrap();
    let told = told(&asked);
    assert!(told.len() == 1 && is_unknown(&told[0]), "{asked}");
}

everywhere! {
    async fn a_call_interrupted_by_a_cancel_is_unknown(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let stream = hanging(&app, &upstream, &user, session).await;
        let run = stream.run_id();
        assert_eq!(kept(&user, session).await, [("add_task".to_owned(), Value::Null)], "it is known while it acts");

        let cancelled = user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await;
        assert_eq!((cancelled.status, &cancelled.data()["status"]), (200, &json!("cancelled")));
        let stream = stream.finish().await;
        assert_eq!((stream.text().as_str(), &stream.terminal()["type"]), ("One moment", &json!("run.cancelled")));
        let result = stream.terminal()["run"]["tool_calls"][0]["result"].as_str().unwrap().to_owned();
        assert!(is_unknown(&serde_json::from_str(&result).unwrap()), "{result}");
        let shown = entries(&user, session).await;
        assert_eq!(shown.len(), 1);
        assert_eq!((&shown[0]["status_indicator"], &shown[0]["title"]), (&json!("none"), &json!("Adding \"Milk\"")));
        assert!(shown[0]["content"].as_str().unwrap().starts_with("Outcome unknown"), "{shown:?}");
        let done = stream.events.iter().rfind(|(_, event)| event["item"]["type"] == "workflow").unwrap();
        assert_eq!(done.1["item"]["workflow"]["tasks"], json!(shown), "the stream says what is stored");

        everybody_is_told(&upstream, &user, session).await;
        // Here it did take effect, so the result must not say that it did not.
        eventually("the task is there", || async {
            (user.get("/api/v1/tasks").await.data()[0]["title"] == "Milk").then_some(())
        })
        .await;
        let metrics = app.metrics().await;
        assert!(metrics.contains(r#"threadline_tool_calls_total{tool="add_task",outcome="unknown"} 1"#), "{metrics}");
    }

    async fn a_call_that_ended_before_the_cancel_has_its_result(setup: Setup) {
        let upstream = Upstream::start().await;
        let app = setup.upstream(&upstream).start().await;
        app.database.dawdle(long(&app)).await;
        let user = app.user().await;
        let session = user.session().await;
        upstream.queue(Script::calls(&[("list_tasks", json!({})), ("add_task", json!({"title": "Milk"}))]));
        let mut stream = user.start(session, "Milk, please").await.unwrap();
        while stream.until("thread.item.updated").await["update"]["task_index"] != 1 {}
        // Reading the tasks takes milliseconds.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let run = stream.run_id();
        assert_eq!(user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await.status, 200);
        stream.finish().await.terminal();
        let calls = kept(&user, session).await;
        assert_eq!(calls[0], ("list_tasks".to_owned(), json!({"tasks": [], "has_more": false})));
        assert!(calls.len() == 2 && is_unknown(&calls[1].1), "{calls:?}");
        let shown = entries(&user, session).await;
        let shown: Vec<_> = shown.iter().map(|entry| entry["status_indicator"].as_str().unwrap()).collect();
        assert_eq!(shown, ["complete", "none"]);
    }

    async fn a_cancel_while_a_call_is_being_recorded_loses_nothing(setup: Setup) {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        let script = Script::stream().words(&["One", " moment"]).stop(&gate);
        upstream.queue(script.event(call("add_task", &json!({"title": "Milk"})), None).done("tool_calls"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let session = user.session().await;
        let mut stream = user.start(session, "Milk, please").await.unwrap();
        while stream.text() != "One moment" {
            stream.next().await.unwrap();
        }
        let run = stream.run_id();
        // Nothing can be written now, so the call waits to be recorded, and after it the end of the run.
        let lock = app.database.lock().await;
        gate.open();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let cancel = {
            let user = user.clone();
            tokio::spawn(async move { user.post(&format!("/api/v1/chatkit/runs/{run}/cancel"), &json!({})).await })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        lock.open().await;
        assert_eq!(cancel.await.unwrap().data()["status"], "cancelled");
        let stream = stream.finish().await;
        let message = stream.events.iter().rfind(|(_, event)| event["item"]["type"] == "assistant_message").unwrap();
        assert_eq!((&message.1["type"], &message.1["item"]["content"][0]["text"]), (&json!("thread.item.done"), &json!("One moment")));
        let history = user.history(session).await;
        let said: Vec<_> = history["messages"].as_array().unwrap().iter().filter(|message| message["content"][0]["text"] == "One moment").collect();
        assert_eq!(said.len(), 1, "{history}");
        // It was recorded later, and it is certain that it did nothing.
        let calls = kept(&user, session).await;
        assert!(calls.len() == 1 && calls[0].1["status"] == "not_made", "{calls:?}");
        assert_eq!(user.say(session, "And now?").await.terminal()["type"], "run.completed");
        assert_eq!(told(&upstream.requests().pop().unwrap())[0]["status"], "not_made");
        assert_eq!(user.get("/api/v1/tasks").await.data(), &json!([]));
    }
}

/// Kills the process in the middle of a call, and reads the run in the next process.
async fn crash_in_a_call(setup: Setup) {
    let upstream = Upstream::start().await;
    let app = setup.upstream(&upstream).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let stream = hanging(&app, &upstream, &user, session).await;
    // Long enough for the events to be stored.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let run = stream.run_id();
    let app = app.crash_and_restart().await;
    app.database.hurry().await;
    let user = Client::new(&app.rest, &app.rpc, user.token.clone());
    let deadline = Instant::now() + Duration::from_secs(40);
    while user.run(run).await["status"] == "running" {
        assert!(Instant::now() < deadline, "the run of a dead process goes on for ever");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let run = user.run(run).await;
    assert_eq!(run["status"], "interrupted");
    let result = run["tool_calls"][0]["result"].as_str().unwrap().to_owned();
    assert!(is_unknown(&serde_json::from_str(&result).unwrap()), "{run}");
    let history = user.history(session).await;
    assert_eq!(history["messages"][1]["content"][0]["text"], "One moment", "{history}");
    let shown = entries(&user, session).await;
    assert!(shown.len() == 1 && shown[0]["content"].as_str().unwrap().starts_with("Outcome unknown"), "{shown:?}");
    everybody_is_told(&upstream, &user, session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_interrupted_by_a_crash_is_unknown_on_sqlite() {
    crash_in_a_call(Setup::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_interrupted_by_a_crash_is_unknown_on_postgres() {
    if let Some(setup) = Setup::postgres().await {
        crash_in_a_call(setup).await;
    }
}
