//! The error codes for people: what each means, and what to do about it. A response with an error links to its section.

use super::write_line;
use threadline_schema::ErrorCode;

const INTRO: &str = r##"# Errors

Generated from `schema/src/error.rs` and `rest-gateway/src/docs/errors.rs`. Edit those, then run the test that writes this one.

An error of the REST API is `{"success":false,"error":{"code","message","retry_after"?,"resets_at"?,"docs"}}`, where `docs` is
the path of the section about its code, such as `/docs#SESSION_LIMIT`, at `REST_LISTEN`; the listener of operators (`OPS_LISTEN`)
does not have this page. An error of JSON-RPC has the code in `error.data.code`. A run that failed has it in `error.code` of
`run.failed`. Programs use the code: several codes share a number or a status, and the sentence in `message` can change.

Each response has `X-Request-Id`. The lines of the server's log about the request have the same id.
"##;

/// Returns the path of the section about a code, on the page that the gateway serves.
pub(crate) fn path_of(code: ErrorCode) -> String {
    format!("/docs#{code}")
}

/// Returns the Markdown reference of the error codes.
pub fn errors_markdown() -> String {
    let mut out = String::from(INTRO);
    for &code in ErrorCode::ALL {
        write_line(&mut out, &format!("\n## {code}\n\nStatus {}, JSON-RPC {}.", code.http_status(), code.rpc_code()));
        write_line(&mut out, &format!("\n{}\n\n{}", code.meaning().trim(), remedy(code)));
    }
    out
}

/// Returns what a client or an operator does about an error.
pub(super) const fn remedy(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match code {
        E::InvalidJson => {
            "Send a body that is JSON in UTF-8, with `Content-Type: application/json`. The message says at which character \
             the parser stopped."
        }
        E::InvalidRequest => {
            "The message names the param and what is wrong with it. Params that the method does not have are refused too: \
             look for misspelled names, and for a client that is newer than the server."
        }
        E::EmptyMessage => "Send a message with text that is more than white space, or with an attachment.",
        E::MessageTooLong => "Shorten the message, or send the text as an attachment. Operators: `MAX_MESSAGE_CHARS`.",
        E::EmailTaken => "Log in with this email, or register another one.",
        E::RegistrationClosed => {
            "Ask the operator for an account. Operators: `threadline user create` makes one; `REGISTRATION` says who may \
             register."
        }
        E::InvitationRequired => {
            "Send the code of an invitation as `invitation`. A code counts for one account, or for as many as its operator \
             has said, and expires. Operators: `threadline invite create`."
        }
        E::AccountDisabled => "Ask the operator. Operators: `threadline user enable` accepts its tokens again.",
        E::Unauthorized => {
            "Log in again, and send `Authorization: Bearer <token>`. If new tokens are refused too, the processes have \
             different keys: set the same `SECRET_KEY` for all of them, and do not leave it out, as a random key ends with \
             the process."
        }
        E::InvalidCredentials => {
            "Check the email and the password. The response does not say which of them is wrong. Further attempts count \
             for the rate limit of the address."
        }
        E::Forbidden => {
            "The caller is known, and may not do this. The message says why: the resource belongs to another user, the agent \
             or the console needs a role that the user does not have, or the service key or client token has the method not \
             in its scope."
        }
        E::SessionNotFound | E::ThreadNotFound => {
            "The conversation was deleted, or the id is wrong. A session and its thread have the same id. Create a new one."
        }
        E::ItemNotFound => "Read the items again: the item was deleted or replaced, or is of another thread.",
        E::RunNotFound => "The run's conversation was deleted, or the id is wrong. `X-Run-Id` of a stream has the id.",
        E::TaskNotFound => "Read the list of tasks again: the task was deleted, or the id is wrong.",
        E::AttachmentNotFound => {
            "The attachment was deleted, or was in no message for 24 hours. Create it again and upload the file."
        }
        E::NotFound => "Look up the path in this document. The API is below `/api/v1`.",
        E::MethodNotFound => "Look up the name of the method: `rpc.discover` lists all of them.",
        E::RateLimited => {
            "Wait for `retry_after` seconds; `X-RateLimit-Remaining` says in advance what is left. Operators: \
             `RATE_LIMIT_REQUESTS_PER_MINUTE` and `MAX_STREAMS_PER_USER`. If all users are refused together, the server \
             counts the address of a proxy: set `TRUSTED_PROXIES`."
        }
        E::SessionLimit => {
            "Delete a session, or continue in one. Operators: `MAX_SESSIONS_PER_USER`, `SESSION_MAX_IDLE_DAYS`."
        }
        E::BudgetExceeded => {
            "If no run had begun, nothing was stored: send the message again after `resets_at`. A run can also end with this \
             code, after calls of tools. Then the conversation has the message and the calls, and the same message again \
             would repeat them: send one that asks to continue. Operators: `BUDGET_TOKENS_PER_DAY`, `BUDGET_COST_PER_DAY`, \
             `GLOBAL_BUDGET_TOKENS_PER_DAY`, `GLOBAL_BUDGET_COST_PER_DAY`, and the budgets of agents and of \
             `[budget_classes.NAME]` in the agents file."
        }
        E::PayloadTooLarge => {
            "Send a smaller body. Files are uploaded as attachments, not inside of messages. Operators: `MAX_BODY_BYTES`, \
             `MAX_ATTACHMENT_BYTES`, and the limit of the proxy."
        }
        E::UnsupportedMediaType => "Send `Content-Type: application/json`; for an upload, the media type of the file.",
        E::InternalError => {
            "This is a fault in the server. The request can be tried again. Operators: the log has the cause, under the \
             request id of the response."
        }
        E::UpstreamError => {
            "Try again: `threads.retry_after_item` answers the same message anew. Operators: `/health/openrouter` and \
             `threadline doctor --model` say what the model's server refuses; the log has its words."
        }
        E::ServiceUnavailable => {
            "Try again after `Retry-After`. Operators: `/health/all` says which part is away. While a process stops, this is \
             expected: the load balancer should send new requests to another one."
        }
        E::UpstreamTimeout => {
            "Try again, perhaps with a shorter message. Operators: `AGENT_TIMEOUT_SECONDS`; for servers that load a model at \
             the first request, it must be longer than that takes."
        }
        E::ThreadBusy => {
            "A conversation has one run at a time. Wait for the end of the active one, which `threads.subscribe` tells, or \
             cancel it with `runs.cancel`."
        }
        E::Conflict => {
            "The message says what the state is. Read the resource again before the next try. With an idempotency key: the \
             key was used for another request."
        }
        E::MethodNotAllowed => "Use one of the HTTP methods in the header `Allow`.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_has_a_section_that_its_path_leads_to() {
        let markdown = errors_markdown();
        let paths: HashSet<_> = ErrorCode::ALL.iter().map(|&code| path_of(code)).collect();
        assert_eq!(paths.len(), ErrorCode::ALL.len());
        for &code in ErrorCode::ALL {
            assert!(markdown.contains(&format!("\n## {code}\n")), "{code}");
            assert!(remedy(code).ends_with('.'), "{code}");
        }
    }
}
