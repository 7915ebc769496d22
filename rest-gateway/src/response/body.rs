//! The body of a response: bytes, an event stream, or a file.

use crate::http::Observation;
use crate::sse::SseStream;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub struct Body(Inner);

enum Inner {
    Bytes(Bytes),
    // Boxed: most responses are bytes, and the state of a stream is large.
    Events(Box<SseStream>),
    File {
        chunks: BoxStream<'static, Bytes>,
        /// Ends with the last chunk.
        _observation: Box<Observation>,
    },
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes(_) => "Bytes",
            Self::Events(_) => "Events",
            Self::File { .. } => "File",
        })
    }
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::bytes(Bytes::new())
    }

    pub(crate) fn bytes(bytes: Bytes) -> Self {
        Self(Inner::Bytes(bytes))
    }

    pub(crate) fn events(events: SseStream) -> Self {
        Self(Inner::Events(Box::new(events)))
    }

    pub(crate) fn file(chunks: BoxStream<'static, Bytes>, observation: Observation) -> Self {
        Self(Inner::File { chunks, _observation: Box::new(observation) })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match &mut self.0 {
            Inner::Bytes(bytes) => Poll::Ready((!bytes.is_empty()).then(|| std::mem::take(bytes))),
            Inner::Events(events) => events.poll_chunk(cx),
            Inner::File { chunks, .. } => chunks.poll_next_unpin(cx),
        };
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Bytes(bytes) => bytes.is_empty(),
            Inner::Events(events) => events.is_done(),
            Inner::File { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // Content-Length has the size of a file.
            Inner::Events(_) | Inner::File { .. } => SizeHint::default(),
        }
    }
}
