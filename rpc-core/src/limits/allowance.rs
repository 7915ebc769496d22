//! An allowance of calls per period for each key, counted in Redis if that answers, and else in this process.

use super::shared::{Count, SharedLimits};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::keyed::DashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// The decision of a limiter of this process about a call.
type Checked = Result<StateSnapshot, NotUntil<<DefaultClock as Clock>::Instant>>;

/// An allowance for each key.
pub(super) struct Allowance<K: Hash + Eq + Clone> {
    here: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    shared: Option<Arc<SharedLimits>>,
}

impl<K: Hash + Eq + Clone> Allowance<K> {
    pub(super) fn new(quota: Quota, shared: Option<Arc<SharedLimits>>) -> Self {
        Self { here: RateLimiter::dashmap(quota).with_middleware(), shared }
    }

    /// Counts a call. `name` is the key in Redis, `scope` the name of the limit there and in metrics.
    ///
    /// # Errors
    /// Whole seconds until the next call is allowed, at least 1.
    pub(super) async fn count(&self, key: &K, name: &str, scope: &'static str) -> Result<u32, u64> {
        count(self.shared.as_deref(), name, scope, || self.here.check_key(key)).await
    }

    /// Removes the keys whose whole allowance is available again.
    pub(super) fn sweep(&self) {
        self.here.retain_recent();
        self.here.shrink_to_fit();
    }

    /// Returns how many keys this process holds.
    pub(super) fn len(&self) -> usize {
        self.here.len()
    }
}

/// Counts a call by the shared count, or else by that of this process. Returns how many more calls are allowed right
/// now.
///
/// # Errors
/// Whole seconds until the next call is allowed, at least 1.
pub(super) async fn count(
    shared: Option<&SharedLimits>,
    name: &str,
    scope: &'static str,
    here: impl FnOnce() -> Checked,
) -> Result<u32, u64> {
    let shared = match shared {
        Some(shared) => shared.count(scope, name).await,
        None => None,
    };
    let count = shared.unwrap_or_else(|| match here() {
        Ok(state) => Count::Allowed { remaining: state.remaining_burst_capacity() },
        Err(not_until) => Count::Denied(not_until.wait_time_from(DefaultClock::default().now())),
    });
    match count {
        Count::Allowed { remaining } => Ok(remaining),
        Count::Denied(wait) => {
            metrics::counter!("threadline_rate_limited_total", "scope" => scope).increment(1);
            Err(ceil_seconds(wait).max(1))
        }
    }
}

pub(super) fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
