//! Silence, lost connections, callers that leave, and the key.

use crate::answers::{Answer, kind};
use crate::server::{KEY, Play, Server, ok, ok_head, prompt, status};
use futures::StreamExt;
use std::time::{Duration, Instant};
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;
use threadline_model::{Model, ModelEvent};

const LIMIT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn silence_is_bounded_wherever_it_falls() {
    let text = Play::Send(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".to_vec());
    let role = Play::Send(b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n".to_vec());
    let ping = [Play::Send(b": ping\n\n".to_vec()), Play::Pause(Duration::from_millis(40))];
    let pings = std::iter::repeat_n(ping, 60).flatten().chain([Play::Hang]);
    for (script, expected) in [
        (vec![Play::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), Play::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), role, Play::Hang], r#""" timeout: the first token"#),
        (vec![ok_head(), text.clone(), Play::Hang], r#""a" timeout: the next token"#),
        // Pings keep proxies awake; they are no tokens.
        ([ok_head()].into_iter().chain(pings.clone()).collect(), r#""" timeout: the first token"#),
        ([ok_head(), text].into_iter().chain(pings).collect(), r#""a" timeout: the next token"#),
    ] {
        let server = Server::plays(script).await;
        let config = OpenAiConfig { token_timeout: LIMIT, max_attempts: 3, ..server.config() };
        let started = Instant::now();
        let answer = Answer::of(OpenAiModel::new(config).unwrap().stream(prompt())).await;
        assert_eq!(answer.line(), expected);
        assert!(started.elapsed() >= LIMIT && started.elapsed() < LIMIT * 5, "{expected}: {:?}", started.elapsed());
        assert_eq!(server.requests().len(), 1, "{expected}");
    }
}

#[tokio::test]
async fn each_token_buys_time() {
    // Ten tokens take twice the limit; no pause between two exceeds it. Thoughts and pieces of calls are tokens too.
    let mut script = vec![ok_head()];
    for piece in
        [r#"{"content":"a"}"#, r#"{"reasoning":"hm"}"#, r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#]
    {
        for _ in 0..4 {
            script.push(Play::Send(format!("data: {{\"choices\":[{{\"delta\":{piece}}}]}}\n\n").into_bytes()));
            script.push(Play::Pause(LIMIT / 5));
        }
    }
    script.push(Play::Send(b"data: [DONE]\n\n".to_vec()));
    script.push(Play::Close);
    let server = Server::plays(script).await;
    let config = OpenAiConfig { token_timeout: LIMIT, ..server.config() };
    let answer = Answer::of(OpenAiModel::new(config).unwrap().stream(prompt())).await;
    assert_eq!(answer.line(), r#""aaaa" f({}) ToolCalls"#);
}

#[tokio::test]
async fn nobody_listens() {
    let config = OpenAiConfig { base_url: "http://127.0.0.1:1/v1".into(), ..Server::plays(vec![]).await.config() };
    let model = OpenAiModel::new(config).unwrap();
    let error = Answer::of(model.stream(prompt())).await.error.unwrap();
    assert_eq!(kind(&error), "connect");
    assert!(error.to_string().contains("refused"), "the cause is named: {error}");
    assert_eq!(kind(&model.check().await.unwrap_err()), "connect");
}

#[tokio::test]
async fn a_dropped_answer_closes_its_socket() {
    let text = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n".to_vec();
    for script in [vec![Play::Hang], vec![ok_head(), Play::Hang], vec![ok_head(), Play::Send(text), Play::Hang]] {
        let server = Server::plays(script).await;
        let mut stream = server.model().stream(prompt());
        let first = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
        assert!(matches!(first, Err(_) | Ok(Some(Ok(ModelEvent::Text(_))))), "{first:?}");
        drop(stream);
        tokio::time::timeout(Duration::from_secs(1), server.client_left()).await.expect("the socket stays open");
    }
}

#[tokio::test]
async fn the_key_is_in_no_error_and_no_debug_text() {
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
        let server = Server::plays(script).await;
        let model = server.model();
        let error = Answer::of(model.stream(prompt())).await.error.unwrap();
        for text in [error.to_string(), format!("{error:?}"), error.public().to_owned(), format!("{model:?}")] {
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(error.to_string().len() < 700, "a server's words are cut short");
        assert!(!format!("{:?}", model.check().await).contains("secret"));
        assert!(!format!("{:?}", server.config()).contains("secret"));
    }
}

#[tokio::test]
async fn a_key_in_the_address_stays_out_of_errors() {
    let server = Server::plays(vec![Play::Close]).await;
    let base_url = format!("{}?key=sk-secret-in-address", server.base_url);
    for base_url in [base_url, "http://127.0.0.1:1/?key=sk-secret-in-address".to_owned()] {
        let model = OpenAiModel::new(OpenAiConfig { base_url: base_url.into(), ..server.config() }).unwrap();
        let error = Answer::of(model.stream(prompt())).await.error.unwrap();
        assert_eq!(kind(&error), "connect");
        assert!(!format!("{error:?} {:?}", model.check().await).contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_at_once() {
    let config = Server::plays(vec![]).await.config();
    for bad in [
        OpenAiConfig { base_url: "not a url".into(), ..config.clone() },
        OpenAiConfig { api_key: "line\nbreak-secret".into(), ..config.clone() },
        OpenAiConfig { app_name: Some("line\nbreak".to_owned()), ..config },
    ] {
        let error = OpenAiModel::new(bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
