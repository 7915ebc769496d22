//! The limit of registrations per address. It is separate from the limit of requests, and much lower: each account has
//! limits and a budget of its own, so a client that can create any number of accounts has no limits.

use super::allowance::Allowance;
use super::network_of;
use super::shared::SharedLimits;
use crate::Redis;
use governor::Quota;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::call::RateLimitState;
use threadline_schema::{ErrorCode, RpcError};

const HOUR: Duration = Duration::from_secs(3600);
/// Name of the limit in metrics and in Redis.
const SCOPE: &str = "registration";

/// Limits registrations per address and hour.
pub(crate) struct RegistrationLimit {
    inner: Option<Inner>,
}

struct Inner {
    per_hour: NonZeroU32,
    addresses: Allowance<IpAddr>,
}

impl RegistrationLimit {
    /// Allows this many per hour; `None`: any number. With Redis, all replicas share the count.
    pub(crate) fn new(per_hour: Option<NonZeroU32>, redis: Option<&Redis>) -> Self {
        let inner = per_hour.map(|per_hour| {
            let shared = redis.map(|redis| Arc::new(SharedLimits::per(HOUR, redis.clone(), per_hour.get())));
            Inner { per_hour, addresses: Allowance::new(Quota::per_hour(per_hour), shared) }
        });
        Self { inner }
    }

    /// Counts a registration from an address, whether it succeeds or not.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(crate) async fn check(&self, address: IpAddr) -> Result<(), (RpcError, RateLimitState)> {
        let Some(Inner { per_hour, addresses }) = &self.inner else { return Ok(()) };
        let network = network_of(address);
        let Err(wait) = addresses.count(&network, &network.to_string(), SCOPE).await else { return Ok(()) };
        let message =
            format!("Too many registrations from your address: {per_hour} per hour are allowed. Please wait {wait} s.");
        let error = RpcError::new(ErrorCode::RateLimited, message).with("retry_after", wait);
        Err((error, RateLimitState { limit: per_hour.get(), remaining: 0, reset: HOUR.as_secs() }))
    }

    /// Removes the addresses whose whole allowance is available again.
    pub(crate) fn sweep(&self) {
        if let Some(inner) = &self.inner {
            inner.addresses.sweep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_registers_a_few_accounts_and_others_are_not_affected() {
        let limit = RegistrationLimit::new(NonZeroU32::new(2), None);
        let address = "192.0.2.1".parse().unwrap();
        assert!(limit.check(address).await.is_ok() && limit.check(address).await.is_ok());
        let (error, _) = limit.check(address).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::RateLimited);
        assert!((1_700..=1_800).contains(&error.retry_after().unwrap()), "{error:?}");
        assert!(limit.check("192.0.2.2".parse().unwrap()).await.is_ok());
    }
}
