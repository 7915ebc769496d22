//! What the model may call. Tools act for the run's user and nobody else: the user is not among their arguments.

mod actions;
mod ask;
pub(crate) mod endpoint;
pub(crate) mod mcp;
mod progress;
mod tasks;
mod waiting;
mod widgets;

pub(crate) use ask::answers;
pub(crate) use progress::Progress;
pub(crate) use waiting::Pending;
pub(crate) use widgets::Shown;

use crate::config::ClientTool;
use crate::model::{ToolCall, ToolSpec};
use crate::store::Store;
use crate::wire;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use threadline_schema::ErrorCode;
use threadline_schema::call::ClientHints;
use threadline_schema::chatkit::widget::WidgetRoot;
use threadline_schema::error::Failure;
use uuid::Uuid;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a result that the model is shown.
pub(crate) const MAX_RESULT_BYTES: usize = 32 * 1024;
/// Label of calls of tools that are not there.
const UNKNOWN_TOOL: &str = "unknown";

/// Why a tool did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum ToolError {
    /// It did nothing, in words for the model.
    Failed(String),
    /// It did nothing, for a reason that the error table knows.
    Refused(Failure),
    /// It may have done it all the same.
    Unknown,
}

/// For whom a call is made.
#[derive(Clone, Copy)]
pub(crate) struct ToolContext<'a> {
    pub(crate) store: &'a Store,
    pub(crate) user_id: Uuid,
    pub(crate) thread_id: Uuid,
    /// `None` for an action that is carried out at once.
    pub(crate) run_id: Option<Uuid>,
    pub(crate) request_id: &'a str,
    /// What the client said of itself, if anything.
    pub(crate) client: Option<&'a ClientHints>,
    /// Where the call can say how far it has come.
    pub(crate) progress: &'a Progress,
}

/// A tool.
pub(crate) trait Tool: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// What the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// What a person is shown while it works, or after it has.
    fn title(&self, arguments: &Value, done: bool) -> String;

    /// Whether it changes anything. What only looks has no effect that could be in doubt.
    fn acts(&self) -> bool;

    /// How long one call may take.
    fn timeout(&self) -> Duration {
        TIMEOUT
    }

    /// Bytes of a result that the model is shown.
    fn max_result_bytes(&self) -> usize {
        MAX_RESULT_BYTES
    }

    /// Name of the action by which users may call it from widgets.
    fn action(&self) -> Option<&str> {
        None
    }

    /// Checks arguments before anything is done with them.
    ///
    /// # Errors
    /// What is wrong with them, without a full stop.
    fn check(&self, _arguments: &Value) -> Result<(), String> {
        Ok(())
    }

    /// What its result is shown as, beside its entry in the workflow. What only people are to see of a result is taken out
    /// of it.
    fn show(&self, _result: &mut Value) -> Option<Shown> {
        None
    }

    /// Shows in the widget by whose action it was called what it did.
    fn redraw(&self, _result: &Value, _widget: &mut WidgetRoot) {}

    /// Does it. The error is for the model, which may try otherwise. Dropping the future leaves its effect in doubt.
    fn run<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<Value, ToolError>>;
}

/// The tools that an agent may call.
pub(crate) struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
    /// Whether it may ask the user.
    asks: bool,
    /// Names of those that run on the client.
    clients: Vec<Arc<str>>,
    /// Made once: every request to the model has them.
    specs: Arc<[ToolSpec]>,
}

/// How a call went.
#[derive(Debug)]
pub(crate) struct Done {
    /// For the model: JSON text.
    pub(crate) result: String,
    /// For a person: what went wrong.
    pub(crate) failure: Option<Failure>,
    /// Whether it took effect.
    pub(crate) outcome: Outcome,
    /// What it is shown as.
    pub(crate) shown: Option<Shown>,
    /// Whether it may have changed anything: what was shown before may be wrong now.
    pub(crate) acts: bool,
}

/// Whether a call took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did.
    Ok,
    /// It did not.
    Error,
    /// Nobody can say.
    Unknown,
}

impl Done {
    /// A call that did nothing.
    fn refused(tool: &str, failure: Failure) -> Self {
        tracing::debug!(tool, error = failure.message, "a tool failed");
        let result = json!({"error": failure.message}).to_string();
        Self { result, failure: Some(failure), outcome: Outcome::Error, shown: None, acts: false }
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

/// Counts a call when it is dropped: one that is given up in the middle has an end as well, and it is unknown.
struct Counted<'a> {
    tool: &'a str,
    started: Instant,
    outcome: Outcome,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        count(self.tool, self.outcome);
        metrics::histogram!("threadline_tool_seconds", "tool" => self.tool.to_owned())
            .record(self.started.elapsed().as_secs_f64());
    }
}

/// The tools that are built in.
pub(crate) fn built_in() -> Vec<Arc<dyn Tool>> {
    tasks::all()
}

/// Whether a tool asks the user.
pub(crate) fn is_question(name: &str) -> bool {
    name == ask::NAME
}

/// Names of the tools that are built in.
pub(crate) fn built_in_names() -> impl Iterator<Item = &'static str> {
    tasks::NAMES.iter().copied().chain([ask::NAME])
}

/// Counts a call whose process died while it was in flight. A label is a name of ours: what the model wrote must not
/// become one.
pub(crate) fn count_unknown(mut tools: impl Iterator<Item = Arc<dyn Tool>>, name: &str) {
    let is_known = name == ask::NAME || tools.any(|tool| tool.name() == name);
    count(if is_known { name } else { UNKNOWN_TOOL }, Outcome::Unknown);
}

/// What the model is told of a tool.
fn spec(name: &str, description: &str, parameters: &Value) -> ToolSpec {
    // A value can always be written.
    let parameters = to_raw_value(parameters).unwrap_or_default().into();
    ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters }
}

