//! Conversations that are not kept any longer.

use super::attachments::{attach, say_with};
use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::{App, Client, eventually};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use uuid::{NoContext, Timestamp, Uuid};

const DAY: u64 = 86_400;
const SESSIONS: &str = "/api/v1/chatkit/sessions";

/// Returns a time so many days ago, as the database stores it.
fn days_ago(app: &App, days: u64) -> (Duration, String) {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - Duration::from_secs(days * DAY);
    let text = match app.database.is_postgres() {
        true => format!("to_timestamp({})", time.as_secs()),
        false => time.as_micros().to_string(),
    };
    (time, text)
}

/// Creates a session that is so many days old: its id says that too.
async fn old_session(app: &App, user: &Client, agent: &str, days: u64) -> Uuid {
    let (time, text) = days_ago(app, days);
    let id = Uuid::new_v7(Timestamp::from_unix(NoContext, time.as_secs(), 0));
    let user_id = app.database.id(user.user_id.unwrap());
    let no = if app.database.is_postgres() { "false" } else { "0" };
    let (stored, metadata) = (app.database.id(id), json!({"agent": agent}));
    let batch = format!(
        "INSERT INTO threads (id, user_id, title, title_is_set, status, archived, metadata, message_count, next_position,
             created_at, updated_at)
         VALUES ({stored}, {user_id}, 'Old', {no}, 'active', {no}, '{metadata}', 0, 0, {text}, {text});
         UPDATE users SET session_count = session_count + 1 WHERE id = {user_id};"
    );
    app.database.batch(&batch).await;
    id
}

/// Says that a session was last used so many days ago.
async fn make_old(app: &App, session: Uuid, days: u64) {
    let (_, text) = days_ago(app, days);
    let update = format!("UPDATE threads SET updated_at = {text} WHERE id = {}", app.database.id(session));
    app.database.batch(&update).await;
}

async fn status(user: &Client, session: Uuid) -> u16 {
    user.get(&format!("/api/v1/chatkit/sessions/{session}")).await.status
}

