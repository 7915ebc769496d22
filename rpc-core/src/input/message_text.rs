//! Checks the text of a user message, and makes the title of a thread from it.

use crate::error::Error;
use crate::store::rows::AttachmentRow;
use threadline_schema::ErrorCode;
use threadline_schema::chatkit::{Extra, UserContent, UserMessageInput};

/// Maximum number of characters of a title that is made from the first message.
const TITLE_CHARS: usize = 100;

/// Maximum number of parts of a message, whatever its length.
const MAX_PARTS: usize = 1_000;
/// Maximum number of characters of the model and of the tool that a message asks for.
const MAX_NAME_CHARS: usize = 256;

/// Checks a message. `max_chars` is the limit of its length; `None` is no limit.
///
/// # Errors
/// `EMPTY_MESSAGE`, `MESSAGE_TOO_LONG`, `INVALID_REQUEST`.
pub(super) fn check_message(input: &UserMessageInput, max_chars: Option<u32>) -> Result<(), Error> {
    let text = || input.content.iter().map(|part| part.text());
    if input.attachments.is_empty() && text().all(|text| text.trim().is_empty()) {
        return Err(Error::new(ErrorCode::EmptyMessage, "The message has no text."));
    }
    if text().any(|text| text.contains('\0')) {
        // PostgreSQL cannot store it.
        return Err(Error::invalid("The message contains a NUL character."));
    }
    let parts = input.content.len();
    if parts > MAX_PARTS {
        let message = format!("The message has {parts} parts; at most {MAX_PARTS} are allowed.");
        return Err(Error::new(ErrorCode::MessageTooLong, message));
    }
    let options = &input.inference_options;
    for (name, text) in
        [("model", options.model.as_deref()), ("tool_choice.id", options.tool_choice.as_ref().map(|tool| &*tool.id))]
    {
        if text.is_some_and(|text| text.chars().take(MAX_NAME_CHARS + 1).count() > MAX_NAME_CHARS) {
            let message = format!("`inference_options.{name}` has at most {MAX_NAME_CHARS} characters.");
            return Err(Error::new(ErrorCode::MessageTooLong, message));
        }
    }
    if let Some(limit) = max_chars {
        let limit = limit as usize;
        let quoted = input.quoted_text.as_deref().map_or(0, |text| text.chars().take(limit + 1).count());
        // The parts are lines of the prompt.
        let lines = quoted.saturating_add(parts.saturating_sub(1));
        let chars = input.content.iter().fold(lines, |sum, part| sum.saturating_add(chars_of(part)));
        if chars > limit {
            let message = format!("The message has {chars} characters; at most {limit} are allowed.");
            return Err(Error::new(ErrorCode::MessageTooLong, message));
        }
    }
    Ok(())
}

/// Returns the number of characters of a part, including the data that a front end adds to the text: it is stored and
/// sent as often as the text.
fn chars_of(part: &UserContent) -> usize {
    let chars = |text: &str| text.chars().count();
    let members = |map: &Extra| match map.is_empty() {
        true => 0,
        false => serde_json::to_string(map).map_or(0, |json| chars(&json)),
    };
    match part {
        UserContent::Text { text, extra } => chars(text) + members(extra),
        UserContent::Tag { id, text, data, group, extra, .. } => {
            chars(id) + chars(text) + group.as_deref().map_or(0, chars) + members(data) + members(extra)
        }
    }
}

/// Returns the title of a thread that starts with this message: its text, or else the names of its files, cut.
pub(super) fn title_of(input: &UserMessageInput, attached: &[AttachmentRow]) -> String {
    let mut text: String = input.content.iter().map(|part| part.text()).collect::<Vec<_>>().join(" ");
    if text.trim().is_empty() {
        text = attached.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(TITLE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_message_cut_at_a_hundred_characters() {
        assert_eq!(title_of(&UserMessageInput::text("  Buy \n milk "), &[]), "Buy milk");
        let long = "äö ".repeat(100);
        assert_eq!(title_of(&UserMessageInput::text(long), &[]).chars().count(), TITLE_CHARS);
    }
}
