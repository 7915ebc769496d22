//! Where each param of a row comes from: the one place that decides it, for serving and for the documents alike.
//!
//! The leftover rule, after grpc-gateway: what the row decides itself, then path variables, then headers, then the body
//! — whole, or as one param — and everything else is the query string.

use crate::chatkit::REQUESTS;
use crate::rule::{Preset, Rule};
use crate::rules::RULES;
use schemars::SchemaGenerator;
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// The header that names a submission, so that it can be sent again without harm.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A rule and what was worked out about it.
#[derive(Debug)]
pub(crate) struct Row {
    /// The rule.
    pub(crate) rule: &'static Rule,
    /// Its params.
    pub(crate) fields: Vec<Field>,
}

/// The rows of [`RULES`], in its order.
pub(crate) fn table() -> &'static [Row] {
    static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let mut generator = SchemaGenerator::default();
        RULES.iter().map(|rule| Row { rule, fields: fields(rule, &mut generator) }).collect()
    });
    &TABLE
}

/// One param of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// Its name in the params.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) place: Place,
    /// How text becomes its value.
    pub(crate) kind: Kind,
    /// Whether the client has to give it.
    pub(crate) required: bool,
    doc: String,
    /// Its schema as the params type has it.
    pub(crate) schema: Value,
    /// JSON text that stands in when the client does not give it.
    pub(crate) default: Option<&'static str>,
}

impl Field {
    /// What it means.
    pub(crate) fn doc(&self) -> String {
        match self.default {
            Some(json) => format!("{} On this path {json} when absent.", self.doc),
            None => self.doc.clone(),
        }
    }

    /// What it means under the name of a path variable: a session is a thread, which REST's clients need not know.
    pub(crate) fn doc_of(&self, variable: &str) -> &str {
        match variable {
            "session_id" => "The session.",
            _ => &self.doc,
        }
    }
}

