//! The assistant: produces the output of a run.
//!
//! [`AnswerDriver`] answers a message: prompt, model, tools, and again, until the model answers in text.
//! [`WidgetActionDriver`] runs the action of a widget: one tool call, without a model.

mod abandon_pending;
mod answer;
mod error;
mod in_flight_call;
mod model_chain;
mod prompt;
mod run_calls;
mod titles;
mod tool_results;
mod widget_action;

pub(crate) use answer::AnswerDriver;
pub(crate) use error::AgentError;
pub(crate) use titles::{start_title, title_words};
pub(crate) use widget_action::{WidgetActionDriver, WidgetCall, update_stored_widget, widget_of};

use crate::attachments::Attachments;
use crate::model::Model;
use crate::store::{Clock, Store};
use std::sync::Arc;

/// What drivers use.
pub(crate) struct AgentServices {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) model: Arc<dyn Model>,
    pub(crate) attachments: Arc<Attachments>,
    /// How many of the newest items the model reads.
    pub(crate) history_items: u32,
}
