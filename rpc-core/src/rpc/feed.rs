//! What a subscription gives its subscriber, whether it follows a run or a thread.

use super::open_streams::StreamPermit;
use crate::error::Error;
use futures::Stream;
use threadline_engine::{FeedEnd, RunFeed, ThreadFeed};
use threadline_schema::frame::Frame;
use threadline_schema::threads::EventCursor;

/// The events of one subscription.
pub struct Feed {
    source: Source,
    /// Counts the feed among the open streams of its user.
    _permit: StreamPermit,
}

enum Source {
    Run(RunFeed),
    // Boxed: it is large, and most subscriptions are to runs.
    Thread(Box<ThreadFeed>, Option<EventCursor>),
}

impl Feed {
    /// Creates the feed of one run.
    pub(crate) fn of_run(feed: RunFeed, permit: StreamPermit) -> Self {
        Self { source: Source::Run(feed), _permit: permit }
    }

    /// Creates the feed of a thread. `begins_after` is the position of a subscriber that brought no cursor.
    pub(crate) fn of_thread(feed: ThreadFeed, begins_after: Option<EventCursor>, permit: StreamPermit) -> Self {
        Self { source: Source::Thread(Box::new(feed), begins_after), _permit: permit }
    }

    /// Returns the cursor after which the events of a thread begin, so that a subscriber can resume before the first
    /// event. `None` if the subscriber brought a cursor, and for a run.
    pub fn begins_after(&self) -> Option<EventCursor> {
        match &self.source {
            Source::Run(_) => None,
            Source::Thread(_, begins_after) => *begins_after,
        }
    }

    /// Waits for the next frame; `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Frame> {
        match &mut self.source {
            Source::Run(feed) => feed.next().await,
            Source::Thread(feed, _) => feed.next().await,
        }
    }

    /// Returns why the feed ended before what it follows did. `None` if its last event tells the end.
    pub(crate) fn early_end(&self) -> Option<Error> {
        match &self.source {
            Source::Run(feed) => feed.has_expired().then(Error::unauthorized),
            Source::Thread(feed, _) => match feed.end()? {
                FeedEnd::ThreadDeleted => None,
                FeedEnd::TokenExpired => Some(Error::unauthorized()),
                FeedEnd::Aborted => Some(Error::stopping()),
            },
        }
    }

    /// Returns the JSON of the notification that carries a frame.
    pub(crate) fn notification(&self, frame: &Frame) -> String {
        let json = frame.event().json();
        match (frame, &self.source) {
            (Frame::Run { run_id, seq, .. }, Source::Thread(..)) => {
                format!(r#"{{"run_id":"{run_id}","seq":{seq},"event":{json}}}"#)
            }
            (Frame::Run { seq, .. }, Source::Run(_)) => format!(r#"{{"seq":{seq},"event":{json}}}"#),
            (Frame::Side(_), _) => format!(r#"{{"seq":0,"event":{json}}}"#),
        }
    }

    /// Returns the frames as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Frame> + Send {
        futures::stream::unfold(self, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) })
    }
}
