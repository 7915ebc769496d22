//! One tool of an MCP server.

use super::listed::Listed;
use super::server::McpServer;
use crate::config::{CallLimits, McpConfig};
use crate::model::ToolSpec;
use crate::tools::{Shown, Tool, ToolContext, ToolError, plain_title, widgets};
use futures::FutureExt;
use futures::future::BoxFuture;
use rmcp::ServiceError;
use rmcp::model::{CallToolRequestParams, CallToolResult, ContentBlock, MetaObject, RequestMetaObject, ServerResult};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::call::ClientHints;
use tokio::time::timeout;

/// Characters of an error that the model is shown.
const ERROR_CHARS: usize = 2_000;
/// What a call takes beside waiting for the server.
const SLACK: Duration = Duration::from_secs(5);

/// A tool that holds its server: a run that has begun keeps what it began with.
pub(super) struct McpTool {
    server: Arc<McpServer>,
    listed: Arc<Listed>,
    limits: CallLimits,
    /// Whether the server is told for whom a call is made.
    user_context: bool,
    /// Whether its results may carry widgets.
    shows: bool,
    /// Whether users may call it from widgets.
    is_action: bool,
}

impl McpTool {
    pub(super) fn new(server: Arc<McpServer>, listed: Arc<Listed>, config: &McpConfig) -> Self {
        let is_action = config.actions.contains(&listed.name);
        let McpConfig { limits, user_context, widgets: shows, .. } = *config;
        Self { server, listed, limits, user_context, shows, is_action }
    }

    async fn call(&self, context: ToolContext<'_>, arguments: Value) -> Result<Value, ToolError> {
        let shared = &self.server.shared;
        let Ok(Ok(_place)) = timeout(self.limits.timeout, shared.places.acquire()).await else {
            return Err(ToolError::Failed("The server has too much to do. Nothing was done.".to_owned()));
        };
        let Some(line) = shared.line() else {
            return Err(ToolError::Failed("The server of this tool is away. Nothing was done.".to_owned()));
        };
        let mut params = CallToolRequestParams::new(self.listed.name.to_string());
        if let Value::Object(arguments) = arguments {
            params.arguments = Some(arguments);
        }
        params.meta = self.user_context.then(|| meta(context));
        // Dropped, it tells the server that nobody waits any more.
        match timeout(self.limits.timeout, line.call(params, &self.title(&Value::Null, false), context.progress)).await
        {
            Ok(Ok(ServerResult::CallToolResult(result))) => self.result(result),
            Ok(Ok(_)) => Err(self.doubt("The server wants to ask somebody something, which cannot be done here.")),
            Ok(Err(ServiceError::McpError(error))) => {
                let message: String = error.message.chars().take(ERROR_CHARS).collect();
                Err(ToolError::Failed(format!("The server refused ({}): {message}", error.code.0)))
            }
            Ok(Err(error)) => {
                tracing::warn!(tool = self.listed.spec.name, %error, "a call of an MCP server was lost");
                Err(self.doubt("The connection to the server broke."))
            }
            Err(_) => Err(self.doubt("The server did not answer in time.")),
        }
    }

    fn result(&self, result: CallToolResult) -> Result<Value, ToolError> {
        if result.is_error == Some(true) {
            let text: String = words(&result.content).chars().take(ERROR_CHARS).collect();
            return Err(ToolError::Failed(text));
        }
        // The same thing said twice, for clients old and new: the one with a structure says more.
        Ok(result.structured_content.unwrap_or_else(|| json!(words(&result.content))))
    }

    /// An answer that was lost: of what only looks it is known that it did nothing.
    fn doubt(&self, why: &str) -> ToolError {
        if self.listed.acts { ToolError::Unknown } else { ToolError::Failed(why.to_owned()) }
    }
}

impl Tool for McpTool {
    fn name(&self) -> &str {
        &self.listed.spec.name
    }

    fn spec(&self) -> ToolSpec {
        self.listed.spec.clone()
    }

    fn title(&self, _arguments: &Value, _done: bool) -> String {
        self.listed.title.clone().unwrap_or_else(|| plain_title(self.name()))
    }

    fn acts(&self) -> bool {
        self.listed.acts
    }

    fn timeout(&self) -> Duration {
        // For a place and for the answer; each is bounded by itself, since only the second leaves a doubt.
        self.limits.timeout * 2 + SLACK
    }

    fn action(&self) -> Option<&str> {
        self.is_action.then(|| self.name())
    }

    fn show(&self, result: &mut Value) -> Option<Shown> {
        if self.shows { widgets::take(self.name(), result) } else { None }
    }

    fn max_result_bytes(&self) -> usize {
        self.limits.result_bytes
    }

    fn run<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<Value, ToolError>> {
        self.call(context, arguments).boxed()
    }
}

/// For whom a call is made, in `_meta`. The names have a prefix, as the protocol wants of those that it does not define.
fn meta(context: ToolContext<'_>) -> RequestMetaObject {
    let known = [
        ("threadline/user", Some(json!(context.user_id))),
        ("threadline/thread", Some(json!(context.thread_id))),
        ("threadline/run", context.run_id.map(|id| json!(id))),
        ("threadline/languages", context.client.and_then(|client| client.languages.as_deref()).map(|list| json!(list))),
        ("threadline/metadata", context.client.and_then(ClientHints::metadata_json)),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    RequestMetaObject(MetaObject(known.collect()))
}

/// The words of a result; of what is none, what it is.
fn words(content: &[ContentBlock]) -> String {
    let part = |block: &ContentBlock| match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => format!("[an image, {}, that cannot be shown here]", image.mime_type),
        ContentBlock::Audio(audio) => format!("[a sound, {}, that cannot be heard here]", audio.mime_type),
        ContentBlock::Resource(resource) => serde_json::to_string(&resource.resource).unwrap_or_default(),
        ContentBlock::ResourceLink(link) => format!("[{}]({})", link.name, link.uri),
        _ => "[something that cannot be shown here]".to_owned(),
    };
    content.iter().map(part).collect::<Vec<_>>().join("\n")
}
