//! The runs of this process: those that answer, and for a while those that have.

use super::log::RunLog;
use super::wakes::Wakes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Logs of ended runs are kept in memory for so long, or for as long as the durable log is good: a subscriber who comes a
/// little late costs no query.
const KEEP_FOR: Duration = Duration::from_secs(10 * 60);
/// ... and as long as they are no more than this together.
const KEEP_BYTES: usize = 32 * 1024 * 1024;

/// Why a run is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The user wants no more of it.
    Cancelled,
    /// The process is on its way down.
    Interrupted,
    /// Another process took this one for dead, and closed the run or is about to.
    Superseded,
}

/// A run in memory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) run_id: Uuid,
    pub(crate) user_id: Uuid,
    thread_id: Uuid,
    pub(crate) log: Arc<RunLog>,
    stop: watch::Sender<Option<StopReason>>,
    /// Whether the one look that starting a run includes has not been taken yet.
    first_look: AtomicBool,
    /// Whether nobody answers any more.
    ended: AtomicBool,
}

impl Entry {
    /// Asks the run to end. The first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }

    /// Whether nobody answers here any more. Its log may still be open: then the run's end is somebody else's to write.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks the run to end.
    pub(super) async fn stopped(&self) -> StopReason {
        let mut receiver = self.stop.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(StopReason::Interrupted),
            // The sender lives in `self`.
            Err(_) => StopReason::Interrupted,
        }
    }
}

/// The runs of this process.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// The tasks of the runs that answer.
    pub(super) tasks: TaskTracker,
    /// Wakes the journal when a run begins to answer.
    pub(super) begins: Arc<Notify>,
    /// Those who follow threads.
    pub(super) wakes: Arc<Wakes>,
    stopping: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    keep_for: Duration,
    runs: HashMap<Uuid, Arc<Entry>>,
    /// Those that answer, by their threads.
    answering: HashMap<Uuid, Arc<Entry>>,
    /// Copies of runs that other processes answer.
    mirrors: HashMap<Uuid, Arc<RunLog>>,
    ended: VecDeque<Ended>,
    ended_bytes: usize,
}

#[derive(Debug)]
struct Ended {
    run_id: Uuid,
    at: Instant,
    bytes: usize,
}

impl Hub {
    /// `retention` is how long the durable log of an ended run is good.
    pub(crate) fn new(retention: Duration) -> Self {
        Self {
            state: Mutex::new(State { keep_for: retention.min(KEEP_FOR), ..State::default() }),
            tasks: TaskTracker::new(),
            begins: Arc::default(),
            wakes: Arc::default(),
            stopping: CancellationToken::new(),
        }
    }

    /// A run in memory, answering or not.
    pub(crate) fn find(&self, run_id: Uuid) -> Option<Arc<Entry>> {
        self.lock().runs.get(&run_id).cloned()
    }

    /// The run that answers in a thread.
    pub(crate) fn in_thread(&self, thread_id: Uuid) -> Option<Arc<Entry>> {
        self.lock().answering.get(&thread_id).cloned()
    }

