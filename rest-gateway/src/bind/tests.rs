use super::*;
use crate::operation::operations;
use crate::rule::Verb::{self, Delete, Get, Patch, Post, Put};
use serde_json::{Value, json};
use threadline_schema::ErrorCode;

const A: &str = "0199e0f0-0000-7000-8000-00000000000a";
const B: &str = "0199e0f0-0000-7000-8000-00000000000b";
const SESSION: &str = "/api/v1/chatkit/sessions/{session_id}";
const RUNS: &str = "/api/v1/chatkit/sessions/{session_id}/threads/{thread_id}/runs";
const EVENTS: &str = "/api/v1/chatkit/runs/{run_id}/events";
const TASK: &str = "/api/v1/tasks/{task_id}";

#[derive(Default)]
struct Case<'a> {
    variables: &'a [(&'a str, &'a str)],
    query: Option<&'a str>,
    headers: &'a [(&'static str, &'a [u8])],
    body: &'a [u8],
}

fn operation(verb: Verb, path: &str) -> &'static Operation {
    operations().iter().find(|operation| operation.rule.verb == verb && operation.rule.path == path).unwrap()
}

fn try_bind(verb: Verb, path: &str, case: &Case<'_>) -> Result<Value, RpcError> {
    let mut headers = HeaderMap::new();
    for (name, value) in case.headers {
        headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    let input = BindInput { variables: case.variables.to_vec(), query: case.query, headers: &headers, body: case.body };
    bind(operation(verb, path), &input).map(|bound| serde_json::from_str(bound.params.get()).unwrap())
}

#[track_caller]
fn binds(verb: Verb, path: &str, case: &Case<'_>, params: &Value) {
    assert_eq!(&try_bind(verb, path, case).unwrap(), params);
}

#[track_caller]
fn rejects(verb: Verb, path: &str, case: &Case<'_>, code: ErrorCode, says: &str) {
    let error = try_bind(verb, path, case).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(says), "{:?} does not say {says:?}", error.message);
    assert!(error.message.len() < 600, "the message repeats what was sent");
}

#[test]
fn path_query_and_presets_are_in_one_object() {
    let case = Case { variables: &[("session_id", A)], ..Case::default() };
    let params = json!({"thread_id": A, "limit": 1000, "order": "asc", "include_tool_calls": true});
    binds(Get, SESSION, &case, &params);
    let case = Case { query: Some("limit=5&after=a%26b+c"), ..case };
    let params = json!({"thread_id": A, "limit": 5, "after": "a&b c", "order": "asc", "include_tool_calls": true});
    binds(Get, SESSION, &case, &params);
    let case = Case { variables: &[("session_id", A)], ..Case::default() };
    binds(Post, "/api/v1/chatkit/sessions/{session_id}/threads", &case, &json!({"thread_id": A, "limit": 1}));
}

#[test]
fn ids_in_a_path_are_uuids_in_any_case_and_encoding() {
    let upper = A.to_uppercase();
    binds(Get, TASK, &Case { variables: &[("task_id", &upper)], ..Case::default() }, &json!({"task_id": A}));
    let encoded = A.replace('-', "%2D");
    binds(Get, TASK, &Case { variables: &[("task_id", &encoded)], ..Case::default() }, &json!({"task_id": A}));
    for (raw, says) in [
        ("x", "task_id must be a UUID"),
        ("", "task_id must be a UUID"),
        ("%", "percent-encoded"),
        ("%4", "percent-encoded"),
        ("%zz", "percent-encoded"),
        ("%ff", "percent-encoded"),
        ("%é", "percent-encoded"),
        ("..%2F..", "must be a UUID"),
        ("%00", "must be a UUID"),
    ] {
        let case = Case { variables: &[("task_id", raw)], ..Case::default() };
        rejects(Get, TASK, &case, ErrorCode::InvalidRequest, says);
    }
}

#[test]
fn session_and_thread_must_be_the_same() {
    let body = br#"{"message":{"role":"user","content":[{"type":"input_text","text":"hi"}]}}"#;
    let case = Case { variables: &[("session_id", A), ("thread_id", A)], body, ..Case::default() };
    let input = json!({"content": [{"type": "input_text", "text": "hi"}]});
    binds(Post, RUNS, &case, &json!({"thread_id": A, "input": input}));
    let case = Case { variables: &[("session_id", A), ("thread_id", B)], body, ..Case::default() };
    rejects(Post, RUNS, &case, ErrorCode::ThreadNotFound, "no such thread");
}

