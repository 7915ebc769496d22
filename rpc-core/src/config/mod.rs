//! The configuration of the core: plain data that the reader of the settings has validated.

mod agents;

pub use agents::{
    AgentProfile, AgentsConfig, BudgetClass, CrashPolicy, DailyBudget, ModelPrices, ModelSettings, PromptFact,
    Retention, TitlePolicy, ToolSelector, check_class_name,
};

pub use threadline_model::config::{DemoConfig, ModelConfig, ModelParameters, OpenAiConfig};
pub use threadline_model::dialect::DialectOverrides;
pub use threadline_signals::RedisConfig;
pub use threadline_store::config::{DatabaseConfig, PreparedStatements};
pub use threadline_tools::config::{
    ApprovalMode, CallLimits, ClientTool, EndpointConfig, EndpointKind, McpConfig, McpTransport, SecretPair,
    UserContext,
};

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::admin::AdminSetting;

/// The configuration of the core.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The database.
    pub database: DatabaseConfig,
    /// Redis, for signals and rate limits that replicas share; `None` without it.
    pub redis: Option<RedisConfig>,
    /// Tokens.
    pub auth: AuthConfig,
    /// An identity provider whose tokens are accepted too.
    pub provider: Option<ProviderConfig>,
    /// Who can register.
    pub registration: Registration,
    /// How long entries of the audit log are kept; `None` is without end.
    pub audit_retention: Option<Duration>,
    /// The model behind the assistant.
    pub model: ModelConfig,
    /// Defaults of all agents.
    pub agent: AgentConfig,
    /// Agents from a file; `None` is one agent with every built-in tool.
    pub agents: Option<AgentsConfig>,
    /// Limits of one user or address.
    pub limits: LimitsConfig,
    /// What one user may use per day.
    pub budget: BudgetConfig,
    /// Threads that were not used for this time are archived; `None` never.
    pub session_max_idle: Option<Duration>,
    /// Threads that were not used for this time are deleted; `None` never. Agents can say otherwise.
    pub retention: Option<Duration>,
    /// How long temporary threads are kept after their last use.
    pub temporary_lifetime: Duration,
    /// How long the events of a run are kept after its end.
    pub run_events_retention: Duration,
    /// Interval of the journal: how long an event may be in memory only. `None` until the run ends.
    pub run_events_interval: Option<Duration>,
    /// How long a run continues after the disconnect of a reader that cancels it by disconnecting.
    pub cancel_grace: Duration,
    /// Proxies that are trusted to name the address of a client.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Attachments.
    pub attachments: AttachmentsConfig,
    /// The agents file, for the console; `None` without one.
    pub agents_file: Option<Arc<dyn AgentsFile>>,
    /// The description of this process, for the console.
    pub process: ProcessConfig,
    /// The settings of this process, for the console. The core does not use them.
    pub shown_settings: Arc<[AdminSetting]>,
}

/// Reads the agents file, which can have changed, and tries texts out. An error is one line, for operators.
pub trait AgentsFile: std::fmt::Debug + Send + Sync {
    /// Returns its path.
    fn path(&self) -> String;

    /// Reads the file.
    ///
    /// # Errors
    /// The first error in it.
    fn read(&self) -> Result<AgentsConfig, String>;

    /// Reads a text as if it were that of the file.
    ///
    /// # Errors
    /// The first error in it.
    fn check(&self, text: &str) -> Result<AgentsConfig, String>;
}

/// The description of a process, for the console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Name of its machine.
    pub host: String,
    /// Where it listens.
    pub address: String,
}

/// An identity provider (OpenID Connect) whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// URL of its keys; `None` to read it from the discovery document of the issuer.
    pub jwks_url: Option<String>,
    /// The claim `aud` must have one of these.
    pub audiences: Vec<String>,
    /// The claim with the email address. Dots lead into nested objects.
    pub email_claim: String,
    /// The claim with the roles. Dots lead into nested objects.
    pub roles_claim: String,
    /// The claim with the budget class, if there is one. Dots lead into nested objects.
    pub budget_class_claim: Option<String>,
}

