//! What a feed has told its subscriber about the thread itself.

use serde::Deserialize;
use threadline_schema::chatkit::ThreadStatus;
use threadline_schema::event::{Event, EventKind};
use threadline_schema::threads::Thread;

/// The part of a thread whose changes its subscribers are told, as the subscriber knows it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ThreadHeader {
    title: String,
    status: ThreadStatus,
}

impl ThreadHeader {
    pub(super) fn of(thread: &Thread) -> Self {
        Self { title: thread.title.clone(), status: thread.status.clone() }
    }

    /// Returns what an event tells about the thread; `None` for all but two kinds.
    pub(super) fn from_event(event: &Event) -> Option<Self> {
        #[derive(Deserialize)]
        struct WithThread {
            thread: ThreadHeader,
        }
        if !matches!(event.kind(), EventKind::ThreadCreated | EventKind::ThreadUpdated) {
            return None;
        }
        serde_json::from_str(&event.json()).ok().map(|WithThread { thread }| thread)
    }
}
