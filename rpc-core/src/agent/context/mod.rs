//! The context window: how many tokens a model can read, and which part of a conversation fits.
//!
//! [`ContextWindows`] knows how many tokens each model reads. [`Conversation`] is shortened to that number.

mod conversation;
mod estimate;
mod fit;
mod windows;

pub(super) use conversation::{Conversation, EarlierTurns, Turn, WantedSummary};
pub(super) use estimate::{bytes_of, estimate};
pub(super) use fit::{beginning, shortened};
pub(crate) use windows::ContextWindows;
