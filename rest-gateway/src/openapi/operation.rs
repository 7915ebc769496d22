//! One row as an OpenAPI operation.

use super::{by_status, chatkit, response_name};
use crate::bind::SendMessage;
use crate::fields::{Field, IDEMPOTENCY_KEY, Place};
use crate::reply::{Form, Message, ReplyInfo};
use crate::rule::{Does, Page, Rule, Scope, Then};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use threadline_schema::ErrorCode;
use threadline_schema::event::{RunEvent, ThreadEvent};
use threadline_schema::rpc::Access;

pub(super) fn operation(rule: &Rule, fields: &[Field], generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": rule.operation_id(),
        "summary": rule.summary(),
        "description": rule.description(),
        "tags": [rule.tag()],
        "security": security(rule),
        "parameters": parameters(fields),
        "responses": responses(rule, fields, generator),
    });
    if let (Some(body), Some(operation)) = (request_body(rule, fields, generator), operation.as_object_mut()) {
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// Who may ask. What is signed stands in the URL, and a token does as well.
fn security(rule: &Rule) -> Value {
    match rule.method().map(|method| method.access) {
        Some(Access::User) => json!([{"bearer": []}]),
        Some(Access::Signed) => json!([{"bearer": []}, {}]),
        Some(Access::Public | Access::Probe) | None => json!([]),
    }
}

/// Errors a row can answer with: those of its kind, and the method's own.
pub(crate) fn errors(rule: &Rule) -> Vec<ErrorCode> {
    use ErrorCode as E;
    let Some(access) = rule.access() else {
        return if rule.variables().next().is_some() { vec![E::NotFound] } else { Vec::new() };
    };
    let mut codes = vec![E::InvalidRequest, E::InternalError, E::ServiceUnavailable];
    if rule.speaks_chatkit() {
        codes.extend(chatkit::errors());
    }
    match access {
        Access::User | Access::Signed => codes.extend([E::Unauthorized, E::RateLimited]),
        Access::Public => codes.push(E::RateLimited),
        Access::Probe => {}
    }
    for variable in rule.variables() {
        codes.extend(match variable {
            "session_id" => Some(E::SessionNotFound),
            "thread_id" => Some(E::ThreadNotFound),
            "run_id" => Some(E::RunNotFound),
            "task_id" => Some(E::TaskNotFound),
            "attachment_id" => Some(E::AttachmentNotFound),
            _ => None,
        });
    }
    if rule.variables().next().is_some() {
        codes.push(E::Forbidden);
    }
    if rule.takes_a_file() {
        codes.push(E::PayloadTooLarge);
    } else if rule.verb.carries_body() {
        codes.extend([E::InvalidJson, E::PayloadTooLarge, E::UnsupportedMediaType]);
    }
    codes.extend(rule.errors);
    codes
}

fn parameters(fields: &[Field]) -> Vec<Value> {
    let mut parameters = Vec::new();
    for field in fields {
        let mut add = |name: &str, place: &str, required: bool, doc: &str| {
            let mut parameter = json!({
                "name": name, "in": place, "required": required, "description": doc,
                "schema": without_null(&field.schema),
            });
            let default = field.default.and_then(|json| serde_json::from_str::<Value>(json).ok());
            if let (Some(default), Some(schema)) =
                (default, parameter.pointer_mut("/schema").and_then(Value::as_object_mut))
            {
                schema.insert("default".to_owned(), default);
            }
            parameters.push(parameter);
        };
        match &field.place {
            Place::Path(variables) => {
                for variable in variables {
                    add(variable, "path", true, field.doc_of(variable));
                }
            }
            Place::Header(name) => add(&title_case(name), "header", false, &field.doc()),
            Place::Query(over) => {
                add(&field.name, "query", field.required, &field.doc());
                if let Some(name) = over {
                    add(
                        &title_case(name),
                        "header",
                        false,
                        &format!("The same as `{}`, and wins over it.", field.name),
                    );
                }
            }
            Place::Body | Place::Message | Place::File | Place::Fixed(_) | Place::Withheld => {}
        }
    }
    parameters
}

fn request_body(rule: &Rule, fields: &[Field], generator: &mut SchemaGenerator) -> Option<Value> {
    if rule.takes_a_file() {
        return Some(json!({"required": true, "content": {"*/*": {}}}));
    }
    let schema = if rule.speaks_chatkit() {
        chatkit::body(generator)
    } else if rule.message.is_some() {
        generator.subschema_for::<SendMessage>().to_value()
    } else {
        let body: Vec<_> = fields.iter().filter(|field| field.place == Place::Body).collect();
        if body.is_empty() {
            return None;
        }
        let required: Vec<_> = body.iter().filter(|field| field.required).map(|field| field.name.as_str()).collect();
        let properties: Map<String, Value> =
            body.iter().map(|field| (field.name.clone(), field.schema.clone())).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    Some(json!({"required": !rule.optional_body, "content": {"application/json": {"schema": schema}}}))
}

fn responses(rule: &Rule, fields: &[Field], generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut responses: Map<String, Value> = by_status(errors(rule))
        .into_keys()
        .map(|status| {
            (status.to_string(), json!({"$ref": format!("#/components/responses/{}", response_name(status))}))
        })
        .collect();
    let content = match &rule.does {
        Does::Serve(page) => page_content(*page),
        Does::Rpc { then: Then::GiveFile, .. } => json!({"*/*": {}}),
        Does::ChatKit | Does::Rpc { then: Then::StreamChatKit { .. }, .. } => chatkit::content(generator),
        Does::Rpc { then: Then::Reply(reply) | Then::TakeFile(reply), .. } => {
            let schema = reply_schema(reply, generator);
            if let Form::Health { .. } = reply.form {
                let down = json!({"description": "Not well.", "content": {"application/json": {"schema": schema}}});
                responses.insert("503".to_owned(), down);
            }
            json!({"application/json": {"schema": schema}})
        }
        Does::Rpc { then: Then::StreamRun { .. }, .. } => {
            let message = generator.subschema_for::<Message<'static>>().to_value();
            json!({
                "text/event-stream": {"schema": events_schema::<RunEvent>(generator)},
                "application/json": {"schema": envelope(&message, None)},
            })
        }
        Does::Rpc { then: Then::Stream, .. } => {
            json!({"text/event-stream": {"schema": events_schema::<RunEvent>(generator)}})
        }
        Does::Rpc { then: Then::StreamThread, .. } => {
            json!({"text/event-stream": {"schema": events_schema::<ThreadEvent>(generator)}})
        }
    };
    let mut headers = vec!["X-Request-Id"];
    if rule.access().is_some_and(|access| access != Access::Probe) {
        headers.extend(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]);
    }
    if rule.streams() == Some(Scope::Run) || rule.speaks_chatkit() {
        headers.push("X-Run-Id");
    }
    if fields.iter().any(|field| field.place == Place::Header(IDEMPOTENCY_KEY)) {
        headers.push("Idempotency-Replayed");
    }
    let headers: Map<String, Value> = headers
        .into_iter()
        .map(|name| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")})))
        .collect();
    let description = match rule.streams() {
        Some(Scope::Run) => "The events of the run, then `data: [DONE]`.",
        Some(Scope::Thread) => "The events of the session, run after run.",
        None if rule.speaks_chatkit() => "JSON, or the events of the run, as the type of the request asks.",
        None => "As asked.",
    };
    let success = json!({"description": description, "headers": headers, "content": content});
    responses.insert(rule.status.to_string(), success);
    responses
}

fn reply_schema(reply: &ReplyInfo, generator: &mut SchemaGenerator) -> Value {
    let data = (reply.data)(generator).to_value();
    match reply.form {
        Form::Envelope => {
            let meta = (reply.meta)(generator).map(schemars::Schema::to_value);
            envelope(&data, meta.as_ref())
        }
        Form::Bare | Form::Health { .. } => data,
    }
}

fn envelope(data: &Value, meta: Option<&Value>) -> Value {
    let mut properties = json!({"success": {"const": true}, "data": data});
    if let (Some(meta), Some(properties)) = (meta, properties.as_object_mut()) {
        properties.insert("meta".to_owned(), meta.clone());
    }
    json!({"type": "object", "properties": properties, "required": ["success", "data"]})
}

fn events_schema<E: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    let event = generator.subschema_for::<E>().to_value();
    let delta = json!({
        "type": "object",
        "description": "More text; stands for ChatKit's `assistant_message.content_part.text_delta`.",
        "required": ["type", "item_id", "content_index", "delta"],
        "properties": {
            "type": {"const": "thread.item.content.part.delta"},
            "item_id": {"type": "string", "format": "uuid"},
            "content_index": {"type": "integer", "minimum": 0},
            "delta": {"type": "string"},
        },
    });
    events_text(
        "Server-Sent Events: `id: RUN_ID:SEQ` and `data:` with JSON; a comment every 15 s of silence; `data: [DONE]` at \
         the end.",
        json!({"anyOf": [delta, event]}),
    )
}

/// A stream of events as text, and what each of them is.
pub(super) fn events_text(description: &str, event: Value) -> Value {
    json!({
        "type": "string",
        "description": description,
        "contentMediaType": "application/json",
        "contentSchema": event,
    })
}

fn page_content(page: Page) -> Value {
    let kind = match page {
        Page::Root | Page::Health | Page::OpenApi => "application/json",
        Page::Metrics => "text/plain",
        Page::Docs | Page::Chat => "text/html",
        Page::ChatFile => "*/*",
    };
    let schema = if kind == "application/json" { "object" } else { "string" };
    json!({kind: {"schema": {"type": schema}}})
}

/// The schema of a value that text gives: a parameter is absent, never null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let Some(members) = schema.as_object_mut() else { return schema };
    // A parameter carries its own description.
    members.remove("description");
    members.remove("default");
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    let alternatives = members.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let alternatives: Vec<_> =
        alternatives.into_iter().filter(|one| one.get("type").is_none_or(|kind| kind != "null")).collect();
    match alternatives.as_slice() {
        [] => {}
        [only] => return only.clone(),
        _ => {
            members.insert("anyOf".to_owned(), alternatives.into());
        }
    }
    schema
}

/// A header's name as documents write it.
pub(crate) fn title_case(header: &str) -> String {
    header
        .split('-')
        .map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            if word == "id" { "ID".to_owned() } else { first.to_ascii_uppercase() + rest }
        })
        .collect::<Vec<_>>()
        .join("-")
}
