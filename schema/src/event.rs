//! What a run emits: ChatKit's events, then exactly one that says how it ended.

use crate::chatkit::{ThreadItem, ThreadStreamEvent};
use crate::error::Failure;
use crate::page::{Page, Raw};
use crate::runs::{Run, RunStatus};
use crate::threads::Thread;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// An event of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RunEvent {
    /// The project's own.
    Run(RunLifecycleEvent),
    /// ChatKit's.
    ChatKit(ThreadStreamEvent),
}

/// How a run ended, or where to begin anew. Each event but `run.resync` is a run's last.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum RunLifecycleEvent {
    /// Answered.
    #[serde(rename = "run.completed")]
    Completed {
        /// The run.
        run: Box<Run>,
    },
    /// Ended by an error.
    #[serde(rename = "run.failed")]
    Failed {
        /// The run.
        run: Box<Run>,
        /// Why.
        error: Failure,
    },
    /// Ended by the user.
    #[serde(rename = "run.cancelled")]
    Cancelled {
        /// The run.
        run: Box<Run>,
    },
    /// Ended by the server's stop or crash.
    #[serde(rename = "run.interrupted")]
    Interrupted {
        /// The run.
        run: Box<Run>,
    },
    /// The events after the cursor are not kept any more: here are the run's items as they stand. Drop what was
    /// folded from this run's events and go on from here; where a completed run has `retry_of`, drop also what stands
    /// behind that message and is not of this run.
    #[serde(rename = "run.resync")]
    Resync {
        /// The run.
        run: Box<Run>,
        /// Its items.
        items: Page<Raw<ThreadItem>>,
    },
}

impl RunLifecycleEvent {
    /// The event that says how `run` ended; `None` while it has not.
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

/// An event of a thread: of its runs, one after the other, or of the thread itself. ChatKit's `thread.updated` and
/// `thread.item.replaced` can be either: outside of runs they have no cursor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ThreadEvent {
    /// The thread's own.
    Thread(ThreadLifecycleEvent),
    /// Of one of its runs.
    Run(RunEvent),
}

/// What a thread stands at, or that it is gone. Neither is an event of a run: they have no cursor.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum ThreadLifecycleEvent {
    /// The thread with its newest items, oldest first. Items of a run whose events follow may come again in them, under
    /// the same ids: what `thread.item.added` and `thread.item.done` carry takes the place of the item that is there.
    #[serde(rename = "thread.snapshot")]
    Snapshot {
        /// The thread. When `items.has_more` says so there are older ones: `items.after` is where `items.list` goes on.
        thread: Box<Thread>,
    },
    /// The thread was deleted; nothing comes after this.
    #[serde(rename = "thread.deleted")]
    Deleted {
        /// The thread.
        thread_id: Uuid,
    },
}

/// What an event is: the value of its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// `thread.created`
    ThreadCreated,
    /// `thread.updated`
    ThreadUpdated,
    /// `thread.snapshot`
    ThreadSnapshot,
    /// `thread.deleted`
    ThreadDeleted,
    /// `thread.item.added`
    ItemAdded,
    /// `thread.item.updated`
    ItemUpdated,
    /// `thread.item.done`
    ItemDone,
    /// `thread.item.removed`
    ItemRemoved,
    /// `thread.item.replaced`
    ItemReplaced,
    /// `stream_options`
    StreamOptions,
    /// `progress_update`
    ProgressUpdate,
    /// `client_effect`
    ClientEffect,
    /// `error`
    Error,
    /// `notice`
    Notice,
    /// `run.completed`
    RunCompleted,
    /// `run.failed`
    RunFailed,
    /// `run.cancelled`
    RunCancelled,
    /// `run.interrupted`
    RunInterrupted,
    /// `run.resync`
    RunResync,
    /// A kind that this version does not know: it comes from a newer process, and passes through unchanged.
    Unknown,
}

impl EventKind {
    /// Returns the kind that `type` names.
    pub fn from_name(name: &str) -> Self {
        match name {
            "thread.created" => Self::ThreadCreated,
            "thread.updated" => Self::ThreadUpdated,
            "thread.snapshot" => Self::ThreadSnapshot,
            "thread.deleted" => Self::ThreadDeleted,
            "thread.item.added" => Self::ItemAdded,
            "thread.item.updated" => Self::ItemUpdated,
            "thread.item.done" => Self::ItemDone,
            "thread.item.removed" => Self::ItemRemoved,
            "thread.item.replaced" => Self::ItemReplaced,
            "stream_options" => Self::StreamOptions,
            "progress_update" => Self::ProgressUpdate,
            "client_effect" => Self::ClientEffect,
            "error" => Self::Error,
            "notice" => Self::Notice,
            "run.completed" => Self::RunCompleted,
            "run.failed" => Self::RunFailed,
            "run.cancelled" => Self::RunCancelled,
            "run.interrupted" => Self::RunInterrupted,
            "run.resync" => Self::RunResync,
            _ => Self::Unknown,
        }
    }

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

/// An event as it is stored and sent: serialised once, and shared by all its readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    kind: EventKind,
    json: Arc<str>,
}

