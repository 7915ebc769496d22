//! The requests that the client sends.

use crate::response::Response;
use crate::server::{KEY, Server, fine, prompt};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;
use threadline_model::config::{ModelParameters, OpenAiConfig};
use threadline_model::openai::OpenAiModel;
use threadline_model::{Message, Model, ModelRequest, ToolCall, ToolSpec};
use threadline_schema::tool_result::UNKNOWN_RESULT;

async fn capture_request(request: ModelRequest) -> (String, Value) {
    let server = Server::with_script(fine()).await;
    let config = OpenAiConfig {
        site_url: Some("https://chat.example".to_owned()),
        app_name: Some("Threadline".to_owned()),
        ..server.config()
    };
    let response = Response::collect(OpenAiModel::new(config).unwrap().stream(request)).await;
    assert_eq!(response.summary(), r#""fine" Stop"#);
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn a_plain_prompt() {
    let (head, body) = capture_request(prompt()).await;
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    for header in [
        format!("authorization: bearer {KEY}").as_str(),
        "http-referer: https://chat.example",
        "x-title: threadline",
        "x-request-id: req-1",
        "content-type: application/json",
        "accept: text/event-stream",
        "accept-encoding: identity",
    ] {
        assert!(head.lines().any(|line| line == header), "{header} is missing in\n{head}");
    }
    assert_eq!(
        body,
        json!({
            "model": "test-model",
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hello"}],
        })
    );
}

#[tokio::test]
async fn parameters_and_tool_choice() {
    let parameters = ModelParameters { temperature: Some(0.5), stop: vec!["END".into()], ..ModelParameters::default() };
    let (_, body) = capture_request(ModelRequest {
        model: Some("another".into()),
        parameters: Arc::new(parameters),
        tools: Arc::from([tool()]),
        tool_choice: Some("f".into()),
        ..prompt()
    })
    .await;
    assert_eq!(
        body,
        json!({
            "model": "another",
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "hello"}],
            "tools": [{"type": "function", "function": {"name": "f", "description": "Does f.", "parameters": tool_parameters()}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "temperature": 0.5,
            "stop": ["END"],
        })
    );
}

#[tokio::test]
async fn messages_tool_calls_and_tools() {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "f".to_owned(),
        arguments: "{\"a\": 1}".to_owned(),
        ..ToolCall::default()
    };
    let (_, body) = capture_request(ModelRequest {
        messages: vec![
            Message::System("Be brief.".to_owned()),
            Message::User("\"ü\"\n".into()),
            Message::Assistant { text: String::new(), tool_calls: vec![call("x"), call("y")] },
            Message::Tool { call_id: "x".to_owned(), content: "{}".to_owned() },
            Message::Assistant { text: "Once more.".to_owned(), tool_calls: vec![call("z")] },
            Message::Assistant { text: String::new(), tool_calls: vec![] },
        ],
        tools: Arc::from([tool()]),
        // No valid header value. It is left out.
        request_id: "line\nbreak".into(),
        ..ModelRequest::default()
    })
    .await;
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}});
    // The ids are our own, and each call has one result right behind it.
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "\"ü\"\n"},
            {"role": "assistant", "content": null, "tool_calls": [call("c00000000"), call("c00000001")]},
            {"role": "tool", "tool_call_id": "c00000000", "content": "{}"},
            {"role": "tool", "tool_call_id": "c00000001", "content": UNKNOWN_RESULT},
            {"role": "assistant", "content": "Once more.", "tool_calls": [call("c00000002")]},
            {"role": "tool", "tool_call_id": "c00000002", "content": UNKNOWN_RESULT},
        ])
    );
    let function = json!({"name": "f", "description": "Does f.", "parameters": tool_parameters()});
    assert_eq!(body["tools"], json!([{"type": "function", "function": function}]));
}

fn tool() -> ToolSpec {
    ToolSpec {
        name: "f".to_owned(),
        description: "Does f.".to_owned(),
        parameters: to_raw_value(&json!({"type": "object"})).unwrap().into(),
    }
}

fn tool_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}
