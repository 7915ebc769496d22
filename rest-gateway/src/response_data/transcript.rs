//! A session with its messages.

use super::{ItemView, Message, PageMeta, ResponseData, ToolCall, ToolCallView, write_meta};
use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashMap;
use threadline_schema::ids::{ThreadId, UserId};
use threadline_schema::threads::Thread;

/// A session with its messages, oldest first. There is a `meta` only if not all messages fit into one page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SessionWithMessages")]
pub struct Transcript<'a> {
    /// Id of the session.
    #[schemars(with = "ThreadId")]
    id: &'a RawValue,
    /// The user who owns it.
    #[schemars(with = "UserId")]
    user_id: &'a RawValue,
    /// Its title.
    #[schemars(with = "String")]
    title: &'a RawValue,
    /// When it was created.
    #[schemars(with = "DateTime<Utc>")]
    created_at: &'a RawValue,
    /// When it last changed: a message, or its title or status.
    #[schemars(with = "DateTime<Utc>")]
    updated_at: &'a RawValue,
    /// Whether it is listed nowhere, and deleted some hours after its last use. Absent for other sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<bool>")]
    temporary: Option<&'a RawValue>,
    /// The messages, oldest first.
    messages: Vec<Message<'a>>,
}

impl ResponseData<Thread> for Transcript<'_> {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Transcript<'static>>()
    }

    fn meta(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<PageMeta<'static>>())
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let thread: ThreadView<'_> = serde_json::from_str(result.get())?;
        let (has_more, after) = (thread.items.has_more, thread.items.after);
        let messages = messages(&thread.items.data, thread.tool_calls.as_deref().unwrap_or_default())?;
        let transcript = Transcript {
            id: thread.id,
            user_id: thread.user_id,
            title: thread.title,
            created_at: thread.created_at,
            updated_at: thread.updated_at,
            temporary: thread.temporary,
            messages,
        };
        serde_json::to_writer(&mut *out, &transcript)?;
        if has_more { write_meta(out, &PageMeta { has_more, after }) } else { Ok(()) }
    }
}

#[derive(Deserialize)]
struct ThreadView<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    user_id: &'a RawValue,
    #[serde(borrow)]
    title: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
    #[serde(borrow)]
    updated_at: &'a RawValue,
    #[serde(borrow, default)]
    temporary: Option<&'a RawValue>,
    #[serde(borrow)]
    items: ItemPageView<'a>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<ToolCallView<'a>>>,
}

#[derive(Deserialize)]
struct ItemPageView<'a> {
    #[serde(borrow)]
    data: Vec<ItemView<'a>>,
    has_more: bool,
    #[serde(borrow, default)]
    after: Option<&'a RawValue>,
}

