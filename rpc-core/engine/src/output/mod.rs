//! The output of a run: the text and tool calls of a driver become events and items.

mod citations;
mod pending_call;
mod resumed_output;
mod run_writer;
mod store_items;
mod thoughts;
mod tool_calls;
mod usage_meter;
mod widgets;
mod workflow;

pub use citations::Citation;
pub use pending_call::PendingCall;
pub(crate) use resumed_output::{OpenCall, ResumedOutput, UsedSoFar};
pub use run_writer::RunWriter;
pub(crate) use run_writer::{CANCEL_NOTE, hidden_note, new_item};
pub use tool_calls::{FinishedCall, RequestedCall, WaitingCall};
pub use usage_meter::{AskedModel, ModelPrices, UsageMeter, cost_micros};
pub(crate) use workflow::{empty_workflow, is_running, mark_outcome_unknown, task_entry};
