//! Stream events: what a run emits while it answers.

use super::{IconName, ItemUpdate, ThreadItem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// An event of ChatKit's stream, with threads as this service shows them.
pub type ThreadStreamEvent = StreamEvent<crate::threads::Thread>;

/// An event of ChatKit's stream. `T` is a thread: as the protocol has it, or as this service shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
#[schemars(rename = "StreamEventOf{T}")]
pub enum StreamEvent<T> {
    /// A thread came into being.
    #[serde(rename = "thread.created")]
    ThreadCreated {
        /// The thread.
        thread: Box<T>,
    },
    /// A thread changed, its title for instance.
    #[serde(rename = "thread.updated")]
    ThreadUpdated {
        /// The thread.
        thread: Box<T>,
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
    /// An item is another now.
    #[serde(rename = "thread.item.replaced")]
    ItemReplaced {
        /// What takes the place of the item with its id.
        item: Box<ThreadItem>,
    },
    /// What the client may do with this stream.
    #[serde(rename = "stream_options")]
    StreamOptions {
        /// The options.
        stream_options: StreamOptions,
    },
    /// What the assistant is doing, until it says something.
    #[serde(rename = "progress_update")]
    ProgressUpdate {
        /// Icon beside the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        icon: Option<IconName>,
        /// What it is doing.
        text: String,
    },
    /// Something for the page around the front end to do.
    #[serde(rename = "client_effect")]
    ClientEffect {
        /// Name of the effect.
        name: String,
        /// What it acts on.
        #[serde(default)]
        data: Map<String, Value>,
    },
    /// Something went wrong after the stream began.
    #[serde(rename = "error")]
    Error {
        /// ChatKit's kind of error.
        #[serde(default)]
        code: StreamErrorCode,
        /// A sentence for the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Whether trying again may help.
        #[serde(default)]
        allow_retry: bool,
    },
    /// Something the user should know.
    #[serde(rename = "notice")]
    Notice {
        /// How bad it is.
        level: NoticeLevel,
        /// What it is; Markdown.
        message: String,
        /// Stands above the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
}

/// ChatKit's two kinds of stream error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StreamErrorCode {
    /// The front end shows a sentence of its own.
    #[serde(rename = "stream.error")]
    Stream,
    /// The front end shows `message`.
    #[serde(rename = "custom")]
    #[default]
    Custom,
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// It is good to know.
    Info,
    /// Something may not be as expected.
    Warning,
    /// Something is wrong.
    Danger,
}

/// What a client may do with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamOptions {
    /// Whether it may be cancelled.
    pub allow_cancel: bool,
}
