//! The arguments of calls: what a model wrote, what a tool takes, and what to change.
//!
//! | file | does |
//! | --- | --- |
//! | `mod.rs` | reads the arguments of a call, and checks them against the schema of a tool |
//! | `schema.rs` | gives a schema the form that every model server takes |
//! | `explain.rs` | tells a model what to change |
//! | `example.rs` | writes arguments that fit a schema |
//! | `numbers.rs` | finds numbers that would be rounded |

mod example;
mod explain;
mod numbers;
mod schema;

pub(crate) use numbers::inexact_number;

use jsonschema::Validator;
use serde_json::{Map, Value};
use threadline_model::{ToolCall, ToolSpec};

/// Maximum length of a text of a model in an error, in characters.
const QUOTED_CHARS: usize = 100;

/// The JSON Schema of the arguments of one tool.
pub(crate) struct ArgumentSchema {
    /// In the form for models.
    schema: Value,
    /// `None` if the arguments cannot be checked.
    validator: Option<Validator>,
    problem: Option<String>,
}

impl ArgumentSchema {
    /// Reads the schema of an operator. Arguments that it does not declare are refused, unless it says
    /// `additionalProperties`: the called service may give them a meaning that the operator did not expect.
    ///
    /// # Errors
    /// If it is not a valid schema of an object. The text is for the operator.
    pub(crate) fn strict(schema: &Value) -> Result<Self, String> {
        // Before it is closed: an error must be about what the operator wrote.
        jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
        let validator = jsonschema::validator_for(&schema::closed(schema)).map_err(|error| error.to_string())?;
        Ok(Self { schema: schema::of_object(schema)?, validator: Some(validator), problem: None })
    }

    /// Reads the schema of a server. `null` is the schema of a tool without arguments. The parts of a schema that are
    /// invalid are left out, for the model and for the check: they must not refuse every call.
    ///
    /// # Errors
    /// If it is not the schema of an object. The text is for the operator.
    pub(crate) fn lenient(schema: &Value) -> Result<Self, String> {
        let schema = schema::of_object(schema)?;
        let problem = match jsonschema::validator_for(&schema) {
            Ok(validator) => return Ok(Self { schema, validator: Some(validator), problem: None }),
            Err(problem) => problem.to_string(),
        };
        let schema = schema::relaxed(schema);
        let validator = jsonschema::validator_for(&schema).ok();
        Ok(Self { schema, validator, problem: Some(problem) })
    }

    /// Returns the schema in the form for models: its type is `object`, and it has `properties`.
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns why parts of the schema were left out.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Checks arguments.
    ///
    /// # Errors
    /// What to change, for a model, without a full stop at the end.
    pub(crate) fn check(&self, arguments: &Value) -> Result<(), String> {
        match &self.validator {
            Some(validator) if !validator.is_valid(arguments) => {
                Err(explain::what_to_change(&self.schema, arguments, validator.iter_errors(arguments)))
            }
            _ => Ok(()),
        }
    }
}

/// Returns a schema in the form for models. One that is not the schema of an object stays as it is.
pub(crate) fn object_schema(schema: &Value) -> Value {
    schema::of_object(schema).unwrap_or_else(|_| schema.clone())
}

/// Returns what a model has to change in arguments that do not fit the schema of a tool, without a full stop at the
/// end; `None` if they fit.
pub fn argument_problem(spec: &ToolSpec, arguments: &Value) -> Option<String> {
    let schema = serde_json::from_str(spec.parameters.get()).ok()?;
    ArgumentSchema::lenient(&schema).ok()?.check(arguments).err()
}