everywhere! {
    async fn unused_conversations_are_deleted_with_everything_after_the_days_of_their_agent(setup: Setup) {
        let file = AgentsFile::new(
            "default = \"usual\"\n[agents.usual]\n[agents.short]\nretention_days = 5\n[agents.long]\nretention_days = 0\n",
        );
        let setup = file.of(setup).with("RETENTION_DAYS", 30).with("SESSION_MAX_IDLE_DAYS", 0);
        let app = setup.with("MAX_SESSIONS_PER_USER", 100).start().await;
        let user = app.user().await;
        let limits = user.get("/api/v1/limits").await;
        assert_eq!(limits.data()["retention_days"], 30, "{}", limits.text);

        let old = old_session(&app, &user, "usual", 40).await;
        let used = old_session(&app, &user, "usual", 40).await;
        let short = old_session(&app, &user, "short", 8).await;
        let usual_8 = old_session(&app, &user, "usual", 8).await;
        let long = old_session(&app, &user, "long", 400).await;
        let gone_agent = old_session(&app, &user, "gone", 40).await;
        let locked = old_session(&app, &user, "usual", 40).await;
        // One has something in every table.
        user.say(old, "Add task: Buy milk").await;
        let attachment = attach(&user, "a.txt", "text/plain", b"words of a file").await;
        assert_eq!(say_with(&user, old, "With a file", &[&attachment]).await.status, 200);
        let items = user.get(&format!("/api/v1/chatkit/sessions/{old}/items")).await;
        let item = items.data().as_array().unwrap().iter().find(|item| item["type"] == "assistant_message").unwrap().clone();
        let feedback = json!({"item_ids": [item["id"]], "kind": "positive"});
        assert!(user.post(&format!("/api/v1/chatkit/sessions/{old}/feedback"), &feedback).await.status < 300);
        make_old(&app, old, 31).await;
        user.say(used, "hello").await;
        app.database.batch(&format!("UPDATE threads SET status = 'locked' WHERE id = {}", app.database.id(locked))).await;

        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        for gone in [old, short, gone_agent] {
            eventually("an unused session is deleted", || async { (status(&user, gone).await == 404).then_some(()) }).await;
        }
        for kept in [used, usual_8, long, locked] {
            assert_eq!(status(&user, kept).await, 200);
        }
        for table in ["feedback", "attachments"] {
            assert_eq!(app.database.count(&format!("SELECT COUNT(*) AS rows FROM {table}")).await, 0, "{table}");
        }
        assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM attachment_leftovers").await, 1);
        assert_eq!(app.database.count("SELECT session_count AS rows FROM users").await, 4);
        let of_session = format!("thread_id = {}", app.database.id(old));
        for table in ["items", "runs"] {
            assert_eq!(app.database.count(&format!("SELECT COUNT(*) AS rows FROM {table} WHERE {of_session}")).await, 0);
        }
        // What was used stays booked, and the task that a tool made is the user's.
        assert_eq!(user.get("/api/v1/usage").await.data()["total"]["runs"], 3);
        assert_eq!(user.get("/api/v1/tasks").await.data().as_array().map(Vec::len), Some(1));
        let metrics = app.metrics().await;
        assert!(metrics.contains("threadline_threads_expired_total{reason=\"retention\"} 3"), "{metrics}");
        let line = app.log().into_iter().find(|line| line["reason"] == "retention");
        assert!(line.is_some(), "a line in the log");
    }

    async fn a_temporary_session_is_listed_nowhere_and_deleted_after_its_last_use(setup: Setup) {
        // Both jobs work at the start: none keeps the other from its work.
        let setup = setup.with("MAX_SESSIONS_PER_USER", 2).with("TEMPORARY_SESSION_HOURS", 5).with("RETENTION_DAYS", 30);
        let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 0).start().await;
        let user = app.user().await;
        assert_eq!(user.get("/api/v1/limits").await.data()["temporary_hours"], 5);
        let listed = async |user: &Client| -> (usize, i64) {
            let list = user.get("/api/v1/chatkit/sessions").await;
            (list.data().as_array().unwrap().len(), list.body["meta"]["total"].as_i64().unwrap())
        };
        let id = |thread: &Value| -> Uuid { thread["id"].as_str().unwrap_or_else(|| panic!("{thread}")).parse().unwrap() };
        // They do not count: two sessions and two temporary ones are four.
        let kept = user.session().await;
        user.session().await;
        let rest = user.post(SESSIONS, &json!({"temporary": true})).await;
        assert_eq!(rest.data()["temporary"], true, "{}", rest.text);
        let rest = id(rest.data());
        let rpc = user.rpc_ok("threads.create", json!({"temporary": true})).await["thread"].clone();
        assert_eq!(rpc["temporary"], true);
        let rpc = id(&rpc);
        assert_eq!(listed(&user).await, (2, 2));
        user.post(SESSIONS, &json!({})).await.fails(429, "SESSION_LIMIT");
        user.post(SESSIONS, &json!({"temporary": 1})).await.fails(400, "INVALID_REQUEST");

        // A message makes it no other, and its owner can read, rename and delete it.
        assert_eq!(user.say(rest, "Add task: Buy milk").await.terminal()["type"], "run.completed");
        assert_eq!(listed(&user).await, (2, 2));
        assert_eq!(user.history(rest).await["temporary"], true);
        assert!(user.history(kept).await.get("temporary").is_none());
        let found = user.rpc_ok("threads.list", json!({})).await;
        assert!(found["data"].as_array().unwrap().iter().all(|thread| id(thread) != rest && id(thread) != rpc), "{found}");
        app.user().await.get(&format!("{SESSIONS}/{rest}")).await.fails(403, "FORBIDDEN");
        // ChatKit's own request too, with a mark in the metadata.
        let params = json!({"input": Client::chatkit_input("hello"), "temporary": true});
        let stream = user.chatkit_stream("threads.create", params).await.expect("a stream").finish().await;
        let created = stream.events.iter().map(|(_, event)| event).find(|event| event["type"] == "thread.created").unwrap();
        assert_eq!(created["thread"]["metadata"], json!({"temporary": true}));
        let chatkit = id(&created["thread"]);
        // The third is one too many: the one that was not used for the longest time is deleted.
        assert_eq!((status(&user, rpc).await, status(&user, rest).await, status(&user, chatkit).await), (404, 200, 200));
        assert_eq!(user.delete(&format!("{SESSIONS}/{chatkit}")).await.status, 200);
        assert_eq!(listed(&user).await, (2, 2), "a temporary one is not counted out");

        // The same key is the same request only if it is for the same kind of session.
        let keyed = json!({"idempotency_key": "k", "temporary": true});
        let first = id(&user.rpc_ok("threads.create", keyed.clone()).await["thread"]);
        assert_eq!(id(&user.rpc_ok("threads.create", keyed).await["thread"]), first);
        let other = user.rpc("threads.create", json!({"idempotency_key": "k"})).await;
        assert_eq!(other["error"]["data"]["code"], "CONFLICT", "{other}");

        let hours_ago = |hours: u64| days_ago(&app, 0).0 - Duration::from_secs(hours * 3600);
        for (session, hours) in [(rest, 6), (first, 4), (kept, 6)] {
            let micros = hours_ago(hours).as_micros();
            let text = match app.database.is_postgres() {
                true => format!("to_timestamp({})", micros / 1_000_000),
                false => micros.to_string(),
            };
            app.database.batch(&format!("UPDATE threads SET updated_at = {text} WHERE id = {}", app.database.id(session))).await;
        }
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        eventually("the temporary session is deleted", || async { (status(&user, rest).await == 404).then_some(()) }).await;
        assert_eq!((status(&user, first).await, status(&user, kept).await), (200, 200));
        assert_eq!(listed(&user).await, (2, 2));
        let metrics = app.metrics().await;
        assert!(metrics.contains("threadline_threads_expired_total{reason=\"temporary\"} 1"), "{metrics}");
        assert_eq!(app.database.count("SELECT COUNT(*) AS rows FROM items").await, 0);
    }

    async fn without_a_setting_nothing_is_deleted(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        assert!(user.get("/api/v1/limits").await.data()["retention_days"].is_null());
        let old = old_session(&app, &user, "usual", 4000).await;
        let app = app.crash_and_restart().await;
        let user = user.at(&app);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&user, old).await, 200);
    }
}
