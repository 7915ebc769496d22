//! Which rate limit a call counts against.

use super::authenticate::{Credentials, SignedParams};
use crate::error::Error;
use crate::limits::{RateLimits, Verdict};
use crate::rpc::call::Call;
use std::sync::Arc;
use threadline_schema::call::RateLimitState;
use threadline_schema::runs::{RunsSubscribe, RunsSubscribeParams};
use threadline_schema::{Access, MethodInfo, RpcMethod};
use uuid::Uuid;

/// Uses up the one subscribe to a run (first argument) that its start includes, if this user (second argument) started
/// it and has not used it yet. Returns whether it did.
pub(crate) type TakeFreeSubscribe = Box<dyn Fn(Uuid, Uuid) -> bool + Send + Sync>;

/// Counts calls.
pub(crate) struct CallLimiter {
    limits: Arc<RateLimits>,
    take_free_subscribe: TakeFreeSubscribe,
}

impl CallLimiter {
    pub(crate) fn new(limits: Arc<RateLimits>, take_free_subscribe: TakeFreeSubscribe) -> Self {
        Self { limits, take_free_subscribe }
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

    async fn verdict(
        &self,
        method: Option<&MethodInfo>,
        credentials: &Credentials,
        call: &Call<'_>,
        signed: &SignedParams<'_>,
    ) -> Verdict {
        let address = call.connection.caller.ip;
        let user_id = match credentials {
            // Also with a token: a user who guesses passwords is still counted by address.
            _ if method.is_some_and(|method| method.access == Access::Public) => None,
            credentials => credentials.user_id(),
        };
        match user_id {
            None => self.limits.check_address(address).await,
            Some(user_id) if self.is_free_subscribe(user_id, call) => Ok(None),
            // The first piece of a file was counted.
            Some(user_id) if signed.offset > 0 => self.limits.check_piece(user_id).await,
            Some(user_id) => self.limits.check_user(user_id).await,
        }
    }

    /// Whether this is the one subscribe to a run that its start includes. The start was counted, and one request
    /// counts once, however many calls it needs. The run itself records the use, so a client cannot forge it.
    fn is_free_subscribe(&self, user_id: Uuid, call: &Call<'_>) -> bool {
        if call.method != RunsSubscribe::NAME {
            return false;
        }
        let params = call.params.as_deref().and_then(|params| serde_json::from_str::<RunsSubscribeParams>(params).ok());
        params.is_some_and(|params| (self.take_free_subscribe)(params.run_id, user_id))
    }
}
