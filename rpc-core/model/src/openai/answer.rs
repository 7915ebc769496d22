//! What is known of an answer after each of its chunks.

use super::assemble::Calls;
use super::cite::Citations;
use super::failure;
use super::wire::{Chunk, Delta, Tokens};
use crate::{Citation, FinishReason, ModelError, ModelEvent};
use threadline_schema::runs::Usage;

/// Bytes of text one answer may have. The longest outputs on offer are some 130 thousand tokens, about half a
/// megabyte; beyond this a server is not answering but filling memory.
pub(super) const MAX_TEXT_BYTES: usize = 4 << 20;

/// An answer while it streams.
#[derive(Default)]
pub(super) struct Answer {
    calls: Calls,
    citations: Citations,
    usage: Option<Usage>,
    finish: Option<Finish>,
    text_bytes: usize,
    /// Whether anything came that only an answer has.
    any: bool,
}

/// What a chunk was.
pub(super) enum Step {
    /// Words to pass on.
    Text(String),
    /// A thought to pass on.
    Thought(String),
    /// A token that is not shown: a thought without words, a piece of a call.
    Hidden,
    /// No token.
    Nothing,
    /// `[DONE]`.
    Done,
}

/// `finish_reason`, before it is known whether there were calls.
#[derive(Clone, Copy)]
enum Finish {
    Whole,
    Length,
    ContentFilter,
}

impl Answer {
    /// Takes one `data` payload.
    ///
    /// # Errors
    ///
    /// When it is an error, is not what the protocol says, or exceeds a limit.
    pub(super) fn accept(&mut self, data: &str) -> Result<Step, ModelError> {
        let data = data.trim();
        if data.is_empty() {
            return Ok(Step::Nothing);
        }
        if data == "[DONE]" {
            return Ok(Step::Done);
        }
        let chunk: Chunk<'_> = serde_json::from_str(data).map_err(|error| {
            // A line that cannot be read has lost words, so the answer is lost. serde's message can quote them.
            ModelError::Broken(format!("an event is not a chunk of an answer (column {})", error.column()))
        })?;
        if let Some(error) = chunk.error.and_then(|raw| failure::in_stream(raw.get())) {
            return Err(error);
        }
        if let Some(usage) = chunk.usage.and_then(|raw| usage(raw.get())) {
            self.usage = Some(usage);
        }
        if let Some(raw) = chunk.citations {
            self.citations.push_list(raw);
        }
        let Some(choice) = chunk.choices.0 else { return Ok(Step::Nothing) };
        self.any = true;
        // An answer that was not streamed is whole by being there.
        let (delta, whole) = match (choice.delta, choice.message) {
            (Some(delta), _) => (delta, false),
            (None, Some(message)) => (message, true),
            (None, None) => (Delta::default(), false),
        };
        // The end is noted last: what comes with it counts, and an error in it must not pass for a late one.
        let step = self.take(delta)?;
        if let Some(reason) = &choice.finish_reason {
            self.finish = Some(finish_of(&reason.0)?);
        } else if whole {
            self.finish = Some(Finish::Whole);
        }
        Ok(step)
    }

    /// What the answer says it is based on, as far as it has not been given yet.
    pub(super) fn citation(&mut self) -> Option<Citation> {
        self.citations.next()
    }

    /// Whether the server said why the answer ended.
    pub(super) fn is_whole(&self) -> bool {
        self.finish.is_some()
    }

    /// What follows the text of an answer that ended well.
    ///
    /// # Errors
    ///
    /// When there was no answer, or a call in it names no tool.
    pub(super) fn finish(self) -> Result<Vec<ModelEvent>, ModelError> {
        if !self.any {
            return Err(ModelError::Broken("the stream ended before it began".to_owned()));
        }
        let finish = self.finish.unwrap_or(Finish::Whole);
        let calls = self.calls.finish(!matches!(finish, Finish::Whole))?;
        let reason = match finish {
            Finish::Length => FinishReason::Length,
            Finish::ContentFilter => FinishReason::ContentFilter,
            // Some servers say `stop` beside calls, others `tool_calls` without any: what was sent decides.
            Finish::Whole if calls.is_empty() => FinishReason::Stop,
            Finish::Whole => FinishReason::ToolCalls,
        };
        let mut events: Vec<_> = calls.into_iter().map(ModelEvent::ToolCall).collect();
        events.extend(self.usage.map(ModelEvent::Usage));
        events.push(ModelEvent::Finished(reason));
        Ok(events)
    }

    fn take(&mut self, delta: Delta<'_>) -> Result<Step, ModelError> {
        let mut hidden = delta.thinks();
        let thought = delta.thought();
        if let Some(raw) = delta.tool_calls {
            hidden |= self.calls.push(raw)?;
        }
        if let Some(raw) = delta.function_call {
            self.calls.push_legacy(raw)?;
            hidden = true;
        }
        if let Some(raw) = delta.annotations {
            self.citations.push(raw);
        }
        let text =
            [delta.content, delta.refusal].into_iter().flatten().map(|text| text.0).find(|text| !text.is_empty());
        let step = match (text, thought) {
            // Where both come at once the words count; thoughts are only shown while there are none.
            (Some(text), _) => Step::Text(text.into_owned()),
            (None, Some(thought)) => Step::Thought(thought),
            (None, None) if hidden => Step::Hidden,
            (None, None) => Step::Nothing,
        };
        if let Step::Text(text) | Step::Thought(text) = &step {
            self.text_bytes += text.len();
            if self.text_bytes > MAX_TEXT_BYTES {
                return Err(ModelError::Broken(format!("more than {MAX_TEXT_BYTES} bytes of text")));
            }
        }
        Ok(step)
    }
}

fn finish_of(reason: &str) -> Result<Finish, ModelError> {
    match reason {
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => Ok(Finish::Length),
        "content_filter" | "safety" | "SAFETY" => Ok(Finish::ContentFilter),
        // OpenRouter's word for an answer its provider broke off.
        "error" => Err(ModelError::Refused { status: 200, text: "finish_reason is \"error\"".to_owned() }),
        // `stop`, `tool_calls`, `function_call`, and whatever a server calls its own way of being done.
        _ => Ok(Finish::Whole),
    }
}

fn usage(raw: &str) -> Option<Usage> {
    let tokens: Tokens = serde_json::from_str(raw).ok()?;
    match (tokens.prompt_tokens, tokens.completion_tokens) {
        (None, None) => None,
        (prompt, completion) => {
            Some(Usage { prompt_tokens: prompt.unwrap_or(0), completion_tokens: completion.unwrap_or(0) })
        }
    }
}
