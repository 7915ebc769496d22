//! The query string.

use super::text::{invalid, percent_decode};
use crate::operation::{Param, ParamSource};
use threadline_schema::RpcError;

/// Longest part of an unknown name that an error repeats, in characters.
const MAX_ECHOED_CHARS: usize = 40;

/// Returns names and values, decoded.
///
/// # Errors
/// INVALID_REQUEST for a name that the operation does not have, for a name that is there twice, and for text that
/// cannot be decoded.
pub(super) fn parse(params: &[Param], query: Option<&str>) -> Result<Vec<(String, String)>, RpcError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (form_decode(name), form_decode(value)) else {
            return Err(invalid("The query string is not percent-encoded UTF-8."));
        };
        if !query_params(params).any(|param| param.name == name) {
            return Err(unknown_param(params, &name));
        }
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(invalid(format!("The query parameter {name} is given more than once.")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn query_params(params: &[Param]) -> impl Iterator<Item = &Param> {
    params.iter().filter(|param| matches!(param.source, ParamSource::Query(_)))
}

/// Decodes a name or a value. HTML forms and most client libraries write a space as `+`.
fn form_decode(text: &str) -> Option<String> {
    if text.contains('+') { percent_decode(&text.replace('+', " ")) } else { percent_decode(text) }
}

fn unknown_param(params: &[Param], name: &str) -> RpcError {
    let known: Vec<_> = query_params(params).map(|param| param.name.as_str()).collect();
    let name: String = name.chars().take(MAX_ECHOED_CHARS).collect();
    invalid(if known.is_empty() {
        format!("Unknown query parameter {name}; this call takes no query parameters.")
    } else {
        format!("Unknown query parameter {name}; this call takes {}.", known.join(", "))
    })
}
