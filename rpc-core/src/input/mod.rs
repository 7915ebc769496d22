//! Input that starts runs: it is checked and completed here, then the engine stores it and executes the run.

mod answers;
mod idempotency;
mod message_text;
mod repetition;
mod user_message;
mod widget_action;

pub(crate) use answers::{add_client_tool_output, add_structured_input};
pub(crate) use repetition::Repetition;
pub(crate) use user_message::{add_user_message, create_thread, retry_after_item};
pub(crate) use widget_action::{custom_action, sync_custom_action};
