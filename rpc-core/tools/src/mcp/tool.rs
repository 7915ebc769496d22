//! One tool of an MCP server.

use super::call_result::{CallContent, read_result};
use super::http::{TRACEPARENT, TRACESTATE};
use super::listed_tool::ListedTool;
use super::message::Answer;
use super::server::McpServer;
use super::session::McpSession;
use crate::config::{ApprovalMode, CallLimits, McpConfig};
use crate::json_rpc::Refusal;
use crate::output::{ToolImage, ToolOutput};
use crate::tool::{Tool, ToolContext, ToolError, default_title};
use crate::widgets;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, MetaObject, RequestMetaObject};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use threadline_model::ToolSpec;
use threadline_schema::call::{ClientHints, TraceHeaders};
use threadline_schema::tool_result::WidgetView;
use threadline_trace::Span;
use tokio::time::timeout;

/// Maximum length of an error for the model, in characters.
const ERROR_CHARS: usize = 2_000;
/// Time limit for an image that a result names.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the two time limits of a call, which cover only the waiting.
const OVERHEAD: Duration = Duration::from_secs(5).saturating_add(LINK_TIMEOUT.saturating_mul(4));

/// A tool of a server. It keeps its server running, so that a run can use it to the end.
pub(super) struct McpTool {
    server: Arc<McpServer>,
    listed: Arc<ListedTool>,
    limits: CallLimits,
    sends_user_context: bool,
    allows_widgets: bool,
    is_action: bool,
    is_idempotent: bool,
    approval: ApprovalMode,
}

impl McpTool {
    pub(super) fn new(server: Arc<McpServer>, listed: Arc<ListedTool>, config: &McpConfig) -> Self {
        let is_action = config.actions.contains(&listed.name);
        let approval = config.approval_of.get(&listed.name).copied().unwrap_or(config.approval);
        let is_idempotent =
            config.idempotent.contains(&listed.name) || config.trusts_hints && listed.is_said_idempotent;
        let McpConfig { limits, sends_user_context, allows_widgets, .. } = *config;
        Self { server, listed, limits, sends_user_context, allows_widgets, is_action, is_idempotent, approval }
    }

    async fn send_call(&self, context: ToolContext<'_>, arguments: Value) -> Result<ToolOutput, ToolError> {
        let shared = &self.server.shared;
        let Ok(Ok(_permit)) = timeout(self.limits.timeout, shared.permits.acquire()).await else {
            return Err(ToolError::Failed("The server has too much to do. Nothing was done.".to_owned()));
        };
        let Some(session) = shared.session() else {
            return Err(ToolError::Failed("The server of this tool is away. Nothing was done.".to_owned()));
        };
        let mut params = CallToolRequestParams::new(self.listed.name.to_string());
        if let Value::Object(arguments) = arguments {
            params.arguments = Some(arguments);
        }
        params.meta = self.sends_user_context.then(|| user_context(context));
        if let Some(trace) = Span::current().headers() {
            params.meta.get_or_insert_default().0.0.extend(trace_members(&trace));
        }
        let title = self.title(&Value::Null, false);
        match timeout(self.limits.timeout, session.call_tool(params, &title, context.progress)).await {
            Ok(Ok(Answer::Result(result))) => {
                let mut content = read_result(result, self.limits.result_bytes)?;
                self.load_linked_images(&session, &mut content).await;
                Ok(content.into_output(self.limits.result_bytes))
            }
            Ok(Ok(Answer::Refused(Refusal { code, message }))) => {
                let message: String = message.chars().take(ERROR_CHARS).collect();
                Err(ToolError::ServiceFailed(format!("The server refused ({code}): {message}")))
            }
            Ok(Err(error)) => {
                tracing::warn!(tool = self.listed.spec.name, %error, "call to an MCP server has no answer");
                self.server.shared.check_again.notify_one();
                Err(match was_refused(&error) {
                    true => ToolError::Failed("The server cannot be reached. Nothing was done.".to_owned()),
                    false => self.lost_response("The connection to the server broke."),
                })
            }
            Err(_) => {
                self.server.shared.check_alive.notify_one();
                Err(self.lost_response("The server did not answer in time."))
            }
        }
    }

    /// Loads the images that a result only names, as far as the server gives them.
    async fn load_linked_images(&self, session: &McpSession, content: &mut CallContent) {
        for uri in std::mem::take(&mut content.linked_images).iter().take(ToolImage::MAX_PER_RESULT) {
            if let Ok(Some(resource)) = timeout(LINK_TIMEOUT, session.read_resource(uri)).await {
                content.add_linked(&resource);
            }
        }
    }

    /// Returns the error for a call whose response was lost: without side effects, the call is known to have done
    /// nothing.
    fn lost_response(&self, why: &str) -> ToolError {
        if self.listed.has_side_effects { ToolError::OutcomeUnknown } else { ToolError::Failed(why.to_owned()) }
    }
}

impl Tool for McpTool {
    fn name(&self) -> &str {
        &self.listed.spec.name
    }

    fn spec(&self) -> ToolSpec {
        self.listed.spec.clone()
    }

    fn title(&self, _arguments: &Value, _is_done: bool) -> String {
        self.listed.title.clone().unwrap_or_else(|| default_title(self.name()))
    }

    fn has_side_effects(&self) -> bool {
        self.listed.has_side_effects
    }

    fn is_idempotent(&self) -> bool {
        self.is_idempotent
    }

    fn timeout(&self) -> Duration {
        // For the permit and for the response. Each has its own limit, because only the second leaves a doubt.
        self.limits.timeout * 2 + OVERHEAD
    }

    fn max_result_bytes(&self) -> usize {
        self.limits.result_bytes
    }

    fn action_name(&self) -> Option<&str> {
        self.is_action.then(|| self.name())
    }

    fn approval(&self) -> ApprovalMode {
        self.approval
    }

    fn check_arguments(&self, arguments: &Value) -> Result<(), String> {
        self.listed.arguments.check(arguments)
    }

    fn split_widget(&self, result: Value) -> (Value, Option<WidgetView>) {
        if self.allows_widgets { widgets::extract_widget(self.name(), result) } else { (result, None) }
    }

    fn call<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        self.send_call(context, arguments).boxed()
    }
}

/// Returns the members of `_meta` that say where a call stands in its trace. The protocol has these two names for it.
fn trace_members(trace: &TraceHeaders) -> impl Iterator<Item = (String, Value)> {
    let parent = Some((TRACEPARENT.to_owned(), json!(trace.traceparent())));
    let state = trace.tracestate().map(|state| (TRACESTATE.to_owned(), json!(state)));
    parent.into_iter().chain(state)
}

/// Returns the `_meta` that says for which user a call is made. The protocol reserves names without a prefix.
fn user_context(context: ToolContext<'_>) -> RequestMetaObject {
    let hints = context.client_hints;
    let members = [
        ("threadline/user", Some(json!(context.user_id))),
        ("threadline/thread", Some(json!(context.thread_id))),
        ("threadline/run", context.run_id.map(|id| json!(id))),
        ("threadline/languages", hints.and_then(|hints| hints.languages.as_deref()).map(|list| json!(list))),
        ("threadline/metadata", hints.and_then(ClientHints::metadata_json)),
    ];
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    RequestMetaObject(MetaObject(members.collect()))
}

/// Whether a request was not carried out: there was no connection, or the server did not know the session.
fn was_refused(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    match error.error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(error)) => error.is_connect(),
        Some(StreamableHttpError::SessionExpired | StreamableHttpError::ReinitializationFailed(_)) => true,
        _ => false,
    }
}
