//! Tools of internal services, over HTTP or JSON-RPC.
//!
//! | file | does |
//! | --- | --- |
//! | `request.rs` | builds the request of a call |
//! | `response.rs` | reads the response, up to a size limit |
//! | `user_context.rs` | signs a token that says for which user the call is made |

mod request;
mod response;
#[cfg(test)]
mod tests;
mod user_context;

use crate::arguments::ArgumentSchema;
use crate::config::{ApprovalMode, CallLimits, EndpointConfig};
use crate::output::{ToolImage, ToolOutput};
use crate::tool::{Tool, ToolContext, ToolError, default_title, tool_spec};
use crate::widgets;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use request::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use threadline_model::ToolSpec;
use threadline_schema::tool_result::WidgetView;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use user_context::UserContextSigner;

/// Internal services are in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Added to the two time limits of a call, which cover only the waiting.
const OVERHEAD: Duration = Duration::from_secs(5);

/// Creates the HTTP client that all endpoints and MCP servers share.
///
/// # Errors
/// If the TLS library cannot be initialised.
pub fn http_client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would send the token and the user's words to a host that is not configured.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Returns the current time, by the clock that all processes share.
pub type NowFn = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What all endpoints use.
#[derive(Clone)]
pub struct EndpointDeps {
    /// The client from [`http_client`].
    pub client: Client,
    /// For the timestamps of signed tokens.
    pub now: NowFn,
}

/// A tool of an internal service.
pub struct EndpointTool {
    name: Arc<str>,
    spec: ToolSpec,
    arguments: ArgumentSchema,
    requests: RequestBuilder,
    signer: Option<UserContextSigner>,
    limits: CallLimits,
    /// One permit per call in flight.
    permits: Semaphore,
    has_side_effects: bool,
    is_idempotent: bool,
    allows_widgets: bool,
    is_action: bool,
    approval: ApprovalMode,
    deps: EndpointDeps,
}

impl EndpointTool {
    /// Creates the tool. Nothing is sent yet.
    ///
    /// # Errors
    /// If the configuration is invalid, which reading the agents file has ruled out. The text is for the operator.
    pub fn new(name: &Arc<str>, config: &EndpointConfig, deps: &EndpointDeps) -> Result<Self, String> {
        let arguments = ArgumentSchema::strict(&config.parameters)?;
        Ok(Self {
            name: name.clone(),
            spec: tool_spec(name, &config.description, arguments.schema()),
            arguments,
            requests: RequestBuilder::new(config)?,
            signer: config.user_context.as_ref().map(UserContextSigner::new).transpose()?,
            limits: config.limits,
            permits: Semaphore::new(config.limits.concurrency),
            has_side_effects: config.has_side_effects,
            is_idempotent: config.is_idempotent,
            allows_widgets: config.allows_widgets,
            is_action: config.is_action,
            approval: config.approval,
            deps: deps.clone(),
        })
    }

    async fn send_call(&self, context: ToolContext<'_>, arguments: Value) -> Result<ToolOutput, ToolError> {
        let failed = |why: String| ToolError::Failed(why);
        let mut request = self.requests.build(&arguments).map_err(failed)?;
        if let Ok(id) = context.request_id.parse() {
            request.headers_mut().insert("x-request-id", id);
        }
        threadline_trace::add_headers(request.headers_mut());
        let Ok(Ok(_permit)) = timeout(self.limits.timeout, self.permits.acquire()).await else {
            return Err(failed("The service has too much to do. Nothing was done.".to_owned()));
        };
        // After the wait for a permit: the token expires soon.
        if let Some(signer) = &self.signer {
            let (header, token) = signer.sign(context, &self.name, (self.deps.now)()).map_err(failed)?;
            request.headers_mut().insert(header, token);
        }
        match timeout(self.limits.timeout, self.send(request)).await {
            Ok(result) => result,
            Err(_) => Err(self.lost_response("The service did not answer in time.")),
        }
    }

    async fn send(&self, request: reqwest::Request) -> Result<ToolOutput, ToolError> {
        let response = match self.deps.client.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                // The URL can hold a key.
                let error = error.without_url();
                tracing::warn!(tool = &*self.name, %error, "internal service cannot be reached");
                // Without a connection, the request was not sent.
                return Err(if error.is_connect() {
                    ToolError::Failed("The service cannot be reached. Nothing was done.".to_owned())
                } else {
                    self.lost_response("The connection to the service broke.")
                });
            }
        };
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<ToolOutput, ToolError> {
        let status = response.status();
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let widget_bytes = if self.allows_widgets { widgets::MAX_BYTES } else { 0 };
        let mut max_bytes = self.limits.result_bytes + widget_bytes;
        if ToolImage::is_supported(&media_type) {
            max_bytes = max_bytes.max(ToolImage::MAX_BYTES);
        }
        let body = response::read_body(response, max_bytes).await;
        // Its error is an answer, whatever the status.
        if self.requests.is_json_rpc()
            && !status.is_success()
            && let Ok(body) = &body
            && let Some(Err(refused)) = response::json_rpc_result(body, self.limits.result_bytes)
        {
            return Err(refused);
        }
        if status.is_server_error() && self.has_side_effects && !response::NOT_EXECUTED.contains(&status) {
            tracing::warn!(tool = &*self.name, status = status.as_u16(), "internal service failed");
            return Err(ToolError::OutcomeUnknown);
        }
        // 303 answers a request that was carried out (RFC 9110, 15.4.4), and many services say 302 for it. What follows
        // from it is at another address, which is not asked.
        if matches!(status, StatusCode::FOUND | StatusCode::SEE_OTHER) && self.has_side_effects {
            tracing::warn!(tool = &*self.name, status = status.as_u16(), "internal service redirects after a call");
            return Err(ToolError::OutcomeUnknown);
        }
        let Ok(body) = body else { return Err(self.lost_response("The connection to the service broke.")) };
        if !status.is_success() {
            let text = response::status_error(status, &body);
            // A refusal in JSON is written for the caller. Anything else can be a page of a proxy, or a trace.
            let is_refusal = status.is_client_error() && body.is_json();
            return Err(if is_refusal { ToolError::Failed(text) } else { ToolError::ServiceFailed(text) });
        }
        if self.requests.is_json_rpc() {
            response::json_rpc_result(&body, self.limits.result_bytes)
                .unwrap_or_else(|| Err(self.lost_response("The service sent no answer.")))
                .map(ToolOutput::from)
        } else {
            Ok(response::http_result(&body, &media_type, self.limits.result_bytes))
        }
    }

    /// Returns the error for a call whose response was lost: without side effects, the call is known to have done
    /// nothing.
    fn lost_response(&self, why: &str) -> ToolError {
        if self.has_side_effects { ToolError::OutcomeUnknown } else { ToolError::Failed(why.to_owned()) }
    }
}

impl Tool for EndpointTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn title(&self, _arguments: &Value, _is_done: bool) -> String {
        default_title(&self.name)
    }

    fn has_side_effects(&self) -> bool {
        self.has_side_effects
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
        self.is_action.then_some(&*self.name)
    }

    fn approval(&self) -> ApprovalMode {
        self.approval
    }

    fn check_arguments(&self, arguments: &Value) -> Result<(), String> {
        self.arguments.check(arguments)
    }

    fn split_widget(&self, result: Value) -> (Value, Option<WidgetView>) {
        if self.allows_widgets { widgets::extract_widget(&self.name, result) } else { (result, None) }
    }

    fn call<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        self.send_call(context, arguments).boxed()
    }
}
