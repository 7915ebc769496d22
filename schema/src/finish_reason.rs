//! How an answer ended, for runs and for messages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the answer of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// The answer reached a length limit. It is incomplete.
    Length,
    /// The model server's content filter stopped the answer.
    ContentFilter,
    /// The model kept calling tools, up to the agent's limit of turns.
    TurnLimit,
    /// The model refused to answer.
    Refusal,
}

impl FinishReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Stop, Self::Length, Self::ContentFilter, Self::TurnLimit, Self::Refusal];

    /// Returns the name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::TurnLimit => "turn_limit",
            Self::Refusal => "refusal",
        }
    }

    /// Returns the reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}
