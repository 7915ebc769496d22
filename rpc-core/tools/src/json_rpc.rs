//! Reads the errors and ids of JSON-RPC responses, liberally.

use serde_json::{Map, Value};

/// Code of an error that says no code of its own: "internal error".
const INTERNAL_ERROR: i64 = -32_603;
/// Maximum length of the data of an error, in characters.
const DATA_CHARS: usize = 500;

/// A JSON-RPC error.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct Refusal {
    pub(crate) code: i64,
    /// The words of the server, or else its JSON. The data of the error follows in parentheses: it often says what the
    /// words only name.
    pub(crate) message: String,
}

impl Refusal {
    /// Reads the member `error` of a response, whatever it is.
    pub(crate) fn read(error: Value) -> Self {
        let code = error.get("code").and_then(integer).unwrap_or(INTERNAL_ERROR);
        let message = match error.get("message").filter(|message| !message.is_null()) {
            Some(message) => as_text(message),
            None => return Self { code, message: as_text(&error) },
        };
        let data = error.get("data").filter(|data| !says_nothing(data)).map(as_text).unwrap_or_default();
        let data: String = data.chars().take(DATA_CHARS).collect();
        let message = if message.contains(&data) { message } else { format!("{message} ({data})") };
        Self { code, message }
    }
}

/// Takes the error out of a response; `None` if there is none. Some servers send both members, one of them empty.
pub(crate) fn take_error(response: &mut Map<String, Value>) -> Option<Value> {
    let error = response.remove("error").filter(|error| !error.is_null())?;
    (!response.contains_key("result") || !says_nothing(&error)).then_some(error)
}

/// Whether a value is empty, or consists of empty values.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(_) => integer(value) == Some(0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.iter().all(says_nothing),
        Value::Object(members) => members.values().all(says_nothing),
    }
}

/// Returns an integer that is written as one, with a fraction of zero, or as text.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53 is exact in both types")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
