use super::*;
use crate::fields::table;
use crate::rule::Verb::{self, Delete, Get, Patch, Post, Put};
use serde_json::{Value, json};

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

fn try_bind(verb: Verb, path: &str, case: &Case<'_>) -> Result<Value, RpcError> {
    let row = table().iter().find(|row| row.rule.verb == verb && row.rule.path == path).unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in case.headers {
        headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    let request = Request { variables: case.variables.to_vec(), query: case.query, headers: &headers, body: case.body };
    bind(row, &request).map(|bound| serde_json::from_str(bound.params.get()).unwrap())
}

#[track_caller]
fn gives(verb: Verb, path: &str, case: &Case<'_>, params: &Value) {
    assert_eq!(&try_bind(verb, path, case).unwrap(), params);
}

#[track_caller]
fn refuses(verb: Verb, path: &str, case: &Case<'_>, code: ErrorCode, says: &str) {
    let error = try_bind(verb, path, case).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(says), "{:?} does not say {says:?}", error.message);
    assert!(error.message.len() < 600, "the sentence repeats what it was sent");
}

#[test]
fn path_query_and_presets_meet_in_one_object() {
    let case = Case { variables: &[("session_id", A)], ..Case::default() };
    let params = json!({"thread_id": A, "limit": 1000, "order": "asc", "include_tool_calls": true});
    gives(Get, SESSION, &case, &params);
    let case = Case { query: Some("limit=5&after=a%26b+c"), ..case };
    let params = json!({"thread_id": A, "limit": 5, "after": "a&b c", "order": "asc", "include_tool_calls": true});
    gives(Get, SESSION, &case, &params);
    let case = Case { variables: &[("session_id", A)], ..Case::default() };
    gives(Post, "/api/v1/chatkit/sessions/{session_id}/threads", &case, &json!({"thread_id": A, "limit": 1}));
}

#[test]
fn ids_in_a_path_are_uuids_in_any_writing() {
    let upper = A.to_uppercase();
    gives(Get, TASK, &Case { variables: &[("task_id", &upper)], ..Case::default() }, &json!({"task_id": A}));
    let encoded = A.replace('-', "%2D");
    gives(Get, TASK, &Case { variables: &[("task_id", &encoded)], ..Case::default() }, &json!({"task_id": A}));
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
        refuses(Get, TASK, &case, ErrorCode::InvalidRequest, says);
    }
}

#[test]
fn session_and_thread_must_be_the_same() {
    let body = br#"{"message":{"role":"user","content":[{"type":"input_text","text":"hi"}]}}"#;
    let case = Case { variables: &[("session_id", A), ("thread_id", A)], body, ..Case::default() };
    let input = json!({"content": [{"type": "input_text", "text": "hi"}]});
    gives(Post, RUNS, &case, &json!({"thread_id": A, "input": input}));
    let case = Case { variables: &[("session_id", A), ("thread_id", B)], body, ..Case::default() };
    refuses(Post, RUNS, &case, ErrorCode::ThreadNotFound, "no such thread");
}

#[test]
fn queries_are_typed_and_closed() {
    let list = "/api/v1/tasks";
    let query = |query| Case { query: Some(query), ..Case::default() };
    gives(Get, list, &query("status=pending&limit=007"), &json!({"status": "pending", "limit": 7}));
    gives(Get, list, &query(""), &json!({}));
    gives(Get, list, &query("&&limit=1&"), &json!({"limit": 1}));
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
        refuses(Get, list, &query(text), ErrorCode::InvalidRequest, says);
    }
    let long = format!("{}=1", "x".repeat(5000));
    refuses(Get, list, &query(&long), ErrorCode::InvalidRequest, "this call takes");
    let case = Case { variables: &[("task_id", A)], query: Some("x=1"), ..Case::default() };
    refuses(Get, TASK, &case, ErrorCode::InvalidRequest, "takes no query parameters");
}

