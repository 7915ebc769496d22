//! A WebSocket that speaks JSON-RPC.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderMap, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A WebSocket that speaks JSON-RPC. It keeps messages that arrive while it waits for another one.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    inbox: VecDeque<Value>,
    /// Headers of the 101 response.
    pub headers: HeaderMap,
}

impl Socket {
    /// Opens a WebSocket, with the token in the header if there is one.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let mut request = url.into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Self::open(request).await.unwrap_or_else(|refusal| panic!("no WebSocket: {refusal:?}"))
    }

    /// Opens a WebSocket with these headers. Another response is an error.
    pub async fn open(request: Request<()>) -> Result<Self, Response<Option<Vec<u8>>>> {
        match tokio_tungstenite::connect_async(request).await {
            Ok((stream, response)) => {
                Ok(Self { stream, next_id: 1, inbox: VecDeque::new(), headers: response.headers().clone() })
            }
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("no answer to a handshake: {error}"),
        }
    }

    /// Sends a call and waits for its response.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        self.find(|message| message["id"] == id).await
    }

    /// Sends a call that succeeds. Returns its result.
    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        let answer = self.call(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the socket is open");
    }

    /// Subscribes to a run. Returns the id of the subscription.
    pub async fn subscribe(&mut self, run_id: &str, after: Option<Value>) -> Value {
        let mut params = json!({"run_id": run_id});
        if let Some(after) = after {
            params["after"] = after;
        }
        self.ok("runs.subscribe", params).await
    }

    /// Returns the next notification of a subscription, which has this method name.
    pub async fn notification(&mut self, subscription: &Value, name: &str) -> Value {
        let message = self.find(|message| message["params"]["subscription"] == *subscription).await;
        assert_eq!((&message["jsonrpc"], &message["method"]), (&json!("2.0"), &json!(name)), "{message}");
        assert!(message.get("id").is_none(), "a notification with an id: {message}");
        message
    }

    /// Returns the payload of the next notification of a subscription.
    pub async fn told(&mut self, subscription: &Value) -> Value {
        let mut message = self.find(|message| message["params"]["subscription"] == *subscription).await;
        let method = message["method"].as_str().unwrap_or_default();
        assert!(["run.event", "thread.event"].contains(&method), "{message}");
        message["params"]["result"].take()
    }

    /// Returns the next event of a subscription to a run, with its number.
    pub async fn event(&mut self, subscription: &Value) -> (u64, Value) {
        let mut message = self.notification(subscription, "run.event").await;
        let result = message["params"]["result"].take();
        let seq = result["seq"].as_u64().unwrap_or_else(|| panic!("an event without a number: {message} {result}"));
        (seq, result["event"].clone())
    }

    /// Returns the remaining events of a subscription, up to the terminal event.
    pub async fn events(&mut self, subscription: &Value) -> Vec<(u64, Value)> {
        let mut events = Vec::new();
        loop {
            let (seq, event) = self.event(subscription).await;
            let kind = event["type"].as_str().expect("an event has a type");
            let is_last = kind.starts_with("run.") && kind != "run.resync";
            events.push((seq, event));
            if is_last {
                return events;
            }
        }
    }

    /// Reads a run to its end. Returns the events with their numbers.
    pub async fn follow(&mut self, run_id: &str, after: Option<Value>) -> Vec<(u64, Value)> {
        let subscription = self.subscribe(run_id, after).await;
        self.events(&subscription).await
    }

    /// Returns the next message, kept or new; `None` when the socket is closed.
    pub async fn receive(&mut self) -> Option<Value> {
        match self.inbox.pop_front() {
            Some(message) => Some(message),
            None => self.read().await,
        }
    }

    /// Returns the kept messages.
    pub fn kept(&self) -> &VecDeque<Value> {
        &self.inbox
    }

    pub async fn close(mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }

    async fn find(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.inbox.iter().position(&wanted) {
            return self.inbox.remove(at).expect("it was just found");
        }
        loop {
            let message = self.read().await.expect("the socket is open");
            if wanted(&message) {
                return message;
            }
            self.inbox.push_back(message);
        }
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            match tokio::time::timeout(super::PATIENCE, self.stream.next()).await.expect("a message in time")?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).expect("JSON")),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}
