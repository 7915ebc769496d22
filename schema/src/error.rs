//! The closed table of errors: wire name, JSON-RPC code and HTTP status side by side.
//!
//! The core uses names and JSON-RPC codes; the gateway maps the same row to a status. There are no codes elsewhere. No
//! `match` on [`ErrorCode`] has a `_` arm, so the compiler finds every place that a new row affects.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! error_table {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, $rpc:literal, $http:literal; )+) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorCode {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),+];

            /// Returns the name on the wire, such as `SESSION_NOT_FOUND`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name),+ }
            }

            /// Returns the JSON-RPC error code.
            pub const fn rpc_code(self) -> i32 {
                match self { $(ErrorCode::$variant => $rpc),+ }
            }

            /// Returns the HTTP status that the gateway sends.
            pub const fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $http),+ }
            }

            /// Returns the meaning of the code.
            pub const fn meaning(self) -> &'static str {
                match self { $(ErrorCode::$variant => concat!($($doc),+)),+ }
            }
        }
    };
}

error_table! {
    /// The body is not JSON.
    InvalidJson = "INVALID_JSON", -32700, 400;
    /// The request has the wrong structure, or a value outside its range.
    InvalidRequest = "INVALID_REQUEST", -32602, 400;
    /// The message has no text.
    EmptyMessage = "EMPTY_MESSAGE", -32010, 400;
    /// The message has more characters than the server accepts.
    MessageTooLong = "MESSAGE_TOO_LONG", -32011, 400;
    /// An account with this email exists.
    EmailTaken = "EMAIL_TAKEN", -32012, 409;
    /// Registration is closed: the operator of the service creates the accounts.
    RegistrationClosed = "REGISTRATION_CLOSED", -32014, 403;
    /// Registration needs an invitation that is valid for this email address.
    InvitationRequired = "INVITATION_REQUIRED", -32015, 403;
    /// The operator of the service has disabled the account.
    AccountDisabled = "ACCOUNT_DISABLED", -32016, 403;
    /// The token is missing, expired, ended or invalid, or its user does not exist or is disabled.
    Unauthorized = "UNAUTHORIZED", -32001, 401;
    /// The email or the password is wrong.
    InvalidCredentials = "INVALID_CREDENTIALS", -32002, 401;
    /// The resource belongs to another user, or the caller has not the role or the scope that the call needs.
    Forbidden = "FORBIDDEN", -32003, 403;
    /// No such session.
    SessionNotFound = "SESSION_NOT_FOUND", -32004, 404;
    /// No such thread.
    ThreadNotFound = "THREAD_NOT_FOUND", -32004, 404;
    /// No such item in this thread.
    ItemNotFound = "ITEM_NOT_FOUND", -32004, 404;
    /// No such run.
    RunNotFound = "RUN_NOT_FOUND", -32004, 404;
    /// No such task.
    TaskNotFound = "TASK_NOT_FOUND", -32004, 404;
    /// No such attachment.
    AttachmentNotFound = "ATTACHMENT_NOT_FOUND", -32004, 404;
    /// There is no resource at this path.
    NotFound = "NOT_FOUND", -32004, 404;
    /// No such RPC method.
    MethodNotFound = "METHOD_NOT_FOUND", -32601, 404;
    /// Too many requests. `retry_after` is the time in seconds until the next one is allowed.
    RateLimited = "RATE_LIMITED", -32029, 429;
    /// The user has the maximum number of sessions.
    SessionLimit = "SESSION_LIMIT", -32030, 429;
    /// The daily budget of the user, or one that users share, is used up. `resets_at` is the time at which the next day
    /// begins, `retry_after` the seconds until then.
    BudgetExceeded = "BUDGET_EXCEEDED", -32031, 429;
    /// The body is larger than the server accepts.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", -32013, 413;
    /// The server does not accept this media type. HTTP only.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", -32600, 415;
    /// An error in the server. Its log has the details under the request id.
    InternalError = "INTERNAL_ERROR", -32603, 500;
    /// The model server failed, or the tool of an action.
    UpstreamError = "UPSTREAM_ERROR", -32052, 502;
    /// The service is unavailable: it is stopping, or a service that it depends on does not answer.
    ServiceUnavailable = "SERVICE_UNAVAILABLE", -32053, 503;
    /// The model server did not answer in time.
    UpstreamTimeout = "UPSTREAM_TIMEOUT", -32054, 504;
    /// The thread has an active run.
    ThreadBusy = "THREAD_BUSY", -32009, 409;
    /// The request conflicts with the current state of the resource.
    Conflict = "CONFLICT", -32009, 409;
    /// The path does not support this HTTP method. HTTP only; `Allow` lists the supported ones.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", -32600, 405;
}

