//! A budget of bytes in memory that many peers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that peers may have in memory together. Clones share it.
#[derive(Debug, Clone)]
pub struct ByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max: usize,
    used: AtomicUsize,
}

/// A part of a budget. It is given back when this is dropped.
#[derive(Debug)]
pub struct ByteHold {
    budget: ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    /// Creates a budget of `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { shared: Arc::new(Shared { max, used: AtomicUsize::new(0) }) }
    }

    /// Takes a part of the budget; `None` if less is left.
    pub fn take(&self, bytes: usize) -> Option<ByteHold> {
        let mut hold = ByteHold { budget: self.clone(), bytes: 0 };
        hold.grow(bytes).then_some(hold)
    }

    /// Returns how many bytes are taken.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }
}

impl ByteHold {
    /// Takes more of the same budget. Returns whether it was left; if not, nothing changes.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Shared { max, used } = &*self.budget.shared;
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| sum <= max);
        // The number alone is shared, and no memory that it guards.
        let is_taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).is_ok();
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }
}

impl Drop for ByteHold {
    fn drop(&mut self) {
        self.budget.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_comes_back() {
        let budget = ByteBudget::new(10);
        let mut first = budget.take(6).unwrap();
        assert!(budget.take(5).is_none() && !first.grow(usize::MAX));
        assert!(first.grow(4));
        assert_eq!(budget.used(), 10);
        assert!(budget.take(0).is_some());
        drop(first);
        assert_eq!(budget.used(), 0);
        assert!(budget.take(10).is_some());
    }
}
