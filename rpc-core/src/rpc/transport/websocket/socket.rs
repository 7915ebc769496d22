//! The life of one socket: it reads messages, writes answers and events, sends pings, and closes with a reason.

use super::close;
use super::messages::Messages;
use super::metered::Meter;
use crate::rpc::call::KnownPeer;
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

/// Maximum number of messages of one socket that are answered at a time. No more are read until one of them is.
const MAX_UNANSWERED: u32 = 1024;
/// Longest time that a socket that is being closed waits for the calls that it has begun.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that a closed socket reads what its peer had sent before: a peer that is cut off while it sends may
/// never see the reason.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Intervals of pings without a sign of life after which a socket is closed.
const MAX_SILENT_INTERVALS: u32 = 2;

/// One WebSocket.
pub(super) struct Socket<S> {
    stream: WebSocketStream<S>,
    messages: Messages,
    outgoing: mpsc::Receiver<String>,
    /// One permit for each message that is not answered yet.
    unanswered: Arc<Semaphore>,
    tasks: JoinSet<()>,
    limits: Limits,
}

/// What one socket may do.
pub(super) struct Limits {
    pub(super) ping_interval: Duration,
    /// How long it may be open before a call on it was authenticated.
    pub(super) stranger_timeout: Duration,
    pub(super) known: KnownPeer,
    /// Counts what the peer has sent.
    pub(super) meter: Meter,
}