impl ErrorCode {
    /// Returns the code with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// Returns the code for a JSON-RPC error number, for peers that send no `data`. If several rows have the number, it
    /// is the first.
    pub fn from_rpc_code(rpc: i32) -> Self {
        match rpc {
            -32600 => Self::InvalidRequest,
            _ => Self::ALL.iter().copied().find(|code| code.rpc_code() == rpc).unwrap_or(Self::InternalError),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An error as the caller sees it: a row of the table, a sentence, and data for programs.
///
/// It never contains the internal cause.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcError {
    /// The row.
    pub code: ErrorCode,
    /// A sentence for the caller that says what to change.
    pub message: String,
    /// Further members of `data`, such as `retry_after`.
    pub extra: Map<String, Value>,
}

impl RpcError {
    /// Creates an error of this row with this sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), extra: Map::new() }
    }

    /// Adds a member to `data`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// Adds when the next day (UTC) begins, as `resets_at`, and the seconds until then, as `retry_after`: for what is
    /// limited per day.
    #[must_use]
    pub fn until_tomorrow(self, now: DateTime<Utc>) -> Self {
        let resets_at = next_day(now);
        let seconds = (resets_at - now).num_seconds().max(0) + 1;
        self.with("retry_after", seconds).with("resets_at", resets_at.to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// Returns `resets_at`: when what is limited per day begins anew.
    pub fn resets_at(&self) -> Option<&str> {
        self.extra.get("resets_at").and_then(Value::as_str)
    }

    /// Returns the seconds to wait before the next attempt, if the error has them.
    pub fn retry_after(&self) -> Option<u64> {
        self.extra.get("retry_after").and_then(Value::as_u64)
    }

    /// Returns the `data` member of the JSON-RPC error: `code` first, then the others.
    pub fn data(&self) -> Value {
        let mut data = Map::new();
        data.insert("code".to_owned(), self.code.name().into());
        data.extend(self.extra.clone());
        Value::Object(data)
    }

    /// Creates an error from its three JSON-RPC members.
    pub fn from_parts(rpc_code: i32, message: String, data: Option<&Value>) -> Self {
        let mut extra = data.and_then(Value::as_object).cloned().unwrap_or_default();
        let code = extra
            .remove("code")
            .as_ref()
            .and_then(Value::as_str)
            .and_then(ErrorCode::from_name)
            .unwrap_or_else(|| ErrorCode::from_rpc_code(rpc_code));
        Self { code, message, extra }
    }
}

/// Why a run failed, as stored and as sent in `run.failed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The row of the error table.
    pub code: ErrorCode,
    /// A sentence for the caller.
    pub message: String,
}

/// An error and its causes on one line, for the log: `database unavailable: connection refused`.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = self.0.to_string();
        f.write_str(&shown)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat the cause in the text of the outer error.
            if !shown.contains(&text) {
                write!(f, ": {text}")?;
                shown.push_str(&text);
            }
            cause = error.source();
        }
        Ok(())
    }
}

/// Returns the next midnight in UTC.
pub fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    (now + TimeDelta::days(1)).date_naive().and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert!((400..600).contains(&code.http_status()), "the status of {code} is not an error status");
        }
    }

    #[test]
    fn an_error_is_parsed_back() {
        let error = RpcError::new(ErrorCode::RateLimited, "slow down").with("retry_after", 7);
        let back = RpcError::from_parts(error.code.rpc_code(), error.message.clone(), Some(&error.data()));
        assert_eq!(back, error);
        assert_eq!(back.retry_after(), Some(7));
    }

    #[test]
    fn a_chain_shows_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{text}")]
        struct Layer {
            text: &'static str,
            #[source]
            cause: Option<Box<Layer>>,
        }
        let layer = |text, cause: Option<Layer>| Layer { text, cause: cause.map(Box::new) };
        let root = layer("connection refused", None);
        let middle = layer("cannot connect: connection refused", Some(root));
        let error = layer("database unavailable", Some(middle));
        assert_eq!(Chain(&error).to_string(), "database unavailable: cannot connect: connection refused");
    }

    #[test]
    fn a_number_without_data_finds_its_row() {
        assert_eq!(ErrorCode::from_rpc_code(-32700), ErrorCode::InvalidJson);
        assert_eq!(ErrorCode::from_rpc_code(-32600), ErrorCode::InvalidRequest);
        assert_eq!(ErrorCode::from_rpc_code(-1), ErrorCode::InternalError);
    }
}
