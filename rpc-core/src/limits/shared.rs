//! The same limits, kept in Redis for all replicas together.

use crate::Redis;
use redis::Script;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a call waits for Redis before it is counted by this process alone.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long Redis is left alone after it did not answer, so that an outage does not slow down every call.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// GCRA as governor does it. What is kept is when the allowance will be whole again, for no longer than until then. The
/// time is the server's, so clocks of replicas do not matter. Says how many calls are left, or that none is and for how
/// many microseconds.
///
/// Needs Redis 5 or newer: before, a script that had read the clock could not write.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, allowance = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = tonumber(redis.call('GET', KEYS[1]) or now)
-- Never more than the whole allowance away, even if the clock was set back.
whole_at = math.min(math.max(whole_at, now), now + allowance) + interval
local missing = whole_at - now
if missing > allowance then
  return {-1, missing - allowance}
end
redis.call('SET', KEYS[1], string.format('%.0f', whole_at), 'PX', math.ceil(missing / 1000))
return {math.floor((allowance - missing) / interval), 0}
";

/// What Redis says to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// It may pass.
    Passes {
        /// How many more may, at once.
        remaining: u32,
    },
    /// It has to wait.
    Waits(Duration),
}

/// Limits in Redis.
pub(super) struct SharedLimits {
    redis: Redis,
    script: Script,
    interval: u64,
    allowance: u64,
    /// When to ask again; `None` while all is well.
    ask_again: Mutex<Option<Instant>>,
}

impl SharedLimits {
    pub(super) fn new(redis: Redis, per_minute: u32) -> Self {
        let interval = (60_000_000 / u64::from(per_minute)).max(1);
        let allowance = interval * u64::from(per_minute);
        Self { redis, script: Script::new(GCRA), interval, allowance, ask_again: Mutex::new(None) }
    }

    /// Counts a call. `None` when Redis does not say in time.
    pub(super) async fn count(&self, scope: &'static str, key: &str) -> Option<Count> {
        if !self.may_ask() {
            return None;
        }
        let mut connection = self.redis.quick();
        let mut call = self.script.key(self.redis.name(format_args!("rate:{scope}:{key}")));
        call.arg(self.interval).arg(self.allowance);
        let counted = tokio::time::timeout(PATIENCE, call.invoke_async::<(i64, u64)>(&mut connection)).await;
        let counted = match counted {
            Ok(counted) => counted.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", PATIENCE.as_millis())),
        };
        self.note(counted.as_ref().err());
        let (remaining, wait) = counted.ok()?;
        Some(match u32::try_from(remaining) {
            Ok(remaining) => Count::Passes { remaining },
            Err(_) => Count::Waits(Duration::from_micros(wait)),
        })
    }

    /// Whether to ask. During an outage one call a second does.
    fn may_ask(&self) -> bool {
        let mut ask_again = self.ask_again.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *ask_again {
            None => true,
            Some(at) if *at <= Instant::now() => {
                *at = Instant::now() + LEFT_ALONE;
                true
            }
            Some(_) => false,
        }
    }

    fn note(&self, error: Option<&String>) {
        let mut ask_again = self.ask_again.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, ask_again.is_some()) {
            (None, false) => {}
            (None, true) => {
                tracing::info!("Redis answers again; rate limits are shared");
                *ask_again = None;
            }
            (Some(error), was_away) => {
                if !was_away {
                    tracing::warn!(%error, "Redis does not answer; each process limits by itself");
                }
                *ask_again = Some(Instant::now() + LEFT_ALONE);
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

    /// Counts a call, and again while other tests keep this machine from answering in time.
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
    async fn the_allowance_comes_back_call_by_call_and_leaves_nothing_behind() {
        // One comes back every 100 ms.
        let Some(limits) = limits(600) else { return };
        limits.redis.ping().await.unwrap();
        let mut passed = 0;
        let wait = loop {
            match count(&limits, "a").await {
                Count::Passes { remaining } => {
                    passed += 1;
                    assert!(remaining < 600);
                }
                Count::Waits(wait) => break wait,
            }
        };
        assert!(passed >= 600, "{passed}");
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(count(&limits, "b").await, Count::Passes { remaining: 599 }, "somebody else is not affected");
        tokio::time::sleep(wait).await;
        assert!(matches!(count(&limits, "a").await, Count::Passes { .. }));

        let mut connection = limits.redis.quick();
        let name = limits.redis.name("rate:user:a");
        let ttl: i64 = redis::cmd("PTTL").arg(&name).query_async(&mut connection).await.unwrap();
        assert!((1..=60_000).contains(&ttl), "{ttl}");

        // A clock that was set back would have stood far ahead.
        redis::cmd("SET").arg(&name).arg("9000000000000000").exec_async(&mut connection).await.unwrap();
        let Count::Waits(wait) = count(&limits, "a").await else { panic!("the allowance is used up") };
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
    }

    #[tokio::test]
    async fn an_outage_costs_one_call_a_second_its_time() {
        // Nobody listens on port 9 of this machine.
        let config = RedisConfig { url: "redis://127.0.0.1:9".into() };
        let limits = SharedLimits::new(Redis::open(&config, "test".into()).unwrap(), 60);
        let started = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(limits.count("user", "a").await, None);
        }
        assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    }
}
