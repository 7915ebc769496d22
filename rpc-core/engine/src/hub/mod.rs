//! The runs of this process: those that are active, and for a while those that have ended.

mod run_handle;
mod thread_notifier;

pub use run_handle::RunHandle;
pub(crate) use run_handle::{RunGuard, StopReason};
pub(crate) use thread_notifier::{ThreadNotifier, ThreadWatcher};

use crate::log::{NumberedEvent, RunLog};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How long the log of an ended run stays in memory, unless the durable log is kept for a shorter time: a subscriber
/// that comes a little late costs no query.
const KEEP_FOR: Duration = Duration::from_secs(10 * 60);
/// How many bytes the logs of ended runs may have together.
const KEEP_BYTES: usize = 32 * 1024 * 1024;
/// How long a shutdown waits for interrupted runs: each has one transaction left to write.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The runs of this process.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// The tasks that a shutdown waits for: runs, and requests that start them.
    tracker: TaskTracker,
    /// Wakes the journal when a run becomes active.
    pub(crate) run_activated: Notify,
    /// Wakes the feeds of threads.
    pub(crate) notifier: Arc<ThreadNotifier>,
    shutdown: CancellationToken,
}

/// The maps are ordered, so that a simulation visits runs in the same order each time.
#[derive(Debug, Default)]
struct State {
    keep_for: Duration,
    runs: BTreeMap<RunId, Arc<RunHandle>>,
    active: BTreeMap<ThreadId, Arc<RunHandle>>,
    /// Copies of the logs of runs that other processes execute.
    mirrors: BTreeMap<RunId, Arc<RunLog>>,
    /// Ended runs, oldest first.
    ended: VecDeque<EndedRun>,
    /// Logs of runs that have ended here without a stored end.
    lost: Vec<Arc<RunLog>>,
    ended_bytes: usize,
}

#[derive(Debug)]
struct EndedRun {
    handle: Arc<RunHandle>,
    ended_at: Instant,
    bytes: usize,
}

