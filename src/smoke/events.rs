//! Reads the events of a run.

use crate::rest_client::RestClient;
use anyhow::{Context, bail};
use futures::StreamExt;
use futures::stream::BoxStream;
use reqwest::{Method, Response};
use serde_json::Value;
use sse_stream::{Sse, SseStream};
use std::time::{Duration, Instant};

/// A stream of one run. It remembers what it has read.
pub(super) struct RunStream {
    events: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    opened_at: Instant,
    /// Id of the run.
    pub(super) run: String,
    /// The last cursor: `run_id:seq`.
    pub(super) cursor: Option<String>,
    /// The text of all deltas.
    pub(super) text: String,
    /// Time from the request to the first and to the last text.
    pub(super) text_times: Option<(Duration, Duration)>,
    /// The last event, if it has arrived.
    pub(super) terminal: Option<Value>,
}

impl RunStream {
    /// Sends a message, and opens the stream of its answer.
    ///
    /// # Errors
    /// When the service refuses it, or the response is not a stream.
    pub(super) async fn send(api: &RestClient, session: &str, text: &str) -> anyhow::Result<Self> {
        let path = format!("/api/v1/chatkit/sessions/{session}/threads/{session}/runs");
        let body = serde_json::json!({
            "message": {"role": "user", "content": [{"type": "input_text", "text": text}]},
        });
        let opened_at = Instant::now();
        Self::of(api.stream(Method::POST, &path, Some(&body), None).await?, opened_at, None)
    }

    /// Opens the stream of a run that exists, after a cursor.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub(super) async fn resume(api: &RestClient, run: &str, cursor: &str) -> anyhow::Result<Self> {
        let path = format!("/api/v1/chatkit/runs/{run}/events");
        let opened_at = Instant::now();
        let response = api.stream(Method::GET, &path, None, Some(cursor)).await?;
        Self::of(response, opened_at, Some(cursor.to_owned()))
    }

    fn of(response: Response, opened_at: Instant, cursor: Option<String>) -> anyhow::Result<Self> {
        let run = response.headers().get("x-run-id").and_then(|id| id.to_str().ok());
        let run = run.context("the stream has no header X-Run-Id: a proxy removes headers")?.to_owned();
        let events = SseStream::from_bytes_stream(response.bytes_stream()).boxed();
        Ok(Self { events, opened_at, run, cursor, text: String::new(), text_times: None, terminal: None })
    }

    /// Reads the next event. `None` after the last one.
    ///
    /// # Errors
    /// When the stream breaks, or a number is missing or comes twice.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            let Some(event) = self.events.next().await else {
                bail!("the stream ended without `[DONE]`: a proxy or a time limit has cut it");
            };
            let Sse { id, data: Some(data), .. } = event.context("the stream broke off")? else { continue };
            if data == "[DONE]" {
                return Ok(None);
            }
            let event: Value = serde_json::from_str(&data).context("an event is not JSON")?;
            if let Some(id) = id {
                self.advance(id)?;
            }
            if let Some(delta) = event.get("delta").and_then(Value::as_str) {
                let now = self.opened_at.elapsed();
                self.text_times = Some((self.text_times.map_or(now, |(first, _)| first), now));
                self.text.push_str(delta);
            }
            if matches!(kind(&event), "run.completed" | "run.failed" | "run.cancelled" | "run.interrupted") {
                self.terminal = Some(event.clone());
            }
            return Ok(Some(event));
        }
    }

    /// Reads to the end. Returns the run as the last event has it.
    ///
    /// # Errors
    /// As for [`next`](Self::next), and when the last event is missing.
    pub(super) async fn finish(&mut self) -> anyhow::Result<&Value> {
        while self.next().await?.is_some() {}
        self.terminal.as_ref().context("the stream ended without the end of the run")
    }

    /// Reads until there is text, or to the end.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(super) async fn until_text(&mut self) -> anyhow::Result<()> {
        while self.text.is_empty() && self.next().await?.is_some() {}
        Ok(())
    }

    /// Checks that the numbers of the events have no gap.
    fn advance(&mut self, id: String) -> anyhow::Result<()> {
        let number = |id: &str| id.rsplit_once(':').and_then(|(_, seq)| seq.parse::<u64>().ok());
        let new = number(&id).with_context(|| format!("{id:?} is not a cursor"))?;
        let last = self.cursor.as_deref().and_then(number).unwrap_or(0);
        if new != last + 1 {
            bail!("event {new} came after event {last}: events are lost or come twice");
        }
        self.cursor = Some(id);
        Ok(())
    }
}

/// Returns the type of an event.
pub(super) fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}
