//! What the core can be told: plain data, already checked by whoever read it.

mod agents;

pub use agents::{AgentProfile, AgentsConfig, ModelPrices, PromptFact, TitlePolicy, ToolSelector};

pub use threadline_model::config::{DemoConfig, ModelConfig, ModelParameters, OpenAiConfig};
pub use threadline_model::dialect::DialectOverrides;
pub use threadline_signals::RedisConfig;
pub use threadline_store::config::DatabaseConfig;
pub use threadline_tools::config::{
    CallLimits, ClientTool, EndpointConfig, EndpointKind, McpConfig, McpTransport, SecretPair, UserContext,
};

use ipnet::IpNet;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything the core is configured with.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Where conversations are kept.
    pub database: DatabaseConfig,
    /// What replicas share beside the database; `None` when there is one, or they do without.
    pub redis: Option<RedisConfig>,
    /// Tokens.
    pub auth: AuthConfig,
    /// The model behind the assistant.
    pub model: ModelConfig,
    /// The assistant, and what agents have in common.
    pub agent: AgentConfig,
    /// Agents from a file; `None` is one agent with every built-in tool.
    pub agents: Option<AgentsConfig>,
    /// What one user or address may use.
    pub limits: LimitsConfig,
    /// What one user may use in a day.
    pub budget: BudgetConfig,
    /// Conversations untouched for so long are archived; `None` never.
    pub session_max_idle: Option<Duration>,
    /// How long the events of a run are kept after its end.
    pub run_events_retention: Duration,
    /// How long what a run emits may stay in memory only; `None` until the run ends.
    pub run_events_interval: Option<Duration>,
    /// How long a run goes on after a reader that ends it by leaving has left.
    pub cancel_grace: Duration,
    /// Proxies whose word about a client's address is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Files that go with messages.
    pub attachments: AttachmentsConfig,
}

/// Signature algorithms for tokens: those that take one shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

/// Tokens.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Key that signs tokens.
    pub secret: SecretString,
    /// The one algorithm that is accepted.
    pub algorithm: TokenAlgorithm,
    /// How long a fresh token works.
    pub token_lifetime: Duration,
}

/// The assistant.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// System prompt.
    pub instructions: Arc<str>,
    /// Calls of the model in one run, at most.
    pub max_turns: u32,
    /// Longest time a run may take.
    pub run_timeout: Duration,
    /// Newest items of a thread that the model is shown.
    pub history_items: u32,
    /// Tokens that a model can read and write; `None` if that is found out.
    pub context_tokens: Option<u64>,
    /// Name of the model that gives threads their titles; `None` where none does.
    pub title_model: Option<Arc<str>>,
}

/// What one user may use in a day (UTC). `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct BudgetConfig {
    /// Tokens, read and written.
    pub tokens: Option<u64>,
    /// Money, in millionths of the currency.
    pub cost_micros: Option<u64>,
    /// Tokens that a run holds while it goes on.
    pub hold_tokens: u64,
}

/// Files that go with messages.
#[derive(Debug, Clone)]
pub struct AttachmentsConfig {
    /// Where their bytes are.
    pub location: AttachmentsLocation,
    /// Where the gateway takes uploads, with `{attachment_id}` for the id. Not used with a bucket, which takes them itself.
    pub upload_url: String,
    /// Where the gateway serves previews, with `{attachment_id}` for the id.
    pub preview_url: String,
    /// Bytes of one.
    pub max_bytes: u64,
    /// What all of a user may come to; `None` is no limit.
    pub user_bytes: Option<u64>,
    /// Media types that are taken, in lower case; `*` at the end stands for anything.
    pub types: Arc<[String]>,
}

/// Where the bytes of attachments are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentsLocation {
    /// A directory, made when it is first needed.
    Directory(PathBuf),
    /// A bucket that speaks S3, with what the `AWS_*` variables say of it.
    Bucket {
        /// Its name.
        name: String,
        /// What the names of all objects begin with; may be empty.
        prefix: String,
    },
}

/// What one user or address may use. `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Requests per minute, of a user over all transports, or of an address without a user.
    pub requests_per_minute: Option<std::num::NonZeroU32>,
    /// Conversations of a user that are not archived.
    pub sessions_per_user: Option<u32>,
    /// Subscriptions of a user that are open in one process.
    pub streams_per_user: Option<u32>,
    /// Characters of a message.
    pub message_chars: Option<u32>,
    /// Entries of a JSON-RPC batch.
    pub batch_entries: usize,
    /// Bytes of a request body.
    pub body_bytes: usize,
}