    /// Adds a run that is about to be stored. It answers once [`answers`](Self::answers) says so.
    pub(super) fn begin(&self, run_id: Uuid, user_id: Uuid, thread_id: Uuid) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            run_id,
            user_id,
            thread_id,
            log: Arc::new(RunLog::new(run_id)),
            stop: watch::Sender::new(None),
            first_look: AtomicBool::new(true),
            ended: AtomicBool::new(false),
        });
        self.lock().runs.insert(run_id, entry.clone());
        metrics::gauge!("threadline_runs_active").increment(1);
        entry
    }

    /// Marks a run as the one that answers in its thread: it has been stored.
    pub(super) fn answers(&self, entry: &Arc<Entry>) {
        self.lock().answering.insert(entry.thread_id, entry.clone());
        self.begins.notify_one();
        self.run_began(entry.thread_id);
    }

    /// The runs that answer.
    pub(super) fn answering(&self) -> Vec<Arc<Entry>> {
        self.lock().answering.values().cloned().collect()
    }

    /// Whether no run answers.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().answering.is_empty()
    }

    /// The copy of a run that another process answers, and whether it was made now: then somebody has to fill it.
    pub(super) fn mirror(&self, run_id: Uuid) -> (Arc<RunLog>, bool) {
        let mut state = self.lock();
        match state.mirrors.get(&run_id) {
            Some(log) => (log.clone(), false),
            None => {
                let log = Arc::new(RunLog::new(run_id));
                state.mirrors.insert(run_id, log.clone());
                (log, true)
            }
        }
    }

    /// Drops a copy if nobody reads it: `log` and the hub are then all that hold it.
    pub(super) fn drop_unread_mirror(&self, log: &Arc<RunLog>) -> bool {
        let mut state = self.lock();
        let unread = Arc::strong_count(log) <= 2;
        if unread {
            state.drop_mirror(log);
        }
        unread
    }

    /// Drops a copy; those who read it go on to its end.
    pub(super) fn drop_mirror(&self, log: &Arc<RunLog>) {
        self.lock().drop_mirror(log);
    }

    /// Tells those who follow a thread that a run has begun in it, here or in another process.
    pub(crate) fn run_began(&self, thread_id: Uuid) {
        self.wakes.wake(thread_id);
    }

    /// Tells those who follow a thread that it is gone.
    pub(crate) fn thread_deleted(&self, thread_id: Uuid) {
        self.wakes.wake(thread_id);
    }

    /// Tells those who follow a thread that it is another, or an item of it, here or in another process.
    pub(super) fn changed(&self, thread_id: Uuid, item_id: Option<Uuid>) {
        self.wakes.changed(thread_id, item_id);
    }

    /// Removes a run that came to nothing: it could not be stored.
    pub(super) fn discard(&self, entry: &Entry) {
        metrics::gauge!("threadline_runs_active").decrement(1);
        self.lock().runs.remove(&entry.run_id);
    }

    /// Marks a run as ended; its log stays for a while.
    pub(super) fn end(&self, entry: &Entry) {
        metrics::gauge!("threadline_runs_active").decrement(1);
        entry.ended.store(true, Ordering::Relaxed);
        let mut state = self.lock();
        if state.answering.get(&entry.thread_id).is_some_and(|answering| answering.run_id == entry.run_id) {
            state.answering.remove(&entry.thread_id);
        }
        let bytes = entry.log.bytes();
        state.ended_bytes += bytes;
        state.ended.push_back(Ended { run_id: entry.run_id, at: Instant::now(), bytes });
        state.forget_old();
    }

    /// Drops the logs that have been kept long enough.
    pub(crate) fn sweep(&self) {
        self.lock().forget_old();
    }

    /// Takes the one look that starting a run includes, if this user started it and has not taken it yet.
    pub(crate) fn take_first_look(&self, run_id: Uuid, user_id: Uuid) -> bool {
        self.find(run_id)
            .is_some_and(|entry| entry.user_id == user_id && entry.first_look.swap(false, Ordering::Relaxed))
    }

    /// Gives back the look of a run: the same submission has come again, and was counted again.
    pub(super) fn give_first_look(&self, run_id: Uuid) {
        if let Some(entry) = self.find(run_id) {
            entry.first_look.store(true, Ordering::Relaxed);
        }
    }

    /// Whether new runs are refused.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits until new runs are refused.
    pub(super) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Refuses new runs, gives those that answer until the deadline to end, and then interrupts them.
    pub(crate) async fn drain(&self, patience: Duration) {
        self.stopping.cancel();
        self.wakes.end();
        self.tasks.close();
        self.end_runs(patience).await;
        self.wakes.close();
    }

    async fn end_runs(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_ok() {
            return;
        }
        let left: Vec<_> = self.lock().runs.values().cloned().collect();
        for entry in left {
            entry.stop(StopReason::Interrupted);
        }
        // Each has one transaction left to write.
        const LAST_WRITES: Duration = Duration::from_secs(5);
        if tokio::time::timeout(LAST_WRITES, self.tasks.wait()).await.is_err() {
            tracing::warn!("some runs could not be closed; they will be closed as interrupted when their lease ends");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// There may be another copy by now, if this one was of a run that was answered here.
    fn drop_mirror(&mut self, log: &Arc<RunLog>) {
        if self.mirrors.get(&log.run_id()).is_some_and(|mirror| Arc::ptr_eq(mirror, log)) {
            self.mirrors.remove(&log.run_id());
        }
    }

    fn forget_old(&mut self) {
        while let Some(oldest) = self.ended.front() {
            if self.ended_bytes <= KEEP_BYTES && oldest.at.elapsed() < self.keep_for {
                break;
            }
            self.ended_bytes -= oldest.bytes;
            self.runs.remove(&oldest.run_id);
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_to_stop_counts() {
        let hub = Hub::new(KEEP_FOR);
        let entry = hub.begin(Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        entry.stop(StopReason::Cancelled);
        entry.stop(StopReason::Interrupted);
        assert_eq!(entry.stopped().await, StopReason::Cancelled);
    }

    #[test]
    fn one_look_is_free_and_only_for_the_starter() {
        let hub = Hub::new(KEEP_FOR);
        let (run, user) = (Uuid::now_v7(), Uuid::now_v7());
        hub.begin(run, user, Uuid::now_v7());
        assert!(!hub.take_first_look(run, Uuid::now_v7()));
        assert!(hub.take_first_look(run, user));
        assert!(!hub.take_first_look(run, user));
        assert!(!hub.take_first_look(Uuid::now_v7(), user));
    }

    #[test]
    fn ended_runs_are_kept_within_bounds() {
        let hub = Hub::new(KEEP_FOR);
        let user = Uuid::now_v7();
        let entries: Vec<_> = (0..3).map(|_| hub.begin(Uuid::now_v7(), user, Uuid::now_v7())).collect();
        for entry in &entries {
            entry.log.close(["x".repeat(KEEP_BYTES / 2).into()]);
            hub.end(entry);
        }
        let kept: Vec<_> = entries.iter().map(|entry| hub.find(entry.run_id).is_some()).collect();
        assert_eq!(kept, [false, true, true]);
    }
}
