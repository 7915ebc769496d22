//! Decides where each parameter of an operation comes from.
//!
//! The rule is that of grpc-gateway. In this order: what the row sets itself, path variables, headers, the body
//! (member by member, or whole for one parameter). Every other parameter is in the query string.

use crate::rule::{Preset, Rule};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};

/// Name of the header with the idempotency key.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Name of the header with the cursor of a client that comes back.
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";

/// One parameter of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Param {
    /// Its name in the params object of the method.
    pub(crate) name: String,
    /// Where its value comes from.
    pub(crate) source: ParamSource,
    /// How text becomes its value.
    pub(crate) param_type: ParamType,
    /// Whether the client has to send it.
    pub(crate) required: bool,
    doc: String,
    /// Its JSON Schema, taken from the params type of the method.
    pub(crate) schema: Value,
    /// JSON text that is used when the client sends no value.
    pub(crate) default: Option<&'static str>,
}

impl Param {
    /// Returns the description for documents.
    pub(crate) fn doc(&self) -> String {
        match self.default {
            Some(json) => format!("{} Default on this path: {json}.", self.doc),
            None => self.doc.clone(),
        }
    }

    /// Returns the description under the name of a path variable. A session is a thread, and REST's clients only know
    /// the word session.
    pub(crate) fn doc_of_variable(&self, variable: &str) -> &str {
        match variable {
            "session_id" => "The session.",
            _ => &self.doc,
        }
    }
}

