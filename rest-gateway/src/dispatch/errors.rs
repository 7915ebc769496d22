//! Errors of calls, as REST's clients see them.

use crate::rule::Rule;
use crate::upstream::CallError;
use std::fmt::Display;
use threadline_schema::{ErrorCode, RpcError};

/// Translates the error of a call: on a path that names a session, a missing thread is a missing session.
pub(super) fn translate(rule: &Rule, mut error: CallError) -> CallError {
    if error.error.code == ErrorCode::ThreadNotFound && rule.names_session() {
        error.error.code = ErrorCode::SessionNotFound;
        ErrorCode::SessionNotFound.meaning().trim().clone_into(&mut error.error.message);
    }
    error
}

/// Logs that a result of the core has not the shape that its method promises. Returns the error for the client.
pub(super) fn invalid_result(request_id: &str, method: &str, error: impl Display) -> RpcError {
    tracing::error!(request_id, method, %error, "result does not have the shape of its method");
    RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be shown.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RULES;

    #[test]
    fn a_missing_thread_is_a_missing_session_where_the_path_names_a_session() {
        let translated = |path: &str| {
            let rule = RULES.iter().find(|rule| rule.path == path).unwrap();
            translate(rule, RpcError::new(ErrorCode::ThreadNotFound, "No such thread.").into()).error
        };
        let error = translated("/api/v1/chatkit/sessions/{session_id}");
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::SessionNotFound, "No such session."));
        assert_eq!(translated("/api/v1/chatkit/runs/{run_id}").code, ErrorCode::ThreadNotFound);
    }
}
