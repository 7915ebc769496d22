//! Who waits for something to happen in a thread, and how they hear of it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Items of a thread that are remembered as changed. A follower who has not looked while so many more changed is told only
/// of the latest.
const ITEMS: usize = 64;

/// The threads that somebody here waits for. What has happened is for the woken to find out: a wake-up that is lost, or
/// one too many, does no harm.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    threads: Mutex<HashMap<Uuid, watch::Sender<Said>>>,
    /// Cancelled when no more runs begin here.
    over: CancellationToken,
    /// Cancelled when those that had begun have ended too.
    closed: CancellationToken,
}

/// What was said of a thread.
#[derive(Debug, Default)]
struct Said {
    /// How often it was said that the thread is another, or an item of it.
    changes: u64,
    /// The items among the latest changes, each with the number of its change.
    items: VecDeque<(u64, Uuid)>,
}

/// Hears of one thread.
#[derive(Debug)]
pub(crate) struct Wake {
    wakes: Arc<Wakes>,
    thread_id: Uuid,
    heard: watch::Receiver<Said>,
    /// Number of the last change that was looked at.
    seen: u64,
}

impl Wakes {
    /// Wakes all who wait for this thread: a run has begun in it, or it is gone.
    pub(crate) fn wake(&self, thread_id: Uuid) {
        if let Some(waiting) = self.lock().get(&thread_id) {
            waiting.send_modify(|_| {});
        }
    }

    /// Wakes them because the thread is another, or an item of it.
    pub(crate) fn changed(&self, thread_id: Uuid, item_id: Option<Uuid>) {
        if let Some(waiting) = self.lock().get(&thread_id) {
            waiting.send_modify(|said| {
                said.changes += 1;
                said.items.retain(|(_, known)| Some(*known) != item_id);
                said.items.extend(item_id.map(|item_id| (said.changes, item_id)));
                if said.items.len() > ITEMS {
                    said.items.pop_front();
                }
            });
        }
    }

    /// Ends the waiting: this process is on its way down.
    pub(crate) fn end(&self) {
        self.over.cancel();
    }

    /// Ends the reading as well, also of runs that others answer.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Whether the waiting is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Is cancelled when nothing is read here any more.
    pub(super) fn closing(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Whether nobody waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Begins to listen for a thread. What happens from here on is heard.
    pub(crate) fn of(self: &Arc<Self>, thread_id: Uuid) -> Wake {
        let heard = self.lock().entry(thread_id).or_default().subscribe();
        let seen = heard.borrow().changes;
        Wake { wakes: self.clone(), thread_id, heard, seen }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<Said>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake {
    /// Forgets what was heard so far: whoever looks now sees it.
    pub(super) fn forget(&mut self) {
        self.heard.mark_unchanged();
    }

    /// Waits until something is heard that was not forgotten, or until the process is on its way down. Safe to drop.
    pub(super) async fn heard(&mut self) {
        tokio::select! {
            // The sender stays in the map while this lives, so this cannot fail.
            _ = self.heard.changed() => {}
            () = self.wakes.over.cancelled() => {}
        }
    }

    /// Waits until it is said that the thread is another, or an item of it, or until nothing is read here any more. Safe
    /// to drop.
    pub(super) async fn changed(&mut self) {
        let seen = self.seen;
        tokio::select! {
            // The sender stays in the map while this lives, so this cannot fail.
            _ = self.heard.wait_for(|said| said.changes > seen) => {}
            () = self.wakes.closed.cancelled() => {}
        }
    }

    /// Whether that was said since this was asked last, and of which items.
    pub(super) fn changes(&mut self) -> Option<Vec<Uuid>> {
        let said = self.heard.borrow();
        let seen = std::mem::replace(&mut self.seen, said.changes);
        let new = said.items.iter().filter(|(change, _)| *change > seen);
        (said.changes > seen).then(|| new.map(|(_, item_id)| *item_id).collect())
    }

    /// Whether the waiting is over.
    pub(super) fn is_over(&self) -> bool {
        self.wakes.is_over()
    }

    /// Whether nothing is read here any more.
    pub(super) fn is_closed(&self) -> bool {
        self.wakes.closed.is_cancelled()
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        let mut threads = self.wakes.lock();
        // `self` is still one of them.
        if threads.get(&self.thread_id).is_some_and(|waiting| waiting.receiver_count() <= 1) {
            threads.remove(&self.thread_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn what_happens_between_two_looks_is_heard() {
        let wakes = Arc::new(Wakes::default());
        let thread = Uuid::now_v7();
        let (mut one, mut two) = (wakes.of(thread), wakes.of(thread));
        let mut elsewhere = wakes.of(Uuid::now_v7());
        assert!(one.heard().now_or_never().is_none());
        wakes.wake(thread);
        wakes.wake(thread);
        one.heard().now_or_never().unwrap();
        two.forget();
        assert!(two.heard().now_or_never().is_none(), "it has been looked at");
        assert!(one.heard().now_or_never().is_none(), "two wake-ups are one");
        assert!(elsewhere.heard().now_or_never().is_none());
        wakes.end();
        assert!(elsewhere.heard().now_or_never().is_some() && elsewhere.is_over());
    }

    #[test]
    fn each_change_is_heard_of_once_and_the_items_are_named() {
        let wakes = Arc::new(Wakes::default());
        let thread = Uuid::now_v7();
        let mut early = wakes.of(thread);
        let items: Vec<Uuid> = (0..=ITEMS).map(|_| Uuid::now_v7()).collect();
        wakes.wake(thread);
        assert!(early.changed().now_or_never().is_none() && early.changes().is_none(), "a run is no change");
        wakes.changed(thread, None);
        assert!(early.changed().now_or_never().is_some());
        assert_eq!(early.changes(), Some(Vec::new()));
        assert!(early.changed().now_or_never().is_none() && early.changes().is_none());
        wakes.changed(thread, Some(items[0]));
        let mut late = wakes.of(thread);
        wakes.changed(thread, Some(items[1]));
        wakes.changed(thread, Some(items[0]));
        assert_eq!(late.changes(), Some(vec![items[1], items[0]]));
        for item in &items {
            wakes.changed(thread, Some(*item));
        }
        assert_eq!(early.changes(), Some(items[1..].to_vec()), "no more than are remembered");
    }

    #[test]
    fn threads_nobody_waits_for_are_forgotten() {
        let wakes = Arc::new(Wakes::default());
        let thread = Uuid::now_v7();
        let (one, two) = (wakes.of(thread), wakes.of(thread));
        drop(one);
        assert_eq!(wakes.lock().len(), 1);
        drop(two);
        assert_eq!(wakes.lock().len(), 0);
        wakes.wake(thread);
    }
}
