//! Tables and schemas -> OpenAPI 3.1.

mod chatkit;
mod components;
mod operation;
mod schema;
mod unused;
mod variants;

use crate::operation::Operation;
use crate::rules::RULES;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use threadline_schema::plain_text::refuse_nul_in;

/// Returns the REST API as an OpenAPI 3.1 document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for rule in RULES {
        let operation = Operation::new(rule, &mut generator);
        let described = operation::describe(&operation, &mut generator);
        let path = paths.entry(rule.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(rule.verb.name().to_lowercase(), described);
        }
    }
    let mut schemas = generator.take_definitions(true);
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        for part in ["parameters", "requestBody"] {
            if let Some(sent) = operation.get_mut(part) {
                refuse_nul_in(sent, &mut schemas, "#/components/schemas/");
            }
        }
    }
    schemas.insert("Error".to_owned(), components::error_schema());
    let description = "A self-hosted chat backend. Responses are `{\"success\":true,\"data\":...}` or \
                       `{\"success\":false,\"error\":{\"code\",\"message\"}}`; health checks have a form of their own.";
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Threadline",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            "contact": {"name": "The operator of this server"},
        },
        // The server that the document comes from.
        "servers": [{"url": "/"}],
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": components::error_responses(),
            "headers": components::headers(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    unused::remove_unused_components(&mut document);
    variants::name_variants(&mut document);
    document
}

fn tags() -> Vec<Value> {
    let mut tags: Vec<&str> = Vec::new();
    for rule in RULES {
        if !tags.contains(&rule.tag()) {
            tags.push(rule.tag());
        }
    }
    tags.into_iter().map(|name| json!({"name": name, "description": tag_description(name)})).collect()
}

fn tag_description(tag: &str) -> &'static str {
    match tag {
        "accounts" => "Accounts and tokens.",
        "sessions" => "Conversations: their messages, their events, and new messages.",
        "runs" => "The making of one answer: its events, its state, its end.",
        "chatkit" => "The ChatKit protocol.",
        "attachments" => "Files of messages, and speech.",
        "tasks" => "The user's to-do list.",
        "console" => "For operators: users, live runs, usage, feedback, keys, audit log, settings.",
        _ => "Health, usage, metrics and documents.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str() {
                        Some(target) if name == "$ref" => found.push(target),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_has_a_target() {
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} is not in the document"));
            assert!(document.pointer(pointer).is_some(), "{target} does not exist");
        }
    }

    #[test]
    fn operations_describe_what_a_client_needs() {
        let document = openapi();
        let runs = &document["paths"]["/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs"]["post"];
        let names: Vec<_> = runs["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (p["name"].as_str().unwrap(), p["in"].clone()))
            .collect();
        assert_eq!(
            names,
            [
                ("Idempotency-Key", json!("header")),
                ("Last-Event-ID", json!("header")),
                ("session_id", json!("path")),
                ("thread_id", json!("path"))
            ]
        );
        assert_eq!(runs["security"], json!([{"bearer": []}]));
        assert!(runs["requestBody"]["content"]["application/json"]["schema"]["$ref"].is_string());
        assert!(runs["responses"]["200"]["content"]["text/event-stream"].is_object());
        for status in ["400", "401", "403", "404", "409", "413", "415", "429", "500", "502", "503", "504"] {
            assert!(runs["responses"][status].is_object(), "{status} is not among the responses");
        }

        let list = &document["paths"]["/api/v1/chatkit/sessions"]["get"];
        let data = &list["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["data"];
        assert_eq!(data["items"]["$ref"], "#/components/schemas/Session");
        let limit = list["parameters"].as_array().unwrap().iter().find(|p| p["name"] == "limit").unwrap();
        assert_eq!((&limit["schema"]["type"], &limit["required"]), (&json!("integer"), &json!(false)));

        let register = &document["paths"]["/api/v1/auth/register"]["post"];
        assert!(register["responses"]["201"].is_object() && register["security"] == json!([]));
        let body = &register["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(body["required"], json!(["email", "password"]));
    }
}
