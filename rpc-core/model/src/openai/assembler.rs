//! Assembles a response from its chunks.

use super::chunk::{ChatCompletionChunk, Choice, Delta};
use super::chunk_frame::{ChunkFrame, only_text};
use super::citations::CitationCollector;
use super::clean_text::{TextJoiner, is_blank_char};
use super::content::{Content, Role};
use super::echo::EchoCollector;
use super::error;
use super::error_body::{ServerError, is_nothing};
use super::finish_reason::{self, ResponseEnd};
use super::json::{fields, is_blank, repair, word};
use super::leading_thought::{LeadingThought, Part};
use super::tool_calls::ToolCallAssembler;
use super::unrecognized::Unrecognized;
use super::usage::ReportedUsage;
use crate::{FinishReason, ModelError, ModelEvent};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use threadline_trace::Span;

/// Maximum number of bytes of text and reasoning in one response. The longest responses that models offer have about
/// 130,000 tokens, half a megabyte. A server that sends much more than that fills memory.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// Longest name of a model in a trace, in characters.
const MAX_MODEL_CHARS: usize = 128;
/// Deepest nesting of chunks in strings that is read.
const MAX_WRAPPERS: u32 = 2;

/// The state of one response between its chunks.
#[derive(Default)]
pub(super) struct ResponseAssembler {
    /// What was assembled and not passed on yet.
    events: VecDeque<ModelEvent>,
    frame: ChunkFrame,
    content: TextJoiner,
    refusal: TextJoiner,
    reasoning: TextJoiner,
    leading_thought: LeadingThought,
    parts: Vec<Part>,
    /// All text so far: a complete message at the end repeats it.
    text: String,
    thought_bytes: usize,
    tool_calls: ToolCallAssembler,
    echo: EchoCollector,
    citations: CitationCollector,
    usage: ReportedUsage,
    end: Option<ResponseEnd>,
    /// Whether tokens came after a `finish_reason`: this server does not mean it.
    is_end_refuted: bool,
    is_refusal: bool,
    /// Whether the last choice was a complete message, which needs no `finish_reason`.
    is_message: bool,
    /// Whether any chunk had a choice. Without one, the body is not a response.
    has_choice: bool,
    /// The span of the request.
    pub(super) span: Span,
    has_model: bool,
}

/// What one event contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Tokens, visible or not.
    Token,
    NoToken,
    /// `[DONE]`, the end of the stream.
    Done,
}

impl ResponseAssembler {
    /// Processes the `data` of one event.
    ///
    /// # Errors
    ///
    /// If the event is an error or a damaged chunk, or if the response exceeds a limit.
    pub(super) fn push(&mut self, data: &str) -> Result<Progress, ModelError> {
        self.push_data(data, 0)
    }

