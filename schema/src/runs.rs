//! `runs.*`: the work of the assistant on one input. Everything that streams is a run.

pub use crate::finish_reason::FinishReason;

use crate::error::Failure;
use crate::event::RunEvent;
use crate::ids::{ItemId, RunId, ThreadId};
use crate::page::Raw;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Status of a run. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum RunStatus {
    /// Stored, not started.
    Queued,
    /// In progress.
    Running,
    /// Ended normally.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by the user. The output so far is kept.
    Cancelled,
    /// Ended because the server stopped, or crashed and could not continue it. The output so far is kept.
    Interrupted,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// Returns whether the run has ended.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Interrupted => true,
        }
    }

    /// Returns the name on the wire and in the database.
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

    /// Returns the status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Tokens used, as the model server reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Input tokens of all turns of the run.
    pub prompt_tokens: u64,
    /// Output tokens of all turns of the run.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // Saturating: a server may report any number, and a run must end all the same.
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
    }
}

/// A call of a server-side tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallRecord {
    /// Id of the call, from the model.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments: JSON text as the model wrote it.
    pub arguments: String,
    /// Result: JSON text. Absent while the call is in flight. `{"status": "unknown", ...}` if the call started and its
    /// end was not recorded: it may or may not have taken effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The run that made the call.
    pub run_id: RunId,
    /// The assistant message that followed; absent if the run ended without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<ItemId>,
    /// Time of the call.
    pub created_at: DateTime<Utc>,
}

/// The work of the assistant on one input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Id of the run.
    pub id: RunId,
    /// The thread of the run.
    pub thread_id: ThreadId,
    /// Status of the run.
    pub status: RunStatus,
    /// Time at which the input was stored.
    pub created_at: DateTime<Utc>,
    /// Time at which the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Sequence number of the last event so far.
    pub last_seq: u64,
    /// The message that this run answers again. When the run completes, the other items after that message are removed.
    /// Until then, and if the run ends otherwise, the old answer stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<ItemId>,
    /// Why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// How the answer ended. Absent before the end, and if the run ended without the model's last word: it was
    /// cancelled or interrupted, it failed, or it waits for a client tool or for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Tokens used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Cost for the user, in millionths of the currency of the configured prices. Absent before the end, and if the
    /// model has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micros: Option<u64>,
    /// The last assistant message of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<ItemId>,
    /// Tool calls of the run; present once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCallRecord>>,
}

/// Params of methods that act on one run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRef {
    /// The run.
    pub run_id: RunId,
}

/// Params of `runs.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunsSubscribeParams {
    /// The run.
    pub run_id: RunId,
    /// The last event that the subscriber has: its `seq`, or the cursor `run_id:seq`. Default: from the first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// Whether to cancel the run if this subscriber disconnects before the end. The run continues if it has a
    /// subscriber in the same process after `CHATKIT_CANCEL_GRACE_MS`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_when_left: bool,
}

/// A position in the events of a run: a sequence number, or the cursor `run_id:seq` that every transport sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum After {
    /// The sequence number of an event.
    Seq(u64),
    /// `run_id:seq`, or the sequence number as text.
    Cursor(String),
}

impl After {
    /// Returns the sequence number of the last event that the subscriber has; `None` if the cursor is of another run.
    pub fn seq_of(&self, run_id: RunId) -> Option<u64> {
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

/// Payload of a notification of `runs.subscribe`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RunNotification {
    /// Sequence number of the event in its run, from 1. `run_id:seq` is the cursor to resume from.
    pub seq: u64,
    /// The event.
    pub event: Raw<RunEvent>,
}

crate::methods! {
    /// Get a run with its status.
    RunsGet = "runs.get" (User): RunRef => Run;
    /// Cancel a run.
    ///
    /// The output so far is kept. Cancelling a run that has ended changes nothing and returns the run.
    RunsCancel = "runs.cancel" (User): RunRef => Run;
    /// Subscribe to the events of a run, from the first event or from a cursor.
    ///
    /// Each notification `run.event` has `seq` and `event`. The last event is `run.completed`, `run.failed`,
    /// `run.cancelled` or `run.interrupted`. WebSocket only.
    RunsSubscribe = "runs.subscribe" (User) as "run.event" until "runs.unsubscribe": RunsSubscribeParams => RunNotification;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_number_or_names_its_run() {
        let run = RunId::random();
        let other = RunId::random();
        assert_eq!(After::Seq(3).seq_of(run), Some(3));
        assert_eq!(After::Cursor("3".into()).seq_of(run), Some(3));
        assert_eq!(After::Cursor(format!("{run}:3")).seq_of(run), Some(3));
        assert_eq!(After::Cursor(format!("{other}:3")).seq_of(run), None);
        assert_eq!(After::Cursor("x".into()).seq_of(run), None);
        assert_eq!(After::Cursor(format!("{run}:-1")).seq_of(run), None);
    }
}
