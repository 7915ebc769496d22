//! A scripted server that speaks OpenAI's chat completions.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server. Cheap to clone. It ends with the runtime of the test.
#[derive(Clone)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    scripts: VecDeque<Script>,
    model: Option<Answering>,
    /// The entries of the list of models.
    models: Option<Value>,
    requests: Vec<Value>,
    bodies: Vec<Vec<u8>>,
    heads: Vec<String>,
    /// Requests whose clients disconnected before the end of the response: index, and when.
    aborted: Vec<(usize, Instant)>,
    /// Returns the indices of the requests whose response was sent completely, whether or not the client read it.
    answered: Vec<usize>,
}

/// Chooses the script of each request.
type Answering = Arc<dyn Fn(&Value) -> Script + Send + Sync>;

/// The steps of a response.
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Sends bytes.
    Send(String),
    Wait(Duration),
    /// A number of words at an interval. Each contains the time when it is sent.
    Stamps(usize, Duration),
    /// Waits until the test opens the gate.
    Stop(Gate),
    /// Waits until the client has disconnected.
    Hang,
}

/// Blocks a response until the test opens it. It stays open.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

impl Script {
    /// Begins a stream.
    pub fn stream() -> Self {
        Self::default().raw(HEAD)
    }

    /// Sends bytes.
    pub fn raw(mut self, bytes: impl Into<String>) -> Self {
        self.steps.push(Step::Send(bytes.into()));
        self
    }

    pub fn wait(mut self, time: Duration) -> Self {
        self.steps.push(Step::Wait(time));
        self
    }

    /// Continues when the gate is opened.
    pub fn stop(mut self, gate: &Gate) -> Self {
        self.steps.push(Step::Stop(gate.clone()));
        self
    }

    /// Sends bytes one by one, with a pause after each.
    pub fn drip(mut self, bytes: &str, pause: Duration) -> Self {
        for byte in bytes.chars() {
            self = self.raw(byte).wait(pause);
        }
        self
    }

    pub fn hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    /// Sends one event of the stream.
    pub fn event(self, delta: Value, finish: Option<&str>) -> Self {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        self.raw(format!("data: {chunk}\n\n"))
    }

    /// Sends words, each as a token.
    pub fn words(mut self, words: &[&str]) -> Self {
        for word in words {
            self = self.event(json!({"content": word}), None);
        }
        self
    }

    /// Sends words that contain the time when they are sent, in microseconds of [`clock`].
    pub fn stamps(mut self, count: usize, apart: Duration) -> Self {
        self.steps.push(Step::Stamps(count, apart));
        self
    }

