//! Batches: each entry is a call by itself, with its own user, its own fate and its own count.

use super::{Wire, refusal};
use crate::support::{Setup, token};
use serde_json::{Value, json};

fn call(id: &Value, method: &str, auth: &Value, mut params: Value) -> Value {
    params["_meta"] = json!({"auth": auth});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_has_its_own_user_and_its_own_result() {
    let app = Setup::new().await.start().await;
    for number in 0..4 {
        let (ada, bob) = (app.user().await, app.user().await);
        let (a, b) = (json!(ada.token), json!(bob.token));
        let expired = json!(token::mint(ada.user_id.unwrap(), -1));
        let (name, mut wire) = Wire::all(&app, None).await.into_iter().nth(number).unwrap();
        let mut note = call(&json!(0), "tasks.create", &a, json!({"title": "Ada's"}));
        note.as_object_mut().unwrap().remove("id");
        let answers = wire
            .ask(&json!([
                call(&json!(1), "auth.me", &a, json!({})),
                call(&json!("two"), "auth.me", &b, json!({})),
                call(&json!(3), "auth.me", &expired, json!({})),
                {"jsonrpc": "2.0", "id": 4, "method": "auth.me"},
                note,
                7,
                {"id": 8, "method": "auth.me"},
                call(&json!(9), "no.such", &a, json!({})),
                {"jsonrpc": "2.0", "id": 10, "method": "system.health", "params": ["db"]},
                call(&json!(11), "tasks.list", &b, json!({})),
                call(&json!(12), "tasks.list", &a, json!({})),
            ]))
            .await;
        let answers = answers.as_array().unwrap_or_else(|| panic!("{name}: {answers}"));
        let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
        let expected = [
            json!(1),
            json!("two"),
            json!(3),
            json!(4),
            json!(null),
            json!(8),
            json!(9),
            json!(10),
            json!(11),
            json!(12),
        ];
        assert_eq!(ids, expected, "{name}: each call is answered, in order; a notification is not");
        assert_eq!(answers[0]["result"]["id"], ada.user_id.unwrap().to_string());
        assert_eq!(answers[1]["result"]["id"], bob.user_id.unwrap().to_string());
        refusal(&answers[2], -32001, "UNAUTHORIZED");
        refusal(&answers[3], -32001, "UNAUTHORIZED");
        assert_eq!((&answers[4]["error"]["code"], &answers[5]["error"]["code"]), (&json!(-32600), &json!(-32600)));
        refusal(&answers[6], -32601, "METHOD_NOT_FOUND");
        refusal(&answers[7], -32602, "INVALID_REQUEST");
        assert_eq!(answers[8]["result"]["data"], json!([]), "{name}: another user's task");
        assert_eq!(answers[9]["result"]["data"][0]["title"], "Ada's", "{name}: the notification came before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_of_some_size() {
    let app = Setup::new().await.with("MAX_BATCH_ENTRIES", 3).start().await;
    let user = app.user().await;
    let me = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "auth.me"});
    for (name, mut wire) in Wire::all(&app, user.token.as_deref()).await {
        let most = wire.ask(&json!([me(1), me(2), me(3)])).await;
        assert_eq!(most.as_array().map(Vec::len), Some(3), "{name}: {most}");
        let over = wire.ask(&json!([me(1), me(2), me(3), me(4)])).await;
        assert_eq!(over["id"], json!(null));
        let words = refusal(&over, -32600, "INVALID_REQUEST");
        assert!(words.contains('3') && words.contains('4'), "{words}");
        let empty = wire.ask(&json!([])).await;
        assert_eq!(empty["id"], json!(null));
        refusal(&empty, -32600, "INVALID_REQUEST");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_notifications_has_no_response() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let note = |title: &str| json!({"jsonrpc": "2.0", "method": "tasks.create", "params": {"title": title}});
    let batch = json!([note("one"), note("two")]).to_string();
    let reply = user.rpc_raw(batch.clone()).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let mut socket = user.socket().await;
    socket.send(&batch).await;
    let total = crate::support::eventually("the tasks are there", || async {
        let count = user.rpc_ok("tasks.list", json!({})).await["data"].as_array().unwrap().len();
        (count >= 4).then_some(count)
    })
    .await;
    assert_eq!(total, 4);
    socket.ok("auth.me", json!({})).await;
    assert!(socket.kept().is_empty(), "{:?}", socket.kept());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_is_counted() {
    // One request is allowed every 15 s, so a slow machine makes no difference.
    let app = Setup::new().await.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 4).start().await;
    for socket in [false, true] {
        let user = app.user().await;
        let mut wire = if socket { Wire::Socket(Box::new(user.socket().await)) } else { Wire::Post(user) };
        let me = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "auth.me"});
        let note = json!({"jsonrpc": "2.0", "method": "auth.me"});
        let first = wire.ask(&json!([me(1), note, me(2)])).await;
        assert!(first[0]["error"].is_null() && first[1]["error"].is_null(), "{first}");
        let second = wire.ask(&json!([me(1), me(2), me(3)])).await;
        assert!(second[0]["error"].is_null(), "{second}");
        for refused in [&second[1], &second[2]] {
            refusal(refused, -32029, "RATE_LIMITED");
            let wait = refused["error"]["data"]["retry_after"].as_u64().unwrap();
            assert!((1..=15).contains(&wait), "{refused}");
        }
    }
}
