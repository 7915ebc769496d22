//! The tools of a request.

use super::body::{FunctionParam, ToolParam};
use super::names::ToolNames;
use super::schema;
use crate::ToolSpec;
use crate::dialect::{Dialect, SchemaDialect};
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::collections::HashMap;

/// The tools that are sent, in the dialect of the model.
#[derive(Default)]
pub(crate) struct WireTools {
    params: Vec<ToolParam>,
    /// Names of the tools that are sent.
    names: Vec<String>,
    /// Tools that are left out, and why.
    left_out: Vec<(String, &'static str)>,
    /// The schemas of tools whose optional arguments are sent as `null`.
    strict: HashMap<String, Value>,
    /// The keys of the arguments of tools that have one which a server refuses.
    keys: HashMap<String, ToolNames>,
}

impl WireTools {
    pub(super) fn new(specs: &[ToolSpec], dialect: &Dialect, names: &ToolNames) -> Self {
        let mut this = Self::default();
        for spec in specs {
            if let Err(reason) = this.add(spec, dialect, names) {
                this.left_out.push((spec.name.clone(), reason));
            }
        }
        this
    }

    fn add(&mut self, spec: &ToolSpec, dialect: &Dialect, names: &ToolNames) -> Result<(), &'static str> {
        if self.contains(&spec.name) {
            return Err("another tool has its name");
        }
        if self.params.len() >= dialect.max_tools {
            return Err("the server takes fewer tools");
        }
        let schema = serde_json::from_str(spec.parameters.get()).unwrap_or_default();
        let mut schema = schema::object_schema(schema).ok_or("its schema does not describe an object")?;
        if let Some(keys) = schema::rename_keys(&mut schema) {
            self.keys.insert(spec.name.clone(), keys);
        }
        let strict = (dialect.schema == SchemaDialect::OpenAiStrict).then(|| schema::strict(&schema)).flatten();
        if strict.is_some() {
            self.strict.insert(spec.name.clone(), schema.clone());
        }
        let is_strict = strict.is_some();
        let schema = match dialect.schema {
            SchemaDialect::Plain => schema,
            SchemaDialect::OpenAiStrict => strict.unwrap_or(schema),
            SchemaDialect::Gemini => schema::gemini(schema),
            SchemaDialect::Basic => schema::basic(schema),
        };
        let parameters = to_raw_value(&schema).map_err(|_| "its schema cannot be written")?;
        let name = names.to_wire(&spec.name).to_owned();
        let description = description(&spec.description, &name, dialect.description_chars);
        let function = FunctionParam { name, description, parameters, strict: is_strict };
        self.params.push(ToolParam { kind: "function", function });
        self.names.push(spec.name.clone());
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|sent| sent == name)
    }

    pub(super) fn params(&self) -> &[ToolParam] {
        &self.params
    }

    /// Returns the tools that are left out, and why.
    pub(crate) fn left_out(&self) -> &[(String, &'static str)] {
        &self.left_out
    }

    /// Removes the `null`s from the arguments of a call by which a strict model leaves out optional arguments.
    pub(super) fn without_nulls(&self, name: &str, arguments: String) -> String {
        let Some(schema) = self.strict.get(name) else { return arguments };
        match serde_json::from_str::<Value>(&arguments) {
            Ok(mut value) => {
                schema::remove_added_nulls(schema, &mut value);
                value.to_string()
            }
            Err(_) => arguments,
        }
    }
}

impl WireTools {
    /// Returns whether a key of a tool is sent in another form.
    pub(super) fn has_other_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Returns the arguments of a call with the keys that the tool knows.
    pub(super) fn original_keys(&self, name: &str, arguments: String) -> String {
        self.with_keys(name, arguments, |keys, key| keys.original(key.to_owned()))
    }

    /// Returns the arguments of an earlier call with the keys that are sent.
    pub(super) fn wire_keys(&self, name: &str, arguments: String) -> String {
        self.with_keys(name, arguments, |keys, key| keys.to_wire(key).to_owned())
    }

    fn with_keys(&self, name: &str, arguments: String, rename: impl Fn(&ToolNames, &str) -> String) -> String {
        let Some(keys) = self.keys.get(name) else { return arguments };
        match serde_json::from_str::<Value>(&arguments) {
            Ok(mut value) => {
                schema::rename_members(&mut value, &|key| rename(keys, key));
                value.to_string()
            }
            Err(_) => arguments,
        }
    }
}

/// Returns the description, cut to what the server takes. Some servers refuse an empty one.
fn description(text: &str, name: &str, max_chars: usize) -> String {
    let text = if text.trim().is_empty() { name } else { text.trim() };
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    text.chars().take(max_chars.saturating_sub(1)).chain(['…']).collect()
}
