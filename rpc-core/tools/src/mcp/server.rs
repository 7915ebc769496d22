//! Keeps one MCP server running or connected, in a background task.

use super::connection::Transport;
use super::listed_tool::ListedTool;
use super::listing::{Listing, list_tools};
use super::pin::{self, Pin, SeenTools};
use super::session::McpSession;
use super::tasks::McpTasks;
use super::tool::McpTool;
use crate::config::McpConfig;
use crate::tool::Tool;
use async_recursion::async_recursion as boxed;
use backon::{BackoffBuilder, ExponentialBuilder};
use parking_lot::RwLock;
use reqwest::Client;
use rmcp::model::{ClientRequest, PingRequest};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Time limit for the start of a server: process, protocol and list of tools.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Why a server is not connected that was not ready yet.
const STARTING: &str = "it is starting";
/// Pause before the first restart of a server. Each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A server that ran for this time is healthy: the next pause is the first one again.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// Time for a server to exit, and to be killed if it does not.
const STOP_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Time for a server to answer a ping after a call has timed out. One that is only busy with the call may need some.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Changes of the list of tools within this time are one change.
const QUIET: Duration = Duration::from_millis(200);
/// Time to read the last lines of a process that has ended.
const STDERR_TIMEOUT: Duration = Duration::from_millis(500);

/// A supervised MCP server. Dropping the last reference stops it.
pub struct McpServer {
    pub(super) shared: Arc<Shared>,
    config: McpConfig,
    stop: DropGuard,
}

/// The state of a server, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpStatus {
    /// Why it is not connected; `None` if it is. The text holds no secret, but names programs and addresses.
    pub error: Option<String>,
    /// The number of its tools. They stay while it restarts.
    pub tools: usize,
    /// Which of its tools are left out, and why.
    pub left_out: Vec<String>,
    /// The fingerprint of the tools that it listed last, for `pin`; `None` before the first list.
    pub fingerprint: Option<String>,
    /// Whether none of its tools is used because they are not those of its pin.
    pub is_refused: bool,
}

/// State that the background task and the tools of a server share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    /// One permit per call in flight.
    pub(super) permits: Semaphore,
    client: Client,
    pin: Pin,
    state: RwLock<State>,
    /// Increases whenever the list of tools was read.
    version: AtomicU64,
    /// Notified when a call was lost: the server may have restarted, with other tools.
    pub(super) check_again: Notify,
    /// Notified when a call was not answered in time: the server may hang.
    pub(super) check_alive: Notify,
    /// Whether the first start has succeeded or failed.
    started: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// `None` while there is no connection.
    session: Option<McpSession>,
    /// The tools that the server listed last. They stay while the server restarts: an agent that loses its tools for a
    /// moment would tell users that it cannot do what it can.
    tools: Vec<Arc<ListedTool>>,
    /// What was left out of the list.
    left_out: Vec<String>,
    /// Of the tools that the server listed last, used or not.
    fingerprint: Option<String>,
    /// Whether the tools are not those of the pin.
    is_refused: bool,
    seen: SeenTools,
    /// Why there is no connection.
    error: Option<String>,
}

impl McpServer {
    /// Starts the server in a background task and returns at once. A server that cannot be reached is not an error.
    pub fn start(name: &Arc<str>, config: &McpConfig, client: &Client, tasks: &McpTasks) -> Arc<Self> {
        let shared = Arc::new(Shared {
            name: name.clone(),
            permits: Semaphore::new(config.limits.concurrency),
            client: client.clone(),
            pin: Pin { fingerprint: config.pin.clone(), only: config.only.clone() },
            state: RwLock::default(),
            version: AtomicU64::new(0),
            check_again: Notify::new(),
            check_alive: Notify::new(),
            started: watch::Sender::new(false),
        });
        let stop = CancellationToken::new();
        tasks.spawn(supervise(shared.clone(), config.clone(), stop.clone()));
        Arc::new(Self { shared, config: config.clone(), stop: stop.drop_guard() })
    }

    /// Whether the server was started with this configuration.
    pub fn has_config(&self, config: &McpConfig) -> bool {
        self.config == *config
    }

