//! Who in this process follows a run of another, and what waits for them.

use super::message::Grown;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use threadline_schema::ids::RunId;
use tokio::sync::Notify;

/// What has come for one follower: merged, so that a slow one costs no more than a quick one.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    grown: Mutex<Option<Grown>>,
    wake: Notify,
}

impl Mailbox {
    fn put(&self, grown: Grown) {
        let mut waiting = self.grown.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get_or_insert_default().merge(grown);
        drop(waiting);
        self.wake.notify_one();
    }

    pub(super) fn take(&self) -> Option<Grown> {
        self.grown.lock().unwrap_or_else(PoisonError::into_inner).take()
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
    /// Runs of which the first follower came or the last went; `None` while nobody takes note of it.
    changes: Option<BTreeSet<RunId>>,
}

impl Followers {
    /// Adds a follower. Whether it is the run's first.
    pub(super) fn add(&self, run_id: RunId) -> (Arc<Mailbox>, bool) {
        let mailbox = Arc::new(Mailbox::default());
        let mut state = self.state();
        let mailboxes = state.runs.entry(run_id).or_default();
        mailboxes.push(mailbox.clone());
        let first = mailboxes.len() == 1;
        if first {
            self.note(&mut state, run_id);
        }
        (mailbox, first)
    }

    /// Takes a follower out.
    pub(super) fn remove(&self, run_id: RunId, mailbox: &Arc<Mailbox>) {
        let mut state = self.state();
        let Some(mailboxes) = state.runs.get_mut(&run_id) else { return };
        mailboxes.retain(|other| !Arc::ptr_eq(other, mailbox));
        if mailboxes.is_empty() {
            state.runs.remove(&run_id);
            self.note(&mut state, run_id);
        }
    }

    /// Hands out what was said of a run.
    pub(super) fn tell(&self, run_id: RunId, grown: Grown) {
        let mailboxes = self.state().runs.get(&run_id).cloned().unwrap_or_default();
        if let Some((last, others)) = mailboxes.split_last() {
            for mailbox in others {
                mailbox.put(grown.clone());
            }
            last.put(grown);
        }
    }

    /// Tells every follower to look for itself: for a time nothing was heard.
    pub(super) fn alert(&self) {
        let mailboxes: Vec<_> = self.state().runs.values().flatten().cloned().collect();
        for mailbox in mailboxes {
            mailbox.put(Grown::default());
        }
    }

    /// The runs that are followed.
    pub(super) fn runs(&self) -> Vec<RunId> {
        self.state().runs.keys().copied().collect()
    }

    /// The runs that are followed now; from now on changes are noted, until [`Followers::forget_changes`].
    pub(super) fn note_changes(&self) -> Vec<RunId> {
        let mut state = self.state();
        state.changes = Some(BTreeSet::new());
        state.runs.keys().copied().collect()
    }

    /// Ends [`Followers::note_changes`].
    pub(super) fn forget_changes(&self) {
        self.state().changes = None;
    }

    /// Waits for a change. Gives the runs that have followers now, and those that have none, as far as that is new.
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

    fn note(&self, state: &mut State, run_id: RunId) {
        if let Some(changes) = &mut state.changes {
            changes.insert(run_id);
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
