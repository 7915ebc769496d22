//! Subsets of JSON Schema: Gemini's, and the smallest one.

use serde_json::{Map, Value, json};

/// What Gemini reads (<https://ai.google.dev/api/caching#Schema>). It refuses a request with anything else.
const GEMINI_KEYS: &[&str] = &[
    "type",
    "nullable",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "anyOf",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
];
/// Formats that Gemini knows.
const GEMINI_FORMATS: &[&str] = &["enum", "date-time", "float", "double", "int32", "int64"];
/// What every server reads.
const BASIC_KEYS: &[&str] = &["type", "description", "enum", "items", "properties", "required"];
const TYPES: &[&str] = &["string", "number", "integer", "boolean", "array", "object"];

/// Reduces a schema to what Gemini reads.
pub(crate) fn gemini(mut schema: Value) -> Value {
    reduce(&mut schema, GEMINI_KEYS);
    schema
}

/// Reduces a schema to types, properties, items, enums and descriptions.
pub(crate) fn basic(mut schema: Value) -> Value {
    reduce(&mut schema, BASIC_KEYS);
    schema
}

fn reduce(schema: &mut Value, keys: &[&str]) {
    let Value::Object(fields) = schema else {
        // `true`, or what is not a schema.
        *schema = json!({"type": "string"});
        return;
    };
    if let Some(Value::Array(parts)) = fields.remove("allOf") {
        merge_all(fields, parts);
    }
    if let Some(alternatives) = fields.remove("oneOf") {
        fields.entry("anyOf").or_insert(alternatives);
    }
    reduce_alternatives(fields, keys);
    if let Some(constant) = fields.remove("const") {
        fields.entry("enum").or_insert_with(|| json!([constant]));
    }
    reduce_type(fields);
    reduce_enum(fields);
    limit(fields, "exclusiveMinimum", "minimum", 1);
    limit(fields, "exclusiveMaximum", "maximum", -1);
    if fields.get("format").is_some_and(|format| !format.as_str().is_some_and(|name| GEMINI_FORMATS.contains(&name))) {
        fields.remove("format");
    }
    fields.retain(|key, _| keys.contains(&key.as_str()));
    if fields.contains_key("anyOf") {
        // Gemini takes nothing beside it that would say more.
        fields.retain(|key, _| matches!(key.as_str(), "anyOf" | "description" | "title" | "nullable"));
        return;
    }
    match fields.get("type").and_then(Value::as_str) {
        Some("array") => reduce(fields.entry("items").or_insert_with(|| json!({"type": "string"})), keys),
        Some("object") => {
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                properties.values_mut().for_each(|schema| reduce(schema, keys));
            }
        }
        _ => {}
    }
}

/// Merges the parts of `allOf`. What stands at the schema itself wins.
fn merge_all(fields: &mut Map<String, Value>, parts: Vec<Value>) {
    for part in parts {
        let Value::Object(part) = part else { continue };
        for (key, value) in part {
            match (fields.get_mut(&key), value) {
                (Some(Value::Object(all)), Value::Object(more)) if key == "properties" => {
                    for (name, schema) in more {
                        all.entry(name).or_insert(schema);
                    }
                }
                (Some(Value::Array(all)), Value::Array(more)) if key == "required" => {
                    all.extend(more);
                }
                (Some(_), _) => {}
                (None, value) => {
                    fields.insert(key, value);
                }
            }
        }
    }
    if let Some(Value::Array(parts)) = fields.remove("allOf") {
        merge_all(fields, parts);
    }
}

/// Reduces the alternatives. `null` among them becomes `nullable`, and a single one takes the place of the schema.
fn reduce_alternatives(fields: &mut Map<String, Value>, keys: &[&str]) {
    let Some(Value::Array(alternatives)) = fields.remove("anyOf") else { return };
    let is_null = |schema: &Value| schema.get("type").is_some_and(|name| name == "null") || schema.is_null();
    let count = alternatives.len();
    let mut alternatives: Vec<Value> = alternatives.into_iter().filter(|schema| !is_null(schema)).collect();
    if alternatives.len() < count {
        fields.insert("nullable".to_owned(), json!(true));
    }
    if alternatives.len() > 1 && keys.contains(&"anyOf") {
        alternatives.iter_mut().for_each(|schema| reduce(schema, keys));
        fields.insert("anyOf".to_owned(), Value::Array(alternatives));
    } else if let Some(Value::Object(first)) = alternatives.into_iter().next() {
        for (key, value) in first {
            fields.entry(key).or_insert(value);
        }
        reduce_alternatives(fields, keys);
    }
}

/// Makes `type` one name. `null` among several becomes `nullable`.
fn reduce_type(fields: &mut Map<String, Value>) {
    if fields.contains_key("anyOf") {
        return;
    }
    let names: Vec<String> = match fields.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    if names.iter().any(|name| name == "null") {
        fields.insert("nullable".to_owned(), json!(true));
    }
    let known = names.iter().map(|name| name.to_ascii_lowercase()).find(|name| TYPES.contains(&name.as_str()));
    let guessed = || {
        if fields.contains_key("properties") {
            "object"
        } else if fields.contains_key("items") || fields.contains_key("prefixItems") {
            "array"
        } else {
            "string"
        }
    };
    let name = known.unwrap_or_else(|| guessed().to_owned());
    if let Some(Value::Array(items)) = fields.get("prefixItems").or(fields.get("items")).cloned() {
        fields.insert("items".to_owned(), items.into_iter().next().unwrap_or_else(|| json!({"type": "string"})));
    }
    fields.insert("type".to_owned(), json!(name));
}

/// Only texts can be enumerated.
fn reduce_enum(fields: &mut Map<String, Value>) {
    let Some(Value::Array(values)) = fields.get_mut("enum") else { return };
    let nullable = values.iter().any(Value::is_null);
    values.retain(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    let is_empty = values.is_empty();
    if is_empty || fields.get("type").is_some_and(|name| name != "string") {
        fields.remove("enum");
    }
    if nullable {
        fields.insert("nullable".to_owned(), json!(true));
    }
}

/// Replaces an exclusive limit of whole numbers by the next number. Of others it becomes inclusive: nearly the same.
fn limit(fields: &mut Map<String, Value>, exclusive: &str, inclusive: &str, step: i64) {
    let Some(value) = fields.remove(exclusive) else { return };
    let is_integer = fields.get("type").is_some_and(|name| name == "integer");
    let value = match value.as_i64() {
        Some(number) if is_integer => json!(number.saturating_add(step)),
        _ if value.is_number() => value,
        // In older drafts it is a switch beside the limit.
        _ => return,
    };
    fields.entry(inclusive).or_insert(value);
}
