//! Actions of widgets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;

/// An action, as a widget declares it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionConfig {
    /// Name of the action.
    #[serde(rename = "type")]
    pub kind: String,
    /// Arguments of the action.
    pub payload: Option<Value>,
    /// Who executes the action.
    #[serde(default)]
    pub handler: Handler,
    /// What the front end shows while the action runs.
    #[serde(default)]
    pub loading_behavior: LoadingBehavior,
    /// Whether the front end sends it as `threads.custom_action`, which streams, or as `threads.sync_custom_action`.
    #[serde(default = "yes")]
    pub streaming: bool,
}

impl ActionConfig {
    /// Creates an action that the server executes.
    pub fn new(kind: impl Into<String>, payload: Value) -> Self {
        Self {
            kind: kind.into(),
            payload: Some(payload),
            handler: Handler::default(),
            loading_behavior: LoadingBehavior::default(),
            streaming: true,
        }
    }
}

fn yes() -> bool {
    true
}

/// Who executes an action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Handler {
    /// The front end.
    Client,
    /// The server.
    #[default]
    Server,
}

/// What the front end shows while an action runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadingBehavior {
    /// The front end decides.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// The component shows it.
    #[serde(rename = "self")]
    Itself,
    /// The whole widget shows it.
    Container,
}

/// An action, as a client sends it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// Name of the action.
    #[serde(rename = "type")]
    pub kind: String,
    /// Arguments of the action.
    pub payload: Option<Value>,
}
