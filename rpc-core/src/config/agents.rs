//! Agents, and what they may use: what the agents file says, checked. `docs/AGENTS.md` explains every key.

use std::collections::BTreeMap;
use std::sync::Arc;
pub use threadline_engine::ModelPrices;
use threadline_model::config::ModelParameters;
use threadline_tools::config::{ClientTool, EndpointConfig, McpConfig};

/// Everything in an agents file.
#[derive(Debug, Clone)]
pub struct AgentsConfig {
    /// Name of the agent that answers where no other was chosen.
    pub default: Arc<str>,
    /// The agents by name; the default is among them.
    pub agents: BTreeMap<Arc<str>, AgentProfile>,
    /// What models cost, by their names.
    pub models: BTreeMap<Arc<str>, ModelPrices>,
    /// Servers that speak the Model Context Protocol, by name.
    pub mcp: BTreeMap<Arc<str>, McpConfig>,
    /// Tools behind an address of an internal service, by name.
    pub tools: BTreeMap<Arc<str>, EndpointConfig>,
}

/// One agent.
#[derive(Debug, Clone, Default)]
pub struct AgentProfile {
    /// System prompt; `None` is the service's own.
    pub instructions: Option<Arc<str>>,
    /// Name of the model; `None` is the service's own.
    pub model: Option<Arc<str>>,
    /// Models that a message may ask for beside that one.
    pub models: Vec<Arc<str>>,
    /// Models that answer, in this order, when the chosen one fails.
    pub fallback_models: Vec<Arc<str>>,
    /// What goes with every request to the model.
    pub parameters: ModelParameters,
    /// What it may call.
    pub tools: Vec<ToolPick>,
    /// What it may call on the client.
    pub client_tools: Vec<ClientTool>,
    /// What its model is told of the request that it answers.
    pub tell: Vec<Tell>,
    /// What its threads are called at first.
    pub starter_title: StarterTitle,
    /// Name of the model that gives its threads their titles; `None` is the service's own, if it has one.
    pub title_model: Option<Arc<str>>,
    /// Calls of the model in one run, at most; `None` is the service's own limit.
    pub max_turns: Option<u32>,
}

/// What a thread is called when it has its first message, if its user has not named it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StarterTitle {
    /// The message's words.
    #[default]
    Message,
    /// As before it.
    None,
}

/// What a model can be told of the request that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// The languages that the client prefers.
    Languages,
    /// What the client keeps with its request.
    Metadata,
    /// Date and time (UTC).
    Time,
}

/// What an agent may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolPick {
    /// Every tool that is built in.
    BuiltIn,
    /// One tool. One of an MCP server need not be there yet.
    Named(Arc<str>),
    /// Every tool of an MCP server.
    Mcp(Arc<str>),
}
