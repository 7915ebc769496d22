//! Tells a model what to change in its arguments: which one, what it is, what it must be, and an example.

use super::QUOTED_CHARS;
use super::example::{example_of, resolve};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::{Map, Value};

/// Maximum number of problems in one error.
const MAX_PROBLEMS: usize = 5;
/// Maximum length of the example, in bytes. A longer one is not given.
const MAX_EXAMPLE_BYTES: usize = 600;
/// Maximum number of names or values in a list.
const MAX_LISTED: usize = 20;

/// Returns what to change, without a full stop at the end.
pub(super) fn what_to_change<'a>(
    schema: &Value,
    arguments: &Value,
    errors: impl Iterator<Item = ValidationError<'a>>,
) -> String {
    let mut problems = Vec::new();
    let mut wrong_members = Vec::new();
    for error in errors.take(MAX_PROBLEMS) {
        let problem = sentence(schema, &error);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
        let path = error.instance_path().as_str();
        let member = path.strip_prefix('/').and_then(|path| path.split('/').next());
        wrong_members.extend(member.map(|name| name.replace("~1", "/").replace("~0", "~")));
    }
    let mut text = problems.join(". ");
    let example = example_call(schema, arguments, &wrong_members).to_string();
    if example.len() <= MAX_EXAMPLE_BYTES {
        text.push_str(". Arguments that fit look like this: ");
        text.push_str(&example);
    }
    text
}

/// Returns the name of a value's type in plain words.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn sentence(schema: &Value, error: &ValidationError<'_>) -> String {
    let place = place(error.instance_path().as_str());
    let instance = error.instance();
    let is = |must: String| format!("{place} is {}, but it must be {must}", quoted(instance));
    let within = |what: &str, must: String| format!("{place} has {what}, but it must have {must}");
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let parent = error.instance_path().as_str();
            let path = if parent.is_empty() { name.to_owned() } else { format!("{}.{name}", dotted(parent)) };
            let schema = property_schema(schema, parent).and_then(|parent| parent.get("properties")?.get(name));
            let must = schema.and_then(describe).map(|must| format!("; it must be {must}")).unwrap_or_default();
            format!("`{path}` is missing{must}")
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let properties = property_schema(schema, error.instance_path().as_str())
                .and_then(|parent| parent.get("properties"))
                .and_then(Value::as_object);
            let known: Vec<_> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
            let unexpected: Vec<_> = unexpected.iter().map(String::as_str).collect();
            let known =
                if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", names(&known)) };
            format!("{} must be left out: {place} has no such names; {known}", names(&unexpected))
        }
        ValidationErrorKind::Type { kind } => is(match kind {
            TypeKind::Single(kind) => type_words(*kind).to_owned(),
            TypeKind::Multiple(kinds) => kinds.iter().map(type_words).collect::<Vec<_>>().join(" or "),
        }),
        ValidationErrorKind::Enum { options } => is(format!("one of {}", values(options))),
        ValidationErrorKind::Constant { expected_value } => is(expected_value.to_string()),
        ValidationErrorKind::Minimum { limit } => is(format!("{limit} or more")),
        ValidationErrorKind::ExclusiveMinimum { limit } => is(format!("more than {limit}")),
        ValidationErrorKind::Maximum { limit } => is(format!("{limit} or less")),
        ValidationErrorKind::ExclusiveMaximum { limit } => is(format!("less than {limit}")),
        ValidationErrorKind::MultipleOf { multiple_of } => is(format!("a multiple of {multiple_of}")),
        ValidationErrorKind::MinLength { limit } => is(format!("at least {limit} characters long")),
        ValidationErrorKind::MaxLength { limit } => is(format!("at most {limit} characters long")),
        ValidationErrorKind::Pattern { pattern } => is(format!("text that matches the pattern {pattern}")),
        ValidationErrorKind::Format { format } => is(format!("text in the format {format}")),
        ValidationErrorKind::MinItems { limit } => within(&count(instance), format!("at least {limit}")),
        ValidationErrorKind::MaxItems { limit } => within(&count(instance), format!("at most {limit}")),
        ValidationErrorKind::MinProperties { limit } => within(&count(instance), format!("at least {limit}")),
        ValidationErrorKind::MaxProperties { limit } => within(&count(instance), format!("at most {limit}")),
        ValidationErrorKind::UniqueItems => format!("{place} must not have the same entry twice"),
        ValidationErrorKind::AnyOf { .. }
        | ValidationErrorKind::OneOfNotValid { .. }
        | ValidationErrorKind::OneOfMultipleValid { .. } => {
            let parent = property_schema(schema, error.instance_path().as_str());
            let choices = ["anyOf", "oneOf"].iter().find_map(|name| parent?.get(*name)?.as_array());
            let choices: Vec<_> = choices.into_iter().flatten().filter_map(describe).collect();
            match choices.is_empty() {
                true => format!("{place} is {}, which does not fit", quoted(instance)),
                false => is(choices.join(", or ")),
            }
        }
        _ => {
            let problem: String = error.to_string().chars().take(QUOTED_CHARS * 2).collect();
            format!("{place} is wrong: {problem}")
        }
    }
}

/// Returns an example: the model's own arguments as far as they are right, and examples for the others.
fn example_call(schema: &Value, arguments: &Value, wrong_members: &[String]) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut example = Map::new();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let required: Vec<_> = required.collect();
    for (name, property) in properties.into_iter().flatten() {
        let written = arguments.get(name).filter(|_| !wrong_members.contains(name));
        match written {
            Some(value) => example.insert(name.clone(), value.clone()),
            None if required.contains(&name.as_str()) || arguments.get(name).is_some_and(|value| !value.is_null()) => {
                example.insert(name.clone(), example_of(schema, name, property))
            }
            None => None,
        };
    }
    Value::Object(example)
}

