//! What the schemas of params say about text: the service refuses NUL characters, which PostgreSQL cannot store.

use serde_json::{Map, Value};

/// A pattern that text without NUL characters matches.
pub const WITHOUT_NUL: &str = r"^[^\u0000]*$";

/// Members of a schema that say already what its text is.
const SPECIFIC: [&str; 5] = ["pattern", "format", "enum", "const", "contentMediaType"];

/// Adds the pattern to each schema of plain text inside of a schema. Definitions that it refers to are not changed.
pub fn refuse_nul(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if is_plain_text(members) {
                members.insert("pattern".to_owned(), WITHOUT_NUL.into());
            }
            // Examples, defaults and the like are values, not schemas.
            for (name, inner) in members.iter_mut() {
                if !matches!(name.as_str(), "enum" | "const" | "default" | "examples" | "example" | "required") {
                    refuse_nul(inner);
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(refuse_nul),
        _ => {}
    }
}

/// Adds the pattern to a schema, and to all definitions that it leads to. `definitions` are those of the document by
/// name, and `path` is what comes before a name in a reference, such as `#/components/schemas/`.
pub fn refuse_nul_in(schema: &mut Value, definitions: &mut Map<String, Value>, path: &str) {
    refuse_nul(schema);
    let mut open = references(schema, path);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(name) = open.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(definition) = definitions.get_mut(&name) {
            refuse_nul(definition);
            open.extend(references(definition, path));
        }
    }
}

fn is_plain_text(members: &Map<String, Value>) -> bool {
    let is_text = match members.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        _ => false,
    };
    is_text && !SPECIFIC.iter().any(|member| members.contains_key(*member))
}

/// Names of the definitions that a schema refers to.
fn references(schema: &Value, path: &str) -> Vec<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(path));
            let own = own.map(ToOwned::to_owned);
            own.into_iter().chain(members.values().flat_map(|inner| references(inner, path))).collect()
        }
        Value::Array(schemas) => schemas.iter().flat_map(|inner| references(inner, path)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_text_gets_the_pattern_also_behind_references() {
        let mut schema = json!({"properties": {
            "a": {"type": ["string", "null"], "default": "x"},
            "b": {"type": "string", "format": "uuid"},
            "c": {"type": "array", "items": {"$ref": "#/d/Tag"}},
        }});
        let mut definitions = json!({
            "Tag": {"type": "object", "properties": {"t": {"type": "string"}, "again": {"$ref": "#/d/Tag"}}},
            "Other": {"type": "string"},
        });
        refuse_nul_in(&mut schema, definitions.as_object_mut().unwrap(), "#/d/");
        assert_eq!(schema["properties"]["a"]["pattern"], WITHOUT_NUL);
        assert!(schema["properties"]["b"].get("pattern").is_none());
        assert_eq!(definitions["Tag"]["properties"]["t"]["pattern"], WITHOUT_NUL);
        assert!(definitions["Other"].get("pattern").is_none(), "nothing refers to it");
    }
}