impl Hub {
    /// `retention` is how long the durable log of an ended run is kept.
    pub(crate) fn new(retention: Duration) -> Self {
        Self {
            state: Mutex::new(State { keep_for: retention.min(KEEP_FOR), ..State::default() }),
            tracker: TaskTracker::new(),
            run_activated: Notify::new(),
            notifier: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Returns a run in memory, active or ended.
    pub(crate) fn find(&self, run_id: RunId) -> Option<Arc<RunHandle>> {
        self.state.lock().runs.get(&run_id).cloned()
    }

    /// Returns the active run of a thread.
    pub(crate) fn active_in(&self, thread_id: ThreadId) -> Option<Arc<RunHandle>> {
        self.state.lock().active.get(&thread_id).cloned()
    }

    /// Returns the active runs.
    pub(crate) fn active(&self) -> Vec<Arc<RunHandle>> {
        self.state.lock().active.values().cloned().collect()
    }

    /// Returns whether no run is active.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.lock().active.is_empty()
    }

    /// Adds a run that is about to be stored. Every stored run of this process is in the hub before it is in the
    /// database, so recovery never mistakes a new run for a lost one.
    pub(crate) fn register(self: &Arc<Self>, run_id: RunId, user_id: UserId, thread_id: ThreadId) -> RunGuard {
        let guard = RunGuard::new(self.clone(), run_id, user_id, thread_id, Arc::new(RunLog::new(run_id)));
        self.state.lock().runs.insert(run_id, guard.handle().clone());
        guard
    }

    /// Adds a run that this process has taken over and continues. `events` are all durable events of it. Readers of its
    /// mirror in this process get the new events too.
    pub(crate) fn register_continued(
        self: &Arc<Self>,
        run_id: RunId,
        user_id: UserId,
        thread_id: ThreadId,
        events: impl IntoIterator<Item = NumberedEvent>,
    ) -> RunGuard {
        let mirror = self.state.lock().mirrors.remove(&run_id);
        let log = mirror.unwrap_or_else(|| Arc::new(RunLog::new(run_id)));
        log.adopt(events);
        let guard = RunGuard::new(self.clone(), run_id, user_id, thread_id, log);
        // The subscribe that starting the run included was one of the process that died.
        guard.handle().take_free_subscribe();
        // A former handle of the run is one that this process lost to another, which died.
        self.state.lock().runs.insert(run_id, guard.handle().clone());
        guard
    }

    fn activate(&self, handle: &Arc<RunHandle>) {
        self.state.lock().active.insert(handle.thread_id, handle.clone());
        self.run_activated.notify_one();
        self.notifier.notify(handle.thread_id);
    }

    fn remove(&self, handle: &Arc<RunHandle>) {
        self.state.lock().remove_run(handle);
    }

    /// Keeps the log of an ended run for a while.
    fn retire(&self, handle: &Arc<RunHandle>) {
        let mut state = self.state.lock();
        if state.active.get(&handle.thread_id).is_some_and(|active| Arc::ptr_eq(active, handle)) {
            state.active.remove(&handle.thread_id);
        }
        // The process that has superseded this one has moved the run's events.
        if !handle.log.is_closed() && !handle.is_superseded() {
            state.lost.push(handle.log.clone());
        }
        let bytes = handle.log.bytes();
        state.ended_bytes += bytes;
        state.ended.push_back(EndedRun { handle: handle.clone(), ended_at: Instant::now(), bytes });
        state.evict();
    }

    /// Returns the runs that have ended in this process without a terminal event in their logs.
    pub(crate) fn ended_without_end(&self) -> Vec<Arc<RunHandle>> {
        let state = self.state.lock();
        let ended = state.ended.iter().map(|ended| &ended.handle);
        ended.filter(|handle| !handle.log.is_closed()).cloned().collect()
    }

    /// Evicts the logs that have been kept long enough.
    pub(crate) fn sweep(&self) {
        self.state.lock().evict();
    }

    /// Returns the first segment with events that are nowhere else.
    pub(crate) fn first_segment(&self) -> Option<i64> {
        let mut state = self.state.lock();
        // Their events have been moved by the time their end is known.
        state.lost.retain(|log| !log.is_closed());
        let logs = state.active.values().map(|handle| &handle.log).chain(&state.lost);
        logs.filter_map(|log| log.first_segment()).map(|(number, _)| number).min()
    }

    /// Returns the runs that have a mirror.
    pub(crate) fn mirrored(&self) -> BTreeSet<RunId> {
        self.state.lock().mirrors.keys().copied().collect()
    }

    /// Returns the mirror of a run.
    pub(crate) fn find_mirror(&self, run_id: RunId) -> Option<Arc<RunLog>> {
        self.state.lock().mirrors.get(&run_id).cloned()
    }

    /// Returns the mirror of a run that another process executes, and whether it is new: then the caller fills it.
    pub(crate) fn mirror(&self, run_id: RunId) -> (Arc<RunLog>, bool) {
        let mut state = self.state.lock();
        match state.mirrors.get(&run_id) {
            Some(log) => (log.clone(), false),
            None => {
                let log = Arc::new(RunLog::new(run_id));
                state.mirrors.insert(run_id, log.clone());
                (log, true)
            }
        }
    }

    /// Removes a mirror if it has no reader: only `log` and the hub hold it then. Returns whether it did.
    pub(crate) fn remove_unread_mirror(&self, log: &Arc<RunLog>) -> bool {
        let mut state = self.state.lock();
        let is_unread = Arc::strong_count(log) <= 2;
        if is_unread {
            state.remove_mirror(log);
        }
        is_unread
    }

    /// Removes a mirror. Its readers still read it to its end.
    pub(crate) fn remove_mirror(&self, log: &Arc<RunLog>) {
        self.state.lock().remove_mirror(log);
    }

    /// Uses up the one subscribe that starting a run includes, if this user started the run and has not used it yet.
    pub(crate) fn take_free_subscribe(&self, run_id: RunId, user_id: UserId) -> bool {
        self.find(run_id).is_some_and(|handle| handle.user_id == user_id && handle.take_free_subscribe())
    }

    /// Grants a free subscribe again: the request that started the run was repeated, and counted again.
    pub(crate) fn grant_free_subscribe(&self, run_id: RunId) {
        if let Some(handle) = self.find(run_id) {
            handle.grant_free_subscribe();
        }
    }

    /// Returns a token that makes a shutdown wait until it is dropped.
    pub(crate) fn hold_shutdown(&self) -> TaskTrackerToken {
        self.tracker.token()
    }

    /// Returns whether new runs are refused.
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// Waits until new runs are refused.
    pub(crate) async fn shutting_down(&self) {
        self.shutdown.cancelled().await;
    }

    /// Refuses new runs, lets active runs end within `grace`, and then interrupts them.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.shutdown.cancel();
        self.notifier.end_waiting();
        self.tracker.close();
        self.end_runs(grace).await;
        self.notifier.end_reading();
    }

