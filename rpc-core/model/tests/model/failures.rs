//! Timeouts, failed connections, dropped streams, and secrets in errors.

use crate::response::{Response, error_kind};
use crate::server::{KEY, Server, Step, ok, ok_head, prompt, status};
use futures::StreamExt;
use std::time::{Duration, Instant};
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;
use threadline_model::{Model, ModelEvent};

const LIMIT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn each_wait_has_a_timeout() {
    let text = Step::Send(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".to_vec());
    let role = Step::Send(b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n".to_vec());
    let ping = [Step::Send(b": ping\n\n".to_vec()), Step::Pause(Duration::from_millis(40))];
    let pings = std::iter::repeat_n(ping, 60).flatten().chain([Step::Hang]);
    for (script, expected) in [
        (vec![Step::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), Step::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), role, Step::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), text.clone(), Step::Hang], r#""a" timeout: the next token"#),
        // Pings keep a connection open. They are not tokens.
        ([ok_head()].into_iter().chain(pings.clone()).collect(), r#""" timeout: the first token"#),
        ([ok_head(), text].into_iter().chain(pings).collect(), r#""a" timeout: the next token"#),
    ] {
        let server = Server::with_script(script).await;
        let config = OpenAiConfig { token_timeout: LIMIT, max_attempts: 3, ..server.config() };
        let started = Instant::now();
        let response = Response::collect(OpenAiModel::new(config).unwrap().stream(prompt())).await;
        assert_eq!(response.summary(), expected);
        assert!(started.elapsed() >= LIMIT && started.elapsed() < LIMIT * 5, "{expected}: {:?}", started.elapsed());
        assert_eq!(server.requests().len(), 1, "{expected}");
    }
}

#[tokio::test]
async fn each_token_resets_the_timeout() {
    // All tokens together take more than twice the limit, but no pause exceeds it. Reasoning and fragments of tool
    // calls are tokens too.
    let mut script = vec![ok_head()];
    for piece in
        [r#"{"content":"a"}"#, r#"{"reasoning":"hm"}"#, r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#]
    {
        for _ in 0..4 {
            script.push(Step::Send(format!("data: {{\"choices\":[{{\"delta\":{piece}}}]}}\n\n").into_bytes()));
            script.push(Step::Pause(LIMIT / 5));
        }
    }
    script.push(Step::Send(b"data: [DONE]\n\n".to_vec()));
    script.push(Step::Close);
    let server = Server::with_script(script).await;
    let config = OpenAiConfig { token_timeout: LIMIT, ..server.config() };
    let response = Response::collect(OpenAiModel::new(config).unwrap().stream(prompt())).await;
    assert_eq!(response.summary(), r#""aaaa" f({}) ToolCalls"#);
}

#[tokio::test]
async fn connection_refused() {
    let config =
        OpenAiConfig { base_url: "http://127.0.0.1:1/v1".into(), ..Server::with_script(vec![]).await.config() };
    let model = OpenAiModel::new(config).unwrap();
    let error = Response::collect(model.stream(prompt())).await.error.unwrap();
    assert_eq!(error_kind(&error), "connect");
    assert!(error.to_string().contains("refused"), "the message contains the cause: {error}");
    assert_eq!(error_kind(&model.check_health().await.unwrap_err()), "connect");
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let text = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".to_vec();
    for script in [vec![Step::Hang], vec![ok_head(), Step::Hang], vec![ok_head(), Step::Send(text), Step::Hang]] {
        let server = Server::with_script(script).await;
        let mut stream = server.model().stream(prompt());
        let first = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
        assert!(matches!(first, Err(_) | Ok(Some(Ok(ModelEvent::Text(_))))), "{first:?}");
        drop(stream);
        tokio::time::timeout(Duration::from_secs(1), server.client_closed()).await.expect("the connection stays open");
    }
}

#[tokio::test]
async fn no_error_and_no_debug_output_contains_the_key() {
    let long = format!("{}{KEY} is not valid", "x".repeat(490));
    let scripts = [
        status("401 Unauthorized", "", &format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {KEY}\"}}}}")),
        status("500 Oops", "", &format!("<html>Authorization: Bearer {KEY}</html>")),
        status("503 Busy", "", &long),
        status("429 Too Many Requests", "", &format!("[{{\"error\":\"{KEY}\"}}]")),
        ok(format!("data: {{\"error\":{{\"message\":\"key {KEY}\"}}}}\n\n")),
        ok(format!("event: error\ndata: {KEY}\n\n")),
        ok(format!("data: {{\"choices\":\"{KEY}\"}}\n\n")),
        ok(format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[\"{KEY}\"]}}}}]}}\n\n")),
    ];
    for script in scripts {
        let server = Server::with_script(script).await;
        let model = server.model();
        let error = Response::collect(model.stream(prompt())).await.error.unwrap();
        for text in [error.to_string(), format!("{error:?}"), error.public_message().to_owned(), format!("{model:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(error.to_string().len() < 700, "the message is cut");
        assert!(!format!("{:?}", model.check_health().await).contains("secret"));
        assert!(!format!("{:?}", server.config()).contains("secret"));
    }
}

#[tokio::test]
async fn no_error_contains_a_key_from_the_url() {
    let server = Server::with_script(vec![Step::Close]).await;
    let base_url = format!("{}?key=sk-secret-in-address", server.base_url);
    for base_url in [base_url, "http://127.0.0.1:1/?key=sk-secret-in-address".to_owned()] {
        let model = OpenAiModel::new(OpenAiConfig { base_url: base_url.into(), ..server.config() }).unwrap();
        let error = Response::collect(model.stream(prompt())).await.error.unwrap();
        assert_eq!(error_kind(&error), "connect");
        assert!(!format!("{error:?} {:?}", model.check_health().await).contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn an_invalid_configuration_is_an_error_at_once() {
    let config = Server::with_script(vec![]).await.config();
    for bad in [
        OpenAiConfig { base_url: "not a url".into(), ..config.clone() },
        OpenAiConfig { api_key: "line\nbreak-secret".into(), ..config.clone() },
        OpenAiConfig { app_name: Some("line\nbreak".to_owned()), ..config },
    ] {
        let error = OpenAiModel::new(bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
