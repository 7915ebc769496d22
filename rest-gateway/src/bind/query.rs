//! The query string.

use super::{decode, invalid};
use crate::fields::{Field, Place};
use threadline_schema::RpcError;

/// Longest part of something unknown that is repeated in an error.
const SHOWN: usize = 40;

/// Names and values, decoded. Only names that the row takes get through.
pub(super) fn read(fields: &[Field], query: Option<&str>) -> Result<Vec<(String, String)>, RpcError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (form_decode(name), form_decode(value)) else {
            return Err(invalid("The query string is not percent-encoded UTF-8."));
        };
        if !fields.iter().any(|field| field.name == name && matches!(field.place, Place::Query(_))) {
            return Err(unknown(fields, &name));
        }
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(invalid(format!("The query parameter {name} is given more than once.")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// HTML forms and most client libraries write a space as `+`.
fn form_decode(text: &str) -> Option<String> {
    if text.contains('+') { decode(&text.replace('+', " ")) } else { decode(text) }
}

fn unknown(fields: &[Field], name: &str) -> RpcError {
    let known: Vec<_> =
        fields.iter().filter(|f| matches!(f.place, Place::Query(_))).map(|field| field.name.as_str()).collect();
    let name: String = name.chars().take(SHOWN).collect();
    invalid(if known.is_empty() {
        format!("Unknown query parameter {name}; this call takes no query parameters.")
    } else {
        format!("Unknown query parameter {name}; this call takes {}.", known.join(", "))
    })
}
