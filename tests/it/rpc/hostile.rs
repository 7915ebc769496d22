//! A generator of hostile calls, from the schemas of all methods: each is answered, once, under its own id, and never
//! with an internal error. The same over HTTP and a WebSocket, alone and in batches.
//!
//! `HUNT_SEED=7 cargo test --test it hostile` generates others.

use super::hunt::Chance;
use super::nobody_panicked;
use crate::security::by_schema::Schemas;
use crate::support::{App, Client, PATIENCE, Setup};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::time::{Duration, Instant};
use threadline_schema::{MethodInfo, rpc};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long messages are generated, unless so many are reached before.
const TIME: Duration = Duration::from_secs(6);
const MESSAGES: usize = 1_500;

/// Calls that take the caller's access away, or hash a password, which takes long.
const LEFT_OUT: [&str; 5] =
    ["auth.logout_everywhere", "auth.delete_account", "auth.change_password", "auth.login", "auth.register"];

/// JSON that is difficult somewhere: for parsers, types, ranges, databases, logs.
fn stones() -> Vec<String> {
    let mut stones: Vec<String> = [
        "null",
        "true",
        "0",
        "-1",
        "-0.0",
        "1.5",
        "1e400",
        "1e-400",
        "18446744073709551616",
        "-9223372036854775809",
        r#""""#,
        r#"" ""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u202e\u200b\ufeff""#,
        r#""\r\nid: 1\r\ndata: {}\r\n\r\n""#,
        r#""../../etc/passwd""#,
        r#""' OR 1=1; DROP TABLE users; --""#,
        r#""%s%n${jndi:ldap://x}{{7*7}}""#,
        r#""00000000-0000-0000-0000-000000000000""#,
        r#""ffffffff-ffff-ffff-ffff-ffffffffffff""#,
        r#""00000000-0000-0000-0000-00000000000g""#,
        r#""00000000-0000-0000-0000-000000000000:99999999999999999999""#,
        r#""9999999999999999_00000000-0000-0000-0000-000000000000""#,
        r#""9999-99-99""#,
        r#""-262145-01-01""#,
        "{}",
        "[]",
        "[null]",
        r#"{"a":1,"a":2}"#,
        r#"{"":{"":[]}}"#,
        r#"{"__proto__":{"x":1},"type":"x"}"#,
        r#"{"type":"input_text","text":"\u0000"}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    stones.push(format!("{}1{}", "[".repeat(200), "]".repeat(200)));
    stones.push(format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300)));
    stones.push(format!("\"{}\"", "x".repeat(20_000)));
    stones.push(format!("\"{}\"", "\u{1F600}".repeat(300)));
    stones.push(format!("[{}]", vec!["\"00000000-0000-0000-0000-000000000000\""; 500].join(",")));
    stones
}

/// A message entry, and the id of the answer that it must get; `None` if it gets none.
struct Entry {
    text: String,
    answer: Option<String>,
}

struct Generator {
    chance: Chance,
    schemas: Schemas,
    stones: Vec<String>,
    methods: Vec<&'static MethodInfo>,
    next_id: usize,
}

impl Generator {
    fn stone(&mut self) -> String {
        let at = self.chance.below(self.stones.len());
        self.stones[at].clone()
    }

    /// Returns the text of params: such as a method takes, with some of the members wrong.
    fn params(&mut self, method: &str) -> String {
        let schema = self.schemas.params(method);
        let mut params = self.schemas.example("", &schema);
        let paths: Vec<_> = self.schemas.members(&schema, 3).into_iter().map(|member| member.path).collect();
        let mut raw = Vec::new();
        for _ in 0..self.chance.below(4) {
            // Text that is not a JSON value of this library goes in afterwards.
            let mark = format!("@@{}@@", raw.len());
            raw.push(self.stone());
            match self.chance.below(8) {
                0 => params[format!("unknown{}", raw.len())] = json!(mark),
                1 => params["_meta"] = json!(mark),
                2 => {
                    let name = self.chance.pick(&["auth", "user", "facts", "ip", "request_id", "x"]);
                    params["_meta"] = json!({name: mark});
                }
                3 => {
                    let members = params.as_object_mut().unwrap();
                    let names: Vec<_> = members.keys().cloned().collect();
                    if !names.is_empty() {
                        members.remove(&names[self.chance.below(names.len())]);
                    }
                }
                _ if paths.is_empty() => {}
                _ => {
                    let path = &paths[self.chance.below(paths.len())];
                    self.schemas.set(&schema, &mut params, path, json!(mark));
                }
            }
        }
        let mut text = params.to_string();
        for (at, stone) in raw.iter().enumerate() {
            text = text.replace(&format!("\"@@{at}@@\""), stone);
        }
        match self.chance.below(20) {
            0 => format!("[{text}]"),
            1 => self.stone(),
            // A member twice.
            2 if text.len() > 2 => format!("{},{}", &text[..text.len() - 1], &text[1..]),
            _ => text,
        }
    }

