//! The context window: how many tokens a model can read, and which part of a conversation fits.
//!
//! [`ContextWindows`] knows how many tokens each model reads. [`fit`] shortens a prompt to that number.

mod estimate;
mod fit;
mod windows;

pub(super) use estimate::estimate;
pub(super) use fit::fit;
pub(crate) use windows::ContextWindows;
