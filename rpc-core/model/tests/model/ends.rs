//! How an answer ends where its connection does not, and how one without an end is stopped.

use crate::answers::Answer;
use crate::quirks::read;
use crate::server::{Play, Server, ok_head, prompt};
use bytes::Bytes;
use futures::stream;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use threadline_model::Model;
use threadline_model::openai::decode;

#[tokio::test]
async fn a_connection_that_stays_open_does_not_hold_the_answer() {
    // After `[DONE]` at once; after `finish_reason` alone, and whatever pings follow, within two seconds.
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for (body, at_most) in [(format!("{text}data: [DONE]\n\n"), 1_000), (format!("{text}{end}: ping\n\n"), 4_000)] {
        let server = Server::plays(vec![ok_head(), Play::Send(body.into_bytes()), Play::Hang]).await;
        let started = Instant::now();
        assert_eq!(Answer::of(server.model().stream(prompt())).await.line(), r#""a" Stop"#);
        assert!(started.elapsed() < Duration::from_millis(at_most), "{:?}", started.elapsed());
        tokio::time::timeout(Duration::from_secs(3), server.client_left()).await.expect("the socket stays open");
    }
}

#[tokio::test]
async fn usage_that_trails_is_waited_for() {
    let script = vec![
        ok_head(),
        Play::Send(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec()),
        Play::Pause(Duration::from_millis(200)),
        Play::Send(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n".to_vec()),
        Play::Close,
    ];
    let server = Server::plays(script).await;
    assert_eq!(Answer::of(server.model().stream(prompt())).await.line(), r#""a" 3+1 Stop"#);
}

#[tokio::test]
async fn a_connection_serves_the_next_answer_too() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let chunk = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len());
    // The end of the body comes later, as it does from a real server.
    let script =
        vec![Play::Send(chunk.into_bytes()), Play::Pause(Duration::from_millis(50)), Play::Send(b"0\r\n\r\n".to_vec())];
    let server = Server::plays(script).await;
    let model = server.model();
    for _ in 0..3 {
        assert_eq!(Answer::of(model.stream(prompt())).await.line(), r#""a" Stop"#);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn a_server_cannot_fill_memory() {
    let flood = |piece: &'static str, times: usize| {
        let parts = stream::iter(std::iter::repeat_n(Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())), times));
        async move { Answer::of(decode(parts, Duration::from_secs(20))).await }
    };
    // One event without an end, one line without an end, a document without an end.
    for piece in [
        "data: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n",
        "data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":",
    ] {
        let answer = flood(piece, 100_000).await;
        assert!(answer.error.unwrap().to_string().contains("longer than"), "{piece}");
    }
    // Any number of small events is no long event, and neither is one read with many of them.
    let many = "data: {\"choices\":[{\"delta\":{}}]}\n\n".repeat(100_000) + "data: [DONE]\n\n";
    assert_eq!(read(vec![many.into()]).await.line(), r#""" Stop"#);
    // Text without an end.
    let long = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "a".repeat(100_000)).leak();
    assert!(flood(long, 100).await.error.unwrap().to_string().contains("bytes of text"));
    // Calls without an end.
    let calls =
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n";
    assert!(flood(calls, 100).await.error.unwrap().to_string().contains("tool calls"));
    let long = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]}}}}]}}\n\n",
        "a".repeat(100_000)
    )
    .leak();
    assert!(flood(long, 100).await.error.unwrap().to_string().contains("bytes of tool calls"));
}
