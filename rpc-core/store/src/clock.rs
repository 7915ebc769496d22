//! What time it is for leases: the database's, however this machine's clock is set.

use crate::{Store, StoreResult};
use std::sync::{Mutex, PoisonError};

use threadline_schema::db::types::UtcTime;
use tokio::time::Instant;
use uuid::Uuid;

/// The database's clock, read now and then and counted on by this machine's monotonic one. A clock that is moved, or
/// wrong from the start, neither ends the lease of a process that lives nor keeps up that of one that is dead.
#[derive(Debug)]
pub struct Clock {
    read: Mutex<(Instant, UtcTime)>,
}

impl Clock {
    /// # Errors
    /// When the database fails.
    pub async fn read(store: &Store) -> StoreResult<Self> {
        Ok(Self { read: Mutex::new(at_least(store).await?) })
    }

    /// Reads it again: monotonic clocks drift.
    pub async fn synchronize(&self, store: &Store) -> StoreResult<()> {
        let read = at_least(store).await?;
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// A clock that starts at a fixed time, for tests without a database.
    #[doc(hidden)]
    pub fn for_tests() -> Self {
        let time = UtcTime::from_micros(1_800_000_000_000_000).unwrap_or_else(UtcTime::now);
        Self { read: Mutex::new((Instant::now(), time)) }
    }

    /// Makes an id that starts with the time of this clock (UUIDv7).
    pub fn new_id<I: From<Uuid>>(&self) -> I {
        let now = self.now().utc();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let time = uuid::Timestamp::from_unix(
            uuid::timestamp::context::ContextV7::new(),
            seconds,
            now.timestamp_subsec_nanos(),
        );
        Uuid::new_v7(time).into()
    }

    /// What time it is.
    pub fn now(&self) -> UtcTime {
        let (at, time) = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
        UtcTime::from_micros(time.micros().saturating_add(passed)).unwrap_or(time)
    }
}

/// The time as it was somewhere between asking and being answered, counted from the answer: a clock that is a round
/// trip late makes nobody look dead.
async fn at_least(store: &Store) -> StoreResult<(Instant, UtcTime)> {
    let time = store.now().await?;
    Ok((Instant::now(), time))
}
