//! The agents file as TOML has it, before it is checked.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use toml::Spanned;

/// Text that remembers where it stands.
pub(super) type Text = Spanned<String>;
/// A table of named things.
pub(super) type Named<T> = BTreeMap<Text, T>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) default: Option<Text>,
    #[serde(default)]
    pub(super) agents: Named<Agent>,
    #[serde(default)]
    pub(super) models: Named<Prices>,
    #[serde(default)]
    pub(super) mcp: Named<Mcp>,
    #[serde(default)]
    pub(super) tools: Named<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Agent {
    pub(super) instructions: Option<Text>,
    pub(super) instructions_file: Option<Text>,
    pub(super) model: Option<Text>,
    #[serde(default)]
    pub(super) models: Vec<Text>,
    #[serde(default)]
    pub(super) fallback_models: Vec<Text>,
    pub(super) tools: Option<Vec<Text>>,
    #[serde(default)]
    pub(super) client_tools: Vec<Client>,
    #[serde(default)]
    pub(super) tell: Vec<Text>,
    pub(super) starter_title: Option<Text>,
    pub(super) title_model: Option<Text>,
    pub(super) max_turns: Option<Spanned<u32>>,
    pub(super) temperature: Option<Spanned<f64>>,
    pub(super) top_p: Option<Spanned<f64>>,
    pub(super) max_tokens: Option<Spanned<u32>>,
    pub(super) max_completion_tokens: Option<Spanned<u32>>,
    pub(super) frequency_penalty: Option<Spanned<f64>>,
    pub(super) presence_penalty: Option<Spanned<f64>>,
    pub(super) seed: Option<i64>,
    #[serde(default)]
    pub(super) stop: Vec<Text>,
    pub(super) reasoning_effort: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub(super) name: Text,
    pub(super) description: Text,
    pub(super) parameters: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prices {
    pub(super) input_per_million: Spanned<f64>,
    pub(super) output_per_million: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mcp {
    pub(super) command: Option<Text>,
    pub(super) args: Option<Spanned<Vec<String>>>,
    pub(super) env: Option<Spanned<Named<Worth>>>,
    pub(super) url: Option<Text>,
    pub(super) headers: Option<Spanned<Named<Worth>>>,
    #[serde(default)]
    pub(super) user_context: bool,
    pub(super) timeout_seconds: Option<Spanned<u32>>,
    pub(super) max_concurrency: Option<Spanned<u32>>,
    pub(super) max_result_bytes: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    pub(super) kind: Text,
    pub(super) url: Text,
    pub(super) method: Option<Text>,
    pub(super) description: Text,
    pub(super) parameters: Option<Spanned<Value>>,
    #[serde(default)]
    pub(super) headers: Named<Worth>,
    pub(super) user_context: Option<UserContext>,
    pub(super) timeout_seconds: Option<Spanned<u32>>,
    pub(super) max_concurrency: Option<Spanned<u32>>,
    pub(super) max_result_bytes: Option<Spanned<u32>>,
    pub(super) acts: Option<bool>,
}

/// The text of a header or a variable, as it is or from the environment.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, or { env = \"NAME\" }, or { env = \"NAME\", prefix = \"Bearer \" }")]
pub(super) enum Worth {
    Plain(String),
    FromEnvironment(FromEnvironment),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromEnvironment {
    pub(super) env: String,
    #[serde(default)]
    pub(super) prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserContext {
    pub(super) env: Text,
    pub(super) header: Option<Text>,
}
