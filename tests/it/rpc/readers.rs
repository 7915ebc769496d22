//! Many readers of one run, including slow ones and ones that never read.

use super::{input, raw};
use crate::support::{App, Client, Gate, Script, Setup, Socket, Upstream};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Tokens of the long response: with their envelopes, more than the buffers of a connection hold.
const TOKENS: usize = 20_000;
/// Connections that subscribe and never read. Buffering all events for them would take 400 MB.
const DEAF: usize = 40;

/// Starts a service whose model waits for the gate, and then sends a number of words of this length.
pub(super) async fn talking(tokens: usize, chars: usize) -> (App, Client, String, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::closed());
    let words: Vec<String> = (0..tokens).map(|number| format!("{number:_>chars$} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    upstream.queue(Script::stream().words(&["Well: "]).stop(&gate).words(&words).done("stop"));
    let app = Setup::new().await.upstream(&upstream).with("MAX_STREAMS_PER_USER", 0).start().await;
    let user = app.user().await;
    let begun = user.rpc_ok("threads.create", json!({"input": input("Count")})).await;
    let run = begun["run"]["id"].as_str().unwrap().to_owned();
    (app, user, run, gate)
}

pub(super) fn is_whole(events: &[(u64, serde_json::Value)], tokens: usize) -> bool {
    let numbered = events.iter().zip(1..).all(|((seq, _), expected)| *seq == expected);
    let deltas = events.iter().filter(|(_, event)| event["update"]["delta"].is_string()).count();
    numbered && deltas == tokens + 1 && events.last().is_some_and(|(_, event)| event["type"] == "run.completed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_cost_others_nothing_and_are_closed() {
    let (mut app, user, run, gate) = talking(TOKENS, 40).await;
    let (mut quick, mut slow) = (user.socket().await, user.socket().await);
    let subscribe =
        json!({"jsonrpc": "2.0", "id": 1, "method": "runs.subscribe", "params": {"run_id": run}}).to_string();
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let mut socket = raw::upgraded(&app.rpc, user.token.as_deref(), 4096).await;
        socket.write_all(&raw::frame(raw::TEXT, subscribe.as_bytes())).await.unwrap();
        // It has subscribed. From here on it reads nothing.
        raw::next_text(&mut socket).await;
        deaf.push(socket);
    }
    let quick_stream = quick.subscribe(&run, None).await;
    let slow_stream = slow.subscribe(&run, None).await;
    let before = resident_mib(app.core().id());
    gate.open();
    let events = quick.events(&quick_stream).await;
    assert!(is_whole(&events, TOKENS), "{} events", events.len());
    let grown = resident_mib(app.core().id()).saturating_sub(before);
    eprintln!("{grown} MiB more with {DEAF} deaf peers");
    assert!(grown < 100, "{grown} MiB more for {DEAF} peers that do not read");
    // The slow reader has read nothing so far. All events are there.
    assert_eq!(slow.events(&slow_stream).await, events);

    // A peer that has read nothing for 30 s is disconnected.
    let deadline = Instant::now() + Duration::from_secs(45);
    while open_sockets(&user).await > 2 {
        assert!(Instant::now() < deadline, "deaf peers keep their sockets");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    quick.ok("auth.me", json!({})).await;
    slow.ok("auth.me", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_readers_get_all_events() {
    const TOKENS: usize = 200;
    let (_app, user, run, gate) = talking(TOKENS, 40).await;
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut socket: Socket = user.socket().await;
        let streams = [socket.subscribe(&run, None).await, socket.subscribe(&run, None).await];
        readers.push(tokio::spawn(async move {
            let mut all = Vec::new();
            for stream in streams {
                all.push(socket.events(&stream).await);
            }
            all
        }));
    }
    gate.open();
    for reader in readers {
        for events in reader.await.unwrap() {
            assert!(is_whole(&events, TOKENS), "{} events", events.len());
        }
    }
}

/// Returns the number of open WebSockets, from the metrics of the core.
async fn open_sockets(user: &Client) -> u64 {
    let page = reqwest::get(format!("http://{}/metrics", user.rpc)).await.unwrap().text().await.unwrap();
    let line = page.lines().find(|line| line.starts_with("threadline_websockets ")).expect("the gauge");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Returns the resident memory of a process.
pub(super) fn resident_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
