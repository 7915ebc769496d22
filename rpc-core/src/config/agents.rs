//! Agents, and what they may use: what the agents file says, checked. `docs/AGENTS.md` explains every key.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use threadline_model::config::ModelParameters;

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

/// A tool that runs on the client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTool {
    /// Name.
    pub name: Arc<str>,
    /// What it does and when to use it, for the model.
    pub description: Arc<str>,
    /// JSON Schema of its arguments: of an object.
    pub parameters: Value,
}

/// What a model costs, in a currency of the operator's choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelPrices {
    /// Per million tokens read.
    pub input_per_million: f64,
    /// Per million tokens written.
    pub output_per_million: f64,
}

/// A server that speaks the Model Context Protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpConfig {
    /// How it is reached.
    pub transport: McpTransport,
    /// Whether it is told for whom each call is made.
    pub user_context: bool,
    /// Bounds of each call.
    pub limits: CallLimits,
    /// Whether results of its tools may carry widgets.
    pub widgets: bool,
    /// Those of its tools, by its own names, that users may call from widgets.
    pub actions: Vec<Arc<str>>,
}

/// How an MCP server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpTransport {
    /// A process of our own, over its standard input and output.
    Command {
        /// The program.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// Its environment, beside the few variables that every program needs.
        environment: Vec<SecretPair>,
    },
    /// Streamable HTTP.
    Http {
        /// Address.
        url: String,
        /// Headers of every request.
        headers: Vec<SecretPair>,
    },
}

/// A tool behind an address of an internal service.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// How it is called.
    pub kind: EndpointKind,
    /// Address. For HTTP, a segment `{name}` of its path stands for the argument of that name.
    pub url: String,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// JSON Schema of its arguments: of an object.
    pub parameters: Value,
    /// Headers of every request.
    pub headers: Vec<SecretPair>,
    /// How the service is told for whom a call is made.
    pub user_context: Option<UserContext>,
    /// Bounds of each call.
    pub limits: CallLimits,
    /// Whether it changes anything, so that a lost answer leaves a doubt.
    pub acts: bool,
    /// Whether its results may carry widgets.
    pub widgets: bool,
    /// Whether users may call it from widgets.
    pub action: bool,
}

/// How an endpoint is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointKind {
    /// An HTTP request: arguments in the query of GET and DELETE, else in a JSON body.
    Http {
        /// GET, POST, PUT, PATCH or DELETE.
        method: http::Method,
    },
    /// A JSON-RPC 2.0 call over HTTP, with the arguments as params by name.
    JsonRpc {
        /// The method.
        method: String,
    },
}

/// How a service is told for whom a call is made: a short-lived JWT.
#[derive(Debug, Clone)]
pub struct UserContext {
    /// The header it travels in.
    pub header: String,
    /// Key of its HS256 signature.
    pub key: SecretString,
}

/// Bounds of each call of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Longest time a call may take.
    pub timeout: Duration,
    /// Calls at a time; more wait.
    pub concurrency: usize,
    /// Bytes of a result.
    pub result_bytes: usize,
}

/// An HTTP header or an environment variable. Its value can be a secret.
#[derive(Debug, Clone)]
pub struct SecretPair {
    /// Name of the header or the variable.
    pub name: String,
    /// Its value.
    pub value: SecretString,
}

impl PartialEq for SecretPair {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.value.expose_secret() == other.value.expose_secret()
    }
}

impl Eq for SecretPair {}
