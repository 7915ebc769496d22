//! Notifications: executed without a response.

use crate::support::{Client, Setup, eventually};
use serde_json::json;

async fn titles(user: &Client) -> Vec<String> {
    let page = user.rpc_ok("tasks.list", json!({})).await;
    let tasks = page["data"].as_array().unwrap().iter();
    tasks.map(|task| task["title"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_are_executed_without_a_response() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let note =
        |title: &str| json!({"jsonrpc": "2.0", "method": "tasks.create", "params": {"title": title}}).to_string();
    let reply = user.rpc_raw(note("posted")).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert_eq!(titles(&user).await, ["posted"], "it is done before the answer");

    let mut socket = user.socket().await;
    socket.send(&note("sent")).await;
    eventually("the task is there", || async { (titles(&user).await == ["sent", "posted"]).then_some(()) }).await;
    // Neither is one that fails, over either transport.
    for bad in [note(""), json!({"jsonrpc": "2.0", "method": "no.such"}).to_string()] {
        socket.send(&bad).await;
        let reply = user.rpc_raw(bad).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    }
    socket.ok("auth.me", json!({})).await;
    assert!(socket.kept().is_empty(), "{:?}", socket.kept());
    assert_eq!(titles(&user).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_id_is_a_call() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let call = json!({"jsonrpc": "2.0", "id": null, "method": "auth.me"});
    let reply = user.rpc_raw(call.to_string()).await;
    assert_eq!((reply.status, &reply.body["id"]), (200, &json!(null)), "{}", reply.text);
    assert_eq!(reply.body["result"]["id"], user.user_id.unwrap().to_string());
}
