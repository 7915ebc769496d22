//! Reading a thread's events: those of its runs, one run after the other, and beside them what happens outside of runs.

mod beside;
pub(super) mod shown;

use super::feed::{EXPIRED, FOREVER, RunFeed, error_event};
use super::wakes::Wake;
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::{RunRow, ThreadRow};
use crate::store::{NextRun, StoreError};
use shown::Shown;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ErrorCode;
use threadline_schema::call::Frame;
use threadline_schema::event::{ThreadLifecycleEvent, is_terminal, type_of};
use threadline_schema::runs::After;
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

/// How often each reader looks by itself whether its thread has gone on, is another, or is there at all: other processes
/// may have seen to it, among them the commands of an operator. Wake-ups come sooner, and runs whose wake-up was lost are
/// found for all readers together.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause before something that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A reader of a thread's events. It ends with the thread, with the subscriber's token, or with the process.
pub(crate) struct ThreadFeed {
    core: Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    wake: Wake,
    expiry: Pin<Box<Sleep>>,
    /// What is given out next and is no event of a run.
    asides: VecDeque<Arc<str>>,
    /// What the subscriber knows of the thread itself.
    shown: Shown,
    /// The run that is being read, or was read last.
    at: Place,
    feed: Option<RunFeed>,
    /// Whether that reader stopped before the run did: it is opened again, but not at once.
    stumbled: bool,
    end: Option<End>,
}

/// A place in the events of a thread's runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The run; `None` before the first.
    pub(super) run_id: Option<Uuid>,
    /// Place in the thread of the message it answers; -1 before the first.
    pub(super) position: i64,
    /// Number of the last event given out.
    pub(super) seq: u64,
    /// Whether that was the run's last.
    pub(super) is_over: bool,
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The thread is gone.
    Deleted,
    /// The subscriber's token has expired.
    Expired,
    /// Nothing can be read any more, here and now.
    BrokeOff,
}

impl Place {
    /// Before the first event of the first run.
    pub(super) const BEGINNING: Self = Self { run_id: None, position: -1, seq: 0, is_over: true };

    /// Behind an event of a run.
    pub(super) fn in_run(run: &RunRow, seq: u64, is_over: bool) -> Self {
        Self { run_id: Some(run.id.0), position: run.position, seq, is_over }
    }
}

impl ThreadFeed {
    /// Events after `at`, of which `feed` is the reader if that run goes on; before them `first`, if there is something. The
    /// subscriber knows the thread as `shown`.
    pub(super) fn new(
        core: Arc<Core>,
        (user_id, thread_id): (Uuid, Uuid),
        wake: Wake,
        token_lifetime: Duration,
        (at, feed): (Place, Option<RunFeed>),
        (shown, first): (Shown, Option<Arc<str>>),
    ) -> Self {
        let expiry = Box::pin(tokio::time::sleep(token_lifetime.min(FOREVER)));
        let asides = first.into_iter().collect();
        Self { core, user_id, thread_id, wake, expiry, asides, shown, at, feed, stumbled: false, end: None }
    }

