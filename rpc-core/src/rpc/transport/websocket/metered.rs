//! Bounds what the peer of a socket has sent and was not read as a message yet.
//!
//! The library knows one limit for all messages of a socket, and makes room for what a frame announces. So the
//! announced bytes are counted below it: a stranger may send a little, and what is more than a little comes out of the
//! memory that all peers share.

use super::frame_heads::FrameHeads;
use crate::rpc::call::KnownPeer;
use crate::rpc::transport::STRANGER_BYTES;
use parking_lot::Mutex;
use std::io::{Error, IoSlice, Result};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use threadline_runtime::{ByteBudget, ByteHold};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
}

#[derive(Default)]
struct Counted {
    heads: FrameHeads,
    /// Bytes that were announced since the last message.
    bytes: usize,
    hold: Option<ByteHold>,
    overflow: Option<Overflow>,
}

/// A stream whose bytes are counted.
pub(super) struct Metered<S> {
    stream: S,
    meter: Meter,
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
        Self { shared: Arc::new(Shared { known, budget, peer, max_frame, counted: Mutex::default() }) }
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

    fn count(&self, bytes: &[u8]) -> Result<()> {
        let Shared { known, budget, peer, max_frame, counted } = &*self.shared;
        let mut counted = counted.lock();
        let bytes = usize::try_from(counted.heads.read(bytes)).unwrap_or(usize::MAX);
        if bytes == 0 || (known.is_known() && bytes > *max_frame) {
            // The library refuses what is too large for anybody, and makes no room for it.
            return Ok(());
        }
        counted.bytes = counted.bytes.saturating_add(bytes);
        if counted.bytes <= STRANGER_BYTES {
            return Ok(());
        }
        let is_held = match &mut counted.hold {
            Some(hold) => hold.grow(bytes),
            hold => {
                *hold = budget.take(*peer, bytes);
                hold.is_some()
            }
        };
        let overflow = match (known.is_known(), is_held) {
            (true, true) => return Ok(()),
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
        Self { stream, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        // After an overflow, what is read is thrown away.
        let result = match self.meter.overflow() {
            Some(_) => Ok(()),
            None => self.meter.count(buffer.filled().get(before..).unwrap_or_default()),
        };
        Poll::Ready(result)
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
