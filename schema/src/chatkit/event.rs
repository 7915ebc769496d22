//! Stream events: what a run emits while it answers.

use super::item::{AssistantContent, ThreadItem, WorkflowTask};
use crate::threads::Thread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event of ChatKit's stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ThreadStreamEvent {
    /// A thread came into being.
    #[serde(rename = "thread.created")]
    ThreadCreated {
        /// The thread.
        thread: Box<Thread>,
    },
    /// A thread changed, its title for instance.
    #[serde(rename = "thread.updated")]
    ThreadUpdated {
        /// The thread.
        thread: Box<Thread>,
    },
    /// An item began; updates follow until it is done.
    #[serde(rename = "thread.item.added")]
    ItemAdded {
        /// The item so far.
        item: Box<ThreadItem>,
    },
    /// An item grew.
    #[serde(rename = "thread.item.updated")]
    ItemUpdated {
        /// The item.
        item_id: Uuid,
        /// What is new.
        update: ItemUpdate,
    },
    /// An item is whole.
    #[serde(rename = "thread.item.done")]
    ItemDone {
        /// The item.
        item: Box<ThreadItem>,
    },
    /// An item is gone.
    #[serde(rename = "thread.item.removed")]
    ItemRemoved {
        /// The item.
        item_id: Uuid,
    },
    /// What the client may do with this stream.
    #[serde(rename = "stream_options")]
    StreamOptions {
        /// The options.
        stream_options: StreamOptions,
    },
    /// Something went wrong after the stream began.
    #[serde(rename = "error")]
    Error {
        /// ChatKit's kind of error.
        code: StreamErrorCode,
        /// A sentence for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether trying again may help.
        allow_retry: bool,
    },
}

/// ChatKit's two kinds of stream error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamErrorCode {
    /// The front end shows a sentence of its own.
    #[serde(rename = "stream.error")]
    Stream,
    /// The front end shows `message`.
    #[serde(rename = "custom")]
    Custom,
}

/// What a client may do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether it may be cancelled.
    pub allow_cancel: bool,
}

/// What is new in an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ItemUpdate {
    /// An assistant message has a new part.
    #[serde(rename = "assistant_message.content_part.added")]
    ContentPartAdded {
        /// Index of the part.
        content_index: u32,
        /// The part so far.
        content: AssistantContent,
    },
    // Written by `crate::event::text_delta`, which must agree with this.
    /// A part has more text.
    #[serde(rename = "assistant_message.content_part.text_delta")]
    TextDelta {
        /// Index of the part.
        content_index: u32,
        /// What to append.
        delta: String,
    },
    /// A part is whole.
    #[serde(rename = "assistant_message.content_part.done")]
    ContentPartDone {
        /// Index of the part.
        content_index: u32,
        /// The part.
        content: AssistantContent,
    },
    /// A workflow has a new entry.
    #[serde(rename = "workflow.task.added")]
    WorkflowTaskAdded {
        /// Index of the entry.
        task_index: u32,
        /// The entry.
        task: WorkflowTask,
    },
    /// An entry of a workflow changed.
    #[serde(rename = "workflow.task.updated")]
    WorkflowTaskUpdated {
        /// Index of the entry.
        task_index: u32,
        /// The entry.
        task: WorkflowTask,
    },
}