/// Returns what a value with this schema must be, in words; `None` if the schema does not say.
fn describe(schema: &Value) -> Option<String> {
    if let Some(options) = schema.get("enum") {
        return Some(format!("one of {}", values(options)));
    }
    if let Some(value) = schema.get("const") {
        return Some(value.to_string());
    }
    let words = |name: &str| match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        _ => "null",
    };
    match schema.get("type")? {
        Value::String(name) => Some(words(name).to_owned()),
        Value::Array(names) => {
            let names: Vec<_> = names.iter().filter_map(Value::as_str).map(words).collect();
            Some(names.join(" or "))
        }
        _ => None,
    }
}

fn type_words(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "text",
    }
}

/// Returns the schema at this path of the arguments; `None` if it cannot be found.
fn property_schema<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let mut schema = resolve(root, root);
    for part in path.split('/').skip(1) {
        let next = match part.parse::<usize>() {
            Ok(_) if schema.get("items").is_some() => schema.get("items"),
            _ => schema.get("properties").and_then(|all| all.get(part.replace("~1", "/").replace("~0", "~"))),
        };
        schema = resolve(root, next?);
    }
    Some(schema)
}

fn place(path: &str) -> String {
    if path.is_empty() { "the object of arguments".to_owned() } else { format!("`{}`", dotted(path)) }
}

fn dotted(path: &str) -> String {
    let parts: Vec<_> = path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    parts.join(".")
}

/// Returns a value with its type, which is what small models confuse.
fn quoted(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(QUOTED_CHARS).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    match value {
        Value::Null | Value::Bool(_) => short,
        value => format!("{short}{dots} ({})", type_of(value)),
    }
}

fn count(value: &Value) -> String {
    let count = value.as_array().map_or_else(|| value.as_object().map_or(0, Map::len), Vec::len);
    format!("{count} entries")
}

fn names(names: &[&str]) -> String {
    let listed: Vec<_> = names.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
    listed.join(", ")
}

fn values(options: &Value) -> String {
    let listed = options.as_array().into_iter().flatten().take(MAX_LISTED).map(Value::to_string);
    listed.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use crate::arguments::ArgumentSchema;
    use serde_json::{Value, json};

    fn told(schema: &Value, arguments: &Value) -> String {
        ArgumentSchema::lenient(schema).unwrap().check(arguments).unwrap_err()
    }

    fn order() -> Value {
        json!({
            "type": "object",
            "required": ["id"],
            "additionalProperties": false,
            "properties": {
                "id": {"type": "string"},
                "page": {"type": "integer", "minimum": 1},
                "state": {"enum": ["open", "closed"]},
                "due": {"type": "string", "format": "date"},
                "lines": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/line"}}
            },
            "$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}}
        })
    }

    #[test]
    fn a_model_is_told_what_to_change_and_how_it_looks_like() {
        for (arguments, words, example) in [
            (json!({}), "`id` is missing; it must be text", json!({"id": "<id>"})),
            (json!({"id": 7}), "`id` is 7 (a number), but it must be text", json!({"id": "<id>"})),
            (
                json!({"id": "a", "page": "2"}),
                "`page` is \"2\" (text), but it must be a whole number",
                json!({"id": "a", "page": 1}),
            ),
            (
                json!({"id": "a", "page": 0}),
                "`page` is 0 (a number), but it must be 1 or more",
                json!({"id": "a", "page": 1}),
            ),
            (
                json!({"id": "a", "state": "new"}),
                "`state` is \"new\" (text), but it must be one of \"open\", \"closed\"",
                json!({"id": "a", "state": "open"}),
            ),
            (
                json!({"id": "a", "x": 1}),
                "`x` must be left out: the object of arguments has no such names; there are `due`, `id`, `lines`, `page`, `state`",
                json!({"id": "a"}),
            ),
            (
                json!({"id": "a", "lines": [{"sku": "b"}, {}]}),
                "`lines.1.sku` is missing; it must be text",
                json!({"id": "a", "lines": [{"sku": "<sku>"}]}),
            ),
            (
                json!({"id": "a", "lines": [{"sku": "b"}, {"sku": "b"}, {"sku": "b"}]}),
                "`lines` has 3 entries, but it must have at most 2",
                json!({"id": "a", "lines": [{"sku": "<sku>"}]}),
            ),
        ] {
            let expected = format!("{words}. Arguments that fit look like this: {example}");
            assert_eq!(told(&order(), &arguments), expected, "{arguments}");
            ArgumentSchema::lenient(&order()).unwrap().check(&example).expect("the example fits");
        }
    }

    #[test]
    fn several_problems_are_told_at_once_and_long_values_are_cut() {
        let told = told(&order(), &json!({"page": "x".repeat(10_000), "y": 1}));
        assert!(
            told.contains("`id` is missing") && told.contains("`page` is") && told.contains("`y` must be left out")
        );
        assert!(told.len() < 1_000, "{told}");
    }

    #[test]
    fn choices_are_named() {
        let schema = json!({"properties": {"when": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "either": {"oneOf": [{"const": 1}, {"type": ["boolean", "null"]}]}}});
        assert!(
            told(&schema, &json!({"when": 7})).starts_with("`when` is 7 (a number), but it must be text, or null.")
        );
        let told = told(&schema, &json!({"either": 7}));
        assert!(told.starts_with("`either` is 7 (a number), but it must be 1, or true or false or null."), "{told}");
    }
}
