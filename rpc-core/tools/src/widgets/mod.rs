//! Widgets in the results of tools.
//!
//! | file | does |
//! | --- | --- |
//! | `extract.rs` | takes the widget out of a result |
//! | `validate.rs` | checks a widget against the types of its components |
//! | `diff.rs` | computes the updates that turn one widget into another |

mod diff;
mod extract;
mod validate;

pub use diff::diff;
pub(crate) use extract::{MAX_BYTES, extract_widget};
pub use validate::{WidgetError, parse_widget};

use threadline_schema::chatkit::widget::WidgetRoot;

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
