//! Writes turns as text, for the model that summarises them.

use crate::agent::context::{Conversation, shortened};
use crate::model::{Message, ToolCall};
use std::fmt::Write;

/// Bytes that stay of the result of a tool, and of its arguments.
const MAX_CALL_BYTES: usize = 600;

/// One turn as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TurnText {
    pub(super) text: String,
    /// Position before which its items are.
    pub(super) before: i64,
}

/// Returns the turns of a conversation as text, each at most about `max_bytes` long. `before` is the position that
/// follows the last turn.
pub(super) fn turn_texts(conversation: &Conversation, before: i64, max_bytes: usize) -> Vec<TurnText> {
    let ends = conversation.turns.iter().skip(1).map(|next| (next.message, next.position));
    let ends = ends.chain([(conversation.messages.len(), before)]);
    let turns = conversation.turns.iter().zip(ends).map(|(turn, (end, before))| {
        let messages = conversation.messages.get(turn.message..end).unwrap_or_default();
        let text = messages.iter().fold(String::new(), append);
        TurnText { text: shortened(&text, max_bytes), before }
    });
    turns.collect()
}

fn append(mut text: String, message: &Message) -> String {
    // Writing to a `String` cannot fail.
    match message {
        Message::User(input) => {
            _ = writeln!(text, "User: {}", input.text);
            for file in &input.attachments {
                _ = writeln!(text, "User attaches the file {} ({})", file.name, file.mime_type);
            }
        }
        Message::Assistant { text: words, tool_calls } => {
            if !words.is_empty() {
                _ = writeln!(text, "Assistant: {words}");
            }
            for ToolCall { name, arguments, .. } in tool_calls {
                _ = writeln!(text, "Assistant calls {name} with {}", shortened(arguments, MAX_CALL_BYTES));
            }
        }
        Message::Tool { content, .. } => _ = writeln!(text, "Result: {}", shortened(content, MAX_CALL_BYTES)),
        Message::System(_) | Message::ToolImages(_) => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::context::Turn;

    #[test]
    fn turns_become_text() {
        let call = ToolCall { name: "find".into(), arguments: r#"{"q":1}"#.into(), ..ToolCall::default() };
        let conversation = Conversation {
            messages: vec![
                Message::System("be kind".into()),
                Message::User("look it up".into()),
                Message::Assistant { text: String::new(), tool_calls: vec![call] },
                Message::Tool { call_id: "a".into(), content: "x".repeat(5_000) },
                Message::Assistant { text: "Found.".into(), tool_calls: vec![] },
                Message::User("thanks".into()),
            ],
            turns: vec![Turn { message: 1, position: 4 }, Turn { message: 5, position: 9 }],
            ..Conversation::default()
        };
        let [first, second] = &turn_texts(&conversation, 12, 4_000)[..] else { panic!() };
        assert!(
            first.text.starts_with("User: look it up\nAssistant calls find with {\"q\":1}\nResult: xxx"),
            "{first:?}"
        );
        assert!(first.text.ends_with("x\nAssistant: Found.\n") && first.text.len() < 1_000, "{first:?}");
        assert_eq!(first.before, 9);
        assert_eq!(*second, TurnText { text: "User: thanks\n".into(), before: 12 });
        assert!(turn_texts(&conversation, 12, 300)[0].text.len() < 340);
    }
}
