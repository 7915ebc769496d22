//! The steps of one conversation: session, stream, tool, cursor, cancel.

use super::events::{RunStream, kind};
use super::report::Report;
use super::{is_skipped, text};
use crate::cli::SmokeOptions;
use crate::rest_client::{Refusal, RestClient};
use anyhow::{Context, bail};
use chrono::DateTime;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

/// A message whose answer is several sentences long, so that there is something to resume and to cancel.
const LONG_ANSWER: &str = "Hello! What can you do? Please answer in about ten sentences.";
/// An answer that the service has given over this time, and that arrives all at once, was held back by a proxy.
const BUFFERED_SECONDS: f64 = 1.0;

/// What the conversation has created on the server.
#[derive(Debug, Default)]
pub(super) struct Created {
    session: Option<String>,
    /// Title of the task that the tool creates.
    task: Option<String>,
}

/// Runs the steps. If a step fails, the steps that need it are skipped.
///
/// # Errors
/// When stdout cannot be written to.
pub(super) async fn talk(
    api: &RestClient,
    options: &SmokeOptions,
    report: &mut Report,
    created: &mut Created,
) -> anyhow::Result<()> {
    let limit = options.timeout;
    let Some(session) = report.step("session", limit, open_session(api, created)).await? else { return Ok(()) };
    let has_answer = report.step("stream", limit, stream(api, &session)).await?.is_some();
    if !has_answer {
        return report.skip("tool", "it needs the stream; so do cursor and cancel");
    }
    if is_skipped(options, "tool") {
        report.skip("tool", "--skip tool")?;
    } else {
        report.step("tool", limit, tool(api, &session, created)).await?;
    }
    report.step("cursor", limit, cursor(api, &session)).await?;
    report.step("cancel", limit, cancel(api, &session)).await?;
    Ok(())
}

async fn open_session(api: &RestClient, created: &mut Created) -> anyhow::Result<(String, String)> {
    let session = api.call(Method::POST, "/api/v1/chatkit/sessions", None).await?;
    let id = text(&session, "/id").to_owned();
    if id.is_empty() {
        bail!("the session has no id: {session}");
    }
    created.session = Some(id.clone());
    Ok((id.clone(), id))
}

/// Sends a message, reads its answer, and checks that the answer is stored.
async fn stream(api: &RestClient, session: &str) -> anyhow::Result<((), String)> {
    let mut stream = RunStream::send(api, session, LONG_ANSWER).await?;
    let run = completed(&mut stream).await?.get("run").cloned().unwrap_or_default();
    let Some((first, last)) = stream.text_times else { bail!("the answer has no text") };
    let message = stored(api, session, &stream.text).await?;
    let received_seconds = (last - first).as_secs_f64();
    if let Some(written_seconds) = seconds_between(text(&message, "/created_at"), text(&run, "/finished_at"))
        && written_seconds >= BUFFERED_SECONDS
        && received_seconds < 0.1 * written_seconds
    {
        bail!(
            "the answer was given in {written_seconds:.1} s and arrived all at once: a proxy holds streams back (nginx: \
             `proxy_buffering off`; no compression of text/event-stream)"
        );
    }
    Ok(((), format!("first text after {} ms, {} characters, stored", first.as_millis(), stream.text.chars().count())))
}

