//! How an MCP server is reached.

use crate::config::{McpConfig, McpTransport, SecretPair};
use reqwest::Client;
use rmcp::handler::client::progress::ProgressDispatcher;
use rmcp::model::{ClientConfig, Implementation, ProgressNotificationParam};
use rmcp::service::{NotificationContext, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, RoleClient, ServiceExt};
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::sync::Notify;

/// Variables that every program needs. The others, this service's keys among them, are not a server's business.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Characters kept of a line that a server writes on its standard error.
const LINE_CHARS: usize = 500;

/// A connection to a server.
pub(super) type Connection = RunningService<RoleClient, Listener>;

/// What the server is told of us, and what of its news matters.
pub(super) struct Listener {
    changed: Arc<Notify>,
    /// Where it says how far its calls have come.
    pub(super) progress: ProgressDispatcher,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let mut info = ClientConfig::default();
        info.client_info = Implementation::new("threadline", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.progress.handle_notification(progress).await;
    }
}

/// Starts the server, or connects to it, and greets it. `changed` is told when it offers other tools.
///
/// # Errors
/// In words for the log, which hold no secret.
pub(super) async fn connect(
    name: &Arc<str>,
    config: &McpConfig,
    client: &Client,
    changed: &Arc<Notify>,
) -> Result<Connection, String> {
    let handler = Listener { changed: changed.clone(), progress: ProgressDispatcher::new() };
    match &config.transport {
        McpTransport::Command { program, arguments, environment } => {
            let command = command(program, arguments, environment);
            let (process, errors) = TokioChildProcess::builder(command)
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| format!("{program:?} cannot be started: {error}"))?;
            if let Some(errors) = errors {
                tokio::spawn(log_errors(name.clone(), errors));
            }
            handler.serve(process).await.map_err(|error| error.to_string())
        }
        McpTransport::Http { url, headers } => {
            let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
            config.custom_headers = custom_headers(headers)?;
            let transport = StreamableHttpClientTransport::with_client(client.clone(), config);
            handler.serve(transport).await.map_err(|error| error.to_string())
        }
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
    // Ctrl-C in a terminal is for this service, which ends its servers after the runs that need them.
    command.process_group(0);
    command.kill_on_drop(true);
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

/// What a server writes on its standard error can be users' words: it is for who looks closely.
async fn log_errors(server: Arc<str>, errors: ChildStderr) {
    let mut reader = BufReader::new(errors);
    let mut line = Vec::new();
    // Read until the process closes it: a full pipe would stop the process.
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(LINE_CHARS).collect();
        tracing::debug!(server = &*server, text, "an MCP server says on its standard error");
        line.clear();
    }
}
