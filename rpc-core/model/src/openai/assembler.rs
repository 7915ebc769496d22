//! Assembles a response from its chunks.

use super::chunk::{ChatCompletionChunk, Delta, TokenUsage};
use super::citations::CitationCollector;
use super::error;
use super::tool_calls::ToolCallAssembler;
use crate::{Citation, FinishReason, ModelError, ModelEvent};
use threadline_schema::runs::Usage;

/// Most bytes of text and reasoning in one response. The longest responses that models offer have about 130,000 tokens,
/// half a megabyte. A server that sends much more than that fills memory.
const MAX_TEXT_BYTES: usize = 4 << 20;

/// The state of one response between its chunks.
#[derive(Default)]
pub(super) struct ResponseAssembler {
    tool_calls: ToolCallAssembler,
    citations: CitationCollector,
    usage: Option<Usage>,
    /// Set by `finish_reason`, or by a response that is not streamed.
    end: Option<ResponseEnd>,
    text_bytes: usize,
    /// Whether any chunk had a choice. Without one, the body is no response.
    has_choice: bool,
}

/// What one chunk contributes.
pub(super) enum ChunkOutcome {
    /// Text to pass on.
    Text(String),
    /// Reasoning to pass on.
    Thought(String),
    /// A token without visible output: a part of a tool call, or reasoning without text.
    HiddenToken,
    /// No token.
    NoToken,
    /// `[DONE]`, the end of the stream.
    Done,
}

/// `finish_reason`, before it is known whether there are tool calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ResponseEnd {
    Complete,
    Length,
    ContentFilter,
}

impl ResponseAssembler {
    /// Processes the `data` of one event.
    ///
    /// # Errors
    ///
    /// If the event is an error or no valid chunk, or if the response exceeds a limit.
    pub(super) fn push(&mut self, data: &str) -> Result<ChunkOutcome, ModelError> {
        let data = data.trim();
        if data.is_empty() {
            return Ok(ChunkOutcome::NoToken);
        }
        if data == "[DONE]" {
            return Ok(ChunkOutcome::Done);
        }
        let chunk: ChatCompletionChunk<'_> = serde_json::from_str(data).map_err(|error| {
            // An invalid chunk can contain text, so the response is lost. serde's message can quote that text.
            ModelError::invalid_response(format!("an event is not a valid chunk (column {})", error.column()))
        })?;
        if let Some(error) = chunk.error.and_then(|raw| error::from_stream_event(raw.get())) {
            return Err(error);
        }
        if let Some(usage) = chunk.usage.and_then(|raw| parse_usage(raw.get())) {
            self.usage = Some(usage);
        }
        if let Some(raw) = chunk.citations {
            self.citations.push_urls(raw);
        }
        let Some(choice) = chunk.choices.0 else { return Ok(ChunkOutcome::NoToken) };
        self.has_choice = true;
        // A `message` in place of a `delta` is the complete response.
        let (delta, is_complete) = match (choice.delta, choice.message) {
            (Some(delta), _) => (delta, false),
            (None, Some(message)) => (message, true),
            (None, None) => (Delta::default(), false),
        };
        // The delta comes before `finish_reason`: an error in it must not look like an error after the end.
        let outcome = self.push_delta(delta)?;
        if let Some(reason) = &choice.finish_reason {
            self.end = Some(parse_finish_reason(&reason.0)?);
        } else if is_complete {
            self.end = Some(ResponseEnd::Complete);
        }
        Ok(outcome)
    }

    /// Returns the next citation that was not returned yet.
    pub(super) fn next_citation(&mut self) -> Option<Citation> {
        self.citations.next()
    }

    /// Returns whether the server has said why the response ended. Only usage and `[DONE]` can follow.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Returns the events that follow the text: tool calls, usage, and [`ModelEvent::Finished`].
    ///
    /// # Errors
    ///
    /// If no chunk had a choice, or if a tool call has no name.
    pub(super) fn finish(self) -> Result<Vec<ModelEvent>, ModelError> {
        if !self.has_choice {
            return Err(ModelError::invalid_response("the body contains no response"));
        }
        let end = self.end.unwrap_or(ResponseEnd::Complete);
        let calls = self.tool_calls.finish(end != ResponseEnd::Complete)?;
        let reason = match end {
            ResponseEnd::Length => FinishReason::Length,
            ResponseEnd::ContentFilter => FinishReason::ContentFilter,
            // Some servers say `stop` beside tool calls, others say `tool_calls` without any.
            ResponseEnd::Complete if calls.is_empty() => FinishReason::Stop,
            ResponseEnd::Complete => FinishReason::ToolCalls,
        };
        let mut events: Vec<_> = calls.into_iter().map(ModelEvent::ToolCall).collect();
        events.extend(self.usage.map(ModelEvent::Usage));
        events.push(ModelEvent::Finished(reason));
        Ok(events)
    }

    fn push_delta(&mut self, delta: Delta<'_>) -> Result<ChunkOutcome, ModelError> {
        let reasoning = delta.reasoning_text();
        let mut is_token = delta.has_reasoning();
        if let Some(raw) = delta.tool_calls {
            is_token |= self.tool_calls.push(raw)?;
        }
        if let Some(raw) = delta.function_call {
            self.tool_calls.push_function_call(raw)?;
            is_token = true;
        }
        if let Some(raw) = delta.annotations {
            self.citations.push_annotations(raw);
        }
        let text = [delta.content, delta.refusal].into_iter().flatten().find(|text| !text.0.is_empty());
        let outcome = match (text, reasoning) {
            // If a chunk has both, the text counts: reasoning is shown only until the text begins.
            (Some(text), _) => ChunkOutcome::Text(text.0.into_owned()),
            (None, Some(reasoning)) => ChunkOutcome::Thought(reasoning),
            (None, None) if is_token => ChunkOutcome::HiddenToken,
            (None, None) => ChunkOutcome::NoToken,
        };
        if let ChunkOutcome::Text(text) | ChunkOutcome::Thought(text) = &outcome {
            self.text_bytes += text.len();
            if self.text_bytes > MAX_TEXT_BYTES {
                return Err(ModelError::invalid_response(format!("more than {MAX_TEXT_BYTES} bytes of text")));
            }
        }
        Ok(outcome)
    }
}

fn parse_finish_reason(reason: &str) -> Result<ResponseEnd, ModelError> {
    match reason {
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => Ok(ResponseEnd::Length),
        "content_filter" | "safety" | "SAFETY" => Ok(ResponseEnd::ContentFilter),
        // OpenRouter sends it when the provider failed in the middle of the response.
        "error" => Err(ModelError::Refused { status: 200, message: "finish_reason is \"error\"".to_owned() }),
        // `stop`, `tool_calls`, `function_call`, and the names that some servers invent for a normal end.
        _ => Ok(ResponseEnd::Complete),
    }
}

fn parse_usage(raw: &str) -> Option<Usage> {
    let TokenUsage { prompt_tokens, completion_tokens } = serde_json::from_str(raw).ok()?;
    if prompt_tokens.is_none() && completion_tokens.is_none() {
        return None;
    }
    Some(Usage { prompt_tokens: prompt_tokens.unwrap_or(0), completion_tokens: completion_tokens.unwrap_or(0) })
}
