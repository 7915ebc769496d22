//! Workflows: the steps of the assistant before its answer.

use super::{Extra, IconName, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// The tasks of a workflow item.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workflow {
    /// Kind of the tasks.
    #[serde(rename = "type")]
    pub kind: WorkflowKind,
    /// One task per tool call or thought.
    pub tasks: Vec<WorkflowTask>,
    /// Summary of the finished workflow.
    pub summary: Option<WorkflowSummary>,
    /// Whether the front end shows the tasks.
    #[serde(default)]
    pub expanded: bool,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Kind of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowKind {
    /// Tool calls.
    Custom,
    /// Thoughts of the model.
    Reasoning,
}

/// Summary of a workflow.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WorkflowSummary {
    /// A text.
    Custom {
        /// The text.
        title: String,
        /// Icon next to the text.
        icon: Option<IconName>,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
    /// The duration.
    Duration {
        /// Duration in seconds.
        duration: u64,
        /// Members that this version does not know.
        #[serde(flatten)]
        extra: Extra,
    },
}

/// A task of a workflow, or of a task item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkflowTask {
    /// Any task, such as a tool call.
    Custom(CustomTask),
    /// A web search.
    WebSearch(SearchTask),
    /// A thought of the model.
    Thought(ThoughtTask),
    /// Files that were read.
    File(FileTask),
    /// An image that was generated.
    Image(ImageTask),
}

impl WorkflowTask {
    /// Returns the status.
    pub fn status(&self) -> StatusIndicator {
        match self {
            Self::Custom(task) => task.status_indicator,
            Self::WebSearch(task) => task.status_indicator,
            Self::Thought(task) => task.status_indicator,
            Self::File(task) => task.status_indicator,
            Self::Image(task) => task.status_indicator,
        }
    }

    /// Sets the status.
    pub fn set_status(&mut self, status: StatusIndicator) {
        match self {
            Self::Custom(task) => task.status_indicator = status,
            Self::WebSearch(task) => task.status_indicator = status,
            Self::Thought(task) => task.status_indicator = status,
            Self::File(task) => task.status_indicator = status,
            Self::Image(task) => task.status_indicator = status,
        }
    }
}

/// Any task, such as a tool call.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomTask {
    /// Status.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What the task does.
    pub title: Option<String>,
    /// Icon.
    pub icon: Option<IconName>,
    /// Result of the task.
    pub content: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A web search.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchTask {
    /// Status.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What the task does.
    pub title: Option<String>,
    /// Query that the title shows.
    pub title_query: Option<String>,
    /// All queries.
    #[serde(default)]
    pub queries: Vec<String>,
    /// The results: sources of type `url`.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A thought of the model.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThoughtTask {
    /// Status.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// Topic of the thought.
    pub title: Option<String>,
    /// The thought.
    pub content: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Files that were read.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileTask {
    /// Status.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What the task does.
    pub title: Option<String>,
    /// The files: sources of type `file`.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image that was generated.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageTask {
    /// Status.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What the task does.
    pub title: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Status of a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusIndicator {
    /// No status is shown.
    #[default]
    None,
    /// The task is running.
    Loading,
    /// The task is done.
    Complete,
}
