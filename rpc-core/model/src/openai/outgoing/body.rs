//! Wire types of the body of `POST /chat/completions`.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct ChatCompletionRequest<'a> {
    pub(super) model: &'a str,
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) messages: Vec<MessageParam<'a>>,
    // Several servers reject an empty list.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) tools: &'a [ToolParam],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<ToolChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(flatten)]
    pub(super) parameters: Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolChoice {
    Required(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: FunctionName,
    },
}

#[derive(Serialize)]
pub(super) struct FunctionName {
    pub(super) name: String,
}

#[derive(Serialize)]
pub(super) struct MessageParam<'a> {
    pub(super) role: &'static str,
    #[serde(skip_serializing_if = "Content::is_absent")]
    pub(super) content: Content<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<ToolCallParam<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_call_id: Option<Arc<str>>,
    /// Fields of the server itself.
    #[serde(flatten)]
    pub(super) echo: Map<String, Value>,
}

impl<'a> MessageParam<'a> {
    pub(super) fn new(role: &'static str, content: Content<'a>) -> Self {
        Self { role, content, tool_calls: Vec::new(), tool_call_id: None, echo: Map::new() }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Absent,
    Null(()),
    Text(&'a str),
    Owned(String),
    Parts(Vec<ContentPart<'a>>),
}

impl Content<'_> {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ContentPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
pub(super) struct ImageUrl<'a> {
    pub(super) url: &'a str,
}

#[derive(Serialize)]
pub(super) struct ToolCallParam<'a> {
    pub(super) id: Arc<str>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: FunctionCallParam<'a>,
    /// Fields of the server itself.
    #[serde(flatten)]
    pub(super) echo: Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct FunctionCallParam<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    /// Fields of the server itself.
    #[serde(flatten)]
    pub(super) echo: Map<String, Value>,
}

/// A tool.
#[derive(Serialize)]
pub(super) struct ToolParam {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: FunctionParam,
}

#[derive(Serialize)]
pub(super) struct FunctionParam {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameters: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) strict: bool,
}
