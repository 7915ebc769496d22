//! One accept loop for every listener, and what guards a connection.
//!
//! A peer may be slow, silent, deaf, or one of too many; none of that may cost others anything. Each connection has a
//! deadline for every head it sends (`guard.rs`), one for idling and one for taking what is written to it; holds one of
//! a fixed number of slots until its socket is closed, also after an upgrade; and is told to finish when the process
//! stops.

mod activity;
mod connection;
mod deadline;
mod guard;
mod overload;
mod slot;
#[cfg(test)]
mod tests;
mod tls;

pub use self::tls::acceptor;

use self::connection::Connections;
use crate::config::ConfigError;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use std::error::Error;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A bound socket that is not served yet. Connections wait in its backlog.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// What one connection may cost, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at a time. Those over it are answered 503 and closed, rather than left to wait in the backlog: a
    /// client or load balancer that hears "full" goes elsewhere, one that hears nothing waits and tries again here.
    pub connections: usize,
    /// Longest time from a request's first byte to the end of its head, and from connecting to the first head.
    pub head_timeout: Duration,
    /// Longest time without a byte between two requests.
    pub idle_timeout: Duration,
    /// Longest time in which the peer takes not a single byte of what waits for it.
    pub stall_timeout: Duration,
    /// Bytes of a request's head; more answers 431.
    pub head_bytes: usize,
    /// How long connections may take to end after the signal to stop. It has to outlast the time that runs are given,
    /// since their streams end after them.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    /// The limits of the manual: 10 s for a head, 75 s between requests (nginx' keep-alive), 30 s for a stalled
    /// reader, 32 KiB of head.
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(30),
            head_bytes: 32 * 1024,
            drain: Duration::from_secs(15),
        }
    }
}

impl Listener {
    /// Binds `address`, which the setting `variable` holds. `name` is the listener's label in metrics and log lines.
    ///
    /// # Errors
    ///
    /// The address is taken, not of this machine, or not for this user: one line that begins with `variable`.
    pub async fn bind(
        name: &'static str,
        variable: &'static str,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, ConfigError> {
        match TcpListener::bind(address).await {
            Ok(socket) => Ok(Self { name, socket, tls }),
            Err(error) => Err(ConfigError::new(variable, bind_problem(address, &error))),
        }
    }

    /// Where it listens: the port the system chose, if 0 was asked for.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves HTTP/1.1 with upgrades until `stop`; then accepts no more, lets answers that have begun end, closes idle
/// connections at once, and returns when all are gone or `limits.drain` is over. Returns how many were cut then.
///
/// Upgraded connections count as long as their socket is open, but whoever took them over has to end them.
///
/// A malformed request is answered by hyper (400, 431) and never reaches `handler`.
pub async fn serve<H, F, B>(listener: Listener, handler: H, limits: ConnectionLimits, stop: CancellationToken) -> usize
where
    H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Listener { name, socket, tls } = listener;
    let connections = Connections::new(name, limits, stop.clone());
    while let Some((stream, peer)) = stop.run_until_cancelled(accept(&socket, name)).await {
        // An IPv4 client of a dual-stack socket is the same client as of any other: limits go by address.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        connections.start(stream, peer, tls.as_ref(), handler.clone());
    }
    drop(socket);
    connections.finish().await
}

/// The next connection. Errors of a connection that broke before it was taken are passed over; any other, such as
/// running out of file descriptors, stays until something else changes, and asking again at once would burn a core.
async fn accept(socket: &TcpListener, name: &'static str) -> (TcpStream, SocketAddr) {
    const FIRST_PAUSE: Duration = Duration::from_millis(5);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let mut pause = FIRST_PAUSE;
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_peer(error.kind()) => {}
            Err(error) => {
                tracing::error!(listener = name, %error, pause_ms = pause.as_millis(), "cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 4);
            }
        }
    }
}

fn is_of_the_peer(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

fn bind_problem(address: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("address {address} is already in use (is another threadline running?)")
        }
        ErrorKind::AddrNotAvailable => format!("address {address} is none of this machine's"),
        ErrorKind::PermissionDenied => {
            format!("address {address} is not for this user (ports below 1024 need a privilege)")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}
