//! Removes components to which nothing refers.

use serde_json::Value;
use std::collections::BTreeSet;

/// The kinds of components that operations refer to.
const KINDS: [&str; 3] = ["schemas", "responses", "headers"];

/// Removes unused components from a document, also those that only unused ones refer to.
pub(super) fn remove_unused_components(document: &mut Value) {
    loop {
        let mut used = BTreeSet::new();
        collect_references(document, &mut used);
        let mut is_done = true;
        for kind in KINDS {
            let pointer = format!("/components/{kind}");
            let Some(components) = document.pointer_mut(&pointer).and_then(Value::as_object_mut) else { continue };
            let before = components.len();
            components.retain(|name, _| used.contains(&format!("#{pointer}/{name}")));
            is_done &= components.len() == before;
        }
        if is_done {
            return;
        }
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(target) if name == "$ref" => {
                        found.insert(target.to_owned());
                    }
                    _ => collect_references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_an_operation_leads_to_stays() {
        let to = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let mut document = json!({
            "paths": {"/": to("A")},
            "components": {"schemas": {"A": to("B"), "B": {}, "C": to("D"), "D": {}}, "responses": {"E": {}}},
        });
        remove_unused_components(&mut document);
        assert_eq!(document["components"], json!({"schemas": {"A": to("B"), "B": {}}, "responses": {}}));
    }
}
