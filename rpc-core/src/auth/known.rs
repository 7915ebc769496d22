//! A cache of what the database says about a subject: an account, a service key or a client token.

use crate::store::StoreError;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an answer of the database is used. Changes are noticed sooner; this bounds what a lost record could do.
const TTL: Duration = Duration::from_secs(60);
/// Maximum number of subjects of one kind that are kept; about 100 bytes each.
const MAX_KNOWN: usize = 10_000;

/// Answers of the database by the id of their subject.
pub(super) struct Known<K, V> {
    answers: quick_cache::sync::Cache<K, (V, Instant)>,
    /// Counts the changes that were noticed, so that no answer from before one is kept.
    changes: AtomicU64,
}

impl<K: Copy + Eq + Hash, V: Clone> Known<K, V> {
    pub(super) fn new() -> Self {
        Self { answers: quick_cache::sync::Cache::new(MAX_KNOWN), changes: AtomicU64::new(0) }
    }

    /// Returns what is known of a subject, or else what `read` returns. `None` is not kept: the subject may be created.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn get<F>(&self, id: K, read: impl FnOnce() -> F) -> Result<Option<V>, StoreError>
    where
        F: Future<Output = Result<Option<V>, StoreError>>,
    {
        if let Some((answer, seen)) = self.answers.get(&id)
            && seen.elapsed() < TTL
        {
            return Ok(Some(answer));
        }
        let before = self.changes.load(Ordering::Acquire);
        // Boxed, as is every step of admission that is rare: all calls would carry its size.
        let answer = Box::pin(read()).await?;
        if let Some(answer) = &answer
            && self.changes.load(Ordering::Acquire) == before
        {
            self.answers.insert(id, (answer.clone(), Instant::now()));
        }
        Ok(answer)
    }

    /// Forgets a subject: it has changed.
    pub(super) fn forget(&self, id: K) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.answers.remove(&id);
    }

    /// Forgets all subjects.
    pub(super) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.answers.clear();
    }
}
