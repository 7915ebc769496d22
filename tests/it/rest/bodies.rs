//! Invalid bodies: each is refused with what to change, and the service continues.

use crate::serve_and_split;
use crate::support::client::read;
use crate::support::{Client, Setup, eventually};
use reqwest::Method;
use serde_json::{Value, json};

fn content(content: Value) -> Vec<u8> {
    json!({"message": {"role": "user", "content": content}}).to_string().into_bytes()
}

serve_and_split! {
    async fn a_malformed_message_is_refused_with_what_to_change(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let path = Client::runs_path(session);
        let text = |text: &str| content(json!([{"type": "input_text", "text": text}]));
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let deep_member = format!(r#"{{"message":{deep}}}"#);
        let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
            ("nothing", Vec::new(), "INVALID_JSON", "empty"),
            ("no JSON", b"{\"message\": ".to_vec(), "INVALID_JSON", "line 1"),
            ("single quotes", b"{'message': 1}".to_vec(), "INVALID_JSON", "line 1"),
            ("two documents", b"{} {}".to_vec(), "INVALID_JSON", "line 1"),
            ("no UTF-8", b"{\"message\": \"\xff\xfe\"}".to_vec(), "INVALID_JSON", "UTF-8"),
            (
                "half a surrogate",
                text("x")
                    .iter()
                    .map(|b| char::from(*b))
                    .collect::<String>()
                    .replace("\"x\"", "\"\\ud800\"")
                    .into_bytes(),
                "INVALID_REQUEST",
                "hex escape",
            ),
            ("an array", b"[]".to_vec(), "INVALID_REQUEST", "message"),
            ("null", b"null".to_vec(), "INVALID_REQUEST", "message"),
            ("a number", b"7".to_vec(), "INVALID_REQUEST", "message"),
            ("no message", b"{}".to_vec(), "INVALID_REQUEST", "message"),
            ("a string for a message", b"{\"message\":\"hi\"}".to_vec(), "INVALID_REQUEST", "message"),
            ("no content", b"{\"message\":{\"role\":\"user\"}}".to_vec(), "INVALID_REQUEST", "content"),
            ("a string for content", content(json!("hi")), "INVALID_REQUEST", "content"),
            ("no role", b"{\"message\":{\"content\":[]}}".to_vec(), "INVALID_REQUEST", "role"),
            (
                "the assistant's role",
                String::from_utf8(text("x")).unwrap().replace("user", "assistant").into_bytes(),
                "INVALID_REQUEST",
                "assistant",
            ),
            (
                "the system's role",
                String::from_utf8(text("x")).unwrap().replace("user", "system").into_bytes(),
                "INVALID_REQUEST",
                "system",
            ),
            (
                "another type of part",
                content(json!([{"type": "output_text", "text": "x"}])),
                "INVALID_REQUEST",
                "output_text",
            ),
            ("a part without text", content(json!([{"type": "input_text"}])), "INVALID_REQUEST", "text"),
            ("text that is a number", content(json!([{"type": "input_text", "text": 7}])), "INVALID_REQUEST", "string"),
            (
                "an unknown member of a part",
                content(json!([{"type": "input_text", "text": "x", "bold": true}])),
                "INVALID_REQUEST",
                "bold",
            ),
            (
                "an unknown member",
                b"{\"message\":{\"role\":\"user\",\"content\":[]},\"system\":\"x\"}".to_vec(),
                "INVALID_REQUEST",
                "system",
            ),
            (
                "tools",
                b"{\"message\":{\"role\":\"user\",\"content\":[],\"tools\":[]}}".to_vec(),
                "INVALID_REQUEST",
                "tools",
            ),
            (
                "a member twice",
                b"{\"message\":{\"role\":\"user\",\"role\":\"user\",\"content\":[]}}".to_vec(),
                "INVALID_REQUEST",
                "role",
            ),
            ("very deep", deep.into_bytes(), "INVALID_REQUEST", "message"),
            ("a member very deep", deep_member.into_bytes(), "INVALID_REQUEST", "message"),
            ("no text at all", content(json!([])), "EMPTY_MESSAGE", "text"),
            ("an empty text", text(""), "EMPTY_MESSAGE", "text"),
            ("blanks", text(" \t\n\u{3000}"), "EMPTY_MESSAGE", "text"),
            ("a NUL", text("a\0b"), "INVALID_REQUEST", "NUL"),
        ];
        for (what, body, code, names) in cases {
            let request = user.request(Method::POST, &path).header("content-type", "application/json").body(body);
            let reply = read(request).await;
            assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!(code)), "{what}: {}", reply.text);
            let message = reply.fails(400, code);
            assert!(message.contains(names), "{what} should name {names}: {message}");
            assert!(message.len() < 500, "{what}: {message}");
        }
        assert_eq!(user.history(session).await["messages"], json!([]), "nothing of it was stored");
        assert_eq!(user.say(session, "Hello").await.terminal()["type"], "run.completed");
    }

    async fn a_body_that_is_too_large_or_of_another_type_is_refused(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let path = Client::runs_path(session);
        let large = Client::message(&"x".repeat(2 << 20)).to_string();
        // Announced, and not announced.
        let announced =
            user.request(Method::POST, &path).header("content-type", "application/json").body(large.clone());
        assert!(read(announced).await.fails(413, "PAYLOAD_TOO_LARGE").contains("1048576"));
        let pieces: Vec<_> =
            large.as_bytes().chunks(64 << 10).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let streamed = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let streamed = user.request(Method::POST, &path).header("content-type", "application/json").body(streamed);
        // The response can come before all is sent. Then sending fails, and a client cannot read the response.
        if let Ok(response) = streamed.send().await {
            assert_eq!(response.status(), 413);
        }
        // Just below the limit it is the message that is too long.
        user.say_in_vain(session, &"x".repeat(1_000_000)).await.fails(400, "MESSAGE_TOO_LONG");

        let body = Client::message("Hello").to_string();
        for kind in [
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            None,
        ] {
            let mut request = user.request(Method::POST, &path).body(body.clone());
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let reply = read(request).await;
            assert!(
                reply.fails(415, "UNSUPPORTED_MEDIA_TYPE").contains("application/json"),
                "{kind:?}: {}",
                reply.text
            );
        }
        let request =
            user.request(Method::POST, &path).header("content-type", "application/json; charset=utf-8").body(body);
        assert_eq!(read(request).await.status, 200);
    }

    async fn members_are_read_by_name_and_type(setup: Setup) {
        let app = setup.start().await;
        let user = app.user().await;
        let session = user.session().await;
        let cases = [
            (Method::POST, "/api/v1/auth/register".to_owned(), "[]", "object"),
            (Method::POST, "/api/v1/auth/register".to_owned(), "{}", "email"),
            (Method::POST, "/api/v1/auth/register".to_owned(), r#"{"email":"a@example.com"}"#, "password"),
            (Method::POST, "/api/v1/auth/register".to_owned(), r#"{"email":1,"password":"12345678"}"#, "email"),
            (
                Method::POST,
                "/api/v1/auth/register".to_owned(),
                r#"{"email":"a@example.com","password":"12345678","admin":true}"#,
                "admin",
            ),
            (Method::POST, "/api/v1/auth/login".to_owned(), r#"{"email":["a"],"password":"12345678"}"#, "email"),
            (Method::POST, "/api/v1/chatkit/sessions".to_owned(), r#"{"title":"x"}"#, "title"),
            (Method::POST, "/api/v1/chatkit/sessions".to_owned(), r#"{"input":{"content":[]}}"#, "input"),
            (Method::POST, "/api/v1/chatkit/sessions".to_owned(), r#"{"_meta":{"auth":"x"}}"#, "_meta"),
            (Method::PATCH, format!("/api/v1/chatkit/sessions/{session}"), r#"{"title":"x","title":"y"}"#, "title"),
            (
                Method::PATCH,
                format!("/api/v1/chatkit/sessions/{session}"),
                r#"{"title":"x","thread_id":"y"}"#,
                "thread_id",
            ),
            (Method::DELETE, format!("/api/v1/chatkit/sessions/{session}"), r#"{"force":true}"#, "body"),
            (Method::POST, "/api/v1/tasks".to_owned(), r#"{"title":"x","priority":["high"]}"#, "priority"),
        ];
        for (method, path, body, names) in cases {
            let request = user.request(method.clone(), &path).header("content-type", "application/json").body(body);
            let reply = read(request).await;
            let message = reply.fails(400, "INVALID_REQUEST");
            assert!(message.contains(names), "{method} {path} {body} should name {names}: {message}");
        }
        assert_eq!(user.history(session).await["title"], "New Chat");
    }
}

/// A core closes a socket on a message that it does not read, and all users of a gateway share its sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_with_a_larger_limit_than_its_core_refuses_the_one_request() {
    let mut app = Setup::new().await.split().start().await;
    let rest = app.add_gateway("MAX_BODY_BYTES", 16 << 20).await;
    let stranger = Client::new(&rest, &app.rpc, None);
    eventually("the gateway reaches its core", || async {
        (stranger.get("/health/db").await.status == 200).then_some(())
    })
    .await;
    let user = stranger.register().await;
    // Over the limit of the core, around the size at which it closes a socket, and far beyond it.
    for bytes in [1_500_000, 2_113_000, 2_113_536, 2_114_000, 5_000_000, 15_000_000] {
        let body = json!({"title": "x", "description": "y".repeat(bytes)});
        user.post("/api/v1/tasks", &body).await.fails(413, "PAYLOAD_TOO_LARGE");
        for _ in 0..6 {
            assert_eq!(user.get("/api/v1/auth/me").await.status, 200, "{bytes}");
        }
    }
    let log: Vec<_> = app.log().iter().map(Value::to_string).collect();
    assert!(!log.iter().any(|line| line.contains("connection to the core was lost")), "{log:?}");
}
