//! A locked conversation is evidence: nothing in it changes, and it stays.

use crate::everywhere;
use crate::support::client::PASSWORD;
use crate::support::eventually;
use serde_json::json;

everywhere! {
    async fn a_locked_conversation_stays_as_it_is(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let task = user.post("/api/v1/tasks", &json!({"title": "Buy milk"})).await.data()["id"].clone();
        app.database.batch(&format!("UPDATE threads SET status = 'locked' WHERE id = {}", app.database.id(session))).await;
        let path = format!("/api/v1/chatkit/sessions/{session}");
        user.delete(&path).await.fails(409, "CONFLICT");
        user.patch(&path, &json!({"title": "Nothing happened"})).await.fails(409, "CONFLICT");
        let action = json!({"thread_id": session, "action": {"type": "tasks.complete", "payload": {"task_id": task}}});
        let refused = user.rpc("threads.sync_custom_action", action.clone()).await;
        assert_eq!(refused["error"]["data"]["code"], "CONFLICT", "{refused}");
        let refused = user.rpc("threads.custom_action", action.clone()).await;
        assert_eq!(refused["error"]["data"]["code"], "CONFLICT", "{refused}");
        assert_eq!(user.history(session).await["title"], "New Chat");
        assert_eq!(user.get("/api/v1/tasks").await.data()[0]["completed"], false);

        app.database.batch(&format!("UPDATE threads SET status = 'active' WHERE id = {}", app.database.id(session))).await;
        user.rpc_ok("threads.sync_custom_action", action).await;
        assert_eq!(user.delete(&path).await.status, 200);

        // The erasure of an account is not stopped by it.
        let session = user.session().await;
        app.database.batch(&format!("UPDATE threads SET status = 'locked' WHERE id = {}", app.database.id(session))).await;
        user.rpc_ok("auth.delete_account", json!({"password": PASSWORD})).await;
        let rest = format!("SELECT COUNT(*) AS rows FROM threads WHERE id = {}", app.database.id(session));
        eventually("the conversation is gone", || async { (app.database.count(&rest).await == 0).then_some(()) }).await;
    }
}
