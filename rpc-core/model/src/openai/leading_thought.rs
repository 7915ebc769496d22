//! Separates thoughts that a server leaves in the text: a block in tags at the start.

use super::clean_text::{is_blank_char, without_blank_lines};

/// Tags around thoughts, in lower case: those of Qwen, DeepSeek and most others, of Gemma, Magistral, Seed-OSS,
/// Kimi-VL, OpenThinker and Command A.
const TAGS: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<reasoning>", REASONING_END),
];
/// A word of its own in texts about markup: alone, it ends no thought.
const REASONING_END: &str = "</reasoning>";

/// One part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Thought(String),
    Text(String),
    /// All text so far was a thought: only the closing tag came, because the opening one is part of the model's
    /// template.
    TextWasThought,
}

/// The text of one response between its pieces. Nothing leaves it before a character that is not blank.
#[derive(Default)]
pub(super) struct LeadingThought {
    state: State,
    /// What cannot be decided yet: blanks, or the beginning of a tag.
    held: String,
    /// Whether the text so far ends inside a code block, where a tag is text.
    is_in_code: bool,
    /// Backticks at the end of the text so far.
    backticks: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first character of text.
    #[default]
    Start,
    /// Inside a block, which this tag ends.
    Thought(&'static str),
    /// After the first character of text. A closing tag without an opening one can follow.
    Text,
    /// Tags are text.
    Plain,
}

impl LeadingThought {
    /// Adds a piece of text.
    pub(super) fn push(&mut self, piece: &str, parts: &mut Vec<Part>) {
        // The first bytes of a tag, and of a code block. A search for characters is slower, and most pieces have none.
        let is_ordinary = !piece.bytes().any(|byte| matches!(byte, b'<' | b'[' | b'`' | 0xe2));
        if matches!(self.state, State::Text | State::Plain) && self.held.is_empty() && is_ordinary {
            if !piece.is_empty() {
                self.backticks = 0;
                parts.push(Part::Text(piece.to_owned()));
            }
            return;
        }
        self.held.push_str(piece);
        while self.step(parts) {}
    }

    /// Ends the text.
    pub(super) fn finish(&mut self, parts: &mut Vec<Part>) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Thought(_) => push_thought(held, parts),
            State::Start if held.chars().all(is_blank_char) => {}
            State::Start => parts.push(Part::Text(without_blank_lines(&held).to_owned())),
            State::Text | State::Plain if held.is_empty() => {}
            State::Text | State::Plain => parts.push(Part::Text(held)),
        }
    }

    /// Decides what can be decided. Returns whether the state has changed.
    fn step(&mut self, parts: &mut Vec<Part>) -> bool {
        match self.state {
            State::Start => self.begin(),
            State::Thought(close) => self.think(close, parts),
            State::Text => self.speak(parts),
            State::Plain => {
                self.emit_text(self.held.len(), parts);
                false
            }
        }
    }

    fn begin(&mut self) -> bool {
        let words = self.held.trim_start_matches(is_blank_char);
        if words.is_empty() {
            return false;
        }
        for (open, close) in TAGS {
            for (tag, state) in [(open, State::Thought(close)), (close, State::Start)] {
                if let Some(rest) = strip_tag(words, tag) {
                    self.held = rest.to_owned();
                    self.state = state;
                    return true;
                }
            }
        }
        if TAGS.iter().any(|(open, close)| begins_tag(words, open) || begins_tag(words, close)) {
            return false;
        }
        self.held = without_blank_lines(&self.held).to_owned();
        self.state = State::Text;
        true
    }

    fn think(&mut self, close: &'static str, parts: &mut Vec<Part>) -> bool {
        let (end, rest) = match find_tag(&self.held, close) {
            Some(at) => (at, Some(at + close.len())),
            None => (self.held.len() - held_back(&self.held, &[close]), None),
        };
        let thought = self.held.get(..end).unwrap_or_default().to_owned();
        push_thought(thought, parts);
        self.held = self.held.get(rest.unwrap_or(end)..).unwrap_or_default().to_owned();
        if rest.is_some() {
            self.state = State::Start;
        }
        rest.is_some()
    }

    fn speak(&mut self, parts: &mut Vec<Part>) -> bool {
        let tags: Vec<&str> = TAGS.iter().map(|(_, close)| *close).filter(|close| *close != REASONING_END).collect();
        let found = tags.iter().filter_map(|tag| Some((find_tag(&self.held, tag)?, tag.len()))).min();
        let Some((at, length)) = found else {
            self.emit_text(self.held.len() - held_back(&self.held, &tags), parts);
            return false;
        };
        self.emit_text(at, parts);
        if self.is_in_code || self.backticks > 0 {
            self.state = State::Plain;
            return true;
        }
        self.held = self.held.get(length..).unwrap_or_default().to_owned();
        parts.push(Part::TextWasThought);
        self.state = State::Start;
        true
    }

    fn emit_text(&mut self, length: usize, parts: &mut Vec<Part>) {
        let rest = self.held.split_off(length);
        let text = std::mem::replace(&mut self.held, rest);
        if text.is_empty() {
            return;
        }
        for char in text.chars() {
            self.backticks = if char == '`' { self.backticks + 1 } else { 0 };
            self.is_in_code ^= self.backticks == 3;
        }
        parts.push(Part::Text(text));
    }
}

