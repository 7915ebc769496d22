//! Which server process is at the other end of a connection: the server's own word, and what the connection was told.
//!
//! A server begins a session by telling its process id. A pooler (PgBouncer, Supavisor, Neon's, RDS Proxy) answers in its
//! place and tells a number of its own, as the client has no server process yet. So if the two differ, somebody is in
//! between who may give each transaction another session.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Returns whether a pooler answers in the place of the server.
///
/// # Errors
/// When the server does not answer.
pub(super) async fn is_pooler(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let answer = client.simple_query("SELECT pg_backend_pid()").await?;
    let asked = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse::<i32>().ok(),
        _ => None,
    });
    let told = told(client).await;
    Ok(told.is_some() && asked.is_some() && told != asked)
}

/// The process id that the connection was told when it began. tokio-postgres shows it only in a request to cancel a
/// statement, which is written to memory here and sent to nobody.
async fn told(client: &Client) -> Option<i32> {
    let request = Memory::default();
    client.cancel_token().cancel_query_raw(request.clone(), PassThrough).await.ok()?;
    let written = request.written.lock().unwrap_or_else(PoisonError::into_inner);
    // Length, code, process id, secret key, four bytes each:
    // https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST
    let message = written.last_chunk::<16>()?;
    let (_, rest) = message.split_first_chunk::<8>()?;
    rest.first_chunk::<4>().map(|pid| i32::from_be_bytes(*pid))
}

/// A "connection" that keeps what is written, and says yes to TLS.
#[derive(Clone, Default)]
struct Memory {
    written: Arc<Mutex<Vec<u8>>>,
}

/// TLS in name only.
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
        self.written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
