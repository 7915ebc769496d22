//! `tasks.*`: the to-do list that the built-in tools act on.

use crate::page::Page;
use crate::threads::Done;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// How urgent a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "db", derive(diesel::expression::AsExpression, diesel::deserialize::FromSqlRow))]
#[cfg_attr(feature = "db", diesel(sql_type = diesel::sql_types::Text))]
pub enum Priority {
    /// When there is time.
    Low,
    /// In its turn.
    #[default]
    Medium,
    /// First.
    High,
}

impl Priority {
    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The priority called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|priority| priority.name() == name)
    }
}

/// Which tasks a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskFilter {
    /// Every task.
    #[default]
    All,
    /// Those still to do.
    Pending,
    /// Those done.
    Completed,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Id of the task.
    pub id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// What is to be done.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whether it is done.
    pub completed: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was done.
    pub completed_at: Option<DateTime<Utc>>,
}

/// Params of `tasks.create`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksCreateParams {
    /// What is to be done, 1 to 200 characters.
    pub title: String,
    /// More about it, at most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Medium when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// At most 20 words of at most 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Params of `tasks.list`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksListParams {
    /// All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskFilter>,
    /// Tasks on the page, 1 to 100; 20 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `after` of the page before, which is the id of its last task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Params that name a task.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// The task.
    pub task_id: Uuid,
}

/// Params of `tasks.update`: what is absent stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksUpdateParams {
    /// The task.
    pub task_id: Uuid,
    /// A new title, 1 to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A new description, at most 2000 characters; `null` removes it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub description: Option<Option<String>>,
    /// A new priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// New tags, in place of the old ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Done or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
}

/// Tells a member that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

crate::methods! {
    /// Add a task.
    TasksCreate = "tasks.create" (User): TasksCreateParams => Task;
    /// The user's tasks, newest first.
    TasksList = "tasks.list" (User): TasksListParams => Page<Task>;
    /// One task.
    TasksGet = "tasks.get" (User): TaskRef => Task;
    /// Change a task; what is not named stays.
    TasksUpdate = "tasks.update" (User): TasksUpdateParams => Task;
    /// Mark a task as done. Doing so twice changes nothing.
    TasksComplete = "tasks.complete" (User): TaskRef => Task;
    /// Delete a task.
    TasksDelete = "tasks.delete" (User): TaskRef => Done;
}
