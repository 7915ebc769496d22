//! Calls of an endpoint, to a server of the test.

use super::*;
use crate::config::{EndpointKind, UserContext};
use crate::progress::ProgressReporter;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::json;
use std::sync::atomic::{AtomicI64, Ordering};
use threadline_schema::ids::{ThreadId, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "a key of thirty-two characters..";

/// A tool that takes one call at a time.
fn tool(url: String, now: NowFn) -> EndpointTool {
    let config = EndpointConfig {
        kind: EndpointKind::Http { method: http::Method::GET },
        url,
        description: String::new(),
        parameters: json!({"type": "object"}),
        headers: Vec::new(),
        user_context: Some(UserContext { header: "x-user-context".to_owned(), key: KEY.into(), audience: None }),
        limits: CallLimits { timeout: Duration::from_secs(10), concurrency: 1, result_bytes: 1000 },
        has_side_effects: false,
        is_idempotent: false,
        allows_widgets: false,
        is_action: false,
        approval: ApprovalMode::Never,
    };
    EndpointTool::new(&"orders".into(), &config, &EndpointDeps { client: http_client().unwrap(), now }).unwrap()
}

/// Accepts one request. Returns its connection, and when its token was issued and expires.
async fn accept(listener: &TcpListener) -> (TcpStream, [i64; 2]) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let token = head.lines().find_map(|line| line.strip_prefix("x-user-context: ")).expect("a token");
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let key = DecodingKey::from_secret(KEY.as_bytes());
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims;
    (socket, ["iat", "exp"].map(|name| claims[name].as_i64().unwrap()))
}

async fn respond(mut socket: TcpStream) {
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    socket.write_all(response).await.unwrap();
}

#[tokio::test]
async fn a_token_is_signed_after_the_wait_for_a_free_slot() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let time = Arc::new(AtomicI64::new(1_000));
    let now: NowFn = Arc::new({
        let time = time.clone();
        move || DateTime::from_timestamp(time.load(Ordering::Relaxed), 0).unwrap()
    });
    let tool = tool(format!("http://{}/", listener.local_addr().unwrap()), now);
    let progress = ProgressReporter::default();
    let context = ToolContext {
        user_id: UserId::nil(),
        thread_id: ThreadId::nil(),
        run_id: None,
        request_id: "r",
        client_hints: None,
        progress: &progress,
    };
    let server = async {
        let (socket, first) = accept(&listener).await;
        // The second call waits for the slot of the first for longer than a token is valid.
        time.store(2_000, Ordering::Relaxed);
        respond(socket).await;
        let (socket, second) = accept(&listener).await;
        respond(socket).await;
        [first, second]
    };
    // Polled in turn on one thread: both calls have begun before the server sees the first.
    let (first, second, tokens) = tokio::join!(tool.call(context, json!({})), tool.call(context, json!({})), server);
    assert_eq!((first.unwrap().value, second.unwrap().value), (json!({}), json!({})));
    assert_eq!(tokens, [[1_000, 1_060], [2_000, 2_060]]);
}
