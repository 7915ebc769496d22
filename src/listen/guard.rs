//! A socket with deadlines: for the peer to send a head, to send anything at all, and to take what is written.
//!
//! They are kept at the socket, below TLS and below HTTP, because only there is progress seen as it happens: one byte
//! taken by the peer is progress, however much waits in buffers above. HTTP tells the guard only what it is waiting for
//! ([`Activity`]).

use super::activity::{Activity, Phase};
use super::deadline::Deadline;
use super::slot::Slot;
use std::io::{ErrorKind, IoSlice, Result as IoResult};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The deadlines of one socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// For a head, from its first byte; for the first one, from the start.
    pub(super) head: Duration,
    /// For the first byte of the next head.
    pub(super) idle: Duration,
    /// For the peer to take anything of what is written.
    pub(super) stall: Duration,
}

/// Why a connection was closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// A head took too long.
    SlowHead,
    /// Nothing came for too long.
    Idle,
    /// The peer does not take what is written.
    Stalled,
}

/// A socket with deadlines, and the slot it occupies.
pub(super) struct Guard<T> {
    io: T,
    slot: Slot,
    activity: Activity,
    seen: u64,
    deadlines: Deadlines,
    head_begun: bool,
    reading: Deadline,
    writing: Deadline,
    /// The task that reads after an upgrade: it can be another than the one that writes, and would not notice that a
    /// write has failed.
    reader: Option<Waker>,
    dead: bool,
}

impl Cut {
    /// Label in metrics and log lines.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
        }
    }
}

impl<T> Guard<T> {
    /// Guards `io`, and keeps `slot` as long.
    pub(super) fn new(io: T, slot: Slot, activity: Activity, deadlines: Deadlines) -> Self {
        Self {
            io,
            slot,
            seen: activity.mark(),
            activity,
            deadlines,
            head_begun: false,
            reading: Deadline::default(),
            writing: Deadline::default(),
            reader: None,
            dead: false,
        }
    }

    /// The phase; a new one starts without deadlines for reading.
    fn phase(&mut self) -> Phase {
        let mark = self.activity.mark();
        if mark != self.seen {
            self.seen = mark;
            self.head_begun = false;
            self.reading.clear();
        }
        Phase::of(mark)
    }

    fn has_read(&mut self) {
        if self.phase() == Phase::Idle && !self.head_begun {
            self.head_begun = true;
            self.reading.set(Instant::now() + self.deadlines.head);
        }
    }

