//! A search for panics with random bytes, which are the same each time.
//!
//! `HUNT_SEED=7 cargo test --test it hunt` hunts elsewhere.

use super::{input, nobody_panicked, raw};
use crate::support::client::read;
use crate::support::{App, Client, Setup};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

/// SplitMix64: enough chance for a test, and the same on every machine.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn seeded() -> Self {
        let seed = std::env::var("HUNT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
        eprintln!("HUNT_SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) % bound as u64).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// One of these, mutated.
    fn one_of(&mut self, from: &[String]) -> Vec<u8> {
        let chosen = &from[self.below(from.len())];
        self.mutate(chosen.as_bytes())
    }

    /// Returns the bytes with some of them changed, removed, doubled, or replaced by bytes that are difficult for
    /// parsers.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        const STONES: [&[u8]; 16] = [
            b"\0",
            b"\xff",
            b"\xf0\x9f",
            b"\\u0000",
            b"\\ud800",
            b"\"",
            b"\\",
            b"{",
            b"]",
            b"1e999",
            b"-0",
            b"null",
            b"99999999999999999999",
            b"%00%ff",
            b"\r\n",
            b"\"_meta\":{\"auth\":1},",
        ];
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let doubled = bytes[at..end].to_vec();
                    bytes.splice(at..at, doubled);
                }
                _ => drop(bytes.splice(at..end, self.pick(&STONES).iter().copied())),
            }
        }
        bytes
    }
}

/// Messages that are right, to begin with.
fn messages() -> Vec<Vec<u8>> {
    let id = Uuid::now_v7();
    let call = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let calls = [
        call("auth.login", json!({"email": "ada@example.com", "password": "x"})),
        call("threads.create", json!({"input": input("Hi"), "idempotency_key": "k", "_meta": {"facts": true}})),
        call("threads.list", json!({"limit": 5, "order": "asc", "after": format!("1700000000000000_{id}")})),
        call("threads.get_by_id", json!({"thread_id": id, "include_tool_calls": true})),
        call("threads.add_user_message", json!({"thread_id": id, "input": input("Hi")})),
        call("runs.subscribe", json!({"run_id": id, "after": format!("{id}:3")})),
        call("runs.unsubscribe", json!({"subscription": 7})),
        call("tasks.create", json!({"title": "ä", "tags": ["a", "b"], "priority": "low", "description": "d\u{1F600}"})),
        call("tasks.update", json!({"task_id": id, "description": null, "completed": true})),
        json!([call("auth.me", json!({})), {"jsonrpc": "2.0", "method": "auth.me"}, 7, call("system.health", json!({}))]),
    ];
    calls.iter().map(|call| call.to_string().into_bytes()).collect()
}

async fn hunted() -> (App, Client, Chance) {
    let app = Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).start().await;
    let user = app.user().await;
    (app, user, Chance::seeded())
}

async fn assert_well(app: &App, user: &Client) {
    nobody_panicked(app);
    user.rpc_ok("auth.me", json!({})).await;
    user.get("/api/v1/auth/me").await.data();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_messages() {
    let (app, user, mut chance) = hunted().await;
    let messages = messages();
    let mut socket = raw::upgraded(&app.rpc, user.token.as_deref(), 1 << 20).await;
    for _ in 0..60 {
        for message in &messages {
            let message = chance.mutate(message);
            let reply = user.rpc_raw(message.clone()).await;
            let shown = String::from_utf8_lossy(&message).into_owned();
            assert!([200, 204].contains(&reply.status), "{shown}: {}", reply.text);
            assert_no_fault(&reply.body, &shown);
            if socket.write_all(&raw::frame(raw::TEXT, &message)).await.is_err() {
                socket = raw::upgraded(&app.rpc, user.token.as_deref(), 1 << 20).await;
            }
        }
    }
    assert_well(&app, &user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_rest() {
    let (app, user, mut chance) = hunted().await;
    let session = user.session().await;
    let bodies = [
        Client::message("Hi").to_string(),
        json!({"title": "x", "tags": ["a"], "description": "d"}).to_string(),
        json!({"email": "ada@example.com", "password": "password"}).to_string(),
        "{}".to_owned(),
    ];
    let paths = [
        Client::runs_path(session),
        format!("/api/v1/chatkit/sessions/{session}"),
        "/api/v1/chatkit/sessions?limit=5&after=x".to_owned(),
        format!("/api/v1/chatkit/sessions/{session}/items?order=asc&limit=1"),
        "/api/v1/tasks?status=all".to_owned(),
        format!("/api/v1/tasks/{session}/complete"),
        "/api/v1/auth/login".to_owned(),
        format!("/api/v1/chatkit/runs/{session}/events"),
    ];
    let verbs = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::HEAD];
    for _ in 0..500 {
        let path = chance.one_of(&paths);
        // What is not a URL at all is for the hunt below.
        let path = format!("/{}", String::from_utf8_lossy(&path).trim_start_matches('/'));
        let body = chance.one_of(&bodies);
        let verb = verbs[chance.below(verbs.len())].clone();
        let request = user.request(verb.clone(), &path).header("content-type", "application/json").body(body.clone());
        let Ok(request) = request.build() else { continue };
        let reply = read(reqwest::RequestBuilder::from_parts(user_http(), request)).await;
        assert!(reply.status < 500, "{verb} {path} {:?}: {}", String::from_utf8_lossy(&body), reply.text);
    }
    assert_well(&app, &user).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_on_a_socket() {
    let (app, user, mut chance) = hunted().await;
    let post = format!(
        "POST /rpc HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 47\r\n\r\n{{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"auth.me\"}}",
        user.token.as_deref().unwrap()
    );
    let chunked = "POST /api/v1/tasks HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n";
    let handshake = raw::handshake(user.token.as_deref());
    let frame = raw::frame(raw::TEXT, br#"{"jsonrpc": "2.0", "id": 1, "method": "auth.me"}"#);
    for _ in 0..100 {
        for address in [&app.rest, &app.rpc] {
            for bytes in [post.as_bytes(), chunked.as_bytes(), handshake.as_bytes()].map(|bytes| chance.mutate(bytes)) {
                throw(raw::connect(address, 65_536).await, &bytes).await;
            }
            throw(raw::connect(address, 65_536).await, &chance.bytes(400)).await;
        }
        for bytes in [chance.mutate(&frame), chance.bytes(60)] {
            throw(raw::upgraded(&app.rpc, user.token.as_deref(), 65_536).await, &bytes).await;
        }
    }
    assert_well(&app, &user).await;
}

/// Sends bytes and closes the sending side. The server must end the connection.
async fn throw(mut stream: tokio::net::TcpStream, bytes: &[u8]) {
    // It may be closed already: a wrong beginning is enough.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    raw::rest(&mut stream).await;
}

fn user_http() -> reqwest::Client {
    use std::sync::OnceLock;
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()).clone()
}

/// Checks that a response contains no internal error.
#[track_caller]
fn assert_no_fault(answer: &Value, sent: &str) {
    let answers = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
    for answer in answers {
        assert_ne!(answer["error"]["code"], json!(-32603), "{sent}: {answer}");
    }
}
