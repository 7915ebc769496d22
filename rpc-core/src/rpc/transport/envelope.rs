//! The envelope of JSON-RPC 2.0: what is a request, a notification, and neither.
//!
//! The same for all transports. It is our own because an id has to come back as it was written, whatever number it is,
//! and because a member that is there twice has to be refused before the call is carried out.

use crate::rpc::members::{Members, Text};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The id of a call as JSON text, as its caller wrote it: a string, a number or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id<'a>(&'a str);

/// A call that a message asks for.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    /// `None` for a notification, which is not answered.
    pub(super) id: Option<Id<'a>>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Option<&'a RawValue>,
}

impl<'a> Id<'a> {
    /// The id of an answer to what has no valid id.
    pub(super) const NULL: Id<'static> = Id("null");

    fn parse(json: &'a RawValue) -> Option<Self> {
        let json = json.get();
        matches!(json.bytes().next(), Some(b'"' | b'-' | b'0'..=b'9' | b'n')).then_some(Self(json))
    }

    /// Returns the id as JSON text.
    pub(super) fn json(self) -> &'a str {
        self.0
    }
}

impl<'a> Request<'a> {
    /// Parses one request or notification.
    ///
    /// # Errors
    /// The id that the answer must have, if it is neither. Nothing may be carried out then.
    pub(super) fn parse(json: &'a str) -> Result<Self, Id<'a>> {
        let Ok(Members(members)) = serde_json::from_str(json) else { return Err(Id::NULL) };
        let [mut version, mut id, mut method, mut params] = [None; 4];
        let (mut is_doubled, mut has_two_ids) = (false, false);
        for (name, value) in members {
            match &*name {
                "jsonrpc" => is_doubled |= version.replace(value).is_some(),
                "id" => has_two_ids |= id.replace(value).is_some(),
                "method" => is_doubled |= method.replace(value).is_some(),
                "params" => is_doubled |= params.replace(value).is_some(),
                _ => {}
            }
        }
        // Without a valid id, the client cannot match a response to its request.
        let id = match id.map(Id::parse) {
            Some(None) => return Err(Id::NULL),
            _ if has_two_ids => return Err(Id::NULL),
            Some(id) => id,
            None => None,
        };
        let text = |value: Option<&'a RawValue>| Some(serde_json::from_str::<Text<'_>>(value?.get()).ok()?.0);
        // JSON-RPC 2.0, section 4.2. `null` stands for no params, as many clients write it.
        let is_structured = params.is_none_or(|params| params.get().starts_with(['{', '[', 'n']));
        match (text(version).as_deref(), text(method)) {
            (Some("2.0"), Some(method)) if !is_doubled && is_structured => Ok(Self { id, method, params }),
            _ => Err(id.unwrap_or(Id::NULL)),
        }
    }

    pub(super) fn params_bytes(&self) -> usize {
        self.params.map_or(0, |params| params.get().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_as_written() {
        for id in ["1", "-1", "1.5", "1e400", "18446744073709551616", "-0.00", r#""""#, r#""\u00e4\ud800""#, "null"] {
            let json = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"m"}}"#);
            let request = Request::parse(&json).unwrap_or_else(|_| panic!("{json}"));
            assert_eq!(request.id.map(Id::json), Some(id));
        }
        let notification = Request::parse(r#"{"jsonrpc":"2.0","method":"\u006d","params":[1]}"#).unwrap();
        assert_eq!((notification.id, &*notification.method), (None, "m"));
    }

    #[test]
    fn what_is_no_request_is_answered_with_its_id_if_that_is_valid() {
        for (json, id) in [
            (r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"m"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","id":1}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","\u0069d":2}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{},"params":{}}"#, "1"),
            (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":"a","method":"m"}"#, r#""a""#),
            (r#"{"jsonrpc":"1.0","id":-7,"method":"m"}"#, "-7"),
            (r#"{"jsonrpc":2.0,"id":7,"method":"m"}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":null}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"m","params":"x"}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"m","params": 1}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"m","params":-1}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"m","params":true}"#, "7"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"m","params":false}"#, "7"),
            (r#"{"jsonrpc":"2.0","method":"m","params":"x"}"#, "null"),
            (r#"{"foo":1}"#, "null"),
            ("1", "null"),
            (r#""x""#, "null"),
            ("[]", "null"),
        ] {
            assert_eq!(Request::parse(json).err().map(Id::json), Some(id), "{json}");
        }
    }
}
