//! Bounds what the peer of a socket has sent and was not read as a message yet, and holds its close frame back.
//!
//! The library knows one limit for all messages of a socket, and makes room for what a frame announces. So the
//! announced bytes are counted below it: a stranger may send a little, and what is more than a little comes out of the
//! memory that all peers share.
//!
//! Once the library has read a close frame, it sends nothing but the answer to it. So the frame waits until the calls
//! before it are answered.

use super::frame_heads::{FrameHeads, Heads};
use crate::rpc::call::KnownPeer;
use crate::rpc::transport::STRANGER_BYTES;
use bytes::BytesMut;
use parking_lot::Mutex;
use std::io::{Error, IoSlice, Result};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use threadline_runtime::{ByteBudget, ByteHold};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// Why a message is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// No caller was authenticated on the socket, and the message is not small.
    Stranger,
    /// The messages of all peers together use all memory that is allowed for them.
    Budget,
}

/// Counts the bytes of one socket. Clones share it.
#[derive(Clone)]
pub(super) struct Meter {
    shared: Arc<Shared>,
}

struct Shared {
    known: KnownPeer,
    budget: ByteBudget,
    /// Whose part of the budget is used; `None` for a gateway.
    peer: Option<IpAddr>,
    max_frame: usize,
    counted: Mutex<Counted>,
    /// Told when only a close frame is left to read.
    close_is_next: Notify,
}

#[derive(Default)]
struct Counted {
    heads: FrameHeads,
    /// Bytes that were announced since the last message.
    bytes: usize,
    hold: Option<ByteHold>,
    overflow: Option<Overflow>,
    /// Whether the close frame is not held back any more. What follows is not counted: it is no message.
    close_passes: bool,
}

/// A stream whose bytes are counted.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
    /// The close frame, as far as it was read, and what came with it.
    close: BytesMut,
}

impl Overflow {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Stranger => "Until a call is authenticated, a message may have 16384 bytes.",
            Self::Budget => "The server reads too many large messages at the moment. Try again.",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Budget => "budget",
        }
    }
}

impl Meter {
    /// Counts for a socket whose library refuses frames of more than `max_frame` bytes.
    pub(super) fn new(known: KnownPeer, budget: ByteBudget, peer: Option<IpAddr>, max_frame: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                known,
                budget,
                peer,
                max_frame,
                counted: Mutex::default(),
                close_is_next: Notify::new(),
            }),
        }
    }

    /// Begins to count anew, after a whole message. Returns the memory that the message holds.
    pub(super) fn message_ended(&self) -> Option<ByteHold> {
        let mut counted = self.shared.counted.lock();
        counted.bytes = 0;
        counted.hold.take()
    }

    /// Returns why reading has stopped.
    pub(super) fn overflow(&self) -> Option<Overflow> {
        self.shared.counted.lock().overflow
    }

    /// Waits until the library has read all that the peer has sent before its close frame.
    pub(super) async fn close_is_next(&self) {
        self.shared.close_is_next.notified().await;
    }

    /// Lets the library read the close frame, now or when it comes.
    pub(super) fn pass_close(&self) {
        self.shared.counted.lock().close_passes = true;
    }

    fn close_passes(&self) -> bool {
        self.shared.counted.lock().close_passes
    }

    /// Counts bytes that were read. Returns where the close frame begins that has to be held back.
    fn count(&self, bytes: &[u8]) -> Result<Option<usize>> {
        let Shared { known, budget, peer, max_frame, counted, .. } = &*self.shared;
        let mut counted = counted.lock();
        if counted.overflow.is_some() || counted.close_passes {
            // After an overflow, what is read is thrown away.
            return Ok(None);
        }
        let Heads { announced, close_at } = counted.heads.read(bytes);
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        if bytes == 0 || (known.is_known() && bytes > *max_frame) {
            // The library refuses what is too large for anybody, and makes no room for it.
            return Ok(close_at);
        }
        counted.bytes = counted.bytes.saturating_add(bytes);
        if counted.bytes <= STRANGER_BYTES {
            return Ok(close_at);
        }
        let is_held = match &mut counted.hold {
            Some(hold) => hold.grow(bytes),
            hold => {
                *hold = budget.take(*peer, bytes);
                hold.is_some()
            }
        };
        let overflow = match (known.is_known(), is_held) {
            (true, true) => return Ok(close_at),
            (false, _) => Overflow::Stranger,
            (true, false) => Overflow::Budget,
        };
        metrics::counter!("threadline_input_refused_total", "reason" => overflow.label()).increment(1);
        counted.overflow = Some(overflow);
        Err(Error::other(overflow.reason()))
    }
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, meter: Meter) -> Self {
        Self { stream, meter, close: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        if self.close.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            let Some(close_at) = self.meter.count(read)? else { return Poll::Ready(Ok(())) };
            self.close.extend_from_slice(read.get(close_at..).unwrap_or_default());
            buffer.set_filled(before + close_at);
            if close_at > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if !self.meter.close_passes() {
            // No bytes would mean the end. Who lets the frame pass reads again.
            self.meter.shared.close_is_next.notify_one();
            return Poll::Pending;
        }
        let length = self.close.len().min(buffer.remaining());
        buffer.put_slice(&self.close.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
