//! An idle WebSocket: the server sends pings, and closes it if the peer does not answer.

use super::raw;
use crate::support::database::Database;
use crate::support::process::SECRET;
use crate::support::{Client, Socket};
use bytes::Bytes;
use http::Request;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use threadline::config::Settings;
use threadline::listen::{self, ConnectionLimits, Listener};
use threadline_core::{Core, RpcHttpConfig};
use threadline_runtime::Supervisor;
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

/// Far shorter than the binary's, which no setting changes: a test would take minutes.
const PING_EVERY: Duration = Duration::from_millis(200);

/// The core's own port in this process.
async fn serve(database: &Database) -> SocketAddr {
    let url = database.url();
    let lookup = |name: &str| match name {
        "DATABASE_URL" => Some(url.clone()),
        "SECRET_KEY" => Some(SECRET.to_owned()),
        "RATE_LIMIT_REQUESTS_PER_MINUTE" => Some("0".to_owned()),
        _ => None,
    };
    let (config, _) = Settings::read(&lookup).unwrap().core().unwrap();
    let supervisor = Supervisor::default();
    let core = Core::start(config, &supervisor).await.unwrap();
    let http = RpcHttpConfig {
        max_sockets: 10,
        body_timeout: Duration::from_secs(5),
        ping_interval: PING_EVERY,
        ..RpcHttpConfig::default()
    };
    let server = core.rpc_server(http);
    let listener = Listener::bind("rpc", "RPC_LISTEN", "127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move |peer: SocketAddr, request: Request<hyper::body::Incoming>| {
        // The core must live as long as its server.
        let (server, core) = (server.clone(), core.clone());
        async move {
            let response = server.handle(peer.ip(), request).await;
            drop(core);
            response
        }
    };
    tokio::spawn(listen::serve(listener, handler, ConnectionLimits::default(), CancellationToken::new(), supervisor));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_answer_pings_stay_and_others_are_closed() {
    let database = Database::sqlite();
    let address = serve(&database).await.to_string();
    let anybody = Client::new(&address, &address, None);
    let credentials = json!({"email": "a@example.com", "password": crate::support::client::PASSWORD});
    anybody.rpc_ok("auth.register", credentials.clone()).await;
    let token = anybody.rpc_ok("auth.login", credentials).await["token"].as_str().unwrap().to_owned();
    let user = anybody.with_token(&token);
    let thread = user.rpc_ok("threads.create", json!({})).await["thread"]["id"].clone();
    let subscribe = json!({"jsonrpc": "2.0", "id": 1, "method": "threads.subscribe", "params": {"thread_id": thread}});

    // Reads, and answers pings, like any client.
    let mut good: Socket = user.socket().await;
    let followed = good.ok("threads.subscribe", json!({"thread_id": thread})).await;
    // Reads, and answers nothing.
    let mut mute = raw::upgraded(&address, Some(&token), 65_536).await;
    mute.write_all(&raw::frame(raw::TEXT, subscribe.to_string().as_bytes())).await.unwrap();
    raw::next_text(&mut mute).await;
    let begun = Instant::now();
    let waiting = tokio::spawn(async move {
        let rest: Bytes = raw::rest(&mut mute).await.into();
        (rest, begun.elapsed())
    });
    // Nothing happens in the thread all the while, so the good one only reads pings.
    let silence = tokio::time::timeout(PING_EVERY * 15, good.receive()).await;
    assert!(silence.is_err(), "{silence:?}");
    let (rest, lasted) = waiting.await.unwrap();
    let pings = rest.chunks(2).filter(|frame| *frame == [0x89, 0]).count();
    eprintln!("cut after {lasted:?} and {pings} pings");
    let reason = [&[0x88, 26, 0x03, 0xf0][..], b"Pings were not answered."].concat();
    assert!(rest.ends_with(&reason), "code 1008, with its reason: {:?}", &rest[rest.len().saturating_sub(40)..]);
    assert!(pings >= 2 && lasted < PING_EVERY * 15, "{pings} pings, cut after {lasted:?}");

    let said = json!({"thread_id": thread, "input": {"content": [{"type": "input_text", "text": "Hello"}]}});
    user.rpc_ok("threads.add_user_message", said).await;
    let note = good.notification(&followed, "thread.event").await;
    assert_eq!(note["params"]["result"]["seq"], 1, "who was silent for long is told what happens");
}
