//! Rate limits: GCRA per user, and per address for calls without a user.
//!
//! An address has an allowance for each purpose: who guesses passwords, or calls without a token, keeps nobody behind the
//! same address from logging in. Previews and probes have larger ones of their own: a page can show many images at once,
//! and monitoring asks often.
//!
//! A file is uploaded and downloaded in pieces, one call each, but counts as one request. So the first piece counts
//! like any call, and the others count against a limit of their own: the most pieces that the allowed requests can
//! have.
//!
//! With Redis, all replicas share one count. Without it, and while it does not answer, each process counts for itself.

mod keys;
mod registrations;
mod shared;

pub(crate) use self::keys::KeyLimits;
pub(crate) use self::registrations::RegistrationLimit;
use self::shared::{Count, SharedLimits};
use crate::Redis;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use std::fmt::Display;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use threadline_schema::call::RateLimitState;
use threadline_schema::head::network_of;
use threadline_schema::ids::UserId;
use threadline_schema::{ErrorCode, RpcError};

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The rate limits.
pub(crate) struct RateLimits {
    inner: Option<Inner>,
}

struct Inner {
    per_minute: NonZeroU32,
    clock: DefaultClock,
    users: Keyed<UserId>,
    addresses: Keyed<(AddressPurpose, IpAddr)>,
    shared: Option<SharedLimits>,
    /// Pieces of files after the first.
    pieces: Keyed<UserId>,
    shared_pieces: Option<SharedLimits>,
    /// Previews that are read with a capability alone.
    previews: Keyed<UserId>,
    shared_previews: Option<SharedLimits>,
    probes: Keyed<IpAddr>,
    shared_probes: Option<SharedLimits>,
}

/// How many previews, and how many probes over JSON-RPC, are allowed for each allowed request.
const LIGHT_CALLS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// What an address does without a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AddressPurpose {
    /// Logs in.
    Login,
    /// Registers.
    Registration,
    /// Anything else.
    Other,
}

impl AddressPurpose {
    fn scope(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Registration => "register",
            Self::Other => "address",
        }
    }
}

/// Whether a call is allowed, and the state of the limit it counts against, if any.
pub(crate) type Verdict = Result<Option<RateLimitState>, (RpcError, RateLimitState)>;

impl RateLimits {
    /// Allows this many calls per minute (`None`: any number), and for each of them this many pieces of a file.
    pub(crate) fn new(per_minute: Option<NonZeroU32>, pieces: u64, redis: Option<&Redis>) -> Self {
        let inner = per_minute.map(|per_minute| {
            let pieces = u32::try_from(pieces).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
            let pieces = per_minute.saturating_mul(pieces);
            let shared = |per_minute: NonZeroU32| redis.map(|redis| SharedLimits::new(redis.clone(), per_minute.get()));
            Inner {
                per_minute,
                clock: DefaultClock::default(),
                users: keyed(per_minute),
                addresses: keyed(per_minute),
                shared: shared(per_minute),
                pieces: keyed(pieces),
                shared_pieces: shared(pieces),
                previews: keyed(per_minute.saturating_mul(LIGHT_CALLS)),
                shared_previews: shared(per_minute.saturating_mul(LIGHT_CALLS)),
                probes: keyed(per_minute.saturating_mul(LIGHT_CALLS)),
                shared_probes: shared(per_minute.saturating_mul(LIGHT_CALLS)),
            }
        });
        Self { inner }
    }

    /// Counts a call of a user.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_user(&self, user_id: UserId) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        inner.check(&inner.users, inner.shared.as_ref(), &user_id, "user").await.map(Some)
    }

    /// Counts a call with a piece of a file after the first.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_piece(&self, user_id: UserId) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        // Clients are told about requests only.
        inner.check(&inner.pieces, inner.shared_pieces.as_ref(), &user_id, "piece").await.map(|_| None)
    }

    /// Counts a call that reads a preview with a capability alone, against the owner of the image.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_preview(&self, user_id: UserId) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        // The state of this limit says nothing to the owner.
        inner.check(&inner.previews, inner.shared_previews.as_ref(), &user_id, "preview").await.map(|_| None)
    }

    /// Counts a call of a probe.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_probe(&self, address: IpAddr) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        let network = network_of(address);
        inner.check(&inner.probes, inner.shared_probes.as_ref(), &network, "probe").await.map(|_| None)
    }

    /// Counts a call from an address.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_address(&self, address: IpAddr, purpose: AddressPurpose) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        let (network, scope) = (network_of(address), purpose.scope());
        let local = || inner.count(&inner.addresses, &(purpose, network));
        inner.decide(inner.shared.as_ref(), &network.to_string(), scope, local).await.map(Some)
    }

    /// Removes the keys whose whole allowance is available again. Otherwise the maps would only grow.
    pub(crate) fn sweep(&self) {
        if let Some(inner) = &self.inner {
            inner.users.retain_recent();
            inner.users.shrink_to_fit();
            inner.addresses.retain_recent();
            inner.addresses.shrink_to_fit();
            inner.pieces.retain_recent();
            inner.pieces.shrink_to_fit();
            inner.previews.retain_recent();
            inner.previews.shrink_to_fit();
            inner.probes.retain_recent();
            inner.probes.shrink_to_fit();
        }
    }

    /// Returns how many keys this process holds.
    pub(crate) fn len(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| {
            let users = inner.users.len() + inner.pieces.len() + inner.previews.len();
            users + inner.addresses.len() + inner.probes.len()
        })
    }
}

