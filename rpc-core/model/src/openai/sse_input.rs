//! Prepares a response body for the SSE parser.
//!
//! `sse-stream` handles all line endings, comments, and events that are split at any byte. [`SseInput`] adds what it
//! does not do: it terminates an event that the body ends in the middle of, it limits the size of an event, and it turns
//! a plain JSON body into one event.

use crate::ModelError;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// Largest event, and largest response that is not streamed. Large events carry a whole tool call, a few kilobytes.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// The bytes of a response body.
pub(super) type ResponseBody = BoxStream<'static, Result<Bytes, ModelError>>;

/// A response body as a valid and bounded event stream.
pub(super) struct SseInput {
    body: ResponseBody,
    format: BodyFormat,
    unparsed: Arc<UnparsedBytes>,
}

/// Number of bytes since the last complete event. Shared with the reader of the events, because the SSE parser owns its
/// input.
#[derive(Default)]
pub(super) struct UnparsedBytes(AtomicUsize);

impl UnparsedBytes {
    /// To be called for each complete event.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn exceeds_limit(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_EVENT_BYTES
    }
}

enum BodyFormat {
    /// Only white space so far.
    Unknown,
    EventStream,
    /// One JSON document: a response that is not streamed, or an error with status 200.
    JsonDocument(BytesMut),
    /// The body has ended, and everything was passed on.
    Ended,
}

impl SseInput {
    pub(super) fn new(body: ResponseBody) -> Self {
        Self { body, format: BodyFormat::Unknown, unparsed: Arc::default() }
    }

    pub(super) fn unparsed_bytes(&self) -> Arc<UnparsedBytes> {
        Arc::clone(&self.unparsed)
    }

    /// Returns what the parser must read after the last byte of the body.
    fn end(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.format, BodyFormat::Ended) {
            // Some servers close right after `data: [DONE]`. The blank line terminates whatever was left open. If that
            // is half a chunk, it is then refused as invalid and not silently dropped.
            BodyFormat::Unknown | BodyFormat::EventStream => Some(Bytes::from_static(b"\n\n")),
            BodyFormat::JsonDocument(document) => {
                let mut event = BytesMut::with_capacity(document.len() + 8);
                event.put_slice(b"data:");
                // Line breaks occur only between the tokens of a JSON document: inside strings they are escaped.
                event.extend(document.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
                event.put_slice(b"\n\n");
                Some(event.freeze())
            }
            BodyFormat::Ended => None,
        }
    }
}

impl Stream for SseInput {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if matches!(this.format, BodyFormat::Ended) {
                return Poll::Ready(None);
            }
            // The parser asks for more only when the bytes so far contain no further complete event.
            if this.unparsed.exceeds_limit() {
                let message = format!("an event is longer than {MAX_EVENT_BYTES} bytes");
                return Poll::Ready(Some(Err(ModelError::invalid_response(message))));
            }
            let bytes = match ready!(this.body.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(this.end().map(Ok)),
            };
            this.unparsed.add(bytes.len());
            if let BodyFormat::Unknown = this.format {
                this.format = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                    None => BodyFormat::Unknown,
                    // No line of an event stream begins with a brace. The content type does not help: some servers
                    // send `text/event-stream` with a JSON document.
                    Some(b'{') => BodyFormat::JsonDocument(BytesMut::new()),
                    Some(_) => BodyFormat::EventStream,
                };
            }
            match &mut this.format {
                BodyFormat::JsonDocument(document) => document.extend_from_slice(&bytes),
                BodyFormat::Unknown | BodyFormat::EventStream | BodyFormat::Ended => {
                    return Poll::Ready(Some(Ok(bytes)));
                }
            }
        }
    }
}
