//! Hundreds of subscribers that never read: they cost little, and the one that reads misses nothing.

use super::raw;
use super::readers::{is_whole, resident_mib, talking};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// Number and length of the tokens: megabytes to each subscriber, more than the buffers of a connection hold.
const TOKENS: usize = 6_000;
const CHARS: usize = 400;
/// Stalled subscribers of each transport.
const STALLED: usize = 300;

/// A stream over HTTP; only its head is read.
async fn stalled_sse(address: &str, token: &str, path: &str) -> TcpStream {
    let mut stream = raw::connect(address, 4096).await;
    let head = format!("GET {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0_u8; 15];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_hundred_clients_that_never_read_cost_little() {
    let (mut app, user, run, gate) = talking(TOKENS, CHARS).await;
    let token = user.token.clone().unwrap();
    let thread = user.run(run.parse::<Uuid>().unwrap()).await["thread_id"].as_str().unwrap().to_owned();
    let paths = [
        format!("/api/v1/chatkit/runs/{run}/events"),
        format!("/api/v1/chatkit/sessions/{thread}/events?snapshot=true"),
    ];
    let calls = [
        ("runs.subscribe", json!({"run_id": run})),
        ("threads.subscribe", json!({"thread_id": thread, "snapshot": true})),
    ]
    .map(|(method, params)| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string());
    let before = resident_mib(app.core().id());
    let mut stalled = Vec::new();
    for number in 0..STALLED {
        // Half of them follow the run, half its thread.
        stalled.push(stalled_sse(&user.rest, &token, &paths[number % 2]).await);
        let mut socket = raw::upgraded(&user.rpc, Some(&token), 4096).await;
        socket.write_all(&raw::frame(raw::TEXT, calls[number % 2].as_bytes())).await.unwrap();
        raw::next_text(&mut socket).await;
        stalled.push(socket);
    }
    let mut reader = user.socket().await;
    let followed = reader.subscribe(&run, None).await;
    let open = resident_mib(app.core().id());
    gate.open();
    let begun = Instant::now();
    let events = reader.events(&followed).await;
    let took = begun.elapsed();
    let after = resident_mib(app.core().id());
    eprintln!(
        "{} stalled subscribers: {before} MiB before, {open} MiB with all of them, {after} MiB when {TOKENS} tokens \
         had been sent; the reader had them in {took:?}",
        stalled.len()
    );
    assert!(is_whole(&events, TOKENS), "{} events, the last is {:?}", events.len(), events.last());
    // Buffering all events would take 600 times 3 MB; the socket buffers hold a tenth of that.
    let grown = after.saturating_sub(before);
    assert!(grown < 400, "{grown} MiB more");
    assert!(took < Duration::from_secs(60), "{took:?}");
    drop(stalled);
    reader.ok("auth.me", json!({})).await;
}
