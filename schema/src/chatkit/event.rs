//! Events that a run emits.

use super::{IconName, ItemUpdate, ThreadItem};
use crate::finish_reason::FinishReason;
use crate::ids::ItemId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An event of ChatKit's stream. `T` is the thread: the protocol's, or this service's, which has more members.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
#[schemars(rename = "StreamEventOf{T}")]
pub enum StreamEvent<T> {
    /// A thread was created.
    #[serde(rename = "thread.created")]
    ThreadCreated {
        /// The thread.
        thread: Box<T>,
    },
    /// A thread changed, for example its title.
    #[serde(rename = "thread.updated")]
    ThreadUpdated {
        /// The thread.
        thread: Box<T>,
    },
    /// An item started. Updates follow until it is done.
    #[serde(rename = "thread.item.added")]
    ItemAdded {
        /// The item as it is now.
        item: Box<ThreadItem>,
    },
    /// An item changed.
    #[serde(rename = "thread.item.updated")]
    ItemUpdated {
        /// The item.
        item_id: ItemId,
        /// The change.
        update: ItemUpdate,
    },
    /// An item is complete.
    #[serde(rename = "thread.item.done")]
    ItemDone {
        /// The item.
        item: Box<ThreadItem>,
    },
    /// An item was removed.
    #[serde(rename = "thread.item.removed")]
    ItemRemoved {
        /// The item.
        item_id: ItemId,
    },
    /// An item was replaced.
    #[serde(rename = "thread.item.replaced")]
    ItemReplaced {
        /// The new item. It has the id of the old one.
        item: Box<ThreadItem>,
    },
    /// Options of this stream.
    #[serde(rename = "stream_options")]
    StreamOptions {
        /// The options.
        stream_options: StreamOptions,
    },
    /// What the assistant is doing at the moment.
    #[serde(rename = "progress_update")]
    ProgressUpdate {
        /// Icon next to the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        icon: Option<IconName>,
        /// Text for the user.
        text: String,
    },
    /// An effect that the page around the front end executes.
    #[serde(rename = "client_effect")]
    ClientEffect {
        /// Name of the effect.
        name: String,
        /// Arguments of the effect.
        #[serde(default)]
        data: Map<String, Value>,
    },
    /// An error after the start of the stream.
    #[serde(rename = "error")]
    Error {
        /// ChatKit's code.
        #[serde(default)]
        code: StreamErrorCode,
        /// Message for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether a retry may help.
        #[serde(default)]
        allow_retry: bool,
    },
    /// A notice for the user.
    #[serde(rename = "notice")]
    Notice {
        /// Severity.
        level: NoticeLevel,
        /// Message, as Markdown.
        message: String,
        /// Title above the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// How the answer ended, if the notice is about its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finish_reason: Option<FinishReason>,
    },
}

/// Code of an error in a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamErrorCode {
    /// The front end shows its own message.
    #[serde(rename = "stream.error")]
    Stream,
    /// The front end shows `message`.
    #[serde(rename = "custom")]
    #[default]
    Custom,
}

/// Severity of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// Information.
    Info,
    /// A warning.
    Warning,
    /// An error.
    Danger,
}

/// Options of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether the client may cancel the run.
    pub allow_cancel: bool,
}
