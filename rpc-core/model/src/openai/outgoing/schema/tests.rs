use super::{basic, gemini, object_schema, remove_added_nulls, rename_keys, rename_members, strict};
use serde_json::{Value, json};

fn root(schema: Value) -> Value {
    object_schema(schema).unwrap()
}

#[test]
fn the_root_is_an_object_with_properties() {
    let empty = json!({"type": "object", "properties": {}});
    for schema in [
        json!({"type": "object"}),
        json!({}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
        json!({"type": ["object", "null"], "properties": null, "required": null}),
        json!({"type": "object", "properties": [], "required": []}),
        json!({"type": "object", "required": ["unknown"]}),
    ] {
        assert_eq!(root(schema.clone()), empty, "{schema}");
    }
    for schema in [json!(true), json!(null), json!([]), json!("x"), json!({"type": "string"}), json!({"type": 7})] {
        assert_eq!(object_schema(schema.clone()), None, "{schema}");
    }
}

#[test]
fn references_are_replaced() {
    let schema = json!({
        "$ref": "#/$defs/Args",
        "$defs": {
            "Args": {"type": "object", "properties": {"at": {"$ref": "#/$defs/Place", "description": "Where."}}},
            "Place": {"type": "object", "properties": {"city": {"type": "string"}, "near": {"$ref": "#/$defs/Place"}}},
        },
    });
    let place = json!({
        "type": "object", "description": "Where.",
        "properties": {"city": {"type": "string"}, "near": {"type": "object"}},
    });
    assert_eq!(root(schema), json!({"type": "object", "properties": {"at": place}}));
    let elsewhere = json!({"properties": {"a": {"$ref": "https://example.com/schema"}, "b": {"$ref": "#/nowhere"}}});
    assert_eq!(root(elsewhere), json!({"type": "object", "properties": {"a": {}, "b": {}}}));
    // Each reference has two of the next: a million, if there were no limit.
    let defs: serde_json::Map<String, Value> = (0..20)
        .map(|n| (n.to_string(), json!({"properties": {"a": {"$ref": format!("#/$defs/{}", n + 1)}, "b": {"$ref": format!("#/$defs/{}", n + 1)}}})))
        .collect();
    let bomb = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/0"}}, "$defs": defs});
    assert!(root(bomb).to_string().len() < 200_000);
}

#[test]
fn alternatives_at_the_root_are_merged() {
    let by_id = json!({"type": "object", "properties": {"id": {"type": "string"}, "x": {}}, "required": ["id", "x"]});
    let by_name = json!({"properties": {"name": {"type": "string"}, "x": {}}, "required": ["name", "x"]});
    let merged = json!({
        "type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "x": {}}, "required": ["x"],
    });
    assert_eq!(root(json!({"oneOf": [by_id, by_name]})), merged);
    let all = root(json!({"type": "object", "allOf": [by_id, by_name]}));
    assert_eq!(all["required"], json!(["id", "name", "x"]));
}

#[test]
fn gemini_gets_its_subset() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "title": "T", "required": ["n"],
        "properties": {
            "n": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 2, "default": 2},
            "f": {"type": "number", "exclusiveMaximum": 1},
            "s": {"type": ["string", "null"], "format": "uri", "examples": ["x"]},
            "when": {"type": "string", "format": "date-time"},
            "either": {"oneOf": [{"type": "string"}, {"type": "integer", "$comment": "c"}]},
            "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "list": {"type": "array", "items": {"type": "object", "patternProperties": {".*": {}}}},
            "pair": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]},
            "bare": {"type": "array"},
            "level": {"enum": ["low", "high", null]},
            "number": {"type": "integer", "enum": [1, 2]},
            "fixed": {"const": "v"},
            "any": true,
            "all": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"properties": {"b": {}}}]},
        },
    });
    assert_eq!(
        gemini(root(schema)),
        json!({
            "type": "object", "title": "T", "required": ["n"],
            "properties": {
                "n": {"type": "integer", "minimum": 1},
                "f": {"type": "number", "maximum": 1},
                "s": {"type": "string", "nullable": true},
                "when": {"type": "string", "format": "date-time"},
                "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "maybe": {"type": "boolean", "nullable": true},
                "list": {"type": "array", "items": {"type": "object"}},
                "pair": {"type": "array", "items": {"type": "number"}},
                "bare": {"type": "array", "items": {"type": "string"}},
                "level": {"type": "string", "enum": ["low", "high"], "nullable": true},
                "number": {"type": "integer"},
                "fixed": {"type": "string", "enum": ["v"]},
                "any": {"type": "string"},
                "all": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            },
        })
    );
}

#[test]
fn the_basic_subset_has_no_alternatives() {
    let schema = root(
        json!({"properties": {"a": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}], "description": "A."}}}),
    );
    let expected = json!({"type": "object", "properties": {"a": {"type": "integer", "description": "A."}}});
    assert_eq!(basic(schema), expected);
}

#[test]
fn strict_schemas_require_everything() {
    let schema = root(json!({
        "properties": {
            "a": {"type": "string", "minLength": 1},
            "b": {"type": "object", "properties": {"c": {"type": "integer"}}},
            "d": {"type": "string", "enum": ["x"]},
        },
        "required": ["a"],
    }));
    let inner = json!({
        "type": ["object", "null"], "properties": {"c": {"type": ["integer", "null"]}}, "required": ["c"],
        "additionalProperties": false,
    });
    assert_eq!(
        strict(&schema).unwrap(),
        json!({
            "type": "object", "additionalProperties": false, "required": ["a", "b", "d"],
            "properties": {"a": {"type": "string"}, "b": inner, "d": {"type": ["string", "null"], "enum": ["x", null]}},
        })
    );
    let mut arguments = json!({"a": "1", "b": {"c": null}, "d": null});
    remove_added_nulls(&schema, &mut arguments);
    assert_eq!(arguments, json!({"a": "1", "b": {}}));
    for free in [
        json!({"type": "object"}),
        json!({"type": "object", "properties": {}, "additionalProperties": true}),
        json!({}),
    ] {
        assert_eq!(strict(&root(json!({"properties": {"x": free}}))), None, "{free}");
    }
}

#[test]
fn keys_that_a_server_refuses_have_another_name() {
    let mut schema = root(json!({
        "type": "object",
        "properties": {
            "$filter": {"type": "string"},
            "_filter": {"type": "string"},
            "user.name": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a b": {}}, "required": ["a b"]}},
        },
        "required": ["$filter", "list"],
    }));
    let names = rename_keys(&mut schema).unwrap();
    let expected = json!({
        "type": "object",
        "properties": {
            "_filter_2": {"type": "string"},
            "_filter": {"type": "string"},
            "user.name": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a_b": {}}, "required": ["a_b"]}},
        },
        "required": ["_filter_2", "list"],
    });
    assert_eq!(schema, expected);
    let mut arguments = json!({"_filter_2": "x", "_filter": "y", "list": [{"a_b": 1}]});
    rename_members(&mut arguments, &|key| names.original(key.to_owned()));
    assert_eq!(arguments, json!({"$filter": "x", "_filter": "y", "list": [{"a b": 1}]}));
    assert!(rename_keys(&mut root(json!({"properties": {"user.name": {}}}))).is_none());
}

#[test]
fn a_list_says_of_what_it_is() {
    let schema = root(json!({"properties": {"a": {"type": "array"}, "b": {"type": ["array", "null"]}}}));
    let properties = json!({"a": {"type": "array", "items": {}}, "b": {"type": ["array", "null"], "items": {}}});
    assert_eq!(schema["properties"], properties);
}
