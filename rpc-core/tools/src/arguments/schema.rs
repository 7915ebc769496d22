//! Gives a schema the form that every model server takes.

use serde_json::{Map, Value, json};

/// The names of types in JSON Schema.
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
/// Maximum depth of a schema that is looked through.
const MAX_DEPTH: usize = 32;

/// Returns a schema of the type `object`, with `properties`: strict model servers refuse every prompt that has a tool
/// without them. `null` and `true`, which say nothing, become the schema of no arguments.
///
/// # Errors
/// If it is the schema of something else, or none.
pub(super) fn of_object(schema: &Value) -> Result<Value, String> {
    let mut members = match schema {
        Value::Null | Value::Bool(true) => Map::new(),
        Value::Object(members) => members.clone(),
        Value::String(text) => serde_json::from_str(text).map_err(|_| "its schema is a text".to_owned())?,
        _ => return Err("its schema is not an object".to_owned()),
    };
    inline_root_reference(&mut members);
    let is_object = match members.get("type") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name.eq_ignore_ascii_case("object"),
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        Some(_) => false,
    };
    if !is_object {
        return Err("its schema is not the schema of an object".to_owned());
    }
    members.insert("type".to_owned(), json!("object"));
    if !members.get("properties").is_some_and(Value::is_object) {
        members.insert("properties".to_owned(), json!({}));
    }
    let mut schema = Value::Object(members);
    tidy(&mut schema, MAX_DEPTH);
    Ok(schema)
}

/// Returns the schema of an operator without room for arguments that it does not declare, unless it gives some itself.
/// One that declares nothing at all says nothing about arguments.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        let says = |name: &str| members.contains_key(name);
        let is_open =
            ["additionalProperties", "unevaluatedProperties", "patternProperties"].iter().any(|name| says(name));
        if !is_open && says("properties") {
            // Other parts of the schema can declare arguments too. Their dialect must know the keyword.
            let has_parts = ["allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"].iter().any(|name| says(name));
            let keyword = if has_parts { "unevaluatedProperties" } else { "additionalProperties" };
            members.insert(keyword.to_owned(), json!(false));
        }
    }
    schema
}

/// Some generators write the schema of the object into a definition, and only a reference to it at the root.
fn inline_root_reference(members: &mut Map<String, Value>) {
    let Some(pointer) = members.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'))
    else {
        return;
    };
    let root = Value::Object(members.clone());
    if let Some(Value::Object(target)) = root.pointer(pointer).filter(|target| target.get("$ref").is_none()) {
        members.remove("$ref");
        for (name, value) in target {
            members.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Mends what generators write wrongly and everybody reads in the same way: an empty list for an object without
/// members, `null` for a schema that allows everything, and `required` with another value than a list.
fn tidy(schema: &mut Value, depth: usize) {
    let Some(members) = schema.as_object_mut().filter(|_| depth > 0) else { return };
    if members.get("required").is_some_and(|required| !required.is_array()) {
        members.remove("required");
    }
    for name in ["properties", "$defs", "definitions", "patternProperties"] {
        let Some(parts) = members.get_mut(name) else { continue };
        if parts.is_null() || parts.as_array().is_some_and(Vec::is_empty) {
            *parts = json!({});
        }
        for part in parts.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if part.is_null() {
                *part = json!({});
            }
            tidy(part, depth - 1);
        }
    }
    for name in ["items", "additionalProperties"] {
        if let Some(part) = members.get_mut(name) {
            tidy(part, depth - 1);
        }
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        for part in members.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            tidy(part, depth - 1);
        }
    }
}

/// Leaves out what makes a schema invalid: a dialect that is not known, then the properties that are invalid by
/// themselves, then everything but the properties.
pub(super) fn relaxed(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    members.remove("$schema");
    let definitions: Map<String, Value> = ["$defs", "definitions"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), members.get(*name)?.clone())))
        .collect();
    let is_valid = |property: &Value| {
        let mut alone = definitions.clone();
        alone.insert("properties".to_owned(), json!({ "property": property }));
        is_schema(&Value::Object(alone))
    };
    for property in members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if is_valid(property) {
            continue;
        }
        remove_patterns(property, MAX_DEPTH);
        if !is_valid(property) {
            *property = outline(property);
        }
    }
    if !is_schema(&schema)
        && let Some(members) = schema.as_object_mut()
    {
        members.retain(|name, _| matches!(name.as_str(), "type" | "properties" | "required" | "description"));
        for property in
            members.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            *property = outline(property);
        }
        if !is_schema(&schema) {
            return json!({"type": "object", "properties": {}});
        }
    }
    schema
}

