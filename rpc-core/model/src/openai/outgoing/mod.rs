//! Builds the body of a request so that the strictest server accepts it.
//!
//! | file | purpose |
//! | --- | --- |
//! | `messages.rs` | the conversation: calls with results, alternating roles, nothing blank |
//! | `arguments.rs`, `names/` | arguments of calls and names of tools that are valid everywhere |
//! | `tools.rs`, `schema/` | the tools, with schemas in the dialect of the model |
//! | `tool_forms.rs` | remembers them |
//! | `body.rs` | wire types |

mod arguments;
mod body;
mod messages;
mod names;
#[cfg(test)]
mod properties;
mod schema;
mod tool_forms;
mod tools;

use crate::config::ModelParameters;
use crate::dialect::{
    CallIds, Dialect, EmptyContent, ExtraContent, MaxTokensField, ParallelCalls, ReasoningContent, SystemRole,
    ToolChoiceForm,
};
use crate::{Echo, Message, ModelEvent, ModelRequest};
use body::{
    ChatCompletionRequest, Content, ContentPart, FunctionCallParam, FunctionName, ImageUrl, MessageParam,
    StreamOptions, ToolCallParam, ToolChoice,
};
use bytes::Bytes;
use messages::{Block, Call, Conversation};
use names::ToolNames;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
pub(crate) use tool_forms::ToolForms;
use tools::WireTools;

/// A request in the form in which it is sent.
pub(super) struct OutgoingRequest {
    /// The same bytes for all attempts.
    pub(super) body: Bytes,
    pub(super) calls: Arc<CallReader>,
    pub(super) facts: RequestFacts,
}

/// Understands the tool calls of the response. It stays until the response ends, the request does not.
pub(super) struct CallReader {
    /// The names of the tools in the request.
    names: ToolNames,
    pub(super) tools: Arc<WireTools>,
}

/// What a request contains that a server can refuse.
#[derive(Debug, Default)]
pub(super) struct RequestFacts {
    pub(super) system: bool,
    pub(super) stream: bool,
    pub(super) stream_options: bool,
    pub(super) tools: bool,
    pub(super) tool_choice: bool,
    pub(super) parallel_tool_calls: bool,
    pub(super) images: bool,
    /// Maximum number of calls of one message.
    pub(super) calls_per_message: usize,
    /// Whether a message with calls has no text.
    pub(super) empty_content: bool,
    /// Names of fields of the server itself in calls, and in messages.
    pub(super) call_fields: BTreeSet<String>,
    pub(super) message_fields: BTreeSet<String>,
    /// Names of the parameters.
    pub(super) parameters: Vec<String>,
}

impl OutgoingRequest {
    /// Builds a request. It is the same for the same prompt, so that servers find the beginning of a conversation in
    /// their caches.
    ///
    /// # Errors
    ///
    /// If a tool's JSON Schema cannot be serialized.
    pub(super) fn new(
        model: &str,
        request: &ModelRequest,
        dialect: &Dialect,
        forms: &ToolForms,
    ) -> serde_json::Result<Self> {
        let names = tool_names(request, dialect);
        let tools = forms.get(&request.tools, dialect, &names);
        let mut conversation = Conversation::new(&request.messages, dialect, &names, !tools.is_empty());
        if tools.has_other_keys() {
            conversation.for_each_call(|call| {
                let arguments = std::mem::take(&mut call.arguments);
                call.arguments = tools.wire_keys(&names.original(call.name.clone()), arguments);
            });
        }
        let parameters = parameters(&request.parameters, dialect);
        let chosen = request.tool_choice.as_deref().filter(|name| tools.contains(name));
        let mut facts = RequestFacts {
            system: request
                .messages
                .iter()
                .any(|message| matches!(message, Message::System(text) if !text.trim().is_empty())),
            stream: dialect.stream,
            // Servers refuse it in a request that does not stream.
            stream_options: dialect.stream && dialect.stream_options,
            tools: !tools.is_empty(),
            tool_choice: chosen.is_some() && dialect.tool_choice != ToolChoiceForm::Omit,
            parallel_tool_calls: !tools.is_empty() && dialect.parallel_tool_calls != ParallelCalls::Omit,
            parameters: parameters.keys().cloned().collect(),
            ..RequestFacts::default()
        };
        let messages = Renderer { model, dialect, facts: &mut facts, calls: 0 }.render(&conversation);
        let body = serde_json::to_vec(&ChatCompletionRequest {
            model,
            stream: dialect.stream,
            stream_options: facts.stream_options.then_some(StreamOptions { include_usage: true }),
            messages,
            tools: tools.params(),
            tool_choice: chosen.and_then(|name| tool_choice(names.to_wire(name), dialect.tool_choice)),
            parallel_tool_calls: match dialect.parallel_tool_calls {
                ParallelCalls::Allowed if !tools.is_empty() => Some(true),
                ParallelCalls::Forbidden if !tools.is_empty() => Some(false),
                _ => None,
            },
            parameters,
        })?;
        Ok(Self { body: body.into(), calls: Arc::new(CallReader { names, tools }), facts })
    }
}