impl Inner {
    async fn check<K: Hash + Eq + Clone + Display>(
        &self,
        limiter: &Keyed<K>,
        shared: Option<&SharedLimits>,
        key: &K,
        scope: &'static str,
    ) -> Result<RateLimitState, (RpcError, RateLimitState)> {
        self.decide(shared, &key.to_string(), scope, || self.count(limiter, key)).await
    }

    /// Decides about a call, by the shared count of `key`, or else by that of this process.
    async fn decide(
        &self,
        shared: Option<&SharedLimits>,
        key: &str,
        scope: &'static str,
        local: impl FnOnce() -> Count,
    ) -> Result<RateLimitState, (RpcError, RateLimitState)> {
        let limit = self.per_minute.get();
        let shared = match shared {
            Some(shared) => shared.count(scope, key).await,
            None => None,
        };
        match shared.unwrap_or_else(local) {
            Count::Allowed { remaining } => {
                let reset = Duration::from_secs(60) / limit * limit.saturating_sub(remaining);
                Ok(RateLimitState { limit, remaining, reset: ceil_seconds(reset) })
            }
            Count::Denied(wait) => {
                metrics::counter!("threadline_rate_limited_total", "scope" => scope).increment(1);
                let wait = ceil_seconds(wait).max(1);
                let error = RpcError::new(
                    ErrorCode::RateLimited,
                    format!("Too many requests: {limit} per minute are allowed. Please wait {wait} s."),
                );
                Err((error.with("retry_after", wait), RateLimitState { limit, remaining: 0, reset: 60 }))
            }
        }
    }

    /// Counts in this process alone.
    fn count<K: Hash + Eq + Clone>(&self, limiter: &Keyed<K>, key: &K) -> Count {
        match limiter.check_key(key) {
            Ok(state) => Count::Allowed { remaining: state.remaining_burst_capacity() },
            Err(not_until) => Count::Denied(not_until.wait_time_from(self.clock.now())),
        }
    }
}

fn keyed<K: Hash + Eq + Clone>(per_minute: NonZeroU32) -> Keyed<K> {
    RateLimiter::dashmap(Quota::per_minute(per_minute)).with_middleware()
}

fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_use_up_the_allowance() {
        let limits = RateLimits::new(NonZeroU32::new(3), 1, None);
        let user = UserId::random();
        for left in [2, 1, 0] {
            let rate = limits.check_user(user).await.unwrap().unwrap();
            assert_eq!((rate.limit, rate.remaining), (3, left));
        }
        let (error, rate) = limits.check_user(user).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::RateLimited);
        assert!((1..=20).contains(&error.retry_after().unwrap()), "{error:?}");
        assert_eq!(rate.remaining, 0);
        assert!(limits.check_user(UserId::random()).await.is_ok(), "another user is not affected");
    }

    #[tokio::test]
    async fn an_ipv6_network_counts_as_one() {
        let limits = RateLimits::new(NonZeroU32::new(1), 1, None);
        assert!(limits.check_address("2001:db8::1".parse().unwrap(), AddressPurpose::Other).await.is_ok());
        assert!(limits.check_address("2001:db8::ffff:1".parse().unwrap(), AddressPurpose::Other).await.is_err());
        assert!(limits.check_address("2001:db8:0:1::1".parse().unwrap(), AddressPurpose::Other).await.is_ok());
        assert!(limits.check_address("192.0.2.1".parse().unwrap(), AddressPurpose::Other).await.is_ok());
        assert!(
            limits.check_address("::ffff:192.0.2.1".parse().unwrap(), AddressPurpose::Other).await.is_err(),
            "the same client in another notation"
        );
    }

    #[tokio::test]
    async fn an_address_has_an_allowance_for_each_purpose() {
        let limits = RateLimits::new(NonZeroU32::new(1), 1, None);
        let address = "192.0.2.1".parse().unwrap();
        for purpose in [AddressPurpose::Other, AddressPurpose::Login, AddressPurpose::Registration] {
            assert!(limits.check_address(address, purpose).await.is_ok(), "{purpose:?}");
            assert!(limits.check_address(address, purpose).await.is_err(), "{purpose:?}");
        }
        for _ in 0..20 {
            assert!(limits.check_probe(address).await.is_ok());
        }
        assert!(limits.check_probe(address).await.is_err());
    }

    #[tokio::test]
    async fn pieces_have_a_limit_of_their_own() {
        let limits = RateLimits::new(NonZeroU32::new(2), 3, None);
        let user = UserId::random();
        for _ in 0..6 {
            assert_eq!(limits.check_piece(user).await, Ok(None));
        }
        assert_eq!(limits.check_piece(user).await.unwrap_err().0.code, ErrorCode::RateLimited);
        assert!(limits.check_user(user).await.is_ok(), "requests are counted separately");
    }

    #[tokio::test]
    async fn without_a_limit_every_call_is_allowed() {
        let limits = RateLimits::new(None, 1, None);
        for _ in 0..1_000 {
            assert_eq!(limits.check_user(UserId::nil()).await, Ok(None));
        }
        assert_eq!(limits.len(), 0);
    }
}
