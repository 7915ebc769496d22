//! Clients of the service, over REST and JSON-RPC.

use super::{App, Socket};
use futures::{Stream, StreamExt};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

/// A user of the service, with or without a token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub rest: String,
    pub rpc: String,
    pub token: Option<String>,
    pub email: String,
    pub user_id: Option<Uuid>,
}

/// The password of all users in tests.
pub const PASSWORD: &str = "correct horse battery";

/// A complete response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    /// Returns the `data` of a success.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(self.status < 300 && self.body["success"] == true, "not a success: {} {}", self.status, self.text);
        &self.body["data"]
    }

    /// Checks the status and the code of an error. Returns its message.
    #[track_caller]
    pub fn fails(&self, status: u16, code: &str) -> &str {
        assert_eq!((self.status, self.body["error"]["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.body["success"], false, "{}", self.text);
        let message = self.body["error"]["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error without words");
        message
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {:?}", self.headers));
        value.to_str().unwrap()
    }
}

impl Client {
    pub fn new(rest: &str, rpc: &str, token: Option<String>) -> Self {
        // Without the certificates of the system: reading them takes most of the time of a test with many clients.
        let http = reqwest::Client::builder().no_proxy().timeout(super::PATIENCE).tls_certs_only(std::iter::empty());
        let http = http.build().unwrap();
        Self { http, rest: rest.to_owned(), rpc: rpc.to_owned(), token, email: String::new(), user_id: None }
    }

    /// Returns the user as a client of another process.
    pub fn at(&self, app: &App) -> Self {
        Self { rest: app.rest.clone(), rpc: app.rpc.clone(), ..self.clone() }
    }

    /// Registers a user. The token is signed here, since a login would hash the password once more.
    pub async fn register(&self) -> Self {
        let email = format!("{}@example.com", Uuid::new_v4().simple());
        let registered = self.post("/api/v1/auth/register", &json!({"email": email, "password": PASSWORD})).await;
        let user_id: Uuid = registered.data()["id"].as_str().unwrap().parse().unwrap();
        let token = super::token::mint(user_id, 3600);
        Self { token: Some(token), email, user_id: Some(user_id), ..self.clone() }
    }

    /// Returns the user with another token.
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// Builds a request to the REST API.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.rest));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        read(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        read(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        read(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        read(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        read(self.request(Method::DELETE, path)).await
    }

    /// Creates a session. Returns its id.
    pub async fn session(&self) -> Uuid {
        let reply = self.post("/api/v1/chatkit/sessions", &json!({})).await;
        reply.data()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Returns the path for messages of a session.
    pub fn runs_path(session: Uuid) -> String {
        format!("/api/v1/chatkit/sessions/{session}/threads/{session}/runs")
    }

    /// Returns the body of a message.
    pub fn message(text: &str) -> Value {
        json!({"message": {"role": "user", "content": [{"type": "input_text", "text": text}]}})
    }

    /// Sends a message and reads the whole response.
    pub async fn say(&self, session: Uuid, text: &str) -> Sse {
        self.start(session, text).await.expect("a stream").finish().await
    }

    /// Sends a message. Returns the stream, which is not read yet.
    pub async fn start(&self, session: Uuid, text: &str) -> Result<Sse, Reply> {
        Sse::open(self.request(Method::POST, &Self::runs_path(session)).json(&Self::message(text))).await
    }

    /// Sends a message that is refused, or whose run fails before the first output.
    pub async fn say_in_vain(&self, session: Uuid, text: &str) -> Reply {
        match self.start(session, text).await {
            Ok(stream) => panic!("a stream: {:?}", stream.finish().await.types()),
            Err(reply) => reply,
        }
    }

    /// Reads a run from the beginning, or after a cursor.
    pub async fn follow(&self, run: Uuid, last_event_id: Option<&str>) -> Result<Sse, Reply> {
        let request = self.request(Method::GET, &format!("/api/v1/chatkit/runs/{run}/events"));
        Sse::open(match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        })
        .await
    }

    /// Reads a session, with a query, from now on or after a cursor.
    pub async fn follow_session(&self, session: Uuid, query: &str, last_event_id: Option<&str>) -> Result<Sse, Reply> {
        let request = self.request(Method::GET, &format!("/api/v1/chatkit/sessions/{session}/events{query}"));
        Sse::open(match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        })
        .await
    }

    /// Sends a ChatKit request whose response is JSON.
    pub async fn chatkit(&self, kind: &str, params: Value) -> Reply {
        read(self.chatkit_request(kind, params)).await
    }

    /// Sends a ChatKit request whose response is a stream.
    pub async fn chatkit_stream(&self, kind: &str, params: Value) -> Result<Sse, Reply> {
        Sse::open(self.chatkit_request(kind, params)).await
    }

    /// Builds a ChatKit request.
    pub fn chatkit_request(&self, kind: &str, params: Value) -> reqwest::RequestBuilder {
        self.request(Method::POST, "/chatkit").json(&json!({"type": kind, "params": params, "metadata": {}}))
    }

    /// Returns a user message in the form of ChatKit's front ends.
    pub fn chatkit_input(text: &str) -> Value {
        json!({"content": [{"type": "input_text", "text": text}], "attachments": [], "inference_options": {}})
    }

    /// Returns the current state of a run.
    pub async fn run(&self, run: Uuid) -> Value {
        self.get(&format!("/api/v1/chatkit/runs/{run}")).await.data().clone()
    }

    /// Returns the response to `GET` of a session.
    pub async fn history(&self, session: Uuid) -> Value {
        self.get(&format!("/api/v1/chatkit/sessions/{session}")).await.data().clone()
    }

    /// Makes a JSON-RPC call over HTTP POST. Returns the whole response.
    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        self.rpc_raw(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()).await.body
    }

    /// Makes a JSON-RPC call that succeeds. Returns its result.
    pub async fn rpc_ok(&self, method: &str, params: Value) -> Value {
        let answer = self.rpc(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends bytes to the JSON-RPC port.
    pub async fn rpc_raw(&self, body: impl Into<reqwest::Body>) -> Reply {
        read(self.rpc_request(body)).await
    }

    /// Builds a request to the JSON-RPC port.
    pub fn rpc_request(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        let request =
            self.http.post(format!("http://{}/", self.rpc)).header("content-type", "application/json").body(body);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Opens a WebSocket to the JSON-RPC port.
    pub async fn socket(&self) -> Socket {
        Socket::connect(&format!("ws://{}/", self.rpc), self.token.as_deref()).await
    }
}

/// Sends a request and reads the response.
pub async fn read(request: reqwest::RequestBuilder) -> Reply {
    try_read(request).await.expect("a whole answer")
}

/// As [`read`], for a server that may disconnect.
pub async fn try_read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Reply { status, headers, body, text })
}

