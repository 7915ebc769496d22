//! Actions: what a widget does when it is used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;

/// What a widget declares.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActionConfig {
    /// Name of the action.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it acts on.
    pub payload: Option<Value>,
    /// Who carries it out.
    #[serde(default)]
    pub handler: Handler,
    /// What shows that it is at work.
    #[serde(default)]
    pub loading_behavior: LoadingBehavior,
    /// Whether it is sent as `threads.custom_action`, which streams, or as `threads.sync_custom_action`.
    #[serde(default = "yes")]
    pub streaming: bool,
}

impl ActionConfig {
    /// An action that the server carries out.
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

/// Who carries an action out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Handler {
    /// The front end.
    Client,
    /// The server.
    #[default]
    Server,
}

/// What shows that an action is at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoadingBehavior {
    /// The front end decides.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// The component that was used.
    #[serde(rename = "self")]
    Itself,
    /// The whole widget.
    Container,
}

/// An action as a client sends it.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// Name of the action.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it acts on.
    pub payload: Option<Value>,
}
