//! Reads a header of the response that opens a socket, which the WebSocket client does not pass on.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use threadline_schema::head::MESSAGE_BYTES_HEADER;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest head that is read, in bytes. The header is not looked for in a longer one.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// How large a message may be, in bytes, once the core has said it.
pub(super) type MessageBytes = Arc<OnceLock<usize>>;

/// A stream that begins with the head of a response.
pub(super) struct HeadReader<S> {
    stream: S,
    /// What was read of the head; `None` after its end.
    head: Option<Vec<u8>>,
    message_bytes: MessageBytes,
}

impl<S> HeadReader<S> {
    /// Returns the stream, and where the limit of the core is told once the head was read.
    pub(super) fn new(stream: S) -> (Self, MessageBytes) {
        let message_bytes = MessageBytes::default();
        (Self { stream, head: Some(Vec::new()), message_bytes: message_bytes.clone() }, message_bytes)
    }

    fn inspect(&mut self, bytes: &[u8]) {
        let Some(head) = &mut self.head else { return };
        head.extend_from_slice(bytes.get(..MAX_HEAD_BYTES.saturating_sub(head.len())).unwrap_or(bytes));
        let is_whole = head.windows(END.len()).any(|bytes| bytes == END);
        if !is_whole && head.len() < MAX_HEAD_BYTES {
            return;
        }
        if let Some(limit) = message_bytes_of(head) {
            // It is set once: the head is forgotten now.
            let _ = self.message_bytes.set(limit);
        }
        self.head = None;
    }
}

/// Returns the limit that a head tells.
fn message_bytes_of(head: &[u8]) -> Option<usize> {
    let head = head.windows(END.len()).position(|bytes| bytes == END).and_then(|end| head.get(..end))?;
    let lines = std::str::from_utf8(head).ok()?.split("\r\n");
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_BYTES_HEADER))?;
    value.trim().parse().ok()
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadReader<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.inspect(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadReader<S> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_limit_is_found_however_the_head_is_cut() {
        let told =
            format!("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\n{MESSAGE_BYTES_HEADER}: 70000\r\n\r\nframes");
        let long = format!("HTTP/1.1 101 Switching\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
        let late = format!("HTTP/1.1 101 Switching\r\n\r\n{MESSAGE_BYTES_HEADER}: 1\r\n\r\n");
        let wrong = format!("HTTP/1.1 101 Switching\r\n{MESSAGE_BYTES_HEADER}: many\r\n\r\n");
        for (text, limit) in [(&told, Some(70_000)), (&long, None), (&late, None), (&wrong, None)] {
            for size in [1, 7, 64, text.len()] {
                let (mut core, gateway) = tokio::io::duplex(size);
                let write = async move { core.write_all(text.as_bytes()).await.unwrap() };
                let (mut reader, message_bytes) = HeadReader::new(gateway);
                let mut bytes = Vec::new();
                let (_, read) = tokio::join!(write, reader.read_to_end(&mut bytes));
                assert_eq!((message_bytes.get().copied(), read.unwrap()), (limit, text.len()), "{size}: {text}");
            }
        }
    }
}
