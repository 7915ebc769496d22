//! JSON-RPC over HTTP and WebSocket, from normal and hostile clients.

mod batches;
mod errors;
mod follow;
mod frames;
mod handshakes;
mod heartbeats;
mod hostile;
mod hunt;
mod identity;
mod limits;
mod meta;
mod methods;
mod notifications;
mod outage;
mod proxy;
pub mod raw;
mod readers;
mod sockets;
mod stalled;
mod strangers;
mod subscribe;

use crate::support::{App, Client, Socket};
use reqwest::Method;
use serde_json::{Value, json};

/// A transport for JSON-RPC messages.
pub enum Wire {
    /// HTTP POST to the port of JSON-RPC.
    Post(Client),
    /// HTTP POST to `/rpc` on the port of REST.
    RestPost(Client),
    /// A WebSocket on either port.
    Socket(Box<Socket>),
}

impl Wire {
    /// Returns all transports, with this token or none.
    pub async fn all(app: &App, token: Option<&str>) -> [(&'static str, Self); 4] {
        [
            Self::of(app, token, 0).await,
            Self::of(app, token, 1).await,
            Self::of(app, token, 2).await,
            Self::of(app, token, 3).await,
        ]
    }

    /// Returns one of the transports.
    pub async fn of(app: &App, token: Option<&str>, number: usize) -> (&'static str, Self) {
        let client = app.anonymous();
        let client = token.map_or_else(|| client.clone(), |token| client.with_token(token));
        let socket = async |url: String| Self::Socket(Box::new(Socket::connect(&url, token).await));
        match number {
            0 => ("POST", Self::Post(client)),
            1 => ("WebSocket", socket(format!("ws://{}/", app.rpc)).await),
            2 => ("POST /rpc", Self::RestPost(client)),
            _ => ("WebSocket /rpc", socket(format!("ws://{}/rpc", app.rest)).await),
        }
    }

    /// Sends a message and reads its response.
    pub async fn ask(&mut self, message: &Value) -> Value {
        match self {
            Self::Post(client) => client.rpc_raw(message.to_string()).await.body,
            Self::RestPost(client) => {
                crate::support::client::read(client.request(Method::POST, "/rpc").json(message)).await.body
            }
            Self::Socket(socket) => {
                socket.send(&message.to_string()).await;
                socket.receive().await.expect("an answer")
            }
        }
    }

    /// Makes a call. Returns the whole response.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let answer = self.ask(&json!({"jsonrpc": "2.0", "id": "call", "method": method, "params": params})).await;
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!("call")), "{method}: {answer}");
        answer
    }

    /// Sends a call that succeeds. Returns its result.
    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Makes a call that is refused with this error. Returns its message.
    pub async fn refused(&mut self, method: &str, params: Value, rpc: i64, code: &str) -> String {
        let answer = self.call(method, params).await;
        refusal(&answer, rpc, code).to_owned()
    }
}

/// Checks the number and the name of an error. Returns its message.
#[track_caller]
pub fn refusal<'a>(answer: &'a Value, rpc: i64, code: &str) -> &'a str {
    let error = &answer["error"];
    assert_eq!((error["code"].as_i64(), error["data"]["code"].as_str()), (Some(rpc), Some(code)), "{answer}");
    assert!(answer.get("result").is_none(), "{answer}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "an error without words: {answer}");
    message
}

/// Returns the params of a message.
pub fn input(text: &str) -> Value {
    json!({"content": [{"type": "input_text", "text": text}]})
}

/// Checks that no process has panicked.
#[track_caller]
pub fn nobody_panicked(app: &App) {
    for process in &app.processes {
        let log = process.stderr();
        assert!(!log.contains("panicked"), "{log}");
    }
}
