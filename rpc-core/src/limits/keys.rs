//! The limits of service keys: each key has its own number of calls per minute, of all users together.

use super::allowance::count;
use super::shared::SharedLimits;
use crate::Redis;
use crate::auth::grant::KeyInUse;
use governor::clock::DefaultClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use threadline_schema::call::RateLimitState;
use threadline_schema::ids::ServiceKeyId;
use threadline_schema::{ErrorCode, RpcError};

type Direct = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// Maximum number of keys whose counts are kept.
const MAX_KEYS: usize = 10_000;
/// Name of the limit in metrics and in Redis.
const SCOPE: &str = "key";

/// Counts the calls of service keys. With Redis, all replicas share the counts.
pub(crate) struct KeyLimits {
    redis: Option<Redis>,
    counters: quick_cache::sync::Cache<(ServiceKeyId, NonZeroU32), Arc<Counter>>,
}

struct Counter {
    here: Direct,
    shared: Option<SharedLimits>,
}

impl KeyLimits {
    pub(crate) fn new(redis: Option<Redis>) -> Self {
        Self { redis, counters: quick_cache::sync::Cache::new(MAX_KEYS) }
    }

    /// Counts a call with a key.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check(&self, key: &KeyInUse) -> Result<(), (RpcError, RateLimitState)> {
        let Some(limit) = key.requests_per_minute else { return Ok(()) };
        let counter = self.counter(key.id, limit);
        let counted = count(counter.shared.as_ref(), &key.id.to_string(), SCOPE, || counter.here.check()).await;
        let Err(wait) = counted else { return Ok(()) };
        let message = format!("Too many calls with this key: {limit} per minute are allowed. Please wait {wait} s.");
        let error = RpcError::new(ErrorCode::RateLimited, message).with("retry_after", wait);
        Err((error, RateLimitState { limit: limit.get(), remaining: 0, reset: 60 }))
    }

    fn counter(&self, id: ServiceKeyId, limit: NonZeroU32) -> Arc<Counter> {
        if let Some(counter) = self.counters.get(&(id, limit)) {
            return counter;
        }
        let counter = Arc::new(Counter {
            here: RateLimiter::direct(Quota::per_minute(limit)).with_middleware(),
            shared: self.redis.clone().map(|redis| SharedLimits::new(redis, limit.get())),
        });
        self.counters.insert((id, limit), counter.clone());
        counter
    }
}
