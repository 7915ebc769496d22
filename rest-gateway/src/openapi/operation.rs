//! One operation in OpenAPI.

use super::components::{by_status, error_response_name};
use super::{chatkit, schema};
use crate::bind::SendMessage;
use crate::operation::{IDEMPOTENCY_KEY, Operation, Param, ParamSource, header_title};
use crate::response_data::{Envelope, Message};
use crate::rule::{Page, ResponseMode, Rule, StreamScope, Target};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};
use threadline_schema::event::{RunEvent, ThreadEvent};
use threadline_schema::rpc::Access;

/// Describes an operation.
pub(super) fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let rule = operation.rule;
    let mut described = json!({
        "operationId": rule.operation_id(),
        "summary": rule.summary(),
        "description": rule.description(),
        "tags": [rule.tag()],
        "security": security(rule),
        "parameters": parameters(&operation.params),
        "responses": responses(operation, generator),
    });
    if let (Some(body), Some(described)) = (request_body(operation, generator), described.as_object_mut()) {
        described.insert("requestBody".to_owned(), body);
    }
    described
}

/// Returns who may call. A signed URL needs no token, and accepts one.
fn security(rule: &Rule) -> Value {
    match rule.method().map(|method| method.access) {
        Some(Access::User | Access::Admin) => json!([{"bearer": []}]),
        Some(Access::Signed) => json!([{"bearer": []}, {}]),
        Some(Access::Public | Access::Probe) | None => json!([]),
    }
}

fn parameters(params: &[Param]) -> Vec<Value> {
    let mut parameters = Vec::new();
    for param in params {
        let mut add = |name: &str, location: &str, required: bool, doc: &str| {
            let mut parameter = json!({
                "name": name, "in": location, "required": required, "description": doc,
                "schema": schema::without_null(&param.schema),
            });
            let default = param.default.and_then(|json| serde_json::from_str::<Value>(json).ok());
            if let (Some(default), Some(schema)) =
                (default, parameter.pointer_mut("/schema").and_then(Value::as_object_mut))
            {
                schema.insert("default".to_owned(), default);
            }
            parameters.push(parameter);
        };
        match &param.source {
            ParamSource::Path(variables) => {
                for variable in variables {
                    add(variable, "path", true, param.doc_of_variable(variable));
                }
            }
            ParamSource::Header(name) => add(&header_title(name), "header", false, &param.doc()),
            ParamSource::Query(override_header) => {
                add(&param.name, "query", param.required, &param.doc());
                if let Some(name) = override_header {
                    let doc = format!("The same as `{}`, with precedence over it.", param.name);
                    add(&header_title(name), "header", false, &doc);
                }
            }
            ParamSource::BodyMember
            | ParamSource::BodyMessage
            | ParamSource::BodyFile
            | ParamSource::Fixed(_)
            | ParamSource::Omitted => {}
        }
    }
    parameters
}

fn request_body(operation: &Operation, generator: &mut SchemaGenerator) -> Option<Value> {
    let rule = operation.rule;
    if rule.is_upload() {
        return Some(json!({"required": true, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}));
    }
    let schema = if rule.is_chatkit_endpoint() {
        chatkit::request_body(generator)
    } else if rule.message.is_some() {
        generator.subschema_for::<SendMessage>().to_value()
    } else {
        let (properties, required) = schema::members(operation.params_from(&ParamSource::BodyMember));
        if properties.is_empty() {
            return None;
        }
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    Some(json!({"required": !rule.optional_body, "content": {"application/json": {"schema": schema}}}))
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let rule = operation.rule;
    let mut responses: Map<String, Value> = by_status(operation.errors())
        .into_keys()
        .map(|status| {
            let name = error_response_name(status);
            (status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}))
        })
        .collect();
    let content = content(&rule.target, generator);
    if is_health_check(&rule.target) {
        responses.insert("503".to_owned(), json!({"description": "Not healthy.", "content": content}));
    }
    let description = match rule.stream_scope() {
        Some(StreamScope::Run) => "The events of the run, then `data: [DONE]`.",
        Some(StreamScope::Thread) => "The events of the session, run after run.",
        None if rule.is_chatkit_endpoint() => "JSON or the events of the run, depending on the request type.",
        None => "Success.",
    };
    let success = json!({"description": description, "headers": headers(operation), "content": content});
    responses.insert(rule.status.to_string(), success);
    responses
}

fn is_health_check(target: &Target) -> bool {
    let Target::Method { mode: ResponseMode::Json(format), .. } = target else { return false };
    matches!(format.envelope, Envelope::Health { .. })
}

/// Returns the body of a successful response, by content type.
fn content(target: &Target, generator: &mut SchemaGenerator) -> Value {
    let mode = match target {
        Target::Page(page) => return page_content(*page),
        Target::ChatKit => return chatkit::content(generator),
        Target::Method { mode, .. } => mode,
    };
    match mode {
        ResponseMode::Json(format) | ResponseMode::Upload(format) => {
            json!({"application/json": {"schema": schema::response(format, generator)}})
        }
        ResponseMode::StartedRun { .. } => {
            let message = generator.subschema_for::<Message<'static>>().to_value();
            json!({
                "text/event-stream": {"schema": schema::events::<RunEvent>(generator)},
                "application/json": {"schema": schema::envelope(&message, None)},
            })
        }
        ResponseMode::ChatKitRun { .. } => chatkit::content(generator),
        ResponseMode::Subscription(StreamScope::Run) => {
            json!({"text/event-stream": {"schema": schema::events::<RunEvent>(generator)}})
        }
        ResponseMode::Subscription(StreamScope::Thread) => {
            json!({"text/event-stream": {"schema": schema::events::<ThreadEvent>(generator)}})
        }
        // Of the type that the attachment has: a JSON file is JSON, so no schema fits all.
        ResponseMode::Download => json!({"*/*": {"schema": {"description": "The file."}}}),
        ResponseMode::Export => {
            let schema = json!({"type": "string", "description": "One JSON object in each line."});
            json!({"application/x-ndjson": {"schema": schema}})
        }
    }
}

/// Returns the headers of a successful response.
fn headers(operation: &Operation) -> Map<String, Value> {
    let rule = operation.rule;
    let mut names = vec!["X-Request-Id"];
    if rule.access().is_some_and(|access| access != Access::Probe) {
        names.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
    }
    if rule.stream_scope() == Some(StreamScope::Run) || rule.is_chatkit_endpoint() {
        names.push("X-Run-Id");
    }
    if operation.params_from(&ParamSource::Header(IDEMPOTENCY_KEY)).next().is_some() {
        names.push("Idempotency-Replayed");
    }
    let reference = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    names.into_iter().map(|name| (name.to_owned(), reference(name))).collect()
}

fn page_content(page: Page) -> Value {
    let content_type = match page {
        Page::Root | Page::Health | Page::OpenApi => "application/json",
        Page::Metrics => "text/plain",
        Page::Docs | Page::Reference | Page::Chat | Page::Console => "text/html",
        Page::ReferenceFile | Page::ChatFile | Page::ConsoleFile => {
            return json!({
                "text/css": {"schema": {"type": "string"}},
                "text/javascript": {"schema": {"type": "string"}},
            });
        }
    };
    let schema = if content_type == "application/json" { "object" } else { "string" };
    json!({content_type: {"schema": {"type": schema}}})
}
