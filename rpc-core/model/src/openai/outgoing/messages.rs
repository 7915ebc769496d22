//! The conversation in a form that the strictest server accepts.
//!
//! [`Conversation::new`] is a pure function of the prompt and the dialect. Whatever the prompt: every call has one
//! result right behind it, user and assistant alternate, the first message is the user's and the last one is the user's
//! or a result, no message is blank, and the instructions come first or not at all.

use super::arguments::valid_arguments;
use super::names::ToolNames;
use crate::dialect::{CallsPerMessage, Dialect, SystemRole};
use crate::request::TOOL_IMAGES;
use crate::{AttachedFile, Echo, FileContent, Message, ToolCall};
use std::sync::Arc;
use threadline_schema::tool_result::UNKNOWN_RESULT;

/// Stands for a message of the user that has no content, or that is missing.
const NO_MESSAGE: &str = "[No message.]";
/// Stands for an answer that is missing between a result and the next message of the user.
const NO_ANSWER: &str = "[No answer.]";
/// Stands for the message that asks to continue, after an answer that was cut.
const GO_ON: &str = "[Continue.]";

/// The messages of a request.
pub(super) struct Conversation {
    /// Instructions; empty if there are none.
    pub(super) system: String,
    pub(super) blocks: Vec<Block>,
}

/// A message, or an assistant message with the results of its calls.
#[derive(Debug)]
pub(super) enum Block {
    User {
        text: String,
        images: Vec<Arc<str>>,
        /// Whether it is only images of tools, within a turn.
        is_of_tools: bool,
    },
    Assistant {
        text: String,
        calls: Vec<Call>,
    },
}

/// A tool call with its result.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) result: String,
    pub(super) echo: Option<Box<Echo>>,
}

impl Conversation {
    /// `with_tools`: whether the request has tools. Servers refuse calls in a request without tools, so that calls then
    /// become text.
    pub(super) fn new(messages: &[Message], dialect: &Dialect, names: &ToolNames, with_tools: bool) -> Self {
        let mut system = String::new();
        let mut blocks = Vec::new();
        let mut results = Results::new(messages);
        for (index, message) in messages.iter().enumerate() {
            match message {
                Message::System(text) => append(&mut system, text),
                Message::User(input) => push(&mut blocks, user(&input.text, &input.attachments, dialect.images)),
                Message::ToolImages(images) => push(&mut blocks, tool_images(images, dialect.images)),
                Message::Assistant { text, tool_calls } => {
                    let calls = tool_calls.iter().map(|call| with_result(call, results.take(index, &call.id), names));
                    let calls: Vec<Call> = calls.collect();
                    push_assistant(&mut blocks, text, calls, dialect, with_tools);
                }
                Message::Tool { .. } => {}
            }
        }
        if dialect.alternate {
            blocks = alternating(blocks);
        }
        let mut this = Self { system: system.trim().to_owned(), blocks };
        if dialect.system == SystemRole::User {
            this.fold_system();
        }
        this
    }

    /// Returns the index of the newest message of the user. What follows is the current turn.
    pub(super) fn turn_start(&self) -> usize {
        self.blocks.iter().rposition(|block| matches!(block, Block::User { is_of_tools: false, .. })).unwrap_or(0)
    }

    /// Calls `change` for each call.
    pub(super) fn for_each_call(&mut self, mut change: impl FnMut(&mut Call)) {
        for block in &mut self.blocks {
            if let Block::Assistant { calls, .. } = block {
                calls.iter_mut().for_each(&mut change);
            }
        }
    }

    /// Makes the instructions the beginning of the first user message.
    fn fold_system(&mut self) {
        let system = std::mem::take(&mut self.system);
        if system.is_empty() {
            return;
        }
        match self.blocks.first_mut() {
            Some(Block::User { text, .. }) => *text = joined(system, text),
            _ => self.blocks.insert(0, Block::User { text: system, images: Vec::new(), is_of_tools: false }),
        }
    }
}

/// The results of a prompt, each of which belongs to one call.
struct Results<'a> {
    messages: &'a [Message],
    taken: Vec<bool>,
}

impl<'a> Results<'a> {
    fn new(messages: &'a [Message]) -> Self {
        Self { messages, taken: vec![false; messages.len()] }
    }

    /// Takes the result of a call of the message at `index`: the next one with its id that no other call has, before
    /// another call has the same id.
    fn take(&mut self, index: usize, id: &str) -> Option<&'a str> {
        for (at, message) in self.messages.iter().enumerate().skip(index + 1) {
            match message {
                Message::Tool { call_id, content } if call_id == id => {
                    let taken = self.taken.get_mut(at)?;
                    if !std::mem::replace(taken, true) {
                        return Some(content);
                    }
                }
                Message::Assistant { tool_calls, .. } if tool_calls.iter().any(|call| call.id == id) => return None,
                _ => {}
            }
        }
        None
    }
}

fn with_result(call: &ToolCall, result: Option<&str>, names: &ToolNames) -> Call {
    let result = match result {
        // The result of the call is not known.
        None => UNKNOWN_RESULT,
        Some(blank) if blank.trim().is_empty() => "{}",
        Some(result) => result,
    };
    Call {
        name: names.to_wire(&call.name).to_owned(),
        arguments: valid_arguments(&call.arguments).into_owned(),
        result: result.to_owned(),
        echo: call.echo.clone(),
    }
}