    async fn end_runs(&self, grace: Duration) {
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return;
        }
        let runs: Vec<_> = self.state.lock().runs.values().cloned().collect();
        for handle in runs {
            handle.stop(StopReason::Interrupted);
        }
        if tokio::time::timeout(LAST_WRITES, self.tracker.wait()).await.is_err() {
            tracing::warn!("some runs could not store their end; recovery closes them when their lease expires");
        }
    }
}

impl State {
    /// By identity: there may be another mirror by now, if this one belonged to a run that was executed here.
    fn remove_mirror(&mut self, log: &Arc<RunLog>) {
        if self.mirrors.get(&log.run_id()).is_some_and(|mirror| Arc::ptr_eq(mirror, log)) {
            self.mirrors.remove(&log.run_id());
        }
    }

    /// By identity: this process may have taken the run over again.
    fn remove_run(&mut self, handle: &Arc<RunHandle>) {
        if self.runs.get(&handle.run_id).is_some_and(|current| Arc::ptr_eq(current, handle)) {
            self.runs.remove(&handle.run_id);
        }
    }

    fn evict(&mut self) {
        while let Some(oldest) = self.ended.front() {
            if self.ended_bytes <= KEEP_BYTES && oldest.ended_at.elapsed() < self.keep_for {
                break;
            }
            let Some(EndedRun { handle, bytes, .. }) = self.ended.pop_front() else { break };
            self.ended_bytes -= bytes;
            self.remove_run(&handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::event::Event;
    use uuid::Uuid;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(KEEP_FOR))
    }

    fn register(hub: &Arc<Hub>, number: u128, user_id: UserId) -> RunGuard {
        hub.register(RunId::from_uuid(Uuid::from_u128(number)), user_id, ThreadId::from_uuid(Uuid::from_u128(number)))
    }

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_counts() {
        let guard = register(&hub(), 1, user(1));
        guard.handle().stop(StopReason::Cancelled);
        guard.handle().stop(StopReason::Interrupted);
        assert_eq!(guard.handle().stopped().await, StopReason::Cancelled);
    }

    #[test]
    fn one_subscribe_is_free_and_only_for_the_starter() {
        let hub = hub();
        let guard = register(&hub, 1, user(1));
        let run_id = guard.handle().run_id;
        assert!(!hub.take_free_subscribe(run_id, user(2)));
        assert!(hub.take_free_subscribe(run_id, user(1)));
        assert!(!hub.take_free_subscribe(run_id, user(1)));
        assert!(!hub.take_free_subscribe(RunId::from_uuid(Uuid::from_u128(7)), user(1)));
    }

    #[test]
    fn ended_runs_are_kept_within_bounds() {
        let hub = hub();
        let guards: Vec<_> = (1..=3).map(|number| register(&hub, number, user(1))).collect();
        let ids: Vec<_> = guards.iter().map(|guard| guard.handle().run_id).collect();
        for guard in guards {
            guard.handle().log.close([Event::from_json("x".repeat(KEEP_BYTES / 2 - 1_000))]);
        }
        let kept: Vec<_> = ids.iter().map(|id| hub.find(*id).is_some()).collect();
        assert_eq!(kept, [false, true, true]);
    }

    #[tokio::test]
    async fn a_panic_ends_the_run_in_this_process() {
        let hub = hub();
        let guard = register(&hub, 1, user(1));
        guard.activate();
        let handle = guard.handle().clone();
        let task = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _guard = guard;
            panic!("after the run was stored");
        }));
        assert!(task.is_err());
        assert!(handle.has_ended(), "recovery has to see that nothing executes it");
        assert!(
            hub.is_idle() && hub.active_in(handle.thread_id).is_none(),
            "the journal and cancel must not wait for it"
        );
    }

    #[test]
    fn a_refused_run_leaves_nothing_behind() {
        let hub = hub();
        let guard = register(&hub, 1, user(1));
        let run_id = guard.handle().run_id;
        guard.discard();
        assert!(hub.find(run_id).is_none());
    }
}