impl Event {
    /// Serialises an event.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which is a fault of ours.
    pub fn new(event: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(event).map(Self::from_json)
    }

    /// Takes JSON that another process, or [`text_delta::write`], has made, and reads its kind.
    pub fn from_json(json: impl Into<Arc<str>>) -> Self {
        let json = json.into();
        let kind = type_of(&json).map_or(EventKind::Unknown, EventKind::from_name);
        Self { kind, json }
    }

    /// Returns what the event is.
    pub const fn kind(&self) -> EventKind {
        self.kind
    }

    /// Returns its JSON.
    pub const fn json(&self) -> &Arc<str> {
        &self.json
    }
}

/// Reads the `type` of an event without parsing the rest. Every event is written by serde or by
/// [`text_delta::write`], so `type` is its first member.
pub fn type_of(event: &str) -> Option<&str> {
    event.strip_prefix(r#"{"type":""#)?.split_once('"').map(|(kind, _)| kind)
}

/// Whether an event of this type is output of the assistant. Before the first of these a caller may still be told
/// that the run failed, instead of being handed a stream.
pub fn is_output(kind: &str) -> bool {
    EventKind::from_name(kind).is_output()
}

/// Whether an event of this type is a run's last.
pub fn is_terminal(kind: &str) -> bool {
    EventKind::from_name(kind).is_terminal()
}

/// Whether an event of this type is a thread's last.
pub fn ends_thread(kind: &str) -> bool {
    EventKind::from_name(kind).ends_thread()
}

/// The one event that is written for every token, by hand, and taken apart again without parsing.
///
/// [`write`](text_delta::write) makes exactly what serde makes of `ThreadStreamEvent::ItemUpdated` with an
/// `ItemUpdate::TextDelta`; a test holds the two together.
pub mod text_delta {
    use super::Uuid;
    use std::io::Write;

    const HEAD: &str = r#"{"type":"thread.item.updated","item_id":""#;
    const MIDDLE: &str = r#"","update":{"type":"assistant_message.content_part.text_delta","content_index":"#;
    const DELTA: &str = r#","delta":"#;
    const TAIL: &str = "}}";

    /// The JSON of a text delta.
    ///
    /// # Errors
    /// Never in practice: text and numbers always serialise.
    pub fn write(item_id: Uuid, content_index: u32, delta: &str) -> serde_json::Result<String> {
        let mut out = Vec::with_capacity(HEAD.len() + 36 + MIDDLE.len() + 2 + DELTA.len() + delta.len() + 8);
        out.extend_from_slice(HEAD.as_bytes());
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(item_id.hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(MIDDLE.as_bytes());
        write!(out, "{content_index}").map_err(serde_json::Error::io)?;
        out.extend_from_slice(DELTA.as_bytes());
        serde_json::to_writer(&mut out, delta)?;
        out.extend_from_slice(TAIL.as_bytes());
        String::from_utf8(out).map_err(|error| serde_json::Error::io(std::io::Error::other(error)))
    }

    /// The pieces of a text delta, each still JSON: item id (without quotes), index, delta (with quotes).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Parts<'a> {
        /// The item.
        pub item_id: &'a str,
        /// Index of the part.
        pub content_index: &'a str,
        /// What to append, as a JSON string.
        pub delta: &'a str,
    }

    /// Puts pieces together again: the event they were taken from.
    pub fn join(Parts { item_id, content_index, delta }: Parts<'_>) -> String {
        [HEAD, item_id, MIDDLE, content_index, DELTA, delta, TAIL].concat()
    }

    /// Takes a text delta apart; `None` for any other event.
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
    fn a_delta_written_by_hand_is_what_serde_writes() {
        let item_id = Uuid::now_v7();
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
    fn other_events_are_not_taken_for_a_delta() {
        let item_id = Uuid::now_v7();
        let event = ThreadStreamEvent::ItemRemoved { item_id };
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(text_delta::split(&json), None);
        assert_eq!(type_of(&json), Some("thread.item.removed"));
        assert_eq!(type_of("[1]"), None);
    }
}