/// What a person is shown of a tool that has no words of its own.
fn plain_title(name: &str) -> String {
    name.replace('_', " ")
}

fn count(tool: &str, outcome: Outcome) {
    metrics::counter!("threadline_tool_calls_total", "tool" => tool.to_owned(), "outcome" => outcome.name())
        .increment(1);
}

impl Toolbox {
    /// These tools, questions to the user if it `asks`, and these of the client's. Of several with one name the first is
    /// taken.
    pub(crate) fn new(all: impl IntoIterator<Item = Arc<dyn Tool>>, asks: bool, client_tools: &[ClientTool]) -> Self {
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for tool in all {
            if tools.iter().all(|other| other.name() != tool.name()) {
                tools.push(tool);
            }
        }
        let mut specs: Vec<ToolSpec> = tools.iter().map(|tool| tool.spec()).chain(asks.then(ask::spec)).collect();
        let mut clients = Vec::with_capacity(client_tools.len());
        for ClientTool { name, description, parameters } in client_tools {
            // A tool of an MCP server may have come to have the name.
            if specs.iter().all(|other| other.name != **name) {
                specs.push(spec(name, description, parameters));
                clients.push(name.clone());
            }
        }
        Self { tools, asks, clients, specs: specs.into() }
    }

    /// The same, whose model is not told that it may ask the user.
    pub(crate) fn silent_on_questions(mut self) -> Self {
        self.specs = self.specs.iter().filter(|spec| !is_question(&spec.name)).cloned().collect();
        self
    }

    /// What the model is told.
    pub(crate) fn specs(&self) -> Arc<[ToolSpec]> {
        self.specs.clone()
    }

    /// What a person is shown of a call: before it is made, and after.
    pub(crate) fn title(&self, call: &ToolCall, done: Option<&Done>) -> String {
        let Some(tool) = self.find(&call.name) else {
            let known = self.specs.iter().find(|spec| spec.name == call.name);
            return known.map_or_else(|| "Unknown tool".to_owned(), |spec| plain_title(&spec.name));
        };
        let arguments = serde_json::from_str(&call.arguments).unwrap_or_default();
        tool.title(&arguments, done.is_some_and(|done| done.failure.is_none()))
    }

    /// Makes a call. Whatever goes wrong is told to the model, which can say so or try otherwise.
    pub(crate) async fn run(&self, context: ToolContext<'_>, call: &ToolCall) -> Done {
        let mut counted = Counted { tool: self.label(&call.name), started: Instant::now(), outcome: Outcome::Unknown };
        let failed = |why: String| Err(ToolError::Failed(why));
        let result = match self.find(&call.name) {
            None => {
                failed(self.not_waited_for(call).unwrap_or_else(|| format!("There is no tool called {}.", call.name)))
            }
            Some(tool) => match arguments_of(call) {
                None => failed("The arguments are not a JSON object.".to_owned()),
                Some(arguments) => tokio::time::timeout(tool.timeout(), tool.run(context, arguments))
                    .await
                    // What it has begun may go on without us.
                    .unwrap_or_else(|_| {
                        if tool.acts() { Err(ToolError::Unknown) } else { failed("The tool took too long.".to_owned()) }
                    }),
            },
        };
        let acts = self.find(&call.name).is_some_and(Tool::acts);
        let done = match result {
            Ok(mut result) => {
                let tool = self.find(&call.name);
                let limit = tool.map_or(MAX_RESULT_BYTES, Tool::max_result_bytes);
                let shown = tool.and_then(|tool| tool.show(&mut result));
                Done { result: cut(result.to_string(), limit), failure: None, outcome: Outcome::Ok, shown, acts }
            }
            Err(ToolError::Failed(message)) => {
                Done::refused(counted.tool, Failure { code: ErrorCode::UpstreamError, message })
            }
            Err(ToolError::Refused(failure)) => Done::refused(counted.tool, failure),
            Err(ToolError::Unknown) => {
                tracing::warn!(tool = counted.tool, "nobody can say whether a call of a tool took effect");
                let failure = Failure { code: ErrorCode::UpstreamError, message: wire::UNKNOWN_TASK.to_owned() };
                let (result, failure) = (wire::UNKNOWN_RESULT.to_owned(), Some(failure));
                Done { result, failure, outcome: Outcome::Unknown, shown: None, acts }
            }
        };
        counted.outcome = done.outcome;
        done
    }

    /// A label is a name of ours: what the model wrote must not become one.
    fn label(&self, name: &str) -> &str {
        self.specs.iter().find(|spec| spec.name == name).map_or(UNKNOWN_TOOL, |spec| spec.name.as_str())
    }

    fn find(&self, name: &str) -> Option<&dyn Tool> {
        self.tools.iter().find(|tool| tool.name() == name).map(AsRef::as_ref)
    }
}

/// JSON Schema of a tool's arguments.
fn schema_of<A: JsonSchema>() -> Value {
    // Inlined: many servers do not follow `$ref` in a tool's schema.
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut parameters = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Some(members) = parameters.as_object_mut() {
        // Names and words of a Rust type, which are nothing to the model.
        members.remove("title");
        members.remove("description");
    }
    parameters
}

/// The arguments of a call; `None` when they are no object. Some models send nothing at all where there is nothing to say.
fn arguments_of(call: &ToolCall) -> Option<Value> {
    if call.arguments.trim().is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(&call.arguments).ok().filter(Value::is_object)
}

/// A result that is too long is replaced: half a JSON document would only mislead.
fn cut(result: String, limit: usize) -> String {
    if result.len() <= limit {
        return result;
    }
    json!({"error": format!("The result has {} bytes, more than can be shown. Ask for less.", result.len())})
        .to_string()
}
