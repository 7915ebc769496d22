//! How a call ended.

use crate::ask_user;
use crate::output::ToolImage;
use crate::tool::Tool;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;
use threadline_schema::tool_result::WidgetView;
use threadline_schema::tool_result::{UNKNOWN_OUTCOME, UNKNOWN_RESULT};

/// Metric label for calls of tools that do not exist.
pub(crate) const UNKNOWN_TOOL: &str = "unknown";

/// What the user reads when the called service has refused a call.
const SERVICE_FAILED: &str = "The service behind this tool refused the request. Nothing was done.";

/// The end of one call.
#[derive(Debug)]
pub struct ToolResult {
    /// JSON text for the model.
    pub content: String,
    /// Images of the result, for models that can see.
    pub images: Vec<ToolImage>,
    /// What went wrong, for the user; `None` if the call succeeded.
    pub failure: Option<Failure>,
    /// Whether the call had its effect.
    pub outcome: CallOutcome,
    /// The widget that shows the result to the user.
    pub widget: Option<WidgetView>,
    /// Whether the call may have changed data, so that widgets from before it may be outdated.
    pub may_have_changed_data: bool,
}

/// Whether a call had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// It had.
    Ok,
    /// It had not.
    Error,
    /// It may or may not have had.
    Unknown,
}

impl CallOutcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

impl ToolResult {
    /// Returns the result of a call without effect.
    pub(crate) fn failed(tool: &str, failure: Failure) -> Self {
        tracing::debug!(tool, error = failure.message, "tool call failed");
        Self {
            content: json!({"error": failure.message}).to_string(),
            images: Vec::new(),
            failure: Some(failure),
            outcome: CallOutcome::Error,
            widget: None,
            may_have_changed_data: false,
        }
    }

    /// Returns the result of a call that the called service has refused, with the text of that service.
    pub(crate) fn failed_in_service(tool: &str, request_id: &str, text: &str) -> Self {
        tracing::info!(tool, request_id, error = text, "service of a tool refused a call");
        let failure = Failure { code: ErrorCode::UpstreamError, message: SERVICE_FAILED.to_owned() };
        Self { content: json!({ "error": text }).to_string(), ..Self::failed(tool, failure) }
    }

    /// Returns the result of a call whose effect is in doubt.
    pub(crate) fn unknown(tool: &str, has_side_effects: bool) -> Self {
        tracing::warn!(tool, "outcome of a tool call is unknown");
        Self {
            content: UNKNOWN_RESULT.to_owned(),
            images: Vec::new(),
            failure: Some(Failure { code: ErrorCode::UpstreamError, message: UNKNOWN_OUTCOME.to_owned() }),
            outcome: CallOutcome::Unknown,
            widget: None,
            may_have_changed_data: has_side_effects,
        }
    }
}

/// Records the metrics of one call when it is dropped. A call whose future is dropped half-way counts as `unknown`.
pub(crate) struct CallMetrics<'a> {
    /// Metric label. Never text from the model, which would create any number of series.
    pub(crate) tool: &'a str,
    started: Instant,
    outcome: CallOutcome,
}

impl<'a> CallMetrics<'a> {
    pub(crate) fn start(tool: &'a str) -> Self {
        Self { tool, started: Instant::now(), outcome: CallOutcome::Unknown }
    }

    pub(crate) fn finish(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for CallMetrics<'_> {
    fn drop(&mut self) {
        count_call(self.tool, self.outcome);
        metrics::histogram!("threadline_tool_seconds", "tool" => self.tool.to_owned())
            .record(self.started.elapsed().as_secs_f64());
    }
}

/// Counts a call that was in flight when its process died. `tools` are all tools of the service.
pub fn record_unknown_outcome(mut tools: impl Iterator<Item = Arc<dyn Tool>>, name: &str) {
    let is_known = name == ask_user::NAME || tools.any(|tool| tool.name() == name);
    count_call(if is_known { name } else { UNKNOWN_TOOL }, CallOutcome::Unknown);
}

fn count_call(tool: &str, outcome: CallOutcome) {
    metrics::counter!("threadline_tool_calls_total", "tool" => tool.to_owned(), "outcome" => outcome.label())
        .increment(1);
}
