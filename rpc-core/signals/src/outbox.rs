//! Signals that wait to be sent: merged and bounded. The carrier takes them as batches.

use super::message::{Grown, Signal, bytes_of};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::time::Duration;
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Maximum number of waiting commands. More are dropped.
const MAX_COMMANDS: usize = 4_096;
/// Maximum number of runs with waiting growth. The growth of more runs is dropped.
const MAX_RUNS: usize = 16_384;
/// Maximum size of the waiting rows of all runs, in bytes. More rows are dropped; their growth is still sent.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long an announcement of a follower is valid. Followers repeat it three times in this time.
const FOLLOWED_FOR: Duration = Duration::from_secs(30);

/// How long a signal waits for others, so that one batch carries them together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Wait of commands and of ends of runs.
    pub(super) urgent: Duration,
    /// Shortest time between two batches because of these.
    pub(super) urgent_gap: Duration,
    /// Wait of growth.
    pub(super) growth: Duration,
}

/// Signals that a carrier sends together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Signal>,
    pub(super) grown: BTreeMap<RunId, Grown>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Notified when the next batch is due earlier than before.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a carrier is connected. Otherwise signals are dropped.
    open: bool,
    batch: Batch,
    bytes: usize,
    urgent_since: Option<Instant>,
    growth_since: Option<Instant>,
    last_urgent: Option<Instant>,
    /// Runs that other processes follow, and when their announcements expire.
    followed: BTreeMap<RunId, Instant>,
}

impl Outbox {
    /// Adds a signal to all processes.
    pub(super) fn send(&self, signal: Signal) {
        let mut state = self.state();
        if !state.open || state.batch.commands.len() >= MAX_COMMANDS {
            return;
        }
        state.batch.commands.push(signal);
        if state.urgent_since.replace_if_none() {
            self.wake.notify_one();
        }
    }

    /// Adds the growth of a run, if another process follows it.
    pub(super) fn grown(&self, run_id: RunId, last_seq: u64, ended: bool, rows: &[EventRow]) {
        let mut state = self.state();
        let state = &mut *state;
        if !state.is_followed(run_id) {
            return;
        }
        if state.batch.grown.len() >= MAX_RUNS && !state.batch.grown.contains_key(&run_id) {
            return;
        }
        let rows = if state.bytes + bytes_of(rows) > MAX_BYTES { Vec::new() } else { rows.to_vec() };
        let waiting = state.batch.grown.entry(run_id).or_default();
        let more = waiting.merge(Grown { last_seq, ended, rows });
        state.bytes = state.bytes.saturating_add_signed(more);
        let urgent = ended && state.urgent_since.replace_if_none();
        if state.growth_since.replace_if_none() || urgent {
            self.wake.notify_one();
        }
    }

    /// Returns whether another process follows a run, as far as this one knows.
    pub(super) fn is_followed(&self, run_id: RunId) -> bool {
        self.state().is_followed(run_id)
    }

    /// Notes that another process follows a run.
    pub(super) fn note_follower(&self, run_id: RunId) {
        self.state().followed.insert(run_id, Instant::now() + FOLLOWED_FOR);
    }

    /// Removes the runs that no process follows any more.
    pub(super) fn remove_expired(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.followed.retain(|_, until| *until >= now);
    }

    /// Notes that a carrier is connected.
    pub(super) fn open(&self) {
        self.state().open = true;
    }

