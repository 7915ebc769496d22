//! Text of a path, a query string or a header -> JSON.

use crate::operation::{Param, ParamType};
use percent_encoding::percent_decode_str;
use threadline_schema::{ErrorCode, RpcError};
use uuid::Uuid;

/// Returns the JSON of a parameter that was sent as text. `name` is the name under which it was sent.
pub(super) fn text_to_json(param: &Param, name: &str, text: &str) -> Result<String, RpcError> {
    match param.param_type {
        ParamType::Uuid => Ok(format!("\"{}\"", parse_uuid(name, text)?)),
        ParamType::Unsigned => {
            let number: u64 =
                text.parse().map_err(|_| invalid(format!("{name} must be a whole number, not negative.")))?;
            Ok(number.to_string())
        }
        ParamType::Boolean => match text {
            "true" | "false" => Ok(text.to_owned()),
            _ => Err(invalid(format!("{name} must be true or false."))),
        },
        ParamType::String => serde_json::to_string(text).map_err(|_| invalid(format!("{name} cannot be read."))),
        ParamType::Json => Err(invalid(format!("{name} can only be given in a body."))),
    }
}

pub(super) fn parse_uuid(name: &str, text: &str) -> Result<Uuid, RpcError> {
    text.parse().map_err(|_| invalid(format!("{name} must be a UUID.")))
}

/// Decodes percent-encoded text; `None` for an invalid escape or invalid UTF-8.
pub(super) fn percent_decode(encoded: &str) -> Option<String> {
    let mut rest = encoded;
    while let Some((_, escape)) = rest.split_once('%') {
        // The decoder of the crate keeps invalid escapes as they are.
        let digits = escape.get(..2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        rest = escape;
    }
    percent_decode_str(encoded).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

pub(super) fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidRequest, message)
}