/// Where a param comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Path variables; several must be equal.
    Path(Vec<&'static str>),
    /// A header.
    Header(&'static str),
    /// The query string, or a header that wins over it.
    Query(Option<&'static str>),
    /// A member of the body.
    Body,
    /// The whole body, in REST's form of a message.
    Message,
    /// The body, which is a file.
    File,
    /// The row: this JSON text.
    Fixed(&'static str),
    /// Nowhere.
    Withheld,
}

/// How text from a path, a query or a header becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A UUID, told in lower case.
    Uuid,
    /// A whole number that is not negative.
    Unsigned,
    /// `true` or `false`.
    Boolean,
    /// Text as it is.
    Text,
    /// Not writable as text: only in a body.
    Json,
}

/// The params of a rule, in the order of their names.
pub(crate) fn fields(rule: &Rule, generator: &mut SchemaGenerator) -> Vec<Field> {
    if rule.speaks_chatkit() {
        return chatkit_headers(generator);
    }
    let Some(method) = rule.method() else { return page_variables(rule) };
    let schema = (method.params)(generator).to_value();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    properties
        .iter()
        .map(|(name, schema)| {
            let preset = rule.preset(name);
            Field {
                name: name.clone(),
                place: place(rule, name, preset),
                kind: kind(schema),
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

/// What stands in the path of a page. There is no method whose params could say what it is.
fn page_variables(rule: &Rule) -> Vec<Field> {
    let of_variable = |variable: &'static str| Field {
        name: variable.to_owned(),
        place: Place::Path(vec![variable]),
        kind: Kind::Text,
        required: true,
        doc: "Name of the file.".to_owned(),
        schema: serde_json::json!({"type": "string"}),
        default: None,
    };
    rule.variables().map(of_variable).collect()
}

/// The headers that some request type of ChatKit's endpoint reads, once each. What a body holds depends on the type.
fn chatkit_headers(generator: &mut SchemaGenerator) -> Vec<Field> {
    let mut headers: Vec<Field> = Vec::new();
    for field in REQUESTS.iter().flat_map(|rule| fields(rule, generator)) {
        if matches!(field.place, Place::Header(_)) && !headers.iter().any(|known| known.name == field.name) {
            headers.push(field);
        }
    }
    headers
}

fn place(rule: &Rule, name: &str, preset: Option<Preset>) -> Place {
    match preset {
        Some(Preset::Fixed(json)) => return Place::Fixed(json),
        Some(Preset::Withheld) => return Place::Withheld,
        Some(Preset::Default(_) | Preset::Required) | None => {}
    }
    let variables: Vec<_> = rule.variables().filter(|variable| rule.param_of(variable) == name).collect();
    if !variables.is_empty() {
        return Place::Path(variables);
    }
    match (name, rule.message) {
        ("idempotency_key", _) => Place::Header(IDEMPOTENCY_KEY),
        // The cursor a browser's EventSource sends by itself when it comes back.
        ("after", _) if rule.follows() => Place::Query(Some("last-event-id")),
        (_, Some(message)) if message == name => Place::Message,
        // It stands in the URL that was signed.
        ("token", _) => Place::Query(None),
        _ if rule.takes_a_file() => Place::File,
        (_, None) if rule.verb.carries_body() => Place::Body,
        _ => Place::Query(None),
    }
}

fn kind(schema: &Value) -> Kind {
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    if let Some(alternatives) = alternatives {
        // Of several forms, text is the one a query string can always carry.
        let kinds: Vec<_> = alternatives.iter().filter(|one| !is_null(one)).map(kind).collect();
        return match kinds.as_slice() {
            [only] => *only,
            _ if kinds.contains(&Kind::Text) => Kind::Text,
            _ => Kind::Json,
        };
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        // A reference to a named enum of words.
        _ => vec!["string"],
    };
    match types.as_slice() {
        ["string"] if schema.get("format").is_some_and(|format| format == "uuid") => Kind::Uuid,
        ["string"] => Kind::Text,
        ["boolean"] => Kind::Boolean,
        ["integer"] if schema.get("minimum").and_then(Value::as_u64).is_some() => Kind::Unsigned,
        _ => Kind::Json,
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Verb;

    fn field(verb: Verb, path: &str, name: &str) -> Field {
        let row = table().iter().find(|row| row.rule.verb == verb && row.rule.path == path).unwrap();
        row.fields.iter().find(|field| field.name == name).unwrap().clone()
    }

    #[test]
    fn the_leftover_rule_places_each_param() {
        let session = "/api/v1/chatkit/sessions/{session_id}";
        let runs = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";
        let events = "/api/v1/chatkit/runs/{run_id}/events";
        let cases = [
            (Verb::Get, session, "thread_id", Place::Path(vec!["session_id"]), Kind::Uuid),
            (Verb::Get, session, "limit", Place::Query(None), Kind::Unsigned),
            (Verb::Get, session, "after", Place::Query(None), Kind::Text),
            (Verb::Get, session, "order", Place::Fixed(r#""asc""#), Kind::Text),
            (Verb::Get, session, "include_tool_calls", Place::Fixed("true"), Kind::Boolean),
            (Verb::Patch, session, "title", Place::Body, Kind::Text),
            (Verb::Post, runs, "thread_id", Place::Path(vec!["session_id", "thread_id"]), Kind::Uuid),
            (Verb::Post, runs, "idempotency_key", Place::Header("idempotency-key"), Kind::Text),
            (Verb::Get, events, "after", Place::Query(Some("last-event-id")), Kind::Text),
            (Verb::Get, "/api/v1/tasks", "status", Place::Query(None), Kind::Text),
            (Verb::Post, "/api/v1/tasks", "tags", Place::Body, Kind::Json),
            (Verb::Put, "/api/v1/tasks/{task_id}", "task_id", Place::Path(vec!["task_id"]), Kind::Uuid),
        ];
        for (verb, path, name, place, kind) in cases {
            let field = field(verb, path, name);
            assert_eq!((field.place, field.kind), (place, kind), "{} {path}: {name}", verb.name());
        }
        assert_eq!(field(Verb::Post, runs, "input").place, Place::Message);
        assert_eq!(field(Verb::Get, session, "limit").default, Some("1000"));
    }
}
