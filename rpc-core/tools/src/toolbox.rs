//! The tools of one agent.

use crate::approval::Permission;
use crate::arguments::{object_schema, parse_arguments};
use crate::ask_user;
use crate::config::{ApprovalMode, ClientTool};
use crate::output::ToolOutput;
use crate::pending::ONE_AT_A_TIME;
use crate::result::{CallMetrics, CallOutcome, ToolResult, UNKNOWN_TOOL};
use crate::tool::{Tool, ToolContext, ToolError, default_title, tool_spec};
use async_recursion::async_recursion as boxed;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_model::{ToolCall, ToolSpec};
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;
use threadline_trace::{InSpan, Span, SpanKind, log_slow_tool};

/// How long a call waits for approval, unless the agents file says otherwise.
const APPROVAL_EXPIRES_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum number of names in the answer to a call of a tool that does not exist.
const MAX_NAMES: usize = 40;

/// What models write in front of the name of a tool, as they have seen it in the prompts of their training.
const PREFIXES: &[&str] = &["functions.", "functions:", "default_api.", "default_api:", "tools."];

/// Longest id of a call in a trace, in characters.
const MAX_CALL_ID_CHARS: usize = 128;

/// Whether two tools are the same for a model.
fn is_same(one: &ToolSpec, other: &ToolSpec) -> bool {
    (&one.name, &one.description, one.parameters.get()) == (&other.name, &other.description, other.parameters.get())
}

/// The tools that one agent may call. It does not change: a run keeps the toolbox that it started with.
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    may_ask_user: bool,
    /// Names of the tools that the client runs.
    client_tools: Vec<Arc<str>>,
    /// Tools whose calls can wait for approval, by name.
    approvals: HashMap<String, ApprovalMode>,
    approval_expires_after: Duration,
    /// Built once, because every request to the model carries them.
    specs: Arc<[ToolSpec]>,
}

impl Toolbox {
    /// Creates a toolbox. If several tools have one name, the first one wins.
    pub fn new(all: impl IntoIterator<Item = Arc<dyn Tool>>, may_ask_user: bool, client_tools: &[ClientTool]) -> Self {
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for tool in all {
            match tools.iter().find(|other| other.name() == tool.name()) {
                None => tools.push(tool),
                // An agent can select one tool twice.
                Some(other) if is_same(&other.spec(), &tool.spec()) => {}
                Some(_) => {
                    tracing::warn!(tool = tool.name(), "two tools of an agent have this name; the second is left out")
                }
            }
        }
        let ask_user = may_ask_user.then(ask_user::spec);
        let mut specs: Vec<ToolSpec> = tools.iter().map(|tool| tool.spec()).chain(ask_user).collect();
        let mut client_names = Vec::with_capacity(client_tools.len());
        for ClientTool { name, description, parameters } in client_tools {
            // The agents file has no such conflict, but an MCP server can offer a new tool at any time.
            if specs.iter().all(|other| other.name != **name) {
                specs.push(tool_spec(name, description, &object_schema(parameters)));
                client_names.push(name.clone());
            }
        }
        let approvals = tools.iter().map(|tool| (tool.name().to_owned(), tool.approval())).collect();
        Self {
            tools,
            may_ask_user,
            client_tools: client_names,
            approvals,
            approval_expires_after: APPROVAL_EXPIRES_AFTER,
            specs: specs.into(),
        }
    }

    /// Replaces the approval rules of some tools, and how long calls wait for approval.
    #[must_use]
    pub fn with_approvals(
        mut self,
        rules: impl IntoIterator<Item = (String, ApprovalMode)>,
        expires_after: Option<Duration>,
    ) -> Self {
        for (name, mode) in rules {
            if let Some(current) = self.approvals.get_mut(&name) {
                *current = mode;
            }
        }
        self.approval_expires_after = expires_after.unwrap_or(APPROVAL_EXPIRES_AFTER);
        self
    }

