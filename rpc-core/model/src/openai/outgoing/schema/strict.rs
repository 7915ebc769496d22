//! Schemas for OpenAI's structured outputs.

use super::texts;
use serde_json::{Map, Value, json};

/// Keywords that structured outputs refuse.
const REFUSED: &[&str] = &[
    "default",
    "examples",
    "title",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
    "minLength",
    "maxLength",
    "format",
    "$comment",
    "deprecated",
    "readOnly",
    "writeOnly",
];

/// Returns the schema for `strict`: no further properties, all properties required, optional ones nullable. `None` if
/// that would change its meaning: free properties, or combinations of schemas.
pub(crate) fn strict(schema: &Value) -> Option<Value> {
    let mut schema = schema.clone();
    make_strict(&mut schema)?;
    Some(schema)
}

fn make_strict(schema: &mut Value) -> Option<()> {
    let fields = schema.as_object_mut()?;
    let refused = ["allOf", "oneOf", "not", "if", "dependentSchemas", "dependentRequired", "prefixItems"];
    if refused.iter().any(|key| fields.contains_key(*key)) {
        return None;
    }
    let is_free = |fields: &Map<String, Value>| match fields.get("additionalProperties") {
        Some(Value::Bool(free)) => *free,
        Some(_) => true,
        None => false,
    };
    let is_object = fields.get("type").is_some_and(|name| is_type(name, "object"));
    if is_object && (is_free(fields) || !fields.contains_key("properties")) {
        return None;
    }
    if !fields.contains_key("type") && !fields.contains_key("anyOf") && !fields.contains_key("enum") {
        return None;
    }
    fields.retain(|key, _| !REFUSED.contains(&key.as_str()));
    if let Some(Value::Array(alternatives)) = fields.get_mut("anyOf") {
        alternatives.iter_mut().try_for_each(make_strict)?;
    }
    if let Some(items) = fields.get_mut("items") {
        make_strict(items)?;
    }
    if !is_object {
        return Some(());
    }
    let required = texts(fields.get("required"));
    let mut names = Vec::new();
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        for (name, schema) in properties {
            make_strict(schema)?;
            if !required.contains(name) {
                make_nullable(schema);
            }
            names.push(name.clone());
        }
    }
    fields.insert("required".to_owned(), json!(names));
    fields.insert("additionalProperties".to_owned(), json!(false));
    Some(())
}

fn is_type(value: &Value, name: &str) -> bool {
    value == name || value.as_array().is_some_and(|names| names.iter().any(|other| other == name))
}

fn make_nullable(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Array(values)) = fields.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    match fields.get_mut("type") {
        Some(Value::String(name)) => {
            let name = name.clone();
            fields.insert("type".to_owned(), json!([name, "null"]));
        }
        Some(Value::Array(names)) if !names.iter().any(|name| name == "null") => names.push(json!("null")),
        Some(_) => {}
        None => {
            if let Some(Value::Array(alternatives)) = fields.get_mut("anyOf") {
                alternatives.push(json!({"type": "null"}));
            }
        }
    }
}

/// Removes from the arguments what the model wrote as `null` because its schema requires all properties. `schema` is
/// the one of the tool.
pub(crate) fn remove_added_nulls(schema: &Value, arguments: &mut Value) {
    match arguments {
        Value::Object(members) => {
            let required = texts(schema.get("required"));
            members.retain(|name, value| !value.is_null() || required.contains(name));
            for (name, value) in members {
                if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(name)) {
                    remove_added_nulls(schema, value);
                }
            }
        }
        Value::Array(elements) => {
            if let Some(schema) = schema.get("items") {
                elements.iter_mut().for_each(|element| remove_added_nulls(schema, element));
            }
        }
        _ => {}
    }
}
