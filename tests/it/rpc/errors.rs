//! Errors of requests: number, name, and what to change.

use super::{Wire, refusal};
use crate::support::client::read;
use crate::support::{Reply, Setup};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_calls_are_refused() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut socket = user.socket().await;
    let not_json =
        ["", " ", "{", "nonsense", "{'a': 1}", "[1, 2", "{\"jsonrpc\": \"2.0\",}", "\u{feff}{}", "{} {}", "[] x"];
    for body in not_json {
        let reply = user.rpc_raw(body).await;
        assert_eq!((reply.status, &reply.body["id"]), (200, &json!(null)), "{body:?}: {}", reply.text);
        refusal(&reply.body, -32700, "INVALID_JSON");
        socket.send(body).await;
        assert_eq!(socket.receive().await.unwrap(), reply.body, "{body:?} over a socket");
    }
    let not_a_call = [
        (json!({}), json!(null)),
        (json!(7), json!(null)),
        (json!("auth.me"), json!(null)),
        (json!(null), json!(null)),
        (json!({"jsonrpc": "2.0", "id": 1}), json!(1)),
        (json!({"id": "x", "method": "auth.me"}), json!("x")),
        (json!({"jsonrpc": "1.0", "id": 2, "method": "auth.me"}), json!(2)),
        (json!({"jsonrpc": 2.0, "id": 2, "method": "auth.me"}), json!(2)),
        (json!({"jsonrpc": "2.0", "id": 3, "method": 7}), json!(3)),
        (json!({"jsonrpc": "2.0", "id": {}, "method": "auth.me"}), json!(null)),
        (json!({"jsonrpc": "2.0", "id": true, "method": "auth.me"}), json!(null)),
        (json!({"jsonrpc": "2.0", "id": [1], "method": "auth.me"}), json!(null)),
        // Params are structured, whatever the method is.
        (json!({"jsonrpc": "2.0", "id": 4, "method": "auth.me", "params": "bar"}), json!(4)),
        (json!({"jsonrpc": "2.0", "id": 5, "method": "no.such", "params": 7}), json!(5)),
        (json!({"jsonrpc": "2.0", "id": "a", "method": "auth.me", "params": true}), json!("a")),
        (json!({"jsonrpc": "2.0", "method": "auth.me", "params": "bar"}), json!(null)),
        (json!({"foo": 1}), json!(null)),
        (json!([]), json!(null)),
    ];
    for (message, id) in not_a_call {
        let reply = user.rpc_raw(message.to_string()).await;
        assert_eq!((reply.status, &reply.body["id"]), (200, &id), "{message}: {}", reply.text);
        let words = refusal(&reply.body, -32600, "INVALID_REQUEST");
        assert!(words.contains("jsonrpc"), "{words}");
        socket.send(&message.to_string()).await;
        assert_eq!(socket.receive().await.unwrap(), reply.body, "{message} over a socket");
    }
    socket.ok("auth.me", json!({})).await;
    assert!(socket.kept().is_empty(), "{:?}", socket.kept());
}