#[test]
fn queries_are_typed_and_have_no_unknown_names() {
    let list = "/api/v1/tasks";
    let query = |query| Case { query: Some(query), ..Case::default() };
    binds(Get, list, &query("status=pending&limit=007"), &json!({"status": "pending", "limit": 7}));
    binds(Get, list, &query(""), &json!({}));
    binds(Get, list, &query("&&limit=1&"), &json!({"limit": 1}));
    for (text, says) in [
        ("limit=x", "limit must be a whole number"),
        ("limit=", "limit must be a whole number"),
        ("limit=-1", "limit must be a whole number"),
        ("limit=1e3", "limit must be a whole number"),
        ("limit=99999999999999999999999", "limit must be a whole number"),
        ("limit=1&limit=2", "limit is given more than once"),
        ("page=2", "page; this call takes after, limit, status"),
        ("Limit=2", "Limit; this call takes"),
        ("user_id=1", "user_id; this call takes"),
        ("_meta=1", "_meta; this call takes"),
        ("after=%", "not percent-encoded"),
        ("%ff=1", "not percent-encoded"),
    ] {
        rejects(Get, list, &query(text), ErrorCode::InvalidRequest, says);
    }
    let long = format!("{}=1", "x".repeat(5000));
    rejects(Get, list, &query(&long), ErrorCode::InvalidRequest, "this call takes");
    let case = Case { variables: &[("task_id", A)], query: Some("x=1"), ..Case::default() };
    rejects(Get, TASK, &case, ErrorCode::InvalidRequest, "takes no query parameters");
}

#[test]
fn the_header_of_the_cursor_has_precedence_over_the_query() {
    let variables: &[_] = &[("run_id", A)];
    binds(
        Get,
        EVENTS,
        &Case { variables, query: Some("after=3"), ..Case::default() },
        &json!({"run_id": A, "after": "3"}),
    );
    let case = Case { variables, query: Some("after=3"), headers: &[("last-event-id", b"x:9")], ..Case::default() };
    binds(Get, EVENTS, &case, &json!({"run_id": A, "after": "x:9"}));
    let case = Case { variables, headers: &[("last-event-id", b"")], ..Case::default() };
    binds(Get, EVENTS, &case, &json!({"run_id": A}));
    let case = Case { variables, headers: &[("last-event-id", b"\xff")], ..Case::default() };
    rejects(Get, EVENTS, &case, ErrorCode::InvalidRequest, "plain ASCII");
}

