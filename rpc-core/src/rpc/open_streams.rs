//! How many streams each user has open. A stream costs memory and room on a socket, whether its client reads or not.

use crate::error::Error;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use threadline_schema::ids::UserId;
use threadline_schema::{ErrorCode, RpcError};

/// Seconds after which a client should try again: streams end when runs end and when readers leave.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The open streams of this process, by user.
#[derive(Debug)]
pub(crate) struct OpenStreams {
    max_per_user: Option<u32>,
    /// Users with at least one.
    open: Mutex<HashMap<UserId, NonZeroU32>>,
}

/// Permission for one open stream of a user. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct StreamPermit(Option<(Arc<OpenStreams>, UserId)>);

impl OpenStreams {
    /// Allows each user this many; any number for `None`.
    pub(crate) fn new(max_per_user: Option<u32>) -> Arc<Self> {
        Arc::new(Self { max_per_user, open: Mutex::default() })
    }

    /// Returns a permit for one more stream of this user.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the user has the maximum open.
    pub(crate) fn acquire(self: &Arc<Self>, user_id: UserId) -> Result<StreamPermit, Error> {
        let Some(max) = self.max_per_user else { return Ok(Self::unlimited()) };
        let mut open = self.open.lock();
        let count = open.get(&user_id).map_or(1, |count| count.saturating_add(1).get());
        let Some(count) = NonZeroU32::new(count).filter(|count| count.get() <= max) else {
            metrics::counter!("threadline_rate_limited_total", "scope" => "streams").increment(1);
            let message = format!("At most {max} streams may be open at a time. Close one, or wait until one ends.");
            return Err(RpcError::new(ErrorCode::RateLimited, message).with("retry_after", RETRY_AFTER_SECONDS).into());
        };
        open.insert(user_id, count);
        Ok(StreamPermit(Some((self.clone(), user_id))))
    }

    /// Returns a permit that counts nowhere.
    pub(crate) const fn unlimited() -> StreamPermit {
        StreamPermit(None)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let Some((streams, user_id)) = self.0.take() else { return };
        let mut open = streams.open.lock();
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
    fn a_user_has_a_maximum_and_a_dropped_permit_is_free_again() {
        let streams = OpenStreams::new(Some(2));
        let user = UserId::random();
        let (one, _two) = (streams.acquire(user).unwrap(), streams.acquire(user).unwrap());
        let (error, _) = streams.acquire(user).unwrap_err().into_parts();
        assert_eq!((error.code, error.retry_after()), (ErrorCode::RateLimited, Some(RETRY_AFTER_SECONDS)));
        assert!(error.message.contains('2'), "{}", error.message);
        let other = streams.acquire(UserId::random()).unwrap();
        drop(one);
        let three = streams.acquire(user).unwrap();
        assert!(streams.acquire(user).is_err());
        drop((three, other));
        assert_eq!(streams.open.lock().len(), 1, "a user without streams has no entry");
    }

    #[test]
    fn no_limit_counts_nothing() {
        let streams = OpenStreams::new(None);
        let permits: Vec<_> = (0..1_000).map(|_| streams.acquire(UserId::nil()).unwrap()).collect();
        assert!(streams.open.lock().is_empty());
        drop(permits);
    }
}
