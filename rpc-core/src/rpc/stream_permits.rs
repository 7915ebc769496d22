//! How many streams a user has open: each costs memory and a place on a socket, whether anybody reads it or not.

use crate::error::Error;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use threadline_schema::ErrorCode;
use uuid::Uuid;

/// Seconds after which it is worth trying again: streams end when runs do, and when readers leave.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The open streams of this process, by user.
#[derive(Debug)]
pub(crate) struct OpenStreams {
    most: Option<u32>,
    /// Users without any are not in it.
    open: Mutex<HashMap<Uuid, NonZeroU32>>,
}

/// A stream's place among those of its user; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place(Option<(Arc<OpenStreams>, Uuid)>);

impl OpenStreams {
    /// At most so many of one user; `None` for any number.
    pub(crate) fn new(most: Option<u32>) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for one more stream of this user.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the user has as many as a user may have.
    pub(crate) fn take(self: &Arc<Self>, user_id: Uuid) -> Result<Place, Error> {
        let Some(most) = self.most else { return Ok(Self::uncounted()) };
        let mut open = self.lock();
        let count = open.get(&user_id).map_or(1, |count| count.saturating_add(1).get());
        let Some(count) = NonZeroU32::new(count).filter(|count| count.get() <= most) else {
            metrics::counter!("threadline_rate_limited_total", "scope" => "streams").increment(1);
            let message = format!("At most {most} streams may be open at a time. Close one, or wait until one ends.");
            let error = threadline_schema::RpcError::new(ErrorCode::RateLimited, message);
            return Err(error.with("retry_after", RETRY_AFTER_SECONDS).into());
        };
        open.insert(user_id, count);
        Ok(Place(Some((self.clone(), user_id))))
    }

    /// A place that nobody counts.
    pub(crate) const fn uncounted() -> Place {
        Place(None)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, NonZeroU32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((streams, user_id)) = self.0.take() else { return };
        let mut open = streams.lock();
        let left = open.get(&user_id).and_then(|count| NonZeroU32::new(count.get() - 1));
        match left {
            Some(left) => {
                open.insert(user_id, left);
            }
            None => {
                open.remove(&user_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_and_gets_a_place_back() {
        let streams = OpenStreams::new(Some(2));
        let user = Uuid::now_v7();
        let (one, _two) = (streams.take(user).unwrap(), streams.take(user).unwrap());
        let (error, _) = streams.take(user).unwrap_err().into_parts();
        assert_eq!((error.code, error.retry_after()), (ErrorCode::RateLimited, Some(RETRY_AFTER_SECONDS)));
        assert!(error.message.contains('2'), "{}", error.message);
        let other = streams.take(Uuid::now_v7()).unwrap();
        drop(one);
        let three = streams.take(user).unwrap();
        assert!(streams.take(user).is_err());
        drop((three, other));
        assert_eq!(streams.lock().len(), 1, "who has none is not remembered");
    }

    #[test]
    fn no_limit_counts_nothing() {
        let streams = OpenStreams::new(None);
        let places: Vec<_> = (0..1_000).map(|_| streams.take(Uuid::nil()).unwrap()).collect();
        assert!(streams.lock().is_empty());
        drop(places);
    }
}
