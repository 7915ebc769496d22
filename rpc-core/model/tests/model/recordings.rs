//! Every recording, whole and cut at every byte.

use crate::answers::{Answer, kind};
use crate::server::{Play, Server, prompt};
use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use threadline_model::Model;
use threadline_model::openai::decode;

/// Recording, what its answer adds up to, and the ids of its calls.
const RECORDINGS: &[(&str, &str, &[&str])] = &[
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
    ("llamacpp-too-long-stream", r#""" refused 400"#, &[]),
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
fn no_recording_is_left_out() {
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
async fn whole_over_http() {
    for (name, expected, ids) in RECORDINGS {
        let server = Server::plays(vec![Play::Send(bytes_of(name)), Play::Close]).await;
        let answer = Answer::of(server.model().stream(prompt())).await;
        assert_eq!(answer.line(), *expected, "{name}");
        assert_eq!(answer.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), *ids, "{name}");
    }
}

#[tokio::test]
async fn cut_over_http() {
    // HTTP's own framing is cut here as well. Every byte would take minutes, so the cuts are spread.
    for (name, expected, _) in RECORDINGS {
        let bytes = bytes_of(name);
        let cuts = (1..bytes.len()).step_by(bytes.len() / 12);
        join_all(cuts.map(|cut| {
            let (before, after) = bytes.split_at(cut);
            let script = vec![
                Play::Send(before.to_vec()),
                Play::Pause(Duration::from_millis(2)),
                Play::Send(after.to_vec()),
                Play::Close,
            ];
            async move {
                let server = Server::plays(script).await;
                let answer = Answer::of(server.model().stream(prompt())).await;
                assert_eq!(answer.line(), *expected, "{name} cut at {cut}");
            }
        }))
        .await;
    }
}

#[tokio::test]
async fn cut_at_every_byte() {
    for (name, _, _) in RECORDINGS {
        let Some(body) = body_of(name) else { continue };
        let whole = read(vec![body.clone()]).await;
        for cut in 0..=body.len() {
            let parts = vec![body.slice(..cut), body.slice(cut..)];
            assert_eq!(read(parts).await, whole, "{name} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn cut_at_random() {
    // xorshift: the same cuts in every run, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for (name, _, _) in RECORDINGS {
        let Some(body) = body_of(name) else { continue };
        let whole = read(vec![body.clone()]).await;
        for longest in [1, 2, 7, 64, 600] {
            for _ in 0..5 {
                let mut rest = body.clone();
                let mut parts = Vec::new();
                while !rest.is_empty() {
                    // Reads of no bytes are allowed too.
                    parts.push(rest.split_to(random(longest + 1).max(usize::from(longest == 1)).min(rest.len())));
                }
                assert_eq!(read(parts).await, whole, "{name} in parts of up to {longest}");
            }
        }
    }
}

#[tokio::test]
async fn what_came_in_one_read_is_ready_at_once() {
    use futures::{FutureExt, StreamExt};
    let body = body_of("llamacpp-text-stream").unwrap();
    let reads = stream::iter([Ok::<_, Infallible>(body)]).chain(stream::pending());
    let mut events = decode(reads, Duration::from_secs(9));
    let mut count = 0;
    while let Some(event) = events.next().now_or_never().expect("an event of the first read waits") {
        event.unwrap();
        count += 1;
    }
    assert_eq!(count, 9 + 2, "nine pieces of text, usage, end");
}

#[tokio::test]
async fn the_servers_words_are_kept_for_the_log_alone() {
    let server = Server::plays(vec![Play::Send(bytes_of("llamacpp-too-long-stream")), Play::Close]).await;
    let error = Answer::of(server.model().stream(prompt())).await.error.unwrap();
    assert_eq!(kind(&error), "refused 400");
    assert!(error.to_string().contains("exceeds the available context size"), "{error}");
    assert!(!error.public().contains("context"), "{}", error.public());
}

async fn read(parts: Vec<Bytes>) -> String {
    let parts = stream::iter(parts.into_iter().map(Ok::<_, Infallible>));
    Answer::of(decode(parts, Duration::from_secs(9))).await.whole()
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/upstream"))
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.response.http"))).unwrap()
}

/// The body of a recorded 200 without its chunk framing.
fn body_of(name: &str) -> Option<Bytes> {
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
