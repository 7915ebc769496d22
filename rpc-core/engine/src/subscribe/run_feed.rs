//! Reads the events of one run, from any position and at any pace.

use crate::durability::Replay;
use crate::log::{NumberedEvent, ReaderGuard, RunLog};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::chatkit::StreamErrorCode;
use threadline_schema::error::Chain;
use threadline_schema::event::{Event, ThreadStreamEvent};
use threadline_schema::frame::Frame;
use threadline_schema::ids::RunId;
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Events that are taken out of the log at a time: a slow reader holds this many in memory, not all.
const READ_AHEAD: usize = 64;

/// Limit for the lifetime of a token: timers of tokio end after about two years.
pub(super) const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// The message of the event that ends a feed whose subscriber's token has expired.
pub(super) const TOKEN_EXPIRED: &str = "Your token has expired. Log in again and go on from the last event you have.";
/// The message of the event that ends a feed when the database cannot be reached.
const UNREADABLE: &str = "The events cannot be read right now. Ask again from the last event you have.";

/// A reader of one run's events. It ends after the terminal event, or after an `error` event when the subscriber's
/// token has expired or the events cannot be read.
pub struct RunFeed {
    run_id: RunId,
    source: Source,
    /// Number of the last event that was given out.
    position: u64,
    read_ahead: VecDeque<NumberedEvent>,
    has_given_any: bool,
    has_expired: bool,
    /// Of a reader that cancels the run by disconnecting.
    disconnect_guard: Option<DisconnectGuard>,
}

enum Source {
    /// A run whose log is in memory, and the timer of the subscriber's token.
    Live(ReaderGuard, Pin<Box<Sleep>>),
    /// A run that has ended and is not in memory.
    Replay(Box<Replay>),
    Ended,
}

/// Reports the disconnect of a reader to the engine when it is dropped.
pub(crate) struct DisconnectGuard(oneshot::Sender<()>);

impl DisconnectGuard {
    /// Returns the guard, and the receiver that fails when the guard is dropped.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, disconnected) = oneshot::channel();
        (Self(sender), disconnected)
    }

    /// Ends the guard without reporting a disconnect.
    fn disarm(self) {
        // The receiver is gone when the run has ended.
        let _ = self.0.send(());
    }
}

impl RunFeed {
    /// Reads a log in memory, after number `after`. If that is the terminal event, the feed returns it again: each feed
    /// ends with the terminal event.
    pub(crate) fn live(log: Arc<RunLog>, after: u64, token_lifetime: Duration) -> Self {
        let expiry = Box::pin(tokio::time::sleep(token_lifetime.min(MAX_TOKEN_LIFETIME)));
        Self::new(log.run_id(), after, Source::Live(ReaderGuard::new(log), expiry))
    }

    /// Reads a run that has ended from the database, after number `after`, like [`live`](Self::live).
    pub(crate) fn replay(replay: Replay, after: u64) -> Self {
        let position = after.min(replay.last_seq().saturating_sub(1));
        Self::new(replay.run_id(), position, Source::Replay(Box::new(replay)))
    }

    fn new(run_id: RunId, position: u64, source: Source) -> Self {
        Self {
            run_id,
            source,
            position,
            read_ahead: VecDeque::new(),
            has_given_any: false,
            has_expired: false,
            disconnect_guard: None,
        }
    }

    /// Returns the log that is read, if the run can continue.
    pub(crate) fn log(&self) -> Option<&Arc<RunLog>> {
        match &self.source {
            Source::Live(reader, _) => Some(reader.log()),
            Source::Replay(_) | Source::Ended => None,
        }
    }

    /// Holds the guard for as long as the feed is read.
    pub(crate) fn set_disconnect_guard(&mut self, guard: DisconnectGuard) {
        self.disconnect_guard = Some(guard);
    }

    /// Returns the next event if it has been read already.
    pub fn next_ready(&mut self) -> Option<Frame> {
        let (seq, event) = self.read_ahead.pop_front()?;
        self.position = seq;
        Some(self.frame(event))
    }

