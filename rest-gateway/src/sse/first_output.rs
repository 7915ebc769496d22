//! Waits for the first output of a run, before the HTTP status is sent. A run that fails before it is an HTTP error
//! instead of a stream.

use super::run_error::{NoAnswer, error_of_end};
use crate::upstream::FrameStream;
use futures::StreamExt;
use serde::Deserialize;
use threadline_schema::event::EventKind;
use threadline_schema::frame::Frame;

/// Maximum number of frames that are buffered. A run emits a handful of events before its output; with more, waiting
/// would only use memory.
const MAX_BUFFERED: usize = 256;

/// Reads frames up to the first output or the end. Returns them: they come first in the stream.
///
/// # Errors
/// If the run has no output and did not end well.
pub(crate) async fn await_first_output(frames: &mut FrameStream) -> Result<Vec<Frame>, NoAnswer> {
    let mut buffered = Vec::new();
    while let Some(frame) = frames.next().await {
        let kind = frame.event().kind();
        if kind.is_terminal()
            && !buffered.iter().any(is_resync_with_output)
            && let Some(error) = error_of_end(frame.event())
        {
            return Err(NoAnswer::RunFailed(error));
        }
        let is_decided = kind.is_output() || kind.is_terminal();
        buffered.push(frame);
        if is_decided || buffered.len() >= MAX_BUFFERED {
            return Ok(buffered);
        }
    }
    Err(NoAnswer::EventsLost)
}

/// Returns whether a frame replaces the events of a run and has output among its items: what the user has not said.
fn is_resync_with_output(frame: &Frame) -> bool {
    #[derive(Deserialize)]
    struct Resync {
        items: Items,
    }
    #[derive(Deserialize)]
    struct Items {
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        r#type: String,
    }
    let event = frame.event();
    event.kind() == EventKind::RunResync
        && serde_json::from_str::<Resync>(&event.json())
            .is_ok_and(|resync| resync.items.data.iter().any(|item| item.r#type != "user_message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use threadline_schema::event::Event;
    use threadline_schema::ids::RunId;
    use threadline_schema::{ErrorCode, RpcError};

    const ADDED: &str = r#"{"type":"thread.item.added","item":{}}"#;
    const USER: &str = r#"{"type":"thread.item.done","item":{"type":"user_message"}}"#;
    const FAILED: &str = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_TIMEOUT","message":"too slow"}}"#;

    fn frames(events: &[&str]) -> FrameStream {
        let frames: Vec<_> = events
            .iter()
            .zip(1..)
            .map(|(event, seq)| Frame::Run { run_id: RunId::nil(), seq, event: Event::from_json(*event) })
            .collect();
        stream::iter(frames).boxed()
    }

    /// Returns how many frames are buffered.
    async fn start(events: &[&str]) -> Result<usize, RpcError> {
        Ok(await_first_output(&mut frames(events)).await?.len())
    }

    #[tokio::test]
    async fn a_run_that_fails_before_output_is_an_error() {
        let error = start(&[USER, FAILED]).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::UpstreamTimeout, "too slow"));
        let interrupted = r#"{"type":"run.interrupted","run":{}}"#;
        assert_eq!(start(&[USER, interrupted]).await.unwrap_err().code, ErrorCode::ServiceUnavailable);
        assert_eq!(start(&[r#"{"type":"run.failed"}"#]).await.unwrap_err().code, ErrorCode::InternalError);
        assert_eq!(start(&[USER]).await.unwrap_err().code, ErrorCode::ServiceUnavailable);
    }

    #[tokio::test]
    async fn a_run_without_budget_says_when_the_next_day_begins() {
        let failed = r#"{"type":"run.failed","run":{},"error":{"code":"BUDGET_EXCEEDED","message":"no more"}}"#;
        let error = start(&[USER, failed]).await.unwrap_err();
        assert!(error.retry_after().is_some_and(|seconds| (1..=86_401).contains(&seconds)), "{error:?}");
        assert!(error.resets_at().is_some_and(|at| at.ends_with("T00:00:00Z")), "{error:?}");
        assert_eq!(start(&[USER, FAILED]).await.unwrap_err().retry_after(), None);
    }

    #[tokio::test]
    async fn output_or_an_end_without_error_is_a_stream() {
        assert_eq!(start(&[USER, ADDED, FAILED]).await.unwrap(), 2);
        assert_eq!(start(&[USER, r#"{"type":"run.cancelled","run":{}}"#]).await.unwrap(), 2);
        assert_eq!(start(&[r#"{"type":"run.completed","run":{}}"#]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_resync_counts_as_output_if_it_has_output() {
        for kind in ["assistant_message", "workflow", "widget"] {
            let with = format!(r#"{{"type":"run.resync","items":{{"data":[{{"type":"{kind}"}}]}}}}"#);
            assert_eq!(start(&[&with, FAILED]).await.unwrap(), 2);
        }
        let without = r#"{"type":"run.resync","items":{"data":[{"type":"user_message","x":{"type":"widget"}}]}}"#;
        assert_eq!(start(&[without, FAILED]).await.unwrap_err().code, ErrorCode::UpstreamTimeout);
    }

    #[tokio::test]
    async fn the_buffer_is_bounded() {
        let events = vec![r#"{"type":"thread.updated"}"#; MAX_BUFFERED * 2];
        assert_eq!(start(&events).await.unwrap(), MAX_BUFFERED);
    }
}
