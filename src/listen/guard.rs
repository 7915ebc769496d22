//! A socket with deadlines: for the peer to send a head, to send anything, and to read what is written.
//!
//! The deadlines are at the socket, below TLS and HTTP, because only the socket sees each byte of progress: one byte
//! that the peer reads is progress, however much waits in the buffers above. HTTP only reports its phase
//! ([`Activity`]).

use super::activity::{Activity, Phase};
use super::deadline::Deadline;
use super::slot::ConnectionSlot;
use std::io::{ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The deadlines of one socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// For a head, from its first byte. For the first head, from the accept.
    pub(super) head: Duration,
    /// For the first byte of the next head.
    pub(super) idle: Duration,
    /// For the peer to read anything of what is written.
    pub(super) stall: Duration,
}

/// Why this side closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// A head took too long.
    SlowHead,
    /// The peer sent nothing for too long.
    Idle,
    /// The peer does not read what is written.
    Stalled,
}

/// A socket with deadlines, and the slot that it occupies.
pub(super) struct GuardedSocket<T> {
    io: T,
    slot: ConnectionSlot,
    activity: Activity,
    seen_mark: u64,
    deadlines: Deadlines,
    head_begun: bool,
    read_deadline: Deadline,
    write_deadline: Deadline,
    /// Wakes the task that reads after an upgrade. It can be another task than the one that writes, which would not
    /// notice that a write has failed.
    read_waker: Option<Waker>,
    is_closed: bool,
}

impl CloseReason {
    /// Returns the label for metrics and log lines.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

impl<T> GuardedSocket<T> {
    /// Guards `io`, and holds `slot` until it is dropped.
    pub(super) fn new(io: T, slot: ConnectionSlot, activity: Activity, deadlines: Deadlines) -> Self {
        Self {
            io,
            slot,
            seen_mark: activity.mark(),
            activity,
            deadlines,
            head_begun: false,
            read_deadline: Deadline::default(),
            write_deadline: Deadline::default(),
            read_waker: None,
            is_closed: false,
        }
    }

    /// Returns the phase. A new phase starts without a read deadline.
    fn phase(&mut self) -> Phase {
        let mark = self.activity.mark();
        if mark != self.seen_mark {
            self.seen_mark = mark;
            self.head_begun = false;
            self.read_deadline.clear();
        }
        Phase::of(mark)
    }

    fn on_read(&mut self) {
        if self.phase() == Phase::Idle && !self.head_begun {
            self.head_begun = true;
            self.read_deadline.set(Instant::now() + self.deadlines.head);
        }
    }

    /// Stores the waker of the task that reads after an upgrade, to wake it when something changes on the write side.
    fn store_read_waker(&mut self, cx: &Context<'_>) {
        if !self.read_waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.read_waker = Some(cx.waker().clone());
        }
    }

    /// Returns whether reading is paused. Nothing is read from an upgraded peer that does not read its responses:
    /// each request would wait in memory with its response, and nothing else slows such a peer down.
    fn is_read_paused(&mut self) -> bool {
        self.write_deadline.is_set() && self.phase() == Phase::Upgraded
    }