    fn push_data(&mut self, data: &str, wrappers: u32) -> Result<Progress, ModelError> {
        let mut data = data.trim();
        // Some proxies prefix what is prefixed already.
        while let Some(rest) = data.strip_prefix("data:") {
            data = rest.trim_start();
        }
        if let Some(text) = self.frame.text_of(data) {
            return self.push_repeated(text);
        }
        match data.as_bytes().first() {
            None => return Ok(Progress::NoToken),
            Some(b'{') => {}
            _ if data.eq_ignore_ascii_case("[DONE]") || data.eq_ignore_ascii_case("DONE") => return Ok(Progress::Done),
            Some(b'[') => {}
            Some(b'"') if wrappers < MAX_WRAPPERS => {
                if let Ok(inner) = serde_json::from_str::<String>(data) {
                    return self.push_data(&inner, wrappers + 1);
                }
            }
            _ => {
                // Not a chunk, so no text is lost: a ping, for example.
                Unrecognized::Event.report();
                return Ok(Progress::NoToken);
            }
        }
        match serde_json::from_str::<ChatCompletionChunk<'_>>(data) {
            Ok(chunk) => {
                if let Some(text) = only_text(&chunk) {
                    self.frame.learn(data, text);
                }
                self.push_chunk(chunk, data)
            }
            Err(error) => self.push_damaged(data, &error),
        }
    }

    /// Processes a chunk that has nothing but this text.
    fn push_repeated(&mut self, text: &str) -> Result<Progress, ModelError> {
        self.has_choice = true;
        self.is_message = false;
        self.is_end_refuted |= self.end.is_some();
        self.push_content(Content { text: Cow::Borrowed(text.as_bytes()), ..Content::default() })?;
        Ok(Progress::Token)
    }

    /// Processes data that is not one JSON value: several of them, or one with what only lenient parsers accept.
    fn push_damaged(&mut self, data: &str, error: &serde_json::Error) -> Result<Progress, ModelError> {
        let repaired = repair(data);
        let data = repaired.as_deref().unwrap_or(data);
        let values: Result<Vec<&RawValue>, _> = serde_json::Deserializer::from_str(data).into_iter().collect();
        let values = values.unwrap_or_default();
        if values.is_empty() {
            // It can contain text, so the response is lost. serde's message can quote that text.
            let message = format!("an event is not a valid chunk (column {})", error.column());
            return Err(ModelError::invalid_response(message));
        }
        let mut progress = Progress::NoToken;
        for value in values {
            let chunk = serde_json::from_str(value.get()).unwrap_or_default();
            if self.push_chunk(chunk, value.get())? == Progress::Token {
                progress = Progress::Token;
            }
        }
        Ok(progress)
    }

    fn push_chunk(&mut self, chunk: ChatCompletionChunk<'_>, json: &str) -> Result<Progress, ModelError> {
        if let Some(raw) = chunk.error {
            let error: Value = serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().to_owned()));
            if !is_nothing(&error) {
                return Err(error::from_server_error(
                    json_error(json).unwrap_or_else(|| ServerError::from_value(&error)),
                ));
            }
        }
        if let Some(model) = chunk.model.filter(|_| !self.has_model && self.span.is_recording()) {
            self.has_model = true;
            let name: String = serde_json::from_str(model.get()).unwrap_or_default();
            self.span.set("gen_ai.response.model", name.chars().take(MAX_MODEL_CHARS).collect::<String>());
        }
        let nested_usage = chunk.x_groq.and_then(|raw| fields(raw, ["usage"])).and_then(|[usage]| usage);
        for usage in [nested_usage, chunk.usage_metadata, chunk.usage].into_iter().flatten() {
            self.usage.read(usage);
        }
        if let Some(raw) = chunk.citations {
            self.citations.push_urls(raw);
        }
        let message = chunk.message.filter(|raw| raw.get().starts_with('{'));
        match chunk.choices.first {
            Some(choice) => self.push_choice(choice),
            None if message.is_some() => self.push_ollama(message, chunk.done, chunk.done_reason, json),
            None if chunk.choices.has_other => {
                self.has_choice = true;
                Ok(Progress::NoToken)
            }
            None => match json_error(json) {
                Some(error) => Err(error::from_server_error(error)),
                None => Ok(Progress::NoToken),
            },
        }
    }

    fn push_choice(&mut self, choice: Choice<'_>) -> Result<Progress, ModelError> {
        self.has_choice = true;
        if let Some(usage) = choice.usage {
            self.usage.read(usage);
        }
        let delta_says_nothing = choice.delta.as_ref().is_none_or(Delta::says_nothing) && !self.has_begun();
        self.is_message = choice.message.is_some() && (choice.delta.is_none() || delta_says_nothing);
        let had_ended = self.end.is_some();
        // The delta comes before `finish_reason`: an error in it must not look like an error after the end.
        let mut is_token = match (choice.delta, choice.message) {
            // Some servers send an empty delta beside the whole message.
            (Some(_), Some(message)) if delta_says_nothing => self.push_message(message)?,
            (Some(delta), _) => self.push_delta(delta)?,
            (None, Some(message)) => self.push_message(message)?,
            (None, None) => false,
        };
        if let Some(text) = choice.text.filter(|_| !is_token) {
            let mut content = Content::default();
            content.read(text, Role::Text);
            is_token |= self.push_content(content)?;
        }
        self.is_end_refuted |= had_ended && is_token;
        if let Some(raw) = choice.error
            && let Ok(error) = serde_json::from_str::<Value>(raw.get())
            && !is_nothing(&error)
        {
            return Err(error::from_server_error(ServerError::from_value(&error)));
        }
        if let Some(word) = choice.finish_reason.and_then(word) {
            self.end_with(&word)?;
        }
        Ok(if is_token { Progress::Token } else { Progress::NoToken })
    }

    /// Returns whether anything of the message has come.
    fn has_begun(&self) -> bool {
        !self.text.is_empty() || self.thought_bytes > 0 || !self.tool_calls.is_empty()
    }

    /// Processes a line of Ollama's own protocol, which some proxies pass on.
    fn push_ollama(
        &mut self,
        message: Option<&RawValue>,
        done: Option<&RawValue>,
        reason: Option<&RawValue>,
        json: &str,
    ) -> Result<Progress, ModelError> {
        self.has_choice = true;
        let delta = message.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let is_token = self.push_delta(delta)?;
        if done.is_some_and(|done| done.get() == "true") {
            if let Ok(line) = serde_json::from_str::<&RawValue>(json) {
                self.usage.read(line);
            }
            self.end_with(&reason.and_then(word).unwrap_or_else(|| "stop".to_owned()))?;
        }
        Ok(if is_token { Progress::Token } else { Progress::NoToken })
    }

    fn end_with(&mut self, word: &str) -> Result<(), ModelError> {
        match finish_reason::parse(word) {
            Some(ResponseEnd::Failed) => Err(error::failed_in_the_middle(word)),
            Some(end) => {
                self.end = Some(end);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns the next event.
    pub(super) fn next_event(&mut self) -> Option<ModelEvent> {
        self.events.pop_front().or_else(|| self.citations.next().map(ModelEvent::Citation))
    }

    /// Returns whether the server has said why the response ended. Only usage and `[DONE]` can follow.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some() && !self.is_end_refuted
    }

    /// Returns whether the response is complete if its body ends here.
    pub(super) fn can_end(&self) -> bool {
        self.end.is_some() || self.is_message
    }

    /// Returns what follows the text: tool calls, usage, and [`ModelEvent::Finished`] or an error, if there is neither
    /// text nor a tool call or if no chunk had a choice.
    pub(super) fn finish(mut self) -> Vec<Result<ModelEvent, ModelError>> {
        if !self.has_choice {
            return vec![Err(ModelError::invalid_response("the body contains no response"))];
        }
        let rest: String = self.content.finish().into_iter().chain(self.refusal.finish()).collect();
        if !rest.is_empty() {
            self.leading_thought.push(&rest, &mut self.parts);
        }
        self.leading_thought.finish(&mut self.parts);
        self.pass_on_parts();
        let end = self.end.unwrap_or(ResponseEnd::Complete);
        let (mut calls, extra) = self.tool_calls.finish(end != ResponseEnd::Complete);
        self.echo.attach(&mut calls, extra);
        let reason = match end {
            ResponseEnd::Length => FinishReason::Length,
            ResponseEnd::ContentFilter => FinishReason::ContentFilter,
            ResponseEnd::Refusal => FinishReason::Refusal,
            _ if self.is_refusal => FinishReason::Refusal,
            // Some servers say `stop` beside tool calls, others say `tool_calls` without any.
            ResponseEnd::Complete | ResponseEnd::Failed if calls.is_empty() => FinishReason::Stop,
            ResponseEnd::Complete | ResponseEnd::Failed => FinishReason::ToolCalls,
        };
        let has_answer = !self.text.is_empty() || !calls.is_empty();
        let mut events: Vec<_> = self.events.into_iter().map(Ok).collect();
        events.extend(calls.into_iter().map(|call| Ok(ModelEvent::ToolCall(call))));
        events.extend(self.usage.get().map(|usage| Ok(ModelEvent::Usage(usage))));
        events.push(if has_answer { Ok(ModelEvent::Finished(reason)) } else { Err(ModelError::NoAnswer { reason }) });
        events
    }

    /// Processes a message in place of a delta. Some servers stream messages, which are pieces, or grow; others send
    /// the whole message after its pieces.
    fn push_message(&mut self, mut message: Delta<'_>) -> Result<bool, ModelError> {
        let is_first = self.text.is_empty() && self.thought_bytes == 0;
        if is_first {
            return self.push_delta(message);
        }
        let mut content = Content::default();
        if let Some(raw) = message.content.take() {
            content.read(raw, Role::Text);
        }
        let is_repeated = !self.text.is_empty() && content.text.starts_with(self.text.as_bytes());
        if is_repeated {
            let rest = content.text.get(self.text.len()..).unwrap_or_default().to_vec();
            let content = Content { text: Cow::Owned(rest), ..Content::default() };
            let is_token = self.push_content(content)?;
            if let Some(raw) = message.tool_calls {
                self.tool_calls.push_again(raw)?;
            }
            if let Some(raw) = message.annotations {
                self.citations.push_annotations(raw);
            }
            return Ok(is_token);
        }
        let is_token = self.push_content(content)?;
        Ok(self.push_delta(message)? || is_token)
    }

    /// Returns whether the delta contains a token.
    fn push_delta(&mut self, delta: Delta<'_>) -> Result<bool, ModelError> {
        let mut is_token = false;
        let mut content = Content::default();
        for raw in delta.reasoning_fields() {
            // Reasoning without text counts as a token too: the model is at work, and the server charges for it.
            is_token |= !is_blank(raw);
            if content.thought.is_empty() {
                content.read(raw, Role::Thought);
            }
        }
        if let Some(raw) = delta.reasoning_content {
            self.echo.push_reasoning(raw);
        }
        if let Some(raw) = delta.reasoning_details {
            self.echo.push_details(raw);
        }
        if let Some(raw) = delta.thinking_blocks {
            self.echo.push_blocks(raw);
        }
        if let Some(raw) = delta.reasoning_opaque {
            self.echo.push_opaque(raw);
        }
        if let Some(raw) = delta.content {
            content.read(raw, Role::Text);
        }
        if let Some(raw) = delta.refusal {
            content.read(raw, Role::Refusal);
        }
        is_token |= self.push_content(content)?;
        if let Some(raw) = delta.tool_calls {
            is_token |= self.tool_calls.push(raw)?;
        }
        if let Some(raw) = delta.function_call {
            is_token |= self.tool_calls.push_function_call(raw)?;
        }
        if let Some(raw) = delta.annotations {
            self.citations.push_annotations(raw);
        }
        Ok(is_token)
    }

    fn push_content(&mut self, content: Content<'_>) -> Result<bool, ModelError> {
        let Content { text, thought, refusal } = content;
        let is_token = !text.is_empty() || !thought.is_empty() || !refusal.is_empty();
        if !thought.is_empty() {
            let thought = self.reasoning.push(thought);
            push_thought(&mut self.events, &mut self.thought_bytes, &thought);
        }
        if !text.is_empty() {
            let text = self.content.push(text);
            self.leading_thought.push(&text, &mut self.parts);
        }
        if !refusal.is_empty() {
            self.is_refusal = true;
            let refusal = self.refusal.push(refusal);
            self.leading_thought.push(&refusal, &mut self.parts);
        }
        self.pass_on_parts();
        if self.text.len() + self.thought_bytes > MAX_TEXT_BYTES {
            return Err(ModelError::invalid_response(format!("more than {MAX_TEXT_BYTES} bytes of text")));
        }
        Ok(is_token)
    }

    fn pass_on_parts(&mut self) {
        for part in self.parts.drain(..) {
            match part {
                Part::Text(text) => {
                    self.text.push_str(&text);
                    self.events.push_back(ModelEvent::Text(text));
                }
                Part::Thought(thought) => push_thought(&mut self.events, &mut self.thought_bytes, &thought),
                Part::TextWasThought => {
                    self.thought_bytes += self.text.len();
                    self.text.clear();
                    self.events.push_back(ModelEvent::TextWasThought);
                }
            }
        }
    }
}

/// Passes a thought on. Blanks before the first one are not part of it.
fn push_thought(events: &mut VecDeque<ModelEvent>, bytes: &mut usize, thought: &str) {
    let thought = if *bytes == 0 { thought.trim_start_matches(is_blank_char) } else { thought };
    if !thought.is_empty() {
        *bytes += thought.len();
        events.push_back(ModelEvent::Thought(thought.to_owned()));
    }
}

/// Returns the error that a chunk without a choice describes.
fn json_error(json: &str) -> Option<ServerError> {
    match serde_json::from_str(json).ok()? {
        Value::Object(chunk) => ServerError::from_chunk(&chunk),
        Value::Array(list) => ServerError::from_chunk(list.first()?.as_object()?),
        _ => None,
    }
}
