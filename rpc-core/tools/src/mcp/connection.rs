//! Starts the process of a server, or connects to it.

use super::http::McpHttpClient;
use super::message::MAX_MESSAGE_BYTES;
use super::stdio::StdioTransport;
use crate::config::{McpConfig, McpTransport, SecretPair};
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Client;
use rmcp::handler::client::progress::ProgressDispatcher;
use rmcp::model::{ClientConfig, Implementation, ProgressNotificationParam, ProtocolVersion};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::sync::Notify;

/// The variables that a server gets from our environment. The other ones, such as our keys, are not for servers.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Maximum length of a line of standard error in our log, in characters.
const STDERR_LINE_CHARS: usize = 500;

/// How much of a line of standard error is read at once, in bytes: a program may never end its line.
const MAX_STDERR_READ: u64 = 64 * 1024;

/// An initialised connection to a server.
pub(super) type Connection = RunningService<RoleClient, ClientEvents>;

/// Handles the notifications of a server.
pub(super) struct ClientEvents {
    tools_changed: Arc<Notify>,
    /// Passes progress notifications to the calls that they belong to.
    pub(super) progress: ProgressDispatcher,
}

impl ClientHandler for ClientEvents {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info.client_info = Implementation::new("threadline", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.tools_changed.notify_one();
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.progress.handle_notification(progress).await;
    }
}

/// A server whose process has started, or whose address is known. The protocol has not begun.
pub(super) struct Transport {
    kind: TransportKind,
    /// The standard error of the process.
    stderr: Option<ChildStderr>,
}

enum TransportKind {
    Process(Box<StdioTransport>),
    Http(StreamableHttpClientTransport<McpHttpClient>),
}

impl Transport {
    /// Starts the process of a server, or prepares the HTTP requests.
    ///
    /// # Errors
    /// If the process cannot be started, or a header is invalid. The text is for the log and holds no secret.
    pub(super) fn open(
        server: &Arc<str>,
        config: &McpConfig,
        client: &Client,
        tools_changed: &Arc<Notify>,
    ) -> Result<Self, String> {
        match &config.transport {
            McpTransport::Command { program, arguments, environment } => {
                let command = command(program, arguments, environment);
                let (process, stderr) = StdioTransport::spawn(server.clone(), command)
                    .map_err(|error| format!("{program:?} cannot be started: {error}"))?;
                Ok(Self { kind: TransportKind::Process(Box::new(process)), stderr })
            }
            McpTransport::Http { url, headers } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
                config.custom_headers = custom_headers(headers)?;
                config.max_sse_event_size = MAX_MESSAGE_BYTES;
                let client = McpHttpClient::new(client.clone(), tools_changed.clone());
                let transport = StreamableHttpClientTransport::with_client(client, config);
                Ok(Self { kind: TransportKind::Http(transport), stderr: None })
            }
        }
    }

    /// Returns a future that logs the standard error of the process, until the process closes it.
    pub(super) fn log_stderr(&mut self, server: Arc<str>) -> BoxFuture<'static, ()> {
        match self.stderr.take() {
            Some(stderr) => log_lines(server, stderr).boxed(),
            None => std::future::ready(()).boxed(),
        }
    }

    /// Initialises the protocol. `tools_changed` is notified when the server says that its list of tools has changed.
    ///
    /// # Errors
    /// If the server does not speak the protocol, or cannot be reached. The text is for the log and holds no secret.
    pub(super) async fn initialize(self, tools_changed: &Arc<Notify>) -> Result<Connection, String> {
        let handler = ClientEvents { tools_changed: tools_changed.clone(), progress: ProgressDispatcher::new() };
        let connection = match self.kind {
            TransportKind::Process(process) => handler.serve(*process).await,
            TransportKind::Http(transport) => handler.serve(transport).await,
        };
        connection.map_err(|error| error.to_string())
    }
}

fn command(program: &str, arguments: &[String], environment: &[SecretPair]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(environment.iter().map(|pair| (&pair.name, pair.value.expose_secret())));
    // Ctrl-C in a terminal is for this service, which stops its servers after the runs that use them.
    command.process_group(0);
    command
}

fn custom_headers(headers: &[SecretPair]) -> Result<HashMap<http::HeaderName, http::HeaderValue>, String> {
    let headers = headers.iter().map(|SecretPair { name, value }| {
        let name = http::HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let mut value = http::HeaderValue::from_str(value.expose_secret()).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    headers.collect()
}

/// Logs at `debug`, because the lines can hold words of users. Reads until the end: a full pipe would block the
/// process.
async fn log_lines(server: Arc<str>, stderr: ChildStderr) {
    let mut reader = BufReader::new(stderr).take(MAX_STDERR_READ);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        reader.set_limit(MAX_STDERR_READ);
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(STDERR_LINE_CHARS).collect();
        tracing::debug!(server = &*server, text, "MCP server wrote to its standard error");
        line.clear();
    }
}
