//! The request as OpenAI's chat completions want it.

use crate::config::ModelParameters;
use crate::{AttachedFile, FileContent, Message, ModelRequest, ToolCall, ToolSpec, UserInput};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use serde_json::value::RawValue;

/// The body of `POST /chat/completions`, written once and sent at every attempt.
///
/// # Errors
///
/// When a tool's schema cannot be written as JSON.
pub(super) fn body(model: &str, request: &ModelRequest) -> serde_json::Result<Bytes> {
    serde_json::to_vec(&Completion {
        model: request.model.as_deref().unwrap_or(model),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        messages: Messages(&request.messages),
        tools: Tools(&request.tools),
        tool_choice: request
            .tool_choice
            .as_deref()
            .map(|name| ToolChoice { kind: "function", function: Chosen { name } }),
        parameters: &request.parameters,
    })
    .map(Bytes::from)
}

#[derive(Serialize)]
struct Completion<'a> {
    model: &'a str,
    stream: bool,
    stream_options: StreamOptions,
    messages: Messages<'a>,
    // Several servers refuse an empty list, so none is sent.
    #[serde(skip_serializing_if = "Tools::is_empty")]
    tools: Tools<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'a>>,
    #[serde(flatten)]
    parameters: &'a ModelParameters,
}

#[derive(Serialize)]
struct ToolChoice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Chosen<'a>,
}

#[derive(Serialize)]
struct Chosen<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

struct Messages<'a>(&'a [Message]);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(WireMessage::of))
    }
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum WireMessage<'a> {
    System {
        content: &'a str,
    },
    User {
        content: UserContent<'a>,
    },
    Assistant {
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Calls::is_empty")]
        tool_calls: Calls<'a>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

impl<'a> WireMessage<'a> {
    fn of(message: &'a Message) -> Self {
        match message {
            Message::System(content) => Self::System { content },
            Message::User(said) => Self::User { content: UserContent(said) },
            Message::Assistant { text, tool_calls } => Self::Assistant {
                // `null` beside calls is what OpenAI itself sends; without calls the field has to be a string.
                content: (!text.is_empty() || tool_calls.is_empty()).then_some(text),
                tool_calls: Calls(tool_calls),
            },
            Message::Tool { call_id, content } => Self::Tool { tool_call_id: call_id, content },
        }
    }
}

/// What a user said: a string, which every server takes, unless there are images to see.
struct UserContent<'a>(&'a UserInput);

impl Serialize for UserContent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let UserInput { text, attachments } = self.0;
        if attachments.is_empty() {
            return serializer.serialize_str(text);
        }
        let mut words = text.clone();
        let mut images = Vec::new();
        for AttachedFile { name, mime_type, content, .. } in attachments {
            words.push_str(&match content {
                FileContent::Text(text) => {
                    format!("\n\n[Attached file {name:?}, {mime_type}:]\n{text}\n[End of {name:?}]")
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
            return serializer.serialize_str(&words);
        }
        let mut parts = serializer.serialize_seq(Some(1 + images.len()))?;
        parts.serialize_element(&ContentPart::Text { text: &words })?;
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

struct Calls<'a>(&'a [ToolCall]);

impl Calls<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Calls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for call in self.0 {
            list.serialize_element(&WireCall {
                id: &call.id,
                kind: "function",
                function: CalledFunction { name: &call.name, arguments: &call.arguments },
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
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
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for tool in self.0 {
            list.serialize_element(&WireTool {
                kind: "function",
                function: OfferedFunction {
                    name: &tool.name,
                    description: &tool.description,
                    parameters: &tool.parameters,
                },
            })?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: OfferedFunction<'a>,
}

#[derive(Serialize)]
struct OfferedFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a RawValue,
}
