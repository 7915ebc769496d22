//! Actions of widgets: small payloads, with nothing that the tool does not declare.

use crate::support::Setup;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_is_small_and_has_what_the_tool_declares() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let session = user.session().await;
    let task = user.post("/api/v1/tasks", &json!({"title": "Buy milk"})).await.data()["id"].clone();
    for method in ["threads.custom_action", "threads.sync_custom_action"] {
        for (more, said) in [("A".repeat(900_000), "at most 32768"), ("A".to_owned(), "\\\"x\\\"")] {
            let action = json!({"type": "tasks.complete", "payload": {"task_id": task, "x": more}});
            let refused = user.rpc(method, json!({"thread_id": session, "action": action})).await;
            assert_eq!(refused["error"]["data"]["code"], "INVALID_REQUEST", "{method}");
            assert!(refused.to_string().contains(said), "{method}: {refused}");
        }
    }
    let action = json!({"type": "tasks.complete", "payload": {"task_id": task}});
    user.rpc_ok("threads.sync_custom_action", json!({"thread_id": session, "action": action})).await;
}
