//! Shortens a prompt until it fits. The parts that matter least to the model are shortened first.

use super::estimate::{bytes_of, estimate};
use crate::model::{FileContent, Message, UserInput};
use std::borrow::Cow;
use std::sync::Arc;

/// Bytes that stay of the result of a tool, and of a text file, in an earlier turn.
const EARLIER_TEXT_BYTES: usize = 600;

/// Bytes that stay of a result of a tool in the current turn, if the results of that turn alone do not fit.
const CURRENT_TEXT_BYTES: usize = 1_200;

/// Minimum number of bytes that stay of a text.
const MIN_TEXT_BYTES: usize = 200;

/// What the model reads in place of the turns that are left out.
const TURNS_LEFT_OUT: &str = "[The beginning of this conversation is left out: it is too long to be read at once.]";

/// Returns the prompt with at most `budget` tokens, as [`estimate`] counts them, and how many messages of old turns are
/// left out. The first `head` messages are not turns, and stay: the instructions, and a summary.
///
/// In this order: long results of tools and files of earlier turns are shortened; their images are left out; the oldest
/// turns are left out, each as a whole; images of tools are left out; long results of tools of the current turn are
/// shortened; its oldest tool calls are left out; its files; and last the middle of the user's own message. The
/// instructions and the last message of the user are always there, so the result can be longer than the budget if the
/// instructions are. If that message has at most `uncut` tokens, it stays as it is.
pub(super) fn fit(messages: Cow<'_, [Message]>, head: usize, budget: u64, uncut: u64) -> (Cow<'_, [Message]>, usize) {
    let tokens: Vec<u64> = messages.iter().map(estimate).collect();
    let total = tokens.iter().sum();
    if total <= budget {
        return (messages, 0);
    }
    let mut prompt = Prompt { messages: messages.into_owned(), head, tokens, total, budget };
    let current = prompt.current_turn();
    for index in 0..current {
        prompt.shorten_text(index, EARLIER_TEXT_BYTES);
    }
    for index in 0..current {
        prompt.leave_out_images(index);
    }
    let left_out = prompt.leave_out_turns();
    // The images of tools, the oldest first. Those of the user go last.
    for index in prompt.current_turn() + 1..prompt.messages.len() {
        prompt.leave_out_images(index);
    }
    for bytes in [CURRENT_TEXT_BYTES, MIN_TEXT_BYTES] {
        for index in prompt.current_turn()..prompt.messages.len() {
            prompt.shorten_result(index, bytes);
        }
    }
    prompt.leave_out_calls();
    let user = prompt.current_turn();
    prompt.shorten_text(user, CURRENT_TEXT_BYTES);
    prompt.leave_out_images(user);
    prompt.shorten_text(user, 0);
    if prompt.tokens.get(user).is_some_and(|tokens| *tokens > uncut) {
        prompt.cut_message(user);
    }
    (Cow::Owned(prompt.messages), left_out)
}

/// A prompt that is being shortened. Each step does nothing once the prompt fits.
struct Prompt {
    messages: Vec<Message>,
    /// How many messages come before the first turn.
    head: usize,
    /// Estimated tokens of each message.
    tokens: Vec<u64>,
    total: u64,
    budget: u64,
}

impl Prompt {
    fn fits(&self) -> bool {
        self.total <= self.budget
    }

    /// Returns the index of the last message of the user.
    fn current_turn(&self) -> usize {
        self.messages.iter().rposition(|message| matches!(message, Message::User(_))).unwrap_or(0)
    }

    /// Applies a change to a message, unless the prompt fits.
    fn change(&mut self, index: usize, change: impl FnOnce(&mut Message)) {
        if self.fits() {
            return;
        }
        if let (Some(message), Some(tokens)) = (self.messages.get_mut(index), self.tokens.get_mut(index)) {
            change(message);
            let now = estimate(message);
            self.total = self.total - *tokens + now;
            *tokens = now;
        }
    }