impl CallReader {
    /// Gives a tool call of the response the name and the arguments that the tool knows.
    pub(super) fn understand(&self, model: &str, mut event: ModelEvent) -> ModelEvent {
        if let ModelEvent::ToolCall(call) = &mut event {
            call.name = self.names.original(std::mem::take(&mut call.name));
            let arguments = self.tools.without_nulls(&call.name, std::mem::take(&mut call.arguments));
            call.arguments = self.tools.original_keys(&call.name, arguments);
            if let Some(echo) = &mut call.echo {
                model.clone_into(&mut echo.model);
            }
        }
        event
    }
}

fn tool_names(request: &ModelRequest, dialect: &Dialect) -> ToolNames {
    let called = request.messages.iter().flat_map(|message| match message {
        Message::Assistant { tool_calls, .. } => tool_calls.as_slice(),
        _ => &[],
    });
    let names = request.tools.iter().map(|tool| tool.name.as_str()).chain(called.map(|call| call.name.as_str()));
    ToolNames::new(names, dialect.schema == crate::dialect::SchemaDialect::Gemini)
}

fn tool_choice(name: &str, form: ToolChoiceForm) -> Option<ToolChoice> {
    match form {
        ToolChoiceForm::Named => {
            Some(ToolChoice::Named { kind: "function", function: FunctionName { name: name.to_owned() } })
        }
        ToolChoiceForm::Required => Some(ToolChoice::Required("required")),
        ToolChoiceForm::Omit => None,
    }
}

/// Returns the parameters under the names that the server knows.
fn parameters(parameters: &ModelParameters, dialect: &Dialect) -> Map<String, Value> {
    let Ok(Value::Object(mut all)) = serde_json::to_value(parameters) else { return Map::new() };
    let name = match dialect.max_tokens {
        MaxTokensField::AsGiven => None,
        MaxTokensField::MaxTokens => Some("max_tokens"),
        MaxTokensField::MaxCompletionTokens => Some("max_completion_tokens"),
        MaxTokensField::Omit => Some(""),
    };
    if let Some(name) = name {
        let (plain, completion) = (all.remove("max_tokens"), all.remove("max_completion_tokens"));
        let limit = if name == "max_tokens" { plain.or(completion) } else { completion.or(plain) };
        if let Some(limit) = limit.filter(|_| !name.is_empty()) {
            all.insert(name.to_owned(), limit);
        }
    }
    all.retain(|name, _| !dialect.omit.contains(name));
    all
}

/// Renders a conversation.
struct Renderer<'a> {
    model: &'a str,
    dialect: &'a Dialect,
    facts: &'a mut RequestFacts,
    /// Number of calls so far.
    calls: u32,
}

