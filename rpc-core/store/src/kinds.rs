//! Kinds of items, as the database has them.

/// Kind of a user's message.
pub const USER_MESSAGE: &str = "user_message";
/// Kind of an assistant's message.
pub const ASSISTANT_MESSAGE: &str = "assistant_message";
/// Kind of a workflow.
pub const WORKFLOW: &str = "workflow";
/// Kind of a call of a tool on the client.
pub const CLIENT_TOOL_CALL: &str = "client_tool_call";
/// Kind of a widget.
pub const WIDGET: &str = "widget";
/// Kind of questions to the user.
pub const STRUCTURED_INPUT: &str = "structured_input";
/// Kind of a note to the model.
pub const HIDDEN_CONTEXT: &str = "sdk_hidden_context";
/// Kind of a raw tool call. All other bodies are ChatKit items.
pub const TOOL_CALL: &str = "tool_call";
