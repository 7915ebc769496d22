//! The contents of the agents file, after validation. `docs/AGENTS.md` explains every key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
pub use threadline_engine::ModelPrices;
use threadline_model::config::ModelParameters;
use threadline_model::dialect::DialectOverrides;
use threadline_tools::config::{ApprovalMode, ClientTool, EndpointConfig, McpConfig};

/// The contents of an agents file.
#[derive(Debug, Clone)]
pub struct AgentsConfig {
    /// Name of the agent for threads that name none.
    pub default: Arc<str>,
    /// The agents by name. The default is one of them.
    pub agents: BTreeMap<Arc<str>, AgentProfile>,
    /// Settings of models, by name.
    pub models: BTreeMap<Arc<str>, ModelSettings>,
    /// MCP servers by name.
    pub mcp: BTreeMap<Arc<str>, McpConfig>,
    /// Tools of internal services by name.
    pub tools: BTreeMap<Arc<str>, EndpointConfig>,
    /// How long a call waits for approval; `None` is the service's default. In the file: `approval_expires_seconds`.
    pub approval_expires: Option<Duration>,
    /// Budgets of groups of users, by name.
    pub budget_classes: BTreeMap<Arc<str>, Arc<BudgetClass>>,
    /// The text of the file without comments and secrets.
    pub shown_text: Arc<str>,
}

/// A group of users with budgets of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetClass {
    /// Its name.
    pub name: Arc<str>,
    /// What all users of the class together may use per day. In the file: `budget_tokens_per_day`,
    /// `budget_cost_per_day`.
    pub all: DailyBudget,
    /// What each user of the class may use per day, in place of the service's. In the file:
    /// `user_budget_tokens_per_day`, `user_budget_cost_per_day`.
    pub user: DailyBudget,
}

/// Maximum number of characters of the name of a budget class.
const CLASS_NAME_CHARS: usize = 64;

/// Checks the name of a budget class. Metrics and log lines contain it.
///
/// # Errors
/// A sentence about what a name has.
pub fn check_class_name(name: &str) -> Result<(), String> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=CLASS_NAME_CHARS).contains(&name.len()) && name.chars().all(is_valid) {
        return Ok(());
    }
    Err(format!("The name of a budget class has 1 to {CLASS_NAME_CHARS} letters, digits, _ and -."))
}

/// Settings of one model.
#[derive(Debug, Clone, Default)]
pub struct ModelSettings {
    /// Prices; `None` if the file has none.
    pub prices: Option<ModelPrices>,
    /// Where its dialect differs from what is known of its host and name.
    pub dialect: Option<Arc<DialectOverrides>>,
    /// Tokens that the model can read and write.
    pub context_tokens: Option<u64>,
}

/// One agent.
#[derive(Debug, Clone, Default)]
pub struct AgentProfile {
    /// System prompt; `None` is the service's default.
    pub instructions: Option<Arc<str>>,
    /// Name of the model; `None` is the service's default.
    pub model: Option<Arc<str>>,
    /// Further models that a message may ask for. In the file: `models`.
    pub selectable_models: Vec<Arc<str>>,
    /// Models that are tried, in this order, when the first one fails.
    pub fallback_models: Vec<Arc<str>>,
    /// Parameters of every request to the model.
    pub parameters: ModelParameters,
    /// The tools.
    pub tools: Vec<ToolSelector>,
    /// The tools that the client runs.
    pub client_tools: Vec<ClientTool>,
    /// Facts about the request that the prompt contains. In the file: `tell`.
    pub prompt_facts: Vec<PromptFact>,
    /// The first title of a thread. In the file: `starter_title`.
    pub title_policy: TitlePolicy,
    /// Name of the model that writes the titles of threads; `None` is the service's default, if it has one.
    pub title_model: Option<Arc<str>>,
    /// Name of the model that summarises the turns that prompts leave out; `None` is the service's default, if it has
    /// one.
    pub summary_model: Option<Arc<str>>,
    /// Maximum number of turns of a run; `None` is the service's limit.
    pub max_turns: Option<u32>,
    /// What all runs of the agent may use per day. In the file: `budget_tokens_per_day`, `budget_cost_per_day`.
    pub budget: DailyBudget,
    /// How long its threads are kept that are not used. In the file: `retention_days`.
    pub retention: Retention,
    /// Roles whose users may use the agent; `None` is everybody. In the file: `allow`.
    pub allow: Option<Vec<Arc<str>>>,
    /// What becomes of a run whose process has died.
    pub on_crash: CrashPolicy,
    /// Which calls of these tools wait for approval. Rules of single tools have precedence over the others.
    pub approvals: Vec<(ToolSelector, ApprovalMode)>,
    /// How long a call waits for approval; `None` is the service's default.
    pub approval_expires: Option<Duration>,
}

/// How long the threads of an agent are kept that are not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Retention {
    /// As long as the service says.
    #[default]
    OfService,
    /// For good. In the file: 0.
    ForGood,
    /// So long.
    For(Duration),
}

/// What may be used per day (UTC). `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DailyBudget {
    /// Tokens, input and output.
    pub tokens: Option<u64>,
    /// Money, in millionths of the currency.
    pub cost_micros: Option<u64>,
}

/// The title that a thread gets with its first message, unless its user has named it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TitlePolicy {
    /// The text of the message. In the file: `"message"`.
    #[default]
    FromMessage,
    /// No title. In the file: `"none"`.
    Untitled,
}

/// What becomes of a run whose process has died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CrashPolicy {
    /// It continues in another process, if that is safe. In the file: `"continue"`.
    #[default]
    Continue,
    /// It ends. In the file: `"interrupt"`.
    Interrupt,
}

/// A fact about the request that the prompt can contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptFact {
    /// The languages that the client prefers.
    Languages,
    /// The metadata that the client sent with its request.
    Metadata,
    /// Date and time (UTC).
    Time,
}

/// Selects tools for an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolSelector {
    /// Every built-in tool.
    BuiltIn,
    /// One tool. A tool of an MCP server may not exist yet.
    Named(Arc<str>),
    /// Every tool of an MCP server.
    Mcp(Arc<str>),
}
