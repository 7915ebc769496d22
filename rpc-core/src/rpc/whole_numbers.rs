//! Integers that are written with a fraction or an exponent. For JSON Schema `1.0` and `1e2` are integers; serde
//! refuses them.

use threadline_schema::json_text::{end_of_number, end_of_text};

/// The largest number up to which each integer has a floating-point number of its own.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Rewrites the whole numbers in a JSON text as integers: `{"limit": 5.0}` -> `{"limit": 5}`. Strings stay as they are.
/// Returns `None` if there is nothing to rewrite.
pub(in crate::rpc) fn whole_numbers(json: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = json;
    let mut is_changed = false;
    // Up to a number or a string, which can contain digits.
    while let Some(start) = rest.find(|letter: char| letter == '"' || letter == '-' || letter.is_ascii_digit()) {
        let (before, found) = rest.split_at(start);
        out.push_str(before);
        let is_text = found.starts_with('"');
        let (token, after) = found.split_at(if is_text { end_of_text(found) } else { end_of_number(found) });
        match as_integer(token).filter(|_| !is_text) {
            Some(integer) => {
                is_changed = true;
                out.push_str(&integer);
            }
            None => out.push_str(token),
        }
        rest = after;
    }
    out.push_str(rest);
    is_changed.then_some(out)
}

/// Returns a number that is whole and written otherwise as an integer.
fn as_integer(token: &str) -> Option<String> {
    let is_integer = !token.contains(['.', 'e', 'E']) && token != "-0";
    let number: f64 = if is_integer { return None } else { token.parse().ok()? };
    let is_whole = number.abs() <= LARGEST_EXACT && number.fract() == 0.0;
    // Not `-0`, which is not an integer for serde.
    is_whole.then(|| if number == 0.0 { "0".to_owned() } else { format!("{number:.0}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_become_integers_and_nothing_else_changes() {
        let json =
            r#"{"a": 5.0, "b":[-1e2,2.50E1,-0.0,-0], "c":"1.0 \" 2.0", "\\":7.0,"d": 1.5, "e":10, "f":1e300,"ü":[]}"#;
        let wanted = r#"{"a": 5, "b":[-100,25,0,0], "c":"1.0 \" 2.0", "\\":7,"d": 1.5, "e":10, "f":1e300,"ü":[]}"#;
        assert_eq!(whole_numbers(json).as_deref(), Some(wanted));
        for json in [r#"{"limit": 5, "text": "1.0"}"#, "{}", "", "\"1.0", "\"1.0\\", r#"{"a":1.5}"#, "-", "1.0.0"] {
            assert_eq!(whole_numbers(json), None, "{json}");
        }
    }
}
