//! Which agent answers a thread, with which models and tools.
//!
//! | file | holds |
//! | --- | --- |
//! | this one | [`AgentRegistry`]: the current agents of this process |
//! | `agent_set.rs` | [`AgentSet`]: the agents of one agents file; finds the agent of a thread |
//! | `agent.rs` | one agent, with its tools |
//! | `resolved_agent.rs` | [`ResolvedAgent`]: the agent of one run |
//! | `tool_catalog.rs` | all tools that agents can have |
//! | `deps.rs` | what all agents use |

mod agent;
mod agent_set;
mod deps;
mod resolved_agent;
mod tool_catalog;

pub(crate) use agent_set::AgentSet;
pub use deps::AgentsError;
pub(crate) use resolved_agent::ResolvedAgent;

use crate::config::{AgentConfig, AgentsConfig};
use crate::error_counts::ErrorCounts;
use crate::store::Clock;
use async_recursion::async_recursion as boxed;
use chrono::{DateTime, Utc};
use deps::AgentDeps;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::Supervisor;
use threadline_tools::Tool;
use threadline_tools::endpoint::{self, EndpointDeps};
use threadline_tools::mcp::{McpStatus, McpTasks};
use tool_catalog::ToolCatalog;

/// Time limit of a check for one MCP server to start.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);
/// Time limit for the MCP servers to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Holds the current agents. They are replaced as a whole; a run keeps the agent that it started with.
pub(crate) struct AgentRegistry {
    defaults: AgentConfig,
    deps: AgentDeps,
    current: RwLock<Arc<AgentSet>>,
}

impl AgentRegistry {
    /// Creates the agents and starts their MCP servers. `defaults` applies where the agents file says nothing.
    ///
    /// # Errors
    /// If a tool, or the HTTP client of the tools, cannot be created.
    pub(crate) fn new(
        defaults: &AgentConfig,
        config: Option<&AgentsConfig>,
        built_in_tools: Vec<Arc<dyn Tool>>,
        clock: &Arc<Clock>,
        errors: &Arc<ErrorCounts>,
        supervisor: &Supervisor,
    ) -> Result<Self, AgentsError> {
        let clock = clock.clone();
        let endpoints = EndpointDeps { client: endpoint::http_client()?, now: Arc::new(move || clock.now().utc()) };
        let deps =
            AgentDeps { endpoints, built_in_tools, mcp_tasks: McpTasks::new(supervisor), errors: errors.clone() };
        let current = RwLock::new(Arc::new(AgentSet::new(defaults, config, &deps, None)?));
        Ok(Self { defaults: defaults.clone(), deps, current })
    }

    /// Replaces the agents for new runs. MCP servers whose configuration is the same keep running.
    ///
    /// # Errors
    /// If a tool cannot be created. The current agents stay.
    pub(crate) fn replace(&self, config: &AgentsConfig) -> Result<(), AgentsError> {
        let previous = self.current();
        let new = AgentSet::new(&self.defaults, Some(config), &self.deps, Some(&previous))?;
        *self.current.write() = Arc::new(new);
        Ok(())
    }

    /// Stops the MCP servers, including those that runs still use, and waits for them for a limited time.
    pub(crate) async fn stop(&self) {
        self.current().stop_mcp_servers();
        if tokio::time::timeout(STOP_TIMEOUT, self.deps.mcp_tasks.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not stop in time and are killed");
        }
    }

    /// Returns the current agents.
    pub(crate) fn current(&self) -> Arc<AgentSet> {
        self.current.read().clone()
    }
}

/// Starts the MCP servers of an agents file, and stops them again. Returns the state of each, by name.
///
/// # Errors
/// If a tool, or the HTTP client of the tools, cannot be created.
#[boxed]
pub async fn check_mcp_servers(config: &AgentsConfig) -> Result<Vec<(Arc<str>, McpStatus)>, AgentsError> {
    // No call is made, so no token is signed.
    let endpoints = EndpointDeps { client: endpoint::http_client()?, now: Arc::new(DateTime::<Utc>::default) };
    let supervisor = Supervisor::default();
    let deps = AgentDeps {
        endpoints,
        built_in_tools: Vec::new(),
        mcp_tasks: McpTasks::new(&supervisor),
        errors: Arc::default(),
    };
    let catalog = ToolCatalog::new(Some(config), &deps, None).map_err(AgentsError::Tool)?;
    let found = catalog.first_mcp_status(CHECK_PATIENCE).await;
    catalog.stop_mcp_servers();
    let _ = tokio::time::timeout(STOP_TIMEOUT, deps.mcp_tasks.wait()).await;
    Ok(found)
}
