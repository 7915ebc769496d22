//! Variants of tagged unions: each becomes a component of its own, and the union names the tag.
//!
//! Generators make a type with a name of each component, and tell the types of a union apart by its tag. Variants
//! inside of the union would get numbers for names, and a validator would have to try one after the other.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The member that tells the variants of a union apart.
const TAG: &str = "type";
/// What comes before the name of a component in a reference to it.
const SCHEMAS: &str = "#/components/schemas/";

/// Names the variants of all unions among the components of a document. A union of one variant becomes that variant.
pub(super) fn name_variants(document: &mut Value) {
    let own = schemas_of_one_variant(document);
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    let names: Vec<String> = schemas.keys().cloned().collect();
    for name in names {
        // Out of the map, which its variants join.
        let Some(mut schema) = schemas.remove(&name) else { continue };
        if let Some(members) = schema.as_object_mut() {
            name_variants_of(&name, members, schemas, &own);
        }
        schemas.insert(name, schema);
    }
}

fn name_variants_of(
    name: &str,
    union: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
    own: &BTreeSet<String>,
) {
    let Some(variants) = union.get("oneOf").and_then(Value::as_array).cloned() else { return };
    if let [Value::Object(only)] = variants.as_slice() {
        union.remove("oneOf");
        for (member, value) in only {
            union.entry(member.clone()).or_insert_with(|| value.clone());
        }
        return;
    }
    let tags: Vec<&str> = variants.iter().filter_map(tag_of).collect();
    if tags.iter().collect::<BTreeSet<_>>().len() != variants.len() {
        return;
    }
    let (mut references, mut mapping) = (Vec::new(), Map::new());
    for (tag, variant) in tags.into_iter().zip(&variants) {
        let reference = variant.get("$ref").and_then(Value::as_str).filter(|target| own.contains(*target));
        let reference = match reference {
            Some(target) => {
                let schema = target.strip_prefix(SCHEMAS).and_then(|name| schemas.get_mut(name));
                add_tag(schema, variant);
                target.to_owned()
            }
            None => {
                let mut component = name.to_owned() + &title_case(tag);
                while schemas.contains_key(&component) {
                    component.push('_');
                }
                schemas.insert(component.clone(), variant.clone());
                format!("{SCHEMAS}{component}")
            }
        };
        references.push(json!({"$ref": reference}));
        mapping.insert(tag.to_owned(), reference.into());
    }
    union.insert("oneOf".to_owned(), references.into());
    union.insert("discriminator".to_owned(), json!({"propertyName": TAG, "mapping": mapping}));
}

/// Returns the references to schemas that are used as a variant, under one tag, and for nothing else.
fn schemas_of_one_variant(document: &Value) -> BTreeSet<String> {
    let mut all: BTreeMap<&str, usize> = BTreeMap::new();
    count_references(document, &mut all);
    let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    for schema in schemas.into_iter().flat_map(Map::values) {
        for variant in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(target), Some(tag)) = (variant.get("$ref").and_then(Value::as_str), tag_of(variant)) {
                uses.entry(target).or_default().push(tag);
            }
        }
    }
    let is_own = |target: &str, tags: &[&str]| {
        all.get(target) == Some(&tags.len()) && tags.windows(2).all(|pair| pair.first() == pair.last())
    };
    uses.into_iter().filter(|(target, tags)| is_own(target, tags)).map(|(target, _)| target.to_owned()).collect()
}

fn count_references<'a>(value: &'a Value, counts: &mut BTreeMap<&'a str, usize>) {
    match value {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                *counts.entry(target).or_default() += 1;
            }
            members.values().for_each(|value| count_references(value, counts));
        }
        Value::Array(values) => values.iter().for_each(|value| count_references(value, counts)),
        _ => {}
    }
}

/// Returns the tag that every value of a variant has.
fn tag_of(variant: &Value) -> Option<&str> {
    let required = variant.get("required")?.as_array()?;
    let tag = variant.get("properties")?.get(TAG)?.get("const")?.as_str()?;
    required.iter().any(|name| name == TAG).then_some(tag)
}

/// Gives the schema that a variant refers to the tag of the variant.
fn add_tag(schema: Option<&mut Value>, variant: &Value) {
    let Some(schema) = schema.and_then(Value::as_object_mut) else { return };
    let tag = variant.get("properties").and_then(|properties| properties.get(TAG));
    if let (Some(tag), Some(properties)) =
        (tag, schema.entry("properties").or_insert_with(|| json!({})).as_object_mut())
    {
        properties.insert(TAG.to_owned(), tag.clone());
    }
    if let Some(required) = schema.entry("required").or_insert_with(|| json!([])).as_array_mut()
        && !required.iter().any(|name| name == TAG)
    {
        required.insert(0, TAG.into());
    }
}

/// `thread.item.added` -> `ThreadItemAdded`.
fn title_case(tag: &str) -> String {
    let words = tag.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
        first.to_ascii_uppercase() + rest
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variant(tag: &str, reference: Option<&str>) -> Value {
        let mut variant = json!({"type": "object", "properties": {"type": {"const": tag}}, "required": ["type"]});
        if let Some(name) = reference {
            variant["$ref"] = format!("{SCHEMAS}{name}").into();
        }
        variant
    }

    #[test]
    fn variants_become_components_with_their_tags() {
        let mut document = json!({
            "paths": {"/": {"$ref": "#/components/schemas/Shared"}},
            "components": {"schemas": {
                "Item": {"oneOf": [
                    variant("own", Some("Own")), variant("shared.one", Some("Shared")), variant("in_line", None),
                ]},
                "Own": {"properties": {"a": {}}, "required": ["a"]},
                "Shared": {"properties": {"b": {}}},
                "Status": {"oneOf": [{"const": "on"}, {"const": "off"}]},
                "Single": {"description": "All.", "oneOf": [{"const": "x", "description": "One."}]},
            }},
        });
        name_variants(&mut document);
        let schemas = &document["components"]["schemas"];
        let target = |name: &str| json!(format!("{SCHEMAS}{name}"));
        let mapping = json!({
            "own": target("Own"), "shared.one": target("ItemSharedOne"), "in_line": target("ItemInLine"),
        });
        assert_eq!(schemas["Item"]["discriminator"], json!({"propertyName": "type", "mapping": mapping}));
        assert_eq!(schemas["Item"]["oneOf"].as_array().unwrap().len(), 3);
        let own = json!({"properties": {"a": {}, "type": {"const": "own"}}, "required": ["type", "a"]});
        assert_eq!(schemas["Own"], own);
        assert_eq!(schemas["Shared"], json!({"properties": {"b": {}}}), "others use it without the tag");
        assert_eq!(schemas["ItemSharedOne"], variant("shared.one", Some("Shared")));
        assert_eq!(schemas["ItemInLine"], variant("in_line", None));
        assert_eq!(schemas["Status"]["oneOf"].as_array().unwrap().len(), 2);
        assert_eq!(schemas["Single"], json!({"description": "All.", "const": "x"}));
    }
}
