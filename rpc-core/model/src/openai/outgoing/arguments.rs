//! The arguments of earlier calls: always a JSON object.

use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Maximum number of characters of invalid arguments that the model sees again.
const MAX_RAW_CHARS: usize = 1_000;

/// Returns the arguments of a call as text that every server accepts.
///
/// An object is sent as the model wrote it. Nothing and `null` are an empty object, and an object inside a string is
/// that object. Anything else is sent as `{"_raw": "..."}`: the result of the call tells the model what was wrong.
pub(super) fn valid_arguments(arguments: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(_)) => Cow::Borrowed(arguments),
        Ok(Value::Null) => Cow::Borrowed("{}"),
        Ok(Value::String(inner)) if serde_json::from_str::<Map<String, Value>>(&inner).is_ok() => Cow::Owned(inner),
        _ if arguments.trim().is_empty() => Cow::Borrowed("{}"),
        _ => Cow::Owned(json!({"_raw": arguments.chars().take(MAX_RAW_CHARS).collect::<String>()}).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::valid_arguments;

    #[test]
    fn arguments_are_an_object() {
        for (written, sent) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("", "{}"),
            (" \n", "{}"),
            ("null", "{}"),
            (r#""{\"a\":1}""#, r#"{"a":1}"#),
            (r#"{"title": "x"#, r#"{"_raw":"{\"title\": \"x"}"#),
            (r#"{"a":1}{"a":1}"#, r#"{"_raw":"{\"a\":1}{\"a\":1}"}"#),
            ("[1]", r#"{"_raw":"[1]"}"#),
            (r#""word""#, r#"{"_raw":"\"word\""}"#),
            ("NaN", r#"{"_raw":"NaN"}"#),
        ] {
            assert_eq!(valid_arguments(written), sent, "{written}");
        }
        assert!(valid_arguments(&"[".repeat(100_000)).len() < 2_000);
    }
}