    /// The next event; waits for it. `None` at the end. Safe to drop while waiting: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(event) = self.asides.pop_front() {
                return Some(self.aside(event));
            }
            if self.end.is_some() {
                return None;
            }
            let Some(feed) = &mut self.feed else {
                if let Some(frame) = self.go_on().await {
                    return Some(frame);
                }
                continue;
            };
            let next = tokio::select! {
                biased;
                next = feed.next() => next,
                // Only when there is no event to give out: a run that speaks is not slowed down by this.
                () = self.wake.changed() => {
                    if self.wake.is_closed() {
                        self.end = Some(End::BrokeOff);
                        return None;
                    }
                    Box::pin(self.look()).await;
                    continue;
                }
            };
            match next {
                Some(frame) if feed.has_expired() => {
                    self.end = Some(End::Expired);
                    return Some(frame);
                }
                // Who has everything of a run is told its end again; here that is not the news.
                Some(frame) if frame.seq <= self.at.seq => {}
                Some(frame) => {
                    self.at.seq = frame.seq;
                    let kind = type_of(&frame.event).unwrap_or_default();
                    self.at.is_over = is_terminal(kind);
                    if let Some(shown) = Shown::by(kind, &frame.event) {
                        self.shown = shown;
                    }
                    return Some(frame);
                }
                None => {
                    self.feed = None;
                    self.stumbled = !self.at.is_over;
                }
            }
        }
    }

    /// Why it has ended; `None` while it has not.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Opens what comes next, or waits until there may be something. Gives a frame when that is the last.
    async fn go_on(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.stumbled) {
            return self.wait(Some(RETRY_AFTER)).await;
        }
        // Forgotten before looking, or what happens between the look and the wait would go unnoticed.
        self.wake.forget();
        // Boxed: what a query needs is large, and a stream that waits holds none of it.
        Box::pin(self.look()).await;
        match Box::pin(self.open()).await {
            Ok(Next::Run(at, feed)) => {
                (self.at, self.feed) = (at, Some(feed));
                None
            }
            Ok(Next::Nothing(thread)) => {
                if let Some(thread) = thread {
                    self.show(&thread);
                }
                if self.asides.is_empty() { self.wait(Some(LOOK_EVERY)).await } else { None }
            }
            Err(Gone::Away) => self.wait(Some(RETRY_AFTER)).await,
            Err(Gone::Thread) => {
                self.end = Some(End::Deleted);
                let event = ThreadLifecycleEvent::Deleted { thread_id: self.thread_id };
                Some(self.aside(serde_json::to_string(&event).unwrap_or_default().into()))
            }
            Err(Gone::Lost) => {
                self.end = Some(End::BrokeOff);
                None
            }
        }
    }

    /// Waits until it is worth looking again: somebody said so, or the time has passed. Gives a frame when nothing is.
    async fn wait(&mut self, at_most: Option<Duration>) -> Option<Frame> {
        let time = async {
            match at_most {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.heard() => {}
            () = time => {}
            () = self.expiry.as_mut() => {
                self.end = Some(End::Expired);
                return Some(self.aside(error_event(EXPIRED)));
            }
        }
        // No run begins here any more, and those of others are better read there.
        if self.wake.is_over() {
            self.end = Some(End::BrokeOff);
        }
        None
    }

    /// A reader of the rest of the run that is not over, or of the run after it.
    async fn open(&self) -> Result<Next, Gone> {
        let at = match self.at.run_id.filter(|_| !self.at.is_over) {
            Some(_) => self.at,
            None => {
                let next = self.core.store.thread_next_run(self.thread_id.into(), self.at.position).await;
                match next.map_err(|error| self.gone(Error::of_thread(error)))? {
                    NextRun::Is(run) => Place::in_run(&run, 0, false),
                    NextRun::None(thread) => return Ok(Next::Nothing(Some(thread))),
                }
            }
        };
        let Some(run_id) = at.run_id else { return Ok(Next::Nothing(None)) };
        let left = self.expiry.deadline().saturating_duration_since(Instant::now());
        let after = (at.seq > 0).then_some(After::Seq(at.seq));
        match super::subscribe(&self.core, self.user_id, run_id, after, left).await {
            Ok(feed) => Ok(Next::Run(at, feed)),
            Err(error) if error.public().code == ErrorCode::RunNotFound => {
                // A run goes with its thread and never without it; the next look finds that out.
                match self.core.store.thread_get(self.user_id.into(), self.thread_id.into()).await {
                    Err(StoreError::NotFound) => Err(Gone::Thread),
                    _ => Err(Gone::Away),
                }
            }
            Err(error) => Err(self.gone(error)),
        }
    }

    fn gone(&self, error: Error) -> Gone {
        match error.public().code {
            ErrorCode::ThreadNotFound => Gone::Thread,
            ErrorCode::ServiceUnavailable => Gone::Away,
            _ => {
                let (thread_id, error) = (self.thread_id, error.log_text());
                tracing::error!(%thread_id, error, "a thread cannot be followed any further");
                Gone::Lost
            }
        }
    }

    /// What is no event of a run: it has no number, and moves no cursor.
    fn aside(&self, event: Arc<str>) -> Frame {
        Frame { run_id: self.at.run_id.unwrap_or_default(), seq: 0, event }
    }
}

/// What there is to read.
enum Next {
    /// This run, from this place on.
    Run(Place, RunFeed),
    /// No run yet; the thread stands like this.
    Nothing(Option<Box<ThreadRow>>),
}

/// Why there is nothing to read.
enum Gone {
    /// The thread is gone.
    Thread,
    /// What is asked for cannot be reached right now.
    Away,
    /// It will not be found by asking again.
    Lost,
}