/// Members that are there twice, under whatever spelling: what could be read in two ways is not carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doubled_members_are_refused_and_not_carried_out() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut socket = user.socket().await;
    let call = |members: &str| format!(r#"{{"jsonrpc": "2.0", {members}}}"#);
    for (message, id) in [
        (call(r#""id": 1, "method": "tasks.create", "params": {"title": "x"}, "id": 1"#), json!(null)),
        (call(r#""id": 1, "method": "tasks.create", "params": {"title": "x"}, "\u0069d": 2"#), json!(null)),
        (call(r#""id": null, "method": "tasks.create", "params": {"title": "x"}, "id": null"#), json!(null)),
        (call(r#""id": 1, "method": "tasks.list", "method": "tasks.create", "params": {"title": "x"}"#), json!(1)),
        (call(r#""id": 1, "method": "tasks.create", "params": {"title": "x"}, "params": {"title": "y"}"#), json!(1)),
        (call(r#""id": "a", "jsonrpc": "2.0", "method": "tasks.create", "params": {"title": "x"}"#), json!("a")),
        (call(r#""id": true, "method": "tasks.create", "params": {"title": "x"}"#), json!(null)),
        (call(r#""id": {}, "method": "tasks.create", "params": {"title": "x"}"#), json!(null)),
    ] {
        for batched in [false, true] {
            let message = if batched { format!("[{message}]") } else { message.clone() };
            let reply = user.rpc_raw(message.clone()).await;
            socket.send(&message).await;
            assert_eq!(socket.receive().await.unwrap(), reply.body, "{message}");
            let answer = if batched { &reply.body[0] } else { &reply.body };
            assert_eq!(answer["id"], id, "{message}: {}", reply.text);
            refusal(answer, -32600, "INVALID_REQUEST");
        }
    }
    for params in [r#"{"title": "x", "title": "y"}"#, r#"{"title": "x", "_meta": {}, "title": "y"}"#] {
        let reply = user.rpc_raw(call(&format!(r#""id": 1, "method": "tasks.create", "params": {params}"#))).await;
        assert!(refusal(&reply.body, -32602, "INVALID_REQUEST").contains("title"), "{}", reply.text);
    }
    let doubled = r#""id": 1, "method": "tasks.create", "params": {"_meta": {}, "title": "x", "_meta": {}}"#;
    refusal(&user.rpc_raw(call(doubled)).await.body, -32602, "INVALID_REQUEST");
    assert_eq!(user.rpc_ok("tasks.list", json!({})).await["data"], json!([]), "nothing was carried out");
}

/// An id is whatever JSON says is a number or a text: also numbers that no integer and no double holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_comes_back_as_it_was_written() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut socket = super::raw::upgraded(&app.rpc, user.token.as_deref(), 65_536).await;
    let long = format!("1{}", "0".repeat(500));
    for id in ["-1", "1.5", "-0.0", "1e400", "18446744073709551616", "0.10", &long, r#""\ud83d\ude00\n""#, "null"] {
        let message = format!(r#"{{"jsonrpc": "2.0", "method": "auth.me", "id" : {id} }}"#);
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#);
        let reply = user.rpc_raw(message.clone()).await;
        assert!(reply.text.starts_with(&expected), "{message}: {}", reply.text);
        let reply = user.rpc_raw(format!("[{message}]")).await;
        assert!(reply.text.starts_with(&format!("[{expected}")), "{message}: {}", reply.text);
        socket.write_all(&super::raw::frame(super::raw::TEXT, message.as_bytes())).await.unwrap();
        let answer = super::raw::next_text(&mut socket).await;
        assert!(answer.starts_with(&expected), "{message}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_params_are_named() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let deep = (0..1000).fold(json!(1), |inner, _| json!({ "a": inner }));
    for (transport, mut wire) in Wire::all(&app, user.token.as_deref()).await {
        for (method, params, names) in [
            ("tasks.list", json!([1]), "object"),
            ("tasks.list", json!({"limit": "ten"}), "`limit`"),
            ("tasks.list", json!({"limit": -1}), "`limit`"),
            ("tasks.list", json!({"limit": 1.5}), "`limit`"),
            ("tasks.list", json!({"limit": 0}), "`limit`"),
            ("tasks.list", json!({"limit": 101}), "`limit`"),
            ("tasks.list", json!({"limit": u64::MAX}), "`limit`"),
            ("tasks.list", json!({"after": "x"}), "`after`"),
            ("tasks.list", json!({"status": "some"}), "`status`"),
            ("tasks.list", json!({"colour": "red"}), "colour"),
            ("tasks.get", json!({}), "task_id"),
            ("tasks.get", json!({"task_id": "7"}), "`task_id`"),
            ("tasks.create", json!({"title": 7}), "`title`"),
            ("tasks.create", json!({"title": "x", "tags": ["a", 7]}), "`tags[1]`"),
            ("threads.list", json!({"order": "up"}), "`order`"),
            ("threads.create", json!({"input": {"content": [{"type": "input_text"}]}}), "content"),
            ("threads.create", json!({"input": deep}), "input"),
            ("system.health", json!({"component": "disk"}), "`component`"),
            ("threads.create", json!({"input": 7}), "`input`"),
            ("threads.create", json!({"input": {"content": [7]}}), "content"),
        ] {
            let words = wire.refused(method, params.clone(), -32602, "INVALID_REQUEST").await;
            assert!(words.contains(names), "{transport}: {method}: {words}");
            let names_a_type = ["struct ", "enum "].iter().any(|word| words.contains(word));
            assert!(!names_a_type, "{transport}: {method}: {words}");
        }
        for method in ["no.such", "", "Tasks.list", "tasks.list ", "rpc.modules", "run.event"] {
            wire.refused(method, json!({}), -32601, "METHOD_NOT_FOUND").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_come_back_as_they_are() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut wires = Wire::all(&app, user.token.as_deref()).await;
    for id in [json!(0), json!(u64::MAX), json!(""), json!("ä\"\n"), json!("0"), json!(null)] {
        for (name, wire) in &mut wires {
            let answer = wire.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "auth.me"})).await;
            assert_eq!(answer["id"], id, "{name}");
            assert!(answer["result"].is_object(), "{name}: {answer}");
        }
    }
    // Params may be left out or be null, and members may stand in any order.
    for body in [
        r#"{"jsonrpc": "2.0", "id": 1, "method": "auth.me", "params": null}"#,
        r#"{"jsonrpc": "2.0", "id": 1, "method": "auth.me", "params": {}}"#,
        "\n{ \"params\": {},\t\"method\": \"auth.\\u006de\", \"id\": 1, \"jsonrpc\": \"2.0\" }\r\n",
    ] {
        let reply = user.rpc_raw(body).await;
        assert!(reply.body["result"].is_object(), "{body}: {}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_and_nesting_have_no_effect_beyond_their_request() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let call = |params: &str| format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "tasks.list", "params": {params}}}"#);
    for params in
        [r#"{"limit": 1e999}"#, r#"{"limit": 99999999999999999999999}"#, r#"{"limit": 1e3}"#, r#"{"limit": -0}"#]
    {
        let reply = user.rpc_raw(call(params)).await;
        assert!(refusal(&reply.body, -32602, "INVALID_REQUEST").contains("`limit`"), "{params}: {}", reply.text);
    }
    // Whole numbers are integers, however they are written.
    for params in [r#"{"limit": 1e2}"#, r#"{"limit": 5.0}"#, r#"{"limit": 10e-1, "status": "all"}"#] {
        let reply = user.rpc_raw(call(params)).await;
        assert!(reply.body["result"].is_object(), "{params}: {}", reply.text);
    }
    let nested = |open: &str, close: &str| open.repeat(100_000) + "1" + &close.repeat(100_000);
    for value in [nested("[", "]"), nested(r#"{"a":"#, "}")] {
        let reply = user.rpc_raw(call(&format!(r#"{{"after": {value}}}"#))).await;
        refusal(&reply.body, -32602, "INVALID_REQUEST");
        let reply = user.rpc_raw(call(&format!(r#"{{"_meta": {value}}}"#))).await;
        refusal(&reply.body, -32602, "INVALID_REQUEST");
        let reply = user.rpc_raw(value).await;
        let answer = if reply.body.is_array() { &reply.body[0] } else { &reply.body };
        refusal(answer, -32600, "INVALID_REQUEST");
    }
    let bytes =
        b"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tasks.create\", \"params\": {\"title\": \"\xff\xfe\"}}";
    refusal(&user.rpc_raw(bytes.to_vec()).await.body, -32700, "INVALID_JSON");
    super::nobody_panicked(&app);
    user.rpc_ok("auth.me", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_transport_has_statuses_of_its_own() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for url in [format!("http://{}/", app.rpc), format!("http://{}/rpc", app.rpc), format!("http://{}/rpc", app.rest)] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let reply = read(http.request(method.clone(), &url)).await;
            assert_eq!((reply.status, reply.header("allow")), (405, "POST"), "{method} {url}");
            assert_named(&reply, "METHOD_NOT_ALLOWED");
        }
        let call = r#"{"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"}"#;
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            let reply = read(http.post(&url).header("content-type", kind).body(call)).await;
            assert_eq!(reply.status, 415, "{kind}");
            assert_named(&reply, "UNSUPPORTED_MEDIA_TYPE");
        }
        for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            let reply = read(http.post(&url).header("content-type", kind).body(call)).await;
            assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{kind}");
            assert!(reply.body["result"]["openrpc"].is_string());
        }
        let reply = read(
            http.post(&url).header("content-type", "application/json").header("x-request-id", "mine-1").body(call),
        )
        .await;
        assert_eq!((reply.header("x-request-id"), reply.header("x-content-type-options")), ("mine-1", "nosniff"));
    }
    let large = format!(
        r#"{{"jsonrpc": "2.0", "id": 1, "method": "auth.me", "params": {{"x": "{}"}}}}"#,
        "x".repeat(2 * 1024 * 1024)
    );
    let reply = user.rpc_raw(large).await;
    assert_eq!(reply.status, 413);
    assert!(refusal(&reply.body, -32013, "PAYLOAD_TOO_LARGE").contains("1048576"), "{}", reply.text);
    let elsewhere = read(http.post(format!("http://{}/elsewhere", app.rpc)).json(&json!({}))).await;
    assert_eq!(elsewhere.status, 404);
}

#[track_caller]
fn assert_named(reply: &Reply, code: &str) {
    let error: &Value = &reply.body["error"];
    assert_eq!((error["data"]["code"].as_str(), &reply.body["id"]), (Some(code), &Value::Null), "{}", reply.text);
}
