//! The JSON body: the members of an object, or a message.

use super::message::message_to_input;
use super::text::invalid;
use crate::operation::{Operation, Param, ParamSource};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use threadline_schema::{ErrorCode, RpcError};

/// Longest part of an unknown name that an error repeats, in characters.
const MAX_ECHOED_CHARS: usize = 200;

/// Returns the parameters that the body gives, as JSON.
pub(super) fn read<'o>(operation: &'o Operation, body: &[u8]) -> Result<Vec<(&'o Param, String)>, RpcError> {
    if !operation.rule.verb.has_body() {
        return if body.is_empty() { Ok(Vec::new()) } else { Err(invalid("This call takes no body.")) };
    }
    let message_param = operation.params_from(&ParamSource::BodyMessage).next();
    let has_params = message_param.is_some() || operation.params_from(&ParamSource::BodyMember).next().is_some();
    if body.is_empty() {
        return if !has_params || operation.rule.optional_body {
            Ok(Vec::new())
        } else {
            Err(RpcError::new(ErrorCode::InvalidJson, "The body is empty; this call takes a JSON object."))
        };
    }
    let json = parse_json(body)?;
    match message_param {
        Some(param) => Ok(vec![(param, message_to_input(json)?)]),
        None => members(operation, json),
    }
}

/// Checks that the body is JSON of any kind, without taking it apart.
pub(crate) fn parse_json(body: &[u8]) -> Result<&RawValue, RpcError> {
    let text =
        std::str::from_utf8(body).map_err(|_| RpcError::new(ErrorCode::InvalidJson, "The body is not valid UTF-8."))?;
    // A RawValue is parsed without recursion, so a deeply nested body uses no stack.
    serde_json::from_str(text).map_err(|error| {
        let position = format!("line {}, column {}", error.line(), error.column());
        RpcError::new(ErrorCode::InvalidJson, format!("The body is not valid JSON, at {position}."))
    })
}

fn members<'o>(operation: &'o Operation, body: &RawValue) -> Result<Vec<(&'o Param, String)>, RpcError> {
    let Members(members) = serde_json::from_str(body.get()).map_err(|_| invalid("The body must be a JSON object."))?;
    let mut params: Vec<(&'o Param, String)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        let param = operation.params_from(&ParamSource::BodyMember).find(|param| param.name == name);
        let param = param.ok_or_else(|| unknown_member(operation, &name))?;
        if params.iter().any(|(known, _)| known.name == name) {
            return Err(invalid(format!("The member {name} is given more than once.")));
        }
        params.push((param, value.get().to_owned()));
    }
    Ok(params)
}

fn unknown_member(operation: &Operation, name: &str) -> RpcError {
    let known: Vec<_> = operation.params_from(&ParamSource::BodyMember).map(|param| param.name.as_str()).collect();
    let name: String = name.chars().take(MAX_ECHOED_CHARS).collect();
    invalid(if known.is_empty() {
        format!("Unknown member {name} in the body; this call takes no members.")
    } else {
        format!("Unknown member {name} in the body; this call takes {}.", known.join(", "))
    })
}

/// The members of an object in their order, including names that are there twice.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}
