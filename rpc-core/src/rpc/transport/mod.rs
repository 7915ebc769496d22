//! The transports: in process, HTTP POST, WebSocket. Each turns its requests into calls and gives them to the pipeline.

mod batch;
mod codec;
mod connection;
mod envelope;
mod gateways;
mod http;
mod http_response;
mod in_process;
mod response;
mod sockets;
mod websocket;

pub use gateways::GatewayTrust;

use super::call::{Connection, HiddenMethods};
use super::pipeline::Pipeline;
use crate::error::Error;
use ipnet::IpNet;
use sockets::Sockets;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::{ByteBudget, Supervisor};

/// How the HTTP and WebSocket transports behave.
#[derive(Debug, Clone)]
pub struct RpcHttpConfig {
    /// Maximum number of open WebSockets.
    pub max_sockets: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often an idle WebSocket is pinged. It is closed after two pings without a reply.
    pub ping_interval: Duration,
    /// How long a WebSocket may be open before a call on it was authenticated.
    pub stranger_timeout: Duration,
    /// Web pages that may open WebSockets besides those of the own host, as in the header `Origin`; `*` is any.
    pub origins: Arc<[String]>,
    /// How a gateway shows that it is one.
    pub gateways: GatewayTrust,
    /// Memory for what peers have sent and is not answered yet.
    pub input: ByteBudget,
}

impl Default for RpcHttpConfig {
    /// Returns the limits that the manual names: 10,000 sockets, 30 s for a body, a ping each 30 s, 10 s for a
    /// stranger, and 256 MiB of input. No other origins, and no gateways.
    fn default() -> Self {
        Self {
            max_sockets: 10_000,
            body_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            stranger_timeout: Duration::from_secs(10),
            origins: Arc::default(),
            gateways: GatewayTrust::NoGateways,
            input: ByteBudget::new(256 * 1024 * 1024),
        }
    }
}

/// Largest message, and largest body of a POST, in bytes, of a peer that shows no valid token.
const STRANGER_BYTES: usize = 16 * 1024;

/// The service as its callers see it. Clones share it.
#[derive(Clone)]
pub struct RpcServer {
    inner: Arc<Inner>,
    hidden: HiddenMethods,
}

struct Inner {
    parts: RpcServerParts,
    http: RpcHttpConfig,
    sockets: Sockets,
}

/// What the transports use.
#[derive(Clone)]
pub(crate) struct RpcServerParts {
    pub(crate) pipeline: Pipeline,
    pub(crate) trusted_proxies: Arc<[IpNet]>,
    /// Maximum number of entries of one batch.
    pub(crate) max_batch_entries: usize,
    pub(crate) supervisor: Supervisor,
}

impl RpcServer {
    /// Creates a server for the methods of the pipeline.
    pub(crate) fn new(parts: RpcServerParts, http: RpcHttpConfig) -> Self {
        let sockets = Sockets::new(&parts.pipeline, http.max_sockets);
        Self { inner: Arc::new(Inner { parts, http, sockets }), hidden: HiddenMethods::default() }
    }

    /// Returns the same server without some methods for operators: for HTTP requests and WebSockets of a public
    /// listener. A call of one of them is answered `METHOD_NOT_FOUND`.
    #[must_use]
    pub fn without(&self, hidden: HiddenMethods) -> Self {
        Self { inner: self.inner.clone(), hidden }
    }

    /// Whether the sender of a request shows a token that can be valid. Only the pipeline decides who it is.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` if the database or the identity provider is needed and does not answer, `RATE_LIMITED` if
    /// the sender has tried many keys that are not known.
    async fn shows_token(&self, connection: &Connection) -> Result<bool, Error> {
        match connection.caller.token.as_deref() {
            Some(token) => self.inner.parts.pipeline.is_token(token, connection.caller.ip).await,
            None => Ok(false),
        }
    }

    /// Closes the WebSockets: waits for the calls in flight and cuts the subscriptions. Stop the runs first.
    ///
    /// A peer that does not read can hold this up; bound it with a timeout.
    pub async fn close_sockets(&self) {
        self.inner.sockets.close().await;
    }
}
