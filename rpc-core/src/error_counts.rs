//! How often models and tools fail. What a process has counted goes to the database every few seconds, so that
//! operators see the failures of all replicas.

use crate::store::{Clock, ErrorCount, Store, hour_of};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use threadline_schema::error::Chain;

/// Maximum number of kinds of failures that are counted between two writes. Names and codes come from the
/// configuration, so there are few.
const MAX_KINDS: usize = 500;

/// A part that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FailingPart {
    Model,
    Tool,
}

/// What a process has counted and not yet written.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounts {
    counts: Mutex<BTreeMap<(FailingPart, String, String), i64>>,
}

impl FailingPart {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Tool => "tool",
        }
    }
}

impl ErrorCounts {
    /// Counts a failure. `name` is a name of the configuration, never text from a model.
    pub(crate) fn record(&self, part: FailingPart, name: &str, code: &str) {
        self.add((part, name.to_owned(), code.to_owned()), 1);
    }

    /// Writes what was counted. If that fails, it is written the next time.
    pub(crate) async fn flush(&self, store: &Store, clock: &Clock) {
        let counts = std::mem::take(&mut *self.counts.lock());
        if counts.is_empty() {
            return;
        }
        let rows = counts.iter().map(|((part, name, code), count)| ErrorCount {
            kind: part.name().to_owned(),
            name: name.clone(),
            code: code.clone(),
            count: *count,
        });
        if let Err(error) = store.errors_add(hour_of(clock.now()), rows.collect()).await {
            tracing::debug!(error = %Chain(&error), "counts of failures could not be written yet");
            for (key, count) in counts {
                self.add(key, count);
            }
        }
    }

    fn add(&self, key: (FailingPart, String, String), count: i64) {
        let mut counts = self.counts.lock();
        if counts.len() < MAX_KINDS || counts.contains_key(&key) {
            *counts.entry(key).or_default() += count;
        }
    }
}
