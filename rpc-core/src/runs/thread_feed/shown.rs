//! What a follower was shown of the thread itself.

use serde::Deserialize;
use threadline_schema::chatkit::ThreadStatus;
use threadline_schema::threads::Thread;

/// What of a thread its followers are told when it changes, as they were told last.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(in crate::runs) struct Shown {
    title: String,
    status: ThreadStatus,
}

impl Shown {
    pub(in crate::runs) fn of(thread: &Thread) -> Self {
        Self { title: thread.title.clone(), status: thread.status.clone() }
    }

    /// What an event of this type shows of the thread; `None` for all but a few.
    pub(super) fn by(kind: &str, event: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            thread: Shown,
        }
        if !matches!(kind, "thread.created" | "thread.updated") {
            return None;
        }
        serde_json::from_str(event).ok().map(|Event { thread }| thread)
    }
}
