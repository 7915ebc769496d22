//! Schemas of bodies: envelopes, event streams, and parameters.

use crate::operation::Param;
use crate::response_data::{Envelope, ResponseFormat};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Returns the schema of a whole JSON response.
pub(super) fn response(format: &ResponseFormat, generator: &mut SchemaGenerator) -> Value {
    let data = (format.data)(generator).to_value();
    match format.envelope {
        Envelope::Standard => {
            let meta = (format.meta)(generator).map(Schema::to_value);
            envelope(&data, meta.as_ref())
        }
        Envelope::Bare | Envelope::Health { .. } => data,
    }
}

/// Encloses the schema of `data`, and that of `meta` if there is one.
pub(super) fn envelope(data: &Value, meta: Option<&Value>) -> Value {
    let mut properties = json!({"success": {"const": true}, "data": data});
    if let (Some(meta), Some(properties)) = (meta, properties.as_object_mut()) {
        properties.insert("meta".to_owned(), meta.clone());
    }
    json!({"type": "object", "properties": properties, "required": ["success", "data"]})
}

/// Returns properties and required names of parameters that are members of an object.
pub(super) fn members<'a>(params: impl Iterator<Item = &'a Param>) -> (Map<String, Value>, Vec<&'a str>) {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for param in params {
        properties.insert(param.name.clone(), param.schema.clone());
        if param.required {
            required.push(param.name.as_str());
        }
    }
    (properties, required)
}

/// Returns the schema of an event stream of the REST API.
pub(super) fn events<E: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    let event = generator.subschema_for::<E>().to_value();
    let delta = json!({
        "type": "object",
        "description": "More text. It stands for ChatKit's `assistant_message.content_part.text_delta`.",
        "required": ["type", "item_id", "content_index", "delta"],
        "properties": {
            "type": {"const": "thread.item.content.part.delta"},
            "item_id": {"type": "string", "format": "uuid"},
            "content_index": {"type": "integer", "minimum": 0},
            "delta": {"type": "string"},
        },
    });
    event_stream(
        "Server-Sent Events: `id: RUN_ID:SEQ` and `data:` with JSON; a comment after each 15 s without events; \
         `data: [DONE]` at the end.",
        json!({"anyOf": [delta, event]}),
    )
}

/// Returns the schema of each event of a stream: its fields, and the schema of its data.
pub(super) fn event_stream(description: &str, event: Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": ["data"],
        "properties": {
            "id": {"type": "string", "description": "Cursor of the event."},
            "data": {"anyOf": [
                {"const": "[DONE]", "description": "Nothing more comes."},
                {"type": "string", "contentMediaType": "application/json", "contentSchema": event},
            ]},
        },
    })
}

/// Returns the schema of a parameter that is sent as text. Such a parameter can be absent, but never null.
pub(super) fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(members) = schema.as_object_mut() else { return schema };
    // OpenAPI has the description in the parameter, not in its schema.
    members.remove("description");
    members.remove("default");
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let alternatives = members.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let alternatives: Vec<_> =
        alternatives.into_iter().filter(|schema| schema.get("type").is_none_or(|name| name != "null")).collect();
    match alternatives.as_slice() {
        [] => {}
        [only] => return only.clone(),
        _ => {
            members.insert("anyOf".to_owned(), alternatives.into());
        }
    }
    schema
}
