//! Broken, fragmented and hostile connections: they affect only themselves.

use super::{input, nobody_panicked, raw, refusal};
use crate::support::{Gate, Script, Setup, Upstream, eventually};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

fn call(id: u64, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_may_come_one_by_one() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let body = call(7, "tasks.create", &json!({"title": "Grüße aus 東京"}));

    let mut socket = raw::connect(&app.rpc, 65_536).await;
    raw::trickle(&mut socket, raw::handshake(user.token.as_deref()).as_bytes()).await;
    raw::trickle(&mut socket, &raw::frame(raw::TEXT, body.as_bytes())).await;
    // In two fragments, with a ping between them, and a character cut in two.
    let (head, tail) = body.as_bytes().split_at(body.find('ü').unwrap() + 1);
    raw::trickle(&mut socket, &raw::frame(0x01, head)).await;
    raw::trickle(&mut socket, &raw::frame(0x89, b"alive?")).await;
    raw::trickle(&mut socket, &raw::frame(0x80, tail)).await;
    let mut post = raw::connect(&app.rpc, 65_536).await;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        user.token.as_deref().unwrap(),
        body.len()
    );
    raw::trickle(&mut post, head.as_bytes()).await;
    raw::trickle(&mut post, body.as_bytes()).await;
    let answer = String::from_utf8(raw::rest(&mut post).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"id\":7"), "{answer}");

    let tasks = eventually("three tasks", || async {
        let page = user.rpc_ok("tasks.list", json!({})).await;
        (page["data"].as_array().unwrap().len() == 3).then_some(page)
    })
    .await;
    for task in tasks["data"].as_array().unwrap() {
        assert_eq!(task["title"], "Grüße aus 東京");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_loses_only_its_own_socket() {
    let app = Setup::new().await.start().await;
    let user = app.user().await;
    let mut good = user.socket().await;
    let hostile: [(&str, Vec<u8>); 8] = [
        ("a reserved opcode", raw::frame(0x83, b"x")),
        ("a reserved bit", raw::frame(0xc1, b"x")),
        ("a long control frame", raw::frame(0x89, &[0; 200])),
        ("a ping in pieces", raw::frame(0x09, b"x")),
        ("the end of nothing", raw::frame(0x80, b"x")),
        ("a close frame of one byte", raw::frame(0x88, b"x")),
        ("a message of 2^62 bytes", long_head(1 << 62)),
        ("HTTP where frames are due", b"GET / HTTP/1.1\r\nhost: test\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in hostile {
        let mut bad = raw::upgraded(&app.rpc, user.token.as_deref(), 65_536).await;
        bad.write_all(&bytes).await.unwrap();
        eprintln!("{what} ends the socket");
        raw::rest(&mut bad).await;
        good.ok("auth.me", json!({})).await;
    }

    let large = json!({"title": "x".repeat(1024 * 1024)});
    refusal(&good.call("tasks.create", large).await, -32013, "PAYLOAD_TOO_LARGE");
    let half = json!({"jsonrpc": "2.0", "id": 1, "method": "tasks.create", "params": {"title": "x".repeat(600_000)}});
    good.send(&json!([half, half]).to_string()).await;
    refusal(&good.receive().await.unwrap(), -32013, "PAYLOAD_TOO_LARGE");
    good.ok("auth.me", json!({})).await;
    nobody_panicked(&app);
}

/// The head of a message of so many bytes.
fn long_head(bytes: u64) -> Vec<u8> {
    let mut head = vec![raw::TEXT, 0xff];
    head.extend_from_slice(&bytes.to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disconnects_leaves_nothing_half_done() {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    for _ in 0..8 {
        upstream.queue(Script::stream().words(&["one"]).stop(&gate).words(&[" two"]).done("stop"));
    }
    let app = Setup::new().await.upstream(&upstream).with("MAX_SESSIONS_PER_USER", 0).start().await;
    let user = app.user().await;
    let body = call(1, "threads.create", &json!({"input": input("Hello")}));
    let head = format!(
        "POST / HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        user.token.as_deref().unwrap(),
        body.len()
    );
    for _ in 0..4 {
        let mut post = raw::connect(&app.rpc, 65_536).await;
        post.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        drop(post);
        let mut socket = raw::upgraded(&app.rpc, user.token.as_deref(), 65_536).await;
        socket.write_all(&raw::frame(raw::TEXT, body.as_bytes())).await.unwrap();
        drop(socket);
        // Closed before the message was complete: nothing happens.
        let mut cut = raw::connect(&app.rpc, 65_536).await;
        cut.write_all(format!("{head}{}", &body[..body.len() - 1]).as_bytes()).await.unwrap();
        drop(cut);
    }
    gate.open();
    // Each thread has its message and its response, and accepts the next message.
    let threads = eventually("every run has ended", || async {
        let page = user.rpc_ok("threads.list", json!({"limit": 100})).await;
        let threads = page["data"].as_array().unwrap().clone();
        threads.iter().all(|thread| thread["message_count"] == 2).then_some(threads)
    })
    .await;
    assert!(threads.len() <= 8, "{} threads of 8 whole messages", threads.len());
    for thread in threads {
        let said = json!({"thread_id": thread["id"], "input": input("Again")});
        let answer = eventually("the thread is free", || async {
            let answer = user.rpc("threads.add_user_message", said.clone()).await;
            match answer.get("error") {
                None => Some(answer),
                Some(_) => {
                    refusal(&answer, -32009, "THREAD_BUSY");
                    None
                }
            }
        })
        .await;
        assert_eq!(answer["result"]["thread_id"], thread["id"]);
    }
    nobody_panicked(&app);
}
