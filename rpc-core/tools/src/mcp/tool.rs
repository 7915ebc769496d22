//! One tool of an MCP server.

use super::listed_tool::ListedTool;
use super::server::McpServer;
use crate::config::{CallLimits, McpConfig};
use crate::tool::{Tool, ToolContext, ToolError, default_title};
use crate::widgets;
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, MetaObject, RequestMetaObject, ServerResult};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use threadline_model::ToolSpec;
use threadline_schema::call::ClientHints;
use threadline_schema::tool_result::WidgetView;
use tokio::time::timeout;

/// Maximum length of an error for the model, in characters.
const ERROR_CHARS: usize = 2_000;
/// Added to the two time limits of a call, which cover only the waiting.
const OVERHEAD: Duration = Duration::from_secs(5);

/// A tool of a server. It keeps its server running, so that a run can use it to the end.
pub(super) struct McpTool {
    server: Arc<McpServer>,
    listed: Arc<ListedTool>,
    limits: CallLimits,
    sends_user_context: bool,
    allows_widgets: bool,
    is_action: bool,
}

impl McpTool {
    pub(super) fn new(server: Arc<McpServer>, listed: Arc<ListedTool>, config: &McpConfig) -> Self {
        let is_action = config.actions.contains(&listed.name);
        let McpConfig { limits, sends_user_context, allows_widgets, .. } = *config;
        Self { server, listed, limits, sends_user_context, allows_widgets, is_action }
    }

    async fn send_call(&self, context: ToolContext<'_>, arguments: Value) -> Result<Value, ToolError> {
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
        let title = self.title(&Value::Null, false);
        match timeout(self.limits.timeout, session.call_tool(params, &title, context.progress)).await {
            Ok(Ok(ServerResult::CallToolResult(result))) => content_of(result),
            Ok(Ok(_)) => Err(self.lost_response("The server asked for input, which is not supported here.")),
            Ok(Err(ServiceError::McpError(error))) => {
                let message: String = error.message.chars().take(ERROR_CHARS).collect();
                Err(ToolError::Failed(format!("The server refused ({}): {message}", error.code.0)))
            }
            Ok(Err(error)) => {
                tracing::warn!(tool = self.listed.spec.name, %error, "connection broke during a call to an MCP server");
                Err(self.lost_response("The connection to the server broke."))
            }
            Err(_) => Err(self.lost_response("The server did not answer in time.")),
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

    fn split_widget(&self, result: Value) -> (Value, Option<WidgetView>) {
        if self.allows_widgets { widgets::extract_widget(self.name(), result) } else { (result, None) }
    }

    fn call<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<Value, ToolError>> {
        self.send_call(context, arguments).boxed()
    }
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

fn content_of(result: CallToolResult) -> Result<Value, ToolError> {
    if result.is_error == Some(true) {
        let text: String = text_of(&result.content).chars().take(ERROR_CHARS).collect();
        return Err(ToolError::Failed(text));
    }
    // Servers send structured content as text too, for old clients. The structured form says more.
    Ok(result.structured_content.unwrap_or_else(|| json!(text_of(&result.content))))
}

/// Joins the text blocks of a result. Blocks of other types become a note.
fn text_of(content: &[ContentBlock]) -> String {
    let text = |block: &ContentBlock| match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[an image, {}, that cannot be shown here]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}, that cannot be heard here]", audio.mime_type),
        ContentBlock::Resource(resource) => serde_json::to_string(&resource.resource).unwrap_or_default(),
        ContentBlock::ResourceLink(link) => format!("[{}]({})", link.name, link.uri),
        _ => "[something that cannot be shown here]".to_owned(),
    };
    content.iter().map(text).collect::<Vec<_>>().join("\n")
}
