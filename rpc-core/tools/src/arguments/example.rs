//! Writes arguments that fit a schema, as an example for a model.

use serde_json::{Map, Value, json};

/// Maximum depth of an example.
const MAX_DEPTH: usize = 6;

/// Returns an example of a property: the values that its schema names, or else a value of its type.
pub(super) fn example_of(root: &Value, name: &str, schema: &Value) -> Value {
    example(root, name, schema, MAX_DEPTH)
}

fn example(root: &Value, name: &str, schema: &Value, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let schema = resolve(root, schema);
    let first = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|list| list.first());
    if let Some(value) = schema.get("const").or_else(|| first("enum")).or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(value) = first("examples").or_else(|| schema.get("example")) {
        return value.clone();
    }
    if let Some(choice) = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| first(name)) {
        return example(root, name, choice, depth - 1);
    }
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    match type_name(schema) {
        "object" => {
            let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
            let members = required.filter_map(Value::as_str).map(|name| {
                let property = schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
                (name.to_owned(), example(root, name, property, depth - 1))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
        "array" => match schema.get("items") {
            Some(items) => json!([example(root, name, items, depth - 1)]),
            None => json!([]),
        },
        "integer" | "number" => {
            let above = number("exclusiveMinimum").map(|minimum| minimum + 1.0).or(number("minimum"));
            let below = number("exclusiveMaximum").map(|maximum| maximum - 1.0).or(number("maximum"));
            let value = match (above, below) {
                (Some(above), _) => above,
                (None, Some(below)) => below.min(1.0),
                (None, None) => 1.0,
            };
            whole_or(value.ceil(), value)
        }
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-01-31",
            Some("time") => "14:30:00Z",
            Some("date-time") => "2026-01-31T14:30:00Z",
            Some("email") => "name@example.com",
            Some("uri" | "url") => "https://example.com",
            Some("uuid") => "123e4567-e89b-12d3-a456-426614174000",
            _ => return json!(format!("<{name}>")),
        }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 is exact in both types")]
fn whole_or(whole: f64, value: f64) -> Value {
    if whole.abs() < 9_007_199_254_740_992.0 && (whole - value).abs() < 1.0 {
        json!(whole as i64)
    } else {
        json!(value)
    }
}

/// Follows references within the schema.
pub(super) fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..MAX_DEPTH {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// Returns the first type of a schema that is not `null`; an empty text if it names none.
fn type_name(schema: &Value) -> &str {
    let named = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        kind => kind.and_then(Value::as_str),
    };
    named.unwrap_or(if schema.get("properties").is_some() { "object" } else { "" })
}
