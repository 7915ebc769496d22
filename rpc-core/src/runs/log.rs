//! What one run has emitted so far, in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use uuid::Uuid;

/// An event and its number.
pub(crate) type Numbered = (u64, Arc<str>);

/// The events of one run: append-only, numbered from 1, each serialised once and shared by all who read it.
///
/// Of a run that is answered here it is the truth, of which the journal makes what is durable. Of a run that another
/// process answers it is a copy of what that process has made durable.
#[derive(Debug)]
pub(crate) struct RunLog {
    run_id: Uuid,
    state: Mutex<State>,
    /// Wakes readers; they look for themselves what is new.
    changed: Notify,
    /// Readers of this process.
    readers: AtomicUsize,
}

/// A log that is being read, for as long as this lives.
#[derive(Debug)]
pub(super) struct Reading(Arc<RunLog>);

impl Reading {
    pub(super) fn begin(log: Arc<RunLog>) -> Self {
        log.readers.fetch_add(1, Ordering::Relaxed);
        Self(log)
    }

    pub(super) fn log(&self) -> &Arc<RunLog> {
        &self.0
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Arc<str>>,
    /// From which place on events are numbered from which number: those that closed the run for a process that died.
    jump: Option<(usize, u64)>,
    bytes: usize,
    closed: bool,
    /// Number of the last event that is durable, as far as it is known.
    saved: u64,
    /// Whether the journal is writing events of it.
    saving: bool,
    /// Whether the journal has to leave it alone: its last events are written together with the run's end.
    sealed: bool,
    /// Whether what comes next cannot be found out right now.
    out_of_reach: bool,
}

/// Events that the journal is to write.
pub(super) struct Unsaved {
    /// Number of the first.
    pub(super) first: u64,
    pub(super) events: Vec<Arc<str>>,
}

impl RunLog {
    pub(crate) fn new(run_id: Uuid) -> Self {
        Self { run_id, state: Mutex::default(), changed: Notify::new(), readers: AtomicUsize::new(0) }
    }

    /// Whose events these are.
    pub(crate) fn run_id(&self) -> Uuid {
        self.run_id
    }

    /// Adds an event and returns its number.
    pub(crate) fn append(&self, event: String) -> u64 {
        let seq = {
            let mut state = self.lock();
            state.push(event.into());
            state.last_seq()
        };
        self.changed.notify_waiters();
        seq
    }

    /// Adds the last events. Nothing is appended after them.
    pub(crate) fn close(&self, events: impl IntoIterator<Item = Arc<str>>) {
        {
            let mut state = self.lock();
            events.into_iter().for_each(|event| state.push(event));
            state.closed = true;
        }
        self.changed.notify_waiters();
    }

    /// Adds events that somebody else has numbered, as far as they are new; `last` says that nothing comes after them.
    pub(super) fn copy(&self, events: impl IntoIterator<Item = Numbered>, last: bool) {
        {
            let mut state = self.lock();
            for (seq, event) in events {
                if seq <= state.last_seq() {
                    continue;
                }
                if seq > state.last_seq() + 1 {
                    state.jump = Some((state.events.len(), seq));
                }
                state.push(event);
            }
            state.closed |= last;
        }
        self.changed.notify_waiters();
    }

    /// Number of the last event; 0 before the first.
    pub(crate) fn last_seq(&self) -> u64 {
        self.lock().last_seq()
    }

    /// Bytes of JSON it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether the last event is there.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Whether anybody reads it in this process.
    pub(super) fn is_read(&self) -> bool {
        self.readers.load(Ordering::Relaxed) > 0
    }

    /// Says whether what comes next can be found out, for a log that somebody else writes.
    pub(super) fn set_out_of_reach(&self, out_of_reach: bool) {
        if std::mem::replace(&mut self.lock().out_of_reach, out_of_reach) != out_of_reach {
            self.changed.notify_waiters();
        }
    }

    /// Whether nobody should wait for what comes next, for now.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.lock().out_of_reach
    }

    /// Waits for the last event.
    pub(crate) async fn closed(&self) {
        self.until(|state| state.closed).await;
    }

    /// Appends up to `most` events after number `after` to `into`; says whether the log is closed.
    pub(super) fn read(&self, after: u64, most: usize, into: &mut VecDeque<Numbered>) -> bool {
        let state = self.lock();
        into.extend(state.after(after).take(most));
        state.closed
    }

