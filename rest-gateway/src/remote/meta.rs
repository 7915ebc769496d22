//! The reserved member `_meta`: the caller, inside of params, and the response metadata, inside of results and errors.

use crate::upstream::{CallError, CallResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::time::Duration;
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, META, RateLimitState, ResponseMeta, TraceHeaders};
use threadline_schema::ids::UserId;
use threadline_trace::Span;

/// Adds the caller to params, as their first member.
pub(super) fn add_caller(params: &RawValue, caller: &Caller) -> serde_json::Result<Box<RawValue>> {
    let hints = caller.hints.as_deref();
    // A gateway that exports no traces passes on what the client has sent.
    let of_span = Span::current().headers();
    let trace = of_span.as_ref().or(caller.trace.as_deref());
    let meta = CallerMeta {
        auth: caller.token.as_deref(),
        user: caller.acts_for.as_deref(),
        ip: caller.ip,
        request_id: &caller.request_id,
        languages: hints.and_then(|hints| hints.languages.as_deref()),
        metadata: hints.and_then(|hints| hints.metadata.as_deref()).map(serde_json::from_str).transpose()?,
        traceparent: trace.map(TraceHeaders::traceparent),
        tracestate: trace.and_then(TraceHeaders::tracestate),
        facts: true,
    };
    let members = params.get().trim_start().strip_prefix('{').ok_or_else(|| invalid("params must be an object"))?;
    let comma = if members.trim_start().starts_with('}') { "" } else { "," };
    RawValue::from_string(format!("{{\"{META}\":{}{comma}{members}", serde_json::to_string(&meta)?))
}

/// Removes the response metadata from a result. The core writes it as the first member, so the rest is not parsed.
pub(super) fn take_meta(result: Box<RawValue>) -> serde_json::Result<CallResult> {
    let Some(rest) = result.get().strip_prefix("{\"").and_then(|text| text.strip_prefix(META)?.strip_prefix("\":"))
    else {
        return Ok(CallResult { result, meta: ResponseMeta::default() });
    };
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<WireMeta>();
    let meta = values.next().ok_or_else(|| invalid("result ends in its metadata"))??;
    let rest = rest.get(values.byte_offset()..).unwrap_or_default().trim_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    Ok(CallResult { result: RawValue::from_string(format!("{{{rest}"))?, meta: meta.into() })
}

/// Removes the response metadata from the `data` of an error.
pub(super) fn take_error_meta(code: i32, message: &str, mut data: Option<Value>) -> CallError {
    let meta = data.as_mut().and_then(Value::as_object_mut).and_then(|data| data.remove(META));
    let meta: WireMeta = meta.and_then(|meta| serde_json::from_value(meta).ok()).unwrap_or_default();
    CallError { error: RpcError::from_parts(code, message.to_owned(), data.as_ref()), meta: meta.into() }
}

/// `_meta` of params.
#[derive(Serialize)]
struct CallerMeta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    ip: IpAddr,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    /// Asks the core for the response metadata.
    facts: bool,
}

/// `_meta` of results and errors.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireMeta {
    /// Limit, remaining requests, seconds until all requests are allowed again.
    rate: Option<(u32, u32, u64)>,
    user_id: Option<UserId>,
    db_us: u64,
    replayed: bool,
}

impl From<WireMeta> for ResponseMeta {
    fn from(meta: WireMeta) -> Self {
        Self {
            rate_limit: meta.rate.map(|(limit, remaining, reset)| RateLimitState { limit, remaining, reset }),
            user_id: meta.user_id,
            db_time: Duration::from_micros(meta.db_us),
            replayed: meta.replayed,
        }
    }
}

fn invalid(message: &str) -> serde_json::Error {
    serde::de::Error::custom(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use threadline_schema::call::ClientHints;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_caller_is_added_to_the_params_and_escaped() {
        let hints = ClientHints::new(Some("de"), Some(&raw(r#"{"a": "\"b"}"#))).unwrap();
        let caller = Caller {
            token: Some("a.b\"c".into()),
            acts_for: Some("https://i.example|s".into()),
            ip: "2001:db8::1".parse().unwrap(),
            request_id: "r\\1".into(),
            hints,
            trace: TraceHeaders::new(PARENT, Some("a=1")).map(Into::into),
        };
        let meta = json!({
            "auth": "a.b\"c", "user": "https://i.example|s", "ip": "2001:db8::1", "request_id": "r\\1", "languages": "de", "metadata": {"a": "\"b"},
            "traceparent": PARENT, "tracestate": "a=1",
            "facts": true
        });
        for (params, mut expected) in [("{}", json!({})), (" { } ", json!({})), (r#"{"x":[1]}"#, json!({"x": [1]}))] {
            expected[META] = meta.clone();
            let params: Value = serde_json::from_str(add_caller(&raw(params), &caller).unwrap().get()).unwrap();
            assert_eq!(params, expected);
        }
        let anonymous = Caller { token: None, acts_for: None, hints: None, trace: None, ..caller };
        let params: Value = serde_json::from_str(add_caller(&raw("{}"), &anonymous).unwrap().get()).unwrap();
        assert_eq!(params[META].as_object().unwrap().len(), 3);
        assert!(add_caller(&raw("[1]"), &anonymous).is_err());
    }

    #[test]
    fn metadata_is_removed_and_the_rest_stays_unchanged() {
        let user_id = UserId::random();
        let meta = format!(r#"{{"rate":[30,29,2],"user_id":"{user_id}","db_us":1500,"replayed":true}}"#);
        for (rest, left) in [(r#","a" : 1.50}"#, r#"{"a" : 1.50}"#), ("}", "{}"), (" , \"b\":{}}", "{ \"b\":{}}")] {
            let called = take_meta(raw(&format!(r#"{{"_meta":{meta}{rest}"#))).unwrap();
            assert_eq!(called.result.get(), left);
            let rate = RateLimitState { limit: 30, remaining: 29, reset: 2 };
            let db = Duration::from_micros(1500);
            assert_eq!(
                called.meta,
                ResponseMeta { rate_limit: Some(rate), user_id: Some(user_id), db_time: db, replayed: true }
            );
        }
        for plain in ["[1]", "{}", r#"{"a":1,"_meta":{}}"#, "null"] {
            let called = take_meta(raw(plain)).unwrap();
            assert_eq!((called.result.get(), called.meta), (plain, ResponseMeta::default()));
        }
        assert_eq!(take_meta(raw(r#"{"_meta":{"rate":null},"a":1}"#)).unwrap().meta, ResponseMeta::default());
    }
}
