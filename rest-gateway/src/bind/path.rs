//! The variables of a path.

use super::text::{invalid, parse_uuid, percent_decode};
use crate::operation::{Param, ParamType};
use threadline_schema::{ErrorCode, RpcError};

/// Returns the value of a parameter and the name of its first variable. UUIDs are written in lower case.
///
/// # Errors
/// INVALID_REQUEST for a value that cannot be decoded; THREAD_NOT_FOUND if the values of its variables differ.
pub(super) fn read(
    param: &Param,
    variables: &[&'static str],
    values: &[(&str, &str)],
) -> Result<(&'static str, String), RpcError> {
    let mut found: Option<(&'static str, String)> = None;
    for name in variables {
        let encoded = values.iter().find(|(variable, _)| variable == name).map_or("", |(_, value)| value);
        let mut text = percent_decode(encoded)
            .ok_or_else(|| invalid(format!("{name} in the path is not percent-encoded UTF-8.")))?;
        if param.param_type == ParamType::Uuid {
            text = parse_uuid(name, &text)?.to_string();
        }
        match &found {
            Some((_, other)) if *other != text => {
                // Only session and thread share a parameter: a session has one thread, with the id of the session.
                return Err(RpcError::new(ErrorCode::ThreadNotFound, "The session has no such thread."));
            }
            Some(_) => {}
            None => found = Some((name, text)),
        }
    }
    found.ok_or_else(|| invalid(format!("{} is missing in the path.", param.name)))
}
