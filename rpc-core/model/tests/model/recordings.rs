//! Recorded responses of real servers, complete and split at every byte.

use crate::quirks::decode_parts;
use crate::response::{Response, error_kind};
use crate::server::{Server, Step, prompt};
use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use threadline_model::Model;
use threadline_model::openai::decode;

/// Recording, summary of its response, and the ids of its tool calls.
pub(crate) const RECORDINGS: &[(&str, &str, &[&str])] = &[
    (
        "aimock-blocks-stream",
        r#""and then some text" add_task({"title":"first","priority":"low"}) ToolCalls"#,
        &["call_EHIaL78orSBGMAD6"],
    ),
    ("aimock-rate-stream", r#""" overloaded 429"#, &[]),
    ("aimock-text-stream", r#""Hello! Unicode: äöü — 日本語 🥛. How can I help?" 7+12 Stop"#, &[]),
    (
        "aimock-tool-parallel-stream",
        r#""Adding both." add_task({"title":"Älpen — 牛乳 🥛","priority":"low"}) add_task({"title":"call \"Bob\"\nnow","priority":"high"}) ToolCalls"#,
        &["call_paXwaaP18oESdb5W", "call_jvTc0s0EnayiKT2e"],
    ),
    ("aimock-trunc-stream", r#""This is " broken"#, &[]),
    ("llamacpp-badjson", r#""" refused 400"#, &[]),
    ("llamacpp-maxtokens-length-stream", r#""Le Grand Paris" 34+3 Length"#, &[]),
    ("llamacpp-text-stream-nousage", r#""Le Grand Paris is the capital of France." Stop"#, &[]),
    ("llamacpp-text-stream", r#""Le Grand Paris is the capital of France." 34+10 Stop"#, &[]),
    ("llamacpp-too-long-stream", r#""" context length 2048"#, &[]),
    (
        "llamacpp-tool-auto-stream",
        r#""" add_task({"title": "buy milk", "priority": "high"}) 435+38 ToolCalls"#,
        &["bHy6ioujWigsASDyB30kS5wRSiVMB8RH"],
    ),
    (
        "llamacpp-tool-forced-1tool-stream",
        r#""" add_task({"title": "buy milk", "priority": "high"}) 388+38 ToolCalls"#,
        &["eenqsiWxMJ6Ee2ia2JnPI3HQkJhL3ucQ"],
    ),
    ("llamacpp-tool-result-stream", r#""Done." 447+3 Stop"#, &[]),
    ("llmock-disconnect", r#""LLMock says " broken"#, &[]),
    ("llmock-fail-503", r#""" overloaded 503"#, &[]),
    ("llmock-malformed", r#""LLMock says " broken"#, &[]),
    ("llmock-rate-429", r#""" overloaded 429"#, &[]),
    (
        "llmock-tool-malformed-args",
        r#""" add_task({"title": "mock-title) 5+5 ToolCalls"#,
        &["call_78acd84fd70f45c998fe0809"],
    ),
    (
        "llmock-tool-unknown",
        r#""" llmock_unknown_tool({"title": "mock-title", "priority": "low"}) 5+10 ToolCalls"#,
        &["call_8f511de3943f4ccbb438d04b"],
    ),
    ("llmock-truncate", r#""LLMock says " broken"#, &[]),
];

#[test]
fn each_recording_is_listed() {
    let mut listed: Vec<_> = RECORDINGS.iter().map(|(name, ..)| format!("{name}.response.http")).collect();
    let mut found: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".response.http"))
        .collect();
    listed.sort();
    found.sort();
    assert_eq!(listed, found);
}

#[tokio::test]
async fn recordings_over_http() {
    for (name, expected, ids) in RECORDINGS {
        let server = Server::with_script(vec![Step::Send(bytes_of(name)), Step::Close]).await;
        let response = Response::collect(server.model().stream(prompt())).await;
        assert_eq!(response.summary(), *expected, "{name}");
        assert_eq!(response.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), *ids, "{name}");
    }
}

#[tokio::test]
async fn recordings_split_over_http() {
    // This splits the framing of HTTP as well. Splitting at every byte would take minutes, so 12 positions must do.
    for (name, expected, _) in RECORDINGS {
        let bytes = bytes_of(name);
        let cuts = (1..bytes.len()).step_by(bytes.len() / 12);
        join_all(cuts.map(|cut| {
            let (before, after) = bytes.split_at(cut);
            let script = vec![
                Step::Send(before.to_vec()),
                Step::Pause(Duration::from_millis(2)),
                Step::Send(after.to_vec()),
                Step::Close,
            ];
            async move {
                let server = Server::with_script(script).await;
                let response = Response::collect(server.model().stream(prompt())).await;
                assert_eq!(response.summary(), *expected, "{name} cut at {cut}");
            }
        }))
        .await;
    }
}

#[tokio::test]
async fn recordings_split_at_every_byte() {
    for (name, ..) in RECORDINGS {
        let Some(body) = body_of(name) else { continue };
        let expected = decode_parts(vec![body.clone()]).await.fingerprint();
        for cut in 0..=body.len() {
            let parts = vec![body.slice(..cut), body.slice(cut..)];
            assert_eq!(decode_parts(parts).await.fingerprint(), expected, "{name} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn events_of_one_read_are_ready_at_once() {
    use futures::{FutureExt, StreamExt};
    let body = body_of("llamacpp-text-stream").unwrap();
    let reads = stream::iter([Ok::<_, Infallible>(body)]).chain(stream::pending());
    let mut events = decode(reads, Duration::from_secs(9));
    let mut count = 0;
    while let Some(event) = events.next().now_or_never().expect("no event of the first read is delayed") {
        event.unwrap();
        count += 1;
    }
    assert_eq!(count, 9 + 2, "nine deltas, usage, end");
}

#[tokio::test]
async fn only_the_log_gets_the_servers_message() {
    let server = Server::with_script(vec![Step::Send(bytes_of("llamacpp-too-long-stream")), Step::Close]).await;
    let error = Response::collect(server.model().stream(prompt())).await.error.unwrap();
    assert_eq!(error_kind(&error), "context length 2048");
    assert!(error.to_string().contains("exceeds the available context size"), "{error}");
    assert!(!error.public_message().contains("context"), "{}", error.public_message());
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/upstream"))
}

/// Returns a recorded response, with its head.
pub(crate) fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.response.http"))).unwrap()
}

/// Returns the body of a recording with status 200, without the framing of HTTP's chunks.
pub(crate) fn body_of(name: &str) -> Option<Bytes> {
    let bytes = bytes_of(name);
    let head = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap();
    let mut rest = &bytes[head + 4..];
    if !bytes.starts_with(b"HTTP/1.1 200") {
        return None;
    }
    let mut body = Vec::new();
    while let Some(line) = memchr::memmem::find(rest, b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + length]);
        rest = &rest[line + 2 + length + 2..];
    }
    Some(body.into())
}
