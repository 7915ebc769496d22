//! What a subscription gives its subscriber, whatever it follows.

use super::stream_permits::Place;
use crate::error::Error;
use futures::Stream;
use threadline_engine::{FeedEnd, RunFeed, ThreadFeed};
use threadline_schema::call::Frame;
use threadline_schema::threads::Since;

/// The events of one subscription.
pub struct Feed {
    source: Source,
    /// Counts it among its user's open streams for as long as it lives.
    _place: Place,
}

enum Source {
    Run(RunFeed),
    // Boxed, as most subscriptions are to runs and this one is large.
    Thread(Box<ThreadFeed>, Option<Since>),
}

impl Feed {
    /// The events of one run.
    pub(crate) fn of_run(feed: RunFeed, place: Place) -> Self {
        Self { source: Source::Run(feed), _place: place }
    }

    /// The events of a thread after a place in it.
    pub(crate) fn of_thread(feed: ThreadFeed, since: Option<Since>, place: Place) -> Self {
        Self { source: Source::Thread(Box::new(feed), since), _place: place }
    }

    /// The place in a thread after which its events begin: to come back to before the first of them has arrived. `None`
    /// for a subscriber that has a cursor already.
    pub fn begins_after(&self) -> Option<Since> {
        match &self.source {
            Source::Run(_) => None,
            Source::Thread(_, since) => *since,
        }
    }

    /// The next event; waits for it. `None` at the end. Safe to drop while waiting: nothing is lost.
    pub async fn next(&mut self) -> Option<Frame> {
        match &mut self.source {
            Source::Run(feed) => feed.next().await,
            Source::Thread(feed, _) => feed.next().await,
        }
    }

    /// Why it ended before what it follows has; `None` for an end that its last event tells.
    pub(crate) fn broke_off(&self) -> Option<Error> {
        match &self.source {
            Source::Run(feed) => feed.has_expired().then(Error::unauthorized),
            Source::Thread(feed, _) => match feed.end()? {
                FeedEnd::ThreadDeleted => None,
                FeedEnd::TokenExpired => Some(Error::unauthorized()),
                FeedEnd::Aborted => Some(Error::stopping()),
            },
        }
    }

    /// The JSON of a notification: what the subscription's method says that each carries.
    pub(crate) fn notification(&self, frame: &Frame) -> String {
        let Frame { run_id, seq, event } = frame;
        match &self.source {
            Source::Thread(..) if *seq > 0 => format!(r#"{{"run_id":"{run_id}","seq":{seq},"event":{event}}}"#),
            _ => format!(r#"{{"seq":{seq},"event":{event}}}"#),
        }
    }

    /// The events as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Frame> + Send {
        futures::stream::unfold(self, |mut feed| async move { feed.next().await.map(|frame| (frame, feed)) })
    }
}