/// Makes one message per item that is a message, each with the tool calls before it in its run. If a run ended before
/// its first message, its tool calls are in a message without text, at the position of their time.
fn messages<'a>(items: &[ItemView<'a>], tool_calls: &[ToolCallView<'a>]) -> serde_json::Result<Vec<Message<'a>>> {
    let mut by_message: HashMap<&str, Vec<ToolCall<'a>>> = HashMap::new();
    let mut without_message: Vec<(&ToolCallView<'a>, Vec<ToolCall<'a>>)> = Vec::new();
    for view in tool_calls {
        let call = ToolCall::from(view);
        match (view.message_id, without_message.last_mut()) {
            (Some(message), _) => by_message.entry(message.get()).or_default().push(call),
            (None, Some((first, calls))) if first.run_id.get() == view.run_id.get() => calls.push(call),
            (None, _) => without_message.push((view, vec![call])),
        }
    }
    let mut messages = Vec::with_capacity(items.len() + without_message.len());
    for item in items {
        let calls = if item.is_assistant_message() { by_message.remove(item.id.get()) } else { None };
        messages.extend(Message::from_item(item, calls)?);
    }
    for (first, calls) in without_message {
        let called_at = time(first.created_at)?;
        let mut position = messages.len();
        for (index, message) in messages.iter().enumerate() {
            if time(message.created_at)? > called_at {
                position = index;
                break;
            }
        }
        messages.insert(position, Message::empty(first.run_id, first.created_at, Some(calls)));
    }
    Ok(messages)
}

fn time(json: &RawValue) -> serde_json::Result<DateTime<Utc>> {
    serde_json::from_str(json.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response_data::ResponseFormat;
    use serde_json::{Value, json};

    fn id(n: u8) -> String {
        format!("0199e0f0-0000-7000-8000-0000000000{n:02}")
    }

    fn at(second: u8) -> String {
        format!("2026-01-01T00:00:{second:02}Z")
    }

    fn record(call: &str, run: u8, message: Option<u8>, second: u8) -> Value {
        let mut record = json!({
            "id": call, "name": "add_task", "arguments": "{\"title\":\"milk\"}", "result": "{\"ok\":true}",
            "run_id": id(run), "created_at": at(second)
        });
        if let Some(message) = message {
            record["message_id"] = json!(id(message));
        }
        record
    }

    fn body(items: &Value, records: &Value) -> Value {
        let result = json!({
            "id": id(1), "title": "t", "created_at": at(0), "status": {"type": "active"}, "metadata": {},
            "items": items, "user_id": id(2), "updated_at": at(9), "message_count": 2, "tool_calls": records
        });
        let result = serde_json::value::to_raw_value(&result).unwrap();
        let format = ResponseFormat::of::<Transcript<'_>, Thread>();
        serde_json::from_slice(&format.body(&result, "").unwrap()).unwrap()
    }

    fn items() -> Vec<Value> {
        vec![
            json!({"type": "user_message", "id": id(10), "thread_id": id(1), "created_at": at(1), "attachments": [],
                   "content": [{"type": "input_text", "text": "add \"milk\"\n"}], "inference_options": {}}),
            json!({"type": "workflow", "id": id(11), "thread_id": id(1), "created_at": at(2),
                   "workflow": {"type": "custom", "tasks": [], "expanded": false}}),
            json!({"type": "assistant_message", "id": id(12), "thread_id": id(1), "created_at": at(4),
                   "content": [{"type": "output_text", "text": "Done.", "annotations": []}]}),
        ]
    }

    #[test]
    fn messages_have_their_text_and_the_tool_calls_before_them() {
        let body = body(&json!({"data": items(), "has_more": false}), &json!([record("c1", 20, Some(12), 2)]));
        let call = json!({
            "id": "c1", "type": "function",
            "function": {"name": "add_task", "arguments": "{\"title\":\"milk\"}"}, "result": "{\"ok\":true}"
        });
        let messages = json!([
            {"id": id(10), "role": "user", "content": [{"type": "input_text", "text": "add \"milk\"\n"}],
             "tool_calls": null, "created_at": at(1)},
            {"id": id(12), "role": "assistant", "content": [{"type": "text", "text": "Done."}],
             "tool_calls": [call], "created_at": at(4)},
        ]);
        let data = json!({"id": id(1), "user_id": id(2), "title": "t", "created_at": at(0), "updated_at": at(9),
                          "messages": messages});
        assert_eq!(body, json!({"success": true, "data": data}), "no meta while everything fits");
    }

    #[test]
    fn tool_calls_without_a_message_are_at_the_position_of_their_time() {
        let records = json!([record("c1", 20, None, 2), record("c2", 20, None, 3), record("c3", 21, None, 8)]);
        let body = body(&json!({"data": items(), "has_more": false}), &records);
        let messages = body["data"]["messages"].as_array().unwrap();
        let ids: Vec<_> = messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, [id(10), id(20), id(12), id(21)]);
        assert_eq!(messages[1]["role"], "assistant");
        assert_eq!(messages[1]["content"], json!([]));
        assert_eq!(messages[1]["tool_calls"].as_array().unwrap().len(), 2);
        assert_eq!(messages[2]["tool_calls"], Value::Null);
    }

    #[test]
    fn a_transcript_of_several_pages_has_a_cursor() {
        let body = body(&json!({"data": items(), "has_more": true, "after": id(12)}), &json!([]));
        assert_eq!(body["meta"], json!({"has_more": true, "after": id(12)}));
    }
}