    /// Shortens the result of a tool, or the text files of a user's message, to `bytes` each.
    fn shorten_text(&mut self, index: usize, bytes: usize) {
        self.shorten_result(index, bytes);
        self.change(index, |message| {
            let Message::User(UserInput { attachments, .. }) = message else { return };
            for file in attachments {
                match &file.content {
                    FileContent::Text(_) if bytes == 0 => file.content = FileContent::Omitted,
                    FileContent::Text(text) if text.len() > bytes => {
                        file.content = FileContent::Text(Arc::from(shortened(text, bytes)));
                    }
                    _ => {}
                }
            }
        });
    }

    fn shorten_result(&mut self, index: usize, bytes: usize) {
        self.change(index, |message| {
            if let Message::Tool { content, .. } = message
                && content.len() > bytes
            {
                *content = shortened(content, bytes);
            }
        });
    }

    fn leave_out_images(&mut self, index: usize) {
        self.change(index, |message| {
            let files = match message {
                Message::User(UserInput { attachments, .. }) => attachments,
                Message::ToolImages(images) => images,
                _ => return,
            };
            for file in files {
                if matches!(file.content, FileContent::Image(_)) {
                    file.content = FileContent::Omitted;
                }
            }
        });
    }

    /// Leaves out as few turns as possible, the oldest first. A turn begins with a message of the user. Returns how
    /// many messages it leaves out.
    fn leave_out_turns(&mut self) -> usize {
        if self.fits() {
            return 0;
        }
        let (first, current) = (self.head, self.current_turn());
        if let Some(Message::System(text)) = self.messages.first_mut() {
            text.push_str("\n\n");
            text.push_str(TURNS_LEFT_OUT);
        }
        self.recount();
        let mut keep_from = first;
        while keep_from < current && !self.fits() {
            let next = self.messages.iter().enumerate().skip(keep_from + 1);
            let next = next.take(current - keep_from).find(|(_, message)| matches!(message, Message::User(_)));
            let next = next.map_or(current, |(index, _)| index);
            self.total -= self.tokens.get(keep_from..next).map_or(0, |left_out| left_out.iter().sum());
            keep_from = next;
        }
        self.messages.drain(first..keep_from);
        self.tokens.drain(first..keep_from);
        keep_from - first
    }

    /// Leaves out tool calls of the current turn with their results, the oldest first. Those of the last request stay.
    fn leave_out_calls(&mut self) {
        let begins = |message: &Message| matches!(message, Message::Assistant { .. });
        loop {
            let start = self.current_turn() + 1;
            let rounds = self.messages.iter().enumerate().skip(start).filter(|(_, message)| begins(message));
            let [first, second] = match rounds.map(|(index, _)| index).take(2).collect::<Vec<_>>()[..] {
                [first, second] if !self.fits() => [first, second],
                _ => return,
            };
            self.messages.drain(first..second);
            self.recount();
        }
    }

    /// Cuts the middle of the user's message. The end is worth more: a message that joins several has the newest there.
    fn cut_message(&mut self, index: usize) {
        let excess = bytes_of(self.total.saturating_sub(self.budget));
        self.change(index, |message| {
            if let Message::User(UserInput { text, .. }) = message {
                let bytes = text.len().saturating_sub(excess).max(MIN_TEXT_BYTES);
                if text.len() > bytes {
                    *text = cut(text, bytes / 4, bytes - bytes / 4);
                }
            }
        });
    }

    fn recount(&mut self) {
        self.tokens = self.messages.iter().map(estimate).collect();
        self.total = self.tokens.iter().sum();
    }
}

/// Shortens a text to about `bytes`. The beginning is worth more: it says what the text is.
pub(in crate::agent) fn shortened(text: &str, bytes: usize) -> String {
    let tail = bytes / 4;
    cut(text, bytes - tail, tail)
}

/// Returns at most `bytes` of the beginning of a text, up to the end of a word. Without a note: a model that reads what
/// a model has written repeats notes as if they were a part of it.
pub(in crate::agent) fn beginning(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let start = text.get(..text.floor_char_boundary(bytes)).unwrap_or_default();
    start.rfind(char::is_whitespace).and_then(|end| start.get(..end)).unwrap_or(start).trim_end()
}