#[test]
fn an_idempotency_key_is_a_header() {
    let path = "/api/v1/chatkit/sessions";
    binds(
        Post,
        path,
        &Case { headers: &[("idempotency-key", b"k\"1")], ..Case::default() },
        &json!({"idempotency_key": "k\"1"}),
    );
    let twice = Case { headers: &[("idempotency-key", b"a"), ("idempotency-key", b"b")], ..Case::default() };
    rejects(Post, path, &twice, ErrorCode::InvalidRequest, "more than once");
    let case = Case { body: br#"{"idempotency_key":"k"}"#, ..Case::default() };
    rejects(Post, path, &case, ErrorCode::InvalidRequest, "idempotency_key");
}

#[test]
fn an_optional_body_is_empty_or_an_object() {
    let path = "/api/v1/chatkit/sessions";
    for body in ["", "{}", " { } "] {
        binds(Post, path, &Case { body: body.as_bytes(), ..Case::default() }, &json!({}));
    }
    let case = Case { body: br#"{"input":{"content":[]}}"#, ..Case::default() };
    rejects(Post, path, &case, ErrorCode::InvalidRequest, "this call takes agent");
    binds(Post, path, &Case { body: br#"{"agent":"a"}"#, ..Case::default() }, &json!({"agent": "a"}));
}

#[test]
fn body_members_give_the_other_params() {
    let variables: &[_] = &[("task_id", A)];
    let body = br#"{"title":"\u00fc", "description" : null}"#;
    let params = json!({"task_id": A, "title": "ü", "description": null});
    binds(Put, TASK, &Case { variables, body, ..Case::default() }, &params);
    binds(Put, TASK, &Case { variables, body: b"{}", ..Case::default() }, &json!({"task_id": A}));
    let deep = format!(r#"{{"title":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let headers = HeaderMap::new();
    let input = BindInput { variables: variables.to_vec(), query: None, headers: &headers, body: deep.as_bytes() };
    let bound = bind(operation(Put, TASK), &input).unwrap();
    assert!(bound.params.get().contains("[[[["), "the body is not parsed recursively");
    for (body, code, says) in [
        (&b""[..], ErrorCode::InvalidJson, "body is empty"),
        (b"{", ErrorCode::InvalidJson, "not valid JSON"),
        (b"{}{}", ErrorCode::InvalidJson, "not valid JSON"),
        (b"\xef\xbb\xbf{}", ErrorCode::InvalidJson, "not valid JSON"),
        (b"{\"title\":\"\xff\"}", ErrorCode::InvalidJson, "not valid UTF-8"),
        (b"[]", ErrorCode::InvalidRequest, "must be a JSON object"),
        (b"null", ErrorCode::InvalidRequest, "must be a JSON object"),
        (b"\"x\"", ErrorCode::InvalidRequest, "must be a JSON object"),
        (
            br#"{"task_id":"x"}"#,
            ErrorCode::InvalidRequest,
            "task_id in the body; this call takes completed, description",
        ),
        (br#"{"_meta":{"auth":"x"}}"#, ErrorCode::InvalidRequest, "_meta in the body; this call takes"),
        (br#"{"title":"a","title":"b"}"#, ErrorCode::InvalidRequest, "title is given more than once"),
        (br#"{"\u0074itle":"a","title":"b"}"#, ErrorCode::InvalidRequest, "title is given more than once"),
    ] {
        rejects(Put, TASK, &Case { variables, body, ..Case::default() }, code, says);
    }
    let brackets = "[".repeat(100_000);
    rejects(
        Put,
        TASK,
        &Case { variables, body: brackets.as_bytes(), ..Case::default() },
        ErrorCode::InvalidJson,
        "not valid JSON",
    );
    rejects(
        Patch,
        SESSION,
        &Case { variables: &[("session_id", A)], body: b"", ..Case::default() },
        ErrorCode::InvalidJson,
        "body is empty",
    );
}

#[test]
fn bodies_of_get_and_delete_are_rejected() {
    let case = Case { variables: &[("task_id", A)], body: b"{}", ..Case::default() };
    for verb in [Get, Delete] {
        rejects(verb, TASK, &case, ErrorCode::InvalidRequest, "takes no body");
    }
}

#[test]
fn a_message_has_one_shape() {
    let variables: &[_] = &[("session_id", A), ("thread_id", A)];
    let send = |body: &str| try_bind(Post, RUNS, &Case { variables, body: body.as_bytes(), ..Case::default() });
    let good = r#"{"message":{"role":"user","content":[{"type":"input_text","text":"a\n\"b\""}]}}"#;
    assert_eq!(send(good).unwrap()["input"]["content"][0]["text"], "a\n\"b\"");
    let long = format!(r#"{{"message":{{"{}":1}}}}"#, "x".repeat(10_000));
    for bad in [
        "{}",
        r#"{"message":"hi"}"#,
        r#"{"message":{"role":"assistant","content":[{"type":"input_text","text":"hi"}]}}"#,
        r#"{"message":{"role":"system","content":[{"type":"input_text","text":"hi"}]}}"#,
        r#"{"message":{"content":[{"type":"input_text","text":"hi"}]}}"#,
        r#"{"message":{"role":"user","content":"hi"}}"#,
        r#"{"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#,
        r#"{"message":{"role":"user","content":[{"type":"input_text","text":5}]}}"#,
        r#"{"message":{"role":"user","content":[{"type":"input_text"}]}}"#,
        r#"{"message":{"role":"user","content":[],"tools":[]}}"#,
        r#"{"message":{"role":"user","content":[]},"model":"x"}"#,
        r#"{"content":[{"type":"input_text","text":"hi"}]}"#,
        &long,
    ] {
        let error = send(bad).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{bad}");
        assert!(error.message.contains(r#"{"message":{"role":"user""#), "{}", error.message);
        assert!(error.message.len() < 600, "the message repeats what was sent");
    }
    assert_eq!(send("hi").unwrap_err().code, ErrorCode::InvalidJson);
}
