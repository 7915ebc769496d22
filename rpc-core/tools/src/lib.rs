//! Tools: functions that a language model, or a user through a widget, may call.
//!
//! A [`Toolbox`] holds the tools of one agent and executes calls. A [`Tool`] acts for the user of the run and for no
//! other user: the user is part of the [`ToolContext`], never of the arguments.
//!
//! | module | holds |
//! | --- | --- |
//! | `tool.rs` | the trait [`Tool`], its context and its errors |
//! | `toolbox.rs` | the tools of one agent; executes calls |
//! | `arguments/` | the arguments of calls: reading them, checking them, telling the model what to change |
//! | `output.rs` | what a tool returns: JSON, and images |
//! | `result.rs` | [`ToolResult`]: how a call ended; the metrics of calls |
//! | `actions.rs` | calls that users make through the actions of a widget |
//! | `pending.rs` | calls that the client or the user answers, not this service |
//! | `approval.rs` | calls that are made only if the user allows them |
//! | `ask_user.rs` | the tool `ask_user`: questions to the user |
//! | `endpoint/` | tools of internal services, over HTTP or JSON-RPC |
//! | `mcp/` | tools of MCP servers |
//! | `widgets/` | widgets in results: extraction, validation, differences |
//! | `progress.rs` | progress reports of running calls |
//! | `config.rs` | the configuration of tools |
//!
//! The built-in tools are in `rpc-core`, next to the data that they work on.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod actions;
mod approval;
mod arguments;
pub mod ask_user;
pub mod config;
pub mod endpoint;
mod json_rpc;
pub mod mcp;
mod output;
mod pending;
mod progress;
mod result;
mod text;
mod tool;
mod toolbox;
pub mod widgets;

pub use actions::{ActionError, is_action_call};
pub use approval::{
    ABANDONED_RESULT, ApprovalDecision, ApprovalRequest, EXPIRED_RESULT, Permission, approval_questions, refused_result,
};
pub use arguments::argument_problem;
pub use output::{ToolImage, ToolOutput};
pub use pending::PendingCall;
pub use progress::ProgressReporter;
pub use result::{CallOutcome, ToolResult, record_unknown_outcome};
pub use threadline_schema::tool_result::WidgetView;
pub use tool::{MAX_RESULT_BYTES, Tool, ToolContext, ToolError, default_title, tool_spec, typed_tool_spec};
pub use toolbox::Toolbox;
