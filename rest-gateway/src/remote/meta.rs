//! What travels inside a call's params and results: who calls, and what the core found out.

use crate::upstream::{Answer, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::time::Duration;
use threadline_schema::RpcError;
use threadline_schema::call::{Caller, META, RateLimitState, ResponseMeta};
use uuid::Uuid;

/// Puts the caller into params, as their first member.
pub(super) fn splice(params: &RawValue, caller: &Caller) -> serde_json::Result<Box<RawValue>> {
    let client = caller.hints.as_deref();
    let who = Who {
        auth: caller.token.as_deref(),
        ip: caller.ip,
        request_id: &caller.request_id,
        languages: client.and_then(|client| client.languages.as_deref()),
        metadata: client.and_then(|client| client.metadata.as_deref()).map(serde_json::from_str).transpose()?,
        facts: true,
    };
    let rest = params.get().trim_start().strip_prefix('{').ok_or_else(|| not("an object"))?;
    let comma = if rest.trim_start().starts_with('}') { "" } else { "," };
    RawValue::from_string(format!("{{\"{META}\":{}{comma}{rest}", serde_json::to_string(&who)?))
}

/// Takes what the core found out off a result. The core writes it as the first member, so nothing else is parsed.
pub(super) fn strip(result: Box<RawValue>) -> serde_json::Result<Answer> {
    let Some(rest) = result.get().strip_prefix("{\"").and_then(|text| text.strip_prefix(META)?.strip_prefix("\":"))
    else {
        return Ok(Answer { result, facts: ResponseMeta::default() });
    };
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Found>();
    let found = values.next().ok_or_else(|| not("whole"))??;
    let rest = rest.get(values.byte_offset()..).unwrap_or_default().trim_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    Ok(Answer { result: RawValue::from_string(format!("{{{rest}"))?, facts: found.into() })
}

/// The same for an error, which carries it in `data`.
pub(super) fn strip_error(code: i32, message: &str, mut data: Option<Value>) -> Refusal {
    let found = data.as_mut().and_then(Value::as_object_mut).and_then(|data| data.remove(META));
    let found: Found = found.and_then(|found| serde_json::from_value(found).ok()).unwrap_or_default();
    Refusal { error: RpcError::from_parts(code, message.to_owned(), data.as_ref()), facts: found.into() }
}

#[derive(Serialize)]
struct Who<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'a str>,
    ip: IpAddr,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    facts: bool,
}

/// What the core found out, as it tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    /// Limit, remaining, seconds until all is back.
    rate: Option<(u32, u32, u64)>,
    user_id: Option<Uuid>,
    db_us: u64,
    replayed: bool,
}

impl From<Found> for ResponseMeta {
    fn from(found: Found) -> Self {
        Self {
            rate_limit: found.rate.map(|(limit, remaining, reset)| RateLimitState { limit, remaining, reset }),
            user_id: found.user_id,
            db_time: Duration::from_micros(found.db_us),
            replayed: found.replayed,
        }
    }
}

fn not(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format_args!("the value is not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use threadline_schema::call::ClientHints;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn the_caller_is_escaped_into_the_params() {
        let client = ClientHints::new(Some("de"), Some(&raw(r#"{"a": "\"b"}"#))).unwrap();
        let caller = Caller {
            token: Some("a.b\"c".into()),
            ip: "2001:db8::1".parse().unwrap(),
            request_id: "r\\1".into(),
            hints: client,
        };
        let meta = json!({
            "auth": "a.b\"c", "ip": "2001:db8::1", "request_id": "r\\1", "languages": "de", "metadata": {"a": "\"b"},
            "facts": true
        });
        for (params, mut expected) in [("{}", json!({})), (" { } ", json!({})), (r#"{"x":[1]}"#, json!({"x": [1]}))] {
            expected[META] = meta.clone();
            let spliced: Value = serde_json::from_str(splice(&raw(params), &caller).unwrap().get()).unwrap();
            assert_eq!(spliced, expected);
        }
        let nobody = Caller { token: None, hints: None, ..caller };
        let spliced: Value = serde_json::from_str(splice(&raw("{}"), &nobody).unwrap().get()).unwrap();
        assert_eq!(spliced[META].as_object().unwrap().len(), 3);
        assert!(splice(&raw("[1]"), &nobody).is_err());
    }

    #[test]
    fn facts_come_off_and_the_rest_stays_as_it_is() {
        let user_id = Uuid::now_v7();
        let meta = format!(r#"{{"rate":[30,29,2],"user_id":"{user_id}","db_us":1500,"replayed":true}}"#);
        for (rest, left) in [(r#","a" : 1.50}"#, r#"{"a" : 1.50}"#), ("}", "{}"), (" , \"b\":{}}", "{ \"b\":{}}")] {
            let answer = strip(raw(&format!(r#"{{"_meta":{meta}{rest}"#))).unwrap();
            assert_eq!(answer.result.get(), left);
            let rate = RateLimitState { limit: 30, remaining: 29, reset: 2 };
            let db = Duration::from_micros(1500);
            assert_eq!(
                answer.facts,
                ResponseMeta { rate_limit: Some(rate), user_id: Some(user_id), db_time: db, replayed: true }
            );
        }
        for plain in ["[1]", "{}", r#"{"a":1,"_meta":{}}"#, "null"] {
            let answer = strip(raw(plain)).unwrap();
            assert_eq!((answer.result.get(), answer.facts), (plain, ResponseMeta::default()));
        }
        assert_eq!(strip(raw(r#"{"_meta":{"rate":null},"a":1}"#)).unwrap().facts, ResponseMeta::default());
    }
}
