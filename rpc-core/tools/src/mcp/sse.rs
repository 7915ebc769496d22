//! The events of the streamable HTTP transport.

use super::message::{Expected, read_messages, too_long};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use rmcp::model::ServerJsonRpcMessage;
use rmcp::transport::streamable_http_client::SseError;
use sse_stream::Sse;
use std::io;

/// Minimum time before `rmcp` asks for a stream again that has ended, in milliseconds, whatever the server says.
const MIN_RETRY_MS: u64 = 500;

/// An event is longer than the limit.
#[derive(Debug, thiserror::Error)]
#[error("an event of an MCP server is too long")]
struct EventTooLong;

type Events = BoxStream<'static, Result<Sse, SseError>>;

/// Returns the events in a form that `rmcp` reads: one message per event. What is not a message is left out.
pub(super) fn readable_events<S>(events: S, expected: Expected) -> Events
where
    S: Stream<Item = Result<Sse, SseError>> + Send + 'static,
{
    let readable = move |event: Result<Sse, SseError>| {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let answered = expected.only.clone().filter(|_| is_too_long(&error));
                let answer = answered.and_then(|id| event_of(&too_long(id)));
                return vec![answer.ok_or(error)];
            }
        };
        let messages = event.data.as_ref().and_then(|data| read_messages(data.as_bytes(), &expected));
        let mut events: Vec<_> =
            messages.into_iter().flatten().filter_map(|message| event_of(&message)).map(Ok).collect();
        // Id and waiting time count after the last of them.
        let retry = event.retry.map(|retry| retry.max(MIN_RETRY_MS));
        events.push(Ok(Sse { event: None, data: None, id: event.id, retry }));
        events
    };
    events.map(readable).map(stream::iter).flatten().boxed()
}

/// Returns the events of these messages.
pub(super) fn events_of(messages: Vec<ServerJsonRpcMessage>) -> Events {
    let events: Vec<_> = messages.iter().filter_map(event_of).map(Ok).collect();
    stream::iter(events).boxed()
}

fn is_too_long(error: &SseError) -> bool {
    let SseError::Body(error) = error else { return false };
    let error = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is_some_and(|error| error.is::<EventTooLong>())
}

fn event_of(message: &ServerJsonRpcMessage) -> Option<Sse> {
    Some(Sse::default().data(serde_json::to_string(message).ok()?))
}

/// Ends a stream of bytes with an error if one event is longer than `max_bytes`.
pub(super) fn bounded<S>(bytes: S, max_bytes: usize) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static,
{
    let mut event_bytes = 0_usize;
    let mut is_line_empty = true;
    bytes.map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        for byte in &chunk {
            match byte {
                b'\n' if is_line_empty => event_bytes = 0,
                b'\n' => is_line_empty = true,
                b'\r' => {}
                _ => is_line_empty = false,
            }
            event_bytes += 1;
            if event_bytes > max_bytes {
                return Err(io::Error::other(EventTooLong));
            }
        }
        Ok(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::message::{Answer, read_answer};
    use rmcp::model::RequestId;
    use sse_stream::SseStream;

    async fn answers(text: &'static str, max_bytes: usize) -> Vec<Answer> {
        let expected = Expected { only: Some(RequestId::Number(1)), ..Expected::default() };
        // In pieces, as a network delivers them.
        let chunks: Vec<_> = text.as_bytes().chunks(7).map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let events = SseStream::from_bytes_stream(bounded(stream::iter(chunks), max_bytes));
        let events: Vec<_> = readable_events(events, expected).collect().await;
        let data: Vec<_> = events.into_iter().filter_map(|event| event.ok()?.data).collect();
        let messages = data.iter().map(|data| serde_json::from_str::<ServerJsonRpcMessage>(data).unwrap());
        messages.filter_map(ServerJsonRpcMessage::into_response).map(|(result, _)| read_answer(result)).collect()
    }

    #[tokio::test]
    async fn events_of_any_name_are_read_and_noise_is_left_out() {
        let text = ": hello\n\nevent: response\ndata: {\"id\":1,\ndata: \"result\":7}\n\ndata: pong\n\nretry: 0\n\n";
        assert_eq!(answers(text, 100).await, [Answer::Result(7.into())]);
    }

    #[tokio::test]
    async fn an_event_that_is_too_long_is_an_answer() {
        let text =
            "data: {}\n\ndata: {}\n\ndata: {\"id\":1,\"result\":\"0123456789012345678901234567890123456789\"}\n\n";
        assert!(matches!(answers(text, 40).await.first(), Some(Answer::Result(result)) if result.is_object()));
        assert_eq!(answers(text, 80).await.len(), 1);
    }
}
