//! One chunk of a streamed answer, borrowed from the line it came in.
//!
//! Only what is acted on is read. A chunk of plain text allocates nothing here; parts that are rare, such as tool
//! calls, stay raw until they are wanted.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// A chunk, or a whole answer that was not streamed.
#[derive(Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) choices: First<Choice<'a>>,
    /// Raw, since servers disagree on all but two of its fields.
    #[serde(borrow, default)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
    /// Perplexity's list of the addresses an answer is based on.
    #[serde(borrow, default)]
    pub(super) citations: Option<&'a RawValue>,
}

/// The one answer that was asked for.
#[derive(Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    /// What an answer that was not streamed has in place of `delta`.
    #[serde(borrow, default)]
    pub(super) message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
}

/// What a chunk adds.
#[derive(Deserialize, Default)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
    /// OpenAI's field for the words with which a model declines.
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<&'a RawValue>,
    /// How one call was written before there could be several.
    #[serde(borrow, default)]
    pub(super) function_call: Option<&'a RawValue>,
    /// What the words are based on.
    #[serde(borrow, default)]
    pub(super) annotations: Option<&'a RawValue>,
    /// Thoughts, by the name vLLM and DeepSeek give them.
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    /// Thoughts, by OpenRouter's name.
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
}

impl Delta<'_> {
    /// What the model thought, where that is told in words.
    pub(super) fn thought(&self) -> Option<String> {
        let told = [self.reasoning_content, self.reasoning].into_iter().flatten();
        told.filter_map(|raw| serde_json::from_str::<String>(raw.get()).ok()).find(|thought| !thought.is_empty())
    }

    /// Whether the model thought. Also thoughts without words are tokens: it is at work, and it bills.
    pub(super) fn thinks(&self) -> bool {
        [self.reasoning_content, self.reasoning]
            .into_iter()
            .flatten()
            .any(|raw| !matches!(raw.get(), "\"\"" | "[]" | "{}"))
    }
}

/// A piece of a tool call.
#[derive(Deserialize)]
pub(super) struct Fragment<'a> {
    #[serde(default)]
    pub(super) index: Option<u64>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) function: Option<Function<'a>>,
}

/// The function a fragment calls.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    /// JSON inside a string, as the protocol has it, or the object itself, as some servers send it.
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

/// Tokens used, as far as the server says.
#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(default)]
    pub(super) completion_tokens: Option<u64>,
}

/// The first element of a list; `null` and `[]` have none. A `Vec` would allocate for every token.
pub(super) struct First<T>(pub(super) Option<T>);

impl<T> Default for First<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstOf<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstOf<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or null")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(First(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_any(FirstOf(PhantomData))
    }
}

/// A string, borrowed where it holds no escape: serde's own `Option<Cow<str>>` always copies.
///
/// A list of `{"type": "text", "text": ...}` parts, which some servers send as content, is read as their text.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
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
                let mut all = String::new();
                while let Some(part) = parts.next_element::<Part<'de>>()? {
                    all.push_str(part.text.as_ref().map_or("", |text| &text.0));
                }
                Ok(Cow::Owned(all))
            }
        }

        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
}
