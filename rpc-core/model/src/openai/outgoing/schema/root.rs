//! The root of a schema: an object with `properties`.

use super::{for_each_subschema, refs, texts};
use serde_json::{Map, Value, json};

/// Returns the schema with an object at the root, as every server wants it; `None` if the arguments are not an object.
///
/// References are replaced by what they refer to. Alternatives at the root become one object that has the properties of
/// all. The tool itself validates arguments by its own schema.
pub(crate) fn object_schema(schema: Value) -> Option<Value> {
    let Value::Object(mut root) = refs::inline(schema) else { return None };
    for key in ["$schema", "$id", "id", "$anchor", "$comment", "$vocabulary"] {
        if root.get(key).is_some_and(Value::is_string) {
            root.remove(key);
        }
    }
    merge_alternatives(&mut root);
    let is_object = match root.get("type") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        Some(_) => false,
    };
    if !is_object {
        return None;
    }
    root.insert("type".to_owned(), json!("object"));
    if !root.get("properties").is_some_and(Value::is_object) {
        root.insert("properties".to_owned(), json!({}));
    }
    let mut root = Value::Object(root);
    mend(&mut root);
    Some(root)
}

/// Mends what no server takes, and what says nothing: `true` as a schema, `null` as a list.
fn mend(schema: &mut Value) {
    match schema {
        Value::Bool(_) | Value::Null => *schema = json!({}),
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            if fields.get("properties").is_some_and(|properties| !properties.is_object()) {
                fields.remove("properties");
            }
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                properties.values_mut().filter(|schema| !schema.is_object()).for_each(|schema| *schema = json!({}));
            }
            if fields.contains_key("required") {
                let properties = fields.get("properties").and_then(Value::as_object);
                let is_known = |name: &String| properties.is_none_or(|properties| properties.contains_key(name));
                let mut required = texts(fields.get("required"));
                required.retain(is_known);
                required.sort();
                required.dedup();
                // An empty list is invalid in the drafts that some servers read.
                match required.as_slice() {
                    [] => fields.remove("required"),
                    _ => fields.insert("required".to_owned(), json!(required)),
                };
            }
            let is_array = match fields.get("type") {
                Some(Value::Array(names)) => names.iter().any(|name| name == "array"),
                name => name.is_some_and(|name| name == "array"),
            };
            // OpenAI and Gemini refuse a list that does not say of what.
            if is_array && !fields.contains_key("items") && !fields.contains_key("prefixItems") {
                fields.insert("items".to_owned(), json!({}));
            }
            for_each_subschema(fields, &mut mend);
        }
        _ => {}
    }
}

/// Moves the properties of `allOf`, `anyOf` and `oneOf` to the root. Required is what all alternatives require.
fn merge_alternatives(root: &mut Map<String, Value>) {
    for key in ["allOf", "anyOf", "oneOf"] {
        let Some(Value::Array(schemas)) = root.remove(key) else { continue };
        let mut schemas: Vec<Map<String, Value>> = schemas
            .into_iter()
            .filter_map(|schema| match schema {
                Value::Object(fields) => Some(fields),
                _ => None,
            })
            .filter(|fields| fields.get("type").is_none_or(|name| name == "object"))
            .collect();
        schemas.iter_mut().for_each(merge_alternatives);
        let mut required = texts(root.get("required"));
        let of_alternatives: Vec<Vec<String>> = schemas.iter().map(|schema| texts(schema.get("required"))).collect();
        for name in of_alternatives.iter().flatten() {
            if key == "allOf" || of_alternatives.iter().all(|names| names.contains(name)) {
                required.push(name.clone());
            }
        }
        for mut schema in schemas {
            let Some(Value::Object(properties)) = schema.remove("properties") else { continue };
            let all = root.entry("properties").or_insert_with(|| json!({}));
            if let Value::Object(all) = all {
                for (name, schema) in properties {
                    all.entry(name).or_insert(schema);
                }
            }
        }
        root.insert("required".to_owned(), json!(required));
    }
    for key in ["not", "if", "then", "else", "enum", "const", "dependentSchemas", "dependentRequired"] {
        root.remove(key);
    }
}
