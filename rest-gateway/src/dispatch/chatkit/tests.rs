use super::*;
use http::HeaderValue;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Returns the method and the params of a request.
fn parsed(request: &Value) -> Result<(&'static str, Value), RpcError> {
    parsed_text(&request.to_string())
}

fn parsed_text(body: &str) -> Result<(&'static str, Value), RpcError> {
    let headers = [(http::HeaderName::from_static("idempotency-key"), HeaderValue::from_static("k1"))];
    let ChatKitRequest { operation, params, .. } = parse(&headers.into_iter().collect(), body.as_bytes())?;
    Ok((operation.rule.method().unwrap().name, serde_json::from_str(params.get()).unwrap()))
}

#[test]
fn each_type_has_one_row() {
    let mut seen = HashSet::new();
    for operation in chatkit_operations() {
        assert!(seen.insert(operation.rule.method().unwrap().name));
    }
}

#[test]
fn params_reach_the_method_of_the_same_name() {
    let id = "0199e0f0-0000-7000-8000-000000000001";
    let request = parsed(&json!({"type": "threads.get_by_id", "params": {"thread_id": id}, "metadata": {}})).unwrap();
    assert_eq!(request, ("threads.get_by_id", json!({"thread_id": id})));
    let input = json!({"content": [{"type": "input_text", "text": "Hi"}], "attachments": [], "inference_options": {}});
    let request = parsed(&json!({"type": "threads.create", "params": {"input": input}})).unwrap();
    assert_eq!(request, ("threads.create", json!({"input": input, "idempotency_key": "k1"})));
    assert_eq!(parsed(&json!({"type": "threads.list"})).unwrap(), ("threads.list", json!({})));
}

#[test]
fn omitted_and_unknown_members_are_dropped_and_limits_are_capped() {
    let id = "0199e0f0-0000-7000-8000-000000000001";
    let params = json!({"thread_id": id, "include_tool_calls": true, "idempotency_key": "x", "new": {}, "limit": 9999});
    let request = parsed(&json!({"type": "threads.get_by_id", "params": params, "more": 1})).unwrap().1;
    assert_eq!(request, json!({"thread_id": id, "limit": MAX_LIMIT}));
    for large in ["101", "1e9", "1000000000.0", "99999999999999999999999", "1e400"] {
        let body = format!(r#"{{"type": "threads.list", "params": {{"limit": {large}}}}}"#);
        assert_eq!(parsed_text(&body).unwrap().1, json!({"limit": MAX_LIMIT}), "{large}");
    }
    for other in ["100", "100.0", "0", "-1000", "1000.5", "true", r#""1000""#, "null"] {
        assert!(!is_above_limit(other), "{other}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let cases = [
        (json!({"type": "threads.burn"}), "threads.burn"),
        (json!({"type": "auth.login"}), "auth.login"),
        (json!({"type": 7}), "must look like"),
        (json!({"params": {}}), "must look like"),
        (json!([]), "must look like"),
        (json!({"type": "threads.list", "params": []}), "`params`"),
        (json!({"type": "threads.list", "params": null}), "`params`"),
        (json!({"type": "threads.list", "metadata": []}), "`metadata`"),
        (json!({"type": "threads.list", "metadata": {"x": "y".repeat(5000)}}), "`metadata`"),
        (json!({"type": "threads.create", "params": {}}), "input"),
        (json!({"type": "threads.create", "params": {"input": null}}), "input"),
        (json!({"type": "threads.delete", "params": {}}), "thread_id"),
    ];
    for (request, word) in cases {
        let error = parsed(&request).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains(word), "{request}: {}", error.message);
    }
}

#[test]
fn client_hints_go_with_the_call() {
    let headers = [(http::header::ACCEPT_LANGUAGE, HeaderValue::from_static("de-CH, de"))].into_iter().collect();
    let hints = |body: Value| parse(&headers, body.to_string().as_bytes()).unwrap().hints.unwrap();
    let sent = hints(json!({"type": "threads.list", "metadata": {"page": "cart"}}));
    assert_eq!(sent.languages.as_deref(), Some("de-CH, de"));
    assert_eq!(sent.metadata.as_deref(), Some(r#"{"page":"cart"}"#));
    assert_eq!(hints(json!({"type": "threads.list", "metadata": null})).metadata, None);
}
