//! The background tasks of MCP servers.

use threadline_runtime::{Supervisor, TaskKind};
use tokio_util::task::TaskTracker;

/// Spawns the background tasks of all MCP servers, and waits for them. This crate spawns nothing elsewhere.
#[derive(Debug, Clone)]
pub struct McpTasks {
    supervisor: Supervisor,
    running: TaskTracker,
}

impl McpTasks {
    /// Creates a set without tasks.
    pub fn new(supervisor: &Supervisor) -> Self {
        Self { supervisor: supervisor.clone(), running: TaskTracker::new() }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.supervisor.spawn(TaskKind::McpServer, self.running.track_future(task));
    }

    /// Waits until all tasks have ended, after every server was stopped.
    pub async fn wait(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
