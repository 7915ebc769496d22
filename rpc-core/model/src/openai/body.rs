//! The bytes of an answer on their way to the SSE reader.
//!
//! `sse-stream` copes with every line ending, with comments and with events cut at any byte. Three things it leaves
//! to its input, and this is where they are done: it drops an event the body ends in the middle of, it sets no bound
//! on an event, and an answer that is plain JSON is not its business.

use crate::ModelError;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// Bytes of one event, or of an answer that is not streamed. Large ones carry a whole tool call, a few kilobytes.
pub(super) const MAX_EVENT_BYTES: usize = 1 << 20;

/// Bytes as they come from the server.
pub(super) type Reads = BoxStream<'static, Result<Bytes, ModelError>>;

/// The body, made fit for `sse-stream`.
pub(super) struct Body {
    inner: Reads,
    shape: Shape,
    pending: Arc<Pending>,
}

/// Bytes read since the last whole event. Shared, since the SSE reader gives no way back to its input.
#[derive(Default)]
pub(super) struct Pending(AtomicUsize);

impl Pending {
    /// An event is whole.
    pub(super) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

enum Shape {
    /// Nothing but white space has come.
    Unknown,
    Events,
    /// One JSON document: an answer that is not streamed, or an error under a 200.
    Document(BytesMut),
    Ended,
}

impl Body {
    pub(super) fn new(inner: Reads) -> Self {
        Self { inner, shape: Shape::Unknown, pending: Arc::default() }
    }

    pub(super) fn pending(&self) -> Arc<Pending> {
        Arc::clone(&self.pending)
    }
}

impl Stream for Body {
    type Item = Result<Bytes, ModelError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if matches!(this.shape, Shape::Ended) {
                return Poll::Ready(None);
            }
            // Asked for more, so what was read holds no whole event that has not been taken.
            if this.pending.0.load(Ordering::Relaxed) > MAX_EVENT_BYTES {
                let text = format!("an event is longer than {MAX_EVENT_BYTES} bytes");
                return Poll::Ready(Some(Err(ModelError::Broken(text))));
            }
            let bytes = match ready!(this.inner.poll_next_unpin(cx)) {
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(this.end().map(Ok)),
            };
            this.pending.0.fetch_add(bytes.len(), Ordering::Relaxed);
            if let Shape::Unknown = this.shape {
                this.shape = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                    None => Shape::Unknown,
                    // No line of an event stream begins with a brace; servers that do not stream say so in
                    // `content-type`, but some that do not stream either still claim `text/event-stream`.
                    Some(b'{') => Shape::Document(BytesMut::new()),
                    Some(_) => Shape::Events,
                };
            }
            match &mut this.shape {
                Shape::Document(document) => document.extend_from_slice(&bytes),
                Shape::Unknown | Shape::Events | Shape::Ended => return Poll::Ready(Some(Ok(bytes))),
            }
        }
    }
}

impl Body {
    /// What is to be read after the last byte.
    fn end(&mut self) -> Option<Bytes> {
        match std::mem::replace(&mut self.shape, Shape::Ended) {
            // Some servers close right behind `data: [DONE]`. Whatever stands there, whole or cut off, becomes an
            // event; half a chunk is then refused as unreadable rather than passed over.
            Shape::Unknown | Shape::Events => Some(Bytes::from_static(b"\n\n")),
            Shape::Document(document) => {
                let mut event = BytesMut::with_capacity(document.len() + 8);
                event.put_slice(b"data:");
                // Line breaks stand only between the tokens of a JSON document: inside strings they are escaped.
                event.extend(document.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
                event.put_slice(b"\n\n");
                Some(event.freeze())
            }
            Shape::Ended => None,
        }
    }
}