fn is_schema(schema: &Value) -> bool {
    jsonschema::validator_for(schema).is_ok()
}

/// Regular expressions differ between languages.
fn remove_patterns(schema: &mut Value, depth: usize) {
    let Some(members) = schema.as_object_mut().filter(|_| depth > 0) else { return };
    // A property of this name is an object.
    if members.get("pattern").is_some_and(Value::is_string) {
        members.remove("pattern");
    }
    for part in members.values_mut() {
        match part {
            Value::Array(list) => list.iter_mut().for_each(|part| remove_patterns(part, depth - 1)),
            part => remove_patterns(part, depth - 1),
        }
    }
}

/// Returns only the type and the description of a property.
fn outline(property: &Value) -> Value {
    let kind = property.get("type").filter(|kind| TYPES.iter().any(|name| *kind == name));
    let description = property.get("description").filter(|text| text.is_string());
    let members = [("type", kind), ("description", description)];
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
    Value::Object(members.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_of_an_object_has_type_and_properties() {
        let empty = json!({"type": "object", "properties": {}});
        for schema in [
            json!(null),
            json!(true),
            json!({}),
            json!({"type": "object"}),
            json!({"type": ["object", "null"], "properties": null}),
            json!({"type": "Object", "properties": [], "required": null}),
            json!({"type": null, "required": true}),
            json!("{\"type\": \"object\"}"),
        ] {
            assert_eq!(of_object(&schema).unwrap(), empty, "{schema}");
        }
        for schema in [json!(false), json!(7), json!([]), json!("words"), json!({"type": "string"}), json!({"type": 7})]
        {
            assert!(of_object(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn a_closed_schema_takes_what_is_declared_and_no_more() {
        let takes =
            |schema: Value, arguments: Value| jsonschema::validator_for(&closed(&schema)).unwrap().is_valid(&arguments);
        let plain = json!({"type": "object", "properties": {"a": {}}});
        assert!(takes(plain.clone(), json!({"a": 1})) && takes(plain.clone(), json!({})));
        assert!(!takes(plain, json!({"a": 1, "tenant": 8})));
        assert!(!takes(json!({"type": "object", "properties": {}}), json!({"tenant": 8})));
        assert!(takes(json!({"type": "object"}), json!({"tenant": 8})), "nothing is said about arguments");
        let parts = json!({"properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}, "required": ["b"]}, {}]});
        assert!(takes(parts.clone(), json!({"a": 1, "b": 2})) && !takes(parts, json!({"a": 1, "tenant": 2})));
        for open in [json!({"additionalProperties": true}), json!({"patternProperties": {"^x-": {}}})] {
            assert!(takes(open, json!({"x-tenant": 8})));
        }
    }

    #[test]
    fn a_reference_at_the_root_is_replaced() {
        let schema = json!({"$ref": "#/definitions/A", "definitions": {
            "A": {"type": "object", "properties": {"b": {"$ref": "#/definitions/B"}}, "required": ["b"]},
            "B": {"type": "object", "properties": [], "required": true}
        }});
        let read = of_object(&schema).unwrap();
        assert_eq!((&read["required"], &read["properties"]["b"]), (&json!(["b"]), &json!({"$ref": "#/definitions/B"})));
        assert_eq!(read["definitions"]["B"], json!({"type": "object", "properties": {}}));
        assert!(read.get("$ref").is_none() && is_schema(&read));
    }
}
