//! Properties of binding, for all operations of the table and any input.

use super::{BindInput, bind};
use crate::operation::{Operation, Param, ParamSource, ParamType, operations};
use crate::router::Router;
use http::{HeaderMap, HeaderValue};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use uuid::Uuid;

/// Headers that operations read.
const HEADERS: [&str; 2] = ["idempotency-key", "last-event-id"];

fn any_operation() -> impl Strategy<Value = &'static Operation> {
    select((0..operations().len()).collect::<Vec<_>>()).prop_map(|index| &operations()[index])
}

/// Text as it can be in a URL, and often almost valid: separators, escapes, broken escapes, names of parameters.
fn url_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,8}",
        "[a-z_=&+%]{0,8}",
        "%[0-9a-fA-F]{0,2}",
        Just("limit=1".to_owned()),
        any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()),
    ];
    vec(part, 0..5).prop_map(|parts| parts.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[\\[\\]{}\",:a-z0-9\\\\ ]{0,40}".prop_map(String::into_bytes),
        any_json().prop_map(|json| json.to_string().into_bytes()),
        btree_map("title|message|input|agent|[a-z]{1,5}", any_json(), 0..4)
            .prop_map(|members| json!(members).to_string().into_bytes()),
    ]
}

/// Bytes that HTTP allows in a header value.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![0x20..0x7fu8, 0x80..=0xffu8, Just(b'\t')], 0..20)
}

/// A value of a parameter, as the method gets it. Only printable ASCII, if it is sent as a header.
fn value_of(param: &Param) -> BoxedStrategy<Value> {
    if matches!(param.source, ParamSource::BodyMember) {
        return any_json().boxed();
    }
    let may_be_header = matches!(param.source, ParamSource::Header(_) | ParamSource::Query(Some(_)));
    match param.param_type {
        ParamType::Uuid => any::<u128>().prop_map(|id| json!(Uuid::from_u128(id))).boxed(),
        ParamType::Unsigned => any::<u64>().prop_map(Value::from).boxed(),
        ParamType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        ParamType::String if may_be_header => "[ -~]{1,20}".prop_map(Value::from).boxed(),
        ParamType::String => prop_oneof![any::<String>(), "[ +%&=/a-z]{0,12}"].prop_map(Value::from).boxed(),
        ParamType::Json => Just(Value::Null).boxed(),
    }
}

/// Values for all parameters of an operation. Those that are not required can be absent.
fn any_values() -> impl Strategy<Value = (&'static Operation, Vec<Option<Value>>)> {
    any_operation().prop_flat_map(|operation| {
        let values: Vec<BoxedStrategy<Option<Value>>> = operation
            .params
            .iter()
            .map(|param| match param.required || matches!(param.source, ParamSource::Path(_)) {
                true => value_of(param).prop_map(Some).boxed(),
                false => proptest::option::of(value_of(param)).boxed(),
            })
            .collect();
        (Just(operation), values)
    })
}

/// The text of a value that is not JSON.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Percent-encodes a text. Letters and digits are encoded too where `choices` says so, and a space can be a plus.
fn encode(text: &str, choices: &[u8], is_query: bool) -> String {
    let mut out = String::new();
    for (byte, choice) in text.bytes().zip(choices.iter().cycle()) {
        match (byte, choice % 3) {
            (b' ', 0) if is_query => out.push('+'),
            (byte, 0 | 1) if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            (byte, 2) => write!(out, "%{byte:02x}").unwrap(),
            (byte, _) => write!(out, "%{byte:02X}").unwrap(),
        }
    }
    out
}

fn input<'a>(
    variables: &'a [(String, String)],
    query: Option<&'a str>,
    headers: &'a HeaderMap,
    body: &'a [u8],
) -> BindInput<'a> {
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    BindInput { variables, query, headers, body }
}

