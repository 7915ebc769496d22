//! Whatever the history, the request is valid for the strictest server.

use super::{OutgoingRequest, ToolForms};
use crate::dialect::{Dialect, DialectOverrides};
use crate::{AttachedFile, Echo, FileContent, Message, ModelRequest, ToolCall, ToolSpec, UserInput};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use threadline_schema::ids::AttachmentId;

/// Texts, among them blank ones.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just(" \n".to_owned()), "[a-z]{1,8}", any::<String>()]
}

fn name() -> impl Strategy<Value = String> {
    let odd = select(vec!["f", "g", "a<|b|>c", "a__b__c", "a_b_c", "", "ü", "list tasks", "list_tasks"]);
    prop_oneof![odd.prop_map(ToOwned::to_owned), "[a-z.]{60,70}", any::<String>()]
}

fn arguments() -> impl Strategy<Value = String> {
    let odd = select(vec![
        "{}",
        "{\"a\": 1}",
        "",
        "null",
        "{\"a\":",
        "{}{}",
        "[1]",
        "\"{\\\"a\\\":1}\"",
        "{\"a\":\"\\ud800\"}",
    ]);
    prop_oneof![odd.prop_map(ToOwned::to_owned), any::<String>()]
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![select(vec!["f:0", "f:1", ""]).prop_map(ToOwned::to_owned), "[a-z]{1,2}"]
}

fn call() -> impl Strategy<Value = ToolCall> {
    (id(), name(), arguments(), any::<bool>()).prop_map(|(id, name, arguments, echoes)| {
        let fields = |name: &str| Map::from_iter([(name.to_owned(), json!("QUJD")), ("role".to_owned(), json!("x"))]);
        let model = "m".to_owned();
        let echo = Echo { model, call: fields("extra_content"), message: fields("reasoning_content") };
        ToolCall { id, name, arguments, echo: echoes.then(|| Box::new(echo)) }
    })
}

fn message() -> impl Strategy<Value = Message> {
    let image = |url: &str| AttachedFile {
        id: AttachmentId::nil(),
        name: "a.png".into(),
        mime_type: "image/png".into(),
        content: FileContent::Image(url.into()),
    };
    prop_oneof![
        1 => text().prop_map(Message::System),
        4 => (text(), any::<bool>()).prop_map(move |(text, with_image)| {
            let attachments = with_image.then(|| image("data:image/png;base64,QQ==")).into_iter().collect();
            Message::User(UserInput { text, attachments })
        }),
        4 => (text(), vec(call(), 0..4)).prop_map(|(text, tool_calls)| Message::Assistant { text, tool_calls }),
        4 => (id(), text()).prop_map(|(call_id, content)| Message::Tool { call_id, content }),
        1 => Just(Message::ToolImages(vec![image("data:image/png;base64,QQ==")])),
    ]
}

fn tool() -> impl Strategy<Value = ToolSpec> {
    let schema = select(vec![
        r#"{"type":"object"}"#,
        "{}",
        "true",
        r#"{"type":"string"}"#,
        r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"$defs":{"A":{"type":["string","null"]}}}"##,
    ]);
    (name(), text(), schema).prop_map(|(name, description, schema)| ToolSpec {
        name,
        description: description.repeat(3_000 / (description.len() + 1) + 1),
        parameters: serde_json::value::RawValue::from_string(schema.to_owned()).unwrap().into(),
    })
}

fn dialect() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        "gemini",
        "system=user",
        "system=developer,empty_content=absent",
        "tools=false,images=false",
        "calls_per_message=one,empty_content=filler,schema=openai_strict",
        "reasoning_content=always,extra_content=dummy,schema=basic",
        "call_ids=kimi",
    ])
}

