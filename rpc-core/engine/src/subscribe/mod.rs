//! Feeds: readers of the events of one run, or of one thread.

mod open;
mod run_feed;
mod side_events;
mod snapshot;
mod thread_feed;
mod thread_header;

pub(crate) use open::{subscribe_run, subscribe_thread};
pub(crate) use run_feed::DisconnectGuard;
pub use run_feed::{RunFeed, error_event};
pub use thread_feed::{FeedEnd, ThreadFeed};
