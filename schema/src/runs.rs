//! `runs.*`: turns of the assistant. Everything that streams is a run.

use crate::error::Failure;
use crate::event::RunEvent;
use crate::page::Raw;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a run stands. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum RunStatus {
    /// Stored, not yet begun.
    Queued,
    /// Answering.
    Running,
    /// Answered.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by the user; what was said so far is kept.
    Cancelled,
    /// Ended by the server's stop or crash; what was said so far is kept.
    Interrupted,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// Whether nothing more will happen.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Interrupted => true,
        }
    }

    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The status called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Tokens the model's server says it used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens read, over all calls of the run.
    pub prompt_tokens: u64,
    /// Tokens written, over all calls of the run.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // A server may report anything: an absurd number must not keep a run from ending.
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// One call of a server-side tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallRecord {
    /// The id the model gave the call.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What it was called with: JSON as the model wrote it.
    pub arguments: String,
    /// What it answered: JSON text. Absent while the call is in flight. `{"status": "unknown", ...}` when it began and
    /// was never seen to end, so that nobody can say whether it took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The run that made the call.
    pub run_id: Uuid,
    /// The assistant message it led to; absent when the run ended without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// One turn of the assistant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Id of the run.
    pub id: Uuid,
    /// The thread it answers in.
    pub thread_id: Uuid,
    /// Where it stands.
    pub status: RunStatus,
    /// When the message was stored.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Number of its last event so far.
    pub last_seq: u64,
    /// The message that it answers again. What stands behind that message goes when this run completes: until then, and
    /// if it ends otherwise, the old answer stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<Uuid>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// What it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it cost its user, in millionths of the currency in which the operator's prices are; absent before its end, and
    /// where its model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// The last assistant message it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Uuid>,
    /// Tools it called; known once it is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallRecord>>,
}

/// Params that name a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRef {
    /// The run.
    pub run_id: Uuid,
}

/// Params of `runs.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunsSubscribeParams {
    /// The run.
    pub run_id: Uuid,
    /// The last event the subscriber has: its `seq`, or the cursor `run_id:seq`. Absent: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// Cancel the run when this subscriber leaves before its end, does not come back soon (`CHATKIT_CANCEL_GRACE_MS`),
    /// and nobody else of its process follows it by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_when_left: bool,
}

/// A place in a run's events: a bare number, or the cursor `run_id:seq` that every transport shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum After {
    /// The number of an event.
    Seq(u64),
    /// `run_id:seq`, or the number as text.
    Cursor(String),
}

impl After {
    /// The number of the last event the subscriber has, if the cursor is one of this run's.
    pub fn seq_of(&self, run_id: Uuid) -> Option<u64> {
        match self {
            Self::Seq(seq) => Some(*seq),
            Self::Cursor(text) => match text.trim().rsplit_once(':') {
                None => text.trim().parse().ok(),
                Some((run, seq)) if run.parse() == Ok(run_id) => seq.parse().ok(),
                Some(_) => None,
            },
        }
    }
}

/// What each notification of `runs.subscribe` carries.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunNotification {
    /// Number of the event in its run, from 1. `run_id:seq` is the cursor to go on from.
    pub seq: u64,
    /// The event.
    pub event: Raw<RunEvent>,
}

crate::methods! {
    /// A run and where it stands.
    RunsGet = "runs.get" (User): RunRef => Run;
    /// Stop a run.
    ///
    /// What was said so far is kept as the answer. Cancelling a run that has ended changes nothing and answers
    /// with how it ended.
    RunsCancel = "runs.cancel" (User): RunRef => Run;
    /// Follow a run, from its beginning or from a cursor.
    ///
    /// Each notification `run.event` carries `seq` and `event`; the last one is `run.completed`, `run.failed`,
    /// `run.cancelled` or `run.interrupted`. WebSocket only.
    RunsSubscribe = "runs.subscribe" (User) as "run.event" until "runs.unsubscribe": RunsSubscribeParams => RunNotification;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_or_names_its_run() {
        let run = Uuid::now_v7();
        let other = Uuid::now_v7();
        assert_eq!(After::Seq(3).seq_of(run), Some(3));
        assert_eq!(After::Cursor("3".into()).seq_of(run), Some(3));
        assert_eq!(After::Cursor(format!("{run}:3")).seq_of(run), Some(3));
        assert_eq!(After::Cursor(format!("{other}:3")).seq_of(run), None);
        assert_eq!(After::Cursor("x".into()).seq_of(run), None);
        assert_eq!(After::Cursor(format!("{run}:-1")).seq_of(run), None);
    }
}
