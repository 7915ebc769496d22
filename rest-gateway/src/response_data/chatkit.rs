//! Threads as ChatKit's own server returns them: without the members that this service adds, and without the metadata
//! of integrations.

use super::ResponseData;
use schemars::{Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use threadline_schema::chatkit;
use threadline_schema::page::Page;
use threadline_schema::threads::{Thread, ThreadPage};

/// A thread.
#[derive(Debug, Clone, Copy)]
pub struct ChatKitThread;

impl ResponseData<Thread> for ChatKitThread {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<chatkit::Thread>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<ThreadView<'_>>(result.get())?)
    }
}

/// A page of threads.
#[derive(Debug, Clone, Copy)]
pub struct ChatKitThreads;

impl ResponseData<ThreadPage> for ChatKitThreads {
    fn data(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<Page<chatkit::Thread>>()
    }

    fn write(result: &RawValue, _path_id: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &serde_json::from_str::<ThreadPageView<'_>>(result.get())?)
    }
}

/// The members of a thread that are part of ChatKit's protocol. Deserialization drops all others.
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
    /// ChatKit has no member for it, but metadata.
    #[serde(
        rename(deserialize = "temporary", serialize = "metadata"),
        borrow,
        default,
        serialize_with = "write_metadata"
    )]
    temporary: Option<&'a RawValue>,
    #[serde(borrow)]
    items: &'a RawValue,
}

/// Writes the metadata that clients see: whether the thread is temporary, and nothing of an integration.
#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn write_metadata<S: Serializer>(temporary: &Option<&RawValue>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut metadata = serializer.serialize_map(None)?;
    if let Some(temporary) = temporary {
        metadata.serialize_entry("temporary", temporary)?;
    }
    metadata.end()
}

#[derive(Serialize, Deserialize)]
struct ThreadPageView<'a> {
    #[serde(borrow)]
    data: Vec<ThreadView<'a>>,
    has_more: bool,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    after: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response_data::{Envelope, ResponseFormat};
    use serde_json::{Value, json};

    fn body<D: ResponseData<T>, T>(result: &Value) -> Value {
        let result = serde_json::value::to_raw_value(result).unwrap();
        let format = ResponseFormat { envelope: Envelope::Bare, ..ResponseFormat::of::<D, T>() };
        serde_json::from_slice(&format.body(&result, "").unwrap()).unwrap()
    }

    #[test]
    fn members_outside_of_chatkits_protocol_are_dropped() {
        let thread = json!({
            "id": "x", "title": "Hi", "created_at": "2026-01-01T00:00:00Z", "status": {"type": "active"},
            "metadata": {"secret": 1}, "items": {"data": [], "has_more": false}, "user_id": "u",
            "updated_at": "2026-01-02T00:00:00Z", "message_count": 3, "tool_calls": []
        });
        let expected = json!({
            "id": "x", "title": "Hi", "created_at": "2026-01-01T00:00:00Z", "status": {"type": "active"},
            "metadata": {}, "items": {"data": [], "has_more": false}
        });
        assert_eq!(body::<ChatKitThread, Thread>(&thread), expected);
        let mut temporary = thread.clone();
        temporary["temporary"] = true.into();
        assert_eq!(body::<ChatKitThread, Thread>(&temporary)["metadata"], json!({"temporary": true}));
        let page =
            body::<ChatKitThreads, ThreadPage>(&json!({"data": [thread], "has_more": true, "after": "c", "total": 7}));
        assert_eq!(page, json!({"data": [expected], "has_more": true, "after": "c"}));
    }
}
