//! The parts that all agents use, independent of the agents file.

use crate::error_counts::ErrorCounts;
use std::sync::Arc;
use threadline_tools::Tool;
use threadline_tools::endpoint::EndpointDeps;
use threadline_tools::mcp::McpTasks;

/// The parts that all agents use, independent of the agents file.
pub(super) struct AgentDeps {
    /// MCP servers use its HTTP client too.
    pub(super) endpoints: EndpointDeps,
    pub(super) built_in_tools: Vec<Arc<dyn Tool>>,
    pub(super) mcp_tasks: McpTasks,
    pub(super) errors: Arc<ErrorCounts>,
}

/// Why agents cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// The HTTP client for tools cannot be created.
    #[error("the HTTP client for tools cannot be created: {0}")]
    Client(#[from] reqwest::Error),
    /// A tool cannot be created from its configuration.
    #[error("{0}")]
    Tool(String),
}
