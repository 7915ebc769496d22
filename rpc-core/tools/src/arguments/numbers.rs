//! Numbers that would not reach a tool as they were written. A number is kept as an integer of 64 bits or as a double;
//! one that neither holds would be rounded, and an id would be that of something else.

use super::QUOTED_CHARS;
use threadline_schema::json_text::{end_of_number, end_of_text};

/// Number of significant digits that a double keeps, whatever they are.
const KEPT_DIGITS: usize = 15;

/// Returns why arguments cannot be passed on as they were written, without a full stop at the end; `None` if they can.
/// `json` is the text of a JSON object.
pub(crate) fn inexact_number(json: &str) -> Option<String> {
    let (mut rest, mut depth, mut argument) = (json, 0_usize, "");
    while let Some(start) = rest.find(['"', '{', '[', '}', ']', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    {
        let (_, found) = rest.split_at(start);
        let first = found.bytes().next();
        let end = match first {
            Some(b'"') => end_of_text(found),
            Some(b'{' | b'[' | b'}' | b']') => 1,
            _ => end_of_number(found),
        };
        let (token, after) = found.split_at(end);
        match first {
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => depth = depth.saturating_sub(1),
            Some(b'"') if depth == 1 && after.trim_start().starts_with(':') => argument = token,
            Some(b'"') => {}
            _ if is_kept(token) => {}
            _ => {
                let name: String = serde_json::from_str(argument).unwrap_or_default();
                let shown = |text: &str| text.chars().take(QUOTED_CHARS).collect::<String>();
                let (name, number) = (shown(&name), shown(token));
                return Some(format!(
                    "the number {number} in `{name}` has more digits than can be kept. Send it as text if `{name}` takes \
                     text, or with at most {KEPT_DIGITS} digits"
                ));
            }
        }
        rest = after;
    }
    None
}

/// Returns whether a number comes out as it was written, apart from the form: `1e2` is `100`.
fn is_kept(token: &str) -> bool {
    let is_short = token.len() <= KEPT_DIGITS && !token.contains(['e', 'E']);
    if is_short || token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok() {
        return true;
    }
    let Ok(number) = token.parse::<f64>() else { return false };
    number.is_finite() && decimal(token) == decimal(&format!("{number:e}"))
}

/// Returns the significant digits of a number without its sign, and the power of ten that they count.
fn decimal(number: &str) -> (String, i64) {
    let unsigned = number.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let shift = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let zeros = shift(digits.len() - significant.len());
    match significant.trim_start_matches('0') {
        "" => (String::new(), 0),
        significant => {
            let exponent = exponent.parse().unwrap_or(i64::MAX);
            (significant.to_owned(), exponent.saturating_sub(shift(fraction.len())).saturating_add(zeros))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_or_named() {
        for kept in [
            "0",
            "-0",
            "-0.0",
            "1.50",
            "1e2",
            "2.5E-3",
            "0e99999999999999999999",
            "0.30000000000000004",
            "13.404953999999975",
            "9007199254740993",
            "-9223372036854775808",
            "18446744073709551615",
            "1e22",
            "10000000000000000000000",
            "1.7976931348623157e308",
            "0.10000000000000000000",
            "5e-324",
        ] {
            assert_eq!(inexact_number(&format!(r#"{{"id": {kept}}}"#)), None, "{kept}");
        }
        for lost in [
            "12345678901234567890123",
            "-9223372036854775809",
            "18446744073709551617",
            "12345678901234567.89",
            "0.1000000000000000055511151231257827",
            "3.14159265358979323846",
            "1e400",
            "1e-400",
            "9007199254740993.0",
            "1.0000000000000000000001e3",
        ] {
            for json in [
                format!(r#"{{"a": 1, "id": {lost}}}"#),
                format!(r#"{{"id":{{"b":[1,{{"c":{lost}}}]}},"z":"x"}}"#),
                format!(r#"{{"x": "id", "\u0069d" : [{lost}]}}"#),
            ] {
                let problem = inexact_number(&json).unwrap_or_else(|| panic!("{json}"));
                assert!(problem.starts_with(&format!("the number {lost} in `id` ")), "{json}: {problem}");
            }
        }
        // Text is kept.
        for json in [r#"{"id": "12345678901234567890123", "12345678901234567890123": "\" 1e400"}"#, "{}", "", "null"] {
            assert_eq!(inexact_number(json), None, "{json}");
        }
    }
}
