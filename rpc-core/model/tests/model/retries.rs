//! Which failures are retried, and when.

use crate::response::Response;
use crate::server::{Server, Step, fine, ok, prompt, status};
use futures::future::join_all;
use std::time::{Duration, Instant};
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;
use threadline_model::{Model, ModelError};

async fn ask(server: &Server, max_attempts: u32) -> Response {
    let config = OpenAiConfig { max_attempts, ..server.config() };
    Response::collect(OpenAiModel::new(config).unwrap().stream(prompt())).await
}

#[tokio::test]
async fn transient_failures_are_retried_with_the_same_body() {
    let failures = [
        status("408 Request Timeout", "", ""),
        status("409 Conflict", "", ""),
        status("429 Too Many Requests", "", "{}"),
        status("500 Internal Server Error", "", "oops"),
        status("502 Bad Gateway", "", "<html>"),
        status("503 Service Unavailable", "", ""),
        status("504 Gateway Timeout", "", ""),
        // No response, and half of a response head.
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 200".to_vec()), Step::Close],
        // Status 200, but a failure before the first token.
        ok(""),
        ok("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"),
        ok("data: oops\n\n"),
        ok("data: {\"error\":{\"code\":502,\"message\":\"provider is down\"}}\n\n"),
    ];
    join_all(failures.map(async |failure| {
        let server = Server::start(vec![failure, fine()]).await;
        assert_eq!(ask(&server, 2).await.summary(), r#""fine" Stop"#);
        let bodies: Vec<_> =
            server.requests().iter().map(|request| request.split_once("\r\n\r\n").unwrap().1.to_owned()).collect();
        assert_eq!(bodies.len(), 2);
        assert_eq!(bodies[0], bodies[1]);
    }))
    .await;
}

#[tokio::test]
async fn two_failures_then_a_response() {
    let failure = status("500 Internal Server Error", "", "");
    let server = Server::start(vec![failure.clone(), failure, fine()]).await;
    assert_eq!(ask(&server, 3).await.summary(), r#""fine" Stop"#);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn attempts_are_limited() {
    let server = Server::with_script(status("500 Internal Server Error", "", "")).await;
    for (attempts, requests) in [(1, 1), (3, 4), (0, 5)] {
        assert_eq!(ask(&server, attempts).await.summary(), r#""" refused 500"#);
        assert_eq!(server.requests().len(), requests, "{attempts} attempts");
    }
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    for line in [
        "302 Found",
        "400 Bad Request",
        "401 Unauthorized",
        "402 Payment Required",
        "403 Forbidden",
        "404 Not Found",
        "422 Unprocessable Entity",
        "501 Not Implemented",
    ] {
        let server = Server::with_script(status(line, "location: http://127.0.0.1:1/\r\n", "")).await;
        assert_eq!(ask(&server, 3).await.summary(), format!(r#""" refused {}"#, &line[..3]));
        assert_eq!(server.requests().len(), 1, "{line}");
    }
}

#[tokio::test]
async fn failures_after_the_first_token_are_not_retried() {
    for token in [
        r#"{"content":"a"}"#,
        r#"{"reasoning":"hm"}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{"}}]}"#,
    ] {
        for end in ["", "data: oops\n\n", "data: {\"error\":{\"code\":503,\"message\":\"no\"}}\n\n"] {
            let server =
                Server::start(vec![ok(format!("data: {{\"choices\":[{{\"delta\":{token}}}]}}\n\n{end}")), fine()])
                    .await;
            assert!(ask(&server, 3).await.error.is_some());
            assert_eq!(server.requests().len(), 1, "{token} {end}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_respected() {
    for (header, at_least) in [
        ("retry-after: 1\r\n", 1_000),
        // The more precise header takes precedence.
        ("retry-after: 60\r\nretry-after-ms: 700\r\n", 700),
        // A date counts from the date of the same response: the clock of the server may be years off.
        ("date: Wed, 21 Oct 2015 07:27:59 GMT\r\nretry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 1_000),
        // The older forms of a date.
        ("date: Wed, 21 Oct 2015 07:27:59 GMT\r\nretry-after: Wednesday, 21-Oct-15 07:28:00 GMT\r\n", 1_000),
        ("date: Wed, 21 Oct 2015 07:27:59 GMT\r\nretry-after: Wed Oct 21 07:28:00 2015\r\n", 1_000),
    ] {
        let started = Instant::now();
        let server = Server::start(vec![status("429 Too Many Requests", header, ""), fine()]).await;
        assert_eq!(ask(&server, 2).await.summary(), r#""fine" Stop"#);
        let waited = started.elapsed();
        assert!(waited >= Duration::from_millis(at_least) && waited < Duration::from_secs(5), "{header} {waited:?}");
    }
}

#[tokio::test]
async fn a_long_retry_after_ends_the_attempts() {
    for seconds in ["60", "1e300", "18446744073709551615"] {
        let server = Server::with_script(status("503 Busy", &format!("retry-after: {seconds}\r\n"), "")).await;
        let started = Instant::now();
        let response = ask(&server, 3).await;
        assert!(started.elapsed() < Duration::from_secs(4));
        match response.error {
            Some(ModelError::Overloaded { status: 503, retry_after, .. }) if seconds == "60" => {
                assert_eq!(retry_after, Some(Duration::from_secs(60)));
                assert_eq!(server.requests().len(), 1);
            }
            Some(ModelError::Overloaded { status: 503, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn all_attempts_share_one_deadline() {
    let slow = vec![Step::Pause(Duration::from_millis(250)), Step::Close];
    let server = Server::with_script(slow).await;
    let limit = Duration::from_millis(1_200);
    let config = OpenAiConfig { max_attempts: 50, token_timeout: limit, ..server.config() };
    let started = Instant::now();
    let response = Response::collect(OpenAiModel::new(config).unwrap().stream(prompt())).await;
    assert!(response.error.is_some());
    assert!(started.elapsed() < limit + Duration::from_millis(500), "{:?}", started.elapsed());
    assert!((2..6).contains(&server.requests().len()), "{} requests", server.requests().len());
}
