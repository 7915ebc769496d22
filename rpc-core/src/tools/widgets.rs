//! Widgets that results of tools are shown as.
//!
//! | file | does |
//! | --- | --- |
//! | `tasks.rs` | the to-do list as a widget |
//! | `taken.rs` | the widget in a result of somebody else's tool |

mod taken;
mod tasks;

pub(super) use taken::{MAX_BYTES, take};
pub(super) use tasks::{complete, list};

use threadline_schema::chatkit::widget::WidgetRoot;

/// Name of the action that completes a task.
pub(super) const COMPLETE_TASK: &str = "tasks.complete";

/// What a result is shown as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) widget: WidgetRoot,
    /// What copying it gives.
    pub(crate) copy_text: Option<String>,
    /// Whether it is not shown after all when the same answer changes something, or has one like it again.
    pub(crate) is_overview: bool,
}
