//! The open streams of this process: how many each user has, and whether their tokens are still accepted. A stream
//! costs memory and room on a socket, whether its client reads or not.

use crate::auth::standings::{AccessWatch, Standings};
use crate::auth::token::Identity;
use crate::error::Error;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use threadline_schema::ids::UserId;
use threadline_schema::{ErrorCode, RpcError};

/// Seconds after which a client should try again: streams end when runs end and when readers leave.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The open streams of this process.
pub(crate) struct OpenStreams {
    max_per_user: Option<u32>,
    standings: Arc<Standings>,
    counts: Arc<Counts>,
}

/// How many streams each user has open, of those who have at least one.
#[derive(Debug, Default)]
struct Counts(Mutex<HashMap<UserId, NonZeroU32>>);

/// Permission for one open stream of a user. Dropping it gives it back.
pub(crate) struct StreamPermit {
    _count: Option<Counted>,
    /// `None` for a stream without a user.
    watch: Option<AccessWatch>,
}

/// One stream among those of its user.
#[derive(Debug)]
struct Counted(Arc<Counts>, UserId);

impl StreamPermit {
    /// Waits until the token of the stream is not accepted any more. Cancel safe.
    pub(crate) async fn withdrawn(&self) {
        match &self.watch {
            Some(watch) => watch.withdrawn().await,
            None => std::future::pending().await,
        }
    }

    /// Returns a permit without a user, which is not counted.
    #[cfg(feature = "bench")]
    pub(crate) const fn without_user() -> Self {
        Self { _count: None, watch: None }
    }
}

impl OpenStreams {
    /// Allows each user this many; any number for `None`.
    pub(crate) fn new(max_per_user: Option<u32>, standings: Arc<Standings>) -> Self {
        Self { max_per_user, standings, counts: Arc::default() }
    }

    /// Returns a permit for one more stream of this user.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the user has the maximum open, `UNAUTHORIZED` if the token is not accepted any more,
    /// `SERVICE_UNAVAILABLE` if the database cannot be reached.
    pub(crate) async fn acquire(&self, identity: Identity) -> Result<StreamPermit, Error> {
        let count = self.max_per_user.map(|max| self.counts.add(identity.user_id, max)).transpose()?;
        Ok(StreamPermit { _count: count, watch: Some(self.standings.watch(identity).await?) })
    }
}

impl Counts {
    fn add(self: &Arc<Self>, user_id: UserId, max: u32) -> Result<Counted, Error> {
        let mut open = self.0.lock();
        let count = open.get(&user_id).map_or(1, |count| count.saturating_add(1).get());
        let Some(count) = NonZeroU32::new(count).filter(|count| count.get() <= max) else {
            metrics::counter!("threadline_rate_limited_total", "scope" => "streams").increment(1);
            let message = format!("At most {max} streams may be open at a time. Close one, or wait until one ends.");
            return Err(RpcError::new(ErrorCode::RateLimited, message).with("retry_after", RETRY_AFTER_SECONDS).into());
        };
        open.insert(user_id, count);
        Ok(Counted(self.clone(), user_id))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.0.0.lock();
        match open.get(&self.1).and_then(|count| NonZeroU32::new(count.get() - 1)) {
            Some(left) => {
                open.insert(self.1, left);
            }
            None => {
                open.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_maximum_and_a_dropped_permit_is_free_again() {
        let counts = Arc::<Counts>::default();
        let user = UserId::random();
        let (one, _two) = (counts.add(user, 2).unwrap(), counts.add(user, 2).unwrap());
        let (error, _) = counts.add(user, 2).unwrap_err().into_parts();
        assert_eq!((error.code, error.retry_after()), (ErrorCode::RateLimited, Some(RETRY_AFTER_SECONDS)));
        assert!(error.message.contains('2'), "{}", error.message);
        let other = counts.add(UserId::random(), 2).unwrap();
        drop(one);
        let three = counts.add(user, 2).unwrap();
        assert!(counts.add(user, 2).is_err());
        drop((three, other));
        assert_eq!(counts.0.lock().len(), 1, "a user without streams has no entry");
    }
}