type Bytes = std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>;

/// A stream of events, with the events so far.
pub struct Sse {
    pub headers: HeaderMap,
    /// The events: `id:`, if there was one, and data.
    pub events: Vec<(Option<String>, Value)>,
    /// Whether `[DONE]` has arrived.
    pub done: bool,
    /// Number of comment lines.
    pub comments: usize,
    /// The last `id:`, also of a block without data. A browser sends it when it reconnects.
    pub last_id: Option<String>,
    body: Bytes,
    buffer: Vec<u8>,
}

impl Sse {
    /// Opens a stream. Another response is an error.
    pub async fn open(request: reqwest::RequestBuilder) -> Result<Self, Reply> {
        Self::try_open(request).await.expect("an answer")
    }

    /// As [`open`](Self::open), for a server that may disconnect; `None` when it does.
    pub async fn try_open(request: reqwest::RequestBuilder) -> Option<Result<Self, Reply>> {
        let response = request.send().await.ok()?;
        let headers = response.headers().clone();
        let is_stream =
            headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            let status = response.status().as_u16();
            let text = response.text().await.ok()?;
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            return Some(Err(Reply { status, headers, body, text }));
        }
        assert_eq!(response.status(), 200);
        let body = Box::pin(response.bytes_stream());
        Some(Ok(Self {
            headers,
            events: Vec::new(),
            done: false,
            comments: 0,
            last_id: None,
            body,
            buffer: Vec::new(),
        }))
    }

    /// Reads the next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(event) = self.take(&String::from_utf8(block).expect("UTF-8")) {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(super::PATIENCE, self.body.next()).await.expect("the stream goes on")?;
            self.buffer.extend_from_slice(&chunk.ok()?);
        }
    }

    fn take(&mut self, block: &str) -> Option<Value> {
        let mut id = None;
        let mut data = None;
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if let Some(value) = line.strip_prefix("data: ") {
                assert!(data.replace(value.to_owned()).is_none(), "two data lines in one event: {block:?}");
            } else if line.starts_with(':') {
                self.comments += 1;
            } else {
                assert!(line.is_empty(), "an unexpected line: {line:?}");
            }
        }
        self.last_id = id.clone().or(self.last_id.take());
        let data = data?;
        if data == "[DONE]" {
            self.done = true;
            return None;
        }
        assert!(!self.done, "an event after [DONE]: {data}");
        let event: Value = serde_json::from_str(&data).expect("JSON");
        self.events.push((id, event.clone()));
        Some(event)
    }

    /// Reads until an event of this type.
    pub async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no {kind}: {:?}", self.types()));
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Reads until the text is this. Returns the sequence number.
    pub async fn until_said(&mut self, text: &str) -> u64 {
        while self.text() != text {
            assert!(self.next().await.is_some(), "not {text:?} but {:?}", self.text());
        }
        self.seqs().last().copied().expect("events have numbers")
    }

    /// Reads to the end.
    pub async fn finish(mut self) -> Self {
        while self.next().await.is_some() {}
        self
    }

    /// Returns the text of all deltas.
    pub fn text(&self) -> String {
        self.deltas().concat()
    }

    /// Returns the types of the events, in order.
    pub fn types(&self) -> Vec<&str> {
        self.events.iter().map(|(_, event)| event["type"].as_str().unwrap()).collect()
    }

    /// Returns the sequence numbers of the events, in order.
    pub fn seqs(&self) -> Vec<u64> {
        let ids = self.events.iter().filter_map(|(id, _)| id.as_deref());
        ids.map(|id| id.rsplit_once(':').unwrap().1.parse().unwrap()).collect()
    }

    /// Returns the deltas, in order.
    pub fn deltas(&self) -> Vec<&str> {
        let deltas = self.events.iter().filter(|(_, event)| event["type"] == "thread.item.content.part.delta");
        deltas.map(|(_, event)| event["delta"].as_str().unwrap()).collect()
    }

    /// Returns the last event.
    #[track_caller]
    pub fn terminal(&self) -> &Value {
        assert!(self.done, "the stream broke off: {:?}", self.types());
        &self.events.last().expect("an event").1
    }

    pub fn run_id(&self) -> Uuid {
        self.headers["x-run-id"].to_str().unwrap().parse().unwrap()
    }
}
