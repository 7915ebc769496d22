//! ChatKit's single endpoint in OpenAPI: a body and an answer for each request type.

use super::operation::events_text;
use crate::chatkit::REQUESTS;
use crate::fields::{Place, fields};
use crate::rule::{Does, Then};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::{StreamEvent, Thread};

/// Errors that some request type can be answered with.
pub(super) fn errors() -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    for code in REQUESTS.iter().flat_map(|rule| rule.errors) {
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    codes
}

/// The bodies.
pub(super) fn body(generator: &mut SchemaGenerator) -> Value {
    let bodies: Vec<Value> = REQUESTS
        .iter()
        .filter_map(|rule| {
            let method = rule.method()?;
            let fields: Vec<_> =
                fields(rule, generator).into_iter().filter(|field| field.place == Place::Body).collect();
            let required: Vec<&str> =
                fields.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
            let properties: Map<String, Value> =
                fields.iter().map(|field| (field.name.clone(), field.schema.clone())).collect();
            Some(json!({
                "type": "object",
                "title": method.name,
                "description": method.summary(),
                "properties": {
                    "type": {"const": method.name},
                    "params": {"type": "object", "properties": properties, "required": required},
                    "metadata": {"type": "object"},
                },
                "required": if required.is_empty() { json!(["type"]) } else { json!(["type", "params"]) },
            }))
        })
        .collect();
    json!({"oneOf": bodies})
}

/// The answers by content type.
pub(super) fn content(generator: &mut SchemaGenerator) -> Value {
    let replies: Vec<Value> = REQUESTS
        .iter()
        .filter_map(|rule| match &rule.does {
            Does::Rpc { then: Then::Reply(reply), .. } => Some((reply.data)(generator).to_value()),
            _ => None,
        })
        .collect();
    let event = generator.subschema_for::<StreamEvent<Thread>>().to_value();
    json!({
        "application/json": {"schema": {"anyOf": replies}},
        "text/event-stream": {"schema": events_text("Server-Sent Events: `data:` with JSON.", event)},
    })
}
