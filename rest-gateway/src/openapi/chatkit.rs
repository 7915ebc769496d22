//! ChatKit's single endpoint in OpenAPI: a request body for each request type, and all responses.

use super::schema::{event_stream, members};
use crate::chatkit_rules::REQUESTS;
use crate::operation::{ParamSource, for_rules};
use crate::rule::{ResponseMode, Target};
use schemars::SchemaGenerator;
use serde_json::{Value, json};
use threadline_schema::chatkit::{StreamEvent, Thread};

/// Returns the schema of the request body.
pub(super) fn request_body(generator: &mut SchemaGenerator) -> Value {
    let bodies: Vec<Value> = for_rules(REQUESTS, generator)
        .iter()
        .filter_map(|operation| {
            let method = operation.rule.method()?;
            let (mut properties, required) = members(operation.params_from(&ParamSource::BodyMember));
            if let Some(limit) = properties.get_mut("limit").and_then(Value::as_object_mut) {
                // Larger ones are capped.
                limit.remove("maximum");
            }
            Some(json!({
                "type": "object",
                "title": method.name,
                "description": method.summary(),
                "properties": {
                    "type": {"const": method.name},
                    "params": {"type": "object", "properties": properties, "required": required},
                    "metadata": {"type": ["object", "null"]},
                },
                "required": if required.is_empty() { json!(["type"]) } else { json!(["type", "params"]) },
            }))
        })
        .collect();
    json!({"oneOf": bodies})
}

/// Returns the responses by content type.
pub(super) fn content(generator: &mut SchemaGenerator) -> Value {
    let results: Vec<Value> = REQUESTS
        .iter()
        .filter_map(|rule| match &rule.target {
            Target::Method { mode: ResponseMode::Json(format), .. } => Some((format.data)(generator).to_value()),
            _ => None,
        })
        .collect();
    // Several request types have the same result.
    let mut distinct: Vec<Value> = Vec::new();
    for result in results {
        if !distinct.contains(&result) {
            distinct.push(result);
        }
    }
    let event = generator.subschema_for::<StreamEvent<Thread>>().to_value();
    json!({
        "application/json": {"schema": {"anyOf": distinct}},
        "text/event-stream": {"schema": event_stream("Server-Sent Events: `data:` with JSON.", event)},
    })
}
