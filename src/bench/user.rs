//! The user of `threadline bench`, and the requests that are measured.

use crate::rest_client::{OnLimit, Refusal, RestClient};
use anyhow::Context;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Maximum time for a response, or for the next part of a stream.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
const SESSIONS: &str = "/api/v1/chatkit/sessions";

/// A user of an installation. Clones are the same user.
#[derive(Clone)]
pub(super) struct User {
    api: RestClient,
}

impl User {
    /// Uses the token, or registers a user if there is none.
    pub(super) async fn connect(url: &str, token: Option<SecretString>) -> anyhow::Result<Self> {
        // A measurement that waits for a limit would measure the limit.
        let api = RestClient::new(url, OnLimit::Fail)?;
        let api = match token {
            Some(token) => api.with_token(token, None),
            None => register(&api).await?,
        };
        Ok(Self { api })
    }

    /// Creates a session, and returns its id.
    pub(super) async fn create_session(&self) -> anyhow::Result<String> {
        let session = self.call(Method::POST, SESSIONS, Some(&json!({}))).await?;
        Ok(session.get("id").and_then(Value::as_str).context("a session without an id")?.to_owned())
    }

    pub(super) async fn create_thread(&self, session: &str) -> anyhow::Result<()> {
        self.call(Method::POST, &format!("{SESSIONS}/{session}/threads"), Some(&json!({}))).await.map(drop)
    }

    pub(super) async fn list_sessions(&self) -> anyhow::Result<()> {
        self.call(Method::GET, &format!("{SESSIONS}?limit=10"), None).await.map(drop)
    }

    pub(super) async fn read_history(&self, session: &str) -> anyhow::Result<()> {
        self.call(Method::GET, &format!("{SESSIONS}/{session}"), None).await.map(drop)
    }

    pub(super) async fn delete_session(&self, session: &str) -> anyhow::Result<()> {
        self.call(Method::DELETE, &format!("{SESSIONS}/{session}"), None).await.map(drop)
    }

    /// Sends a message, and returns the stream of the answer.
    pub(super) async fn send_message(
        &self,
        session: &str,
        text: &str,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>> + use<>> {
        let content = json!([{"type": "input_text", "text": text}]);
        let body = json!({"message": {"role": "user", "content": content}});
        let path = format!("{SESSIONS}/{session}/threads/{session}/runs");
        let response = within(self.api.stream(Method::POST, &path, Some(&body), None)).await?;
        Ok(response.bytes_stream().map_err(anyhow::Error::from))
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        within(self.api.call(method, path, body)).await
    }
}

async fn register(api: &RestClient) -> anyhow::Result<RestClient> {
    let id = Uuid::new_v4().simple();
    let email = format!("bench-{id}@example.com");
    let password = SecretString::from(format!("bench {id}"));
    within(api.register(&email, &password))
        .await
        .context("a user cannot be registered; give the token of one with --token (threadline token)")?;
    within(api.log_in(&email, &password)).await
}

/// Waits for a response. The error of a limit names the settings that lift it.
async fn within<T>(response: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let response = tokio::time::timeout(RESPONSE_TIMEOUT, response).await.context("a response took too long")?;
    response.map_err(|error| match error.downcast_ref::<Refusal>() {
        Some(refusal) if is_limit(refusal) => error.context(
            "a limit of the installation ends the measurement; while you measure, set \
             RATE_LIMIT_REQUESTS_PER_MINUTE=0, MAX_SESSIONS_PER_USER=0 and MAX_STREAMS_PER_USER above --streams",
        ),
        _ => error,
    })
}

fn is_limit(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::TOO_MANY_REQUESTS || refusal.code.contains("LIMIT")
}