proptest! {
    /// Any input binds or is rejected: no panic, no 5xx, no error message that repeats the whole input.
    #[test]
    fn any_input_binds_or_is_rejected(
        operation in any_operation(),
        values in vec(url_text(), 3),
        query in proptest::option::of(url_text()),
        headers in vec((select(&HEADERS[..]), header_bytes()), 0..3),
        body in any_body(),
    ) {
        let variables: Vec<_> =
            operation.rule.variables().zip(values).map(|(name, value)| (name.to_owned(), value)).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        match bind(operation, &input(&variables, query.as_deref(), &map, &body)) {
            Ok(bound) => {
                let params: Map<String, Value> = serde_json::from_str(bound.params.get()).unwrap();
                for name in params.keys() {
                    prop_assert!(operation.params.iter().any(|param| param.name == *name), "unknown param {name}");
                }
            }
            Err(error) => {
                prop_assert!((400..500).contains(&error.code.http_status()), "{error}");
                prop_assert!(error.message.len() < 600, "{error}");
            }
        }
    }

    /// A value reaches its parameter unchanged, whatever its source and its encoding.
    #[test]
    fn values_survive_encoding_and_binding(
        (operation, values) in any_values(),
        choices in vec(any::<u8>(), 1..20),
        as_header in any::<bool>(),
    ) {
        let (mut variables, mut query, mut headers) = (Vec::new(), Vec::new(), HeaderMap::new());
        let (mut members, mut expected) = (Map::new(), Map::new());
        let mut body = Vec::new();
        for (param, value) in operation.params.iter().zip(values) {
            let name = param.name.clone();
            match (&param.source, value) {
                (ParamSource::Fixed(json), _) => {
                    expected.insert(name, serde_json::from_str(json).unwrap());
                }
                (ParamSource::Omitted | ParamSource::BodyFile, _) => {}
                (ParamSource::BodyMessage, _) => {
                    let content = json!([{"type": "input_text", "text": choices.len().to_string()}]);
                    body = json!({"message": {"role": "user", "content": content}}).to_string().into_bytes();
                    expected.insert(name, json!({"content": content}));
                }
                (_, None) => {
                    expected.extend(param.default.map(|json| (name, serde_json::from_str(json).unwrap())));
                }
                (source, Some(value)) => {
                    match source {
                        ParamSource::Path(names) => variables.extend(
                            names.iter().map(|name| ((*name).to_owned(), encode(&as_text(&value), &choices, false))),
                        ),
                        ParamSource::Header(header) => {
                            headers.insert(*header, HeaderValue::from_str(&as_text(&value)).unwrap());
                        }
                        ParamSource::Query(Some(header)) if as_header => {
                            headers.insert(*header, HeaderValue::from_str(&as_text(&value)).unwrap());
                            // The header has precedence over it.
                            query.push(format!("{name}=other"));
                        }
                        ParamSource::Query(_) => {
                            query.push(format!("{name}={}", encode(&as_text(&value), &choices, true)));
                        }
                        _ => {
                            members.insert(name.clone(), value.clone());
                        }
                    }
                    expected.insert(name, value);
                }
            }
        }
        if operation.params_from(&ParamSource::BodyMember).next().is_some() {
            body = Value::Object(members).to_string().into_bytes();
        }
        let query = query.join("&");
        let bound = bind(operation, &input(&variables, Some(&query), &headers, &body)).unwrap();
        let params: Value = serde_json::from_str(bound.params.get()).unwrap();
        prop_assert_eq!(params, Value::Object(expected));
    }

    /// Each `{variable}` of a routed path gives its parameter.
    #[test]
    fn each_path_variable_reaches_its_parameter(
        operation in any_operation(),
        id in any::<u128>(),
        choices in vec(any::<u8>(), 1..20),
    ) {
        let rule = operation.rule;
        let id = Uuid::from_u128(id).to_string();
        let path: Vec<_> = rule
            .path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => encode(&id, &choices, false),
                false => segment.to_owned(),
            })
            .collect();
        let router = Router::new(operations());
        let path = path.join("/");
        let (found, variables) = router.find(&path).unwrap();
        prop_assert!(std::ptr::eq(found.operation(rule.verb).unwrap(), operation));
        let message = br#"{"message":{"role":"user","content":[]}}"#;
        let body: &[u8] = match operation.params_from(&ParamSource::BodyMember).next() {
            Some(_) => b"{}",
            None if rule.message.is_some() => message,
            None => b"",
        };
        let headers = HeaderMap::new();
        let token = operation.params_from(&ParamSource::Query(None)).any(|param| param.required).then_some("token=x");
        let input = BindInput { variables: variables.iter().collect(), query: token, headers: &headers, body };
        let bound = bind(operation, &input).unwrap();
        let params: Value = serde_json::from_str(bound.params.get()).unwrap();
        for variable in rule.variables() {
            prop_assert_eq!(&params[rule.param_of(variable)], &json!(id), "{{{}}}", variable);
        }
    }
}
