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

/// Returns the bytes of events in a form that can be parsed. They end with an error if one event is longer than
/// `max_bytes`.
///
/// A byte that is not UTF-8 becomes U+FFFD. A body that is JSON, although its type says otherwise, becomes one event.
/// The last event may lack the blank line behind it.
pub(super) fn bounded<S>(bytes: S, max_bytes: usize) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static,
{
    let mut body = EventBody { max_bytes, is_line_empty: true, ..EventBody::default() };
    bytes.map(Some).chain(stream::iter([None])).map(move |chunk| match chunk {
        Some(chunk) => chunk.map_err(io::Error::other).and_then(|chunk| body.read(&chunk)).inspect_err(|_| body.fail()),
        None => Ok(body.end()),
    })
}

/// What is known of a body of events so far.
#[derive(Default)]
struct EventBody {
    max_bytes: usize,
    event_bytes: usize,
    is_line_empty: bool,
    /// The first bytes of a character whose other bytes have not come.
    half_character: Vec<u8>,
    /// Whether the body is JSON instead of events; `None` before its first character.
    is_json: Option<bool>,
    /// The last byte that is no space.
    last: u8,
    has_failed: bool,
}

impl EventBody {
    fn read(&mut self, chunk: &[u8]) -> io::Result<Bytes> {
        for byte in chunk {
            match byte {
                b'\n' if self.is_line_empty && self.is_json != Some(true) => self.event_bytes = 0,
                b'\n' => self.is_line_empty = true,
                b'\r' => {}
                _ => self.is_line_empty = false,
            }
            self.event_bytes += 1;
            if self.event_bytes > self.max_bytes {
                return Err(io::Error::other(EventTooLong));
            }
            if !byte.is_ascii_whitespace() {
                self.last = *byte;
            }
        }
        let mut text = self.decode(chunk);
        if self.is_json.is_none()
            && let Some(first) = text.find(|char: char| !char.is_whitespace() && char != '\u{feff}')
        {
            let is_json = text.get(first..).is_some_and(|text| text.starts_with(['{', '[']));
            self.is_json = Some(is_json);
            if is_json {
                text = format!("data: {}", text.get(first..).unwrap_or_default());
            }
        }
        if self.is_json == Some(true) {
            text = text.replace('\r', " ").replace('\n', "\ndata: ");
        }
        Ok(text.into())
    }

    fn decode(&mut self, chunk: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.half_character);
        bytes.extend_from_slice(chunk);
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes.utf8_chunks().peekable();
        while let Some(part) = rest.next() {
            text.push_str(part.valid());
            let is_cut = rest.peek().is_none()
                && std::str::from_utf8(part.invalid()).is_err_and(|error| error.error_len().is_none());
            if is_cut {
                self.half_character = part.invalid().to_vec();
            } else if !part.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Returns the end of the last event, if it may be complete: a part of an event must not count as received.
    fn end(&self) -> Bytes {
        match !self.has_failed && matches!(self.last, b'}' | b']') {
            true => Bytes::from_static(b"\n\n"),
            false => Bytes::new(),
        }
    }
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
    async fn a_body_may_be_json_and_the_last_event_may_lack_its_end() {
        for text in [
            "event: message\ndata: {\"id\":1,\"result\":\"\u{e9}\"}",
            "data: {\"id\":1,\"result\":\"\u{e9}\"}\r\n",
            "{\"id\":1,\"result\":\"\u{e9}\"}",
            "\r\n\u{feff}{\r\n\r\n\"id\":1,\n\"result\":\"\u{e9}\"\n}\n",
        ] {
            assert_eq!(answers(text, 100).await, [Answer::Result("\u{e9}".into())], "{text}");
        }
        for text in ["data: {\"id\":1,\"res", "data: pong"] {
            assert!(answers(text, 100).await.is_empty(), "{text}");
        }
        let chunks = [Ok(Bytes::from_static(b"data: {\"id\":1,\"result\":\"\xe9\"}\n\n"))];
        let read: Vec<_> = bounded(stream::iter(chunks), 100).collect().await;
        assert_eq!(read[0].as_ref().unwrap(), "data: {\"id\":1,\"result\":\"\u{fffd}\"}\n\n".as_bytes());
    }

    #[tokio::test]
    async fn an_event_that_is_too_long_is_an_answer() {
        let text =
            "data: {}\n\ndata: {}\n\ndata: {\"id\":1,\"result\":\"0123456789012345678901234567890123456789\"}\n\n";
        assert!(matches!(answers(text, 40).await.first(), Some(Answer::Result(result)) if result.is_object()));
        assert_eq!(answers(text, 80).await.len(), 1);
    }
}