/// Reads the arguments of a call. Models write nothing, or `null`, for a tool without arguments; some encode the object
/// twice.
///
/// # Errors
/// If they are not an object, or a number in them would be rounded. The text is for the model.
pub(crate) fn parse_arguments(call: &ToolCall) -> Result<Map<String, Value>, String> {
    let read = |text: &str| match text.trim() {
        "" => Ok(Value::Null),
        text => serde_json::from_str(text),
    };
    let Ok(mut value) = read(&call.arguments) else {
        return Err(not_an_object("they are not JSON", &call.arguments));
    };
    let mut inexact = inexact_number(&call.arguments);
    if let Value::String(text) = &value
        && let Ok(inner @ (Value::Object(_) | Value::Null)) = read(text)
    {
        inexact = inexact_number(text);
        value = inner;
    }
    match (value, inexact) {
        (Value::Object(_), Some(problem)) => Err(format!("Bad arguments, nothing was done: {problem}.")),
        (Value::Object(arguments), None) => Ok(arguments),
        (Value::Null, _) => Ok(Map::new()),
        (value, _) => Err(not_an_object(&format!("they are {}", explain::type_of(&value)), &call.arguments)),
    }
}

fn not_an_object(what: &str, arguments: &str) -> String {
    let written: String = arguments.trim().chars().take(QUOTED_CHARS).collect();
    format!(
        "The arguments must be one JSON object, such as {{\"name\": \"value\"}}, or {{}} if there are none, \
         but {what}: {written}. Nothing was done. Call the tool again with a JSON object."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(arguments: &str) -> Result<Value, String> {
        let call =
            ToolCall { id: String::new(), name: String::new(), arguments: arguments.to_owned(), ..ToolCall::default() };
        parse_arguments(&call).map(Value::Object)
    }

    #[test]
    fn nothing_is_no_arguments_and_a_double_encoding_is_undone_once() {
        for nothing in ["", " \n", "null", "{}", r#""""#, r#""null""#, r#""{}""#, r#"" ""#] {
            assert_eq!(parse(nothing), Ok(json!({})), "{nothing}");
        }
        let object = json!({"a": "{\"b\":1}"});
        assert_eq!(parse(&object.to_string()), Ok(object.clone()));
        assert_eq!(parse(&json!(object.to_string()).to_string()), Ok(object.clone()));
        let thrice = json!(json!(object.to_string()).to_string()).to_string();
        for (other, word) in [
            (thrice.as_str(), "text"),
            ("[]", "a list"),
            ("7", "a number"),
            ("true", "true or false"),
            (r#""words""#, "text"),
            (r#"{"title": "x"#, "not JSON"),
            (r#"{"a":1}{"a":1}"#, "not JSON"),
            (r#"{"id": 12345678901234567890123}"#, "`id`"),
            (r#""{\"id\": 12345678901234567890123}""#, "`id`"),
        ] {
            let problem = parse(other).unwrap_err();
            assert!(problem.contains(word), "{other}: {problem}");
        }
    }

    #[test]
    fn an_invalid_schema_checks_what_is_valid() {
        let schema = ArgumentSchema::lenient(&json!({
            "$schema": "https://example.org/unknown",
            "properties": {
                "kind": {"type": "strin", "description": "What."},
                "other": {"$ref": "#/$defs/missing"},
                "code": {"type": "string", "pattern": "(unclosed"},
                "count": {"type": "integer"},
                "null": null
            },
            "required": ["count"],
            "additionalProperties": false
        }))
        .unwrap();
        assert!(schema.problem().is_some());
        assert_eq!(schema.check(&json!({"kind": 1, "other": [], "code": "x", "count": 1, "null": 1})), Ok(()));
        assert!(schema.check(&json!({"count": "1"})).is_err());
        assert!(schema.check(&json!({"count": 1, "code": 1})).is_err());
        assert!(schema.check(&json!({})).is_err());
        assert!(jsonschema::meta::is_valid(schema.schema()));
        assert_eq!(schema.schema()["properties"]["kind"], json!({"description": "What."}));
    }

    #[test]
    fn an_operator_is_told_of_an_invalid_schema() {
        assert!(ArgumentSchema::strict(&json!({"type": "object", "properties": {"a": {"type": "strin"}}})).is_err());
        assert!(ArgumentSchema::strict(&json!({"type": "string"})).is_err());
        let schema = ArgumentSchema::strict(&json!({"type": "object"})).unwrap();
        assert_eq!(schema.schema(), &json!({"type": "object", "properties": {}}));
    }
}