/// Who can register an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Everyone.
    Open,
    /// Everyone with an invitation.
    Invite,
    /// No one: the operator creates the accounts.
    Closed,
}

/// Signature algorithms of tokens. All use one shared secret.
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
    /// Keys that signed before it. What they have signed is accepted.
    pub former_secrets: Vec<SecretString>,
    /// The one algorithm that is accepted.
    pub algorithm: TokenAlgorithm,
    /// How long a new token is valid.
    pub token_lifetime: Duration,
}

impl AuthConfig {
    /// Returns the keys whose signatures are accepted, the one that signs first.
    pub(crate) fn all_secrets(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.secret).chain(&self.former_secrets).map(ExposeSecret::expose_secret)
    }
}

/// Defaults of all agents.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// System prompt.
    pub instructions: Arc<str>,
    /// Maximum number of turns of a run.
    pub max_turns: u32,
    /// Maximum duration of a run.
    pub run_timeout: Duration,
    /// How many of the newest items of a thread the model reads.
    pub history_items: u32,
    /// Tokens that a model can read and write; `None` if that is found out.
    pub context_tokens: Option<u64>,
    /// Name of the model that writes the titles of threads; `None` without one.
    pub title_model: Option<Arc<str>>,
    /// Name of the model that summarises the turns that prompts leave out; `None` without one.
    pub summary_model: Option<Arc<str>>,
}

/// What one user, and all together, may use per day (UTC). `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct BudgetConfig {
    /// Tokens, input and output.
    pub tokens: Option<u64>,
    /// Money, in millionths of the currency.
    pub cost_micros: Option<u64>,
    /// Tokens that an active run reserves.
    pub hold_tokens: u64,
    /// Tokens of all users together.
    pub all_tokens: Option<u64>,
    /// Money of all users together, in millionths of the currency.
    pub all_cost_micros: Option<u64>,
    /// Percentage of a budget that all users share from which on a warning is logged.
    pub warn_percent: u32,
}

/// Attachments: files of messages.
#[derive(Debug, Clone)]
pub struct AttachmentsConfig {
    /// Where their bytes are stored.
    pub location: AttachmentsLocation,
    /// URL of uploads to the gateway, with `{attachment_id}` for the id. Not used with a bucket: clients upload to it.
    pub upload_url: String,
    /// URL of previews at the gateway, with `{attachment_id}` for the id.
    pub preview_url: String,
    /// Maximum size of one attachment, in bytes.
    pub max_bytes: u64,
    /// Maximum total size of the attachments of a user, in bytes; `None` is no limit.
    pub user_bytes: Option<u64>,
    /// Accepted media types, in lower case. A `*` at the end matches any rest.
    pub types: Arc<[String]>,
}

/// Where the bytes of attachments are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttachmentsLocation {
    /// A directory. It is created when it is first needed.
    Directory(PathBuf),
    /// An S3 bucket. The `AWS_*` variables have its region, endpoint and credentials.
    Bucket {
        /// Name of the bucket.
        name: String,
        /// Prefix of all object names; may be empty.
        prefix: String,
    },
}

/// Limits of one user or address. `None` is no limit.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Requests per minute: of a user over all transports, or of an address without a user.
    pub requests_per_minute: Option<std::num::NonZeroU32>,
    /// Registrations per hour of an address.
    pub registrations_per_hour: Option<std::num::NonZeroU32>,
    /// Threads of a user that are not archived.
    pub sessions_per_user: Option<u32>,
    /// Open subscriptions of a user in one process.
    pub streams_per_user: Option<u32>,
    /// Characters of a user message.
    pub message_chars: Option<u32>,
    /// Entries of a JSON-RPC batch.
    pub batch_entries: usize,
    /// Bytes of a request body.
    pub body_bytes: usize,
}
