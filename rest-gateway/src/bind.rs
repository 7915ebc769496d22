//! Path, query, headers and body -> the params object of one call.
//!
//! Where a param comes from is [`crate::fields`]' to say; here its text is read, checked as far as the schema of the
//! params goes, and written as JSON. What a value means is the core's to judge.

mod body;
mod query;
#[cfg(test)]
mod tests;

pub(crate) use body::{Members, SendMessage, json_text};

use crate::fields::{Field, Kind, Place, Row};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// A request as far as binding reads it.
pub(crate) struct Request<'a> {
    /// Values of the path's variables, not yet decoded.
    pub(crate) variables: Vec<(&'a str, &'a str)>,
    /// Query string.
    pub(crate) query: Option<&'a str>,
    /// Headers.
    pub(crate) headers: &'a HeaderMap,
    /// Body; empty when there was none.
    pub(crate) body: &'a [u8],
}

/// What binding made.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The params object.
    pub(crate) params: Box<RawValue>,
    /// Value of the path's last variable; empty when it has none.
    pub(crate) named: String,
}

/// Makes the params of a row's call out of a request.
///
/// # Errors
/// INVALID_REQUEST or INVALID_JSON with a sentence that says what to change; THREAD_NOT_FOUND when two variables of one
/// param differ.
pub(crate) fn bind(row: &Row, request: &Request<'_>) -> Result<Bound, RpcError> {
    let fields = row.fields.as_slice();
    let query = query::read(fields, request.query)?;
    let mut params = Params::new();
    let mut named = String::new();
    for field in fields {
        match &field.place {
            Place::Path(variables) => {
                let value = path_value(field, variables, request)?;
                params.push(field, &json(field, value.0, &value.1)?)?;
                named = value.1;
            }
            Place::Header(name) => {
                if let Some(text) = header(request.headers, name)? {
                    params.push(field, &json(field, name, text)?)?;
                }
            }
            Place::Query(over) => {
                let from_header = over.map_or(Ok(None), |name| header(request.headers, name))?;
                let from_query = query.iter().find(|(name, _)| *name == field.name).map(|(_, text)| text.as_str());
                match (from_header.filter(|text| !text.is_empty()).or(from_query), field.default) {
                    (Some(text), _) => params.push(field, &json(field, &field.name, text)?)?,
                    (None, Some(default)) => params.push(field, default)?,
                    (None, None) if field.required => {
                        return Err(invalid(format!("The query parameter {} is missing.", field.name)));
                    }
                    (None, None) => {}
                }
            }
            Place::Fixed(json) => params.push(field, json)?,
            Place::Body | Place::Message | Place::Withheld => {}
        }
    }
    for (field, json) in body::read(row, request.body)? {
        params.push(field, &json)?;
    }
    Ok(Bound { params: params.finish()?, named })
}

fn path_value(
    field: &Field,
    variables: &[&'static str],
    request: &Request<'_>,
) -> Result<(&'static str, String), RpcError> {
    let mut value: Option<(&'static str, String)> = None;
    for name in variables {
        let raw = request.variables.iter().find(|(variable, _)| variable == name).map_or("", |(_, raw)| raw);
        let mut text =
            decode(raw).ok_or_else(|| invalid(format!("{name} in the path is not percent-encoded UTF-8.")))?;
        if field.kind == Kind::Uuid {
            let id: Uuid = text.parse().map_err(|_| invalid(format!("{name} must be a UUID.")))?;
            text = id.to_string();
        }
        match &value {
            Some((_, other)) if *other != text => {
                // The only param two variables share: a session has one thread, of its own id.
                return Err(RpcError::new(ErrorCode::ThreadNotFound, "The session has no such thread."));
            }
            Some(_) => {}
            None => value = Some((name, text)),
        }
    }
    value.ok_or_else(|| invalid(format!("{} is missing in the path.", field.name)))
}

/// A header's text; `None` when it is not there.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(format!("The header {name} is given more than once.")));
    }
    let text = value.to_str().map_err(|_| invalid(format!("The header {name} must be plain ASCII.")))?;
    Ok(Some(text))
}

/// The JSON of a param that was given as text.
fn json(field: &Field, told_as: &str, text: &str) -> Result<String, RpcError> {
    match field.kind {
        Kind::Uuid => {
            let id: Uuid = text.parse().map_err(|_| invalid(format!("{told_as} must be a UUID.")))?;
            Ok(format!("\"{id}\""))
        }
        Kind::Unsigned => {
            let number: u64 =
                text.parse().map_err(|_| invalid(format!("{told_as} must be a whole number, not negative.")))?;
            Ok(number.to_string())
        }
        Kind::Boolean => match text {
            "true" | "false" => Ok(text.to_owned()),
            _ => Err(invalid(format!("{told_as} must be true or false."))),
        },
        Kind::Text => serde_json::to_string(text).map_err(|_| invalid(format!("{told_as} cannot be read."))),
        Kind::Json => Err(invalid(format!("{told_as} can only be given in a body."))),
    }
}

/// Percent-decoded text; `None` for a broken escape or what is no UTF-8.
fn decode(raw: &str) -> Option<String> {
    let mut rest = raw;
    while let Some((_, escape)) = rest.split_once('%') {
        // The decoder itself lets broken escapes pass as they are.
        let digits = escape.get(..2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        rest = escape;
    }
    percent_decode_str(raw).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, message)
}

/// A JSON object under way.
struct Params {
    json: String,
}

impl Params {
    fn new() -> Self {
        Self { json: String::from("{") }
    }

    fn push(&mut self, field: &Field, json: &str) -> Result<(), RpcError> {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        let name = serde_json::to_string(&field.name).map_err(|_| unreadable())?;
        self.json.push_str(&name);
        self.json.push(':');
        self.json.push_str(json);
        Ok(())
    }

    fn finish(mut self) -> Result<Box<RawValue>, RpcError> {
        self.json.push('}');
        RawValue::from_string(self.json).map_err(|_| unreadable())
    }
}

fn unreadable() -> RpcError {
    invalid("The request cannot be read.")
}
