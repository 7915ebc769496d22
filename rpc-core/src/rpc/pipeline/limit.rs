//! Which rate limit a call counts against.

use super::authenticate::{Credentials, SignedParams};
use crate::attachments::CapabilityPurpose;
use crate::error::Error;
use crate::limits::{AddressPurpose, KeyLimits, RateLimits, RegistrationLimit, Verdict};
use crate::rpc::call::{Call, Transport};
use std::sync::Arc;
use threadline_schema::auth::{AuthExport, AuthLogin, AuthRegister, ExportPosition};
use threadline_schema::call::RateLimitState;
use threadline_schema::ids::{RunId, UserId};
use threadline_schema::runs::{RunsSubscribe, RunsSubscribeParams};
use threadline_schema::{Access, MethodInfo, RpcError, RpcMethod};

/// Uses up the one subscribe to a run (first argument) that its start includes, if this user (second argument) started
/// it and has not used it yet. Returns whether it did.
pub(crate) type TakeFreeSubscribe = Box<dyn Fn(RunId, UserId) -> bool + Send + Sync>;

/// Counts calls.
pub(crate) struct CallLimiter {
    limits: Arc<RateLimits>,
    registrations: Arc<RegistrationLimit>,
    keys: KeyLimits,
    take_free_subscribe: TakeFreeSubscribe,
}

impl CallLimiter {
    pub(crate) fn new(
        limits: Arc<RateLimits>,
        registrations: Arc<RegistrationLimit>,
        keys: KeyLimits,
        take_free_subscribe: TakeFreeSubscribe,
    ) -> Self {
        Self { limits, registrations, keys, take_free_subscribe }
    }

    /// Counts a call against the limit of its service key, if it has one.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the state of the limit.
    pub(super) async fn count_key(&self, credentials: &Credentials) -> Result<(), (RpcError, RateLimitState)> {
        match credentials.service_key() {
            Some(key) => Box::pin(self.keys.check(key)).await,
            None => Ok(()),
        }
    }

    /// Counts a call against the limit of its user, or of its address if it has none. Returns whether it is allowed,
    /// and the state of the limit. `method` is `None` if the method does not exist.
    pub(super) async fn count(
        &self,
        method: Option<&MethodInfo>,
        credentials: &Credentials,
        call: &Call<'_>,
        signed: &SignedParams<'_>,
    ) -> (Result<(), Error>, Option<RateLimitState>) {
        let verdict = self.verdict(method, credentials, call, signed).await;
        match verdict {
            Ok(state) => (Ok(()), state),
            Err((error, state)) => (Err(error.into()), Some(state)),
        }
    }

    /// Counts a probe over JSON-RPC. Those that come through a gateway are monitoring, which is not limited.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(super) async fn count_probe(&self, call: &Call<'_>) -> Result<(), Error> {
        let connection = &call.connection;
        if connection.transport == Transport::InProcess || connection.is_gateway {
            return Ok(());
        }
        self.limits.check_probe(connection.caller.ip).await.map(drop).map_err(|(error, _)| error.into())
    }

    async fn verdict(
        &self,
        method: Option<&MethodInfo>,
        credentials: &Credentials,
        call: &Call<'_>,
        signed: &SignedParams<'_>,
    ) -> Verdict {
        let address = call.connection.caller.ip;
        if method.is_some_and(|method| method.name == AuthRegister::NAME) {
            // Besides the limit of requests: accounts have limits of their own, and each new one adds to them.
            Box::pin(self.registrations.check(address)).await?;
        }
        let purpose = match method.map(|method| method.name) {
            Some(AuthLogin::NAME) => AddressPurpose::Login,
            Some(AuthRegister::NAME) => AddressPurpose::Registration,
            _ => AddressPurpose::Other,
        };
        let user_id = match credentials {
            // Who has the URL of a preview does not use up what its owner may do.
            Credentials::Capability(capability) if capability.purpose == CapabilityPurpose::Preview => {
                return self.limits.check_preview(capability.user_id).await;
            }
            // Also with a token: a user who guesses passwords is still counted by address.
            _ if method.is_some_and(|method| method.access == Access::Public) => None,
            credentials => credentials.user_id(),
        };
        match user_id {
            None => self.limits.check_address(address, purpose).await,
            Some(user_id) if self.is_free_subscribe(user_id, call) => Ok(None),
            // The first piece of a file was counted.
            Some(user_id) if signed.offset > 0 || is_later_piece_of_export(call) => {
                self.limits.check_piece(user_id).await
            }
            Some(user_id) => self.limits.check_user(user_id).await,
        }
    }

    /// Whether this is the one subscribe to a run that its start includes. The start was counted, and one request
    /// counts once, however many calls it needs. The run itself records the use, so a client cannot forge it.
    fn is_free_subscribe(&self, user_id: UserId, call: &Call<'_>) -> bool {
        if call.method != RunsSubscribe::NAME {
            return false;
        }
        let params = call.params.as_deref().and_then(|params| serde_json::from_str::<RunsSubscribeParams>(params).ok());
        params.is_some_and(|params| (self.take_free_subscribe)(params.run_id, user_id))
    }
}

