//! The agents file as operators see, check and reload it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The agents of the process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminAgentsFile {
    /// Path of the agents file; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When the process has loaded the agents.
    pub loaded_at: DateTime<Utc>,
    /// Names of the agents.
    pub agents: Vec<String>,
    /// The agent of conversations that name none.
    pub default: String,
    /// The file as it was loaded, without comments, and with secret values replaced by `(hidden)`; absent without a
    /// file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Params of `admin.check_agents_file`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminCheckAgentsParams {
    /// The text of an agents file, at most 500,000 characters.
    #[schemars(length(max = 500_000))]
    pub text: String,
}

/// Whether a text is a valid agents file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminAgentsCheck {
    /// Whether it is.
    pub is_valid: bool,
    /// The first error, with its line and column, as `threadline doctor` tells it; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Names of the agents of a valid text.
    pub agents: Vec<String>,
}
