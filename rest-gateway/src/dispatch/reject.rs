//! Rejects requests that never become a call. The core admits their callers first, as it does for a call: it checks the
//! token and counts the request against the rate limit.

use crate::response::ErrorResponse;
use crate::upstream::{CallError, Upstream};
use threadline_schema::call::Caller;
use threadline_schema::{ErrorCode, RpcError};

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