    /// Returns the next event; waits for it. `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.next_ready() {
                return Some(frame);
            }
            match &mut self.source {
                Source::Ended => return None,
                // Boxed, so that the feeds of live runs do not have its size.
                Source::Replay(replay) => match Box::pin(replay.read(self.position)).await {
                    Ok(events) if events.is_empty() => self.source = Source::Ended,
                    Ok(events) => self.read_ahead.extend(events),
                    Err(error) => {
                        tracing::warn!(run_id = %self.run_id, error = %Chain(&error), "events of a run cannot be read");
                        self.source = Source::Ended;
                        return Some(self.frame(error_event(UNREADABLE)));
                    }
                },
                Source::Live(reader, expiry) => {
                    let log = reader.log();
                    // Before the read: an event between the read and the wait would go unnoticed otherwise.
                    let changed = log.changed();
                    let is_closed = log.read(self.position, READ_AHEAD, &mut self.read_ahead);
                    if !self.read_ahead.is_empty() {
                        continue;
                    }
                    if is_closed {
                        if !self.has_given_any {
                            // The cursor is at the terminal event: give that again.
                            log.read(log.last_seq().saturating_sub(1), 1, &mut self.read_ahead);
                        }
                        drop(changed);
                        self.source = Source::Ended;
                        continue;
                    }
                    if log.is_unreachable() {
                        drop(changed);
                        self.source = Source::Ended;
                        return Some(self.frame(error_event(UNREADABLE)));
                    }
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = expiry.as_mut() => {
                            self.has_expired = true;
                            self.source = Source::Ended;
                            // Not a disconnect: with a new token the subscriber can come back.
                            self.disconnect_guard.take().into_iter().for_each(DisconnectGuard::disarm);
                            return Some(self.frame(error_event(TOKEN_EXPIRED)));
                        }
                    }
                }
            }
        }
    }

    fn frame(&mut self, event: Event) -> Frame {
        self.has_given_any = true;
        match self.position {
            // The error event of a feed that has given no event yet.
            0 => Frame::Side(event),
            seq => Frame::Run { run_id: self.run_id, seq, event },
        }
    }

    /// Returns whether the feed ended because the subscriber's token has expired.
    pub fn has_expired(&self) -> bool {
        self.has_expired
    }
}

/// Returns the event of an error with this message for the user. It allows the client to try again.
pub fn error_event(message: &str) -> Event {
    let event = ThreadStreamEvent::Error {
        code: StreamErrorCode::Custom,
        message: Some(message.to_owned()),
        allow_retry: true,
    };
    Event::new(&event).unwrap_or_else(|_| Event::from_json(r#"{"type":"error","code":"custom","allow_retry":true}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    async fn rest(mut feed: RunFeed) -> Vec<(u64, String)> {
        let mut frames = Vec::new();
        while let Some(frame) = feed.next().await {
            let Frame::Run { seq, event, .. } = frame else { panic!("a side event in the feed of a run") };
            frames.push((seq, event.json().into_owned()));
        }
        frames
    }

    #[tokio::test]
    async fn every_reader_gets_all_events_after_its_position() {
        let log = Arc::new(RunLog::new(RunId::random()));
        let early = tokio::spawn(rest(RunFeed::live(log.clone(), 0, LONG)));
        let count = 3 * READ_AHEAD as u64;
        for seq in 1..=count {
            assert_eq!(log.append(Event::from_json(seq.to_string())), seq);
            if seq % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let late = tokio::spawn(rest(RunFeed::live(log.clone(), count - 1, LONG)));
        log.close([Event::from_json("end")]);
        let early = early.await.unwrap();
        assert_eq!(early.len() as u64, count + 1);
        assert!(early.iter().zip(1..).all(|((seq, _), expected)| *seq == expected));
        assert_eq!(early.last().unwrap().1, "end");
        assert_eq!(late.await.unwrap(), vec![(count, count.to_string()), (count + 1, "end".to_owned())]);
    }

    #[tokio::test]
    async fn a_reader_at_the_terminal_event_gets_it_again() {
        let log = Arc::new(RunLog::new(RunId::random()));
        log.append(Event::from_json("1"));
        log.close([Event::from_json("end")]);
        assert_eq!(rest(RunFeed::live(log, 2, LONG)).await, vec![(2, "end".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_feed_ends_with_an_error_event_when_the_token_expires() {
        let log = Arc::new(RunLog::new(RunId::random()));
        log.append(Event::from_json("1"));
        let frames = rest(RunFeed::live(log, 0, Duration::from_secs(5))).await;
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1].0, 1);
        assert!(frames[1].1.contains("expired"));
    }
}
