//! JSON Schemas of tools, as the servers take them.
//!
//! | file | purpose |
//! | --- | --- |
//! | `root.rs` | an object with `properties` at the root |
//! | `keys.rs` | keys of properties that every server accepts |
//! | `refs.rs` | replaces `$ref` by what it refers to |
//! | `subset.rs` | Gemini's subset, and the smallest one |
//! | `strict.rs` | OpenAI's structured outputs |

mod keys;
mod refs;
mod root;
mod strict;
mod subset;

pub(super) use keys::{rename_keys, rename_members};
pub(super) use root::object_schema;
pub(super) use strict::{remove_added_nulls, strict};
pub(super) use subset::{basic, gemini};

use serde_json::{Map, Value};

/// Calls `visit` for each schema directly inside of a schema.
fn for_each_subschema(schema: &mut Map<String, Value>, visit: &mut dyn FnMut(&mut Value)) {
    for (key, value) in schema {
        match (key.as_str(), value) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => schemas.values_mut().for_each(&mut *visit),
            ("items" | "prefixItems" | "anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => {
                schemas.iter_mut().for_each(&mut *visit);
            }
            (
                "items"
                | "additionalProperties"
                | "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "propertyNames"
                | "additionalItems"
                | "unevaluatedItems"
                | "unevaluatedProperties",
                schema @ Value::Object(_),
            ) => visit(schema),
            _ => {}
        }
    }
}

/// Returns the texts of a list.
fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect()
}

#[cfg(test)]
mod tests;
