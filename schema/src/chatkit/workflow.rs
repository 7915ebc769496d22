//! Workflows: what the assistant does on the way to an answer.

use super::{Extra, IconName, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// The entries of a workflow item.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workflow {
    /// What kind of work it is.
    #[serde(rename = "type")]
    pub kind: WorkflowKind,
    /// One entry per call, or per thought.
    pub tasks: Vec<WorkflowTask>,
    /// What stands for the whole once it is done.
    pub summary: Option<WorkflowSummary>,
    /// Whether the front end opens it.
    #[serde(default)]
    pub expanded: bool,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What kind of work a workflow shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WorkflowKind {
    /// Tools.
    Custom,
    /// Thoughts of the model.
    Reasoning,
}

/// What stands for a whole workflow.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum WorkflowSummary {
    /// Words.
    Custom {
        /// The words.
        title: String,
        /// Icon beside them.
        icon: Option<IconName>,
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
    },
    /// How long it took.
    Duration {
        /// In seconds.
        duration: u64,
        /// Members not known here.
        #[serde(flatten)]
        extra: Extra,
    },
}

/// An entry of a workflow, or the whole of a task item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum WorkflowTask {
    /// Anything: a tool call for instance.
    Custom(CustomTask),
    /// A search of the web.
    WebSearch(SearchTask),
    /// A thought of the model.
    Thought(ThoughtTask),
    /// Files that were read.
    File(FileTask),
    /// An image that was made.
    Image(ImageTask),
}

impl WorkflowTask {
    /// How far it is.
    pub fn status(&self) -> StatusIndicator {
        match self {
            Self::Custom(task) => task.status_indicator,
            Self::WebSearch(task) => task.status_indicator,
            Self::Thought(task) => task.status_indicator,
            Self::File(task) => task.status_indicator,
            Self::Image(task) => task.status_indicator,
        }
    }

    /// Sets how far it is.
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

/// Anything: a tool call for instance.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomTask {
    /// How far it is.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What is being done.
    pub title: Option<String>,
    /// Icon beside it.
    pub icon: Option<IconName>,
    /// How it went.
    pub content: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A search of the web.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchTask {
    /// How far it is.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What is being done.
    pub title: Option<String>,
    /// The query that the title shows.
    pub title_query: Option<String>,
    /// All queries.
    #[serde(default)]
    pub queries: Vec<String>,
    /// What was found: sources of type `url`.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A thought of the model.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThoughtTask {
    /// How far it is.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What it is about.
    pub title: Option<String>,
    /// The thought.
    pub content: String,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Files that were read.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FileTask {
    /// How far it is.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What is being done.
    pub title: Option<String>,
    /// The files: sources of type `file`.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An image that was made.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageTask {
    /// How far it is.
    #[serde(default)]
    pub status_indicator: StatusIndicator,
    /// What is being done.
    pub title: Option<String>,
    /// Members not known here.
    #[serde(flatten)]
    pub extra: Extra,
}

/// How far an entry of a workflow is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusIndicator {
    /// Not shown.
    #[default]
    None,
    /// At work.
    Loading,
    /// Done.
    Complete,
}
