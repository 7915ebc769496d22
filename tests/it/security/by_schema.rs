//! Values that fit the schemas of the API documents, so that tests of all methods have new methods too.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The schemas of an OpenRPC or OpenAPI document.
pub struct Schemas {
    document: Value,
}

/// Where a value is in another: names of members. An entry of an array has the name `0`.
pub type Path = Vec<String>;

/// A value inside of another, with its schema.
pub struct Member<'a> {
    pub path: Path,
    pub schema: &'a Value,
    /// Whether each value that fits has it.
    pub is_required: bool,
}

impl Schemas {
    pub fn new(document: Value) -> Self {
        Self { document }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Returns the schema of the params of a method.
    pub fn params(&self, method: &str) -> Value {
        let methods = self.document["methods"].as_array().expect("an OpenRPC document");
        let method = methods.iter().find(|entry| entry["name"] == method).unwrap_or_else(|| panic!("no {method}"));
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for param in method["params"].as_array().unwrap() {
            properties.insert(param["name"].as_str().unwrap().to_owned(), param["schema"].clone());
            if param["required"] == true {
                required.push(param["name"].clone());
            }
        }
        json!({"type": "object", "properties": properties, "required": required})
    }

    /// Follows references, and takes the first of several alternatives.
    pub fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        loop {
            if let Some(reference) = schema["$ref"].as_str() {
                let found = self.document.pointer(reference.trim_start_matches('#'));
                schema = found.unwrap_or_else(|| panic!("no {reference}"));
                continue;
            }
            let first = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| schema[*name].as_array()?.first());
            match first {
                Some(first) if schema.get("properties").is_none() => schema = first,
                _ => return schema,
            }
        }
    }

    /// Returns a value that fits, with the members that are required and no others.
    pub fn example(&self, name: &str, schema: &Value) -> Value {
        // What no schema says: how a value must be so that the method continues to look at the ids.
        match name {
            "email" => return json!("somebody@example.com"),
            "audio_base64" | "data" => return json!("AAAA"),
            "mime_type" => return json!("audio/webm"),
            "name" => return json!("a.txt"),
            "scopes" => return json!(["auth.me"]),
            "action" => return json!({"type": "tasks.complete", "payload": {"task_id": Uuid::now_v7()}}),
            _ => {}
        }
        let schema = self.resolve(schema);
        if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
            return value.clone();
        }
        match kind(schema) {
            "object" => {
                let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
                let names = required.iter().map(|name| name.as_str().unwrap());
                names.map(|name| (name.to_owned(), self.example(name, &schema["properties"][name]))).collect()
            }
            "array" => json!([self.example("0", &schema["items"])]),
            "integer" | "number" => json!(schema["minimum"].as_u64().unwrap_or(1)),
            "boolean" => json!(false),
            "string" if schema["format"] == "uuid" => json!(Uuid::now_v7()),
            "string" if schema["format"] == "date" => json!("2026-11-01"),
            "string" => json!("x".repeat(usize::try_from(schema["minLength"].as_u64().unwrap_or(1)).unwrap().max(1))),
            _ => Value::Null,
        }
    }

    /// Returns the values that can be inside of another, down to a depth.
    pub fn members<'a>(&'a self, schema: &'a Value, depth: usize) -> Vec<Member<'a>> {
        let schema = self.resolve(schema);
        let Some(properties) = schema["properties"].as_object().filter(|_| depth > 0) else { return Vec::new() };
        let required = |name: &String| schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        let mut members = Vec::new();
        for (name, property) in properties {
            let is_required = required(name);
            members.push(Member { path: vec![name.clone()], schema: property, is_required });
            for inner in self.members(property, depth - 1) {
                let path = [vec![name.clone()], inner.path].concat();
                members.push(Member { path, is_required: is_required && inner.is_required, ..inner });
            }
        }
        members
    }

    /// Sets a value inside of another. What leads to it is made as it must be.
    pub fn set(&self, schema: &Value, target: &mut Value, path: &[String], value: Value) {
        let Some((name, rest)) = path.split_first() else {
            *target = value;
            return;
        };
        let property = &self.resolve(schema)["properties"][name];
        if !target.is_object() {
            *target = json!({});
        }
        let member =
            target.as_object_mut().unwrap().entry(name.clone()).or_insert_with(|| self.example(name, property));
        self.set(property, member, rest, value);
    }
}

/// Returns the type of a schema; of several, the first that is not null.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        _ => "",
    }
}