    /// Ends a complete response, with usage.
    pub fn done(self, finish: &str) -> Self {
        let usage = json!({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}});
        self.event(json!({}), Some(finish)).raw(format!("data: {usage}\n\ndata: [DONE]\n\n"))
    }

    /// Sends a complete response.
    pub fn says(words: &[&str]) -> Self {
        Self::stream().words(words).done("stop")
    }

    /// Sends tool calls: name and arguments.
    pub fn calls(calls: &[(&str, Value)]) -> Self {
        let calls: Vec<Value> = calls
            .iter()
            .enumerate()
            .map(|(index, (name, arguments))| {
                json!({
                    "index": index, "id": format!("call_{index}"), "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()},
                })
            })
            .collect();
        Self::stream().event(json!({"tool_calls": calls}), None).done("tool_calls")
    }

    /// Sends an error instead of a stream.
    pub fn fails(status: u16, body: &Value) -> Self {
        Self::fails_with(status, "", body)
    }

    /// Sends a JSON response without a stream.
    pub fn json(body: &Value) -> Self {
        Self::fails(200, body)
    }

    /// Sends an error with further headers, each ended by CRLF.
    pub fn fails_with(status: u16, headers: &str, body: &Value) -> Self {
        let body = body.to_string();
        Self::default().raw(format!(
            "HTTP/1.1 {status} Error\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        ))
    }
}

impl Upstream {
    /// Starts without a script: the response to each request is a greeting.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let this = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        this
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Adds a response to the queue.
    pub fn queue(&self, script: Script) -> &Self {
        self.state.lock().unwrap().scripts.push_back(script);
        self
    }

    /// Sets the function that responds while the queue is empty.
    pub fn answer_with(&self, model: impl Fn(&Value) -> Script + Send + Sync + 'static) -> &Self {
        self.state.lock().unwrap().model = Some(Arc::new(model));
        self
    }

    /// Sets the entries of the list of models.
    pub fn list_models(&self, models: Value) -> &Self {
        self.state.lock().unwrap().models = Some(models);
        self
    }

    /// Returns the requests whose clients disconnected before the end of the response: index, and when.
    pub fn hung_up(&self) -> Vec<(usize, Instant)> {
        self.state.lock().unwrap().aborted.clone()
    }

    /// Returns the indices of the requests whose response was sent completely, whether or not the client read it.
    pub fn answered(&self) -> Vec<usize> {
        self.state.lock().unwrap().answered.clone()
    }

    /// Returns the bodies of the requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Returns the bodies as bytes.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().bodies.clone()
    }

    /// Returns the heads of the requests.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }

    /// Returns the number of clients that disconnected before the end of the response.
    pub fn aborted(&self) -> usize {
        self.state.lock().unwrap().aborted.len()
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let _ = stream.set_nodelay(true);
        let (head, body) = read_request(&mut stream).await?;
        if head.starts_with("GET /v1/models") {
            let models = self.state.lock().unwrap().models.clone();
            let list = json!({"data": models.unwrap_or_else(|| json!([{"id": "test-model"}]))}).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{list}",
                list.len()
            );
            return stream.write_all(answer.as_bytes()).await.ok();
        }
        let (place, script) = {
            let mut state = self.state.lock().unwrap();
            let request = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let script = state.scripts.pop_front().or_else(|| state.model.as_ref().map(|model| model(&request)));
            state.requests.push(request);
            state.bodies.push(body);
            state.heads.push(head);
            (state.requests.len() - 1, script.unwrap_or_else(|| Script::says(&["Hello", " from", " upstream."])))
        };
        for step in script.steps {
            let gone = match step {
                Step::Stamps(count, apart) => !send_stamps(&mut stream, count, apart).await,
                Step::Send(bytes) => stream.write_all(bytes.as_bytes()).await.is_err() || stream.flush().await.is_err(),
                Step::Wait(time) => tokio::time::timeout(time, hung_up(&mut stream)).await.is_ok(),
                Step::Stop(gate) => tokio::select! {
                    () = gate.pass() => false,
                    () = hung_up(&mut stream) => true,
                },
                Step::Hang => {
                    hung_up(&mut stream).await;
                    true
                }
            };
            if gone {
                self.state.lock().unwrap().aborted.push((place, Instant::now()));
                return None;
            }
        }
        self.state.lock().unwrap().answered.push(place);
        Some(())
    }
}

/// Returns the microseconds since the first call of this function.
pub fn clock() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGAN.get_or_init(Instant::now).elapsed().as_micros()).expect("not that long")
}

/// Returns `false` when the client disconnects.
async fn send_stamps(stream: &mut TcpStream, count: usize, apart: Duration) -> bool {
    let mut next = tokio::time::Instant::now();
    for _ in 0..count {
        let word = json!({"choices": [{"index": 0, "delta": {"content": format!("{} ", clock())}}]});
        if stream.write_all(format!("data: {word}\n\n").as_bytes()).await.is_err() {
            return false;
        }
        next += apart;
        if !apart.is_zero() && tokio::time::timeout_at(next, hung_up(stream)).await.is_ok() {
            return false;
        }
    }
    true
}

async fn hung_up(stream: &mut TcpStream) {
    let mut buffer = [0_u8; 64];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0_u8; 16 * 1024];
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(|value| value.trim().parse::<usize>().unwrap())
        })
        .unwrap_or(0);
    while bytes.len() < head_end + length {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
    }
    Some((head, bytes[head_end..].to_vec()))
}
