//! Reads the events of a thread: those of its runs, one run after the other, and side events between them.

use super::open::subscribe_run;
use super::run_feed::{MAX_TOKEN_LIFETIME, RunFeed, TOKEN_EXPIRED, error_event};
use super::side_events::UnreadChanges;
use super::thread_header::ThreadHeader;
use crate::error::EngineError;
use crate::hub::ThreadWatcher;
use crate::shared::Shared;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, ThreadLifecycleEvent};
use threadline_schema::frame::Frame;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use threadline_schema::runs::After;
use threadline_store::rows::{RunRow, ThreadRow};
use threadline_store::{NextRun, StoreError};
use tokio::time::{Instant, Sleep};

/// How often each feed reads the database by itself: an operator may have changed the thread on the command line.
/// Wake-ups come sooner, and runs whose wake-up was lost are found for all feeds together.
const POLL_EVERY: Duration = Duration::from_secs(60);
/// Pause before a failed read is repeated.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A reader of a thread's events. It ends with the thread, with the subscriber's token, or with the process.
pub struct ThreadFeed {
    pub(super) shared: Arc<Shared>,
    pub(super) user_id: UserId,
    pub(super) thread_id: ThreadId,
    pub(super) watcher: ThreadWatcher,
    expiry: Pin<Box<Sleep>>,
    /// Events that are given out next and belong to no run.
    pub(super) side_events: VecDeque<Event>,
    pub(super) unread: UnreadChanges,
    /// What the subscriber knows about the thread itself.
    pub(super) header: ThreadHeader,
    position: ThreadPosition,
    /// The feed of the current run.
    run_feed: Option<RunFeed>,
    /// Whether the last feed stopped before its run did: it is opened again after a pause.
    has_stumbled: bool,
    end: Option<FeedEnd>,
}

/// Where a feed of a thread starts.
pub(super) struct Start {
    pub(super) position: ThreadPosition,
    /// The feed of the run at that position, if that run is active.
    pub(super) feed: Option<RunFeed>,
    pub(super) header: ThreadHeader,
    pub(super) snapshot: Option<Event>,
}

/// A position in the events of a thread's runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreadPosition {
    /// The run; `None` before the first.
    pub(super) run_id: Option<RunId>,
    /// Position of the run in the thread; -1 before the first.
    item_position: i64,
    /// Number of the last event that was given out.
    pub(super) seq: u64,
    /// Whether that was the last event of the run.
    run_has_ended: bool,
}

/// Why a feed gives no more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedEnd {
    /// The thread is gone.
    ThreadDeleted,
    /// The subscriber's token has expired.
    TokenExpired,
    /// The process shuts down, or the thread cannot be read any more.
    Aborted,
}

impl ThreadPosition {
    /// Before the first event of the first run.
    pub(super) const BEGINNING: Self = Self { run_id: None, item_position: -1, seq: 0, run_has_ended: true };

    /// After an event of a run.
    pub(super) fn in_run(run: &RunRow, seq: u64, run_has_ended: bool) -> Self {
        Self { run_id: Some(run.id), item_position: run.position, seq, run_has_ended }
    }
}

impl ThreadFeed {
    pub(super) fn new(
        shared: Arc<Shared>,
        user_id: UserId,
        thread_id: ThreadId,
        watcher: ThreadWatcher,
        token_lifetime: Duration,
        start: Start,
    ) -> Self {
        let Start { position, feed, header, snapshot } = start;
        Self {
            shared,
            user_id,
            thread_id,
            watcher,
            expiry: Box::pin(tokio::time::sleep(token_lifetime.min(MAX_TOKEN_LIFETIME))),
            side_events: snapshot.into_iter().collect(),
            unread: UnreadChanges::default(),
            header,
            position,
            run_feed: feed,
            has_stumbled: false,
            end: None,
        }
    }

