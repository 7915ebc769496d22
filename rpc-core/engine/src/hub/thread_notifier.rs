//! Wakes the feeds of threads.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use threadline_schema::ids::{ItemId, ThreadId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Maximum number of changed items that are kept per thread. A feed that reads too rarely gets only the latest of them.
const MAX_ITEMS: usize = 64;

/// Wakes the feeds of threads in this process. A wake-up carries no data: the feed reads the database, so a lost or
/// repeated wake-up does no harm.
#[derive(Debug, Default)]
pub(crate) struct ThreadNotifier {
    threads: Mutex<HashMap<ThreadId, watch::Sender<Changes>>>,
    /// Cancelled when no more runs start here.
    waiting_ended: CancellationToken,
    /// Cancelled when the runs that had started have ended too.
    reading_ended: CancellationToken,
}

/// What has changed in a thread outside of its runs.
#[derive(Debug, Default)]
struct Changes {
    /// Number of the latest change.
    count: u64,
    /// Items among the latest changes, each with the number of its change.
    items: VecDeque<(u64, ItemId)>,
}

/// Waits for wake-ups of one thread.
#[derive(Debug)]
pub(crate) struct ThreadWatcher {
    notifier: Arc<ThreadNotifier>,
    thread_id: ThreadId,
    changes: watch::Receiver<Changes>,
    /// Number of the last change that was taken.
    taken: u64,
}

impl ThreadNotifier {
    /// Wakes the feeds of a thread: a run has started in it, or it was deleted.
    pub(crate) fn notify(&self, thread_id: ThreadId) {
        if let Some(sender) = self.threads.lock().get(&thread_id) {
            sender.send_modify(|_| {});
        }
    }

    /// Wakes the feeds of a thread whose title or status has changed, or one of its items.
    pub(crate) fn notify_changed(&self, thread_id: ThreadId, item_id: Option<ItemId>) {
        if let Some(sender) = self.threads.lock().get(&thread_id) {
            sender.send_modify(|changes| {
                changes.count += 1;
                changes.items.retain(|(_, known)| Some(*known) != item_id);
                changes.items.extend(item_id.map(|item_id| (changes.count, item_id)));
                if changes.items.len() > MAX_ITEMS {
                    changes.items.pop_front();
                }
            });
        }
    }

    /// Ends all feeds that wait for the next run: this process shuts down.
    pub(crate) fn end_waiting(&self) {
        self.waiting_ended.cancel();
    }

    /// Ends all feeds, also those that read a run of another process.
    pub(crate) fn end_reading(&self) {
        self.reading_ended.cancel();
    }

    /// Returns whether feeds wait for no more runs.
    pub(crate) fn has_ended_waiting(&self) -> bool {
        self.waiting_ended.is_cancelled()
    }

    /// Returns a token that is cancelled when nothing is read here any more.
    pub(crate) fn reading_ended(&self) -> CancellationToken {
        self.reading_ended.clone()
    }

    /// Returns whether no thread has a feed.
    pub(crate) fn is_empty(&self) -> bool {
        self.threads.lock().is_empty()
    }

    /// Starts to listen for news of a thread.
    pub(crate) fn watch(self: &Arc<Self>, thread_id: ThreadId) -> ThreadWatcher {
        let changes = self.threads.lock().entry(thread_id).or_default().subscribe();
        let taken = changes.borrow().count;
        ThreadWatcher { notifier: self.clone(), thread_id, changes, taken }
    }
}

impl ThreadWatcher {
    /// Forgets the wake-ups so far: the caller is about to read the database.
    pub(crate) fn mark_read(&mut self) {
        self.changes.mark_unchanged();
    }

    /// Waits for a wake-up since [`mark_read`](Self::mark_read), or for the shutdown. Cancel safe.
    pub(crate) async fn notified(&mut self) {
        tokio::select! {
            biased;
            // Cannot fail: the sender stays in the map while `self` lives.
            _ = self.changes.changed() => {}
            () = self.notifier.waiting_ended.cancelled() => {}
        }
    }

