//! WebSockets of strangers: little memory, and little time.

use crate::rpc::raw;
use crate::support::{App, Setup, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Resident memory of the core, in bytes.
fn resident(app: &mut App) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.core().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

fn call(method: &str, params: &Value) -> Vec<u8> {
    let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    raw::frame(raw::TEXT, text.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_length_takes_no_memory() {
    let mut app = Setup::new().await.start().await;
    let before = resident(&mut app);
    let mut sockets: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut socket = raw::upgraded(&app.rest, None, 65_536).await;
        // The head of a frame of 2 MiB, and nothing of it.
        let mut head = vec![0x82, 0xff];
        head.extend_from_slice(&2_113_536_u64.to_be_bytes());
        head.extend_from_slice(&[0; 4]);
        socket.write_all(&head).await.unwrap();
        sockets.push(socket);
    }
    app.anonymous().get("/health").await;
    let grown = resident(&mut app).saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "200 sockets of strangers took {grown} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sends_little_and_a_user_more() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let large = call("tasks.create", &json!({"title": "x", "description": "y".repeat(100_000)}));
    for address in [&app.rpc, &app.rest] {
        let mut stranger = raw::upgraded(address, None, 65_536).await;
        let _ = stranger.write_all(&large).await;
        let refused: Value = serde_json::from_str(&raw::next_text(&mut stranger).await).unwrap();
        assert_eq!(refused["error"]["data"]["code"], "PAYLOAD_TOO_LARGE", "{refused}");
        let (code, reason) = raw::closed(&mut stranger).await;
        assert!(code == 1009 && reason.contains("16384"), "{code} {reason}");

        let mut known = raw::upgraded(address, user.token.as_deref(), 65_536).await;
        known.write_all(&large).await.unwrap();
        let answer: Value = serde_json::from_str(&raw::next_text(&mut known).await).unwrap();
        assert_eq!(answer["error"]["data"]["code"], "INVALID_REQUEST", "it was read: {answer}");

        // A call that is authenticated makes a stranger known.
        let mut stranger = raw::upgraded(address, None, 65_536).await;
        stranger.write_all(&call("auth.me", &json!({"_meta": {"auth": user.token}}))).await.unwrap();
        raw::next_text(&mut stranger).await;
        stranger.write_all(&large).await.unwrap();
        let answer: Value = serde_json::from_str(&raw::next_text(&mut stranger).await).unwrap();
        assert_eq!(answer["error"]["data"]["code"], "UNAUTHORIZED", "it was read: {answer}");
    }
    assert!(app.metrics().await.contains("threadline_input_refused_total{reason=\"stranger\"} 2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_disconnected_after_ten_seconds_and_a_user_is_not() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut known = user.socket().await;
    let mut stranger = raw::upgraded(&app.rest, None, 65_536).await;
    let since = Instant::now();
    // A call that needs no token changes nothing.
    stranger.write_all(&call("system.health", &json!({}))).await.unwrap();
    raw::next_text(&mut stranger).await;
    let (code, reason) = raw::closed(&mut stranger).await;
    assert!(code == 1008 && reason.contains("authenticated"), "{code} {reason}");
    assert!((8..15).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
    known.ok("auth.me", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_token_is_small() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tasks.create",
                      "params": {"title": "x", "description": "y".repeat(20_000)}});
    let refused = app.anonymous().rpc_raw(call.to_string()).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    assert!(refused.text.contains("Authorization"), "{}", refused.text);
    let refused = app.anonymous().with_token("no.valid.token").rpc_raw(call.to_string()).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    assert_eq!(user.rpc_raw(call.to_string()).await.status, 200);
    let credentials = json!({"email": "x".repeat(20_000), "password": "y"});
    app.anonymous().post("/api/v1/auth/login", &credentials).await.fails(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_one_by_its_secret() {
    let setup = Setup::new().await.split().with("GATEWAY_SECRET", "only-the-two-know-it");
    let app = setup.with("RATE_LIMIT_REQUESTS_PER_MINUTE", 2).start().await;
    // The gateway's sockets stay open without a user.
    tokio::time::sleep(Duration::from_secs(11)).await;
    eventually("the core is reached", || async {
        (app.anonymous().get("/health/db").await.status == 200).then_some(())
    })
    .await;
    assert!(
        app.metrics().await.contains("threadline_websocket_strangers_total 0") || {
            !app.metrics().await.contains("threadline_websocket_strangers_total")
        }
    );
    // Nobody else names the addresses of clients, also from a trusted address.
    let mut socket = app.anonymous().socket().await;
    for (host, code) in [(1, "INVALID_CREDENTIALS"), (2, "INVALID_CREDENTIALS"), (3, "RATE_LIMITED")] {
        let params = json!({"email": format!("{host}@example.com"), "password": "wrong-password",
                            "_meta": {"ip": format!("192.0.2.{host}")}});
        let refused = socket.call("auth.login", params).await;
        assert_eq!(refused["error"]["data"]["code"], code, "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announced_bodies_of_strangers_keep_no_user_from_sending() {
    let app = Setup::new().await.with("MAX_MESSAGE_CHARS", 50_000).start().await;
    let user = app.user().await;
    let session = user.session().await;
    let mut held = Vec::new();
    for (line, times) in [("POST /api/v1/tasks", 200), ("POST /api/v1/chatkit", 70)] {
        for _ in 0..times {
            let mut socket = raw::connect(&app.rest, 4096).await;
            let head = format!(
                "{line} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer x\r\ncontent-type: application/json\r\n\
                 content-length: 1048576\r\n\r\n"
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            held.push(socket);
        }
    }
    // A body that is not read is refused at once.
    let answer = String::from_utf8(raw::rest(&mut held[0]).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401") || answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(user.say(session, &"x".repeat(39_000)).await.done);
    let large = json!({"title": "x", "description": "y".repeat(100_000)});
    user.post("/api/v1/tasks", &large).await.fails(400, "INVALID_REQUEST");
    app.anonymous().with_token("x").post("/api/v1/tasks", &large).await.fails(401, "UNAUTHORIZED");
    assert!(!app.metrics().await.contains("reason=\"budget\""));
}
