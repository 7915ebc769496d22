//! The body: members of an object, or REST's form of a message.

use super::invalid;
use crate::fields::{Field, Place, Row};
use schemars::JsonSchema;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use threadline_schema::{ErrorCode, RpcError};

/// Longest part of what was sent, or of a parser's words about it, that is repeated in an error.
const SHOWN: usize = 200;

/// What a message looks like, for errors.
const MESSAGE_FORM: &str = r#"{"message":{"role":"user","content":[{"type":"input_text","text":"..."}]}}"#;

/// Body of a message to the assistant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// The message.
    message: MessageIn,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SentMessage")]
struct MessageIn {
    /// Always `user`: what the server's side says is the server's to say.
    #[serde(rename = "role")]
    _role: RoleIn,
    /// The text.
    content: Vec<PartIn>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SentRole")]
enum RoleIn {
    User,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SentPart")]
struct PartIn {
    /// Always `input_text`.
    #[serde(rename = "type")]
    kind: PartKindIn,
    /// What is said.
    text: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "SentPartType")]
enum PartKindIn {
    InputText,
}

/// The params a body gives, as JSON text.
pub(super) fn read<'r>(row: &'r Row, body: &[u8]) -> Result<Vec<(&'r Field, String)>, RpcError> {
    if !row.rule.verb.carries_body() {
        return if body.is_empty() { Ok(Vec::new()) } else { Err(invalid("This call takes no body.")) };
    }
    let takes_nothing = !row.fields.iter().any(|field| matches!(field.place, Place::Body | Place::Message));
    if body.is_empty() {
        return if takes_nothing {
            Ok(Vec::new())
        } else {
            Err(RpcError::new(ErrorCode::InvalidJson, "The body is empty; this call takes a JSON object."))
        };
    }
    let whole = json_text(body)?;
    match row.fields.iter().find(|field| field.place == Place::Message) {
        Some(field) => Ok(vec![(field, message(whole)?)]),
        None => members(row, whole),
    }
}

/// The body as JSON of any kind, not yet taken apart.
pub(crate) fn json_text(body: &[u8]) -> Result<&RawValue, RpcError> {
    let text =
        std::str::from_utf8(body).map_err(|_| RpcError::new(ErrorCode::InvalidJson, "The body is not valid UTF-8."))?;
    // Looks at the whole text without descending, so the depth of a body costs no stack.
    serde_json::from_str(text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        RpcError::new(ErrorCode::InvalidJson, format!("The body is not valid JSON, at {place}."))
    })
}

fn message(body: &RawValue) -> Result<String, RpcError> {
    let sent: SendMessage = serde_json::from_str(body.get()).map_err(|error| {
        let why: String = error.to_string().chars().take(SHOWN).collect();
        invalid(format!("The body must look like {MESSAGE_FORM}: {why}."))
    })?;
    #[derive(Serialize)]
    struct Input {
        content: Vec<PartIn>,
    }
    serde_json::to_string(&Input { content: sent.message.content }).map_err(|_| invalid("The message cannot be read."))
}

fn members<'r>(row: &'r Row, body: &RawValue) -> Result<Vec<(&'r Field, String)>, RpcError> {
    let Members(members) = serde_json::from_str(body.get()).map_err(|_| invalid("The body must be a JSON object."))?;
    let mut params: Vec<(&'r Field, String)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        let field = row.fields.iter().find(|field| field.name == name && field.place == Place::Body);
        let field = field.ok_or_else(|| unknown(row, &name))?;
        if params.iter().any(|(known, _)| known.name == name) {
            return Err(invalid(format!("The member {name} is given more than once.")));
        }
        params.push((field, value.get().to_owned()));
    }
    Ok(params)
}

fn unknown(row: &Row, name: &str) -> RpcError {
    let known: Vec<_> =
        row.fields.iter().filter(|field| field.place == Place::Body).map(|field| field.name.as_str()).collect();
    let name: String = name.chars().take(SHOWN).collect();
    invalid(if known.is_empty() {
        format!("Unknown member {name} in the body; this call takes no members.")
    } else {
        format!("Unknown member {name} in the body; this call takes {}.", known.join(", "))
    })
}

/// The members of an object in their order, names that come twice included.
pub(crate) struct Members<'a>(pub(crate) Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
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
        deserializer.deserialize_map(Collect).map(Members)
    }
}
