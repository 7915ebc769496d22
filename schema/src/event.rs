//! The events of a run: ChatKit's events, then exactly one terminal event. And the events of a thread.

use crate::chatkit::{StreamEvent, ThreadItem};
use crate::error::Failure;
use crate::ids::{ItemId, ThreadId};
use crate::page::{Page, Raw};
use crate::runs::{Run, RunStatus};
use crate::threads::Thread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// An event of ChatKit's stream, with this service's threads.
pub type ThreadStreamEvent = StreamEvent<Thread>;

/// An event of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunEvent {
    /// An event of this service.
    Run(RunLifecycleEvent),
    /// An event of ChatKit.
    ChatKit(ThreadStreamEvent),
}

/// The terminal events of a run, and `run.resync`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum RunLifecycleEvent {
    /// The run has completed.
    #[serde(rename = "run.completed")]
    Completed {
        /// The run.
        run: Box<Run>,
    },
    /// The run has failed.
    #[serde(rename = "run.failed")]
    Failed {
        /// The run.
        run: Box<Run>,
        /// Why it failed.
        error: Failure,
    },
    /// The user has cancelled the run.
    #[serde(rename = "run.cancelled")]
    Cancelled {
        /// The run.
        run: Box<Run>,
    },
    /// The server stopped during the run, or crashed and could not continue it.
    #[serde(rename = "run.interrupted")]
    Interrupted {
        /// The run.
        run: Box<Run>,
    },
    /// The current items of the run. Replace everything built from the events of this run by them. It comes instead of
    /// events that are no longer stored, and then the terminal event follows. It also comes when the process of the run has
    /// died: the run ends, or continues in another process and more events follow. If a completed run has `retry_of`, also remove the items
    /// after that message that are not of this run.
    #[serde(rename = "run.resync")]
    Resync {
        /// The run.
        run: Box<Run>,
        /// The items of the run.
        items: Page<Raw<ThreadItem>>,
    },
}

impl RunLifecycleEvent {
    /// Returns the terminal event of `run`; `None` while it is active.
    pub fn of(run: Run) -> Option<Self> {
        let run = Box::new(run);
        match run.status {
            RunStatus::Queued | RunStatus::Running => None,
            RunStatus::Completed => Some(Self::Completed { run }),
            RunStatus::Failed => {
                let error = run.error.clone().unwrap_or(Failure {
                    code: crate::ErrorCode::InternalError,
                    message: "The run failed.".to_owned(),
                });
                Some(Self::Failed { run, error })
            }
            RunStatus::Cancelled => Some(Self::Cancelled { run }),
            RunStatus::Interrupted => Some(Self::Interrupted { run }),
        }
    }
}

/// An event of a thread: of one of its runs, or of the thread itself. ChatKit's `thread.updated` and
/// `thread.item.replaced` can be either; outside of runs they have no cursor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ThreadEvent {
    /// An event of the thread itself.
    Thread(ThreadLifecycleEvent),
    /// An event of one of its runs.
    Run(RunEvent),
}

/// The snapshot or the end of a thread. Neither is an event of a run, so they have no cursor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ThreadLifecycleEvent {
    /// The thread with its newest items, oldest first. The events that follow may repeat items, with the same ids: the
    /// item of a `thread.item.added` or `thread.item.done` replaces the item in the snapshot.
    #[serde(rename = "thread.snapshot")]
    Snapshot {
        /// The thread. If `items.has_more` is true, `items.list` returns the older items after `items.after`.
        thread: Box<Thread>,
    },
    /// The thread was deleted. This is its last event.
    #[serde(rename = "thread.deleted")]
    Deleted {
        /// The thread.
        thread_id: ThreadId,
    },
}

/// Declares the kinds of events with their names.
macro_rules! event_kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// The kind of an event: the value of its `type`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $(
                #[doc = concat!("`", $name, "`")]
                $kind,
            )*
            /// A kind that this version does not know. It comes from a newer process and is passed on unchanged.
            Unknown,
        }

        impl EventKind {
            /// Returns the kind with this name.
            fn from_name(name: &str) -> Self {
                match name {
                    $($name => Self::$kind,)*
                    _ => Self::Unknown,
                }
            }
        }
    };
}

event_kinds! {
    ThreadCreated = "thread.created",
    ThreadUpdated = "thread.updated",
    ThreadSnapshot = "thread.snapshot",
    ThreadDeleted = "thread.deleted",
    ItemAdded = "thread.item.added",
    ItemUpdated = "thread.item.updated",
    ItemDone = "thread.item.done",
    ItemRemoved = "thread.item.removed",
    ItemReplaced = "thread.item.replaced",
    StreamOptions = "stream_options",
    ProgressUpdate = "progress_update",
    ClientEffect = "client_effect",
    Error = "error",
    Notice = "notice",
    RunCompleted = "run.completed",
    RunFailed = "run.failed",
    RunCancelled = "run.cancelled",
    RunInterrupted = "run.interrupted",
    RunResync = "run.resync",
}

impl EventKind {
    /// Returns whether this is output of the assistant. Before the first output, a caller can still get a plain error
    /// instead of a stream.
    pub const fn is_output(self) -> bool {
        matches!(self, Self::ItemAdded | Self::ItemUpdated)
    }