    /// Returns whether calls of some tool can wait for approval.
    pub fn may_ask_for_approval(&self) -> bool {
        self.approvals.values().any(|mode| *mode != ApprovalMode::Never)
    }

    /// Checks arguments for a tool. `None` if there is no such tool.
    ///
    /// # Errors
    /// What to change, without a full stop at the end.
    pub fn check_arguments(&self, name: &str, arguments: &Value) -> Option<Result<(), String>> {
        self.find(name).map(|tool| tool.check_arguments(arguments))
    }

    /// Returns whether making a call of this tool twice does no harm. Of a tool that does not exist that is not known.
    pub fn is_idempotent(&self, name: &str) -> bool {
        self.find(name).is_some_and(Tool::is_idempotent)
    }

    /// Removes `ask_user` from the specs. Calls of it are still accepted.
    #[must_use]
    pub fn hide_ask_user(mut self) -> Self {
        self.specs = self.specs.iter().filter(|spec| spec.name != ask_user::NAME).cloned().collect();
        self
    }

    /// Returns the specs for the model.
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        self.specs.clone()
    }

    /// Returns one line about a call for the user: before it is made, or with its result.
    pub fn title(&self, call: &ToolCall, result: Option<&ToolResult>) -> String {
        let Some(tool) = self.find(&call.name) else {
            let spec = self.specs.iter().find(|spec| spec.name == call.name);
            return spec.map_or_else(|| "Unknown tool".to_owned(), |spec| default_title(&spec.name));
        };
        let arguments = parse_arguments(call).map(Value::Object).unwrap_or_default();
        tool.title(&arguments, result.is_some_and(|result| result.failure.is_none()))
    }

    /// Executes a call, if it is permitted. Every failure becomes a result for the model, which can report it or try
    /// something else.
    #[boxed]
    pub async fn execute<'a>(
        &self,
        context: ToolContext<'a>,
        call: &'a ToolCall,
        permission: Permission<'a>,
    ) -> ToolResult {
        let metrics = CallMetrics::start(self.known_name(&call.name));
        let span = start_span(metrics.tool, &call.id);
        let started = Instant::now();
        let executed = self.execute_permitted(context, call, permission, metrics.tool).in_span(span.clone());
        let result = executed.await;
        log_slow_tool(metrics.tool, started.elapsed());
        match result.outcome {
            CallOutcome::Ok => {}
            outcome => span.fail(outcome.label()),
        }
        span.end();
        metrics.finish(result.outcome);
        result
    }

    async fn execute_permitted(
        &self,
        context: ToolContext<'_>,
        call: &ToolCall,
        permission: Permission<'_>,
        label: &str,
    ) -> ToolResult {
        match self.find(&call.name) {
            Some(tool) => {
                let is_permitted = permission.allows(&call.name, self.approval_of(&call.name));
                execute(tool, context, call, label, is_permitted).await
            }
            None => {
                let no_such_tool = || self.no_such_tool(&call.name);
                let message = self.reason_not_pending(call).unwrap_or_else(no_such_tool);
                ToolResult::failed(label, Failure { code: ErrorCode::UpstreamError, message })
            }
        }
    }

    /// Returns what the model is told of a tool that does not exist: which ones do.
    fn no_such_tool(&self, name: &str) -> String {
        let mut message = format!("There is no tool called {name}.");
        if !self.specs.is_empty() {
            let names: Vec<_> = self.specs.iter().take(MAX_NAMES).map(|spec| spec.name.as_str()).collect();
            let more = if self.specs.len() > MAX_NAMES { " and others" } else { "" };
            message.push_str(&format!(" There are: {}{more}.", names.join(", ")));
        }
        message
    }

    /// Returns the name of the tool that a call is meant for, if the model has only written a prefix in front of it.
    pub fn meant_name(&self, name: &str) -> Option<&str> {
        let named = |name: &str| self.specs.iter().find(|spec| spec.name == name);
        if named(name).is_some() {
            return None;
        }
        let meant = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
        named(meant).map(|spec| spec.name.as_str())
    }

    pub(crate) fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    pub(crate) fn approval_of(&self, name: &str) -> ApprovalMode {
        self.approvals.get(name).copied().unwrap_or_default()
    }

    pub(crate) fn approval_expires_after(&self) -> Duration {
        self.approval_expires_after
    }

    pub(crate) fn is_client_tool(&self, name: &str) -> bool {
        self.client_tools.iter().any(|client_tool| **client_tool == *name)
    }

    pub(crate) fn is_ask_user(&self, name: &str) -> bool {
        self.may_ask_user && name == ask_user::NAME
    }

    pub(crate) fn find(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().find(|tool| tool.name() == name).map(AsRef::as_ref)
    }

    /// Returns the name of a tool of this toolbox, or the one that stands for all others: a label must never be text
    /// from the model.
    pub fn known_name(&self, name: &str) -> &str {
        self.specs.iter().find(|spec| spec.name == name).map_or(UNKNOWN_TOOL, |spec| spec.name.as_str())
    }
}

