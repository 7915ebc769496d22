//! The text of `docs/REST.md`.

use super::params::{ParamDoc, param_docs};
use super::write_line;
use crate::operation::{Operation, ParamSource, chatkit_operations, operations};
use crate::rule::{ResponseMode, Target};
use threadline_schema::ErrorCode;

const INTRO: &str = r#"# REST API

Generated from `rest-gateway/src/rules.rs`. Edit that file, then run the test that writes this one.

Every request with a token sends `Authorization: Bearer <token>`. Responses are
`{"success":true,"data":...,"meta"?:...}` or `{"success":false,"error":{"code","message","retry_after"?,"docs"}}`; health
checks have a form of their own. [ERRORS.md](ERRORS.md) says what to do about each code. Every response has `X-Request-Id`. A response to a request with a rate limit has
`X-RateLimit-Limit`, `-Remaining` and `-Reset`.

Streams are Server-Sent Events: `id: RUN_ID:SEQ` and `data:` with one JSON event, a comment after each 15 s without
events, and `data: [DONE]` at the end. Text arrives as
`{"type":"thread.item.content.part.delta","item_id","content_index","delta"}`. The event before `[DONE]` says how the
run ended: `run.completed`, `run.failed`, `run.cancelled` or `run.interrupted`. If it is missing, the connection to the
run was lost: send the last id as `Last-Event-ID` to continue.

The stream of a session continues from run to run. It starts with `: ok`. For a client without a cursor, an `id:`
without an event follows; with it the client can continue before the first event has arrived. Events outside of a run
have no id: `thread.snapshot`, `thread.deleted`, and `thread.updated` or `thread.item.replaced` for changes that no run
makes. `[DONE]` follows `thread.deleted`, or an `error` event that says why the stream ends.

## Routes

| verb | path | method | |
| --- | --- | --- | --- |
"#;

/// Returns the Markdown reference of the REST API.
pub fn rest_markdown() -> String {
    let mut out = String::from(INTRO);
    for operation in operations() {
        let rule = operation.rule;
        let method = rule.method().map_or_else(|| "-".to_owned(), |method| format!("`{}`", method.name));
        write_line(&mut out, &format!("| {} | `{}` | {method} | {} |", rule.verb.name(), rule.path, rule.summary()));
    }
    out.push_str("\n## Calls\n");
    for operation in operations().iter().filter(|operation| operation.rule.access().is_some()) {
        write_operation(&mut out, operation);
    }
    out.push_str("\n## Errors\n\n| code | status | JSON-RPC | meaning |\n| --- | --- | --- | --- |\n");
    for code in ErrorCode::ALL {
        let (status, rpc, meaning) = (code.http_status(), code.rpc_code(), code.meaning().trim());
        write_line(&mut out, &format!("| `{code}` | {status} | {rpc} | {meaning} |"));
    }
    out
}

fn write_operation(out: &mut String, operation: &Operation) {
    let rule = operation.rule;
    write_line(out, &format!("\n### {} {}\n\n{}\n", rule.verb.name(), rule.path, rule.description()));
    let params = param_docs(operation);
    if !params.is_empty() {
        write_line(out, "| param | in | type | |\n| --- | --- | --- | --- |");
        for ParamDoc { name, location, type_name, doc } in params {
            write_line(out, &format!("| `{name}` | {location} | {type_name} | {} |", doc.replace('|', "\\|")));
        }
        out.push('\n');
    }
    if rule.message.is_some() {
        write_line(
            out,
            "Body: `{\"message\":{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"...\"}],\
             \"attachments\"?:[\"ID\"]}}`\n",
        );
    }
    if rule.is_upload() {
        write_line(out, "Body: the file.\n");
    }
    if rule.is_chatkit_endpoint() {
        write_line(
            out,
            "Body: `{\"type\":\"...\",\"params\":{...}}`\n\n| type | params | response |\n| --- | --- | --- |",
        );
        for request in chatkit_operations() {
            write_request_type(out, request);
        }
        out.push('\n');
    }
    let mut codes: Vec<_> = operation.errors().iter().map(|code| format!("`{code}`")).collect();
    codes.sort();
    let response = response(&rule.target);
    write_line(out, &format!("Response {}: {response}. Errors: {}.", rule.status, codes.join(", ")));
}

/// Returns what a successful response has.
fn response(target: &Target) -> &'static str {
    let mode = match target {
        Target::Page(_) => return "JSON",
        Target::ChatKit => return "JSON or a stream of ChatKit's events, depending on the request type",
        Target::Method { mode, .. } => mode,
    };
    match mode {
        ResponseMode::Json(_) | ResponseMode::Upload(_) => "JSON",
        ResponseMode::StartedRun { .. } => {
            "a stream of events; with `Accept: application/json` the whole message as JSON. A run that fails before \
             its first output is an error, not a stream"
        }
        ResponseMode::ChatKitRun { .. } => "a stream of ChatKit's events",
        ResponseMode::Subscription(_) => "a stream of events",
        ResponseMode::Download => "the file",
        ResponseMode::Export => "JSON Lines",
    }
}

/// Writes the row of a request type of ChatKit's endpoint.
fn write_request_type(out: &mut String, request: &Operation) {
    let Some(method) = request.rule.method() else { return };
    let params = request.params_from(&ParamSource::BodyMember);
    let params: Vec<_> =
        params.map(|param| format!("`{}`{}", param.name, if param.required { "" } else { "?" })).collect();
    let response = match &request.rule.target {
        Target::Method { mode: ResponseMode::ChatKitRun { .. }, .. } => "events",
        _ => "JSON",
    };
    write_line(out, &format!("| `{}` | {} | {response} |", method.name, params.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_listed_with_their_location() {
        let markdown = rest_markdown();
        assert!(markdown.contains("| `limit` | query | integer |"));
        assert!(markdown.contains("| `session_id` | path | UUID | The session. |"));
        assert!(markdown.contains("| `title` | body, required | string |"));
        assert!(!markdown.contains("include_tool_calls"), "a parameter that a client cannot send is not listed");
    }
}