    /// Is ready when something was appended after this was called and polled.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Up to `most` events that are not durable yet, for the journal, which says with [`saved`](Self::saved) how that
    /// went. `None` when there are none, or they are not the journal's business any more.
    pub(super) fn begin_saving(&self, most: usize) -> Option<Unsaved> {
        let mut state = self.lock();
        if state.sealed || state.saved >= state.last_seq() {
            return None;
        }
        state.saving = true;
        let first = state.saved + 1;
        Some(Unsaved { first, events: state.after(state.saved).take(most).map(|(_, event)| event).collect() })
    }

    /// Ends what [`begin_saving`](Self::begin_saving) began: events up to this number are durable now; `None` when that
    /// is not known.
    pub(super) fn saved(&self, up_to: Option<u64>) {
        {
            let mut state = self.lock();
            state.saving = false;
            state.saved = state.saved.max(up_to.unwrap_or_default());
        }
        self.changed.notify_waiters();
    }

    /// Takes the log from the journal, once it has written what it is writing, and gives what is not durable.
    pub(super) async fn seal(&self) -> Unsaved {
        self.lock().sealed = true;
        self.until(|state| !state.saving).await;
        let state = self.lock();
        Unsaved { first: state.saved + 1, events: state.after(state.saved).map(|(_, event)| event).collect() }
    }

    async fn until(&self, there: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if there(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, event: Arc<str>) {
        self.bytes += event.len();
        self.events.push(event);
    }

    fn seq_of(&self, place: usize) -> u64 {
        match self.jump {
            Some((from, seq)) if place >= from => seq + (place - from) as u64,
            _ => place as u64 + 1,
        }
    }

    fn last_seq(&self) -> u64 {
        self.events.len().checked_sub(1).map_or(0, |place| self.seq_of(place))
    }

    /// Events after a number.
    fn after(&self, after: u64) -> impl Iterator<Item = Numbered> + '_ {
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let from = match self.jump {
            Some((from, seq)) if after >= seq => from.saturating_add(place(after - seq)).saturating_add(1),
            Some((from, _)) => from.min(place(after)),
            None => place(after),
        };
        let numbered = self.events.iter().enumerate().skip(from);
        numbered.map(|(place, event)| (self.seq_of(place), event.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> RunLog {
        RunLog::new(Uuid::now_v7())
    }

    fn numbers(log: &RunLog, after: u64) -> Vec<u64> {
        let mut events = VecDeque::new();
        log.read(after, 100, &mut events);
        events.into_iter().map(|(seq, _)| seq).collect()
    }

    #[test]
    fn a_copy_keeps_the_numbers_of_what_it_copies() {
        let log = log();
        let event = |seq: u64| (seq, Arc::<str>::from(seq.to_string()));
        log.copy([1, 2, 3].map(event), false);
        log.copy([2, 3, 4].map(event), false);
        log.copy([1_000, 1_001].map(event), true);
        assert!(log.is_closed());
        assert_eq!(log.last_seq(), 1_001);
        assert_eq!(numbers(&log, 0), [1, 2, 3, 4, 1_000, 1_001]);
        for (after, expected) in
            [(3, &[4, 1_000, 1_001][..]), (4, &[1_000, 1_001]), (7, &[1_000, 1_001]), (1_000, &[1_001]), (2_000, &[])]
        {
            assert_eq!(numbers(&log, after), expected, "{after}");
        }
    }

    #[tokio::test]
    async fn what_is_not_durable_is_given_again_until_it_is() {
        let log = log();
        assert!(log.begin_saving(10).is_none());
        for n in 1..=5 {
            log.append(n.to_string());
        }
        let unsaved = log.begin_saving(3).unwrap();
        assert_eq!((unsaved.first, unsaved.events.len()), (1, 3));
        log.saved(None);
        let unsaved = log.begin_saving(3).unwrap();
        assert_eq!((unsaved.first, unsaved.events.len()), (1, 3));
        log.saved(Some(3));

        assert!(log.begin_saving(10).is_some());
        let log = Arc::new(log);
        let sealing = tokio::spawn({
            let log = log.clone();
            async move { log.seal().await }
        });
        while !log.lock().sealed {
            tokio::task::yield_now().await;
        }
        assert!(!sealing.is_finished(), "the journal is still writing");
        log.saved(Some(4));
        let rest = sealing.await.unwrap();
        assert_eq!((rest.first, rest.events.len()), (5, 1));
        assert!(log.begin_saving(10).is_none(), "it is the runner's now");
    }
}
