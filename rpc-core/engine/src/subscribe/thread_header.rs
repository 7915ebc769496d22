//! The title and status of a thread that a feed has sent to its subscriber.

use serde::Deserialize;
use threadline_schema::chatkit::ThreadStatus;
use threadline_schema::event::{Event, EventKind};
use threadline_schema::threads::Thread;

/// The parts of a thread whose changes subscribers receive, as last sent to one subscriber.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ThreadHeader {
    title: String,
    status: ThreadStatus,
}

impl ThreadHeader {
    pub(super) fn of(thread: &Thread) -> Self {
        Self { title: thread.title.clone(), status: thread.status.clone() }
    }

    /// Returns the header in an event; `None` for events without the thread.
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
