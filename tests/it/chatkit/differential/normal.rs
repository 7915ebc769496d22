//! Responses without the parts that always differ.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What events say, in how many steps a text or an entry of a workflow ever grew.
pub fn told_in_short(events: &[Value]) -> Vec<String> {
    let grows = ["assistant_message.content_part.text_delta", "workflow.task.updated"];
    let mut told: Vec<String> = events.iter().map(told).collect();
    told.dedup_by(|next, kind| next == kind && grows.contains(&kind.as_str()));
    told
}

/// Summarises an event.
pub fn told(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    match kind {
        "thread.item.updated" => word(&event["update"]["type"]),
        "thread.item.added" | "thread.item.done" | "thread.item.replaced" => {
            format!("{kind} {}", word(&event["item"]["type"]))
        }
        "stream_options" => format!("{kind} {}", event["stream_options"]),
        // Ours has words of its own, theirs leaves them to the front end.
        "error" => format!("error {}", event["allow_retry"]),
        kind => kind.to_owned(),
    }
}

/// A value with its ids numbered as they first come, and without moments, durations, cursors and addresses.
pub fn normal(value: &Value) -> Value {
    replace(value, &mut Vec::new())
}

fn replace(value: &Value, ids: &mut Vec<String>) -> Value {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            // Only ours has it.
            names.retain(|name| *name != "finish_reason");
            let members = names.into_iter().map(|name| {
                let value = &members[name];
                let value = match name.as_str() {
                    "created_at" => json!(format!("moment: {}", value.is_string())),
                    "duration" => json!(format!("duration: {}", value.is_u64())),
                    // What only its server reads.
                    "after" => json!(format!("cursor: {}", value.is_string())),
                    "url" | "preview_url" => json!(value.as_str().unwrap().split("//").next()),
                    _ => replace(value, ids),
                };
                (name.clone(), value)
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(|value| replace(value, ids)).collect(),
        Value::String(text) if is_id(text) => {
            let place = ids.iter().position(|id| id == text).unwrap_or_else(|| {
                ids.push(text.clone());
                ids.len() - 1
            });
            json!(format!("id {place}"))
        }
        value => value.clone(),
    }
}

/// Our ids are UUIDs; theirs have a prefix with the kind.
fn is_id(text: &str) -> bool {
    let is_theirs = |(prefix, rest): (&str, &str)| {
        ["thr", "msg", "wf", "tc", "tsk", "atc"].contains(&prefix)
            && rest.len() == 8
            && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    Uuid::parse_str(text).is_ok() || text.split_once('_').is_some_and(is_theirs)
}