#[test]
fn the_cursor_comes_from_the_header_before_the_query() {
    let variables: &[_] = &[("run_id", A)];
    gives(
        Get,
        EVENTS,
        &Case { variables, query: Some("after=3"), ..Case::default() },
        &json!({"run_id": A, "after": "3"}),
    );
    let case = Case { variables, query: Some("after=3"), headers: &[("last-event-id", b"x:9")], ..Case::default() };
    gives(Get, EVENTS, &case, &json!({"run_id": A, "after": "x:9"}));
    let case = Case { variables, headers: &[("last-event-id", b"")], ..Case::default() };
    gives(Get, EVENTS, &case, &json!({"run_id": A}));
    let case = Case { variables, headers: &[("last-event-id", b"\xff")], ..Case::default() };
    refuses(Get, EVENTS, &case, ErrorCode::InvalidRequest, "plain ASCII");
}

#[test]
fn an_idempotency_key_is_a_header() {
    let path = "/api/v1/chatkit/sessions";
    gives(
        Post,
        path,
        &Case { headers: &[("idempotency-key", b"k\"1")], ..Case::default() },
        &json!({"idempotency_key": "k\"1"}),
    );
    let twice = Case { headers: &[("idempotency-key", b"a"), ("idempotency-key", b"b")], ..Case::default() };
    refuses(Post, path, &twice, ErrorCode::InvalidRequest, "more than once");
    let case = Case { body: br#"{"idempotency_key":"k"}"#, ..Case::default() };
    refuses(Post, path, &case, ErrorCode::InvalidRequest, "idempotency_key");
}

#[test]
fn calls_whose_input_may_be_left_out_take_no_body_or_an_empty_object() {
    let path = "/api/v1/chatkit/sessions";
    for body in ["", "{}", " { } "] {
        gives(Post, path, &Case { body: body.as_bytes(), ..Case::default() }, &json!({}));
    }
    let case = Case { body: br#"{"input":{"content":[]}}"#, ..Case::default() };
    refuses(Post, path, &case, ErrorCode::InvalidRequest, "this call takes agent");
    gives(Post, path, &Case { body: br#"{"agent":"a"}"#, ..Case::default() }, &json!({"agent": "a"}));
}

#[test]
fn bodies_give_the_params_that_are_left() {
    let variables: &[_] = &[("task_id", A)];
    let body = br#"{"title":"\u00fc", "description" : null}"#;
    let params = json!({"task_id": A, "title": "ü", "description": null});
    gives(Put, TASK, &Case { variables, body, ..Case::default() }, &params);
    gives(Put, TASK, &Case { variables, body: b"{}", ..Case::default() }, &json!({"task_id": A}));
    let deep = format!(r#"{{"title":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let bound = try_bind_raw(Put, TASK, &Case { variables, body: deep.as_bytes(), ..Case::default() });
    assert!(bound.unwrap().contains("[[[["), "depth is no danger to who does not descend");
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
        refuses(Put, TASK, &Case { variables, body, ..Case::default() }, code, says);
    }
    let brackets = "[".repeat(100_000);
    refuses(
        Put,
        TASK,
        &Case { variables, body: brackets.as_bytes(), ..Case::default() },
        ErrorCode::InvalidJson,
        "not valid JSON",
    );
    refuses(
        Patch,
        SESSION,
        &Case { variables: &[("session_id", A)], body: b"", ..Case::default() },
        ErrorCode::InvalidJson,
        "body is empty",
    );
}

#[test]
fn bodies_without_meaning_are_refused() {
    let case = Case { variables: &[("task_id", A)], body: b"{}", ..Case::default() };
    for verb in [Get, Delete] {
        refuses(verb, TASK, &case, ErrorCode::InvalidRequest, "takes no body");
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
        assert!(error.message.len() < 600, "the sentence repeats what it was sent");
    }
    assert_eq!(send("hi").unwrap_err().code, ErrorCode::InvalidJson);
}

fn try_bind_raw(verb: Verb, path: &str, case: &Case<'_>) -> Result<String, RpcError> {
    let row = table().iter().find(|row| row.rule.verb == verb && row.rule.path == path).unwrap();
    let headers = HeaderMap::new();
    let request = Request { variables: case.variables.to_vec(), query: case.query, headers: &headers, body: case.body };
    bind(row, &request).map(|bound| bound.params.get().to_owned())
}
