//! The late status: nothing is sent until it is known whether the run says anything.

use crate::upstream::Frames;
use futures::StreamExt;
use serde::Deserialize;
use threadline_schema::call::Frame;
use threadline_schema::error::Failure;
use threadline_schema::event::{is_output, is_terminal, type_of};
use threadline_schema::{ErrorCode, RpcError};

/// Most frames that are held back. What a run emits before its output is a handful; beyond that, waiting would only
/// grow memory.
const HELD: usize = 256;

/// How a run began.
#[derive(Debug)]
pub(crate) enum Begun {
    /// With output, or without any but well: stream these frames, then the rest.
    Well(Vec<Frame>),
    /// It failed before it said anything.
    Failed(RpcError),
}

/// Waits for the first output or for the end.
pub(crate) async fn begin(frames: &mut Frames) -> Begun {
    let mut held = Vec::new();
    while let Some(frame) = frames.next().await {
        let kind = type_of(&frame.event).unwrap_or_default();
        if is_terminal(kind)
            && !held.iter().any(resyncs_output)
            && let Some(error) = failure(kind, &frame.event)
        {
            return Begun::Failed(error);
        }
        let decided = is_output(kind) || is_terminal(kind);
        held.push(frame);
        if decided || held.len() >= HELD {
            return Begun::Well(held);
        }
    }
    Begun::Failed(lost())
}

/// The error a terminal event tells; `None` where the run ended as somebody wanted.
pub(super) fn failure(kind: &str, event: &str) -> Option<RpcError> {
    match kind {
        "run.failed" => {
            let told: Result<Failed, _> = serde_json::from_str(event);
            Some(told.map_or_else(
                |_| RpcError::new(ErrorCode::InternalError, "The run failed."),
                |told| RpcError::new(told.error.code, told.error.message),
            ))
        }
        "run.interrupted" => Some(RpcError::new(
            ErrorCode::ServiceUnavailable,
            "The server stopped while it was answering. Please send the message again.",
        )),
        _ => None,
    }
}

/// What is told when the events stop before there was anything to stream.
pub(super) fn lost() -> RpcError {
    RpcError::new(ErrorCode::ServiceUnavailable, "The service cannot be reached right now. Please try again.")
}

/// Whether a frame stands for a run's events and shows that there was output: quotes are escaped inside strings, so no
/// text can look like this member.
fn resyncs_output(frame: &Frame) -> bool {
    type_of(&frame.event) == Some("run.resync")
        && [r#""type":"assistant_message""#, r#""type":"workflow""#].iter().any(|item| frame.event.contains(item))
}

#[derive(Deserialize)]
struct Failed {
    error: Failure,
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use uuid::Uuid;

    const ADDED: &str = r#"{"type":"thread.item.added","item":{}}"#;
    const USER: &str = r#"{"type":"thread.item.done","item":{"type":"user_message"}}"#;
    const FAILED: &str = r#"{"type":"run.failed","run":{},"error":{"code":"UPSTREAM_TIMEOUT","message":"too slow"}}"#;

    fn frames(events: &[&str]) -> Frames {
        let frames: Vec<_> = events
            .iter()
            .zip(1..)
            .map(|(event, seq)| Frame { run_id: Uuid::nil(), seq, event: (*event).into() })
            .collect();
        stream::iter(frames).boxed()
    }

    async fn begun(events: &[&str]) -> Result<usize, RpcError> {
        match begin(&mut frames(events)).await {
            Begun::Well(held) => Ok(held.len()),
            Begun::Failed(error) => Err(error),
        }
    }

    #[tokio::test]
    async fn a_run_that_fails_before_output_is_an_error() {
        let error = begun(&[USER, FAILED]).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::UpstreamTimeout, "too slow"));
        let interrupted = r#"{"type":"run.interrupted","run":{}}"#;
        assert_eq!(begun(&[USER, interrupted]).await.unwrap_err().code, ErrorCode::ServiceUnavailable);
        assert_eq!(begun(&[r#"{"type":"run.failed"}"#]).await.unwrap_err().code, ErrorCode::InternalError);
        assert_eq!(begun(&[USER]).await.unwrap_err().code, ErrorCode::ServiceUnavailable);
    }

    #[tokio::test]
    async fn output_or_an_end_that_was_wanted_is_a_stream() {
        assert_eq!(begun(&[USER, ADDED, FAILED]).await.unwrap(), 2);
        assert_eq!(begun(&[USER, r#"{"type":"run.cancelled","run":{}}"#]).await.unwrap(), 2);
        assert_eq!(begun(&[r#"{"type":"run.completed","run":{}}"#]).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_resync_counts_as_output_when_it_shows_any() {
        let said = r#"{"type":"run.resync","run":{},"items":{"data":[{"type":"assistant_message"}]}}"#;
        assert_eq!(begun(&[said, FAILED]).await.unwrap(), 2);
        let silent = r#"{"type":"run.resync","run":{},"items":{"data":[{"text":"\"type\":\"assistant_message\""}]}}"#;
        assert_eq!(begun(&[silent, FAILED]).await.unwrap_err().code, ErrorCode::UpstreamTimeout);
    }

    #[tokio::test]
    async fn what_is_held_back_is_bounded() {
        let events = vec![r#"{"type":"thread.updated"}"#; HELD * 2];
        assert_eq!(begun(&events).await.unwrap(), HELD);
    }
}