    /// Waits for a change that was not taken, or until nothing is read here any more. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        let taken = self.taken;
        tokio::select! {
            biased;
            // Cannot fail: the sender stays in the map while `self` lives.
            _ = self.changes.wait_for(|changes| changes.count > taken) => {}
            () = self.notifier.reading_ended.cancelled() => {}
        }
    }

    /// Takes the changes since the last call: `None` without any, else the items among them. The caller has to keep
    /// what it takes until it has read it: it is not given again.
    pub(crate) fn take_changes(&mut self) -> Option<Vec<ItemId>> {
        let changes = self.changes.borrow();
        let taken = std::mem::replace(&mut self.taken, changes.count);
        let new = changes.items.iter().filter(|(change, _)| *change > taken);
        (changes.count > taken).then(|| new.map(|(_, item_id)| *item_id).collect())
    }

    /// Returns whether feeds wait for no more runs.
    pub(crate) fn has_ended_waiting(&self) -> bool {
        self.notifier.has_ended_waiting()
    }

    /// Returns whether nothing is read here any more.
    pub(crate) fn has_ended_reading(&self) -> bool {
        self.notifier.reading_ended.is_cancelled()
    }
}

impl Drop for ThreadWatcher {
    fn drop(&mut self) {
        let mut threads = self.notifier.threads.lock();
        // `self` still counts as one receiver.
        if threads.get(&self.thread_id).is_some_and(|sender| sender.receiver_count() <= 1) {
            threads.remove(&self.thread_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use uuid::Uuid;

    fn thread(number: u128) -> ThreadId {
        ThreadId::from_uuid(Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_wake_up_between_two_reads_is_heard() {
        let notifier = Arc::new(ThreadNotifier::default());
        let (mut one, mut two) = (notifier.watch(thread(1)), notifier.watch(thread(1)));
        let mut other = notifier.watch(thread(2));
        assert!(one.notified().now_or_never().is_none());
        notifier.notify(thread(1));
        notifier.notify(thread(1));
        one.notified().now_or_never().unwrap();
        two.mark_read();
        assert!(two.notified().now_or_never().is_none(), "it has been read");
        assert!(one.notified().now_or_never().is_none(), "two wake-ups are one");
        assert!(other.notified().now_or_never().is_none());
        notifier.end_waiting();
        assert!(other.notified().now_or_never().is_some() && other.has_ended_waiting());
    }

    #[test]
    fn each_change_is_taken_once_and_names_its_item() {
        let notifier = Arc::new(ThreadNotifier::default());
        let thread = thread(1);
        let mut early = notifier.watch(thread);
        let items: Vec<_> = (0..=MAX_ITEMS).map(|_| ItemId::random()).collect();
        notifier.notify(thread);
        assert!(early.changed().now_or_never().is_none() && early.take_changes().is_none(), "a run is not a change");
        notifier.notify_changed(thread, None);
        assert!(early.changed().now_or_never().is_some());
        assert_eq!(early.take_changes(), Some(Vec::new()));
        assert!(early.changed().now_or_never().is_none() && early.take_changes().is_none());
        notifier.notify_changed(thread, Some(items[0]));
        let mut late = notifier.watch(thread);
        notifier.notify_changed(thread, Some(items[1]));
        notifier.notify_changed(thread, Some(items[0]));
        assert_eq!(late.take_changes(), Some(vec![items[1], items[0]]));
        for item in &items {
            notifier.notify_changed(thread, Some(*item));
        }
        assert_eq!(early.take_changes(), Some(items[1..].to_vec()), "no more than are remembered");
    }

    #[test]
    fn a_thread_without_feeds_is_forgotten() {
        let notifier = Arc::new(ThreadNotifier::default());
        let (one, two) = (notifier.watch(thread(1)), notifier.watch(thread(1)));
        drop(one);
        assert!(!notifier.is_empty());
        drop(two);
        assert!(notifier.is_empty());
        notifier.notify(thread(1));
    }
}