fn push_assistant(blocks: &mut Vec<Block>, text: &str, calls: Vec<Call>, dialect: &Dialect, with_tools: bool) {
    let text = if text.trim().is_empty() { String::new() } else { text.to_owned() };
    if !with_tools {
        return push_as_text(blocks, text, &calls);
    }
    if dialect.calls_per_message == CallsPerMessage::One && calls.len() > 1 {
        // The fields of the message go with its first call.
        let mut text = text;
        for call in calls {
            push(blocks, Block::Assistant { text: std::mem::take(&mut text), calls: vec![call] });
        }
        return;
    }
    push(blocks, Block::Assistant { text, calls });
}

/// Adds calls and results as text.
fn push_as_text(blocks: &mut Vec<Block>, mut text: String, calls: &[Call]) {
    let mut results = String::new();
    for Call { name, arguments, result, .. } in calls {
        append(&mut text, &format!("[Called {name} with {arguments}]"));
        append(&mut results, &format!("[Result of {name}: {result}]"));
    }
    push(blocks, Block::Assistant { text, calls: Vec::new() });
    if !results.is_empty() {
        push(blocks, Block::User { text: results, images: Vec::new(), is_of_tools: false });
    }
}

/// Adds a message, or extends the last one if it has the same role. A blank answer is left out.
fn push(blocks: &mut Vec<Block>, block: Block) {
    match (blocks.last_mut(), block) {
        (_, Block::Assistant { text, calls }) if text.is_empty() && calls.is_empty() => {}
        (
            Some(Block::User { text, images, is_of_tools }),
            Block::User { text: more, images: more_images, is_of_tools: more_is_of_tools },
        ) => {
            append(text, &more);
            images.extend(more_images);
            *is_of_tools &= more_is_of_tools;
        }
        (Some(Block::Assistant { text, calls }), Block::Assistant { text: more, calls: more_calls })
            if calls.is_empty() =>
        {
            append(text, &more);
            *calls = more_calls;
        }
        (_, block) => blocks.push(block),
    }
}

/// Adds the messages that are missing between two others, at the beginning and at the end.
fn alternating(blocks: Vec<Block>) -> Vec<Block> {
    let filler = |text: &str| Block::User { text: text.to_owned(), images: Vec::new(), is_of_tools: false };
    let mut all: Vec<Block> = Vec::with_capacity(blocks.len() + 2);
    for block in blocks {
        match (all.last(), &block) {
            (None, Block::Assistant { .. }) => all.push(filler(NO_MESSAGE)),
            // Its calls have results, after which it is the assistant's turn.
            (Some(Block::Assistant { calls, .. }), Block::User { .. }) if !calls.is_empty() => {
                all.push(Block::Assistant { text: NO_ANSWER.to_owned(), calls: Vec::new() });
            }
            _ => {}
        }
        all.push(block);
    }
    match all.last() {
        None => all.push(filler(NO_MESSAGE)),
        Some(Block::Assistant { calls, .. }) if calls.is_empty() => all.push(filler(GO_ON)),
        _ => {}
    }
    all
}

/// Returns the text of a user message with its text files and the names of all files, and its images.
fn user(written: &str, files: &[AttachedFile], with_images: bool) -> Block {
    let mut text = String::new();
    append(&mut text, written);
    let mut images = Vec::new();
    for AttachedFile { name, mime_type, content, .. } in files {
        append(
            &mut text,
            &match content {
                FileContent::Text(content) => {
                    format!("[Attached file {name:?}, {mime_type}:]\n{content}\n[End of {name:?}]")
                }
                FileContent::Image(_) if with_images => format!("[Attached image {name:?}, {mime_type}]"),
                FileContent::Image(_) => format!("[Attached image {name:?}, {mime_type}, which you cannot see]"),
                FileContent::Omitted => format!("[Attached file {name:?}, {mime_type}, whose content is not shown]"),
            },
        );
        if let FileContent::Image(url) = content
            && with_images
        {
            images.push(url.clone());
        }
    }
    if text.is_empty() {
        text.push_str(NO_MESSAGE);
    }
    Block::User { text, images, is_of_tools: false }
}

/// Returns a user message with the images of tools.
fn tool_images(files: &[AttachedFile], with_images: bool) -> Block {
    let mut block = user(TOOL_IMAGES, files, with_images);
    if let Block::User { is_of_tools, .. } = &mut block {
        *is_of_tools = true;
    }
    block
}

/// Appends a paragraph, unless it is blank.
fn append(text: &mut String, paragraph: &str) {
    if paragraph.trim().is_empty() {
        return;
    }
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(paragraph);
}

fn joined(mut first: String, second: &str) -> String {
    append(&mut first, second);
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use threadline_schema::ids::AttachmentId;

    #[test]
    fn images_of_tools_do_not_end_a_turn() {
        let call = ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into(), echo: None };
        let image = AttachedFile {
            id: AttachmentId::nil(),
            name: "image 1".into(),
            mime_type: "image/png".into(),
            content: FileContent::Image("data:image/png;base64,QQ==".into()),
        };
        let mut messages = vec![
            Message::User("question".into()),
            Message::Assistant { text: String::new(), tool_calls: vec![call] },
            Message::Tool { call_id: "c".into(), content: "{}".into() },
            Message::ToolImages(vec![image]),
        ];
        let names = ToolNames::new(["look"].into_iter(), false);
        let turn_start = |messages: &[Message]| {
            let conversation = Conversation::new(messages, &Dialect::default(), &names, true);
            assert!(matches!(conversation.blocks.last(), Some(Block::User { .. })));
            conversation.turn_start()
        };
        assert_eq!(turn_start(&messages), 0);
        messages.push(Message::User("next".into()));
        assert_ne!(turn_start(&messages), 0, "a message of the user does");
    }
}
