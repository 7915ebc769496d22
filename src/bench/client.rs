//! The REST API as a client of it sees it.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longest time for a response to begin.
const TIMEOUT: Duration = Duration::from_secs(60);
const SESSIONS: &str = "/api/v1/chatkit/sessions";

/// A user of an installation. Clones are the same user.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    token: Arc<str>,
}

impl Client {
    /// Registers a user if there is no token.
    pub(super) async fn connect(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).read_timeout(TIMEOUT).build()?;
        let mut client = Self { http, base: url.trim_end_matches('/').into(), token: "".into() };
        client.token = match token {
            Some(token) => token.into(),
            None => client.register().await?.into(),
        };
        Ok(client)
    }

    async fn register(&self) -> anyhow::Result<String> {
        let id = Uuid::new_v4().simple();
        let user = json!({"email": format!("bench-{id}@example.com"), "password": format!("bench {id}")});
        self.json(Method::POST, "/api/v1/auth/register", Some(&user))
            .await
            .context("a user cannot be registered; give the token of one with --token (threadline token)")?;
        let login = self.json(Method::POST, "/api/v1/auth/login", Some(&user)).await?;
        Ok(login.pointer("/data/token").and_then(Value::as_str).context("a login without a token")?.to_owned())
    }

    /// Makes a session, and returns its id.
    pub(super) async fn create_session(&self) -> anyhow::Result<String> {
        let session = self.json(Method::POST, SESSIONS, Some(&json!({}))).await?;
        Ok(session.pointer("/data/id").and_then(Value::as_str).context("a session without an id")?.to_owned())
    }

    pub(super) async fn create_thread(&self, session: &str) -> anyhow::Result<()> {
        self.json(Method::POST, &format!("{SESSIONS}/{session}/threads"), Some(&json!({}))).await.map(drop)
    }

    pub(super) async fn list(&self) -> anyhow::Result<()> {
        self.json(Method::GET, &format!("{SESSIONS}?limit=10"), None).await.map(drop)
    }

    pub(super) async fn history(&self, session: &str) -> anyhow::Result<()> {
        self.json(Method::GET, &format!("{SESSIONS}/{session}"), None).await.map(drop)
    }

    pub(super) async fn delete(&self, session: &str) -> anyhow::Result<()> {
        self.json(Method::DELETE, &format!("{SESSIONS}/{session}"), None).await.map(drop)
    }

    /// Says something, and returns the stream of the answer.
    pub(super) async fn say(
        &self,
        session: &str,
        text: &str,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>> + use<>> {
        let content = json!([{"type": "input_text", "text": text}]);
        let body = json!({"message": {"role": "user", "content": content}});
        let path = format!("{SESSIONS}/{session}/threads/{session}/runs");
        let response = self.send(Method::POST, &path, Some(&body)).await?;
        Ok(response.bytes_stream().map_err(anyhow::Error::from))
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let response = self.send(method, path, body).await?;
        let bytes = response.bytes().await?;
        // Some responses have no body.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("{} does not answer", self.base))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        let said: String = text.chars().take(300).collect();
        if status == StatusCode::TOO_MANY_REQUESTS || text.contains("LIMIT") {
            bail!(
                "a limit of the installation ends the measurement ({status}: {said}); for its time, set \
                 RATE_LIMIT_REQUESTS_PER_MINUTE=0, MAX_SESSIONS_PER_USER=0 and MAX_STREAMS_PER_USER above --streams"
            );
        }
        bail!("{method} {path}: {status}: {said}")
    }
}
