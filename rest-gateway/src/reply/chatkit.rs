//! Threads as ChatKit's own server shows them: without what this service adds, and without an integration's metadata.

use super::Reply;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use threadline_schema::chatkit;
use threadline_schema::page::Page;
use threadline_schema::threads::{Thread, ThreadPage};

/// A thread.
#[derive(Debug, Clone, Copy)]
pub struct ChatKitThread;

impl Reply<Thread> for ChatKitThread {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<chatkit::Thread>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<ThreadView<'_>>(result.get())?)
    }
}

/// A page of threads.
#[derive(Debug, Clone, Copy)]
pub struct ChatKitThreads;

impl Reply<ThreadPage> for ChatKitThreads {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Page<chatkit::Thread>>()
    }

    fn write(result: &RawValue, _named: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<PageView<'_>>(result.get())?)
    }
}

/// The members of a thread that are ChatKit's. Reading a thread of the service as this drops all others.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ThreadView<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    title: &'a RawValue,
    #[serde(borrow)]
    created_at: &'a RawValue,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    allowed_image_domains: Option<&'a RawValue>,
    #[serde(skip_deserializing)]
    metadata: Nothing,
    #[serde(borrow)]
    items: &'a RawValue,
}

/// `{}`.
#[derive(Debug, Default, Serialize)]
struct Nothing {}

#[derive(Serialize, Deserialize)]
struct PageView<'a> {
    #[serde(borrow)]
    data: Vec<ThreadView<'a>>,
    has_more: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Form, ReplyInfo};
    use serde_json::{Value, json};

    fn body<R: Reply<T>, T>(result: &Value) -> Value {
        let result = serde_json::value::to_raw_value(result).unwrap();
        let reply = ReplyInfo { form: Form::Bare, ..ReplyInfo::of::<R, T>() };
        serde_json::from_slice(&reply.body(&result, "").unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_chatkits_is_left_out() {
        let thread = json!({
            "id": "x", "title": "Hi", "created_at": "2026-01-01T00:00:00Z", "status": {"type": "active"},
            "metadata": {"secret": 1}, "items": {"data": [], "has_more": false}, "user_id": "u",
            "updated_at": "2026-01-02T00:00:00Z", "message_count": 3, "tool_calls": []
        });
        let shown = json!({
            "id": "x", "title": "Hi", "created_at": "2026-01-01T00:00:00Z", "status": {"type": "active"},
            "metadata": {}, "items": {"data": [], "has_more": false}
        });
        assert_eq!(body::<ChatKitThread, Thread>(&thread), shown);
        let page = json!({"data": [thread], "has_more": true, "after": "c", "total": 7});
        let told = body::<ChatKitThreads, ThreadPage>(&page);
        assert_eq!(told, json!({"data": [shown], "has_more": true, "after": "c"}));
    }
}