    /// Returns a number that increases whenever the tools may have changed.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Returns the tools that the server listed last.
    pub fn tools(self: &Arc<Self>) -> Vec<Arc<dyn Tool>> {
        let state = self.shared.state.read();
        let tool = |listed: &Arc<ListedTool>| -> Arc<dyn Tool> {
            Arc::new(McpTool::new(self.clone(), listed.clone(), &self.config))
        };
        state.tools.iter().map(tool).collect()
    }

    /// Returns the state of the server.
    pub fn status(&self) -> McpStatus {
        let state = self.shared.state.read();
        let is_connected = state.session.as_ref().is_some_and(|session| !session.is_closed());
        let error = (!is_connected).then(|| state.error.clone().unwrap_or_else(|| STARTING.to_owned()));
        McpStatus {
            error,
            tools: state.tools.len(),
            left_out: state.left_out.clone(),
            fingerprint: state.fingerprint.clone(),
            is_refused: state.is_refused,
        }
    }

    /// Returns the state of the server when its first start has succeeded or failed, or after this time.
    #[boxed]
    pub async fn first_status(&self, patience: Duration) -> McpStatus {
        let mut started = self.shared.started.subscribe();
        let _ = timeout(patience, started.wait_for(|is_started| *is_started)).await;
        self.status()
    }

    /// Stops the server, even if runs still hold its tools. Returns before it has stopped.
    pub fn stop(&self) {
        self.stop.token().cancel();
    }
}

impl Shared {
    /// Returns the session, if the server is connected.
    pub(super) fn session(&self) -> Option<McpSession> {
        self.state.read().session.clone().filter(|session| !session.is_closed())
    }

