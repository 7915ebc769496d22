//! Processes, failures, and conversations as operators see them.

use crate::chatkit::ThreadItem;
use crate::ids::{ProcessId, ThreadId, UserId};
use crate::page::Raw;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// It serves.
    Live,
    /// It stops: it accepts no new runs.
    Draining,
    /// It was not seen for a minute.
    Gone,
}

/// A process that serves the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminProcess {
    /// Id of the process, as in the leases of runs.
    pub id: ProcessId,
    /// Whether it is the one that answers.
    pub is_this: bool,
    /// What it does.
    pub state: ProcessState,
    /// Name of its machine. Absent, as the next three, for a process of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When it was last seen: it reports every 15 seconds.
    pub seen_at: DateTime<Utc>,
    /// Since when it accepts no new runs; absent if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_since: Option<DateTime<Utc>>,
    /// Number of runs that it executes.
    pub live_runs: u64,
    /// When the first of their leases expires, unless it is renewed; absent without runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<DateTime<Utc>>,
}

/// The processes that serve the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminProcesses {
    /// Those that were seen within an hour or own runs, newest first, at most 200.
    pub processes: Vec<AdminProcess>,
}

/// Params of `admin.errors`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminErrorsParams {
    /// How many hours back, with the current one, 1 to 720. Default: 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 720))]
    pub hours: Option<u32>,
}

/// What has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// A model's server.
    Model,
    /// A tool.
    Tool,
}

/// How often a part has failed with an error code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminErrorCount {
    /// What has failed.
    pub kind: FailureKind,
    /// Name of the model or tool.
    pub name: String,
    /// The error code.
    pub code: String,
    /// How often.
    pub count: u64,
    /// The hour in which it was the last time.
    pub last_hour: DateTime<Utc>,
}

/// Failures in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminErrorHour {
    /// Beginning of the hour.
    pub hour: DateTime<Utc>,
    /// How many.
    pub count: u64,
}

/// Failures of models and tools, of all processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminErrors {
    /// By part and code, the most frequent first, at most 500.
    pub errors: Vec<AdminErrorCount>,
    /// By hour, oldest first, without hours that have no failures.
    pub hours: Vec<AdminErrorHour>,
}

/// Params of `admin.list_threads`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminListThreadsParams {
    /// The user.
    pub user_id: UserId,
    /// Maximum number of conversations on the page, 1 to 100. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A conversation without its content: its title is content too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdminThread {
    /// Id of the thread.
    pub id: ThreadId,
    /// Whether it accepts messages.
    pub is_open: bool,
    /// Number of messages.
    pub messages: u64,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// Params of `admin.list_items`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminListItemsParams {
    /// The thread.
    pub thread_id: ThreadId,
    /// Maximum number of items on the page, 1 to 20. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub limit: Option<u32>,
    /// Cursor: the `after` of the previous page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// An item of a conversation.
pub type AdminItem = Raw<ThreadItem>;

/// Params of `admin.set_budget_class`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSetBudgetClassParams {
    /// The user.
    pub user_id: UserId,
    /// A budget class of the agents file. Absent takes the class that an operator has given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub class: Option<String>,
}
