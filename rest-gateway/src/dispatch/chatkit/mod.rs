//! ChatKit's single endpoint: `type` in the body names the request type, `params` has its parameters.

#[cfg(test)]
mod tests;

use super::{call, stream};
use crate::bind::{BindInput, Bound, Members, bind, parse_json};
use crate::http::languages;
use crate::operation::{Operation, ParamSource, chatkit_operations};
use crate::response::ResponseResult;
use crate::rule::{ResponseMode, Target};
use crate::upstream::{Call, Upstream};
use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use threadline_schema::call::{Caller, ClientHints};
use threadline_schema::page::MAX_LIMIT;
use threadline_schema::{ErrorCode, RpcError};

/// Longest part of an unknown type that an error repeats, in characters.
const MAX_ECHOED_CHARS: usize = 100;

/// The body as ChatKit's front ends write it. Unknown members are ignored, as ChatKit's own server does.
#[derive(Deserialize)]
struct RequestBody<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    /// `null` is not the same as absent: ChatKit's own server refuses it.
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

/// Reads a member that is there, also if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A valid request.
pub(super) struct ChatKitRequest {
    operation: &'static Operation,
    params: Box<RawValue>,
    hints: Option<Arc<ClientHints>>,
}

/// Parses a request, and binds its parameters.
///
/// # Errors
/// INVALID_JSON or INVALID_REQUEST, with a sentence that says what to change.
pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<ChatKitRequest, RpcError> {
    let json = parse_json(body)?;
    let body: RequestBody<'_> = serde_json::from_str(json.get())
        .map_err(|_| invalid(r#"The body must look like {"type":"threads.list","params":{}}."#))?;
    let has_type = |operation: &&Operation| operation.rule.method().is_some_and(|method| method.name == body.kind);
    let operation = chatkit_operations().iter().find(has_type).ok_or_else(|| unknown_type(&body.kind))?;
    let params = known_members(operation, body.params)?;
    let input = BindInput { variables: Vec::new(), query: None, headers, body: params.as_bytes() };
    let Bound { params, .. } = bind(operation, &input)?;
    let hints = ClientHints::new(languages(headers), body.metadata).map_err(|error| invalid(error.to_string()))?;
    Ok(ChatKitRequest { operation, params, hints })
}

/// Calls the method of a request, and makes the response.
pub(super) async fn respond(
    request: ChatKitRequest,
    upstream: &dyn Upstream,
    mut caller: Caller,
    last_event_id: Option<&str>,
) -> ResponseResult {
    let ChatKitRequest { operation, params, hints } = request;
    caller.hints = hints;
    let rule = operation.rule;
    let Target::Method { method, mode } = &rule.target else { return Err(unknown_type("").into()) };
    let call = Call { method: method.name, params, caller };
    match mode {
        ResponseMode::Json(format) => call::call(rule, format, "", upstream, call).await,
        ResponseMode::ChatKitRun { subscribe, run_id } => {
            stream::chatkit_run(rule, subscribe, *run_id, upstream, call, last_event_id).await
        }
        ResponseMode::StartedRun { .. }
        | ResponseMode::Subscription(_)
        | ResponseMode::Upload(_)
        | ResponseMode::Download
        | ResponseMode::Export => Err(unknown_type(method.name).into()),
    }
}

/// Returns the members of `params` that the method has, as a JSON object. Unknown members are dropped, as ChatKit's own
/// server does: a front end can be newer than this server.
fn known_members(operation: &Operation, params: Option<&RawValue>) -> Result<String, RpcError> {
    let Members(members) = match params {
        Some(params) => serde_json::from_str(params.get()).map_err(|_| invalid("`params` must be a JSON object."))?,
        None => Members(Vec::new()),
    };
    for param in operation.params_from(&ParamSource::BodyMember).filter(|param| param.required) {
        if !members.iter().any(|(name, value)| *name == param.name && value.get() != "null") {
            return Err(invalid(format!("`params` needs the member {}.", param.name)));
        }
    }
    let mut json = String::from("{");
    for (name, value) in &members {
        let Some(param) = operation.params_from(&ParamSource::BodyMember).find(|param| param.name == *name) else {
            continue;
        };
        if json.len() > 1 {
            json.push(',');
        }
        // Names of parameters have nothing to escape.
        json.push_str(&format!("\"{}\":", param.name));
        // Front ends ask for more than a page can have when they want all rows. `has_more` tells them the rest.
        match name == "limit" && is_above_limit(value.get()) {
            true => json.push_str(&MAX_LIMIT.to_string()),
            false => json.push_str(value.get()),
        }
    }
    json.push('}');
    Ok(json)
}

/// Returns whether a JSON value is a whole number that is larger than a page can be, however it is written.
fn is_above_limit(json: &str) -> bool {
    // A number that is too large for a double is infinite here, and whole.
    json.parse::<f64>().is_ok_and(|limit| limit > f64::from(MAX_LIMIT) && (limit.fract() == 0.0 || limit.is_infinite()))
}

fn unknown_type(kind: &str) -> RpcError {
    let known: Vec<_> =
        chatkit_operations().iter().filter_map(|operation| operation.rule.method()).map(|m| m.name).collect();
    let kind: String = kind.chars().take(MAX_ECHOED_CHARS).collect();
    invalid(format!("The request type {kind:?} is not served; known are {}.", known.join(", ")))
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, message)
}
