//! Conversations that are not kept any longer.

use super::attachments::{attach, say_with};
use crate::agents::file::AgentsFile;
use crate::everywhere;
use crate::support::{App, Client, Setup, eventually};
use serde_json::json;
use std::time::{Duration, SystemTime};
use uuid::{NoContext, Timestamp, Uuid};

const DAY: u64 = 86_400;

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
