//! A server that sends scripted bytes.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;
use threadline_model::{Message, ModelRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The API key of all tests. No error may contain it.
pub(crate) const KEY: &str = "sk-secret-0123456789";

/// One step of a scripted response.
#[derive(Clone)]
pub(crate) enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait.
    Pause(Duration),
    /// Close the connection.
    Close,
    /// Wait until the client closes the connection.
    Hang,
}

/// A server that answers the n-th request with the n-th script. The last script repeats.
pub(crate) struct Server {
    pub(crate) base_url: String,
    observed: Arc<Observed>,
}

#[derive(Default)]
struct Observed {
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    client_closed: Notify,
}

impl Server {
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let observed = Arc::<Observed>::default();
        let scripts = Arc::new(Mutex::new(VecDeque::from(scripts)));
        tokio::spawn({
            let observed = Arc::clone(&observed);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    *observed.connections.lock() += 1;
                    tokio::spawn(serve(socket, Arc::clone(&scripts), Arc::clone(&observed)));
                }
            }
        });
        Self { base_url, observed }
    }

    /// Starts a server with one script.
    pub(crate) async fn with_script(script: Vec<Step>) -> Self {
        Self::start(vec![script]).await
    }

    /// Returns the requests so far, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.observed.requests.lock().clone()
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        *self.observed.connections.lock()
    }

    /// Waits until a client closes a connection that hangs.
    pub(crate) async fn client_closed(&self) {
        self.observed.client_closed.notified().await;
    }

    /// Returns the configuration of a client: one attempt, and timeouts that a slow machine does not reach by accident.
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
            dialect: None,
        }
    }

    pub(crate) fn model(&self) -> OpenAiModel {
        OpenAiModel::new(self.config()).unwrap()
    }
}

/// Returns a prompt of one word.
pub(crate) fn prompt() -> ModelRequest {
    ModelRequest {
        messages: vec![Message::User("hello".into())],
        request_id: "req-1".into(),
        ..ModelRequest::default()
    }
}

/// A response with status 200 whose body ends with the connection.
pub(crate) fn ok(body: impl AsRef<[u8]>) -> Vec<Step> {
    vec![ok_head(), Step::Send(body.as_ref().to_vec()), Step::Close]
}

/// The head of such a response.
pub(crate) fn ok_head() -> Step {
    Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec())
}

/// A complete response with a status.
pub(crate) fn status(line: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![
        Step::Send(format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()),
        Step::Close,
    ]
}

/// A response of one word.
pub(crate) fn fine() -> Vec<Step> {
    ok("data: {\"choices\":[{\"delta\":{\"content\":\"fine\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

async fn serve(mut socket: TcpStream, scripts: Arc<Mutex<VecDeque<Vec<Step>>>>, observed: Arc<Observed>) {
    socket.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut socket).await {
        observed.requests.lock().push(request);
        let script = {
            let mut scripts = scripts.lock();
            if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
        };
        for step in script.unwrap_or_default() {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Step::Pause(time) => tokio::time::sleep(time).await,
                Step::Close => return,
                Step::Hang => {
                    let mut byte = [0];
                    assert!(!matches!(socket.read(&mut byte).await, Ok(1..)), "a second request on a hung connection");
                    observed.client_closed.notify_one();
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
