use super::*;
use http::HeaderValue;
use serde_json::{Value, json};
use std::collections::HashSet;

fn bound(request: &Value) -> Result<(&'static str, Value), RpcError> {
    let headers = [(http::HeaderName::from_static("idempotency-key"), HeaderValue::from_static("k1"))];
    let body = request.to_string();
    let Request { row, params, .. } = read(&headers.into_iter().collect(), body.as_bytes())?;
    Ok((row.rule.method().unwrap().name, serde_json::from_str(params.get()).unwrap()))
}

#[test]
fn each_type_has_one_row() {
    let mut seen = HashSet::new();
    for row in requests() {
        assert!(seen.insert(row.rule.method().unwrap().name));
    }
}

#[test]
fn params_reach_the_method_of_the_same_name() {
    let id = "0199e0f0-0000-7000-8000-000000000001";
    let told = bound(&json!({"type": "threads.get_by_id", "params": {"thread_id": id}, "metadata": {}})).unwrap();
    assert_eq!(told, ("threads.get_by_id", json!({"thread_id": id})));
    let input = json!({"content": [{"type": "input_text", "text": "Hi"}], "attachments": [], "inference_options": {}});
    let told = bound(&json!({"type": "threads.create", "params": {"input": input}})).unwrap();
    assert_eq!(told, ("threads.create", json!({"input": input, "idempotency_key": "k1"})));
    assert_eq!(bound(&json!({"type": "threads.list"})).unwrap(), ("threads.list", json!({})));
}

#[test]
fn what_is_withheld_or_unknown_is_passed_over_and_limits_are_cut() {
    let id = "0199e0f0-0000-7000-8000-000000000001";
    let params = json!({"thread_id": id, "include_tool_calls": true, "idempotency_key": "x", "new": {}, "limit": 9999});
    let told = bound(&json!({"type": "threads.get_by_id", "params": params, "more": 1})).unwrap().1;
    assert_eq!(told, json!({"thread_id": id, "limit": MAX_LIMIT}));
}

#[test]
fn what_is_wrong_is_said() {
    let cases = [
        (json!({"type": "threads.burn"}), "threads.burn"),
        (json!({"type": "auth.login"}), "auth.login"),
        (json!({"type": 7}), "must look like"),
        (json!({"params": {}}), "must look like"),
        (json!([]), "must look like"),
        (json!({"type": "threads.list", "params": []}), "`params`"),
        (json!({"type": "threads.list", "metadata": []}), "`metadata`"),
        (json!({"type": "threads.list", "metadata": {"x": "y".repeat(5000)}}), "`metadata`"),
        (json!({"type": "threads.create", "params": {}}), "input"),
        (json!({"type": "threads.create", "params": {"input": null}}), "input"),
        (json!({"type": "threads.delete", "params": {}}), "thread_id"),
    ];
    for (request, word) in cases {
        let error = bound(&request).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains(word), "{request}: {}", error.message);
    }
}

#[test]
fn what_the_client_says_of_itself_goes_with_the_call() {
    let headers = [(http::header::ACCEPT_LANGUAGE, HeaderValue::from_static("de-CH, de"))].into_iter().collect();
    let client = |body: Value| read(&headers, body.to_string().as_bytes()).unwrap().client.unwrap();
    let said = client(json!({"type": "threads.list", "metadata": {"page": "cart"}}));
    assert_eq!(said.languages.as_deref(), Some("de-CH, de"));
    assert_eq!(said.metadata.as_deref(), Some(r#"{"page":"cart"}"#));
    assert_eq!(client(json!({"type": "threads.list", "metadata": null})).metadata, None);
}