/// Checks a body by the rules of all servers together.
fn check(body: &Value, dialect: &str) -> Result<(), String> {
    let messages = body["messages"].as_array().ok_or("no messages")?;
    let is_name = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let mut ids = HashSet::new();
    let mut open: Vec<&str> = Vec::new();
    // Roles so far, results left out.
    let mut previous = "";
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().ok_or("no role")?;
        let content = message.get("content");
        let blank = content
            .is_none_or(|content| content.as_str().is_some_and(|text| text.trim().is_empty()) || content.is_null());
        if role == "tool" {
            let id = message["tool_call_id"].as_str().ok_or("no id")?;
            if open.is_empty() || open.remove(0) != id || blank {
                return Err(format!("result {index} does not follow its call"));
            }
            previous = "tool";
            continue;
        }
        if !open.is_empty() {
            return Err(format!("calls before {index} have no result"));
        }
        let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fits = match role {
            "system" | "developer" => index == 0 && !blank,
            "user" => matches!(previous, "" | "system" | "developer" | "assistant") && !blank,
            "assistant" => matches!(previous, "user" | "tool") && (!blank || !calls.is_empty()),
            _ => false,
        };
        if !fits {
            return Err(format!("{role} at {index} after {previous:?}: {message}"));
        }
        for part in content.and_then(Value::as_array).into_iter().flatten() {
            if part["type"] == "text" && part["text"].as_str().unwrap_or_default().trim().is_empty() {
                return Err("a blank part".to_owned());
            }
        }
        for call in calls {
            let id = call["id"].as_str().ok_or("no id")?;
            let is_short = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
            if !ids.insert(id) || !(is_short || dialect.contains("kimi")) {
                return Err(format!("id {id}"));
            }
            if !is_name(&call["function"]["name"]) {
                return Err(format!("name {}", call["function"]["name"]));
            }
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            if !serde_json::from_str::<Value>(arguments).is_ok_and(|value| value.is_object()) {
                return Err(format!("arguments {arguments}"));
            }
            open.push(id);
        }
        previous = role;
    }
    if !open.is_empty() || !matches!(previous, "user" | "tool") {
        return Err(format!("it ends with {previous}"));
    }
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names = HashSet::new();
    for tool in tools {
        let function = &tool["function"];
        let description = function["description"].as_str().unwrap_or_default();
        let is_valid = is_name(&function["name"])
            && names.insert(function["name"].as_str())
            && function["parameters"]["type"] == "object"
            && function["parameters"]["properties"].is_object()
            && (1..=1_024).contains(&description.chars().count());
        if !is_valid || function.to_string().contains("$ref") {
            return Err(format!("tool {function}"));
        }
    }
    if tools.is_empty() && (!ids.is_empty() || body.get("tool_choice").is_some()) {
        return Err("calls without tools".to_owned());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_valid(
        messages in vec(message(), 0..12),
        tools in vec(tool(), 0..4),
        dialect in dialect(),
        chosen in name(),
    ) {
        let request = ModelRequest { messages, tools: tools.into(), tool_choice: Some(chosen.as_str().into()), ..ModelRequest::default() };
        let overrides = DialectOverrides::parse(dialect).unwrap();
        let resolved = Dialect::resolve("h", "m", Some(&overrides));
        let outgoing = OutgoingRequest::new("m", &request, &resolved, &ToolForms::default()).unwrap();
        let body: Value = serde_json::from_slice(&outgoing.body).unwrap();
        if let Err(problem) = check(&body, dialect) {
            prop_assert!(false, "{problem}\n{body:#}");
        }
        // Names stay apart: each name that is sent stands for one name.
        let mut names: HashMap<String, String> = HashMap::new();
        let called = request.messages.iter().flat_map(|message| match message {
            Message::Assistant { tool_calls, .. } => tool_calls.as_slice(),
            _ => &[],
        });
        for name in request.tools.iter().map(|tool| &tool.name).chain(called.map(|call| &call.name)) {
            let sent = outgoing.calls.names.to_wire(name).to_owned();
            prop_assert_eq!(names.entry(sent).or_insert_with(|| name.clone()), name);
        }
        let again = OutgoingRequest::new("m", &request, &resolved, &ToolForms::default()).unwrap();
        prop_assert_eq!(outgoing.body, again.body);
    }

    #[test]
    fn a_longer_conversation_begins_like_the_shorter_one(
        first in vec(message(), 0..8),
        answer in "[a-z]{1,8}",
        next in "[a-z]{1,8}",
    ) {
        let messages = |request: ModelRequest| {
            let body = OutgoingRequest::new("m", &request, &Dialect { reasoning_content: crate::dialect::ReasoningContent::Off, ..Dialect::default() }, &ToolForms::default()).unwrap().body;
            let body: Value = serde_json::from_slice(&body).unwrap();
            body["messages"].as_array().unwrap().clone()
        };
        // As a run leaves it: a message of the user, or results, come last, and the instructions first.
        let mut first: Vec<Message> = first.into_iter().filter(|message| !matches!(message, Message::System(_) | Message::Tool { .. })).collect();
        first.push(Message::User("question".into()));
        let short = messages(ModelRequest { messages: first.clone(), ..ModelRequest::default() });
        first.push(Message::Assistant { text: answer, tool_calls: Vec::new() });
        first.push(Message::User(next.into()));
        let long = messages(ModelRequest { messages: first, ..ModelRequest::default() });
        prop_assert_eq!(&long[..short.len()], &short[..]);
    }
}
