//! Many users on the few sockets between a gateway and its core.

use crate::support::{Client, Setup};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_what_is_somebody_elses() {
    let app = Setup::new().await.split().start().await;
    let mut users = Vec::new();
    for _ in 0..50 {
        users.push(app.user().await);
    }
    let busy: Vec<_> = users.into_iter().map(|user| tokio::spawn(live(user))).collect();
    for user in busy {
        user.await.unwrap();
    }
    super::nobody_panicked(&app);
}

/// Makes twenty calls of one user, and checks that each response belongs to that user.
async fn live(user: Client) {
    let id = user.user_id.unwrap().to_string();
    let session = user.session().await;
    let stream = user.say(session, &format!("add task Remember {id}")).await;
    assert!(stream.done);
    for (_, event) in &stream.events {
        assert_only(event, &id);
    }
    for round in 0..3 {
        let title = format!("{id} {round}");
        assert_eq!(user.post("/api/v1/tasks", &json!({"title": title})).await.data()["title"], title);
        assert_eq!(user.get("/api/v1/auth/me").await.data()["id"], id);
        let tasks = user.get("/api/v1/tasks").await;
        // The tasks of the rounds so far, and the one that the assistant has added.
        assert_eq!(tasks.data().as_array().unwrap().len(), round + 2, "{}", tasks.text);
        assert_only(tasks.data(), &id);
        let sessions = user.get("/api/v1/chatkit/sessions").await;
        assert_eq!(sessions.data()[0]["id"], session.to_string());
        assert_only(sessions.data(), &id);
        let history = user.history(session).await;
        assert!(history.to_string().contains(&id));
        assert_only(&history, &id);
        assert_eq!(
            user.get(&format!("/api/v1/chatkit/runs/{}", stream.run_id())).await.data()["thread_id"],
            session.to_string()
        );
    }
}

/// Checks that no part of a response names another user.
#[track_caller]
fn assert_only(value: &Value, user: &str) {
    match value {
        Value::Object(members) => {
            if let Some(owner) = members.get("user_id") {
                assert_eq!(owner, user, "{value}");
            }
            members.values().for_each(|member| assert_only(member, user));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| assert_only(entry, user)),
        _ => {}
    }
}
