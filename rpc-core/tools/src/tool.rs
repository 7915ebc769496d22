//! The trait of all tools.

use crate::config::ApprovalMode;
use crate::output::ToolOutput;
use crate::progress::ProgressReporter;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::time::Duration;
use threadline_model::ToolSpec;
use threadline_schema::call::ClientHints;
use threadline_schema::chatkit::widget::WidgetRoot;
use threadline_schema::error::Failure;
use threadline_schema::ids::{RunId, ThreadId, UserId};
use threadline_schema::tool_result::WidgetView;

/// Time limit of one call, unless the tool has its own.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum size of a result for the model, in bytes, unless the tool has its own.
pub const MAX_RESULT_BYTES: usize = 32 * 1024;

/// Why a call of a tool failed.
#[derive(Debug)]
pub enum ToolError {
    /// The tool had no effect. The text is for the model.
    Failed(String),
    /// The tool had no effect. The text is that of the called service, for the model. The user does not read it: it was
    /// written for programs, and can tell how the service works.
    ServiceFailed(String),
    /// The tool had no effect, for a reason that has a code in the error table.
    Refused(Failure),
    /// The tool may or may not have had its effect, for example because the reply was lost.
    OutcomeUnknown,
}

/// The user and the run that a call belongs to.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
    /// The user for whom the tool acts.
    pub user_id: UserId,
    /// The conversation.
    pub thread_id: ThreadId,
    /// The run; `None` for an action that is executed without a run.
    pub run_id: Option<RunId>,
    /// Id of the request that started the run, for logs.
    pub request_id: &'a str,
    /// What the client says about itself.
    pub client_hints: Option<&'a ClientHints>,
    /// Receives the progress reports of the call.
    pub progress: &'a ProgressReporter,
}

/// A function that the model may call.
pub trait Tool: Send + Sync {
    /// The name, unique in a toolbox.
    fn name(&self) -> &str;

    /// Returns the name, description and argument schema that the model gets.
    fn spec(&self) -> ToolSpec;

    /// Returns one line about the call for the user: while it runs, or, if `is_done`, after it succeeded.
    fn title(&self, arguments: &Value, is_done: bool) -> String;

    /// Whether a call can change data. The outcome of a call without side effects is never in doubt.
    fn has_side_effects(&self) -> bool;

    /// Whether making a call twice does no harm. After a crash such a call is made again if its result is not known.
    fn is_idempotent(&self) -> bool {
        !self.has_side_effects()
    }

    /// Returns the time limit of one call.
    fn timeout(&self) -> Duration {
        DEFAULT_TIMEOUT
    }

    /// Returns the maximum size of a result for the model, in bytes.
    fn max_result_bytes(&self) -> usize {
        MAX_RESULT_BYTES
    }

    /// Returns the name of the widget action that calls this tool; `None` if users cannot call it.
    fn action_name(&self) -> Option<&str> {
        None
    }

    /// Returns which calls wait for the approval of the user, unless an agent has another rule.
    fn approval(&self) -> ApprovalMode {
        ApprovalMode::Never
    }

    /// Validates arguments without calling the tool. [`Self::call`] gets only arguments that are valid.
    ///
    /// # Errors
    /// What to change, for a model, without a full stop at the end.
    fn check_arguments(&self, _arguments: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Splits a result into the part for the model and the widget for the user.
    fn split_widget(&self, result: Value) -> (Value, Option<WidgetView>) {
        (result, None)
    }

    /// Updates the widget whose action called this tool, to show the result.
    fn update_widget(&self, _result: &Value, _widget: &mut WidgetRoot) {}

    /// Calls the tool. Dropping the future leaves the effect of the call in doubt.
    ///
    /// # Errors
    /// Goes to the model, which can try something else.
    fn call<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<ToolOutput, ToolError>>;
}

/// Returns the spec of a tool whose arguments have this JSON Schema.
pub fn tool_spec(name: &str, description: &str, parameters: &Value) -> ToolSpec {
    // Serialising a `Value` cannot fail.
    let parameters = to_raw_value(parameters).unwrap_or_default().into();
    ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters }
}

/// Returns the spec of a tool whose arguments are an `A`.
pub fn typed_tool_spec<A: JsonSchema>(name: &str, description: &str) -> ToolSpec {
    // Inlined: many model servers do not follow `$ref` in the schema of a tool.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut parameters = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Some(members) = parameters.as_object_mut() {
        // Name and documentation of the Rust type tell the model nothing.
        members.remove("title");
        members.remove("description");
    }
    tool_spec(name, description, &parameters)
}

/// Returns the title of a call for tools without titles of their own: the name in words.
pub fn default_title(name: &str) -> String {
    name.replace('_', " ")
}
