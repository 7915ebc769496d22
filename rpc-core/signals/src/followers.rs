//! The followers in this process of runs that other processes execute.

use super::message::Grown;
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use threadline_schema::ids::RunId;
use tokio::sync::Notify;

/// The waiting growth for one follower. It is merged, so a slow follower needs no more memory than a fast one.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    grown: Mutex<Option<Grown>>,
    wake: Notify,
}

impl Mailbox {
    fn put(&self, grown: Grown) {
        let mut waiting = self.grown.lock();
        waiting.get_or_insert_default().merge(grown);
        drop(waiting);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> Option<Grown> {
        self.grown.lock().take()
    }

    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }
}

#[derive(Debug, Default)]
pub(super) struct Followers {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<RunId, Vec<Arc<Mailbox>>>,
    /// Runs that got their first follower or lost their last; `None` while changes are not recorded.
    changes: Option<BTreeSet<RunId>>,
}

impl Followers {
    /// Adds a follower. Returns its mailbox, and whether it is the first follower of the run.
    pub(super) fn add(&self, run_id: RunId) -> (Arc<Mailbox>, bool) {
        let mailbox = Arc::new(Mailbox::default());
        let mut state = self.state();
        let mailboxes = state.runs.entry(run_id).or_default();
        mailboxes.push(mailbox.clone());
        let first = mailboxes.len() == 1;
        if first {
            self.record(&mut state, run_id);
        }
        (mailbox, first)
    }

    /// Removes a follower.
    pub(super) fn remove(&self, run_id: RunId, mailbox: &Arc<Mailbox>) {
        let mut state = self.state();
        let Some(mailboxes) = state.runs.get_mut(&run_id) else { return };
        mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        if mailboxes.is_empty() {
            state.runs.remove(&run_id);
            self.record(&mut state, run_id);
        }
    }

    /// Delivers the growth of a run to its followers.
    pub(super) fn deliver(&self, run_id: RunId, grown: Grown) {
        let mailboxes = self.state().runs.get(&run_id).cloned().unwrap_or_default();
        if let Some((last, others)) = mailboxes.split_last() {
            for mailbox in others {
                mailbox.put(grown.clone());
            }
            last.put(grown);
        }
    }

    /// Wakes all followers to read the log, because signals may have been lost.
    pub(super) fn wake_all(&self) {
        let mailboxes: Vec<_> = self.state().runs.values().flatten().cloned().collect();
        for mailbox in mailboxes {
            mailbox.put(Grown::default());
        }
    }

    /// Returns the followed runs.
    pub(super) fn runs(&self) -> Vec<RunId> {
        self.state().runs.keys().copied().collect()
    }

    /// Returns the followed runs, and records changes from now on until [`Followers::stop_recording`].
    pub(super) fn record_changes(&self) -> Vec<RunId> {
        let mut state = self.state();
        state.changes = Some(BTreeSet::new());
        state.runs.keys().copied().collect()
    }

    /// Ends [`Followers::record_changes`].
    pub(super) fn stop_recording(&self) {
        self.state().changes = None;
    }

    /// Waits for a change. Returns the changed runs: those with followers now, and those without.
    pub(super) async fn changes(&self) -> (Vec<RunId>, Vec<RunId>) {
        loop {
            {
                let mut state = self.state();
                let changes = state.changes.as_mut().map(std::mem::take).unwrap_or_default();
                if !changes.is_empty() {
                    return changes.into_iter().partition(|run_id| state.runs.contains_key(run_id));
                }
            }
            self.changed.notified().await;
        }
    }

    fn record(&self, state: &mut State, run_id: RunId) {
        if let Some(changes) = &mut state.changes {
            changes.insert(run_id);
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
