//! The health check of an OpenAI-compatible server.

use crate::response::error_kind;
use crate::server::{KEY, Server, Step, status};
use std::time::{Duration, Instant};
use threadline_model::Model;
use threadline_model::config::OpenAiConfig;
use threadline_model::openai::OpenAiModel;

async fn check(script: Vec<Step>, model: &str) -> String {
    let server = Server::with_script(script).await;
    let config = OpenAiConfig { model: model.to_owned(), ..server.config() };
    let outcome = OpenAiModel::new(config).unwrap().check_health().await;
    let request = server.requests().remove(0).to_ascii_lowercase();
    assert!(request.starts_with("get /v1/models http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("authorization: bearer {KEY}\r\n")), "{request}");
    match outcome {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{} {error}", error_kind(&error)),
    }
}

#[tokio::test]
async fn status_codes() {
    for (line, expected) in [
        ("200 OK", "ok"),
        ("404 Not Found", "ok"),
        ("405 Method Not Allowed", "ok"),
        ("401 Unauthorized", "refused 401"),
        ("403 Forbidden", "refused 403"),
        ("302 Found", "refused 302"),
        ("429 Too Many Requests", "overloaded 429"),
        ("503 Service Unavailable", "overloaded 503"),
        ("500 Internal Server Error", "refused 500"),
    ] {
        let outcome = check(status(line, "", ""), "m").await;
        assert!(outcome.starts_with(expected), "{line}: {outcome}");
    }
}

#[tokio::test]
async fn model_lists() {
    for (list, model, offered) in [
        (r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#, "b", true),
        (r#"{"data":[{"id":"a"}]}"#, "b", false),
        (r#"{"data":[{"id":"models/gemini-x"}]}"#, "gemini-x", true),
        (r#"{"data":[{"id":"llama:latest"}]}"#, "llama", true),
        (r#"{"data":[{"id":"llama:8b"}]}"#, "llama:70b", false),
        (r#"{"data":[{"id":"some/model"}]}"#, "some/model:online", true),
        (r#"{"models":[{"name":"a","model":"a"}]}"#, "a", true),
        (r#"[{"id":"a"}]"#, "a", true),
        (r#"[{"id":"a"}]"#, "b", false),
        // An empty or invalid list is not evidence against a model.
        (r#"{"data":[]}"#, "a", true),
        (r#"{"data":[7,{"x":1}]}"#, "a", true),
        ("true", "a", true),
        ("not JSON", "a", true),
    ] {
        let outcome = check(status("200 OK", "", list), model).await;
        let expected = if offered { "ok" } else { "refused 200" };
        assert!(outcome.starts_with(expected), "{model} in {list}: {outcome}");
        assert!(offered || outcome.contains(&format!("model {model} is not offered")), "{outcome}");
    }
}

#[tokio::test]
async fn the_check_times_out() {
    let server = Server::with_script(vec![Step::Hang]).await;
    let started = Instant::now();
    let error = server.model().check_health().await.unwrap_err();
    assert_eq!(error_kind(&error), "timeout: the list of models");
    assert!(started.elapsed() < Duration::from_secs(5));
}
