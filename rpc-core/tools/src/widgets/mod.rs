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
