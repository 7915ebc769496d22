//! The reserved member `_meta` of by-name params. On a connection that many users share, it says whose call it is. The
//! pipeline takes it out, so that no method sees it.

use crate::error::Error;
use crate::rpc::call::{Call, Transport};
use crate::rpc::members::Members;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::net::IpAddr;
use threadline_schema::call::{ClientHints, META, TraceHeaders};
use threadline_schema::head::is_request_id;

/// What a gateway, or a direct client, may send besides the params.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Meta<'a> {
    #[serde(borrow)]
    auth: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    ip: Option<IpAddr>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    languages: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tracestate: Option<Cow<'a, str>>,
    /// Whether the response must carry the response metadata.
    facts: bool,
}

const INVALID_META: &str = "`_meta` takes `auth`, `user`, `ip`, `request_id`, `languages`, `metadata`, `traceparent`, `tracestate` and `facts`.";

/// Takes `_meta` out of the params and applies it to the caller. Returns whether the response must carry the response
/// metadata.
///
/// # Errors
/// `INVALID_REQUEST`. The call is unchanged then.
pub(super) fn extract(call: &mut Call<'_>) -> Result<bool, Error> {
    if call.connection.transport == Transport::InProcess {
        // The gateway passes the caller itself.
        return Ok(false);
    }
    let Some(params) = call.params.as_deref().filter(|params| mentions_meta(params)) else { return Ok(false) };
    let Ok(Members(members)) = serde_json::from_str(params) else {
        // Not an object: the method reports that.
        return Ok(false);
    };
    let (meta, rest): (Vec<_>, Vec<_>) = members.into_iter().partition(|(name, _)| name == META);
    let meta = match *meta {
        [] => return Ok(false),
        [(_, meta)] => meta,
        // One of them might come from the client that wrote the params, and not from the gateway.
        _ => return Err(Error::invalid("`_meta` occurs twice.")),
    };
    let meta: Meta<'_> = serde_json::from_str(meta.get()).map_err(|_| Error::invalid(INVALID_META))?;
    let hints = ClientHints::new(meta.languages.as_deref(), meta.metadata);
    let hints = hints.map_err(|error| Error::invalid(error.to_string()))?;
    // With members that are there twice: the method refuses those.
    let rest = Members(rest).to_json()?;

    let caller = &mut call.connection.caller;
    if hints.is_some() {
        caller.hints = hints;
    }
    if let Some(auth) = meta.auth {
        caller.token = Some(auth.into());
        // Who calls with a token of its own does not act for the user that the connection names.
        caller.acts_for = None;
    }
    if let Some(user) = meta.user {
        caller.acts_for = Some(user.into());
    }
    if let Some(request_id) = meta.request_id.filter(|id| is_request_id(id)) {
        caller.request_id = request_id.into();
    }
    // An invalid one is ignored, as the W3C recommendation says.
    let trace = meta.traceparent.as_deref().and_then(|parent| TraceHeaders::new(parent, meta.tracestate.as_deref()));
    if let Some(trace) = trace {
        caller.trace = Some(trace.into());
    }
    if let Some(ip) = meta.ip.filter(|_| call.connection.trusts_meta_ip) {
        caller.ip = ip;
    }
    let wants_meta = meta.facts;
    call.params = Some(Cow::Owned(rest));
    Ok(wants_meta)
}