/// Returns the first `head` and the last `tail` bytes of a text, with a note about the rest between them.
fn cut(text: &str, head: usize, tail: usize) -> String {
    let head = text.floor_char_boundary(head);
    let tail = text.ceil_char_boundary(text.len().saturating_sub(tail)).max(head);
    let (start, rest) = text.split_at(head);
    let (middle, end) = rest.split_at(tail - head);
    let note = format!("\n[... {} bytes left out ...]\n", middle.len());
    // A note that is longer than the text that it replaces saves nothing.
    if note.len() >= middle.len() { text.to_owned() } else { format!("{start}{note}{end}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AttachedFile, ToolCall};
    use proptest::prelude::*;
    use threadline_schema::ids::AttachmentId;

    /// Fits a prompt whose only message before the turns is the first.
    fn fit(prompt: &[Message], budget: u64) -> Cow<'_, [Message]> {
        super::fit(Cow::Borrowed(prompt), 1, budget, 0).0
    }

    fn user(text: &str) -> Message {
        Message::User(text.into())
    }

    fn assistant(text: &str) -> Message {
        Message::Assistant { text: text.into(), tool_calls: Vec::new() }
    }

    fn call(id: &str) -> Message {
        let call = ToolCall { id: id.into(), name: "t".into(), arguments: "{}".into(), ..ToolCall::default() };
        Message::Assistant { text: String::new(), tool_calls: vec![call] }
    }

    fn result(id: &str, content: &str) -> Message {
        Message::Tool { call_id: id.into(), content: content.into() }
    }

    fn total(messages: &[Message]) -> u64 {
        messages.iter().map(estimate).sum()
    }

    #[test]
    fn a_prompt_that_fits_is_not_changed() {
        let prompt = [Message::System("be kind".into()), user("one"), assistant("two"), user("three")];
        assert!(matches!(fit(&prompt, total(&prompt)), Cow::Borrowed(_)));
    }

    #[test]
    fn results_of_earlier_turns_are_shortened_before_turns_are_left_out() {
        let long = "x".repeat(9_000);
        let prompt =
            [Message::System("s".into()), user("one"), call("a"), result("a", &long), assistant("two"), user("three")];
        let fitted = fit(&prompt, 500);
        assert_eq!(fitted.len(), prompt.len());
        let Message::Tool { content, .. } = &fitted[3] else { panic!("{fitted:?}") };
        assert!(content.len() < 700 && content.contains("[... 8400 bytes left out ...]"), "{content}");
    }

    #[test]
    fn images_of_earlier_turns_are_left_out_before_text() {
        let image = |content| AttachedFile {
            id: AttachmentId::nil(),
            name: "cat.png".into(),
            mime_type: "image/png".into(),
            content,
        };
        let with = |content| Message::User(UserInput { text: "look".into(), attachments: vec![image(content)] });
        let prompt = [
            Message::System("s".into()),
            with(FileContent::Image("data:".into())),
            assistant("a cat"),
            with(FileContent::Image("data:".into())),
        ];
        let fitted = fit(&prompt, 2_000);
        let expected = [Message::System("s".into()), with(FileContent::Omitted), assistant("a cat"), prompt[3].clone()];
        assert_eq!(fitted[..], expected[..]);
    }

    #[test]
    fn images_of_tools_belong_to_the_turn_of_the_question() {
        let image = |content| {
            let (name, mime_type) = ("image 1".into(), "image/png".into());
            Message::ToolImages(vec![AttachedFile { id: AttachmentId::nil(), name, mime_type, content }])
        };
        let round = |content| [call("a"), result("a", "seen"), image(content)];
        let prompt = |first, second| {
            let start = [Message::System("s".into()), user("what is it?")];
            start.into_iter().chain(round(first)).chain(round(second)).collect::<Vec<_>>()
        };
        let shown = || FileContent::Image("data:".into());
        // The older image goes first, and the question stays.
        let fitted = fit(&prompt(shown(), shown()), 2_000).into_owned();
        assert!(matches!(&fitted[1], Message::User(input) if input.text == "what is it?"), "{fitted:?}");
        assert_eq!(fitted[1..], prompt(FileContent::Omitted, shown())[1..]);
    }

    #[test]
    fn the_oldest_turns_are_left_out_as_a_whole() {
        let words = "word ".repeat(60);
        let mut prompt = vec![Message::System("be kind".into())];
        for turn in 0..10 {
            prompt.extend([user(&format!("question {turn} {words}")), call("a"), result("a", "ok"), assistant(&words)]);
        }
        prompt.push(user("last"));
        let fitted = fit(&prompt, 700);
        assert!(total(&fitted) <= 700);
        assert_eq!(fitted[0], Message::System(format!("be kind\n\n{TURNS_LEFT_OUT}")));
        assert!(matches!(&fitted[1], Message::User(input) if input.text.starts_with("question 8")), "{fitted:?}");
        assert_eq!(fitted.last(), Some(&user("last")));
    }

    #[test]
    fn the_last_message_stays_however_long_it_is() {
        let long = format!("begin {} end", "é".repeat(50_000));
        let prompt = [Message::System("s".into()), user("one"), assistant("two"), user(&long)];
        let fitted = fit(&prompt, 400);
        let [_, Message::User(input)] = &fitted[..] else { panic!("{fitted:?}") };
        assert!(input.text.starts_with("begin ") && input.text.ends_with(" end"));
        assert!(total(&fitted) <= 440, "{}", total(&fitted));
    }

    #[test]
    fn a_last_message_that_may_be_read_is_not_cut() {
        let prompt = [Message::System("s".into()), user("one"), assistant("two"), user(&"word ".repeat(200))];
        for (uncut, is_whole) in [(estimate(&prompt[3]), true), (100, false)] {
            let (fitted, left_out) = super::fit(Cow::Borrowed(&prompt), 1, 0, uncut);
            assert_eq!((fitted.last() == prompt.last(), left_out), (is_whole, 2));
        }
    }

    #[test]
    fn a_long_current_turn_keeps_its_last_call() {
        let long = "y".repeat(5_000);
        let prompt = [
            Message::System("s".into()),
            user("do it"),
            call("a"),
            result("a", &long),
            call("b"),
            result("b", &long),
            call("c"),
            result("c", &long),
        ];
        let fitted = fit(&prompt, 150);
        assert_eq!(fitted.len(), 4, "{fitted:?}");
        assert_eq!(fitted[2], call("c"));
        assert!(total(&fitted) <= 150, "{}", total(&fitted));
    }

    fn arbitrary_turn() -> impl Strategy<Value = Vec<Message>> {
        let text = || "[a-zé🥛 ]{0,400}";
        (text(), prop::collection::vec(text(), 0..3), text()).prop_map(|(question, results, answer)| {
            let mut turn = vec![user(&question)];
            for content in results {
                turn.extend([call("a"), result("a", &content)]);
            }
            turn.push(assistant(&answer));
            turn
        })
    }

    proptest! {
        /// Whatever the conversation: instructions first, then a message of the user, the last one of it, and each call
        /// with its result.
        #[test]
        fn a_shortened_prompt_is_a_prompt(
            turns in prop::collection::vec(arbitrary_turn(), 0..8), last in "[a-zé ]{1,400}", budget in 0u64..2_000,
        ) {
            let mut prompt = vec![Message::System("be kind".into())];
            prompt.extend(turns.into_iter().flatten());
            prompt.push(user(&last));
            let fitted = fit(&prompt, budget);
            prop_assert!(matches!(&fitted[0], Message::System(text) if text.starts_with("be kind")));
            prop_assert!(matches!(&fitted[1], Message::User(_)));
            prop_assert!(matches!(fitted.last(), Some(Message::User(_))));
            prop_assert!(total(&fitted) <= total(&prompt) + 40);
            for pair in fitted.windows(2) {
                let is_call = matches!(&pair[0], Message::Assistant { tool_calls, .. } if !tool_calls.is_empty());
                prop_assert_eq!(is_call, matches!(&pair[1], Message::Tool { .. }));
            }
        }
    }
}
