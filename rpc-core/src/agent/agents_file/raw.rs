//! The TOML tables of the agents file, before validation.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Spanned;

/// Text with its position in the file.
pub(super) type SpannedText = Spanned<String>;
/// A table whose keys are names.
pub(super) type TableOf<T> = BTreeMap<SpannedText, T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) default: Option<SpannedText>,
    pub(super) approval_expires_seconds: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) agents: TableOf<RawAgent>,
    #[serde(default)]
    pub(super) models: TableOf<RawModel>,
    #[serde(default)]
    pub(super) mcp: TableOf<RawMcp>,
    #[serde(default)]
    pub(super) tools: TableOf<RawEndpoint>,
    #[serde(default)]
    pub(super) budget_classes: TableOf<RawBudgetClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBudgetClass {
    pub(super) budget_tokens_per_day: Option<Spanned<u64>>,
    pub(super) budget_cost_per_day: Option<Spanned<f64>>,
    pub(super) user_budget_tokens_per_day: Option<Spanned<u64>>,
    pub(super) user_budget_cost_per_day: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgent {
    pub(super) instructions: Option<SpannedText>,
    pub(super) instructions_file: Option<SpannedText>,
    pub(super) model: Option<SpannedText>,
    #[serde(default)]
    pub(super) models: Vec<SpannedText>,
    #[serde(default)]
    pub(super) fallback_models: Vec<SpannedText>,
    pub(super) tools: Option<Vec<SpannedText>>,
    #[serde(default)]
    pub(super) client_tools: Vec<RawClientTool>,
    #[serde(default)]
    pub(super) tell: Vec<SpannedText>,
    pub(super) starter_title: Option<SpannedText>,
    pub(super) title_model: Option<SpannedText>,
    pub(super) summary_model: Option<SpannedText>,
    pub(super) max_turns: Option<Spanned<u32>>,
    pub(super) allow: Option<Vec<SpannedText>>,
    pub(super) budget_tokens_per_day: Option<Spanned<u64>>,
    pub(super) budget_cost_per_day: Option<Spanned<f64>>,
    pub(super) retention_days: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) approval: TableOf<SpannedText>,
    pub(super) on_crash: Option<SpannedText>,
    pub(super) approval_expires_seconds: Option<Spanned<u32>>,
    pub(super) temperature: Option<Spanned<f64>>,
    pub(super) top_p: Option<Spanned<f64>>,
    pub(super) max_tokens: Option<Spanned<u32>>,
    pub(super) max_completion_tokens: Option<Spanned<u32>>,
    pub(super) frequency_penalty: Option<Spanned<f64>>,
    pub(super) presence_penalty: Option<Spanned<f64>>,
    pub(super) seed: Option<i64>,
    #[serde(default)]
    pub(super) stop: Vec<SpannedText>,
    pub(super) reasoning_effort: Option<SpannedText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClientTool {
    pub(super) name: SpannedText,
    pub(super) description: SpannedText,
    pub(super) parameters: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) input_per_million: Option<Spanned<f64>>,
    pub(super) output_per_million: Option<Spanned<f64>>,
    pub(super) context_tokens: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) dialect: TableOf<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMcp {
    pub(super) command: Option<SpannedText>,
    pub(super) args: Option<Spanned<Vec<String>>>,
    pub(super) env: Option<Spanned<TableOf<ValueOrEnv>>>,
    pub(super) url: Option<SpannedText>,
    pub(super) headers: Option<Spanned<TableOf<ValueOrEnv>>>,
    #[serde(default)]
    pub(super) user_context: bool,
    pub(super) timeout_seconds: Option<Spanned<u32>>,
    pub(super) max_concurrency: Option<Spanned<u32>>,
    pub(super) max_result_bytes: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) widgets: bool,
    #[serde(default)]
    pub(super) actions: Vec<SpannedText>,
    pub(super) approval: Option<Spanned<RawMcpApproval>>,
    #[serde(default)]
    pub(super) idempotent: Vec<SpannedText>,
    #[serde(default)]
    pub(super) trust_hints: bool,
    pub(super) pin: Option<SpannedText>,
    pub(super) tools: Option<Vec<SpannedText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEndpoint {
    pub(super) kind: SpannedText,
    pub(super) url: SpannedText,
    pub(super) method: Option<SpannedText>,
    pub(super) description: SpannedText,
    pub(super) parameters: Option<Spanned<Value>>,
    #[serde(default)]
    pub(super) headers: TableOf<ValueOrEnv>,
    pub(super) user_context: Option<RawUserContext>,
    pub(super) timeout_seconds: Option<Spanned<u32>>,
    pub(super) max_concurrency: Option<Spanned<u32>>,
    pub(super) max_result_bytes: Option<Spanned<u32>>,
    pub(super) acts: Option<bool>,
    pub(super) idempotent: Option<bool>,
    #[serde(default)]
    pub(super) widgets: bool,
    #[serde(default)]
    pub(super) action: bool,
    pub(super) approval: Option<SpannedText>,
}

/// Which calls of the tools of an MCP server wait for approval.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"never\", \"first\" or \"always\", or a table of them by tool")]
pub(super) enum RawMcpApproval {
    All(String),
    ByTool(BTreeMap<String, String>),
}

/// The value of a header or an environment variable: text, or the name of one of our environment variables.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, or { env = \"NAME\" }, or { env = \"NAME\", prefix = \"Bearer \" }")]
pub(super) enum ValueOrEnv {
    Value(String),
    Env(EnvReference),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvReference {
    pub(super) env: String,
    #[serde(default)]
    pub(super) prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUserContext {
    pub(super) env: SpannedText,
    pub(super) header: Option<SpannedText>,
    pub(super) audience: Option<SpannedText>,
}
