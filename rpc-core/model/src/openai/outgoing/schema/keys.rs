//! Keys of properties that every server accepts.

use super::{for_each_subschema, texts};
use crate::openai::outgoing::names::ToolNames;
use serde_json::{Map, Value, json};

/// Longest key: the limit of Anthropic.
const MAX_BYTES: usize = 64;

/// Renames the keys of a schema that Anthropic refuses, such as `$filter`. Returns the names of all keys if one has
/// changed. A key has the same name at every place, and no name is the key of another property.
pub(crate) fn rename_keys(schema: &mut Value) -> Option<ToolNames> {
    let mut keys = Vec::new();
    collect(schema, &mut keys);
    if keys.iter().all(|key| is_valid(key)) {
        return None;
    }
    let names = ToolNames::choose(keys.iter().map(String::as_str), is_valid);
    rename(schema, &names);
    Some(names)
}

/// Gives the members of all objects inside of a value the names that `name` returns.
pub(crate) fn rename_members(value: &mut Value, name: &dyn Fn(&str) -> String) {
    match value {
        Value::Object(members) => {
            *members = std::mem::take(members)
                .into_iter()
                .map(|(key, mut value)| {
                    rename_members(&mut value, name);
                    (name(&key), value)
                })
                .collect();
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| rename_members(element, name)),
        _ => {}
    }
}

fn is_valid(key: &str) -> bool {
    (1..=MAX_BYTES).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn collect(schema: &mut Value, keys: &mut Vec<String>) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Object(properties)) = fields.get("properties") {
        keys.extend(properties.keys().cloned());
    }
    for_each_subschema(fields, &mut |schema| collect(schema, keys));
}

fn rename(schema: &mut Value, names: &ToolNames) {
    let Value::Object(fields) = schema else { return };
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        let renamed: Map<String, Value> = std::mem::take(properties)
            .into_iter()
            .map(|(key, schema)| (names.to_wire(&key).to_owned(), schema))
            .collect();
        *properties = renamed;
    }
    if fields.contains_key("required") {
        let required = texts(fields.get("required"));
        let required: Vec<&str> = required.iter().map(|key| names.to_wire(key)).collect();
        fields.insert("required".to_owned(), json!(required));
    }
    for_each_subschema(fields, &mut |schema| rename(schema, names));
}