    fn id(&mut self) -> String {
        self.next_id += 1;
        let number = self.next_id;
        match self.chance.below(8) {
            0 => format!("-{number}"),
            1 => format!("{number}.50"),
            2 => format!("{number}e400"),
            3 => format!("{}{number}", u64::MAX),
            4 => format!("\"\\u0000\\ud800{number}\\\"\""),
            5 => format!("\"{number}{}\"", "x".repeat(2_000)),
            6 => format!("\"{number}\""),
            _ => number.to_string(),
        }
    }

    fn entry(&mut self) -> Entry {
        let id = self.id();
        let at = self.chance.below(self.methods.len());
        let mut method = self.methods[at].name.to_owned();
        let params = self.params(&method);
        if self.chance.below(12) == 0 {
            let odd =
                ["", "rpc.", "no.such", "threads.create ", "THREADS.CREATE", "../x", "runs.unsubscribe", "constructor"];
            method = self.chance.pick(&odd).to_owned();
        }
        let method = json!(method);
        let (text, answer) = match self.chance.below(16) {
            0 => {
                // With params that are not structured it is not a notification.
                let is_structured = params.trim_start().starts_with(['{', '[', 'n']);
                let answer = (!is_structured).then(|| "null".to_owned());
                (format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params}}}"#), answer)
            }
            1 => {
                let bad = self.chance.pick(&["true", "{}", "[1]"]);
                (format!(r#"{{"jsonrpc":"2.0","id":{bad},"method":{method},"params":{params}}}"#), Some("null".into()))
            }
            2 => {
                let version = self.chance.pick(&["2.0", "\"1.0\"", "null", "\"2\""]);
                (format!(r#"{{"jsonrpc":{version},"id":{id},"method":{method},"params":{params}}}"#), Some(id))
            }
            3 => (format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"method":{method}}}"#), Some(id)),
            4 => (format!(r#"{{"jsonrpc":"2.0","id":{id},"id":{id},"method":{method}}}"#), Some("null".into())),
            5 => (self.chance.pick(&["7", "\"x\"", "null", "{}", "[[]]"]).to_owned(), Some("null".into())),
            6 => {
                let stone = self.stone();
                (format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{stone},"params":{params}}}"#), Some(id))
            }
            7 => {
                let stone = self.stone();
                (format!(r#"{{"jsonrpc":"2.0","id":{id},"x":{stone},"params":{params},"method":{method}}}"#), Some(id))
            }
            _ => (format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{method},"params":{params}}}"#), Some(id)),
        };
        Entry { text, answer }
    }

    /// Returns a message, and the ids of the answers in order. A batch is answered by an array.
    fn message(&mut self) -> (String, Vec<String>, bool) {
        match self.chance.below(10) {
            0 => {
                let count = self.chance.below(8) + 1;
                let entries: Vec<_> = (0..count).map(|_| self.entry()).collect();
                let texts: Vec<_> = entries.iter().map(|entry| entry.text.as_str()).collect();
                (format!("[{}]", texts.join(",")), entries.into_iter().filter_map(|entry| entry.answer).collect(), true)
            }
            1 if self.chance.below(4) == 0 => {
                let text = Some(self.entry().text).filter(|text| text.len() < 10_000).unwrap_or_else(|| "7".to_owned());
                (format!("[{}]", vec![text; 51].join(",")), vec!["null".into()], false)
            }
            _ => {
                let entry = self.entry();
                // A batch of one batch, which is not a request.
                let is_batch = entry.text.starts_with('[');
                (entry.text, entry.answer.into_iter().collect(), is_batch)
            }
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    /// Also if it is null.
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Checks a text that answers a message: one answer for each id, in order, each a result or an error.
fn check(sent: &str, ids: &[String], is_batch: bool, text: &str) {
    let shown = || format!("{}\nwas answered by {text}", sent.chars().take(3_000).collect::<String>());
    let answers: Vec<Answer<'_>> = match (ids, is_batch) {
        ([], _) => panic!("an answer to a notification: {}", shown()),
        (_, true) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {}", shown())),
        (_, false) => vec![serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {}", shown()))],
    };
    let found: Vec<_> = answers.iter().map(|answer| answer.id.get()).collect();
    assert_eq!(found, ids, "{}", shown());
    for answer in &answers {
        assert!(answer.result.is_some() != answer.error.is_some(), "neither or both: {}", shown());
        let error = answer.error.map_or("", RawValue::get);
        assert!(!error.contains("-32603") && !error.contains("INTERNAL_ERROR"), "an internal error: {}", shown());
    }
}

async fn generator() -> (App, Client, Generator) {
    let setup = Setup::new().await.with("MAX_SESSIONS_PER_USER", 0).with("MAX_STREAMS_PER_USER", 0);
    let app = setup.start().await;
    let user = app.user().await;
    let schemas = Schemas::new(user.rpc_ok("rpc.discover", json!({})).await);
    let methods = rpc::all().filter(|method| !LEFT_OUT.contains(&method.name)).collect();
    let generator = Generator { chance: Chance::seeded(), schemas, stones: stones(), methods, next_id: 0 };
    (app, user, generator)
}

/// Checks that the service is as well as before.
async fn is_well(app: &App, user: &Client) {
    nobody_panicked(app);
    user.rpc_ok("auth.me", json!({})).await;
    let errors: Vec<_> = app.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_over_http_is_answered_once_under_its_id() {
    let (app, user, mut generator) = generator().await;
    let began = Instant::now();
    for _ in 0..MESSAGES {
        if began.elapsed() > TIME {
            break;
        }
        let (sent, ids, is_batch) = generator.message();
        let reply = user.rpc_raw(sent.clone()).await;
        if ids.is_empty() {
            assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{sent}");
        } else {
            assert_eq!(reply.status, 200, "{sent}: {}", reply.text);
            check(&sent, &ids, is_batch, &reply.text);
        }
    }
    is_well(&app, &user).await;
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Returns the next message that is not of a subscription.
async fn next_answer(stream: &mut Stream, sent: &str) -> String {
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.next()).await;
        let message = message.unwrap_or_else(|_| panic!("no answer: {sent}")).expect("an open socket");
        match message.unwrap_or_else(|error| panic!("{error}: {sent}")) {
            // Only notifications of subscriptions name a method.
            Message::Text(text) if text.starts_with(r#"{"jsonrpc":"2.0","method":"#) => {}
            Message::Text(text) => return text.to_string(),
            Message::Close(reason) => panic!("closed, {reason:?}: {sent}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_over_a_websocket_is_answered_once_under_its_id() {
    let (app, user, mut generator) = generator().await;
    let mut request = format!("ws://{}/", app.rpc).into_client_request().unwrap();
    let token = format!("Bearer {}", user.token.as_deref().unwrap());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let (mut stream, _) = tokio_tungstenite::connect_async(request).await.expect("a WebSocket");
    let began = Instant::now();
    for round in 0..MESSAGES {
        if began.elapsed() > TIME {
            break;
        }
        let (sent, ids, is_batch) = generator.message();
        stream.send(Message::text(sent.clone())).await.expect("an open socket");
        if !ids.is_empty() {
            check(&sent, &ids, is_batch, &next_answer(&mut stream, &sent).await);
        }
        // Nothing more has come, and nothing came for a notification.
        let probe = format!(r#"{{"jsonrpc":"2.0","id":"probe {round}","method":"auth.me"}}"#);
        stream.send(Message::text(probe.clone())).await.expect("an open socket");
        check(&probe, &[format!("\"probe {round}\"")], false, &next_answer(&mut stream, &sent).await);
    }
    is_well(&app, &user).await;
}

#[test]
fn the_generator_makes_what_it_says() {
    // What a schema asks for is in the example.
    let document = json!({"methods": [{"name": "m", "params": [
        {"name": "id", "required": true, "schema": {"type": "string", "format": "uuid"}},
        {"name": "n", "required": false, "schema": {"$ref": "#/components/schemas/N"}},
    ]}], "components": {"schemas": {"N": {"type": "object", "properties": {"x": {"type": "integer", "minimum": 3}}}}}});
    let schemas = Schemas::new(document);
    let schema = schemas.params("m");
    let mut example = schemas.example("", &schema);
    assert!(example["id"].as_str().is_some_and(|id| id.parse::<uuid::Uuid>().is_ok()) && example.get("n").is_none());
    let paths: Vec<_> = schemas.members(&schema, 3).into_iter().map(|member| member.path.join(".")).collect();
    assert_eq!(paths, ["id", "n", "n.x"]);
    schemas.set(&schema, &mut example, &["n".to_owned(), "x".to_owned()], json!(7));
    assert_eq!(example["n"], json!({"x": 7}));
}
