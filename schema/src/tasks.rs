//! `tasks.*`: the to-do list of a user, which the built-in tools use too.

use crate::ids::{TaskId, UserId};
use crate::page::Page;
use crate::threads::Done;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// How urgent a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum Priority {
    /// Can wait.
    Low,
    /// Normal.
    #[default]
    Medium,
    /// Urgent.
    High,
}

impl Priority {
    /// Returns the name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Returns the priority with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|priority| priority.name() == name)
    }
}

/// Filter of a list of tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskFilter {
    /// Every task.
    #[default]
    All,
    /// Open tasks.
    Pending,
    /// Completed tasks.
    Completed,
}

/// An entry of the to-do list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Id of the task.
    pub id: TaskId,
    /// Id of the user.
    pub user_id: UserId,
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Priority.
    pub priority: Priority,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether the task is done.
    pub completed: bool,
    /// When the task was created.
    pub created_at: DateTime<Utc>,
    /// When the task changed last.
    pub updated_at: DateTime<Utc>,
    /// When the task was completed.
    pub completed_at: Option<DateTime<Utc>>,
}

/// Params of `tasks.create`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksCreateParams {
    /// Title, 1 to 200 characters.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// Description, at most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2000))]
    pub description: Option<String>,
    /// Priority; medium if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// At most 20 tags of at most 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<String>>,
}

/// Params of `tasks.list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksListParams {
    /// Filter; all tasks if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskFilter>,
    /// Maximum number of tasks, 1 to 100; 20 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// Cursor: `after` of the previous page, which is the id of its last task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"))]
    pub after: Option<String>,
}

/// Params of methods that act on one task.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Params of `tasks.update`. Absent members do not change.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksUpdateParams {
    /// Id of the task.
    pub task_id: TaskId,
    /// New title, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub title: Option<String>,
    /// New description, at most 2000 characters; `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[schemars(length(max = 2000))]
    pub description: Option<Option<String>>,
    /// New priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// New tags, which replace the old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<String>>,
    /// Whether the task is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
}

/// Distinguishes a member that is `null` from an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

crate::methods! {
    /// Add a task.
    TasksCreate = "tasks.create" (User): TasksCreateParams => Task;
    /// List the tasks of the user, newest first.
    TasksList = "tasks.list" (User): TasksListParams => Page<Task>;
    /// Get a task.
    TasksGet = "tasks.get" (User): TaskRef => Task;
    /// Change a task. Absent params do not change.
    TasksUpdate = "tasks.update" (User): TasksUpdateParams => Task;
    /// Mark a task as done. A second call changes nothing.
    TasksComplete = "tasks.complete" (User): TaskRef => Task;
    /// Delete a task.
    TasksDelete = "tasks.delete" (User): TaskRef => Done;
}
