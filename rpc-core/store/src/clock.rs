//! The clock that decides: the time of the database, whatever the clock of this machine shows.

use crate::{Store, StoreResult};
use chrono::{DateTime, TimeDelta};
use parking_lot::Mutex;
use threadline_schema::db::types::UtcTime;
use threadline_schema::ids::Id;
use tokio::time::Instant;
use uuid::Uuid;
use uuid::timestamp::context::ContextV7;

/// The time of the database, carried forward by the monotonic clock of this machine. If the clock of a machine is wrong
/// or is changed, leases stay correct: a live process keeps its lease, and the lease of a dead process expires.
#[derive(Debug)]
pub struct Clock {
    /// The last reading: when it was taken, and the time of the database.
    read: Mutex<(Instant, UtcTime)>,
    /// Orders the ids of one millisecond.
    counter: std::sync::Mutex<ContextV7>,
    /// Random bits of ids; `None` takes them from the operating system.
    seeded: Option<Mutex<u64>>,
}

impl Clock {
    /// Creates a clock with the current time of the database.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn read(store: &Store) -> StoreResult<Self> {
        Ok(Self::starting_at(at_least(store).await?, None))
    }

    /// Reads the time of the database again, because monotonic clocks drift.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn synchronize(&self, store: &Store) -> StoreResult<()> {
        let read = at_least(store).await?;
        *self.read.lock() = read;
        Ok(())
    }

    /// Creates a clock that starts at a fixed time, for tests without a database.
    #[doc(hidden)]
    pub fn for_tests() -> Self {
        let time = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000);
        Self::starting_at((Instant::now(), time.into()), None)
    }

    /// Creates a clock that takes the random bits of ids from a seed, for simulations.
    ///
    /// # Errors
    /// If the database fails.
    #[doc(hidden)]
    pub async fn read_seeded(store: &Store, seed: u64) -> StoreResult<Self> {
        Ok(Self::starting_at(at_least(store).await?, Some(seed)))
    }

    fn starting_at(read: (Instant, UtcTime), seed: Option<u64>) -> Self {
        Self { read: Mutex::new(read), counter: std::sync::Mutex::new(ContextV7::new()), seeded: seed.map(Mutex::new) }
    }

    /// Makes an id that starts with the time of this clock (UUIDv7). Each id is greater than all earlier ids of this
    /// clock: pages of tasks and feedback are sorted by id.
    pub fn new_id<I: Id>(&self) -> I {
        let now = self.now().utc();
        if let Some(seeded) = &self.seeded {
            let millis = u64::try_from(now.timestamp_millis()).unwrap_or_default();
            let bits = split_mix(&mut seeded.lock());
            let mut random = [0; 10];
            random.iter_mut().zip(bits.to_be_bytes()).for_each(|(byte, bits)| *byte = bits);
            return I::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid());
        }
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        let time = uuid::Timestamp::from_unix(&self.counter, seconds, now.timestamp_subsec_nanos());
        I::from_uuid(Uuid::new_v7(time))
    }

    /// Returns the current time.
    pub fn now(&self) -> UtcTime {
        let (at, time) = *self.read.lock();
        let passed = i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX);
        UtcTime::from_micros(time.micros().saturating_add(passed)).unwrap_or(time)
    }
}

/// Reads the time of the database. The database took its time before the reply arrived, so this clock may be late by
/// one round trip. A late clock never makes a live process look dead.
async fn at_least(store: &Store) -> StoreResult<(Instant, UtcTime)> {
    let time = store.now().await?;
    Ok((Instant::now(), time))
}

/// Returns the next number of SplitMix64, a generator that turns any seed into well-mixed bits.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ids::ItemId;

    #[tokio::test(start_paused = true)]
    async fn ids_are_in_the_order_in_which_they_were_made() {
        let clock = Clock::for_tests();
        let ids: Vec<ItemId> = (0..10_000).map(|_| clock.new_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "the clock stands still: the counter alone orders them");
    }
}
