//! One run in the memory of this process.

use super::Hub;
use crate::log::RunLog;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use threadline_runtime::GaugeGuard;
use threadline_schema::event::Event;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use tokio::sync::watch;

/// Why a run is stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The user cancelled it.
    Cancelled,
    /// The process shuts down.
    Interrupted,
    /// Another process has taken the run over, or its thread is gone.
    Superseded,
}

/// One run in the memory of this process: its log, and the signal that stops it.
#[derive(Debug)]
pub struct RunHandle {
    pub(crate) run_id: RunId,
    pub(crate) user_id: UserId,
    pub(crate) thread_id: ThreadId,
    pub(crate) log: Arc<RunLog>,
    stop: watch::Sender<Option<StopReason>>,
    /// Whether the one subscribe that starting a run includes is still unused.
    free_subscribe: AtomicBool,
    /// Whether no task of this process executes the run any more.
    ended: AtomicBool,
    /// Whether a mirror task fills the log from the database.
    mirrored: AtomicBool,
}

impl RunHandle {
    fn new(run_id: RunId, user_id: UserId, thread_id: ThreadId, log: Arc<RunLog>) -> Self {
        Self {
            run_id,
            user_id,
            thread_id,
            log,
            stop: watch::Sender::new(None),
            free_subscribe: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            mirrored: AtomicBool::new(false),
        }
    }

    /// Returns the id of the run.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Returns the user who owns the thread.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Appends an event to the log. Call it only while the run is active: nothing follows the terminal event.
    pub fn append(&self, event: Event) {
        self.log.append(event);
    }

    /// Asks the run to end. The first reason counts.
    pub(crate) fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|current| {
            let is_first = current.is_none();
            current.get_or_insert(reason);
            is_first
        });
    }

    /// Returns whether another process has taken the run over, as far as it is known here.
    pub(crate) fn is_superseded(&self) -> bool {
        *self.stop.borrow() == Some(StopReason::Superseded)
    }

    /// Waits until the run is asked to end.
    pub(crate) async fn stopped(&self) -> StopReason {
        let mut receiver = self.stop.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(StopReason::Interrupted),
            // Cannot happen: the sender lives in `self`.
            Err(_) => StopReason::Interrupted,
        }
    }

    /// Returns whether no task of this process executes the run any more. Its log can still be open: then recovery
    /// writes its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Uses up the free subscribe. Returns whether it was still unused.
    pub(super) fn take_free_subscribe(&self) -> bool {
        self.free_subscribe.swap(false, Ordering::Relaxed)
    }

    /// Grants one more free subscribe: the request that started the run was repeated, and counted again.
    pub(super) fn grant_free_subscribe(&self) {
        self.free_subscribe.store(true, Ordering::Relaxed);
    }

    /// Returns whether a mirror task fills the log.
    pub(crate) fn is_mirrored(&self) -> bool {
        self.mirrored.load(Ordering::Relaxed)
    }

    /// Marks the log as filled by a mirror task. Returns whether it was not before: then the caller starts that task.
    pub(crate) fn begin_mirroring(&self) -> bool {
        !self.mirrored.swap(true, Ordering::Relaxed)
    }
}

/// Owned first by the request that stores the run, then by the task that executes it.
///
/// Dropping it ends the run in this process, in all cases: a normal end, an error, a cancelled future or a panic.
/// A run that has ended here and is still active in the database is *lost*, and recovery closes it within seconds.
/// Without the guard, a panic between storing a run and executing it would keep the thread busy for ever.
#[derive(Debug)]
pub(crate) struct RunGuard {
    hub: Arc<Hub>,
    handle: Arc<RunHandle>,
    is_discarded: bool,
    _active: GaugeGuard,
}

impl RunGuard {
    pub(super) fn new(hub: Arc<Hub>, run_id: RunId, user_id: UserId, thread_id: ThreadId, log: Arc<RunLog>) -> Self {
        Self {
            hub,
            handle: Arc::new(RunHandle::new(run_id, user_id, thread_id, log)),
            is_discarded: false,
            _active: GaugeGuard::new(metrics::gauge!("threadline_runs_active")),
        }
    }

    pub(crate) fn handle(&self) -> &Arc<RunHandle> {
        &self.handle
    }

    /// Marks the run as the active one of its thread: it has been stored.
    pub(crate) fn activate(&self) {
        self.hub.activate(&self.handle);
    }

    /// Removes the run from the hub: it was refused, so it is not in the database.
    pub(crate) fn discard(mut self) {
        self.is_discarded = true;
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        if self.is_discarded {
            self.hub.remove(&self.handle);
        } else {
            self.handle.ended.store(true, Ordering::Release);
            self.hub.retire(&self.handle);
        }
    }
}
