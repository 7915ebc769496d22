//! Binds a request: path, query, headers and body -> the params object of one call.
//!
//! [`ParamSource`] says where each parameter comes from. This module reads its text, checks it as far as the schema of
//! the params goes, and writes it as JSON. What a value means is checked by the core.

mod body;
mod message;
mod path;
#[cfg(test)]
mod properties;
mod query;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use body::{Members, parse_json};
pub(crate) use message::SendMessage;

use crate::operation::{Operation, Param, ParamSource};
use http::HeaderMap;
use serde_json::value::RawValue;
use text::{invalid, text_to_json};
use threadline_schema::RpcError;

/// The parts of a request that binding reads.
pub(crate) struct BindInput<'a> {
    /// Names and values of the path variables, not decoded.
    pub(crate) variables: Vec<(&'a str, &'a str)>,
    /// Query string.
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// Empty if there is no body.
    pub(crate) body: &'a [u8],
}

/// The result of binding.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The params object.
    pub(crate) params: Box<RawValue>,
    /// Value of the last path variable; empty if the path has none.
    pub(crate) path_id: String,
}

/// Binds a request to the parameters of an operation.
///
/// # Errors
/// INVALID_REQUEST or INVALID_JSON with a sentence that says what to change; THREAD_NOT_FOUND if two variables of one
/// parameter differ.
pub(crate) fn bind(operation: &Operation, input: &BindInput<'_>) -> Result<Bound, RpcError> {
    let query = query::parse(&operation.params, input.query)?;
    let mut object = ParamsObject::new();
    let mut path_id = String::new();
    for param in &operation.params {
        match &param.source {
            ParamSource::Path(variables) => {
                let (name, value) = path::read(param, variables, &input.variables)?;
                object.push(param, &text_to_json(param, name, &value)?)?;
                path_id = value;
            }
            ParamSource::Header(name) => {
                if let Some(text) = header(input.headers, name)? {
                    object.push(param, &text_to_json(param, name, text)?)?;
                }
            }
            ParamSource::Query(override_header) => {
                let from_header = override_header.map_or(Ok(None), |name| header(input.headers, name))?;
                let from_query = query.iter().find(|(name, _)| *name == param.name).map(|(_, text)| text.as_str());
                match (from_header.filter(|text| !text.is_empty()).or(from_query), param.default) {
                    (Some(text), _) => object.push(param, &text_to_json(param, &param.name, text)?)?,
                    (None, Some(default)) => object.push(param, default)?,
                    (None, None) if param.required => {
                        return Err(invalid(format!("The query parameter {} is missing.", param.name)));
                    }
                    (None, None) => {}
                }
            }
            ParamSource::Fixed(json) => object.push(param, json)?,
            ParamSource::BodyMember | ParamSource::BodyMessage | ParamSource::BodyFile | ParamSource::Omitted => {}
        }
    }
    for (param, json) in body::read(operation, input.body)? {
        object.push(param, &json)?;
    }
    Ok(Bound { params: object.finish()?, path_id })
}

/// Returns the text of a header; `None` if it is absent.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(format!("The header {name} is given more than once.")));
    }
    let text = value.to_str().map_err(|_| invalid(format!("The header {name} must be plain ASCII.")))?;
    Ok(Some(text))
}

/// Writes the params object, member by member.
struct ParamsObject {
    json: String,
}

impl ParamsObject {
    fn new() -> Self {
        Self { json: String::from("{") }
    }

    fn push(&mut self, param: &Param, json: &str) -> Result<(), RpcError> {
        if self.json.len() > 1 {
            self.json.push(',');
        }
        let name = serde_json::to_string(&param.name).map_err(|_| unreadable())?;
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
