//! The rules of the strictest servers together.

use serde_json::Value;
use std::collections::HashSet;

/// Returns the first rule that a request breaks.
pub(super) fn violation(request: &Value) -> Option<String> {
    check_messages(request).err().or_else(|| check_tools(request).err())
}

fn check_messages(request: &Value) -> Result<(), String> {
    let (mut ids, mut open, mut previous) = (HashSet::new(), Vec::new(), String::new());
    for (index, message) in request["messages"].as_array().ok_or("messages: missing")?.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        let content = &message["content"];
        let is_blank = content.as_str().is_none_or(|text| text.trim().is_empty()) && !content.is_array();
        let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default().to_owned();
            if open.is_empty() || open.remove(0) != id || is_blank {
                return Err(format!("messages[{index}]: a result must follow its call"));
            }
        } else if !open.is_empty() {
            return Err(format!("messages[{index}]: {} calls have no result", open.len()));
        }
        let follows = match role {
            "system" | "developer" => index == 0,
            "user" => matches!(previous.as_str(), "" | "system" | "developer" | "assistant"),
            "assistant" => matches!(previous.as_str(), "user" | "tool"),
            _ => role == "tool",
        };
        if !follows || (is_blank && calls.is_empty()) {
            return Err(format!("messages[{index}]: {role} after {previous}, or blank"));
        }
        for call in &calls {
            let (id, function) = (call["id"].as_str().unwrap_or_default(), &call["function"]);
            if id.len() != 9 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || !ids.insert(id.to_owned()) {
                return Err(format!("messages[{index}]: id {id:?}"));
            }
            let arguments = serde_json::from_str::<Value>(function["arguments"].as_str().unwrap_or_default());
            if !is_name(&function["name"]) || !arguments.is_ok_and(|arguments| arguments.is_object()) {
                return Err(format!("messages[{index}]: call {function}"));
            }
            open.push(id.to_owned());
        }
        previous = role.to_owned();
    }
    let ends_well = open.is_empty() && matches!(previous.as_str(), "user" | "tool");
    if ends_well { Ok(()) } else { Err("messages: the last one must be of the user or a result".to_owned()) }
}

fn check_tools(request: &Value) -> Result<(), String> {
    let mut names = HashSet::new();
    for tool in request["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        let is_described = (1..=1_024).contains(&function["description"].as_str().unwrap_or_default().chars().count());
        let parameters = &function["parameters"];
        let is_object = parameters["type"] == "object" && parameters["properties"].is_object();
        if !is_name(&function["name"]) || !names.insert(function["name"].clone()) || !is_described || !is_object {
            return Err(format!("tools: {function}"));
        }
    }
    Ok(())
}

fn is_name(name: &Value) -> bool {
    let name = name.as_str().unwrap_or_default();
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Returns the words of a server that takes neither of these, each in the words of another server.
pub(super) fn refuses_everything(request: &Value) -> Option<String> {
    let messages = request["messages"].as_array()?;
    let words = if request.get("stream_options").is_some() {
        "Unrecognized request argument supplied: stream_options"
    } else if request.get("temperature").is_some() {
        "Unsupported value: 'temperature' does not support 0.5 with this model."
    } else if request.get("max_tokens").is_some() {
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    } else if messages.iter().any(|message| message["role"] == "system") {
        "System role not supported"
    } else if request["tools"].to_string().contains("additionalProperties")
        || request["tools"].to_string().contains("null\"")
    {
        "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field."
    } else if messages.iter().any(|message| message["content"].is_array()) {
        "image_url is only supported by certain models"
    } else if messages.iter().any(|message| message["role"] == "assistant" && message["content"].is_null()) {
        "Invalid 'content': 'content' field must be a string or an array of objects."
    } else {
        return None;
    };
    Some(words.to_owned())
}
