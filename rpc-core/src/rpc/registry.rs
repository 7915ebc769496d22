//! The methods by name: which handler answers which marker type of the contract.

use super::call::CallContext;
use super::feed::Feed;
use super::reply::{Reply, Success};
use super::whole_numbers::whole_numbers;
use crate::error::Error;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use threadline_schema::{Kind, MethodInfo, RpcMethod};

/// Runs a method: context and params (JSON text) in, reply out.
type Handler =
    Box<dyn Fn(CallContext, Option<&str>) -> BoxFuture<'static, Result<Success<Reply>, Error>> + Send + Sync>;

/// A registered method.
pub(crate) struct Method {
    pub(crate) info: MethodInfo,
    handler: Handler,
}

impl Method {
    pub(crate) fn is_subscription(&self) -> bool {
        self.info.kind != Kind::Command
    }

    /// Parses the params and runs the handler.
    pub(crate) fn call(
        &self,
        context: CallContext,
        params: Option<&str>,
    ) -> BoxFuture<'static, Result<Success<Reply>, Error>> {
        (self.handler)(context, params)
    }
}

/// Two handlers were registered for one method.
#[derive(Debug, thiserror::Error)]
#[error("the method {0} is registered twice")]
pub struct DuplicateMethod(&'static str);

/// The registered methods.
#[derive(Default)]
pub(crate) struct Registry {
    methods: HashMap<&'static str, Method>,
    duplicate: Option<&'static str>,
}

impl Registry {
    /// Registers methods whose handlers share `collaborators`.
    pub(crate) fn namespace<S>(&mut self, collaborators: S) -> Namespace<'_, S> {
        Namespace { registry: self, collaborators: Arc::new(collaborators) }
    }

    /// Returns the complete registry.
    ///
    /// # Errors
    /// If a method was registered twice.
    pub(crate) fn build(self) -> Result<Self, DuplicateMethod> {
        match self.duplicate {
            None => Ok(self),
            Some(name) => Err(DuplicateMethod(name)),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &MethodInfo> {
        self.methods.values().map(|method| &method.info)
    }

    fn insert<M: RpcMethod>(&mut self, handler: Handler) {
        match self.methods.entry(M::NAME) {
            Entry::Vacant(entry) => {
                entry.insert(Method { info: MethodInfo::of::<M>(), handler });
            }
            Entry::Occupied(_) => self.duplicate = Some(M::NAME),
        }
    }
}

/// Registers the methods of one namespace.
pub(crate) struct Namespace<'a, S> {
    registry: &'a mut Registry,
    collaborators: Arc<S>,
}

impl<S: Send + Sync + 'static> Namespace<'_, S> {
    /// Registers the handler of a command. The marker names the method.
    pub(crate) fn command<M, F, Fut, R>(self, _: M, handler: F) -> Self
    where
        M: RpcMethod,
        F: Fn(Arc<S>, CallContext, M::Params) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<R, Error>> + Send,
        R: Into<Success<M::Result>>,
    {
        let collaborators = self.collaborators.clone();
        self.registry.insert::<M>(Box::new(move |context, params| {
            let (collaborators, params) = (collaborators.clone(), parse_params(params));
            Box::pin(async move {
                let Success { result, replayed } = handler(collaborators, context, params?).await?.into();
                Ok(Success { result: Reply::Result(to_raw_value(&result)?), replayed })
            })
        }));
        self
    }

    /// Registers the handler of a subscription. The marker names the method.
    pub(crate) fn subscription<M, F, Fut>(self, _: M, handler: F) -> Self
    where
        M: RpcMethod,
        F: Fn(Arc<S>, CallContext, M::Params) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Feed, Error>> + Send,
    {
        let collaborators = self.collaborators.clone();
        self.registry.insert::<M>(Box::new(move |context, params| {
            let (collaborators, params) = (collaborators.clone(), parse_params(params));
            Box::pin(async move { Ok(Reply::Feed(handler(collaborators, context, params?).await?).into()) })
        }));
        self
    }
}

/// Parses by-name params.
///
/// # Errors
/// `INVALID_REQUEST` with the path to the wrong value.
fn parse_params<P: DeserializeOwned>(params: Option<&str>) -> Result<P, Error> {
    let text = match params.map(str::trim) {
        None | Some("" | "null") => "{}",
        Some(text) if text.starts_with('[') => {
            return Err(Error::invalid("Params go by name: send an object, not an array."));
        }
        Some(text) => text,
    };
    serde_json::from_str(text).or_else(|error: serde_json::Error| {
        // From here on, only what was refused pays.
        let rewritten = if error.is_data() { whole_numbers(text) } else { None };
        let text = match &rewritten {
            Some(rewritten) => match serde_json::from_str(rewritten) {
                Ok(params) => return Ok(params),
                Err(_) => rewritten.as_str(),
            },
            None => text,
        };
        Err(describe::<P>(text, &error))
    })
}

/// Returns the error of params that cannot be parsed. Parses them once more, to find the path to the wrong value.
fn describe<P: DeserializeOwned>(text: &str, error: &serde_json::Error) -> Error {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = serde_path_to_error::deserialize::<_, P>(&mut deserializer).err();
    let path = found.as_ref().map(|found| found.path().to_string()).filter(|path| path != ".");
    let reason = found.map_or_else(|| error.to_string(), |found| found.inner().to_string());
    let reason = in_words_of_json(reason.split(" at line ").next().unwrap_or_default());
    match path {
        Some(path) => Error::invalid(format!("`{path}`: {reason}.")),
        None => Error::invalid(format!("Params: {reason}.")),
    }
}

/// Returns the reason of an error without the names of our types, which mean nothing to a client.
fn in_words_of_json(reason: &str) -> Cow<'_, str> {
    if reason.starts_with("data did not match any variant of ") {
        return "the value has none of the forms that are allowed here".into();
    }
    // What was found stands before it, and can have any words.
    let Some((found, expected)) = reason.rsplit_once(", expected ") else { return reason.into() };
    let is_of_type = |kind: &str| expected.starts_with(kind);
    if ["struct ", "internally tagged enum ", "adjacently tagged enum "].into_iter().any(is_of_type) {
        return format!("{found}, expected an object").into();
    }
    if ["tuple ", "unit ", "enum ", "newtype ", "variant of enum "].into_iter().any(is_of_type) {
        return found.to_owned().into();
    }
    reason.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use threadline_schema::ErrorCode;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Params {
        #[serde(default)]
        limit: u32,
        #[serde(default)]
        inner: Vec<Inner>,
        #[serde(default)]
        choice: Option<Choice>,
        #[serde(default)]
        tagged: Option<Tagged>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        name: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Choice {
        Number(u64),
        Text(String),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        One { a: u64 },
    }

    fn message(params: &str) -> String {
        let error = parse_params::<Params>(Some(params)).unwrap_err();
        assert_eq!(error.public().code, ErrorCode::InvalidRequest);
        error.public().message.clone()
    }

    #[test]
    fn no_params_are_an_empty_object() {
        for params in [None, Some(""), Some("null"), Some(" null\n"), Some("{}")] {
            assert_eq!(parse_params::<Params>(params).unwrap(), Params::default());
        }
        let params = r#" {"limit": 7, "inner": [{"name": "a"}]} "#;
        let inner = vec![Inner { name: "a".to_owned() }];
        assert_eq!(parse_params::<Params>(Some(params)).unwrap(), Params { limit: 7, inner, ..Params::default() });
    }

    #[test]
    fn an_integer_can_be_written_with_a_fraction() {
        let params = r#"{"limit": 7.0, "inner": [{"name": "1.0"}]}"#;
        let inner = vec![Inner { name: "1.0".to_owned() }];
        assert_eq!(parse_params::<Params>(Some(params)).unwrap(), Params { limit: 7, inner, ..Params::default() });
        assert_eq!(parse_params::<Params>(Some(r#"{"limit":1e2}"#)).unwrap().limit, 100);
        assert!(message(r#"{"limit":1.5}"#).starts_with("`limit`: invalid type: floating point `1.5`"));
        assert!(message(r#"{"limit":-1.0}"#).starts_with("`limit`: invalid value: integer `-1`"));
        assert!(message(r#"{"limit":1.0,"limit":2.0}"#).contains("duplicate field `limit`"));
        assert!(message(r#"{"limit":1.0,"other":2}"#).contains("unknown field `other`"));
    }

    #[test]
    fn an_error_names_the_wrong_value() {
        assert_eq!(message(" [7]"), "Params go by name: send an object, not an array.");
        assert!(message(r#"{"limit":-1}"#).starts_with("`limit`: invalid value: integer `-1`"));
        assert!(message(r#"{"inner":[{"name":"a"},{"name":1}]}"#).starts_with("`inner[1].name`: invalid type"));
        assert_eq!(message(r#"{"inner":[{}]}"#), "`inner[0]`: missing field `name`.");
        assert!(message(r#"{"limits":1}"#).contains("unknown field `limits`"));
        assert_eq!(message("7"), "Params: invalid type: integer `7`, expected an object.");
        let inner = message(r#"{"inner":["x, expected struct X"]}"#);
        assert_eq!(inner, "`inner[0]`: invalid type: string \"x, expected struct X\", expected an object.");
        assert_eq!(message(r#"{"choice":true}"#), "`choice`: the value has none of the forms that are allowed here.");
        for params in [r#"{"tagged":7}"#, r#"{"tagged":[]}"#, r#"{"tagged":{"type":"One","a":true}}"#] {
            let message = message(params);
            assert!(!["Tagged", "One,", "enum", "struct"].iter().any(|word| message.contains(word)), "{message}");
        }
        for params in ["7", "{", "x", r#"{"limit":1} x"#] {
            let message = message(params);
            assert!(!message.contains(" at line ") && message.ends_with('.'), "{message}");
        }
    }
}
