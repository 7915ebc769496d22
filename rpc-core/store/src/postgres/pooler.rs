//! Finds out whether a connection leads to a pooler (PgBouncer, Supavisor, Neon's, RDS Proxy) instead of the server.
//!
//! At the start of a session the server sends its process id. A pooler sends a number of its own there, because the
//! client has no server process yet. `pg_backend_pid()` returns the id of the server process. So if the two numbers
//! differ, there is a pooler, which may run each transaction in another session.

use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Returns whether the connection leads to a pooler.
///
/// # Errors
/// If the server does not answer.
pub(super) async fn is_pooler(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await?;
    let actual = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
        _ => None,
    });
    let announced = announced_pid(client).await;
    Ok(announced.is_some() && actual.is_some() && announced != actual)
}

/// Returns the process id that the server or pooler sent at the start of the session. tokio-postgres gives access to it
/// only in a request to cancel a statement. That request is written to memory here, and not sent.
async fn announced_pid(client: &Client) -> Option<i32> {
    let request = Memory::default();
    client.cancel_token().cancel_query_raw(request.clone(), PassThrough).await.ok()?;
    let written = request.written.lock();
    // Length, code, process id, secret key, four bytes each:
    // https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST
    let message = written.last_chunk::<16>()?;
    let (_, rest) = message.split_first_chunk::<8>()?;
    rest.first_chunk::<4>().map(|pid| i32::from_be_bytes(*pid))
}

/// A "connection" that stores what is written, and accepts TLS.
#[derive(Clone, Default)]
struct Memory {
    written: Arc<Mutex<Vec<u8>>>,
}

/// A TLS connector without encryption.
struct PassThrough;

impl TlsConnect<Memory> for PassThrough {
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Memory>>;
    type Stream = Memory;

    fn connect(self, stream: Memory) -> Self::Future {
        std::future::ready(Ok(stream))
    }
}

impl TlsStream for Memory {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Memory {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0 {
            buffer.put_slice(b"S");
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
