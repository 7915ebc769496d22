//! Counts what the model layer does not understand. It never loses an answer by that.

use std::sync::atomic::{AtomicBool, Ordering};

/// A kind of value that was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unrecognized {
    /// An event that is not JSON.
    Event,
    /// A chunk that names another choice than the one that was asked for.
    Choice,
    /// A part of the content that is neither text nor a thought.
    Content,
    FinishReason,
    /// An element of `tool_calls` that is not a call.
    ToolCall,
    /// An index of a tool call that is not a position in a list.
    ToolIndex,
    /// A tool call without a name.
    ToolName,
    Usage,
}

/// Which kinds have been logged.
static LOGGED: [AtomicBool; 8] = [const { AtomicBool::new(false) }; 8];

impl Unrecognized {
    fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Choice => "choice",
            Self::Content => "content",
            Self::FinishReason => "finish_reason",
            Self::ToolCall => "tool_call",
            Self::ToolIndex => "tool_index",
            Self::ToolName => "tool_name",
            Self::Usage => "usage",
        }
    }

    /// Counts a value, and logs the first one of its kind. Not the value itself: it can contain text of a user.
    pub(super) fn report(self) {
        self.report_value("");
    }

    /// Like [`Self::report`], for a value that is not text of a user.
    pub(super) fn report_value(self, value: &str) {
        metrics::counter!("threadline_model_unrecognized_total", "kind" => self.name()).increment(1);
        let is_logged = LOGGED.get(self as usize).is_none_or(|logged| logged.swap(true, Ordering::Relaxed));
        if !is_logged {
            let value: String = value.chars().take(64).collect();
            tracing::warn!(
                kind = self.name(),
                value,
                "model's server sent something that is not understood; it is ignored, and further ones are only counted"
            );
        }
    }
}
