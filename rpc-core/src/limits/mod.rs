//! Rate limits: GCRA per user, and per address for calls without a user.
//!
//! An address has an allowance for each purpose: a client that guesses passwords, or calls without a token, does not
//! keep other clients of the same address from logging in. Previews and probes have larger ones of their own: a page
//! can show many images at once, and monitoring asks often.
//!
//! A file is uploaded and downloaded in pieces, one call each, but counts as one request. So the first piece counts
//! like any call, and the others count against a limit of their own: the most pieces that the allowed requests can
//! have.
//!
//! With Redis, all replicas share one count. Without it, and while it does not answer, each process counts for itself.

mod allowance;
mod keys;
mod registrations;
mod shared;

use self::allowance::{Allowance, ceil_seconds};
pub(crate) use self::keys::KeyLimits;
pub(crate) use self::registrations::RegistrationLimit;
use self::shared::SharedLimits;
use crate::Redis;
use governor::Quota;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::call::RateLimitState;
use threadline_schema::head::network_of;
use threadline_schema::ids::UserId;
use threadline_schema::{ErrorCode, RpcError};

/// The rate limits.
pub(crate) struct RateLimits {
    inner: Option<Inner>,
}

struct Inner {
    per_minute: NonZeroU32,
    users: Allowance<UserId>,
    addresses: Allowance<(AddressPurpose, IpAddr)>,
    /// Pieces of files after the first.
    pieces: Allowance<UserId>,
    /// Previews that are read with a capability alone.
    previews: Allowance<UserId>,
    probes: Allowance<IpAddr>,
}

/// How many previews, and how many probes over JSON-RPC, are allowed for each allowed request.
const LIGHT_CALLS: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// The purpose of a call without a user. Each has an allowance of its own per address.
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
            let light_calls = per_minute.saturating_mul(LIGHT_CALLS);
            let quota = Quota::per_minute;
            let shared = |per_minute: NonZeroU32| {
                redis.map(|redis| Arc::new(SharedLimits::new(redis.clone(), per_minute.get())))
            };
            // Users and addresses have the same limit, so they ask Redis, and notice its outages, together.
            let calls = shared(per_minute);
            Inner {
                per_minute,
                users: Allowance::new(quota(per_minute), calls.clone()),
                addresses: Allowance::new(quota(per_minute), calls),
                pieces: Allowance::new(quota(pieces), shared(pieces)),
                previews: Allowance::new(quota(light_calls), shared(light_calls)),
                probes: Allowance::new(quota(light_calls), shared(light_calls)),
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
        inner.verdict(inner.users.count(&user_id, &user_id.to_string(), "user").await).map(Some)
    }

    /// Counts a call with a piece of a file after the first.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_piece(&self, user_id: UserId) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        // The headers of the rate limit are about requests only.
        inner.verdict(inner.pieces.count(&user_id, &user_id.to_string(), "piece").await).map(|_| None)
    }

    /// Counts a call that reads a preview with a capability alone, against the owner of the image.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_preview(&self, user_id: UserId) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        // The owner did not make this call, so the state of the limit does not concern the owner.
        inner.verdict(inner.previews.count(&user_id, &user_id.to_string(), "preview").await).map(|_| None)
    }

    /// Counts a call of a probe.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_probe(&self, address: IpAddr) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        let network = network_of(address);
        inner.verdict(inner.probes.count(&network, &network.to_string(), "probe").await).map(|_| None)
    }

    /// Counts a call from an address.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check_address(&self, address: IpAddr, purpose: AddressPurpose) -> Verdict {
        let Some(inner) = &self.inner else { return Ok(None) };
        let network = network_of(address);
        let counted = inner.addresses.count(&(purpose, network), &network.to_string(), purpose.scope()).await;
        inner.verdict(counted).map(Some)
    }

    /// Removes the keys whose whole allowance is available again. Otherwise the maps would only grow.
    pub(crate) fn sweep(&self) {
        if let Some(inner) = &self.inner {
            inner.users.sweep();
            inner.addresses.sweep();
            inner.pieces.sweep();
            inner.previews.sweep();
            inner.probes.sweep();
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
    /// Returns the verdict on a call, with the limit of requests: the other allowances follow from it.
    fn verdict(&self, counted: Result<u32, u64>) -> Result<RateLimitState, (RpcError, RateLimitState)> {
        let limit = self.per_minute.get();
        match counted {
            Ok(remaining) => {
                let reset = Duration::from_secs(60) / limit * limit.saturating_sub(remaining);
                Ok(RateLimitState { limit, remaining, reset: ceil_seconds(reset) })
            }
            Err(wait) => {
                let error = RpcError::new(
                    ErrorCode::RateLimited,
                    format!("Too many requests: {limit} per minute are allowed. Please wait {wait} s."),
                );
                Err((error.with("retry_after", wait), RateLimitState { limit, remaining: 0, reset: 60 }))
            }
        }
    }
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