impl Renderer<'_> {
    fn render<'a>(&mut self, conversation: &'a Conversation) -> Vec<MessageParam<'a>> {
        let mut messages = Vec::with_capacity(conversation.blocks.len() + 1);
        if !conversation.system.is_empty() {
            let role = if self.dialect.system == SystemRole::Developer { "developer" } else { "system" };
            messages.push(MessageParam::new(role, Content::Text(&conversation.system)));
        }
        let turn_start = conversation.turn_start();
        for (index, block) in conversation.blocks.iter().enumerate() {
            match block {
                Block::User { text, images, .. } => {
                    self.facts.images |= !images.is_empty();
                    messages.push(MessageParam::new("user", user_content(text, images)));
                }
                Block::Assistant { text, calls } if calls.is_empty() => {
                    messages.push(MessageParam::new("assistant", Content::Text(text)));
                }
                Block::Assistant { text, calls } => self.push_calls(&mut messages, text, calls, index > turn_start),
            }
        }
        messages
    }

    fn push_calls<'a>(
        &mut self,
        messages: &mut Vec<MessageParam<'a>>,
        text: &'a str,
        calls: &'a [Call],
        is_current_turn: bool,
    ) {
        self.facts.calls_per_message = self.facts.calls_per_message.max(calls.len());
        self.facts.empty_content |= text.is_empty();
        let content = if text.is_empty() { self.empty_content(calls) } else { Content::Text(text) };
        let mut message = MessageParam::new("assistant", content);
        if is_current_turn {
            message.echo = self.message_echo(calls);
        }
        let mut results = Vec::with_capacity(calls.len());
        for call in calls {
            let id = self.next_id(&call.name);
            let mut result = MessageParam::new("tool", Content::Text(&call.result));
            result.tool_call_id = Some(id.clone());
            results.push(result);
            let mut echo = self.call_echo(call);
            self.facts.call_fields.extend(echo.keys().filter(|name| *name != "function").cloned());
            let mut of_function = match echo.remove("function") {
                Some(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            of_function.retain(|name, _| !matches!(name.as_str(), "name" | "arguments"));
            self.facts.call_fields.extend(of_function.keys().cloned());
            let function = FunctionCallParam { name: &call.name, arguments: &call.arguments, echo: of_function };
            message.tool_calls.push(ToolCallParam { id, kind: "function", function, echo });
        }
        self.facts.message_fields.extend(message.echo.keys().cloned());
        messages.push(message);
        messages.append(&mut results);
    }

    fn empty_content<'a>(&self, calls: &[Call]) -> Content<'a> {
        match self.dialect.empty_content {
            EmptyContent::Null => Content::Null(()),
            EmptyContent::Empty => Content::Text(""),
            EmptyContent::Absent => Content::Absent,
            EmptyContent::Filler => {
                let names = calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>().join(", ");
                Content::Owned(format!("[Calls {names}.]"))
            }
        }
    }

    /// Returns an id that no other call of the prompt has. It counts the calls, so that the ids of the same beginning
    /// of a conversation are the same.
    fn next_id(&mut self, name: &str) -> Arc<str> {
        let number = self.calls;
        self.calls += 1;
        match self.dialect.call_ids {
            CallIds::Short => format!("c{number:08}").into(),
            CallIds::Kimi => format!("functions.{name}:{number}").into(),
        }
    }

    fn message_echo(&self, calls: &[Call]) -> Map<String, Value> {
        if self.dialect.reasoning_content == ReasoningContent::Off {
            return Map::new();
        }
        let mut fields = calls.iter().find_map(|call| self.echo_of(call)).map(|echo| echo.message.clone());
        if let Some(fields) = &mut fields {
            fields.retain(|name, _| !matches!(name.as_str(), "role" | "content" | "tool_calls" | "tool_call_id"));
        }
        let mut fields = fields.unwrap_or_default();
        if self.dialect.reasoning_content == ReasoningContent::Always {
            fields.entry("reasoning_content").or_insert_with(|| Value::String(String::new()));
        }
        fields
    }

    fn call_echo(&self, call: &Call) -> Map<String, Value> {
        if self.dialect.extra_content == ExtraContent::Off {
            return Map::new();
        }
        let mut fields = self.echo_of(call).map(|echo| echo.call.clone()).unwrap_or_default();
        fields.retain(|name, _| !matches!(name.as_str(), "id" | "type" | "index"));
        if self.dialect.extra_content == ExtraContent::Dummy {
            // Documented for calls that another model has made.
            let dummy = json!({"google": {"thought_signature": "skip_thought_signature_validator"}});
            fields.entry("extra_content").or_insert(dummy);
        }
        fields
    }

    /// Returns what the server wants back with a call, if this model has made it.
    fn echo_of<'a>(&self, call: &'a Call) -> Option<&'a Echo> {
        call.echo.as_deref().filter(|echo| echo.model == self.model)
    }
}

/// Returns a string, which every server accepts, or a list of parts if there are images.
fn user_content<'a>(text: &'a str, images: &'a [Arc<str>]) -> Content<'a> {
    if images.is_empty() {
        return Content::Text(text);
    }
    let images = images.iter().map(|url| ContentPart::ImageUrl { image_url: ImageUrl { url } });
    Content::Parts(std::iter::once(ContentPart::Text { text }).chain(images).collect())
}
