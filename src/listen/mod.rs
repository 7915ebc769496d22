//! The accept loop of all listeners, and the limits of a connection.
//!
//! A peer can send slowly, send nothing, read nothing, or open too many connections. Other peers must not notice. So
//! each connection has deadlines for the heads that it sends, for being idle and for reading (`guard.rs`), holds one of
//! a fixed number of slots until its socket is closed, also after an upgrade, and shuts down gracefully when the
//! process stops.

mod activity;
mod addresses;
mod connection;
mod deadline;
mod guard;
mod limits;
mod overload;
mod slot;
#[cfg(test)]
mod tests;
mod tls;

pub use self::limits::ConnectionLimits;
pub use self::tls::Certificates;

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
use threadline_runtime::Supervisor;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A bound socket that is not served yet. Connections wait in its backlog.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds `address`, the value of the setting `variable`. `name` is the listener's label in metrics and log lines.
    ///
    /// # Errors
    ///
    /// When the address is in use, not of this machine, or not allowed for this user. The error begins with `variable`.
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

    /// Returns the address, with the port that the system chose if the setting has port 0.
    ///
    /// # Errors
    ///
    /// When the operating system returns an error.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves HTTP/1.1 with upgrades until `stop`. Then it accepts no more connections, closes idle ones, lets responses
/// finish, and returns when all connections are closed or after `limits.drain`. Returns the number of connections that
/// were still open then and are closed by force.
///
/// `supervisor` watches the tasks of the connections: a panic of a handler closes its connection, and is logged and
/// counted.
///
/// An upgraded connection counts until its socket is closed; the code that took it over has to close it.
///
/// hyper answers a malformed request (400, 431); `handler` does not see it.
pub async fn serve<H, F, B>(
    listener: Listener,
    handler: H,
    limits: ConnectionLimits,
    stop: CancellationToken,
    supervisor: Supervisor,
) -> usize
where
    H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Listener { name, socket, tls } = listener;
    let connections = Connections::new(name, limits, stop.clone(), supervisor);
    while let Some((stream, peer)) = stop.run_until_cancelled(accept(&socket, name)).await {
        // An IPv4 client of a dual-stack socket has the same address as elsewhere: rate limits go by address.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        connections.start(stream, peer, tls.as_ref(), handler.clone());
    }
    drop(socket);
    connections.finish().await
}

/// Returns the next connection. Ignores errors of a connection that broke before it was accepted. After another error,
/// such as too few file descriptors, waits before it tries again, since trying at once would use a whole core.
async fn accept(socket: &TcpListener, name: &'static str) -> (TcpStream, SocketAddr) {
    const MIN_PAUSE: Duration = Duration::from_millis(5);
    const MAX_PAUSE: Duration = Duration::from_secs(1);
    let mut pause = MIN_PAUSE;
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_peer_error(error.kind()) => {}
            Err(error) => {
                tracing::error!(listener = name, %error, pause_ms = pause.as_millis(), "cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = MAX_PAUSE.min(pause * 4);
            }
        }
    }
}

fn is_peer_error(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

fn bind_problem(address: SocketAddr, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("address {address} is already in use (is another threadline running?)")
        }
        ErrorKind::AddrNotAvailable => format!("address {address} is not an address of this machine"),
        ErrorKind::PermissionDenied => {
            format!("this user may not listen on address {address} (ports below 1024 need a privilege)")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}
