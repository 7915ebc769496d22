//! A client of the REST API that says in words what is wrong.

use anyhow::{Context, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause that a 429 may ask for. A rate limit counts per minute.
const MAX_RETRY_AFTER: u64 = 61;
/// How much of a body that is no JSON is repeated in the error.
const EXCERPT_CHARS: usize = 80;

/// An error response of the service.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} was answered {status} {code}: {message}{}", shown(.request_id))]
pub(super) struct Refusal {
    method: Method,
    path: String,
    pub(super) status: StatusCode,
    pub(super) code: String,
    message: String,
    request_id: String,
}

fn shown(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!(" (request id {id})") }
}

/// The REST API of a deployment.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    base: String,
    token: Option<SecretString>,
    user: Option<String>,
}

impl Api {
    /// # Errors
    /// When the URL is none.
    pub(super) fn new(url: &str) -> anyhow::Result<Self> {
        let parsed: Url = url.parse().with_context(|| format!("--url: {url:?} is no URL"))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
            bail!("--url: {url:?} does not begin with http:// or https://, followed by a host");
        }
        // A redirect would turn a POST into a GET: the URL must be the right one.
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("threadline-smoke/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base: url.trim_end_matches('/').to_owned(), token: None, user: None })
    }

    /// Returns the API as one user calls it.
    pub(super) fn logged_in(&self, token: SecretString, user: Option<String>) -> Self {
        Self { token: Some(token), user, ..self.clone() }
    }

    /// Returns the `data` of a successful response.
    ///
    /// # Errors
    /// [`Refusal`] when the service refuses the request, or words when it cannot be asked.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let response = self.send(&method, path, body, None).await?;
        let response = refused(&method, path, response).await?;
        let mut reply = json(path, response).await?;
        Ok(reply.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// Returns the body of a health check, which has no envelope, and whether its status is 200.
    ///
    /// # Errors
    /// When the response is none of Threadline.
    pub(super) async fn health(&self, path: &str) -> anyhow::Result<(bool, Value)> {
        let response = self.send(&Method::GET, path, None, None).await?;
        let status = response.status();
        if status.is_redirection() {
            bail!("GET {path} is redirected ({status}): give the URL that it leads to");
        }
        let body = json(path, response).await?;
        if body.get("status").is_none() && body.pointer("/error/code").is_none() {
            bail!("GET {path} was answered {status} without a member `status`: there is another service at this URL");
        }
        Ok((status == StatusCode::OK, body))
    }

    /// Opens a stream of events.
    ///
    /// # Errors
    /// As for [`call`](Self::call), and when the response is no stream.
    pub(super) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        cursor: Option<&str>,
    ) -> anyhow::Result<Response> {
        let response = self.send(&method, path, body, cursor).await?;
        let response = refused(&method, path, response).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            bail!("{method} {path} was answered with {kind:?} instead of text/event-stream: a proxy changes responses");
        }
        Ok(response)
    }

    /// Sends a request. When a limit refuses it, waits as long as the response says, and tries once more.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        cursor: Option<&str>,
    ) -> anyhow::Result<Response> {
        let request = || {
            let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.expose_secret());
            }
            if let Some(user) = &self.user {
                request = request.header("x-threadline-user", user);
            }
            if let Some(cursor) = cursor {
                request = request.header("last-event-id", cursor).header(ACCEPT, "text/event-stream");
            }
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        let response = self.once(request()).await?;
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return Ok(response);
        }
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match wait.filter(|seconds| *seconds <= MAX_RETRY_AFTER) {
            Some(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                self.once(request()).await
            }
            None => Ok(response),
        }
    }

    async fn once(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        request.send().await.map_err(|error| {
            let hint = match (error.is_connect(), self.base.starts_with("https")) {
                (true, true) => "; is the address right, and the certificate valid for it?",
                (true, false) => "; is the address right, and does the service run?",
                (false, _) => "",
            };
            anyhow::anyhow!("{} cannot be reached{hint} {}", self.base, causes(&error))
        })
    }
}

/// Returns the innermost causes of an error, which say what happened, in parentheses.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    if causes.is_empty() { format!("({error})") } else { format!("({})", causes.join(": ")) }
}

/// Makes an error response of the service an error.
async fn refused(method: &Method, path: &str, response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_redirection() {
        bail!("{method} {path} is redirected ({status}): give the URL that it leads to");
    }
    let header = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let request_id = header.unwrap_or_default().to_owned();
    let body = json(path, response).await?;
    let member = |name: &str| body.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (member("/error/code"), member("/error/message"));
    Err(Refusal { method: method.clone(), path: path.to_owned(), status, code, message, request_id }.into())
}

/// Reads a body of JSON.
async fn json(path: &str, response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await.with_context(|| format!("the response to {path} broke off"))?;
    serde_json::from_str(&text).map_err(|_| {
        let excerpt: String = text.trim().chars().take(EXCERPT_CHARS).collect();
        anyhow::anyhow!(
            "{path} was answered {status} and not with JSON ({excerpt:?}): the URL must be that of the REST API \
             (REST_LISTEN), without /chat or /rpc"
        )
    })
}
