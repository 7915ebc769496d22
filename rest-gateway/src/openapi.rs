//! Table and schemas -> OpenAPI 3.1.

mod chatkit;
mod operation;

use crate::fields::fields;
use crate::pages::VERSION;
use crate::rules::RULES;
use operation::operation;
pub(crate) use operation::{errors, title_case};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use threadline_schema::ErrorCode;

/// The REST API as an OpenAPI 3.1 document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for rule in RULES {
        let fields = fields(rule, &mut generator);
        let operation = operation(rule, &fields, &mut generator);
        let path = paths.entry(rule.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(rule.verb.name().to_lowercase(), operation);
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    let description = "A self-hosted chat backend. Replies are `{\"success\":true,\"data\":...}` or \
                       `{\"success\":false,\"error\":{\"code\",\"message\"}}`; the health checks keep a form of their own.";
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Threadline", "version": VERSION, "description": description},
        "tags": tags(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses(),
            "headers": headers(),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    })
}

/// Name of a component that describes every error of one status.
fn response_name(status: u16) -> String {
    format!("Error{status}")
}

/// The rows of the error table by status.
fn by_status(codes: impl IntoIterator<Item = ErrorCode>) -> BTreeMap<u16, Vec<ErrorCode>> {
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.http_status()).or_default().push(code);
    }
    by_status
}

fn responses() -> Map<String, Value> {
    by_status(ErrorCode::ALL.iter().copied())
        .into_iter()
        .map(|(status, codes)| {
            let meanings: Vec<_> = codes.iter().map(|code| format!("`{code}`: {}", code.meaning().trim())).collect();
            let mut headers = json!({"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}});
            let extra = match status {
                401 => Some("WWW-Authenticate"),
                405 => Some("Allow"),
                429 | 503 => Some("Retry-After"),
                _ => None,
            };
            if let (Some(extra), Some(headers)) = (extra, headers.as_object_mut()) {
                headers.insert(extra.to_owned(), json!({"$ref": format!("#/components/headers/{extra}")}));
            }
            let response = json!({
                "description": meanings.join("\n\n"),
                "headers": headers,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            });
            (response_name(status), response)
        })
        .collect()
}

fn headers() -> Value {
    let header = |description: &str, kind: &str| json!({"description": description, "schema": {"type": kind}});
    json!({
        "X-Request-Id": header("Names the request in the server's log; the client's own, if it sent a fit one.", "string"),
        "X-Run-Id": header("The run whose events follow.", "string"),
        "Idempotency-Replayed": header("`true` when the key was known and the earlier submission is answered.", "string"),
        "X-RateLimit-Limit": header("Requests per minute.", "integer"),
        "X-RateLimit-Remaining": header("Requests that would be let through right now.", "integer"),
        "X-RateLimit-Reset": header("Seconds until the whole allowance is back.", "integer"),
        "Retry-After": header("Seconds after which the request is worth trying again.", "integer"),
        "WWW-Authenticate": header("Always `Bearer`.", "string"),
        "Allow": header("The verbs this path answers.", "string"),
    })
}

fn error_schema() -> Value {
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
    json!({
        "type": "object",
        "required": ["success", "error"],
        "properties": {
            "success": {"const": false},
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "enum": codes},
                    "message": {"type": "string", "description": "A sentence that says what to change."},
                    "retry_after": {"type": "integer", "description": "Seconds to wait before the next try."},
                },
            },
        },
    })
}

fn tags() -> Vec<Value> {
    let mut tags: Vec<&str> = Vec::new();
    for rule in RULES {
        if !tags.contains(&rule.tag()) {
            tags.push(rule.tag());
        }
    }
    tags.into_iter().map(|name| json!({"name": name})).collect()
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
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for target in found {
            let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads out of the document"));
            assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
        }
    }

    #[test]
    fn operations_say_what_a_client_needs() {
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
            [("Idempotency-Key", json!("header")), ("session_id", json!("path")), ("thread_id", json!("path"))]
        );
        assert_eq!(runs["security"], json!([{"bearer": []}]));
        assert!(runs["requestBody"]["content"]["application/json"]["schema"]["$ref"].is_string());
        assert!(runs["responses"]["200"]["content"]["text/event-stream"].is_object());
        for status in ["400", "401", "403", "404", "409", "413", "415", "429", "500", "502", "503", "504"] {
            assert!(runs["responses"][status].is_object(), "{status} is not among the answers");
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
