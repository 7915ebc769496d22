//! Reading a run's events, from any place and at any pace.

use super::leaving::Stay;
use super::log::{Numbered, Reading, RunLog};
use super::stored::Stored;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::call::Frame;
use threadline_schema::chatkit::{StreamErrorCode, ThreadStreamEvent};
use tokio::time::Sleep;
use uuid::Uuid;

/// Events taken out of the log at a time. A reader far behind holds this many, not all.
const READ_AHEAD: usize = 64;

/// The longest a token's expiry is waited for: tokio's timers end at about two years.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A reader of one run's events. It ends after the terminal event, or after an `error` event when the subscriber's
/// token has expired or the log cannot be read.
pub(crate) struct RunFeed {
    run_id: Uuid,
    source: Source,
    /// Number of the last event given out.
    at: u64,
    waiting: VecDeque<Numbered>,
    /// Whether anything was given out.
    told: bool,
    expired: bool,
    /// Of a reader that ends the run by leaving.
    stay: Option<Stay>,
}

enum Source {
    /// A run whose log is in memory, and when the reader's token expires.
    Live(Reading, Pin<Box<Sleep>>),
    /// A run that has ended and is not in memory.
    Stored(Box<Stored>),
    /// Nothing more.
    Over,
}

impl RunFeed {
    /// Events after number `after`. When that was the last of a run that has ended, the last is given again: a reader
    /// is always told the end.
    pub(crate) fn live(log: Arc<RunLog>, after: u64, token_lifetime: Duration) -> Self {
        let expiry = Box::pin(tokio::time::sleep(token_lifetime.min(FOREVER)));
        Self::new(log.run_id(), after, Source::Live(Reading::begin(log), expiry))
    }

    /// Events after number `after` of a run that has ended, as [`live`](Self::live).
    pub(super) fn stored(stored: Stored, after: u64) -> Self {
        let at = after.min(stored.last_seq().saturating_sub(1));
        Self::new(stored.run_id(), at, Source::Stored(Box::new(stored)))
    }

    fn new(run_id: Uuid, at: u64, source: Source) -> Self {
        Self { run_id, source, at, waiting: VecDeque::new(), told: false, expired: false, stay: None }
    }

    /// The log it reads, of a run that may go on.
    pub(super) fn log(&self) -> Option<&Arc<RunLog>> {
        match &self.source {
            Source::Live(reading, _) => Some(reading.log()),
            Source::Stored(_) | Source::Over => None,
        }
    }

    /// Holds this for as long as it is read.
    pub(super) fn hold(&mut self, stay: Stay) {
        self.stay = Some(stay);
    }

    /// The next event; waits for it. `None` at the end. Safe to drop while waiting: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((seq, event)) = self.waiting.pop_front() {
                self.at = seq;
                return Some(self.frame(event));
            }
            match &mut self.source {
                Source::Over => return None,
                Source::Stored(stored) => match stored.read(self.at).await {
                    Ok(events) if events.is_empty() => self.source = Source::Over,
                    Ok(events) => self.waiting.extend(events),
                    Err(error) => {
                        tracing::warn!(run_id = %self.run_id, %error, "the log of a run cannot be read");
                        self.source = Source::Over;
                        return Some(self.frame(error_event(UNREADABLE)));
                    }
                },
                Source::Live(reading, expiry) => {
                    let log = reading.log();
                    // Taken before looking, or an event between the look and the wait would go unnoticed.
                    let changed = log.changed();
                    let closed = log.read(self.at, READ_AHEAD, &mut self.waiting);
                    if !self.waiting.is_empty() {
                        continue;
                    }
                    if closed {
                        if !self.told {
                            // There is nothing after the cursor.
                            log.read(log.last_seq().saturating_sub(1), 1, &mut self.waiting);
                        }
                        drop(changed);
                        self.source = Source::Over;
                        continue;
                    }
                    if log.is_out_of_reach() {
                        drop(changed);
                        self.source = Source::Over;
                        return Some(self.frame(error_event(UNREADABLE)));
                    }
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = expiry.as_mut() => {
                            self.expired = true;
                            self.source = Source::Over;
                            // Nobody has left: with a new token the run can be followed again.
                            self.stay.take().into_iter().for_each(Stay::end);
                            return Some(self.frame(error_event(EXPIRED)));
                        }
                    }
                }
            }
        }
    }

    /// The event at the number that was reached.
    fn frame(&mut self, event: Arc<str>) -> Frame {
        self.told = true;
        Frame { run_id: self.run_id, seq: self.at, event }
    }

    /// Whether it ended because the subscriber's token did.
    pub(crate) fn has_expired(&self) -> bool {
        self.expired
    }
}

/// What a subscriber is told whose token has expired. The run goes on; with a new token it can be followed again.
pub(super) const EXPIRED: &str = "Your token has expired. Log in again and go on from the last event you have.";
/// What a subscriber is told when the database goes away in the middle of a log that only the database has.
pub(super) const UNREADABLE: &str = "The events cannot be read right now. Ask again from the last event you have.";

/// The event that tells a subscriber in words that something went wrong, and that trying again may help.
pub(super) fn error_event(message: &str) -> Arc<str> {
    let event = ThreadStreamEvent::Error {
        code: StreamErrorCode::Custom,
        message: Some(message.to_owned()),
        allow_retry: true,
    };
    serde_json::to_string(&event).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    async fn rest(mut feed: RunFeed) -> Vec<(u64, String)> {
        let mut frames = Vec::new();
        while let Some(frame) = feed.next().await {
            frames.push((frame.seq, frame.event.to_string()));
        }
        frames
    }

    #[tokio::test]
    async fn every_reader_gets_everything_from_where_it_begins() {
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        let early = tokio::spawn(rest(RunFeed::live(log.clone(), 0, LONG)));
        let count = 3 * READ_AHEAD as u64;
        for seq in 1..=count {
            assert_eq!(log.append(seq.to_string()), seq);
            if seq % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let late = tokio::spawn(rest(RunFeed::live(log.clone(), count - 1, LONG)));
        log.close(["end".into()]);
        let early = early.await.unwrap();
        assert_eq!(early.len() as u64, count + 1);
        assert!(early.iter().zip(1..).all(|((seq, _), expected)| *seq == expected));
        assert_eq!(early.last().unwrap().1, "end");
        assert_eq!(late.await.unwrap(), vec![(count, count.to_string()), (count + 1, "end".to_owned())]);
    }

    #[tokio::test]
    async fn a_reader_who_has_everything_is_told_the_end_again() {
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        log.append("1".to_owned());
        log.close(["end".into()]);
        assert_eq!(rest(RunFeed::live(log, 2, LONG)).await, vec![(2, "end".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_whose_token_expires_is_told_so() {
        let log = Arc::new(RunLog::new(Uuid::now_v7()));
        log.append("1".to_owned());
        let frames = rest(RunFeed::live(log, 0, Duration::from_secs(5))).await;
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[1].0, 1);
        assert!(frames[1].1.contains("expired"));
    }
}
