//! Builds the request of a call.

use crate::config::{EndpointConfig, EndpointKind, SecretPair};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Builds the requests to one endpoint.
pub(super) struct RequestBuilder {
    kind: EndpointKind,
    url: Url,
    /// Names of the arguments that replace a segment of the path. In the parsed URL such a segment is `%7Bname%7D`.
    path_arguments: Vec<String>,
    headers: HeaderMap,
}

impl RequestBuilder {
    pub(super) fn new(config: &EndpointConfig) -> Result<Self, String> {
        let url = Url::parse(&config.url).map_err(|error| error.to_string())?;
        let path_arguments = match config.kind {
            EndpointKind::Http { .. } => {
                let segments = url.path().split('/');
                let names: BTreeSet<_> = segments.filter_map(path_argument).collect();
                names.into_iter().map(ToOwned::to_owned).collect()
            }
            EndpointKind::JsonRpc { .. } => Vec::new(),
        };
        let mut headers = HeaderMap::new();
        for SecretPair { name, value } in &config.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self { kind: config.kind.clone(), url, path_arguments, headers })
    }

    pub(super) fn is_json_rpc(&self) -> bool {
        matches!(self.kind, EndpointKind::JsonRpc { .. })
    }

    /// Builds the request of a call.
    ///
    /// # Errors
    /// If an argument cannot be part of the path. The text is for the model.
    pub(super) fn build(&self, arguments: &Value) -> Result<Request, String> {
        let Some(arguments) = arguments.as_object() else { return Err("The arguments are not an object.".to_owned()) };
        let (method, url, body) = match &self.kind {
            EndpointKind::JsonRpc { method } => {
                let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": arguments});
                (Method::POST, self.url.clone(), Some(call))
            }
            EndpointKind::Http { method } => {
                let mut url = self.url.clone();
                let mut rest = arguments.clone();
                self.set_path(&mut url, &mut rest)?;
                if matches!(*method, Method::GET | Method::DELETE) {
                    self.check_query(&rest)?;
                    set_query(&mut url, &rest);
                    (method.clone(), url, None)
                } else {
                    (method.clone(), url, Some(Value::Object(rest)))
                }
            }
        };
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        Ok(request)
    }

    /// Refuses an argument that the URL sets already: services differ in which of two they take.
    fn check_query(&self, arguments: &Map<String, Value>) -> Result<(), String> {
        match self.url.query_pairs().find(|(name, _)| arguments.contains_key(&**name)) {
            Some((name, _)) => Err(format!("Bad arguments: {name} must be left out.")),
            None => Ok(()),
        }
    }

    fn set_path(&self, url: &mut Url, arguments: &mut Map<String, Value>) -> Result<(), String> {
        if self.path_arguments.is_empty() {
            return Ok(());
        }
        let mut values = BTreeMap::new();
        for name in &self.path_arguments {
            let text = arguments.remove(name).and_then(|value| scalar(&value));
            // `.` and `..` would change the path, even when they are percent-encoded.
            let Some(text) = text.filter(|text| !matches!(text.as_str(), "" | "." | "..")) else {
                return Err(format!("Bad arguments: {name} must be a text or a number, and not empty."));
            };
            values.insert(name.as_str(), utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string());
        }
        // All at once: a value can look like the name of another argument.
        let segments = self.url.path().split('/').map(|segment| {
            let value = path_argument(segment).and_then(|name| values.get(name));
            value.map_or(segment, String::as_str)
        });
        url.set_path(&segments.collect::<Vec<_>>().join("/"));
        Ok(())
    }
}

/// Returns the name of the argument that a segment of the path stands for.
fn path_argument(segment: &str) -> Option<&str> {
    segment.strip_prefix("%7B")?.strip_suffix("%7D")
}