/// How a socket ends.
enum End {
    /// The connection is gone, or the peer has closed it.
    Gone,
    /// The peer closes it: its close frame comes next.
    ByPeer,
    /// This side closes it.
    Close(CloseFrame),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) fn new(
        stream: WebSocketStream<S>,
        messages: Messages,
        outgoing: mpsc::Receiver<String>,
        limits: Limits,
    ) -> Self {
        let unanswered = Arc::new(Semaphore::new(MAX_UNANSWERED as usize));
        Self { stream, messages, outgoing, unanswered, tasks: JoinSet::new(), limits }
    }

    /// Serves the socket until one side closes it, or until `stop`.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        let mut end = self.serve(stop).await;
        // A call that is carried out is answered, whatever else the peer has sent. RFC 6455, section 5.5.1: who gets a
        // close frame may finish what it sends before it answers.
        if matches!(end, End::Gone) || self.finish_calls().await.is_err() {
            return;
        }
        self.limits.meter.pass_close();
        if matches!(end, End::ByPeer) {
            end = timeout(DRAIN_TIMEOUT, self.read_close()).await.unwrap_or(End::Gone);
        }
        if let End::Close(frame) = end
            && self.stream.close(Some(frame)).await.is_ok()
        {
            // The connection ends anyway, so its errors do not matter.
            let _ = timeout(DRAIN_TIMEOUT, drain(self.stream.get_mut())).await;
        }
        // Dropping the tasks ends the subscriptions, and the calls whose responses no client waits for.
    }

    async fn serve(&mut self, stop: &CancellationToken) -> End {
        let Limits { ping_interval, stranger_timeout, .. } = self.limits;
        let mut ping = interval_at(Instant::now() + ping_interval, ping_interval);
        let stranger = sleep(stranger_timeout);
        tokio::pin!(stranger);
        let mut may_be_stranger = true;
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_intervals = 0;
        let mut permit: Option<OwnedSemaphorePermit> = None;
        loop {
            let end = tokio::select! {
                () = stop.cancelled() => Some(End::Close(close::going_away())),
                acquired = self.unanswered.clone().acquire_owned(), if permit.is_none() => {
                    permit = acquired.ok();
                    None
                }
                message = self.stream.next(), if permit.is_some() => {
                    silent_intervals = 0;
                    match message {
                        Some(Ok(Message::Text(text))) => self.answer(text, permit.take()),
                        Some(Ok(Message::Binary(_))) => Some(End::Close(close::binary())),
                        // tungstenite sends the answer to a ping with the next read.
                        Some(Ok(_)) => None,
                        Some(Err(error)) => self.after_error(&error).await,
                        None => Some(End::Gone),
                    }
                }
                () = self.limits.meter.close_is_next() => Some(End::ByPeer),
                Some(text) = self.outgoing.recv() => self.write(text).await.is_err().then_some(End::Gone),
                Some(task) = self.tasks.join_next() => after_task(&task),
                () = &mut stranger, if may_be_stranger => {
                    may_be_stranger = false;
                    (!self.limits.known.is_known()).then(|| {
                        metrics::counter!("threadline_websocket_strangers_total").increment(1);
                        End::Close(close::stranger(stranger_timeout))
                    })
                }
                _ = ping.tick() => {
                    // While nothing is read, no pong can arrive.
                    silent_intervals += u32::from(permit.is_some());
                    if silent_intervals > MAX_SILENT_INTERVALS {
                        Some(End::Close(close::silent()))
                    } else {
                        self.stream.send(Message::Ping(Bytes::new())).await.is_err().then_some(End::Gone)
                    }
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn answer(&mut self, message: Utf8Bytes, permit: Option<OwnedSemaphorePermit>) -> Option<End> {
        let input = self.limits.meter.message_ended();
        if let Some(permit) = permit {
            self.tasks.spawn(self.messages.clone().answer(message, input, permit));
        }
        None
    }

    /// Writes a message and those that wait behind it.
    async fn write(&mut self, text: String) -> Result<(), Error> {
        self.stream.feed(Message::text(text)).await?;
        while let Ok(text) = self.outgoing.try_recv() {
            self.stream.feed(Message::text(text)).await?;
        }
        self.stream.flush().await
    }

    /// Reads the close frame of the peer, and sends the one that answers it, which tungstenite has ready then.
    async fn read_close(&mut self) -> End {
        match self.stream.next().await {
            Some(Err(error)) => self.after_error(&error).await.unwrap_or(End::Gone),
            _ => {
                // Fails if the connection is gone, which is the end as well.
                let _ = self.stream.flush().await;
                End::Gone
            }
        }
    }

    async fn after_error(&mut self, error: &Error) -> Option<End> {
        let overflow = self.limits.meter.overflow();
        let frame = overflow.map(close::overflow).or_else(|| close::after(error));
        let Some(frame) = frame else { return Some(End::Gone) };
        tracing::debug!(%error, "a WebSocket is closed");
        let is_unread = overflow.is_some() || matches!(error, Error::Capacity(_));
        if is_unread && self.write(Messages::not_read(overflow)).await.is_err() {
            return Some(End::Gone);
        }
        Some(End::Close(frame))
    }

    /// Waits for the calls that were begun, and writes their answers.
    async fn finish_calls(&mut self) -> Result<(), Error> {
        let all_answered = timeout(FINISH_TIMEOUT, self.unanswered.clone().acquire_many_owned(MAX_UNANSWERED));
        tokio::pin!(all_answered);
        loop {
            let text = tokio::select! {
                biased;
                text = self.outgoing.recv() => text,
                _ = &mut all_answered => None,
            };
            match text {
                Some(text) => self.write(text).await?,
                None => return Ok(()),
            }
        }
    }
}

fn after_task(task: &Result<(), JoinError>) -> Option<End> {
    // Its call cannot be answered: the client learns it from the end of the socket.
    task.as_ref().is_err_and(JoinError::is_panic).then(|| End::Close(close::internal_error()))
}

/// Says that nothing more comes, and reads to the end what the peer has sent before it knew.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = [0; 1024];
    while stream.read(&mut discarded).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_call_closes_the_socket_with_1011() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async { panic!("a call that panics") });
        let task = tasks.join_next().await.unwrap();
        let Some(End::Close(CloseFrame { code, reason })) = after_task(&task) else { panic!("it stays open") };
        assert_eq!((u16::from(code), reason.as_str()), (1011, "Something went wrong on the server."));
        // A call that ends, and one that is given up, close nothing.
        tasks.spawn(async {});
        assert!(after_task(&tasks.join_next().await.unwrap()).is_none());
        tasks.spawn(std::future::pending()).abort();
        assert!(after_task(&tasks.join_next().await.unwrap()).is_none());
    }
}
