//! Wire types of one `chat.completion.chunk`, borrowed from the text of its event.
//!
//! Only the fields that are used are parsed. A chunk of plain text allocates nothing here. Rare parts, such as tool
//! calls, stay raw JSON until they are needed.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A chunk, or a whole `chat.completion` if the server does not stream.
#[derive(Deserialize)]
pub(super) struct ChatCompletionChunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: FirstElement<Choice<'a>>,
    /// Raw, because servers agree on only two of its fields.
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    /// Perplexity's list of source URLs.
    #[serde(borrow, default)]
    pub(super) citations: Option<&'a RawValue>,
}

/// An alternative of the response. A request asks for one.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    /// Replaces `delta` in a response that is not streamed.
    #[serde(borrow, default)]
    pub(super) message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<TextField<'a>>,
}

/// What a chunk adds to the message.
#[derive(Deserialize, Default)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<TextField<'a>>,
    /// OpenAI's field for the text of a refusal.
    #[serde(borrow, default)]
    pub(super) refusal: Option<TextField<'a>>,
    /// A list of [`ToolCallDelta`].
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<&'a RawValue>,
    /// The deprecated form of a single tool call: a [`FunctionDelta`].
    #[serde(borrow, default)]
    pub(super) function_call: Option<&'a RawValue>,
    /// Sources of the text.
    #[serde(borrow, default)]
    pub(super) annotations: Option<&'a RawValue>,
    /// Reasoning, as vLLM and DeepSeek name it.
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    /// Reasoning, as OpenRouter names it.
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
}

impl Delta<'_> {
    /// Returns the text of the reasoning, if the server sends it.
    pub(super) fn reasoning_text(&self) -> Option<String> {
        let fields = [self.reasoning_content, self.reasoning].into_iter().flatten();
        fields.filter_map(|raw| serde_json::from_str::<String>(raw.get()).ok()).find(|text| !text.is_empty())
    }

    /// Returns whether the chunk contains reasoning. Reasoning without text counts as a token too: the model is at
    /// work, and the server charges for it.
    pub(super) fn has_reasoning(&self) -> bool {
        let mut fields = [self.reasoning_content, self.reasoning].into_iter().flatten();
        fields.any(|raw| !matches!(raw.get(), "\"\"" | "[]" | "{}"))
    }
}

/// A fragment of a tool call.
#[derive(Deserialize)]
pub(super) struct ToolCallDelta<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) id: Option<TextField<'a>>,
    #[serde(borrow, default)]
    pub(super) function: Option<FunctionDelta<'a>>,
}

/// A fragment of the function call inside a tool call.
#[derive(Deserialize)]
pub(super) struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<TextField<'a>>,
    /// JSON inside a string, as the protocol defines it, or the object itself, as some servers send it.
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// Token counts.
#[derive(Deserialize)]
pub(super) struct TokenUsage {
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
}

/// The first element of a list, or nothing for `null` and `[]`. A `Vec` would allocate for every token.
pub(super) struct FirstElement<T>(pub(super) Option<T>);

impl<T> Default for FirstElement<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for FirstElement<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstElementVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstElementVisitor<T> {
            type Value = FirstElement<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(FirstElement(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FirstElement(first))
            }
        }

        deserializer.deserialize_any(FirstElementVisitor(PhantomData))
    }
}

/// A string, borrowed if it contains no escape sequence: serde's own `Option<Cow<str>>` always copies.
///
/// Some servers send the content as a list of `{"type": "text", "text": ...}`. Its texts are concatenated.
pub(super) struct TextField<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for TextField<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of parts")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut text = String::new();
                while let Some(part) = parts.next_element::<ContentPart<'de>>()? {
                    text.push_str(part.text.as_ref().map_or("", |text| &text.0));
                }
                Ok(Cow::Owned(text))
            }
        }

        deserializer.deserialize_any(TextVisitor).map(TextField)
    }
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, default)]
    text: Option<TextField<'a>>,
}