fn set_query(url: &mut Url, arguments: &Map<String, Value>) {
    if arguments.is_empty() {
        return;
    }
    let mut query = url.query_pairs_mut();
    for (name, value) in arguments.iter().filter(|(_, value)| !value.is_null()) {
        query.append_pair(name, &scalar(value).unwrap_or_else(|| value.to_string()));
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ApprovalMode, CallLimits};
    use std::time::Duration;

    fn builder(kind: EndpointKind, url: &str) -> RequestBuilder {
        let limits = CallLimits { timeout: Duration::from_secs(1), concurrency: 1, result_bytes: 1000 };
        RequestBuilder::new(&EndpointConfig {
            kind,
            url: url.to_owned(),
            description: String::new(),
            parameters: json!({}),
            headers: vec![SecretPair { name: "x-key".to_owned(), value: "hunter2".into() }],
            user_context: None,
            limits,
            has_side_effects: true,
            is_idempotent: false,
            allows_widgets: false,
            is_action: false,
            approval: ApprovalMode::Never,
        })
        .unwrap()
    }

    fn body(request: &Request) -> Value {
        serde_json::from_slice(request.body().unwrap().as_bytes().unwrap()).unwrap()
    }

    #[test]
    fn arguments_go_into_path_query_and_body() {
        let url = "http://orders/v1%20a/{id}/lines/{id}?tenant=7";
        let get = builder(EndpointKind::Http { method: Method::GET }, url);
        let arguments = json!({"id": "a/b {id}?#%2e", "page": 2, "of": ["x"], "none": null, "q": "a&b=c"});
        let request = get.build(&arguments).unwrap();
        let id = "a%2Fb%20%7Bid%7D%3F%23%252e";
        assert_eq!(
            request.url().as_str(),
            format!("http://orders/v1%20a/{id}/lines/{id}?tenant=7&of=%5B%22x%22%5D&page=2&q=a%26b%3Dc")
        );
        assert!(request.body().is_none() && request.headers()["x-key"].is_sensitive());

        let post = builder(EndpointKind::Http { method: Method::POST }, url);
        let request = post.build(&arguments).unwrap();
        assert_eq!(request.url().query(), Some("tenant=7"));
        assert_eq!(body(&request), json!({"page": 2, "of": ["x"], "none": null, "q": "a&b=c"}));
        assert_eq!(post.build(&json!({"id": 7})).unwrap().url().path(), "/v1%20a/7/lines/7");
    }

    #[test]
    fn an_argument_cannot_change_the_path() {
        let get = builder(EndpointKind::Http { method: Method::GET }, "http://orders/v1/{id}");
        for id in [json!(".."), json!("."), json!(""), json!(null), json!(["a"]), json!({})] {
            assert!(get.build(&json!({ "id": id })).is_err(), "{id}");
        }
        for id in ["../admin", "..%2fadmin", "%2e%2e", "\u{0}", "\r\nhost: x"] {
            let request = get.build(&json!({ "id": id })).unwrap();
            assert_eq!(request.url().path_segments().unwrap().count(), 2, "{id}");
            assert_eq!(request.url().host_str(), Some("orders"));
        }
    }

    #[test]
    fn an_argument_cannot_stand_for_another() {
        let get = builder(EndpointKind::Http { method: Method::GET }, "http://orders/{a}/{b}/{a}");
        let path = |a: &str, b: &str| get.build(&json!({"a": a, "b": b})).unwrap().url().path().to_owned();
        assert_eq!(path("{b}", "SECRET"), "/%7Bb%7D/SECRET/%7Bb%7D");
        assert_eq!(path("%7Bb%7D", "{a}"), "/%257Bb%257D/%7Ba%7D/%257Bb%257D");
    }

    #[test]
    fn a_json_rpc_call_has_params_by_name() {
        let rpc = builder(EndpointKind::JsonRpc { method: "refund.make".into() }, "http://refunds/{x}");
        let request = rpc.build(&json!({"x": 1})).unwrap();
        assert_eq!(
            (request.method(), body(&request)),
            (&Method::POST, json!({"jsonrpc": "2.0", "id": 1, "method": "refund.make", "params": {"x": 1}}))
        );
    }
}