    async fn refresh_tools(&self, session: &McpSession) -> Result<(), String> {
        let Listing { mut tools, problems: mut left_out } = list_tools(&self.name, session).await?;
        if let Some(only) = &self.pin.only {
            tools.retain(|tool| only.contains(&tool.name));
            let is_listed = |name: &&Arc<str>| tools.iter().any(|tool| tool.name == **name);
            let missing = only.iter().filter(|name| !is_listed(name));
            left_out
                .extend(missing.map(|name| format!("tool {name:?} is in `tools`, and the server does not list it")));
        }
        let fingerprint = pin::fingerprint(&tools);
        let is_refused = self.pin.fingerprint.as_deref().is_some_and(|pinned| *pinned != *fingerprint);
        let mut state = self.state.write();
        let changed = state.seen.changes(&tools);
        if !changed.is_empty() {
            let names = changed.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
            metrics::counter!("threadline_mcp_tool_changes_total", "server" => self.name.to_string())
                .increment(changed.len() as u64);
            tracing::warn!(
                server = &*self.name,
                tools = names,
                fingerprint,
                "an MCP server has changed what it says about its tools"
            );
        }
        if is_refused {
            left_out = vec![format!(
                "its {} tools are not those of `pin`, and none is used; look at them, and if they are right, set pin = \"{fingerprint}\"",
                tools.len()
            )];
            tools.clear();
        }
        tracing::info!(server = &*self.name, tools = tools.len(), "MCP server listed its tools");
        // A server that restarts, or often changes its tools, is not reported each time.
        if !left_out.is_empty() && left_out != state.left_out {
            let problems = left_out.join("; ");
            tracing::warn!(server = &*self.name, problems, "some tools of an MCP server are left out");
        }
        let seen = std::mem::take(&mut state.seen);
        let (session, fingerprint) = (Some(session.clone()), Some(fingerprint));
        *state = State { session, tools, left_out, fingerprint, is_refused, seen, error: None };
        self.started.send_replace(true);
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn disconnect(&self, error: Option<&String>) {
        let mut state = self.state.write();
        state.session = None;
        state.error = error.cloned();
        self.started.send_replace(true);
    }
}

/// Runs the server, and restarts it after a pause whenever it ends, until it is stopped.
async fn supervise(shared: Arc<Shared>, config: McpConfig, stop: CancellationToken) {
    let backoff = ExponentialBuilder::default()
        .with_factor(2.0)
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .with_jitter();
    let mut pauses = backoff.build();
    while !stop.is_cancelled() {
        let started = Instant::now();
        let end = run_once(&shared, &config, &stop).await;
        shared.disconnect(end.as_ref().err());
        let Err(error) = end else { return };
        if started.elapsed() >= HEALTHY_AFTER {
            pauses = backoff.build();
        }
        let pause = pauses.next().unwrap_or(MAX_PAUSE);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(server = &*shared.name, error, pause_ms, "MCP server ended and will be restarted");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Starts the server and serves it until it ends. Returns `Ok` if it was stopped.
async fn run_once(shared: &Shared, config: &McpConfig, stop: &CancellationToken) -> Result<(), String> {
    let tools_changed = Arc::new(Notify::new());
    let mut transport = Transport::open(&shared.name, config, &shared.client, &tools_changed)?;
    let mut stderr = transport.log_stderr(shared.name.clone());
    let mut session = pin!(run_session(shared, transport, tools_changed, stop));
    // Standard error is read all the time, because a full pipe would block the process.
    tokio::select! {
        end = &mut session => {
            if end.is_err() {
                // A process that has crashed says why on its last lines.
                let _ = timeout(STDERR_TIMEOUT, stderr).await;
            }
            end
        }
        () = &mut stderr => session.await,
    }
}

async fn run_session(
    shared: &Shared,
    transport: Transport,
    tools_changed: Arc<Notify>,
    stop: &CancellationToken,
) -> Result<(), String> {
    let start = async {
        let connection = transport.initialize(&tools_changed).await?;
        shared.refresh_tools(&McpSession::new(&connection)).await?;
        Ok::<_, String>(connection)
    };
    let connection = tokio::select! {
        result = timeout(START_TIMEOUT, start) => {
            result.unwrap_or_else(|_| Err(format!("it was not ready within {} s", START_TIMEOUT.as_secs())))?
        }
        () = stop.cancelled() => return Ok(()),
    };
    let session = McpSession::new(&connection);
    let shutdown = connection.cancellation_token();
    let mut end = pin!(connection.waiting());
    loop {
        tokio::select! {
            end = &mut end => {
                return Err(match end {
                    Ok(reason) => format!("it has ended: {reason:?}"),
                    Err(error) => format!("its connection failed: {error}"),
                });
            }
            () = tools_changed.notified() => {
                if let Some(Err(error)) = refresh_soon(shared, &session, stop).await {
                    tracing::warn!(server = &*shared.name, error, "changed tools of an MCP server cannot be listed");
                }
            }
            () = shared.check_again.notified() => {
                refresh_soon(shared, &session, stop).await.transpose()?;
            }
            () = shared.check_alive.notified() => {
                if !is_alive(&session, stop).await {
                    let waited = PING_TIMEOUT.as_secs();
                    return Err(format!("a call timed out, and it did not answer a ping within {waited} s"));
                }
            }
            () = stop.cancelled() => {
                shutdown.cancel();
                // Dropping the connection afterwards kills the process.
                let _ = timeout(STOP_TIMEOUT, end).await;
                return Ok(());
            }
        }
    }
}

/// Returns whether a server answers a ping, in whatever way. One that is stopped meanwhile needs no restart.
async fn is_alive(session: &McpSession, stop: &CancellationToken) -> bool {
    tokio::select! {
        answered = timeout(PING_TIMEOUT, session.request(ClientRequest::PingRequest(PingRequest::default()))) => {
            answered.is_ok()
        }
        () = stop.cancelled() => true,
    }
}

/// Reads the list of tools again, after the changes that follow at once. `None` if the server is stopped meanwhile.
async fn refresh_soon(shared: &Shared, session: &McpSession, stop: &CancellationToken) -> Option<Result<(), String>> {
    let refresh = async {
        tokio::time::sleep(QUIET).await;
        shared.refresh_tools(session).await
    };
    tokio::select! {
        result = refresh => Some(result),
        () = stop.cancelled() => None,
    }
}
