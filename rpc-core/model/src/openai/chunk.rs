//! Wire types of one `chat.completion.chunk`, borrowed from the text of its event.
//!
//! Only the fields that are used are read, and their values stay raw JSON until they are needed. So a value of another
//! type than the protocol defines does not fail the chunk.

use super::json::{Merge, count, is_blank, wire_object};
use super::unrecognized::Unrecognized;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

wire_object! {
    /// A chunk, or a whole `chat.completion` if the server does not stream.
    ChatCompletionChunk {
        choices: Choices<'a> = b"choices",
        usage: Option<&'a RawValue> = b"usage",
        error: Option<&'a RawValue> = b"error",
        /// Perplexity's list of source URLs.
        citations: Option<&'a RawValue> = b"citations",
        /// Groq's own fields: in older versions the usage is there.
        x_groq: Option<&'a RawValue> = b"x_groq",
        /// Gemini's own name of the usage.
        usage_metadata: Option<&'a RawValue> = b"usageMetadata",
        /// Ollama's own form: a message outside of choices, as a JSON line.
        message: Option<&'a RawValue> = b"message",
        done: Option<&'a RawValue> = b"done",
        done_reason: Option<&'a RawValue> = b"done_reason",
        /// The model that answers.
        model: Option<&'a RawValue> = b"model",
    }
}

wire_object! {
    /// An alternative of the response. A request asks for one.
    Choice {
        index: Option<&'a RawValue> = b"index",
        delta: Option<Delta<'a>> = b"delta",
        /// Replaces `delta` in a response that is not streamed.
        message: Option<Delta<'a>> = b"message",
        /// Of the older completions.
        text: Option<&'a RawValue> = b"text",
        finish_reason: Option<&'a RawValue> = b"finish_reason",
        /// OpenRouter's place for an error of the provider.
        error: Option<&'a RawValue> = b"error",
        /// Moonshot's place for the usage.
        usage: Option<&'a RawValue> = b"usage",
    }
}

wire_object! {
    /// What a chunk adds to the message.
    Delta {
        content: Option<&'a RawValue> = b"content",
        /// OpenAI's field for the text of a refusal.
        refusal: Option<&'a RawValue> = b"refusal",
        /// A list of [`ToolCallDelta`].
        tool_calls: Option<&'a RawValue> = b"tool_calls",
        /// The deprecated form of a single tool call: a [`FunctionDelta`].
        function_call: Option<&'a RawValue> = b"function_call",
        /// Sources of the text.
        annotations: Option<&'a RawValue> = b"annotations",
        /// Reasoning, as vLLM and DeepSeek name it.
        reasoning_content: Option<&'a RawValue> = b"reasoning_content",
        /// Reasoning, as OpenRouter names it.
        reasoning: Option<&'a RawValue> = b"reasoning",
        /// Reasoning, as Ollama names it.
        thinking: Option<&'a RawValue> = b"thinking",
        /// Reasoning, as GitHub Copilot names it.
        reasoning_text: Option<&'a RawValue> = b"reasoning_text",
        /// The same reasoning in parts, as OpenRouter sends it beside the text.
        reasoning_details: Option<&'a RawValue> = b"reasoning_details",
        /// The same, as LiteLLM sends it.
        thinking_blocks: Option<&'a RawValue> = b"thinking_blocks",
        /// Encrypted reasoning of GitHub Copilot.
        reasoning_opaque: Option<&'a RawValue> = b"reasoning_opaque",
    }
}

wire_object! {
    /// A fragment of a tool call.
    ToolCallDelta {
        index: Option<&'a RawValue> = b"index",
        id: Option<&'a RawValue> = b"id",
        function: Option<FunctionDelta<'a>> = b"function",
        /// Of servers that leave out `function`.
        name: Option<&'a RawValue> = b"name",
        arguments: Option<&'a RawValue> = b"arguments",
        // What the server wants back with the call, such as Gemini's thought signature.
        ..unknown
    }
}

wire_object! {
    /// A fragment of the function call inside a tool call.
    FunctionDelta {
        name: Option<&'a RawValue> = b"name",
        /// JSON inside a string, as the protocol defines it, or the object itself, as some servers send it.
        arguments: Option<&'a RawValue> = b"arguments",
        ..unknown
    }
}

impl<'a> Delta<'a> {
    /// Returns whether no field has a value but the role.
    pub(super) fn says_nothing(&self) -> bool {
        let others = [self.content, self.refusal, self.tool_calls, self.function_call, self.annotations];
        others.into_iter().flatten().chain(self.reasoning_opaque).chain(self.reasoning_fields()).all(is_blank)
    }

    /// Returns the fields that can contain reasoning. Several of them contain the same.
    pub(super) fn reasoning_fields(&self) -> impl Iterator<Item = &'a RawValue> {
        [
            self.reasoning_content,
            self.reasoning,
            self.thinking,
            self.reasoning_text,
            self.reasoning_details,
            self.thinking_blocks,
        ]
        .into_iter()
        .flatten()
    }
}

/// The choices of a chunk: the one that was asked for, and whether there are others. A `Vec` would allocate for every
/// token.
#[derive(Default)]
pub(super) struct Choices<'a> {
    pub(super) first: Option<Choice<'a>>,
    pub(super) has_other: bool,
}

impl Merge for Choices<'_> {
    fn merge(&mut self, later: Self) {
        if later.first.is_some() || later.has_other {
            *self = later;
        }
    }
}

impl<'a> Choices<'a> {
    /// Adds a choice. Those with an index above 0 are alternatives that the request did not ask for.
    fn add(&mut self, choice: Choice<'a>) {
        if choice.index.and_then(count).is_some_and(|index| index > 0) {
            self.has_other = true;
            Unrecognized::Choice.report();
        } else if self.first.is_none() {
            self.first = Some(choice);
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoicesVisitor;

        impl<'de> Visitor<'de> for ChoicesVisitor {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Choices::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Choices::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Choices::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Choices::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut choices = Choices::default();
                while let Some(choice) = list.next_element()? {
                    choices.add(choice);
                }
                Ok(choices)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let mut choices = Choices::default();
                choices.add(Choice::deserialize(serde::de::value::MapAccessDeserializer::new(map))?);
                Ok(choices)
            }
        }

        deserializer.deserialize_any(ChoicesVisitor)
    }
}