/// Whether a call reads a piece of an archive that is not the first: that was counted.
fn is_later_piece_of_export(call: &Call<'_>) -> bool {
    if call.method != AuthExport::NAME {
        return false;
    }
    let params = call.params.as_deref().and_then(|params| serde_json::from_str::<ExportPosition>(params).ok());
    params.is_some_and(|params| params.cursor.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::Identity;
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use threadline_schema::auth::AuthMe;

    /// A limiter of two calls a minute, and of three pieces for each. The first `free` subscribes are free.
    fn limiter(free: usize) -> CallLimiter {
        let limits = Arc::new(RateLimits::new(NonZeroU32::new(2), 3, None));
        let taken = AtomicUsize::new(0);
        let registrations = Arc::new(RegistrationLimit::new(None, None));
        CallLimiter::new(
            limits,
            registrations,
            KeyLimits::new(None),
            Box::new(move |_, _| taken.fetch_add(1, Ordering::Relaxed) < free),
        )
    }

    fn user() -> Credentials {
        Credentials::Token(Identity::for_tests(UserId::random()))
    }

    /// Counts one call. Returns how many are left; `None` if it is refused, and `Some(None)` if it was not counted.
    async fn count<M: RpcMethod>(limiter: &CallLimiter, credentials: &Credentials) -> Option<Option<u32>> {
        count_call(limiter, Some(&MethodInfo::of::<M>()), credentials, &Call::for_tests(M::NAME, "{}")).await
    }

    async fn count_call(
        limiter: &CallLimiter,
        method: Option<&MethodInfo>,
        credentials: &Credentials,
        call: &Call<'_>,
    ) -> Option<Option<u32>> {
        let (counted, state) = limiter.count(method, credentials, call, &SignedParams::default()).await;
        counted.ok().map(|()| state.map(|state| state.remaining))
    }

    #[tokio::test]
    async fn a_user_counts_by_token_and_anybody_else_by_address() {
        let limiter = limiter(0);
        let user = user();
        assert_eq!(count::<AuthMe>(&limiter, &user).await, Some(Some(1)));
        assert_eq!(count::<AuthMe>(&limiter, &user).await, Some(Some(0)));
        assert_eq!(count::<AuthMe>(&limiter, &user).await, None);
        assert_eq!(count::<AuthMe>(&limiter, &self::user()).await, Some(Some(1)), "another user at the same address");
        assert_eq!(count::<AuthMe>(&limiter, &Credentials::None).await, Some(Some(1)));
        assert_eq!(count::<AuthMe>(&limiter, &Credentials::InvalidCapability).await, Some(Some(0)));
        assert_eq!(count::<AuthMe>(&limiter, &Credentials::None).await, None);
    }

    #[tokio::test]
    async fn a_public_method_counts_by_address_also_with_a_token() {
        let limiter = limiter(0);
        let user = user();
        assert_eq!(count::<AuthLogin>(&limiter, &user).await, Some(Some(1)));
        assert_eq!(count::<AuthLogin>(&limiter, &self::user()).await, Some(Some(0)));
        assert_eq!(count::<AuthLogin>(&limiter, &user).await, None);
        assert_eq!(count::<AuthMe>(&limiter, &user).await, Some(Some(1)), "the user has lost nothing");
    }

    #[tokio::test]
    async fn a_method_that_does_not_exist_counts_too() {
        let limiter = limiter(0);
        let (user, call) = (user(), Call::for_tests("no.such", "{}"));
        for left in [Some(Some(1)), Some(Some(0)), None] {
            assert_eq!(count_call(&limiter, None, &user, &call).await, left);
        }
    }

    #[tokio::test]
    async fn one_subscribe_is_free_and_only_a_subscribe() {
        let limiter = limiter(1);
        let user = user();
        assert_eq!(count::<AuthMe>(&limiter, &user).await, Some(Some(1)));
        let method = MethodInfo::of::<RunsSubscribe>();
        let call = Call::for_tests(RunsSubscribe::NAME, r#"{"run_id":"0199e0f0-0000-7000-8000-000000000001"}"#);
        assert_eq!(count_call(&limiter, Some(&method), &user, &call).await, Some(None));
        assert_eq!(count_call(&limiter, Some(&method), &user, &call).await, Some(Some(0)));
        assert_eq!(count_call(&limiter, Some(&method), &user, &call).await, None);
    }

    #[tokio::test]
    async fn a_malformed_subscribe_is_not_free() {
        let limiter = limiter(9);
        let (user, method) = (user(), MethodInfo::of::<RunsSubscribe>());
        let call = Call::for_tests(RunsSubscribe::NAME, r#"{"run_id":"x"}"#);
        assert_eq!(count_call(&limiter, Some(&method), &user, &call).await, Some(Some(1)));
    }

    #[tokio::test]
    async fn the_later_pieces_of_a_file_have_a_limit_of_their_own() {
        let limiter = limiter(0);
        let (user, call) = (user(), Call::for_tests("attachments.write", r#"{"offset":7}"#));
        let signed = SignedParams::parse(&call);
        for allowed in [true, true, true, true, true, true, false] {
            let (counted, state) = limiter.count(None, &user, &call, &signed).await;
            assert_eq!((counted.is_ok(), state.is_none()), (allowed, allowed));
        }
        assert_eq!(count::<AuthMe>(&limiter, &user).await, Some(Some(1)));
    }
}
