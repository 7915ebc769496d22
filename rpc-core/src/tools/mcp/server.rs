//! One MCP server: kept running, or connected, for as long as somebody holds it.

use super::connect::connect;
use super::line::Line;
use super::listed::{Listed, listed};
use super::tool::McpTool;
use crate::config::McpConfig;
use crate::tools::Tool;
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::Client;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Time for starting, greeting and listing.
const GREETING: Duration = Duration::from_secs(30);
/// Pause before a server that went away is tried again; each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A server that stood so long is not failing: its next pause is the first again.
const STEADY: Duration = Duration::from_secs(30);
/// Time for a server to end by itself before it is killed.
const FAREWELL: Duration = Duration::from_secs(2);

/// A server, for as long as this is held.
pub(crate) struct McpServer {
    pub(super) shared: Arc<Shared>,
    /// What it was made from.
    config: McpConfig,
    stop: DropGuard,
}

/// What the server's task and its tools share.
pub(super) struct Shared {
    pub(super) name: Arc<str>,
    pub(super) places: Semaphore,
    client: Client,
    state: RwLock<State>,
    /// Counts the changes of what it offers.
    version: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The connection, while there is one.
    line: Option<Line>,
    /// What it offered last. It is kept while the server is away: a restart is a matter of moments, and an agent that
    /// loses its tools meanwhile would tell its users that it cannot do what it can.
    tools: Vec<Arc<Listed>>,
}

impl McpServer {
    /// Starts it, in a task of its own: whoever asks does not wait, and a server that is away stops nobody.
    pub(crate) fn start(name: &Arc<str>, config: &McpConfig, client: &Client, tasks: &TaskTracker) -> Arc<Self> {
        let shared = Arc::new(Shared {
            name: name.clone(),
            places: Semaphore::new(config.limits.concurrency),
            client: client.clone(),
            state: RwLock::default(),
            version: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        tasks.spawn(keep(shared.clone(), config.clone(), stop.clone()));
        Arc::new(Self { shared, config: config.clone(), stop: stop.drop_guard() })
    }

    /// Whether it is what this configuration asks for.
    pub(crate) fn is(&self, config: &McpConfig) -> bool {
        self.config == *config
    }

    /// How often what it offers has changed.
    pub(crate) fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// Its tools, as it listed them last.
    pub(crate) fn tools(self: &Arc<Self>) -> Vec<Arc<dyn Tool>> {
        let state = self.shared.state.read().unwrap_or_else(PoisonError::into_inner);
        let tool = |listed: &Arc<Listed>| -> Arc<dyn Tool> {
            Arc::new(McpTool::new(self.clone(), listed.clone(), &self.config))
        };
        state.tools.iter().map(tool).collect()
    }

    /// Ends it, whoever still holds it.
    pub(crate) fn stop(&self) {
        self.stop.token().cancel();
    }
}

impl Shared {
    /// The connection, while there is one.
    pub(super) fn line(&self) -> Option<Line> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.line.clone().filter(|line| !line.is_closed())
    }

    async fn list(&self, line: &Line) -> Result<(), String> {
        let tools =
            line.peer().list_all_tools().await.map_err(|error| format!("its tools cannot be listed: {error}"))?;
        let tools = listed(&self.name, tools);
        tracing::info!(server = &*self.name, tools = tools.len(), "an MCP server offers its tools");
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State { line: Some(line.clone()), tools };
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn left(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).line = None;
    }
}

/// Keeps the server there until it is stopped.
async fn keep(shared: Arc<Shared>, config: McpConfig, stop: CancellationToken) {
    let pauses = ExponentialBuilder::default()
        .with_factor(2.0)
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(MAX_PAUSE)
        .without_max_times()
        .with_jitter();
    let mut pause = pauses.build();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let ended = stand(&shared, &config, &stop).await;
        shared.left();
        let Err(error) = ended else { return };
        if began.elapsed() >= STEADY {
            pause = pauses.build();
        }
        let next = pause.next().unwrap_or(MAX_PAUSE);
        let pause_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(server = &*shared.name, error, pause_ms, "an MCP server is away; it is tried again");
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One life of the server. `Ok` when it was stopped.
async fn stand(shared: &Shared, config: &McpConfig, stop: &CancellationToken) -> Result<(), String> {
    let changed = Arc::new(Notify::new());
    let greeting = async {
        let connection = connect(&shared.name, config, &shared.client, &changed).await?;
        shared.list(&Line::of(&connection)).await?;
        Ok::<_, String>(connection)
    };
    let connection = tokio::select! {
        greeted = timeout(GREETING, greeting) => {
            greeted.unwrap_or_else(|_| Err(format!("it was not ready within {} s", GREETING.as_secs())))?
        }
        () = stop.cancelled() => return Ok(()),
    };
    let line = Line::of(&connection);
    let farewell = connection.cancellation_token();
    let mut ended = pin!(connection.waiting());
    loop {
        tokio::select! {
            ended = &mut ended => {
                return Err(match ended {
                    Ok(reason) => format!("it has ended: {reason:?}"),
                    Err(error) => format!("its connection failed: {error}"),
                });
            }
            () = changed.notified() => {
                if !matches!(timeout(GREETING, shared.list(&line)).await, Ok(Ok(()))) {
                    tracing::warn!(server = &*shared.name, "an MCP server has other tools and does not list them");
                }
            }
            () = stop.cancelled() => {
                farewell.cancel();
                // Dropped after that, and killed with it.
                let _ = timeout(FAREWELL, ended).await;
                return Ok(());
            }
        }
    }
}