/// Where a parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParamSource {
    /// Path variables. If there are several, their values must be equal.
    Path(Vec<&'static str>),
    /// A header.
    Header(&'static str),
    /// The query string, or a header that has precedence over it.
    Query(Option<&'static str>),
    /// A member of the JSON body.
    BodyMember,
    /// The whole JSON body, in REST's form of a message.
    BodyMessage,
    /// The whole body, which is a file.
    BodyFile,
    /// The rule: always this JSON text.
    Fixed(&'static str),
    /// None: the parameter is never sent to the core.
    Omitted,
}

/// How text from a path, a query string or a header becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamType {
    /// A UUID, written in lower case.
    Uuid,
    /// An integer from 0.
    Unsigned,
    /// `true` or `false`.
    Boolean,
    /// A string, unchanged.
    String,
    /// Any JSON. It cannot be written as text, so it is only possible in a body.
    Json,
}

/// Returns the parameters of a rule, ordered by name.
pub(super) fn params(rule: &Rule, generator: &mut SchemaGenerator) -> Vec<Param> {
    let Some(method) = rule.method() else { return page_params(rule) };
    let schema = (method.params)(generator).to_value();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    properties
        .iter()
        .map(|(name, schema)| {
            let preset = rule.preset(name);
            Param {
                name: name.clone(),
                source: source(rule, name, preset),
                param_type: param_type(schema),
                required: preset == Some(Preset::Required) || required.iter().any(|required| required == name),
                doc: schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
                schema: schema.clone(),
                default: match preset {
                    Some(Preset::Default(json)) => Some(json),
                    _ => None,
                },
            }
        })
        .collect()
}

/// Returns the path variables of a page. A page has no method, so no schema describes them.
fn page_params(rule: &Rule) -> Vec<Param> {
    let param = |variable: &'static str| Param {
        name: variable.to_owned(),
        source: ParamSource::Path(vec![variable]),
        param_type: ParamType::String,
        required: true,
        doc: "Name of the file.".to_owned(),
        schema: serde_json::json!({"type": "string"}),
        default: None,
    };
    rule.variables().map(param).collect()
}

fn source(rule: &Rule, name: &str, preset: Option<Preset>) -> ParamSource {
    match preset {
        Some(Preset::Fixed(json)) => return ParamSource::Fixed(json),
        Some(Preset::Omitted) => return ParamSource::Omitted,
        Some(Preset::Default(_) | Preset::Required) | None => {}
    }
    let variables: Vec<_> = rule.variables().filter(|variable| rule.param_of(variable) == name).collect();
    if !variables.is_empty() {
        return ParamSource::Path(variables);
    }
    match (name, rule.message) {
        ("idempotency_key", _) => ParamSource::Header(IDEMPOTENCY_KEY),
        // So does a client that reads the stream of a POST, with the same body.
        ("last_event_id", _) => ParamSource::Header(LAST_EVENT_ID),
        // A browser's EventSource sends the cursor in this header when it reconnects.
        ("after", _) if rule.is_subscription() => ParamSource::Query(Some(LAST_EVENT_ID)),
        (_, Some(message)) if message == name => ParamSource::BodyMessage,
        // A capability is part of a signed URL.
        ("token", _) => ParamSource::Query(None),
        _ if rule.is_upload() => ParamSource::BodyFile,
        (_, None) if rule.verb.has_body() => ParamSource::BodyMember,
        _ => ParamSource::Query(None),
    }
}

fn param_type(schema: &Value) -> ParamType {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    if let Some(alternatives) = alternatives {
        // If one of the alternatives is a string, a query string can always carry the value.
        let types: Vec<_> = alternatives.iter().filter(|schema| !is_null(schema)).map(param_type).collect();
        return match types.as_slice() {
            [only] => *only,
            _ if types.contains(&ParamType::String) => ParamType::String,
            _ => ParamType::Json,
        };
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        // A reference to a named enum of strings.
        _ => vec!["string"],
    };
    match types.as_slice() {
        ["string"] if schema.get("format").is_some_and(|format| format == "uuid") => ParamType::Uuid,
        ["string"] => ParamType::String,
        ["boolean"] => ParamType::Boolean,
        ["integer"] if schema.get("minimum").and_then(Value::as_u64).is_some() => ParamType::Unsigned,
        _ => ParamType::Json,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null")
}

/// Returns the name of a header as documents write it: `last-event-id` -> `Last-Event-ID`.
pub(crate) fn header_title(header: &str) -> String {
    header
        .split('-')
        .map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            if word == "id" { "ID".to_owned() } else { first.to_ascii_uppercase() + rest }
        })
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::super::operations;
    use super::*;
    use crate::rule::Verb;

    fn param(verb: Verb, path: &str, name: &str) -> Param {
        let operation = operations().iter().find(|op| op.rule.verb == verb && op.rule.path == path).unwrap();
        operation.params.iter().find(|param| param.name == name).unwrap().clone()
    }

    #[test]
    fn each_parameter_has_the_source_that_the_rule_gives_it() {
        let session = "/api/v1/chatkit/sessions/{session_id}";
        let runs = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";
        let events = "/api/v1/chatkit/runs/{run_id}/events";
        let cases = [
            (Verb::Get, session, "thread_id", ParamSource::Path(vec!["session_id"]), ParamType::Uuid),
            (Verb::Get, session, "limit", ParamSource::Query(None), ParamType::Unsigned),
            (Verb::Get, session, "after", ParamSource::Query(None), ParamType::String),
            (Verb::Get, session, "order", ParamSource::Fixed(r#""asc""#), ParamType::String),
            (Verb::Get, session, "include_tool_calls", ParamSource::Fixed("true"), ParamType::Boolean),
            (Verb::Patch, session, "title", ParamSource::BodyMember, ParamType::String),
            (Verb::Post, runs, "thread_id", ParamSource::Path(vec!["session_id", "thread_id"]), ParamType::Uuid),
            (Verb::Post, runs, "idempotency_key", ParamSource::Header("idempotency-key"), ParamType::String),
            (Verb::Post, runs, "last_event_id", ParamSource::Header("last-event-id"), ParamType::String),
            (Verb::Get, events, "after", ParamSource::Query(Some("last-event-id")), ParamType::String),
            (Verb::Get, "/api/v1/tasks", "status", ParamSource::Query(None), ParamType::String),
            (Verb::Post, "/api/v1/tasks", "tags", ParamSource::BodyMember, ParamType::Json),
            (Verb::Put, "/api/v1/tasks/{task_id}", "task_id", ParamSource::Path(vec!["task_id"]), ParamType::Uuid),
        ];
        for (verb, path, name, source, param_type) in cases {
            let param = param(verb, path, name);
            assert_eq!((param.source, param.param_type), (source, param_type), "{} {path}: {name}", verb.name());
        }
        assert_eq!(param(Verb::Post, runs, "input").source, ParamSource::BodyMessage);
        assert_eq!(param(Verb::Get, session, "limit").default, Some("1000"));
    }

    #[test]
    fn header_names_are_written_in_title_case() {
        assert_eq!(header_title("last-event-id"), "Last-Event-ID");
        assert_eq!(header_title("idempotency-key"), "Idempotency-Key");
    }
}