fn push_thought(thought: String, parts: &mut Vec<Part>) {
    if !thought.is_empty() {
        parts.push(Part::Thought(thought));
    }
}

fn strip_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let start = text.get(..tag.len())?;
    if start.eq_ignore_ascii_case(tag) { text.get(tag.len()..) } else { None }
}

/// Returns whether `text` is the beginning of a tag and ends before it does.
fn begins_tag(text: &str, tag: &str) -> bool {
    text.len() < tag.len() && tag.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}

fn find_tag(text: &str, tag: &str) -> Option<usize> {
    text.char_indices().map(|(at, _)| at).find(|at| text.get(*at..).is_some_and(|text| strip_tag(text, tag).is_some()))
}

/// Returns how many bytes at the end of `text` can be the beginning of one of the tags.
fn held_back(text: &str, tags: &[&str]) -> usize {
    let longest = tags.iter().map(|tag| tag.len()).max().unwrap_or_default();
    let from = text.len().saturating_sub(longest);
    let mut ends = text.char_indices().map(|(at, _)| at).skip_while(|at| *at < from);
    let is_begun = |at: &usize| text.get(*at..).is_some_and(|end| tags.iter().any(|tag| begins_tag(end, tag)));
    ends.find(is_begun).map_or(0, |at| text.len() - at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns thought and text.
    fn split(pieces: &[&str]) -> (String, String) {
        let mut parts = Vec::new();
        let mut tags = LeadingThought::default();
        for piece in pieces {
            tags.push(piece, &mut parts);
        }
        tags.finish(&mut parts);
        let (mut thought, mut text) = (String::new(), String::new());
        for part in parts {
            match part {
                Part::Thought(part) => thought.push_str(&part),
                Part::Text(part) => text.push_str(&part),
                Part::TextWasThought => thought.push_str(&std::mem::take(&mut text)),
            }
        }
        (thought, text)
    }

    #[test]
    fn blocks_at_the_start_are_thoughts_however_they_are_divided() {
        for (text, thought, answer) in [
            ("<think>\nhm\n</think>\n\nHi", "\nhm\n", "Hi"),
            ("\n<Thinking>hm</thinking>Hi <b>you</b>", "hm", "Hi <b>you</b>"),
            ("[THINK]hm[/THINK]Hi", "hm", "Hi"),
            ("◁think▷hm◁/think▷Hi", "hm", "Hi"),
            ("<|begin_of_thought|>hm<|end_of_thought|>Hi", "hm", "Hi"),
            ("<|START_THINKING|>hm<|END_THINKING|>Hi", "hm", "Hi"),
            ("<reasoning>hm</reasoning>Hi", "hm", "Hi"),
            ("A block ends with </reasoning>.", "", "A block ends with </reasoning>."),
            ("<think></think>\n\nHi", "", "Hi"),
            ("<think>a</think>\n<think>b</think>Hi", "ab", "Hi"),
            ("</think>\n\nHi", "", "Hi"),
            ("hm\n</think>\n\nHi", "hm\n", "Hi"),
            ("The tag `</think>` ends a thought.", "", "The tag `</think>` ends a thought."),
            ("Code:\n```\nx</think>\n```", "", "Code:\n```\nx</think>\n```"),
            ("Hi <think>no</", "", "Hi <think>no</"),
            ("<thi", "", "<thi"),
            ("<think>never ends", "never ends", ""),
            (" \n\u{200b}\n", "", ""),
            ("\n\n    code", "", "    code"),
            ("1 < 2 and [x]", "", "1 < 2 and [x]"),
        ] {
            let expected = (thought.to_owned(), answer.to_owned());
            assert_eq!(split(&[text]), expected, "{text}");
            let single: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(split(&single.iter().map(String::as_str).collect::<Vec<_>>()), expected, "{text} by character");
            for (at, _) in text.char_indices() {
                let (before, after) = text.split_at(at);
                assert_eq!(split(&[before, after]), expected, "{text} cut at {at}");
            }
        }
    }
}