    /// Called when there is nothing to read. Returns an error if that has lasted too long.
    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let phase = self.phase();
        let since = self.activity.since(self.seen_mark);
        let reason = match phase {
            Phase::Busy => {
                // hyper does not poll the socket when a response ends, only when it is woken. This timer wakes it no
                // later than the idle deadline that begins with the end of the response.
                self.read_deadline.set_once(Instant::now() + self.deadlines.idle);
                while self.read_deadline.poll(cx).is_ready() {
                    self.read_deadline.set(Instant::now() + self.deadlines.idle);
                }
                return Poll::Pending;
            }
            Phase::Upgraded => {
                self.store_read_waker(cx);
                return Poll::Pending;
            }
            Phase::Fresh => {
                self.read_deadline.set_once(since + self.deadlines.head);
                CloseReason::SlowHead
            }
            Phase::Idle if self.head_begun => CloseReason::SlowHead,
            Phase::Idle => {
                self.read_deadline.set_once(since + self.deadlines.idle);
                CloseReason::Idle
            }
        };
        ready!(self.read_deadline.poll(cx));
        Poll::Ready(Err(self.close(reason)))
    }

    /// Returns the result of a write, or an error if the peer has read nothing for too long.
    fn poll_write_deadline<R>(&mut self, cx: &mut Context<'_>, result: Poll<IoResult<R>>) -> Poll<IoResult<R>> {
        if result.is_ready() {
            if self.write_deadline.is_set() {
                self.write_deadline.clear();
                if let Some(waker) = self.read_waker.take() {
                    waker.wake();
                }
            }
            return result;
        }
        self.write_deadline.set_once(Instant::now() + self.deadlines.stall);
        ready!(self.write_deadline.poll(cx));
        Poll::Ready(Err(self.close(CloseReason::Stalled)))
    }

    fn close(&mut self, reason: CloseReason) -> std::io::Error {
        // All later calls fail at once: the shutdown that follows a failed write would wait for as long again.
        self.is_closed = true;
        self.slot.record_close(reason);
        if let Some(waker) = self.read_waker.take() {
            waker.wake();
        }
        ErrorKind::TimedOut.into()
    }

    fn check_open(&self) -> IoResult<()> {
        if self.is_closed { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedSocket<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        self.check_open()?;
        if self.is_read_paused() {
            self.store_read_waker(cx);
            return Poll::Pending;
        }
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.poll_read_deadline(cx),
            result => {
                self.on_read();
                result
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedSocket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        self.check_open()?;
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.poll_write_deadline(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        self.check_open()?;
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.poll_write_deadline(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.check_open()?;
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if result.is_pending() { self.poll_write_deadline(cx, result) } else { result }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.check_open()?;
        let result = Pin::new(&mut self.io).poll_shutdown(cx);
        self.poll_write_deadline(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use super::super::addresses::Addresses;
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    const DEADLINES: Deadlines =
        Deadlines { head: Duration::from_secs(10), idle: Duration::from_secs(75), stall: Duration::from_secs(30) };

    fn guarded() -> (GuardedSocket<DuplexStream>, DuplexStream, Activity) {
        let (near, far) = duplex(64);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let activity = Activity::new();
        let place = Addresses::new(1, Arc::default()).enter([127, 0, 0, 1].into()).unwrap();
        let slot = ConnectionSlot::new("test", (permit, place), TaskTracker::new().token());
        (GuardedSocket::new(near, slot, activity.clone(), DEADLINES), far, activity)
    }

    /// Returns the seconds until reading fails.
    async fn closed_after(guard: &mut GuardedSocket<DuplexStream>) -> u64 {
        let start = Instant::now();
        let mut buf = [0; 64];
        while guard.read(&mut buf).await.is_ok_and(|read| read > 0) {}
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_the_first_head_begins_at_the_start() {
        let (mut guard, mut far, activity) = guarded();
        activity.enter(Phase::Fresh);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if far.write_all(b"x").await.is_err() {
                    break;
                }
            }
        });
        assert_eq!(closed_after(&mut guard).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_the_idle_deadline_holds_until_the_next_head_begins() {
        let (mut guard, mut far, activity) = guarded();
        activity.enter(Phase::Idle);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            far.write_all(b"GET").await.unwrap();
            std::future::pending::<DuplexStream>().await
        });
        assert_eq!(closed_after(&mut guard).await, 70);

        let (mut guard, _far, activity) = guarded();
        activity.enter(Phase::Idle);
        assert_eq!(closed_after(&mut guard).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_between_two_polls_restarts_the_idle_deadline() {
        let (mut guard, mut far, activity) = guarded();
        activity.enter(Phase::Idle);
        far.write_all(b"GET").await.unwrap();
        assert_eq!(guard.read(&mut [0; 8]).await.unwrap(), 3);
        activity.enter(Phase::Busy);
        activity.enter(Phase::Idle);
        assert_eq!(closed_after(&mut guard).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_read_deadline_while_a_request_is_handled_or_after_an_upgrade() {
        for phase in [Phase::Busy, Phase::Upgraded] {
            let (mut guard, _far, activity) = guarded();
            activity.enter(phase);
            let wait = tokio::time::timeout(Duration::from_secs(3600), closed_after(&mut guard));
            assert!(wait.await.is_err(), "{phase:?}");
        }
        let activity = Activity::new();
        activity.enter(Phase::Upgraded);
        activity.enter(Phase::Idle);
        assert_eq!(Phase::of(activity.mark()), Phase::Upgraded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_fails_the_write_and_wakes_the_reader() {
        let (guard, _far, activity) = guarded();
        activity.enter(Phase::Upgraded);
        let (mut read, mut write) = tokio::io::split(guard);
        let reader = tokio::spawn(async move { read.read(&mut [0; 8]).await.unwrap_err().kind() });
        let start = Instant::now();
        let error = write.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::TimedOut, 30));
        assert_eq!(reader.await.unwrap(), ErrorKind::TimedOut);
        assert!(write.shutdown().await.is_err());
        assert_eq!(start.elapsed().as_secs(), 30, "closing does not wait again");
    }

    #[tokio::test(start_paused = true)]
    async fn reading_from_an_upgraded_peer_is_paused_while_it_reads_nothing() {
        let (guard, mut far, activity) = guarded();
        activity.enter(Phase::Upgraded);
        let (mut read, mut write) = tokio::io::split(guard);
        let writer = tokio::spawn(async move { write.write_all(&[0; 100]).await.map(|()| write) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        far.write_all(b"more").await.unwrap();
        let reader = tokio::spawn(async move { read.read(&mut [0; 8]).await.map(|count| (count, read)) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!reader.is_finished(), "it was read although the peer reads nothing");
        far.read_exact(&mut [0; 100]).await.unwrap();
        let _write = writer.await.unwrap().unwrap();
        assert_eq!(reader.await.unwrap().unwrap().0, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_not_closed() {
        let (mut guard, mut far, _activity) = guarded();
        let reader = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                far.read_exact(&mut [0; 10]).await.unwrap();
            }
            far
        });
        guard.write_all(&[0; 150]).await.unwrap();
        reader.await.unwrap();
    }
}
