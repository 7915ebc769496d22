//! Rejects requests that never become a call. The core counts them first, as it does a call: a flood of malformed
//! requests meets the same rate limit as any other.

use crate::http::BodyError;
use crate::response::ErrorResponse;
use crate::rule::Rule;
use crate::upstream::{CallError, Upstream};
use threadline_schema::call::Caller;
use threadline_schema::{Access, ErrorCode, RpcError};

/// Requires that the caller has sent a token, before anything else of the request is read. The core counts a request
/// without one against the caller's address.
///
/// # Errors
/// UNAUTHORIZED, or RATE_LIMITED.
pub(super) async fn require_token(upstream: &dyn Upstream, caller: &Caller) -> Result<(), ErrorResponse> {
    if caller.token.is_some() {
        return Ok(());
    }
    let unauthorized = RpcError::new(ErrorCode::Unauthorized, "Send a token as Authorization: Bearer.");
    Err(reject(unauthorized, upstream, caller.clone()).await)
}

/// Returns the response to a request with an error: that of the core if it does not admit the caller, otherwise
/// `error`.
pub(super) async fn reject(error: RpcError, upstream: &dyn Upstream, caller: Caller) -> ErrorResponse {
    match upstream.admit(caller).await {
        Ok(meta) => CallError { error, meta }.into(),
        Err(not_admitted) => not_admitted.into(),
    }
}

/// Returns the response to a malformed request: on a path that needs a token, 401 and 429 come before `error`; on
/// another, 429 does.
pub(super) async fn reject_malformed(
    error: RpcError,
    rule: &Rule,
    upstream: &dyn Upstream,
    caller: Caller,
) -> ErrorResponse {
    if rule.requires_token() {
        return reject(error, upstream, caller).await;
    }
    count(error, rule, upstream, caller).await.into()
}

/// Returns the response to a request whose body cannot be read, or is not read. Its token is not checked.
pub(super) async fn reject_unread(
    BodyError(error): BodyError,
    rule: &Rule,
    upstream: &dyn Upstream,
    caller: Caller,
) -> ErrorResponse {
    // Also after RATE_LIMITED: where the next request starts is unknown.
    let response = ErrorResponse::from(count(error, rule, upstream, caller).await);
    response.into_response().close_connection().into()
}

/// Returns the response to a request for what does not exist. It counts against the address of its caller, whose token
/// is not checked: a scanner meets the limit of requests, and the token of a user is for what exists.
pub(super) async fn reject_unknown(error: RpcError, upstream: &dyn Upstream, caller: Caller) -> ErrorResponse {
    match upstream.admit(Caller { token: None, ..caller }).await {
        Ok(meta) => CallError { error, meta }.into(),
        Err(refused) if refused.error.code == ErrorCode::RateLimited => refused.into(),
        Err(refused) => CallError { error, meta: refused.meta }.into(),
    }
}

/// Counts a request: against its user if the path needs a token and the token is good, otherwise against its address.
/// Returns RATE_LIMITED if there are too many, and `error` in every other case.
async fn count(error: RpcError, rule: &Rule, upstream: &dyn Upstream, caller: Caller) -> CallError {
    if rule.access() == Some(Access::Probe) {
        return error.into();
    }
    // A call of a public method counts against the address, also with a token.
    let token = caller.token.clone().filter(|_| rule.requires_token());
    match upstream.admit(Caller { token, ..caller }).await {
        Ok(meta) => CallError { error, meta },
        Err(refused) if refused.error.code == ErrorCode::RateLimited => refused,
        Err(refused) => CallError { error, meta: refused.meta },
    }
}