/// Has the model call a tool.
async fn tool(api: &RestClient, session: &str, created: &mut Created) -> anyhow::Result<((), String)> {
    let title = format!("smoke {}", Uuid::new_v4().simple());
    created.task = Some(title.clone());
    let mut stream = RunStream::send(api, session, &format!("Add task: {title}")).await?;
    let end = completed(&mut stream).await?;
    let calls = end.pointer("/run/tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = calls.iter().map(|call| text(call, "/name")).collect();
    if names.is_empty() {
        bail!(
            "the model called no tool when asked to add a task; if the agent has no tool `add_task`, use --skip tool"
        );
    }
    Ok(((), format!("called {}", names.join(", "))))
}

/// Closes a stream in the middle, and reads the rest after the cursor.
async fn cursor(api: &RestClient, session: &str) -> anyhow::Result<((), String)> {
    let mut stream = RunStream::send(api, session, LONG_ANSWER).await?;
    stream.until_text().await?;
    let cursor = stream.cursor.clone().context("the events have no ids, so nothing can be resumed")?;
    let (run, mut received) = (stream.run.clone(), stream.text.clone());
    drop(stream);
    let mut rest = RunStream::resume(api, &run, &cursor).await?;
    completed(&mut rest).await?;
    received.push_str(&rest.text);
    stored(api, session, &received).await.context("what was read before and after the cursor is not the answer")?;
    Ok(((), format!("resumed after {cursor}, {} characters in all", received.chars().count())))
}

/// Cancels a run in the middle.
async fn cancel(api: &RestClient, session: &str) -> anyhow::Result<((), String)> {
    let mut stream = RunStream::send(api, session, LONG_ANSWER).await?;
    stream.until_text().await?;
    api.call(Method::POST, &format!("/api/v1/chatkit/runs/{}/cancel", stream.run), None).await?;
    let end = stream.finish().await?.clone();
    match kind(&end) {
        "run.cancelled" => Ok(((), format!("ended after {} characters", stream.text.chars().count()))),
        "run.completed" => Ok(((), "the answer was complete before it could be cancelled".to_owned())),
        other => bail!("the run ended with {other}: {}", text(&end, "/error/message")),
    }
}

/// Returns the message of the session that has this text.
async fn stored(api: &RestClient, session: &str, expected: &str) -> anyhow::Result<Value> {
    let history = api.call(Method::GET, &format!("/api/v1/chatkit/sessions/{session}"), None).await?;
    let mut messages = history.get("messages").and_then(Value::as_array).into_iter().flatten();
    let has_text = |message: &Value| {
        let parts = message.get("content").and_then(Value::as_array).into_iter().flatten();
        parts.map(|part| text(part, "/text")).any(|found| found == expected)
    };
    messages.find(|message| has_text(message)).cloned().context("the answer that was streamed is not in the session")
}

/// Reads to the end of a run that must complete.
async fn completed(stream: &mut RunStream) -> anyhow::Result<&Value> {
    let end = stream.finish().await?;
    match kind(end) {
        "run.completed" => Ok(end),
        other => {
            bail!("the run ended with {other}: {} {}", text(end, "/error/code"), text(end, "/error/message"))
        }
    }
}

/// Returns the seconds between two times of the server's clock.
fn seconds_between(start: &str, end: &str) -> Option<f64> {
    let time = |text: &str| DateTime::parse_from_rfc3339(text).ok();
    Some((time(end)? - time(start)?).as_seconds_f64())
}

impl Created {
    /// Deletes the task. Returns what was deleted.
    ///
    /// # Errors
    /// When the service refuses it.
    pub(super) async fn delete_task(&self, api: &RestClient) -> anyhow::Result<Option<&'static str>> {
        let Some(title) = &self.task else { return Ok(None) };
        let mut deleted = None;
        for task in api.call(Method::GET, "/api/v1/tasks", None).await?.as_array().into_iter().flatten() {
            if text(task, "/title") == title {
                let path = format!("/api/v1/tasks/{}", text(task, "/id"));
                api.call(Method::DELETE, &path, None).await?;
                deleted = Some("the task");
            }
        }
        Ok(deleted)
    }

    /// Deletes the session, and checks that it is gone. Returns what was deleted.
    ///
    /// # Errors
    /// When the service refuses it, or the session is still there.
    pub(super) async fn delete_session(&self, api: &RestClient) -> anyhow::Result<Option<&'static str>> {
        let Some(session) = &self.session else { return Ok(None) };
        let path = format!("/api/v1/chatkit/sessions/{session}");
        api.call(Method::DELETE, &path, None).await?;
        match api.call(Method::GET, &path, None).await {
            Err(error) if is_gone(&error) => Ok(Some("the session")),
            Err(error) => Err(error),
            Ok(_) => bail!("it can still be read after it was deleted"),
        }
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == StatusCode::NOT_FOUND)
}
