//! A conversation as a prompt, and the part of it that fits into the context window.

use super::estimate::{bytes_of, estimate};
use super::fit::{beginning, fit};
use crate::model::{Message, UserInput};
use std::borrow::Cow;

/// Minimum tokens for a summary. A shorter one is not worth its place.
const MIN_SUMMARY_TOKENS: u64 = 40;

/// Maximum number of tokens that the result of a tool counts in an earlier turn: prompts that are too long have it
/// shortened.
const MAX_EARLIER_RESULT_TOKENS: u64 = 220;

/// The messages of a prompt before it is shortened, and what stands for those before them.
#[derive(Debug, Clone, Default)]
pub(in crate::agent) struct Conversation {
    /// The instructions, then the turns, oldest first.
    pub(in crate::agent) messages: Vec<Message>,
    /// Where turns begin, oldest first. The last one is the current turn.
    pub(in crate::agent) turns: Vec<Turn>,
    /// Whether the thread has items before those in `messages`.
    pub(in crate::agent) is_partial: bool,
    /// The summary of the thread's oldest items.
    pub(in crate::agent) summary: Option<EarlierTurns>,
}

/// Where a turn begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) struct Turn {
    /// Index of the message of the user.
    pub(in crate::agent) message: usize,
    /// Position of its item in the thread.
    pub(in crate::agent) position: i64,
}

/// A summary of the oldest turns of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct EarlierTurns {
    /// The summary.
    pub(in crate::agent) text: String,
    /// Position of the last item in it.
    pub(in crate::agent) through: i64,
}

/// A summary that a prompt has lacked: turns were left out, and no summary has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) struct WantedSummary {
    /// Position before which the turns are.
    pub(in crate::agent) before: i64,
    /// Tokens of the prompt, as [`estimate`] counts them; `None` if its length is not limited.
    pub(in crate::agent) budget: Option<u64>,
}

/// The part of a conversation that a model reads.
#[derive(Debug)]
pub(in crate::agent) struct Fitted<'a> {
    pub(in crate::agent) messages: Cow<'a, [Message]>,
    /// Index of the oldest turn that is in `messages`.
    first_turn: usize,
    /// Index of the oldest turn that is not in the summary; 0 without a summary.
    first_unsummarized: usize,
}

impl Conversation {
    /// Returns the part that has at most `budget` tokens, as [`estimate`] counts them; everything without a budget.
    ///
    /// If everything fits, nothing is changed. Otherwise the summary replaces its turns, and what is then still too
    /// long is shortened as [`fit`] says. The summary has at most a third of the budget. The last message of the user
    /// is not cut if it has at most `uncut` tokens.
    pub(in crate::agent) fn fit(&self, budget: Option<u64>, uncut: u64) -> Fitted<'_> {
        let Self { messages, .. } = self;
        let is_too_long = budget.is_some_and(|budget| messages.iter().map(estimate).sum::<u64>() > budget);
        let first_message = self.turns.first().map_or(messages.len(), |turn| turn.message);
        let summarized = if is_too_long || self.is_partial { self.with_summary(budget) } else { None };
        let (source, head, first_unsummarized) = match summarized {
            // The summary is behind the instructions.
            Some((source, first)) => (Cow::Owned(source), first_message + 1, first),
            None => (Cow::Borrowed(messages.as_slice()), first_message, 0),
        };
        let (messages, left_out) = match budget {
            Some(budget) => fit(source, head, budget, uncut),
            None => (source, 0),
        };
        // The messages before the first one that is read, in the whole conversation.
        let skipped = self.turns.get(first_unsummarized).map_or(0, |turn| turn.message) + left_out;
        let first_turn = self.turns.iter().position(|turn| turn.message >= skipped).unwrap_or(0);
        Fitted { messages, first_turn, first_unsummarized }
    }

    /// Returns the messages with the summary in place of its turns, and the index of the first turn after it.
    fn with_summary(&self, budget: Option<u64>) -> Option<(Vec<Message>, usize)> {
        let EarlierTurns { text, through } = self.summary.as_ref()?;
        let first = self.turns.iter().position(|turn| turn.position > *through)?;
        let (start, kept_from) = (self.turns.first()?.message, self.turns.get(first)?.message);
        let (instructions, kept) = (self.messages.get(..start)?, self.messages.get(kept_from..)?);
        let mut text = text.as_str();
        if let Some(budget) = budget {
            let free = budget.saturating_sub(instructions.iter().map(estimate).sum()) / 3;
            if free < MIN_SUMMARY_TOKENS {
                return None;
            }
            text = beginning(text, bytes_of(free));
        }
        let mut messages = Vec::with_capacity(instructions.len() + 1 + kept.len());
        messages.extend_from_slice(instructions);
        messages.push(summary_message(text));
        messages.extend_from_slice(kept);
        Some((messages, first))
    }

    /// Returns what the next summary should include; `None` if the summary has all that is left out. `fitted` is what a
    /// model has read of this conversation.
    ///
    /// The next summary reaches further than needed, to half of what fits, so that it is not needed again in each turn.
    pub(in crate::agent) fn wanted_summary(&self, fitted: &Fitted<'_>, budget: Option<u64>) -> Option<WantedSummary> {
        let through = self.summary.as_ref().map_or(-1, |summary| summary.through);
        let (first, current) = (self.turns.first()?, self.turns.last()?);
        if current.position <= through {
            // An earlier message is answered again. The summary is about what follows it, too.
            return None;
        }
        let leaves_out = fitted.first_turn > fitted.first_unsummarized;
        let misses_some = self.is_partial && first.position > through + 1;
        if !leaves_out && !misses_some {
            return None;
        }
        let half_of_items = first.position + (current.position - first.position) / 2;
        let instructions = self.messages.get(..first.message).unwrap_or_default().iter().map(estimate).sum();
        let half_of_tokens = budget.map_or(u64::MAX, |budget| budget.saturating_sub(instructions) / 2);
        let mut tokens = 0_u64;
        let mut end = self.messages.len();
        let mut keep_from = current.position;
        for (index, turn) in self.turns.iter().enumerate().rev() {
            let messages = self.messages.get(turn.message..end).unwrap_or_default();
            tokens = tokens.saturating_add(messages.iter().map(tokens_when_earlier).sum());
            let is_old = tokens > half_of_tokens || (self.is_partial && turn.position < half_of_items);
            if index < fitted.first_turn || is_old {
                break;
            }
            (keep_from, end) = (turn.position, turn.message);
        }
        (keep_from > through + 1).then_some(WantedSummary { before: keep_from, budget })
    }
}

/// Estimates the tokens of a message as it is in a long prompt when its turn is not the current one any more.
fn tokens_when_earlier(message: &Message) -> u64 {
    match message {
        Message::Tool { .. } => estimate(message).min(MAX_EARLIER_RESULT_TOKENS),
        // Images of earlier turns are left out.
        Message::ToolImages(_) => 0,
        Message::User(UserInput { text, .. }) => estimate(&Message::User(text.as_str().into())),
        Message::System(_) | Message::Assistant { .. } => estimate(message),
    }
}

/// The summary as a message. It is the user's: it can have no more weight than what the user, and tools, have said.
fn summary_message(text: &str) -> Message {
    let text = format!(
        "[The beginning of this conversation is left out: it is too long to be read at once. This is a summary of it:]\n\
         {text}\n[End of the summary. The conversation goes on.]"
    );
    Message::User(text.into())
}

#[cfg(test)]
mod tests;
