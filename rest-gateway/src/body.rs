//! The body of an answer: bytes, a stream of events, or a file.

use crate::observe::Observation;
use crate::sse::Sse;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer.
#[derive(Debug)]
pub struct Body(Inner);

enum Inner {
    Bytes(Bytes),
    // Boxed, as most answers are bytes and the stream's state is large.
    Events(Box<Sse>),
    /// The request is observed until its last byte is taken.
    File {
        bytes: BoxStream<'static, Bytes>,
        _observed: Box<Observation>,
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

    pub(crate) fn events(events: Sse) -> Self {
        Self(Inner::Events(Box::new(events)))
    }

    pub(crate) fn file(bytes: BoxStream<'static, Bytes>, observation: Observation) -> Self {
        Self(Inner::File { bytes, _observed: Box::new(observation) })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Inner::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Bytes(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Events(events) => events.poll_bytes(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Inner::File { bytes, .. } => {
                bytes.poll_next_unpin(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
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
            // The length of a file stands in the head.
            Inner::Events(_) | Inner::File { .. } => SizeHint::default(),
        }
    }
}
