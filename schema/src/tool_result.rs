//! Results of tool calls: those that the service writes itself, and widgets that show a result. Clients see the results
//! in `tool_calls`.

use crate::chatkit::widget::WidgetRoot;

/// A widget that shows the result of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct WidgetView {
    /// The widget.
    pub widget: WidgetRoot,
    /// The text that copying the widget gives.
    pub copy_text: Option<String>,
    /// Whether the widget gives an overview of data, such as a list. It is not shown if a later call of the same run
    /// changes data or returns another overview.
    pub is_overview: bool,
}

/// The result of a call that started and whose end is not known. JSON text.
pub const UNKNOWN_RESULT: &str = r#"{"status":"unknown","error":"The call was interrupted. It may or may not have taken effect; check before repeating it."}"#;

/// The result of a call that the model asked for and that did not start. JSON text.
pub const NOT_MADE_RESULT: &str =
    r#"{"status":"not_made","error":"The answer was stopped before this call was made."}"#;

/// The result of a call that waited for the client or the user when the conversation continued without an answer. JSON
/// text.
pub const NOT_DONE_RESULT: &str = r#"{"status":"not_done","error":"The user went on without answering this call."}"#;

/// Tells the user, in the workflow, that the end of a call is not known.
pub const UNKNOWN_OUTCOME: &str = "Outcome unknown. It may or may not have taken effect.";
