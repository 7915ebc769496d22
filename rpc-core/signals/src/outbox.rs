//! What waits to be said: merged, bounded, and taken by the carrier when it is time.

use super::message::{Grown, Said, bytes_of};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use threadline_schema::ids::RunId;
use threadline_store::rows::EventRow;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Commands that wait at most, and runs of which growth waits.
const MAX_COMMANDS: usize = 4_096;
const MAX_RUNS: usize = 16_384;
/// Bytes of rows that wait at most, of all runs together.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// For how long one `Follow` is good. Followers repeat theirs three times as often.
const FOLLOWED_FOR: Duration = Duration::from_secs(30);

/// How long things wait for company.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Commands, and ends of runs.
    pub(super) urgent: Duration,
    /// Least time between two departures for the sake of those.
    pub(super) urgent_gap: Duration,
    /// Growth.
    pub(super) growth: Duration,
}

/// What a carrier takes along.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Said>,
    pub(super) grown: BTreeMap<RunId, Grown>,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// What waits has become more pressing.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a carrier is connected. What is said to nobody is not kept.
    open: bool,
    batch: Batch,
    bytes: usize,
    urgent_since: Option<Instant>,
    growth_since: Option<Instant>,
    last_urgent: Option<Instant>,
    /// Runs that others follow, and until when that is believed.
    followed: BTreeMap<RunId, Instant>,
}

impl Outbox {
    /// Says something to everybody.
    pub(super) fn say(&self, said: Said) {
        let mut state = self.state();
        if !state.open || state.batch.commands.len() >= MAX_COMMANDS {
            return;
        }
        state.batch.commands.push(said);
        if state.urgent_since.replace_if_none() {
            self.wake.notify_one();
        }
    }

    /// Says how a run has grown, if anybody elsewhere cares.
    pub(super) fn grown(&self, run_id: RunId, last_seq: u64, ended: bool, rows: &[EventRow]) {
        let mut state = self.state();
        let state = &mut *state;
        if !state.cares(run_id) {
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

    /// Whether anybody elsewhere follows a run, as far as it is known.
    pub(super) fn cares(&self, run_id: RunId) -> bool {
        self.state().cares(run_id)
    }

    /// Others follow these runs.
    pub(super) fn followed(&self, run_id: RunId) {
        self.state().followed.insert(run_id, Instant::now() + FOLLOWED_FOR);
    }

    /// Forgets runs that nobody follows any more.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.followed.retain(|_, until| *until >= now);
    }

    /// A carrier is there.
    pub(super) fn open(&self) {
        self.state().open = true;
    }

    /// The carrier is gone, and what waited with it.
    pub(super) fn close(&self) {
        let mut state = self.state();
        *state = State { followed: std::mem::take(&mut state.followed), ..State::default() };
    }

    /// Waits until it is time, and gives all there is.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cares(&self, run_id: RunId) -> bool {
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

/// Notes when something began.
trait Since {
    /// Sets it to now unless it is set. Whether it was not.
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
    async fn growth_waits_for_company_and_ends_do_not() {
        let (outbox, run_id) = (open(), RunId::random());
        outbox.followed(run_id);
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

        // One urgent thing after the other: ten departures a second at most.
        outbox.say(Said::Cancel { run_id });
        assert_eq!(outbox.next(PACE).await.commands, [Said::Cancel { run_id }]);
        assert_eq!(started.elapsed().as_millis(), 370);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_follows_or_nobody_carries_is_not_kept() {
        let (outbox, run_id) = (open(), RunId::random());
        outbox.grown(run_id, 1, true, &[]);
        assert!(tokio::time::timeout(Duration::from_secs(1), outbox.next(PACE)).await.is_err());
        outbox.followed(run_id);
        outbox.grown(run_id, 1, true, &[]);
        outbox.close();
        outbox.say(Said::Cancel { run_id });
        outbox.open();
        assert!(tokio::time::timeout(Duration::from_secs(1), outbox.next(PACE)).await.is_err());
        tokio::time::sleep(FOLLOWED_FOR).await;
        outbox.tidy();
        assert!(outbox.state().followed.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_wait_are_bounded() {
        let outbox = open();
        let event = "x".repeat(200 * 1024);
        let mut kept = 0;
        for _ in 0..100 {
            let run_id = RunId::random();
            outbox.followed(run_id);
            let row = EventRow { run_id, first_seq: 1, last_seq: 1, event: event.clone(), cuts: None };
            outbox.grown(run_id, 1, false, &[row]);
        }
        let batch = outbox.next(PACE).await;
        assert_eq!(batch.grown.len(), 100, "that they have grown is said of all");
        for grown in batch.grown.values() {
            kept += grown.row_bytes();
        }
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&kept), "{kept}");
    }
}