    /// Returns the next event; waits for it. `None` at the end. Cancel safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(event) = self.side_events.pop_front() {
                return Some(Frame::Side(event));
            }
            if self.end.is_some() {
                return None;
            }
            let Some(feed) = &mut self.run_feed else {
                if let Some(frame) = self.find_next_run().await {
                    return Some(frame);
                }
                continue;
            };
            let has_unread = !self.unread.is_empty();
            let next = tokio::select! {
                biased;
                next = feed.next() => next,
                // Only when the run has no event: a run that speaks is not slowed down by side events.
                () = self.watcher.changed() => {
                    if self.watcher.has_ended_reading() {
                        self.end = Some(FeedEnd::Aborted);
                        return None;
                    }
                    self.try_read_changes().await;
                    continue;
                }
                () = tokio::time::sleep(RETRY_AFTER), if has_unread => {
                    self.try_read_changes().await;
                    continue;
                }
            };
            match next {
                Some(frame) if feed.has_expired() => {
                    self.end = Some(FeedEnd::TokenExpired);
                    return Some(frame);
                }
                Some(Frame::Run { run_id, seq, event }) if seq > self.position.seq => {
                    self.position.seq = seq;
                    self.position.run_has_ended = event.kind().is_terminal();
                    if let Some(header) = ThreadHeader::from_event(&event) {
                        self.header = header;
                    }
                    return Some(Frame::Run { run_id, seq, event });
                }
                // A feed repeats the terminal event for a reader that has it, and has the error events of the run's
                // feed. Here neither is news: the feed is opened again.
                Some(Frame::Run { .. } | Frame::Side(_)) => {}
                None => {
                    self.run_feed = None;
                    self.has_stumbled = !self.position.run_has_ended;
                }
            }
        }
    }

    /// Returns why the feed has ended; `None` while it has not.
    pub fn end(&self) -> Option<FeedEnd> {
        self.end
    }

    /// Reads changes. What cannot be read stays unread, and is read again after a pause.
    async fn try_read_changes(&mut self) {
        // Boxed: the state of a query is large, and a feed that waits holds none of it.
        if let Err(error) = Box::pin(self.read_changes()).await {
            tracing::warn!(thread_id = %self.thread_id, error = %Chain(&error), "changes of a thread cannot be read yet");
        }
    }

    /// Opens the next run, or waits until there may be one. Returns a frame if that is the last.
    async fn find_next_run(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.has_stumbled) {
            return self.wait(RETRY_AFTER).await;
        }
        // Before the reads: a wake-up between a read and the wait would go unnoticed otherwise.
        self.watcher.mark_read();
        self.try_read_changes().await;
        match Box::pin(self.open_next_run()).await {
            Ok(Next::Run(position, feed)) => {
                (self.position, self.run_feed) = (position, Some(feed));
                None
            }
            Ok(Next::Nothing(thread)) => {
                if let Some(thread) = thread {
                    self.queue_header(&thread);
                }
                let pause = if self.unread.is_empty() { POLL_EVERY } else { RETRY_AFTER };
                if self.side_events.is_empty() { self.wait(pause).await } else { None }
            }
            Err(Unavailable::ForNow) => self.wait(RETRY_AFTER).await,
            Err(Unavailable::ThreadDeleted) => {
                self.end = Some(FeedEnd::ThreadDeleted);
                let event = ThreadLifecycleEvent::Deleted { thread_id: self.thread_id };
                Event::new(&event).ok().map(Frame::Side)
            }
            Err(Unavailable::ForGood) => {
                self.end = Some(FeedEnd::Aborted);
                None
            }
        }
    }

    /// Waits until the database is worth reading again: after a wake-up, or after `limit`. Returns a frame if the feed
    /// ends.
    async fn wait(&mut self, limit: Duration) -> Option<Frame> {
        tokio::select! {
            biased;
            () = self.expiry.as_mut() => {
                self.end = Some(FeedEnd::TokenExpired);
                return Some(Frame::Side(error_event(TOKEN_EXPIRED)));
            }
            () = self.watcher.notified() => {}
            () = tokio::time::sleep(limit) => {}
        }
        // No run starts here any more. Runs of other processes are better read there.
        if self.watcher.has_ended_waiting() {
            self.end = Some(FeedEnd::Aborted);
        }
        None
    }

    /// Opens the rest of the current run, or the run after it.
    async fn open_next_run(&self) -> Result<Next, Unavailable> {
        let store = &self.shared.store;
        let position = match self.position.run_id.filter(|_| !self.position.run_has_ended) {
            Some(_) => self.position,
            None => match store.thread_next_run(self.thread_id, self.position.item_position).await {
                Ok(NextRun::Started(run)) => ThreadPosition::in_run(&run, 0, false),
                Ok(NextRun::NotYet(thread)) => return Ok(Next::Nothing(Some(thread))),
                Err(error) => return Err(self.classify(EngineError::Store(error))),
            },
        };
        let Some(run_id) = position.run_id else { return Ok(Next::Nothing(None)) };
        let token_lifetime = self.expiry.deadline().saturating_duration_since(Instant::now());
        let after = (position.seq > 0).then_some(After::Seq(position.seq));
        match subscribe_run(&self.shared, self.user_id, run_id, after, token_lifetime).await {
            Ok(feed) => Ok(Next::Run(position, feed)),
            Err(EngineError::Store(StoreError::NotFound(_))) => {
                // A run is deleted only with its thread.
                match store.thread_get(self.user_id, self.thread_id).await {
                    Err(StoreError::NotFound(_)) => Err(Unavailable::ThreadDeleted),
                    _ => Err(Unavailable::ForNow),
                }
            }
            Err(error) => Err(self.classify(error)),
        }
    }

    fn classify(&self, error: EngineError) -> Unavailable {
        match error {
            EngineError::Store(StoreError::NotFound(_)) => Unavailable::ThreadDeleted,
            EngineError::Store(StoreError::Unavailable(_))
            | EngineError::EventsUnreadable
            | EngineError::ShuttingDown => Unavailable::ForNow,
            error => {
                tracing::error!(thread_id = %self.thread_id, error = %Chain(&error), "feed of a thread cannot continue");
                Unavailable::ForGood
            }
        }
    }
}

/// What there is to read.
enum Next {
    Run(ThreadPosition, RunFeed),
    /// No run yet; the thread as it is now.
    Nothing(Option<Box<ThreadRow>>),
}

/// Why there is nothing to read.
enum Unavailable {
    ThreadDeleted,
    ForNow,
    ForGood,
}