/// Starts the span of a call, with the semantic conventions of tools. It has neither arguments nor result.
fn start_span(tool: &str, call_id: &str) -> Span {
    let span = Span::child(SpanKind::Internal, || format!("execute_tool {tool}"));
    if span.is_recording() {
        span.set("gen_ai.operation.name", "execute_tool");
        span.set("gen_ai.tool.name", tool.to_owned());
        span.set("gen_ai.tool.type", "function");
        // It comes from the model's server.
        let id: String = call_id.chars().take(MAX_CALL_ID_CHARS).collect();
        span.set("gen_ai.tool.call.id", id);
    }
    span
}

async fn execute(
    tool: &dyn Tool,
    context: ToolContext<'_>,
    call: &ToolCall,
    label: &str,
    is_permitted: bool,
) -> ToolResult {
    let failed = |message: String| Err(ToolError::Failed(message));
    let arguments = parse_arguments(call).map(Value::Object).and_then(|arguments| {
        let problem = tool.check_arguments(&arguments).err();
        problem.map_or(Ok(arguments), |problem| Err(format!("Bad arguments, nothing was done: {problem}.")))
    });
    let result = match arguments {
        Err(problem) => failed(problem),
        Ok(_) if !is_permitted => failed(ONE_AT_A_TIME.to_owned()),
        Ok(arguments) => {
            let result = tokio::time::timeout(tool.timeout(), tool.call(context, arguments)).await;
            // The other side may continue the call after our timeout.
            result.unwrap_or_else(|_| match tool.has_side_effects() {
                true => Err(ToolError::OutcomeUnknown),
                false => failed("The tool took too long.".to_owned()),
            })
        }
    };
    match result {
        Ok(ToolOutput { value, images }) => {
            let (result, widget) = tool.split_widget(value);
            ToolResult {
                content: limit_size(result.to_string(), tool.max_result_bytes()),
                failure: None,
                images,
                outcome: CallOutcome::Ok,
                widget,
                may_have_changed_data: tool.has_side_effects(),
            }
        }
        Err(ToolError::Failed(message)) => {
            ToolResult::failed(label, Failure { code: ErrorCode::UpstreamError, message })
        }
        Err(ToolError::ServiceFailed(text)) => ToolResult::failed_in_service(label, context.request_id, &text),
        Err(ToolError::Refused(failure)) => ToolResult::failed(label, failure),
        Err(ToolError::OutcomeUnknown) => ToolResult::unknown(label, tool.has_side_effects()),
    }
}

/// Replaces a result that is too long by an error: half a JSON document would mislead the model.
fn limit_size(result: String, max_bytes: usize) -> String {
    if result.len() <= max_bytes {
        return result;
    }
    json!({"error": format!("The result has {} bytes, more than can be shown. Ask for less.", result.len())})
        .to_string()
}