    /// Notes that the carrier is disconnected, and drops all waiting signals.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = State { followed: std::mem::take(&mut state.followed), ..State::default() };
    }

    /// Waits until a batch is due, and takes all waiting signals.
    pub(super) async fn next(&self, pace: Pace) -> Batch {
        loop {
            let due = self.state().due(pace);
            match due {
                Some(due) if due <= Instant::now() => return self.state().take(),
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(due) => {}
                        () = self.wake.notified() => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn is_followed(&self, run_id: RunId) -> bool {
        self.open && self.followed.get(&run_id).is_some_and(|until| *until >= Instant::now())
    }

    fn due(&self, pace: Pace) -> Option<Instant> {
        let urgent = self.urgent_since.map(|since| {
            let after_last = self.last_urgent.map_or(since, |last| last + pace.urgent_gap);
            after_last.max(since + pace.urgent)
        });
        let growth = self.growth_since.map(|since| since + pace.growth);
        [urgent, growth].into_iter().flatten().min()
    }

    fn take(&mut self) -> Batch {
        if self.urgent_since.take().is_some() {
            self.last_urgent = Some(Instant::now());
        }
        self.growth_since = None;
        self.bytes = 0;
        std::mem::take(&mut self.batch)
    }
}

/// A time since when something waits.
trait Since {
    /// Sets it to now if it is not set. Returns whether it was not set.
    fn replace_if_none(&mut self) -> bool;
}

impl Since for Option<Instant> {
    fn replace_if_none(&mut self) -> bool {
        let was_none = self.is_none();
        self.get_or_insert_with(Instant::now);
        was_none
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        urgent: Duration::from_millis(20),
        urgent_gap: Duration::from_millis(100),
        growth: Duration::from_millis(250),
    };

    fn open() -> Outbox {
        let outbox = Outbox::default();
        outbox.open();
        outbox
    }

    #[tokio::test(start_paused = true)]
    async fn growth_waits_for_more_and_ends_do_not() {
        let (outbox, run_id) = (open(), RunId::random());
        outbox.note_follower(run_id);
        let started = Instant::now();
        for seq in 1..=5 {
            outbox.grown(run_id, seq, false, &[]);
        }
        let batch = outbox.next(PACE).await;
        assert_eq!(batch.grown.get(&run_id).map(|grown| grown.last_seq), Some(5));
        assert_eq!(started.elapsed().as_millis(), 250);

        outbox.grown(run_id, 6, false, &[]);
        outbox.grown(run_id, 7, true, &[]);
        let batch = outbox.next(PACE).await;
        assert_eq!(batch.grown.get(&run_id).map(|grown| (grown.last_seq, grown.ended)), Some((7, true)));
        assert_eq!(started.elapsed().as_millis(), 270);

        // Urgent signals leave in at most ten batches per second.
        outbox.send(Signal::Cancel { run_id });
        assert_eq!(outbox.next(PACE).await.commands, [Signal::Cancel { run_id }]);
        assert_eq!(started.elapsed().as_millis(), 370);
    }

    #[tokio::test(start_paused = true)]
    async fn growth_without_followers_or_carrier_is_dropped() {
        let (outbox, run_id) = (open(), RunId::random());
        outbox.grown(run_id, 1, true, &[]);
        assert!(tokio::time::timeout(Duration::from_secs(1), outbox.next(PACE)).await.is_err());
        outbox.note_follower(run_id);
        outbox.grown(run_id, 1, true, &[]);
        outbox.close();
        outbox.send(Signal::Cancel { run_id });
        outbox.open();
        assert!(tokio::time::timeout(Duration::from_secs(1), outbox.next(PACE)).await.is_err());
        tokio::time::sleep(FOLLOWED_FOR).await;
        outbox.remove_expired();
        assert!(outbox.state().followed.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_wait_are_bounded() {
        let outbox = open();
        let event = "x".repeat(200 * 1024);
        let mut kept = 0;
        for _ in 0..100 {
            let run_id = RunId::random();
            outbox.note_follower(run_id);
            let row = EventRow { run_id, first_seq: 1, last_seq: 1, event: event.clone(), cuts: None };
            outbox.grown(run_id, 1, false, &[row]);
        }
        let batch = outbox.next(PACE).await;
        assert_eq!(batch.grown.len(), 100, "the growth of all runs is sent");
        for grown in batch.grown.values() {
            kept += grown.row_bytes();
        }
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&kept), "{kept}");
    }
}
