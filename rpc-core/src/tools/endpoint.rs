//! Tools behind an address of an internal service, over HTTP or JSON-RPC.
//!
//! | file | does |
//! | --- | --- |
//! | `request.rs` | arguments -> the request |
//! | `answer.rs` | the answer -> a result, bounded in size |
//! | `signed.rs` | for whom the call is made, as a token |

mod answer;
mod request;
mod signed;

use super::{Shown, Tool, ToolContext, ToolError, widgets};
use crate::config::{CallLimits, EndpointConfig};
use crate::model::ToolSpec;
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonschema::Validator;
use request::Template;
use reqwest::{Client, Response};
use serde_json::Value;
use signed::Signer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Longest wait for a connection: these services are near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a call takes beside waiting for the service.
const SLACK: Duration = Duration::from_secs(5);

/// The client that every endpoint shares.
///
/// # Errors
/// When the TLS library does not start.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect would carry the token, and what the user said, to a host nobody configured.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// A tool behind an address.
pub(crate) struct EndpointTool {
    name: Arc<str>,
    spec: ToolSpec,
    arguments: Validator,
    template: Template,
    signer: Option<Signer>,
    limits: CallLimits,
    places: Semaphore,
    acts: bool,
    /// Whether its results may carry widgets.
    shows: bool,
    /// Whether users may call it from widgets.
    is_action: bool,
    client: Client,
}

impl EndpointTool {
    /// # Errors
    /// In words, when the configuration is not one that was checked.
    pub(crate) fn new(name: &Arc<str>, config: &EndpointConfig, client: &Client) -> Result<Self, String> {
        Ok(Self {
            name: name.clone(),
            spec: super::spec(name, &config.description, &config.parameters),
            arguments: jsonschema::validator_for(&config.parameters).map_err(|error| error.to_string())?,
            template: Template::new(config)?,
            signer: config.user_context.as_ref().map(Signer::new).transpose()?,
            limits: config.limits,
            places: Semaphore::new(config.limits.concurrency),
            acts: config.acts,
            shows: config.widgets,
            is_action: config.action,
            client: client.clone(),
        })
    }

    async fn call(&self, context: ToolContext<'_>, arguments: Value) -> Result<Value, ToolError> {
        let failed = |why: String| ToolError::Failed(why);
        self.check(&arguments).map_err(|problem| failed(format!("Bad arguments: {problem}.")))?;
        let mut request = self.template.request(&arguments).map_err(failed)?;
        if let Some(signer) = &self.signer {
            let (header, token) = signer.sign(context, &self.name).map_err(failed)?;
            request.headers_mut().insert(header, token);
        }
        if let Ok(id) = context.request_id.parse() {
            request.headers_mut().insert("x-request-id", id);
        }
        let Ok(Ok(_place)) = timeout(self.limits.timeout, self.places.acquire()).await else {
            return Err(failed("The service has too much to do. Nothing was done.".to_owned()));
        };
        match timeout(self.limits.timeout, self.ask(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.doubt("The service did not answer in time.")),
        }
    }

    async fn ask(&self, request: reqwest::Request) -> Result<Value, ToolError> {
        let response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                // The address may carry a key.
                let error = error.without_url();
                tracing::warn!(tool = &*self.name, %error, "an internal service could not be reached");
                // Without a connection nothing was asked.
                return Err(if error.is_connect() {
                    ToolError::Failed("The service cannot be reached. Nothing was done.".to_owned())
                } else {
                    self.doubt("The connection to the service broke.")
                });
            }
        };
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Value, ToolError> {
        let status = response.status();
        let widget_bytes = if self.shows { widgets::MAX_BYTES } else { 0 };
        let body = answer::body(response, self.limits.result_bytes + widget_bytes).await;
        if status.is_server_error() && self.acts && !answer::REFUSALS.contains(&status) {
            tracing::warn!(tool = &*self.name, status = status.as_u16(), "an internal service failed");
            return Err(ToolError::Unknown);
        }
        let Ok(body) = body else { return Err(self.doubt("The connection to the service broke.")) };
        if !status.is_success() {
            return Err(ToolError::Failed(answer::refusal(status, &body)));
        }
        if self.template.is_json_rpc() {
            answer::json_rpc(&body, self.limits.result_bytes)
                .unwrap_or_else(|| Err(self.doubt("The service sent no answer.")))
        } else {
            Ok(answer::plain(&body, self.limits.result_bytes))
        }
    }

    /// An answer that was lost: of what only looks it is known that it did nothing.
    fn doubt(&self, why: &str) -> ToolError {
        if self.acts { ToolError::Unknown } else { ToolError::Failed(why.to_owned()) }
    }
}

impl Tool for EndpointTool {
    fn name(&self) -> &str {
        &self.name
    }

    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    fn title(&self, _arguments: &Value, _done: bool) -> String {
        super::plain_title(&self.name)
    }

    fn acts(&self) -> bool {
        self.acts
    }

    fn timeout(&self) -> Duration {
        // For a place and for the answer; each is bounded by itself, since only the second leaves a doubt.
        self.limits.timeout * 2 + SLACK
    }

    fn action(&self) -> Option<&str> {
        self.is_action.then_some(&*self.name)
    }

    fn check(&self, arguments: &Value) -> Result<(), String> {
        self.arguments.iter_errors(arguments).next().map_or(Ok(()), |problem| Err(problem.to_string()))
    }

    fn show(&self, result: &mut Value) -> Option<Shown> {
        if self.shows { widgets::take(&self.name, result) } else { None }
    }

    fn max_result_bytes(&self) -> usize {
        self.limits.result_bytes
    }

    fn run<'a>(&'a self, context: ToolContext<'a>, arguments: Value) -> BoxFuture<'a, Result<Value, ToolError>> {
        self.call(context, arguments).boxed()
    }
}
