//! Who waits for something to happen in a thread, and how they hear of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The threads that somebody here waits for. What has happened is for the woken to find out: a wake-up that is lost, or
/// one too many, does no harm.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    threads: Mutex<HashMap<Uuid, watch::Sender<()>>>,
    /// Cancelled when no more runs begin here.
    over: CancellationToken,
    /// Cancelled when those that had begun have ended too.
    closed: CancellationToken,
}

/// Hears of one thread.
#[derive(Debug)]
pub(crate) struct Wake {
    wakes: Arc<Wakes>,
    thread_id: Uuid,
    heard: watch::Receiver<()>,
}

impl Wakes {
    /// Wakes all who wait for this thread: a run has begun in it, or it is gone.
    pub(crate) fn wake(&self, thread_id: Uuid) {
        if let Some(waiting) = self.lock().get(&thread_id) {
            waiting.send_replace(());
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
        Wake { wakes: self.clone(), thread_id, heard }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
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

    /// Whether the waiting is over.
    pub(super) fn is_over(&self) -> bool {
        self.wakes.is_over()
    }

    /// Waits until nothing is read here any more. Safe to drop.
    pub(super) async fn closed(&self) {
        self.wakes.closed.cancelled().await;
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
