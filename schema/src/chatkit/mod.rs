//! ChatKit's wire types, as its front ends read and write them.
//!
//! Field names and shapes are the protocol's. Members that are null are left out, as its own server does.

mod event;
mod item;

pub use event::{ItemUpdate, StreamErrorCode, StreamOptions, ThreadStreamEvent};
pub use item::{
    AssistantContent, AssistantMessage, CustomTask, HiddenContext, InferenceOptions, StatusIndicator, ThreadItem,
    ToolChoice, UserContent, UserMessage, UserMessageInput, Workflow, WorkflowItem, WorkflowKind, WorkflowTask,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a thread takes messages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ThreadStatus {
    /// It does.
    #[default]
    Active,
    /// Not at the moment.
    Locked {
        /// Why, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Not any more.
    Closed {
        /// Why, for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}
