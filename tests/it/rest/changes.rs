//! Events of a session outside of runs.

use crate::everywhere;
use crate::support::relay::Relay;
use crate::support::{App, Client, Gate, Script, Setup, Sse, Upstream, eventually};
use serde_json::{Value, json};
use std::time::Instant;
use uuid::Uuid;

async fn rename(user: &Client, session: Uuid, title: &str) {
    let renamed = user.chatkit("threads.update", json!({"thread_id": session, "title": title})).await;
    assert_eq!((renamed.status, &renamed.body["title"]), (200, &json!(title)));
}

/// Reads to the next event of the session itself, which has no id.
async fn renamed(stream: &mut Sse, title: &str) {
    while stream.until("thread.updated").await["thread"]["title"] != title {}
    assert_eq!(stream.events.last().unwrap().0, None, "it moves no cursor");
}

/// Returns the number of events outside of runs.
fn asides(stream: &Sse) -> usize {
    stream.events.iter().filter(|(id, event)| id.is_none() && event["type"] == "thread.updated").count()
}

/// Creates a session with a widget that shows one task. Returns both.
async fn shown(user: &Client) -> (Uuid, Value, Value) {
    let session = user.session().await;
    let task = user.post("/api/v1/tasks", &json!({"title": "Milk"})).await.data()["id"].clone();
    user.say(session, "Show my tasks").await.terminal();
    let items = user.get(&format!("/api/v1/chatkit/sessions/{session}/items?limit=100")).await;
    let widget = items.data().as_array().unwrap().iter().find(|item| item["type"] == "widget").unwrap()["id"].clone();
    (session, widget, task)
}

async fn complete(user: &Client, session: Uuid, widget: &Value, task: &Value) -> Value {
    let action = json!({"type": "tasks.complete", "payload": {"task_id": task}});
    let params = json!({"thread_id": session, "item_id": widget, "action": action});
    let synced = user.chatkit("threads.sync_custom_action", params).await;
    assert_eq!(synced.status, 200, "{}", synced.text);
    synced.body["updated_item"].clone()
}

everywhere! {
    async fn subscribers_get_new_titles_and_used_widgets(setup: Setup) {
        let (upstream, gate) = (Upstream::start().await, Gate::closed());
        upstream
            .queue(Script::calls(&[("list_tasks", json!({}))]))
            .queue(Script::says(&["There."]))
            .queue(Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop"));
        let app = setup.upstream(&upstream).start().await;
        let user = app.user().await;
        let (session, widget, task) = shown(&user).await;
        let mut stream = user.follow_session(session, "", None).await.unwrap();
        let elsewhere = user.session().await;
        let mut other = user.follow_session(elsewhere, "", None).await.unwrap();

        rename(&user, session, "Shopping").await;
        renamed(&mut stream, "Shopping").await;
        let now = complete(&user, session, &widget, &task).await;
        let told = stream.until("thread.item.replaced").await;
        assert_eq!(told["item"], now);
        assert_eq!(stream.events.last().unwrap().0, None);

        // In the middle of a run, and without an event for what has not changed.
        rename(&user, session, "Shopping").await;
        let mut starter = user.start(session, "Count").await.unwrap();
        starter.until("thread.item.content.part.delta").await;
        rename(&user, session, "Dairy").await;
        renamed(&mut stream, "Dairy").await;
        assert!(!stream.types().contains(&"run.completed"));
        gate.open();
        starter.finish().await.terminal();
        stream.until("run.completed").await;
        rename(&user, session, "Groceries").await;
        renamed(&mut stream, "Groceries").await;
        assert_eq!(asides(&stream), 3, "{:?}", stream.types());

        // A client that reconnects gets the past events, and then the current state.
        let mut back = user.follow_session(session, "?after=0", None).await.unwrap();
        renamed(&mut back, "Groceries").await;
        assert_eq!(asides(&back), 1, "{:?}", back.types());

        user.say(elsewhere, "Hello").await.terminal();
        other.until("run.completed").await;
        rename(&user, elsewhere, "Other").await;
        renamed(&mut other, "Other").await;
        assert_eq!(asides(&other), 1, "its first title came with its run: {:?}", other.types());
        assert!(!other.types().contains(&"thread.item.replaced"));
    }
}

/// A change at one replica is sent by the other.
async fn told_there(app: &App, replica: &App) {
    let user = app.user().await;
    let there = user.at(replica);
    let (session, widget, task) = shown(&user).await;
    let mut stream = there.follow_session(session, "", None).await.unwrap();
    let began = Instant::now();
    rename(&user, session, "Shopping").await;
    renamed(&mut stream, "Shopping").await;
    let now = complete(&user, session, &widget, &task).await;
    assert_eq!(stream.until("thread.item.replaced").await["item"], now);
    assert!(began.elapsed().as_secs() < 10, "it was told, not found out");

    // A change without a signal is found by polling.
    let status = format!("UPDATE threads SET status = 'closed', status_reason = 'Holidays' WHERE id = '{session}'");
    app.database.batch(&status).await;
    user.say_in_vain(session, "Hello").await.fails(409, "CONFLICT");
    rename(&user, session, "Closed").await;
    renamed(&mut stream, "Closed").await;
    let thread = &stream.events.last().unwrap().1["thread"];
    assert_eq!(thread["status"], json!({"type": "closed", "reason": "Holidays"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_sends_the_change_over_the_database() {
    let Some(setup) = Setup::postgres().await else { return };
    let app = setup.start().await;
    let replica = app.again().start().await;
    told_there(&app, &replica).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_sends_the_change_over_redis() {
    let (Some(setup), Some(redis)) = (Setup::postgres().await, Relay::start().await) else { return };
    let app = setup.with("REDIS_URL", redis.url()).start().await;
    let replica = app.again().start().await;
    for app in [&app, &replica] {
        eventually("Redis is reached", || async {
            let health = app.anonymous().get("/health/all").await;
            (health.body["components"]["redis"]["status"] == "healthy").then_some(())
        })
        .await;
    }
    told_there(&app, &replica).await;
}