    /// Returns whether this is the last event of a run.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::RunCompleted | Self::RunFailed | Self::RunCancelled | Self::RunInterrupted)
    }

    /// Returns whether this is the last event of a thread.
    pub const fn ends_thread(self) -> bool {
        matches!(self, Self::ThreadDeleted)
    }
}

/// An event as stored and sent: serialised once, and shared by all readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    kind: EventKind,
    json: Arc<str>,
}

impl Event {
    /// Serialises an event.
    ///
    /// # Errors
    /// If it cannot be JSON, which is a bug.
    pub fn new(event: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(event).map(Self::from_json)
    }

    /// Creates an event from JSON that another process or [`text_delta::write`] wrote. Reads its kind.
    pub fn from_json(json: impl Into<Arc<str>>) -> Self {
        let json = json.into();
        let kind = type_of(&json).map_or(EventKind::Unknown, EventKind::from_name);
        Self { kind, json }
    }

    /// Returns the kind.
    pub const fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns the JSON.
    pub const fn json(&self) -> &Arc<str> {
        &self.json
    }
}

/// Reads the `type` of an event without parsing the rest. `type` is the first member, because every event is written by
/// serde or by [`text_delta::write`].
fn type_of(event: &str) -> Option<&str> {
    event.strip_prefix(r#"{"type":""#)?.split_once('"').map(|(kind, _)| kind)
}

/// The event of each token. It is the most frequent by far, so it is written and split without serde.
///
/// [`write`](text_delta::write) returns exactly what serde writes for `ThreadStreamEvent::ItemUpdated` with an
/// `ItemUpdate::TextDelta`. A test compares them.
pub mod text_delta {
    use super::{ItemId, Uuid};
    use std::io::Write;

    const HEAD: &str = r#"{"type":"thread.item.updated","item_id":""#;
    const MIDDLE: &str = r#"","update":{"type":"assistant_message.content_part.text_delta","content_index":"#;
    const DELTA: &str = r#","delta":"#;
    const TAIL: &str = "}}";

    /// Returns the JSON of a text delta.
    ///
    /// # Errors
    /// Never in practice: text and numbers are always valid JSON.
    pub fn write(item_id: ItemId, content_index: u32, delta: &str) -> serde_json::Result<String> {
        let mut out = Vec::with_capacity(HEAD.len() + 36 + MIDDLE.len() + 2 + DELTA.len() + delta.len() + 8);
        out.extend_from_slice(HEAD.as_bytes());
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(item_id.as_uuid().hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(MIDDLE.as_bytes());
        write!(out, "{content_index}").map_err(serde_json::Error::io)?;
        out.extend_from_slice(DELTA.as_bytes());
        serde_json::to_writer(&mut out, delta)?;
        out.extend_from_slice(TAIL.as_bytes());
        String::from_utf8(out).map_err(|error| serde_json::Error::io(std::io::Error::other(error)))
    }

    /// The variable parts of a text delta, each as JSON: item id (without quotes), index, delta (with quotes).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Parts<'a> {
        /// The item.
        pub item_id: &'a str,
        /// Index of the content part.
        pub content_index: &'a str,
        /// The text to append, as a JSON string.
        pub delta: &'a str,
    }

    /// Joins parts to the event that they were split from.
    pub fn join(Parts { item_id, content_index, delta }: Parts<'_>) -> String {
        [HEAD, item_id, MIDDLE, content_index, DELTA, delta, TAIL].concat()
    }

    /// Splits a text delta; `None` for any other event.
    pub fn split(event: &str) -> Option<Parts<'_>> {
        let rest = event.strip_prefix(HEAD)?;
        let (item_id, rest) = rest.split_at_checked(36)?;
        let rest = rest.strip_prefix(MIDDLE)?;
        let (content_index, rest) = rest.split_once(DELTA)?;
        let delta = rest.strip_suffix(TAIL)?;
        Some(Parts { item_id, content_index, delta })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::chatkit::ItemUpdate;

    #[test]
    fn write_returns_what_serde_writes() {
        let item_id = ItemId::random();
        for delta in ["", "plain", "a \"quoted\"\nline\u{0}", "äöü — 日本語 🥛", r#"","delta":"}}"#] {
            for content_index in [0, 7, 12] {
                let by_hand = text_delta::write(item_id, content_index, delta).unwrap();
                let update = ItemUpdate::TextDelta { content_index, delta: delta.to_owned() };
                let by_serde = serde_json::to_string(&ThreadStreamEvent::ItemUpdated { item_id, update }).unwrap();
                assert_eq!(by_hand, by_serde);

                let parts = text_delta::split(&by_hand).unwrap();
                assert_eq!(parts.item_id, item_id.to_string());
                assert_eq!(parts.content_index, content_index.to_string());
                assert_eq!(serde_json::from_str::<String>(parts.delta).unwrap(), delta);
                assert_eq!(text_delta::join(parts), by_hand);
            }
        }
    }

    #[test]
    fn other_events_are_not_split() {
        let item_id = ItemId::random();
        let event = ThreadStreamEvent::ItemRemoved { item_id };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(text_delta::split(&json), None);
        assert_eq!(type_of(&json), Some("thread.item.removed"));
        assert_eq!(type_of("[1]"), None);
    }
}
