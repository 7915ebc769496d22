//! The events of a run: ChatKit's events, then exactly one terminal event. And the events of a thread.

use crate::chatkit::{StreamEvent, ThreadItem};
use crate::error::Failure;
use crate::ids::ThreadId;
use crate::page::{Page, Raw};
use crate::runs::{Run, RunStatus};
use crate::text_delta::TextDelta;
use crate::threads::Thread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

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
    /// events that are no longer stored, and then the terminal event follows. It also comes when the process of the run
    /// has died: the run ends, or continues in another process and more events follow. If a completed run has
    /// `retry_of`, also remove the items after that message that are not of this run.
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

/// An event as kept and sent, cheap to clone: its JSON, serialised once and shared by all readers, or a text delta,
/// whose JSON is made where it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Json { kind: EventKind, json: Arc<str> },
    Delta(TextDelta),
}

impl Event {
    /// Serialises an event.
    ///
    /// # Errors
    /// If it cannot be JSON, which is a bug.
    pub fn new(event: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(event).map(Self::from_json)
    }

    /// Creates an event from JSON that another process wrote. Reads its kind.
    pub fn from_json(json: impl Into<Arc<str>>) -> Self {
        let json = json.into();
        if let Some(delta) = TextDelta::parse(&json) {
            return delta.into();
        }
        let kind = type_of(&json).map_or(EventKind::Unknown, EventKind::from_name);
        Self(Form::Json { kind, json })
    }

    /// Returns the kind.
    pub const fn kind(&self) -> EventKind {
        match &self.0 {
            Form::Json { kind, .. } => *kind,
            Form::Delta(_) => EventKind::ItemUpdated,
        }
    }

    /// Returns the JSON. That of a text delta is made anew by each call.
    pub fn json(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Json { json, .. } => Cow::Borrowed(json),
            Form::Delta(delta) => Cow::Owned(delta.json()),
        }
    }

    /// Returns the text delta, if the event is one.
    pub const fn text_delta(&self) -> Option<&TextDelta> {
        match &self.0 {
            Form::Json { .. } => None,
            Form::Delta(delta) => Some(delta),
        }
    }
}

impl From<TextDelta> for Event {
    fn from(delta: TextDelta) -> Self {
        Self(Form::Delta(delta))
    }
}

/// Reads the `type` of an event without parsing the rest. `type` is the first member, because every event is written by
/// serde, or as [`text_delta`](crate::text_delta) writes it.
fn type_of(event: &str) -> Option<&str> {
    event.strip_prefix(r#"{"type":""#)?.split_once('"').map(|(kind, _)| kind)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::ItemId;

    #[test]
    fn the_kind_is_read_without_parsing() {
        let removed = ThreadStreamEvent::ItemRemoved { item_id: ItemId::random() };
        let event = Event::new(&removed).unwrap();
        assert_eq!(event.kind(), EventKind::ItemRemoved);
        assert_eq!(event.text_delta(), None);
        assert_eq!(Event::from_json("[1]").kind(), EventKind::Unknown);
    }
}
