//! The matrix over the REST API, with ChatKit's endpoint.

use super::possessions::Possessions;
use super::{Caller, Case, END_THE_CALLER, Refusal, cases, check};
use crate::security::by_schema::Schemas;
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A request, with one case of its parameters and body.
struct Request {
    verb: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Value>,
    case: Case,
}

/// Makes each request of each caller. Returns how many that were.
pub(super) async fn request_all(schemas: &Schemas, callers: &[Caller], ada: &Possessions, eve: &Possessions) -> usize {
    let ends = ends_the_caller();
    let mut made = 0;
    for caller in callers {
        let mut requests = Vec::new();
        for (path, verbs) in schemas.document()["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let verb: Method = verb.to_uppercase().parse().unwrap();
                let is_own = caller.refusal == Refusal::OfIds;
                let has_user =
                    operation["security"].as_array().is_some_and(|ways| ways.contains(&json!({"bearer": []})));
                let is_me = path == "/api/v1/auth/me" && caller.name.ends_with("without the scope");
                let ends_caller = is_own && ends.contains(&format!("{verb} {path}"));
                if is_me || ends_caller || !(has_user || path.ends_with("/chatkit")) {
                    continue;
                }
                let mut of_operation = requests_of(schemas, &verb, path, operation, ada, eve);
                if !is_own {
                    of_operation.truncate(1);
                }
                requests.extend(of_operation);
            }
        }
        made += requests.len();
        futures::stream::iter(&requests).for_each_concurrent(4, |request| send(caller, request, ada)).await;
    }
    made
}

/// Returns verb and path of the operations that take the caller's own access away.
fn ends_the_caller() -> Vec<String> {
    let rows = threadline_gateway::routes_text();
    let rows = rows.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|words| END_THE_CALLER.contains(&words[2])).map(|words| format!("{} {}", words[0], words[1])).collect()
}

/// Returns the requests of an operation that name something of Ada's.
fn requests_of(
    schemas: &Schemas,
    verb: &Method,
    path: &str,
    operation: &Value,
    ada: &Possessions,
    eve: &Possessions,
) -> Vec<Request> {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let named = |kind: &str| {
        let names = parameters.iter().filter(|parameter| parameter["in"] == kind).cloned();
        names.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let fill = |of: &Possessions, other: Option<(&str, &Possessions)>| {
        named("path").iter().fold(path.to_owned(), |path, name| {
            let owner = other.filter(|(which, _)| which == name).map_or(of, |(_, owner)| owner);
            let values = owner.by_name(name).unwrap_or_else(|| panic!("{name} is a new kind of id: add it"));
            path.replace(&format!("{{{name}}}"), values[0].as_str().unwrap())
        })
    };
    let content = &operation["requestBody"]["content"];
    let bodies = bodies(schemas, &content["application/json"]["schema"], ada, eve);
    let body = bodies.first().map(|case| case.params.clone());
    let plain = |path: String, what: &str, is_all_foreign: bool, must_fail: bool| Request {
        verb: verb.clone(),
        path,
        query: Vec::new(),
        headers: Vec::new(),
        body: body.clone(),
        case: Case { what: what.to_owned(), params: Value::Null, is_all_foreign, must_fail },
    };
    let path_names = named("path");
    let has_ids = !path_names.is_empty();
    let mut requests = vec![plain(fill(ada, None), if has_ids { "all ids" } else { "no id" }, has_ids, has_ids)];
    // One of several ids in the path.
    for name in path_names.iter().filter(|_| path_names.len() > 1) {
        requests.push(plain(fill(eve, Some((name.as_str(), ada))), name, false, true));
    }
    for (kind, name) in
        ["query", "header"].iter().flat_map(|kind| named(kind).into_iter().map(move |name| (kind, name)))
    {
        for value in ada.by_name(&name).unwrap_or_default() {
            let mut request = plain(fill(eve, None), &format!("{name} = {value}"), false, false);
            let pair = (name.clone(), value.as_str().unwrap_or_default().to_owned());
            if *kind == "query" {
                request.query.push(pair)
            } else {
                request.headers.push(pair)
            }
            requests.push(request);
        }
    }
    // With ids in the path, the first body names no id of Ada's in addition.
    for case in bodies {
        let body = Some(case.params.clone());
        // ChatKit's requests name everything in the body.
        let is_all_foreign = case.is_all_foreign && !has_ids;
        requests.push(Request {
            body,
            case: Case { is_all_foreign, ..case },
            ..plain(fill(eve, None), "", false, false)
        });
    }
    if has_ids && *verb == Method::DELETE {
        // Nothing in it names Ada but the path, and Eve keeps what is hers.
        requests.truncate(1);
    }
    requests
}

/// Returns the bodies of an operation that name something of Ada's, after one that fits.
fn bodies(schemas: &Schemas, schema: &Value, ada: &Possessions, eve: &Possessions) -> Vec<Case> {
    let alternatives = schema["oneOf"].as_array().filter(|_| schema.get("properties").is_none());
    match alternatives {
        // A request of ChatKit's: `type` and `params`.
        Some(alternatives) => alternatives
            .iter()
            .flat_map(|request| {
                let kind = schemas.example("type", &request["properties"]["type"]);
                cases(schemas, &request["properties"]["params"], ada, eve).into_iter().map(move |case| {
                    let params = json!({"type": kind, "params": case.params, "metadata": {}});
                    Case { what: format!("{kind} {}", case.what), params, ..case }
                })
            })
            .collect(),
        None if schema.is_null() => Vec::new(),
        None => cases(schemas, schema, ada, eve),
    }
}

async fn send(caller: &Caller, request: &Request, ada: &Possessions) {
    let Request { verb, path, query, headers, body, case } = request;
    let query: BTreeMap<_, _> = query.iter().cloned().collect();
    let query = query.iter().map(|(name, value)| format!("{name}={}", value.replace('|', "%7C"))).collect::<Vec<_>>();
    let url = if query.is_empty() { path.clone() } else { format!("{path}?{}", query.join("&")) };
    let mut sent = caller.client.request(verb.clone(), &url);
    for (name, value) in headers {
        sent = sent.header(name, value);
    }
    if let Some(user) = &caller.acts_for {
        sent = sent.header("x-threadline-user", user);
    }
    sent = match body {
        Some(body) => sent.json(body),
        None if *verb == Method::PUT && path.ends_with("/content") => sent.body("x"),
        None => sent,
    };
    let response = sent.send().await.expect("an answer");
    let (status, is_stream) = (response.status().as_u16(), is_stream(&response));
    let mut chunks = response.bytes_stream();
    let mut text = Vec::new();
    // The stream of a session has no end.
    let patience = if is_stream { Duration::from_millis(150) } else { crate::support::PATIENCE };
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(patience, chunks.next()).await {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8_lossy(&text);
    let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let code = answer["error"]["code"].as_str().or_else(|| answer["code"].as_str());
    assert_eq!(code.is_some(), status >= 400, "{}: {verb} {url}: {status} {text}", caller.name);
    if path.starts_with("/api/v1/admin/") && caller.refusal == Refusal::OfIds {
        assert_eq!(code, Some("FORBIDDEN"), "{}: {verb} {url}: {text}", caller.name);
    }
    check(caller, case, ada, code, &text, &format!("{verb} {url}"));
}

fn is_stream(response: &reqwest::Response) -> bool {
    let kind = response.headers().get("content-type");
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
