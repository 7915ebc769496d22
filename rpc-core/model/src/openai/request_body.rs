//! Builds the JSON body of `POST /chat/completions`.

use crate::config::ModelParameters;
use crate::{AttachedFile, FileContent, Message, ModelRequest, ToolCall, ToolSpec, UserInput};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use serde_json::value::RawValue;

/// Serializes a request. The bytes are the same for all attempts.
///
/// # Errors
///
/// If a tool's JSON Schema cannot be serialized.
pub(super) fn serialize(default_model: &str, request: &ModelRequest) -> serde_json::Result<Bytes> {
    let tool_choice = request.tool_choice.as_deref();
    serde_json::to_vec(&ChatCompletionRequest {
        model: request.model.as_deref().unwrap_or(default_model),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        messages: Messages(&request.messages),
        tools: Tools(&request.tools),
        tool_choice: tool_choice.map(|name| ToolChoice { kind: "function", function: FunctionName { name } }),
        parameters: &request.parameters,
    })
    .map(Bytes::from)
}

#[derive(Serialize)]
struct ChatCompletionRequest<'a> {
    model: &'a str,
    stream: bool,
    stream_options: StreamOptions,
    messages: Messages<'a>,
    // Several servers reject an empty list.
    #[serde(skip_serializing_if = "Tools::is_empty")]
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(flatten)]
    parameters: &'a ModelParameters,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ToolChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionName<'a>,
}

#[derive(Serialize)]
struct FunctionName<'a> {
    name: &'a str,
}

struct Messages<'a>(&'a [Message]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(MessageParam::new))
    }
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum MessageParam<'a> {
    System {
        content: &'a str,
    },
    User {
        content: UserContent<'a>,
    },
    Assistant {
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "ToolCalls::is_empty")]
        tool_calls: ToolCalls<'a>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

impl<'a> MessageParam<'a> {
    fn new(message: &'a Message) -> Self {
        match message {
            Message::System(content) => Self::System { content },
            Message::User(input) => Self::User { content: UserContent(input) },
            Message::Assistant { text, tool_calls } => Self::Assistant {
                // OpenAI itself sends `null` beside tool calls. Without tool calls, the field must be a string.
                content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
                tool_calls: ToolCalls(tool_calls),
            },
            Message::Tool { call_id, content } => Self::Tool { tool_call_id: call_id, content },
        }
    }
}

/// The content of a user message: a string, which every server accepts, or a list of parts if there are images.
struct UserContent<'a>(&'a UserInput);

impl Serialize for UserContent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let UserInput { text, attachments } = self.0;
        if attachments.is_empty() {
            return serializer.serialize_str(text);
        }
        let mut text = text.clone();
        let mut images = Vec::new();
        for AttachedFile { name, mime_type, content, .. } in attachments {
            text.push_str(&match content {
                FileContent::Text(content) => {
                    format!("\n\n[Attached file {name:?}, {mime_type}:]\n{content}\n[End of {name:?}]")
                }
                FileContent::Image(_) => format!("\n\n[Attached image {name:?}, {mime_type}]"),
                FileContent::Omitted => {
                    format!("\n\n[Attached file {name:?}, {mime_type}, whose content is not shown]")
                }
            });
            if let FileContent::Image(url) = content {
                images.push(url);
            }
        }
        if images.is_empty() {
            return serializer.serialize_str(&text);
        }
        let mut parts = serializer.serialize_seq(Some(1 + images.len()))?;
        parts.serialize_element(&ContentPart::Text { text: &text })?;
        for url in images {
            parts.serialize_element(&ContentPart::ImageUrl { image_url: ImageUrl { url } })?;
        }
        parts.end()
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ContentPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

struct ToolCalls<'a>(&'a [ToolCall]);

impl ToolCalls<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for ToolCalls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|call| ToolCallParam {
            id: &call.id,
            kind: "function",
            function: FunctionCallParam { name: &call.name, arguments: &call.arguments },
        }))
    }
}

#[derive(Serialize)]
struct ToolCallParam<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionCallParam<'a>,
}

#[derive(Serialize)]
struct FunctionCallParam<'a> {
    name: &'a str,
    arguments: &'a str,
}

struct Tools<'a>(&'a [ToolSpec]);

impl Tools<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|tool| ToolParam {
            kind: "function",
            function: FunctionParam { name: &tool.name, description: &tool.description, parameters: &tool.parameters },
        }))
    }
}

#[derive(Serialize)]
struct ToolParam<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionParam<'a>,
}

#[derive(Serialize)]
struct FunctionParam<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
}