    /// Keeps the task that reads after an upgrade, to wake it when something changes on the writing side.
    fn keep_reader(&mut self, cx: &Context<'_>) {
        if !self.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            self.reader = Some(cx.waker().clone());
        }
    }

    /// Whether reading has to wait: an upgraded peer that does not take its answers is not asked for more questions.
    /// Each of them would wait in memory with its answer, and nothing else would ever slow such a peer down.
    fn is_held_back(&mut self) -> bool {
        self.writing.is_set() && self.phase() == Phase::Upgraded
    }

    /// There is nothing to read: an error if that has been so for too long.
    fn waits(&mut self, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        let phase = self.phase();
        let since = self.activity.since(self.seen);
        let cut = match phase {
            Phase::Busy => {
                // hyper does not look at the socket when an answer ends, only when it is woken. So a timer goes off in
                // time to see that the peer has been idle since: never later than that wait is over.
                self.reading.set_once(Instant::now() + self.deadlines.idle);
                while self.reading.poll(cx).is_ready() {
                    self.reading.set(Instant::now() + self.deadlines.idle);
                }
                return Poll::Pending;
            }
            Phase::Upgraded => {
                self.keep_reader(cx);
                return Poll::Pending;
            }
            Phase::Fresh => {
                self.reading.set_once(since + self.deadlines.head);
                Cut::SlowHead
            }
            Phase::Idle if self.head_begun => Cut::SlowHead,
            Phase::Idle => {
                self.reading.set_once(since + self.deadlines.idle);
                Cut::Idle
            }
        };
        ready!(self.reading.poll(cx));
        Poll::Ready(Err(self.cut(cut)))
    }

    /// Passes on what a write gave: an error if the peer has taken nothing for too long.
    fn wrote<R>(&mut self, cx: &mut Context<'_>, result: Poll<IoResult<R>>) -> Poll<IoResult<R>> {
        if result.is_ready() {
            if self.writing.is_set() {
                self.writing.clear();
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
            }
            return result;
        }
        self.writing.set_once(Instant::now() + self.deadlines.stall);
        ready!(self.writing.poll(cx));
        Poll::Ready(Err(self.cut(Cut::Stalled)))
    }

    fn cut(&mut self, cut: Cut) -> std::io::Error {
        // For good: the shutdown that follows a failed write would wait as long once more.
        self.dead = true;
        self.slot.cut(cut);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        ErrorKind::TimedOut.into()
    }

    fn alive(&self) -> IoResult<()> {
        if self.dead { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Guard<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
        self.alive()?;
        if self.is_held_back() {
            self.keep_reader(cx);
            return Poll::Pending;
        }
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Pending => self.waits(cx),
            result => {
                self.has_read();
                result
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Guard<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
        self.alive()?;
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<IoResult<usize>> {
        self.alive()?;
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.alive()?;
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if result.is_pending() { self.wrote(cx, result) } else { result }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
        self.alive()?;
        let result = Pin::new(&mut self.io).poll_shutdown(cx);
        self.wrote(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    const DEADLINES: Deadlines =
        Deadlines { head: Duration::from_secs(10), idle: Duration::from_secs(75), stall: Duration::from_secs(30) };

    fn guarded() -> (Guard<DuplexStream>, DuplexStream, Activity) {
        let (near, far) = duplex(64);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let activity = Activity::new();
        let slot = Slot::take("test", permit, TaskTracker::new().token());
        (Guard::new(near, slot, activity.clone(), DEADLINES), far, activity)
    }

    /// Seconds until reading fails.
    async fn cut_after(guard: &mut Guard<DuplexStream>) -> u64 {
        let start = Instant::now();
        let mut buf = [0; 64];
        while guard.read(&mut buf).await.is_ok_and(|read| read > 0) {}
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_its_deadline_from_the_start() {
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
        assert_eq!(cut_after(&mut guard).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time_until_the_next_head_begins() {
        let (mut guard, mut far, activity) = guarded();
        activity.enter(Phase::Idle);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            far.write_all(b"GET").await.unwrap();
            std::future::pending::<DuplexStream>().await
        });
        assert_eq!(cut_after(&mut guard).await, 70);

        let (mut guard, _far, activity) = guarded();
        activity.enter(Phase::Idle);
        assert_eq!(cut_after(&mut guard).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_between_two_looks_starts_a_new_wait() {
        let (mut guard, mut far, activity) = guarded();
        activity.enter(Phase::Idle);
        far.write_all(b"GET").await.unwrap();
        assert_eq!(guard.read(&mut [0; 8]).await.unwrap(), 3);
        activity.enter(Phase::Busy);
        activity.enter(Phase::Idle);
        assert_eq!(cut_after(&mut guard).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_bounds_reading_while_we_are_busy_or_after_an_upgrade() {
        for phase in [Phase::Busy, Phase::Upgraded] {
            let (mut guard, _far, activity) = guarded();
            activity.enter(phase);
            let wait = tokio::time::timeout(Duration::from_secs(3600), cut_after(&mut guard));
            assert!(wait.await.is_err(), "{phase:?}");
        }
        let activity = Activity::new();
        activity.enter(Phase::Upgraded);
        activity.enter(Phase::Idle);
        assert_eq!(Phase::of(activity.mark()), Phase::Upgraded);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deaf_peer_fails_the_write_and_wakes_the_reader() {
        let (guard, _far, activity) = guarded();
        activity.enter(Phase::Upgraded);
        let (mut read, mut write) = tokio::io::split(guard);
        let reader = tokio::spawn(async move { read.read(&mut [0; 8]).await.unwrap_err().kind() });
        let start = Instant::now();
        let error = write.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (ErrorKind::TimedOut, 30));
        assert_eq!(reader.await.unwrap(), ErrorKind::TimedOut);
        assert!(write.shutdown().await.is_err());
        assert_eq!(start.elapsed().as_secs(), 30, "closing does not wait once more");
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_peer_that_takes_nothing_is_not_read_from_until_it_does() {
        let (guard, mut far, activity) = guarded();
        activity.enter(Phase::Upgraded);
        let (mut read, mut write) = tokio::io::split(guard);
        let writer = tokio::spawn(async move { write.write_all(&[0; 100]).await.map(|()| write) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        far.write_all(b"more").await.unwrap();
        let reader = tokio::spawn(async move { read.read(&mut [0; 8]).await.map(|count| (count, read)) });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!reader.is_finished(), "read on although nothing was taken");
        far.read_exact(&mut [0; 100]).await.unwrap();
        let _write = writer.await.unwrap().unwrap();
        assert_eq!(reader.await.unwrap().unwrap().0, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_takes_something_is_not_deaf() {
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
