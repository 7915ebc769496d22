//! The feed of one subscription to a run or to a thread, with the rights of its caller.

use super::open_streams::StreamPermit;
use crate::error::Error;
use futures::{Stream, StreamExt};
use std::task::{Poll, ready};
use threadline_engine::{FeedEnd, RunFeed, ThreadFeed, error_event};
use threadline_schema::frame::Frame;
use threadline_schema::ids::RunId;
use threadline_schema::threads::EventCursor;
use tokio_util::sync::ReusableBoxFuture;

/// The message of the event that ends a feed whose token is not accepted any more.
const ACCESS_WITHDRAWN: &str =
    "Your token is not accepted any more. Log in again and go on from the last event you have.";

/// The events of one subscription.
pub struct Feed {
    source: Source,
    /// Counts the feed among the open streams of its user, and ends with the user's access.
    permit: StreamPermit,
    is_withdrawn: bool,
    /// Run and number of the last event that was given out.
    last: Option<(RunId, u64)>,
}

enum Source {
    Run(RunFeed),
    // Boxed: it is large, and most subscriptions are to runs.
    Thread(Box<ThreadFeed>, Option<EventCursor>),
}

impl Feed {
    /// Creates the feed of one run.
    pub(crate) fn of_run(feed: RunFeed, permit: StreamPermit) -> Self {
        Self::new(Source::Run(feed), permit)
    }

    /// Creates the feed of a thread. `begins_after` is the position of a subscriber that brought no cursor.
    pub(crate) fn of_thread(feed: ThreadFeed, begins_after: Option<EventCursor>, permit: StreamPermit) -> Self {
        Self::new(Source::Thread(Box::new(feed), begins_after), permit)
    }

    fn new(source: Source, permit: StreamPermit) -> Self {
        Self { source, permit, is_withdrawn: false, last: None }
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
        if self.is_withdrawn {
            return None;
        }
        let Self { source, permit, .. } = self;
        let next = async {
            match source {
                Source::Run(feed) => feed.next().await,
                // Boxed, so that the feeds of runs, which are most, do not have its size.
                Source::Thread(feed, _) => Box::pin(feed.next()).await,
            }
        };
        let frame = tokio::select! {
            biased;
            () = permit.withdrawn() => None,
            frame = next => Some(frame),
        };
        let Some(frame) = frame else {
            self.is_withdrawn = true;
            let event = error_event(ACCESS_WITHDRAWN);
            return Some(match self.last {
                Some((run_id, seq)) => Frame::Run { run_id, seq, event },
                None => Frame::Side(event),
            });
        };
        self.note(frame.as_ref());
        frame
    }

    /// Returns the next frame if it has been read already: many come together.
    fn next_ready(&mut self) -> Option<Frame> {
        let frame = match &mut self.source {
            Source::Run(feed) if !self.is_withdrawn => feed.next_ready(),
            Source::Run(_) | Source::Thread(..) => None,
        };
        self.note(frame.as_ref());
        frame
    }

    fn note(&mut self, frame: Option<&Frame>) {
        if let Some(Frame::Run { run_id, seq, .. }) = frame {
            self.last = Some((*run_id, *seq));
        }
    }

    /// Returns why the feed ended before what it follows did. `None` if its last event tells the end.
    pub(crate) fn early_end(&self) -> Option<Error> {
        if self.is_withdrawn {
            return Some(Error::unauthorized());
        }
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
        // The feed, while no caller polls it. Otherwise it is part of the future.
        let mut idle: Option<Self> = None;
        let mut waiting = ReusableBoxFuture::new(wait(self));
        let frames = futures::stream::poll_fn(move |cx| {
            if let Some(frame) = idle.as_mut().and_then(Self::next_ready) {
                return Poll::Ready(Some(frame));
            }
            if let Some(feed) = idle.take() {
                waiting.set(wait(feed));
            }
            let (frame, feed) = ready!(waiting.poll(cx));
            idle = Some(feed);
            Poll::Ready(frame)
        });
        frames.fuse()
    }
}

async fn wait(mut feed: Feed) -> (Option<Frame>, Feed) {
    let frame = feed.next().await;
    (frame, feed)
}
