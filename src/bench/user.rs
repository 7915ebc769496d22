//! The user of `threadline bench`, and the requests that are measured.

use crate::rest_client::{OnLimit, Refusal, RestClient};
use anyhow::Context;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use parking_lot::{Mutex, MutexGuard};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// Maximum time for a response, or for the next part of a stream.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time for a deletion at the end, with the pause that a limit asks for.
const DELETION_TIMEOUT: Duration = Duration::from_secs(150);
const SESSIONS: &str = "/api/v1/chatkit/sessions";

/// A user of an installation. Clones are the same user.
#[derive(Clone)]
pub(super) struct User {
    api: RestClient,
    /// Whether somebody else uses the account too: then nothing may be left in it.
    is_shared: bool,
    /// Ids of the sessions that are not deleted yet.
    sessions: Arc<Mutex<BTreeSet<String>>>,
    /// Whether the measurement has ended before its time.
    stopped: Arc<watch::Sender<bool>>,
}

impl User {
    /// Uses the token, or registers a user if there is none.
    pub(super) async fn connect(url: &str, token: Option<SecretString>) -> anyhow::Result<Self> {
        // A measurement that waits for a limit would measure the limit.
        let api = RestClient::new(url, OnLimit::Fail)?;
        let is_shared = token.is_some();
        let api = match token {
            Some(token) => api.with_token(token, None),
            None => register(&api).await?,
        };
        Ok(Self { api, is_shared, sessions: Arc::default(), stopped: Arc::new(watch::Sender::new(false)) })
    }

    /// Tells the workers to end after the request that they wait for.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until the workers are told to end.
    pub(super) async fn stopped(&self) {
        // The sender is in `self`, so it is not gone.
        let _ = self.stopped.subscribe().wait_for(|is_stopped| *is_stopped).await;
    }

    /// Returns the ids of the sessions that were created and not deleted.
    pub(super) fn sessions_left(&self) -> Vec<String> {
        self.sessions().iter().cloned().collect()
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.sessions.lock()
    }

    /// Creates a session, and returns its id.
    pub(super) async fn create_session(&self) -> anyhow::Result<String> {
        let session = self.call(Method::POST, SESSIONS, Some(&json!({}))).await?;
        let id = session.get("id").and_then(Value::as_str).context("a session without an id")?.to_owned();
        self.sessions().insert(id.clone());
        Ok(id)
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
        self.call(Method::DELETE, &format!("{SESSIONS}/{session}"), None).await?;
        self.sessions().remove(session);
        Ok(())
    }

    /// Deletes a session after the measurement. In the account of somebody else, a limit is waited for.
    pub(super) async fn delete_left(&self, session: &str) -> anyhow::Result<()> {
        let api = if self.is_shared { self.api.patient() } else { self.api.clone() };
        let path = format!("{SESSIONS}/{session}");
        let deleted = tokio::time::timeout(DELETION_TIMEOUT, api.call(Method::DELETE, &path, None)).await;
        match deleted.context("a deletion took too long")? {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
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

/// Returns whether there is no such session: a response that says so has been lost.
fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND)
}

fn is_limit(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::TOO_MANY_REQUESTS || refusal.code.contains("LIMIT")
}
