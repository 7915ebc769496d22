//! Estimates how many tokens a message has. An estimate errs on the high side: too short a prompt works, too long a one
//! is refused.

use crate::model::{FileContent, Message, ToolSpec};

/// Bytes of a token. English text has more than four in each tokenizer of today, source code and German about three,
/// and Chinese one character, which is three bytes.
const BYTES_PER_TOKEN: u64 = 3;

/// Tokens around the text of a message: its role, and the marks of the chat template.
const TOKENS_PER_MESSAGE: u64 = 8;

/// Tokens of an image: OpenAI's "high detail" of a large image has 1,105 or more, Claude's largest 1,600.
const TOKENS_PER_IMAGE: u64 = 1_600;

/// Estimates the tokens of a message.
pub(in crate::agent) fn estimate(message: &Message) -> u64 {
    let files = match message {
        Message::User(input) => input.attachments.as_slice(),
        Message::ToolImages(images) => images.as_slice(),
        _ => &[],
    };
    let images = files.iter().filter(|file| matches!(file.content, FileContent::Image(_))).count();
    // A name and a type are in the prompt with each file.
    let names: usize = files.iter().map(|file| 64 + file.name.len() + file.mime_type.len()).sum();
    TOKENS_PER_MESSAGE + tokens(message.bytes() + names) + TOKENS_PER_IMAGE * u64::try_from(images).unwrap_or(u64::MAX)
}

/// Estimates the tokens of the tools that a request offers.
pub(super) fn estimate_tools(tools: &[ToolSpec]) -> u64 {
    tools
        .iter()
        .map(|tool| TOKENS_PER_MESSAGE + tokens(tool.name.len() + tool.description.len() + tool.parameters.get().len()))
        .sum()
}

/// Returns the largest number of bytes that this number of tokens stands for.
pub(in crate::agent) fn bytes_of(tokens: u64) -> usize {
    usize::try_from(tokens.saturating_mul(BYTES_PER_TOKEN)).unwrap_or(usize::MAX)
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(BYTES_PER_TOKEN)
}
