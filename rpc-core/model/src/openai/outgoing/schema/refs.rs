//! Replaces `$ref` by what it refers to.

use super::for_each_subschema;
use serde_json::{Map, Value, json};

/// Maximum number of references that are replaced. A schema with more grows without bounds.
const MAX_REFERENCES: usize = 500;

/// Replaces every reference inside of the schema, and removes the definitions. A reference to a schema that contains it
/// becomes any object, one to another document any value.
pub(super) fn inline(schema: Value) -> Value {
    let root = schema.clone();
    let mut schema = schema;
    let mut left = MAX_REFERENCES;
    resolve(&mut schema, &root, &mut Vec::new(), &mut left);
    if let Value::Object(fields) = &mut schema {
        for key in ["$defs", "definitions"] {
            fields.remove(key);
        }
    }
    schema
}

fn resolve(schema: &mut Value, root: &Value, path: &mut Vec<String>, left: &mut usize) {
    let Value::Object(fields) = schema else { return };
    let reference = ["$ref", "$dynamicRef", "$recursiveRef"].iter().find_map(|key| fields.remove(*key));
    let Some(reference) = reference else {
        fields.remove("$defs").into_iter().chain(fields.remove("definitions")).for_each(drop);
        return for_each_subschema(fields, &mut |schema| resolve(schema, root, path, left));
    };
    let reference = reference.as_str().unwrap_or_default().to_owned();
    let is_recursive = path.contains(&reference);
    *left = left.saturating_sub(1);
    let target = if is_recursive || *left == 0 { Some(json!({"type": "object"})) } else { find(root, &reference) };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        _ => Map::new(),
    };
    // What stands beside the reference is more precise, such as a description.
    target.extend(std::mem::take(fields));
    *schema = Value::Object(target);
    path.push(reference);
    resolve(schema, root, path, left);
    path.pop();
}

/// Finds the schema that a reference of this document names.
fn find(root: &Value, reference: &str) -> Option<Value> {
    let pointer = reference.strip_prefix('#')?;
    root.pointer(pointer).cloned()
}
