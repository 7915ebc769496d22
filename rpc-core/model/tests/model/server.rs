//! A server that plays bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;
use threadline_model::{Message, ModelRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The key every test uses; no error may show it.
pub(crate) const KEY: &str = "sk-secret-0123456789";

/// One step of an answer.
#[derive(Clone)]
pub(crate) enum Play {
    /// Write and flush.
    Send(Vec<u8>),
    /// Wait.
    Pause(Duration),
    /// Close the connection.
    Close,
    /// Wait until the client closes the connection.
    Hang,
}

/// A server that answers the n-th request with the n-th script, and the last one from then on.
pub(crate) struct Server {
    pub(crate) base_url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    left: Notify,
}

impl Server {
    pub(crate) async fn start(scripts: Vec<Vec<Play>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    *seen.connections.lock().unwrap() += 1;
                    tokio::spawn(serve(socket, Arc::clone(&scripts), Arc::clone(&seen)));
                }
            }
        });
        Self { base_url, seen }
    }

    /// A server with one answer.
    pub(crate) async fn plays(script: Vec<Play>) -> Self {
        Self::start(vec![script]).await
    }

    /// Requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        *self.seen.connections.lock().unwrap()
    }

    /// Waits until a client has closed a connection that hangs.
    pub(crate) async fn client_left(&self) {
        self.seen.left.notified().await;
    }

    /// A client of this server: one attempt, and limits that no test on a slow machine meets by accident.
    pub(crate) fn config(&self) -> OpenAiConfig {
        OpenAiConfig {
            base_url: self.base_url.as_str().into(),
            api_key: KEY.into(),
            model: "test-model".to_owned(),
            site_url: None,
            app_name: None,
            connect_timeout: Duration::from_secs(5),
            token_timeout: Duration::from_secs(20),
            max_attempts: 1,
            transcription_model: None,
        }
    }

    pub(crate) fn model(&self) -> OpenAiModel {
        OpenAiModel::new(self.config()).unwrap()
    }
}

/// A prompt of one word.
pub(crate) fn prompt() -> ModelRequest {
    ModelRequest {
        messages: vec![Message::User("hello".into())],
        request_id: "req-1".into(),
        ..ModelRequest::default()
    }
}

/// A 200 whose body ends with the connection.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<Play> {
    vec![ok_head(), Play::Send(body.as_ref().to_vec()), Play::Close]
}

/// The head of a 200 whose body ends with the connection.
pub(crate) fn ok_head() -> Play {
    Play::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec())
}

/// A whole answer with a status.
pub(crate) fn status(line: &str, headers: &str, body: &str) -> Vec<Play> {
    let length = body.len();
    vec![
        Play::Send(format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()),
        Play::Close,
    ]
}

/// An answer of one word.
pub(crate) fn fine() -> Vec<Play> {
    ok("data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

async fn serve(mut socket: TcpStream, scripts: Arc<Mutex<VecDeque<Vec<Play>>>>, seen: Arc<Seen>) {
    socket.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut socket).await {
        seen.requests.lock().unwrap().push(request);
        let script = {
            let mut scripts = scripts.lock().unwrap();
            if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
        };
        for step in script.unwrap_or_default() {
            match step {
                Play::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Play::Pause(time) => tokio::time::sleep(time).await,
                Play::Close => return,
                Play::Hang => {
                    let mut byte = [0];
                    assert!(!matches!(socket.read(&mut byte).await, Ok(1..)), "a second request on a hung connection");
                    seen.left.notify_one();
                    return;
                }
            }
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
