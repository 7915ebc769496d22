//! A client of the REST API, for the commands that use a deployment from outside: `smoke` and `bench`.

use anyhow::{Context, anyhow, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause that a 429 may ask for, in seconds. A rate limit counts per minute.
const MAX_RETRY_AFTER: u64 = 61;
/// How many characters of a body that is not JSON the error repeats.
const EXCERPT_CHARS: usize = 80;

/// What to do when a limit refuses a request (429).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnLimit {
    /// Wait as long as the response says, and try once more.
    WaitAndRetry,
    /// Return the [`Refusal`].
    Fail,
}

/// An error response of the service.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} was answered {status} {code}: {message}{}", in_parentheses(.request_id))]
pub(crate) struct Refusal {
    method: Method,
    path: String,
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    message: String,
    request_id: String,
}

fn in_parentheses(request_id: &str) -> String {
    if request_id.is_empty() { String::new() } else { format!(" (request id {request_id})") }
}

/// Returns the URL of a server, without a slash at the end.
///
/// # Errors
/// A sentence about what is wrong.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let url: Url = text.parse().map_err(|error| format!("{text:?} is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("{text:?} does not begin with http:// or https://, followed by a host"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A client of the REST API of one deployment. Its errors say what to change.
#[derive(Debug, Clone)]
pub(crate) struct RestClient {
    client: Client,
    base: String,
    token: Option<SecretString>,
    user: Option<String>,
    on_limit: OnLimit,
}

impl RestClient {
    /// Makes a client without a user.
    ///
    /// # Errors
    /// When `url` is not the URL of a server.
    pub(crate) fn new(url: &str, on_limit: OnLimit) -> anyhow::Result<Self> {
        let base = base_url(url).map_err(|problem| anyhow!("--url: {problem}"))?;
        // A redirect would turn a POST into a GET, so the URL must be the right one.
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("threadline/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base, token: None, user: None, on_limit })
    }

    /// Returns a client that waits when a limit refuses a request.
    pub(crate) fn patient(&self) -> Self {
        Self { on_limit: OnLimit::WaitAndRetry, ..self.clone() }
    }

    /// Returns a client that sends this token, and with a service key the user for whom it acts.
    pub(crate) fn with_token(&self, token: SecretString, user: Option<String>) -> Self {
        Self { token: Some(token), user, ..self.clone() }
    }

    /// Logs in, and returns a client with the token of the account.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(crate) async fn log_in(&self, email: &str, password: &SecretString) -> anyhow::Result<Self> {
        let body = json!({"email": email, "password": password.expose_secret()});
        let login = self.call(Method::POST, "/api/v1/auth/login", Some(&body)).await?;
        let token = login.get("token").and_then(Value::as_str).context("the login returned no token")?;
        Ok(self.with_token(token.into(), None))
    }

    /// Registers an account.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(crate) async fn register(&self, email: &str, password: &SecretString) -> anyhow::Result<()> {
        let body = json!({"email": email, "password": password.expose_secret()});
        self.call(Method::POST, "/api/v1/auth/register", Some(&body)).await.map(drop)
    }

    /// Sends a request. Returns the `data` of a successful response.
    ///
    /// # Errors
    /// [`Refusal`] when the service refuses the request; another error when the service cannot be reached, or the
    /// response is not one of Threadline.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let response = self.send(&method, path, body, None).await?;
        let response = refuse_error(&method, path, response).await?;
        let mut reply = read_json(path, response).await?;
        Ok(reply.get_mut("data").map(Value::take).unwrap_or_default())
    }

    /// Requests a health check. Returns whether its status is 200, and its body, which has no envelope.
    ///
    /// # Errors
    /// When the response is not one of Threadline.
    pub(crate) async fn health(&self, path: &str) -> anyhow::Result<(bool, Value)> {
        let response = self.send(&Method::GET, path, None, None).await?;
        let status = response.status();
        if status.is_redirection() {
            bail!("GET {path} is redirected ({status}): give the URL that it leads to");
        }
        let body = read_json(path, response).await?;
        if body.get("status").is_none() && body.pointer("/error/code").is_none() {
            bail!("GET {path} was answered {status} without a member `status`: another service answers at this URL");
        }
        Ok((status == StatusCode::OK, body))
    }

    /// Opens a stream of events.
    ///
    /// # Errors
    /// As for [`call`](Self::call), and when the response is not a stream.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        cursor: Option<&str>,
    ) -> anyhow::Result<Response> {
        let response = self.send(&method, path, body, cursor).await?;
        let response = refuse_error(&method, path, response).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            bail!("{method} {path} was answered with {kind:?} instead of text/event-stream: a proxy changes responses");
        }
        Ok(response)
    }

    /// Sends a request, and again if a limit refuses it and the client shall wait.
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
        if response.status() != StatusCode::TOO_MANY_REQUESTS || self.on_limit == OnLimit::Fail {
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
                (true, true) => "; is the address right, and is the certificate valid for it?",
                (true, false) => "; is the address right, and does the service run?",
                (false, _) => "",
            };
            anyhow::anyhow!("{} cannot be reached{hint} {}", self.base, causes(&error))
        })
    }
}

/// Returns the causes of an error in parentheses. They say what happened; the error itself only repeats the URL.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    if causes.is_empty() { format!("({error})") } else { format!("({})", causes.join(": ")) }
}

/// Returns the response if it is successful, and the error that it contains otherwise.
async fn refuse_error(method: &Method, path: &str, response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_redirection() {
        bail!("{method} {path} is redirected ({status}): give the URL that it leads to");
    }
    let header = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let request_id = header.unwrap_or_default().to_owned();
    let body = read_json(path, response).await?;
    let member = |name: &str| body.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (member("/error/code"), member("/error/message"));
    Err(Refusal { method: method.clone(), path: path.to_owned(), status, code, message, request_id }.into())
}

/// Reads the body of a response as JSON.
async fn read_json(path: &str, response: Response) -> anyhow::Result<Value> {
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
