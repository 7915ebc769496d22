//! The end of a response: open connections, late usage, and limits on its size.

use crate::quirks::decode_parts;
use crate::response::Response;
use crate::server::{Server, Step, ok_head, prompt};
use bytes::Bytes;
use futures::stream;
use std::convert::Infallible;
use std::time::{Duration, Instant};
use threadline_model::Model;
use threadline_model::openai::decode;

#[tokio::test]
async fn an_open_connection_does_not_delay_the_end() {
    // At once after `[DONE]`, and within two seconds after `finish_reason`, even if pings follow.
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for (body, at_most) in [(format!("{text}data: [DONE]\n\n"), 1_000), (format!("{text}{end}: ping\n\n"), 4_000)] {
        let server = Server::with_script(vec![ok_head(), Step::Send(body.into_bytes()), Step::Hang]).await;
        let started = Instant::now();
        assert_eq!(Response::collect(server.model().stream(prompt())).await.summary(), r#""a" Stop"#);
        assert!(started.elapsed() < Duration::from_millis(at_most), "{:?}", started.elapsed());
        tokio::time::timeout(Duration::from_secs(3), server.client_closed()).await.expect("the connection stays open");
    }
}

#[tokio::test]
async fn late_usage_is_reported() {
    let script = vec![
        ok_head(),
        Step::Send(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n".to_vec()),
        Step::Pause(Duration::from_millis(200)),
        Step::Send(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n".to_vec()),
        Step::Close,
    ];
    let server = Server::with_script(script).await;
    assert_eq!(Response::collect(server.model().stream(prompt())).await.summary(), r#""a" 3+1 Stop"#);
}

#[tokio::test]
async fn the_connection_is_reused() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let chunk = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len());
    // The end of the body comes later, as from a real server.
    let script =
        vec![Step::Send(chunk.into_bytes()), Step::Pause(Duration::from_millis(50)), Step::Send(b"0\r\n\r\n".to_vec())];
    let server = Server::with_script(script).await;
    let model = server.model();
    for _ in 0..3 {
        assert_eq!(Response::collect(model.stream(prompt())).await.summary(), r#""a" Stop"#);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((server.requests().len(), server.connections()), (3, 1));
}

#[tokio::test]
async fn the_size_of_a_response_is_limited() {
    let flood = |piece: &'static str, times: usize| {
        let parts = stream::iter(std::iter::repeat_n(Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())), times));
        async move { Response::collect(decode(parts, Duration::from_secs(20))).await }
    };
    // An endless event, an endless line, an endless document.
    for piece in [
        "data: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n",
        "data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":",
    ] {
        let response = flood(piece, 100_000).await;
        assert!(response.error.unwrap().to_string().contains("longer than"), "{piece}");
    }
    // Many small events in one read do not count as one large event.
    let many = "data: {\"choices\":[{\"delta\":{}}]}\n\n".repeat(100_000) + "data: [DONE]\n\n";
    assert_eq!(decode_parts(vec![many.into()]).await.summary(), r#""" no answer"#);
    // Endless text.
    let long = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "a".repeat(100_000)).leak();
    assert!(flood(long, 100).await.error.unwrap().to_string().contains("bytes of text"));
    // Endless tool calls.
    let calls: Vec<_> = (0..100).map(|number| format!("{{\"function\":{{\"name\":\"f{number}\"}}}}")).collect();
    let calls = format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{}]}}}}]}}\n\n", calls.join(",")).leak();
    assert!(flood(calls, 1).await.error.unwrap().to_string().contains("tool calls"));
    let long = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{}\"}}}}]}}}}]}}\n\n",
        "a".repeat(100_000)
    )
    .leak();
    assert!(flood(long, 100).await.error.unwrap().to_string().contains("bytes of tool calls"));
}
