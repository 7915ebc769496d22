//! Rate limits in Redis, shared by all replicas.

use crate::Redis;
use parking_lot::Mutex;
use redis::Script;
use std::time::{Duration, Instant};

/// How long a call waits for Redis. After that, this process counts it alone.
const TIMEOUT: Duration = Duration::from_millis(100);
/// How long no call asks Redis after it did not answer, so that an outage does not slow down every call.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// GCRA, the algorithm that governor uses. The key holds when the whole allowance is available again, and expires at
/// that time. The time is that of the Redis server, so that clocks of replicas do not matter. Returns how many calls
/// are left, or -1 and for how many microseconds to wait.
///
/// Needs Redis 5 or newer: older versions refuse writes in a script that has read the clock.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, allowance = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- At most the whole allowance away, also if the clock was set back.
whole_at = math.min(math.max(whole_at, now), now + allowance) + interval
local missing = whole_at - now
if missing > allowance then
  return {-1, missing - allowance}
end
redis.call('SET', KEYS[1], string.format('%.0f', whole_at), 'PX', math.ceil(missing / 1000))
return {math.floor((allowance - missing) / interval), 0}
";

/// The count of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// The call is allowed.
    Allowed {
        /// How many more calls are allowed right now.
        remaining: u32,
    },
    /// The call is denied. The next one is allowed after this time.
    Denied(Duration),
}

/// A rate limit in Redis.
pub(super) struct SharedLimits {
    redis: Redis,
    script: Script,
    /// Time after which one more call is allowed, in microseconds.
    interval: u64,
    /// Time after which a used-up allowance is whole again, in microseconds.
    allowance: u64,
    /// When to ask Redis again; `None` while it answers.
    retry_at: Mutex<Option<Instant>>,
}

impl SharedLimits {
    pub(super) fn new(redis: Redis, per_minute: u32) -> Self {
        Self::per(Duration::from_secs(60), redis, per_minute)
    }

    /// Allows this many calls per period.
    pub(super) fn per(period: Duration, redis: Redis, calls: u32) -> Self {
        let interval = (period.as_secs() * 1_000_000 / u64::from(calls)).max(1);
        let allowance = interval * u64::from(calls);
        Self { redis, script: Script::new(GCRA), interval, allowance, retry_at: Mutex::new(None) }
    }

    /// Counts a call. `None` if Redis does not answer in time.
    pub(super) async fn count(&self, scope: &'static str, key: &str) -> Option<Count> {
        if !self.should_ask() {
            return None;
        }
        let mut connection = self.redis.quick();
        let mut call = self.script.key(self.redis.name(format_args!("rate:{scope}:{key}")));
        call.arg(self.interval).arg(self.allowance);
        let counted = tokio::time::timeout(TIMEOUT, call.invoke_async::<(i64, u64)>(&mut connection)).await;
        let counted = match counted {
            Ok(counted) => counted.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", TIMEOUT.as_millis())),
        };
        self.record_outcome(counted.as_ref().err());
        let (remaining, wait) = counted.ok()?;
        Some(match u32::try_from(remaining) {
            Ok(remaining) => Count::Allowed { remaining },
            Err(_) => Count::Denied(Duration::from_micros(wait)),
        })
    }

    /// Whether to ask Redis. During an outage, one call per [`RETRY_INTERVAL`] does.
    fn should_ask(&self) -> bool {
        let mut retry_at = self.retry_at.lock();
        match &mut *retry_at {
            None => true,
            Some(at) if *at <= Instant::now() => {
                *at = Instant::now() + RETRY_INTERVAL;
                true
            }
            Some(_) => false,
        }
    }

    /// Records whether Redis answered, and logs when that changes.
    fn record_outcome(&self, error: Option<&String>) {
        let mut retry_at = self.retry_at.lock();
        match (error, retry_at.is_some()) {
            (None, false) => {}
            (None, true) => {
                tracing::info!("Redis answers again; replicas share rate limits");
                *retry_at = None;
            }
            (Some(error), was_unavailable) => {
                if !was_unavailable {
                    tracing::warn!(%error, "Redis does not answer; each process counts rate limits alone");
                }
                *retry_at = Some(Instant::now() + RETRY_INTERVAL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;
    use threadline_test_requirements::Requirement;

    fn limits(per_minute: u32) -> Option<SharedLimits> {
        let url = Requirement::Redis.find()?;
        let namespace = uuid::Uuid::new_v4().simple().to_string().into();
        Some(SharedLimits::new(Redis::open(&RedisConfig { url: url.into() }, namespace).unwrap(), per_minute))
    }

    /// Counts a call; retries while other tests slow down this machine.
    async fn count(limits: &SharedLimits, key: &str) -> Count {
        for _ in 0..50 {
            if let Some(count) = limits.count("user", key).await {
                return count;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Redis does not answer")
    }

    #[tokio::test]
    async fn the_allowance_returns_call_by_call_and_its_key_expires() {
        // One more call is allowed every 100 ms.
        let Some(limits) = limits(600) else { return };
        limits.redis.ping().await.unwrap();
        let mut passed = 0;
        let wait = loop {
            match count(&limits, "a").await {
                Count::Allowed { remaining } => {
                    passed += 1;
                    assert!(remaining < 600);
                }
                Count::Denied(wait) => break wait,
            }
        };
        assert!(passed >= 600, "{passed}");
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(count(&limits, "b").await, Count::Allowed { remaining: 599 }, "another user is not affected");
        tokio::time::sleep(wait).await;
        assert!(matches!(count(&limits, "a").await, Count::Allowed { .. }));

        let mut connection = limits.redis.quick();
        let name = limits.redis.name("rate:user:a");
        let ttl: i64 = redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        assert!((1..=60_000).contains(&ttl), "{ttl}");

        // As if the clock had been far ahead and was set back.
        redis::cmd("SET").arg(&name).arg("9000000000000000").exec_async(&mut connection).await.unwrap();
        let Count::Denied(wait) = count(&limits, "a").await else { panic!("the allowance is used up") };
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
    }

    #[tokio::test]
    async fn an_outage_slows_down_one_call_per_second() {
        // No service listens on port 9 (discard).
        let config = RedisConfig { url: "redis://127.0.0.1:9".into() };
        let limits = SharedLimits::new(Redis::open(&config, "test".into()).unwrap(), 60);
        let started = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(limits.count("user", "a").await, None);
        }
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}