/// Whether the params may have `_meta`: a cheap test that spares most calls a parse.
fn mentions_meta(params: &str) -> bool {
    memchr::memmem::find(params.as_bytes(), b"\"_meta\"").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use threadline_schema::ErrorCode;

    fn params(call: &Call<'_>) -> Value {
        serde_json::from_str(call.params.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn meta_leaves_the_params_and_describes_the_caller() {
        let mut call = Call::for_tests(
            "tasks.list",
            r#"{"limit":1.50,"_meta":{"auth":"t","user":"u","ip":"198.51.100.7","request_id":"abc","languages":"de",
               "metadata":{"page":"cart"},"facts":true},"after":"x"}"#,
        );
        call.connection.trusts_meta_ip = true;
        assert!(extract(&mut call).unwrap(), "facts asks for the response metadata");
        assert_eq!(call.params.as_deref(), Some(r#"{"limit":1.50,"after":"x"}"#), "the rest is as it was sent");
        let caller = &call.connection.caller;
        assert_eq!(
            (caller.token.as_deref(), &*caller.request_id, caller.ip.to_string()),
            (Some("t"), "abc", "198.51.100.7".to_owned())
        );
        assert_eq!(caller.acts_for.as_deref(), Some("u"));
        let hints = caller.hints.as_ref().unwrap();
        assert_eq!(hints.languages.as_deref(), Some("de"));
        assert_eq!(hints.metadata_json(), Some(json!({"page": "cart"})));
    }

    #[test]
    fn an_address_counts_only_from_a_gateway_and_a_request_id_only_if_it_is_valid() {
        let mut call = Call::for_tests("tasks.list", r#"{"_meta":{"ip":"198.51.100.7","request_id":"a b\n"}}"#);
        call.connection.caller.token = Some("from the head".into());
        assert!(!extract(&mut call).unwrap());
        let caller = &call.connection.caller;
        assert_eq!((caller.ip.to_string(), &*caller.request_id), ("192.0.2.1".to_owned(), "r"));
        assert_eq!(caller.token.as_deref(), Some("from the head"), "without `auth` the token stays");
        assert_eq!(params(&call), json!({}));
    }

    #[test]
    fn each_call_names_its_trace_and_an_invalid_name_is_ignored() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let text =
            r#"{"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=1"}}"#;
        let mut call = Call::for_tests("tasks.list", text);
        assert!(!extract(&mut call).unwrap());
        let trace = call.connection.caller.trace.unwrap();
        assert_eq!((trace.traceparent(), trace.tracestate()), (PARENT, Some("a=1")));
        let mut call = Call::for_tests("tasks.list", r#"{"_meta":{"traceparent":"00-0-0-01","tracestate":"a=1"}}"#);
        assert!(!extract(&mut call).unwrap());
        assert!(call.connection.caller.trace.is_none());
    }

    #[test]
    fn in_process_the_gateway_passes_the_caller_itself() {
        let mut call = Call::for_tests("tasks.list", r#"{"_meta":{"auth":"t"}}"#);
        call.connection.transport = Transport::InProcess;
        assert!(!extract(&mut call).unwrap());
        assert_eq!((params(&call), call.connection.caller.token), (json!({"_meta": {"auth": "t"}}), None));
    }

    #[test]
    fn an_invalid_meta_is_refused_and_changes_nothing() {
        for text in [
            r#"{"_meta":{"auth":"t","users":"x"}}"#,
            r#"{"_meta":{"auth":7}}"#,
            r#"{"_meta":{"auth":"t","ip":"nowhere"}}"#,
            r#"{"_meta":{"auth":"t","facts":1}}"#,
            r#"{"_meta":{"auth":"t","metadata":[]}}"#,
            r#"{"_meta":"t"}"#,
            r#"{"_meta":null}"#,
        ] {
            let mut call = Call::for_tests("tasks.list", text);
            assert_eq!(extract(&mut call).unwrap_err().public().code, ErrorCode::InvalidRequest, "{text}");
            assert_eq!((call.params.as_deref(), call.connection.caller.token), (Some(text), None));
        }
    }

    #[test]
    fn params_without_meta_stay_as_they_are() {
        for text in ["", "[]", r#"["_meta"]"#, r#"{"title":"\"_meta\""}"#, r#"{"_meta": "#, r#"{"a":{"_meta":{}}}"#] {
            let mut call = Call::for_tests("tasks.list", text);
            assert!(!extract(&mut call).unwrap());
            assert_eq!(call.params.as_deref(), Some(text));
        }
        let mut call = Call { params: None, ..Call::for_tests("tasks.list", "") };
        assert!(!extract(&mut call).unwrap());
    }
}
