//! The transports: in process, HTTP POST, WebSocket. Each turns its requests into calls and gives them to the pipeline.

mod codec;
mod connection;
mod envelope;
mod http;
mod http_response;
mod in_process;
mod response;
mod sockets;
mod websocket;

use super::pipeline::Pipeline;
use ipnet::IpNet;
use sockets::Sockets;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::Supervisor;

/// How the HTTP and WebSocket transports behave.
#[derive(Debug, Clone)]
pub struct RpcHttpConfig {
    /// Most WebSockets at a time.
    pub max_sockets: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How often an idle WebSocket is pinged. It is closed after two pings without a reply.
    pub ping_interval: Duration,
}

/// The service as its callers see it. Clones share it.
#[derive(Clone)]
pub struct RpcServer {
    inner: Arc<Inner>,
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
    /// Most entries of one batch.
    pub(crate) max_batch_entries: usize,
    pub(crate) supervisor: Supervisor,
}

impl RpcServer {
    /// Creates a server for the methods of the pipeline.
    pub(crate) fn new(parts: RpcServerParts, http: RpcHttpConfig) -> Self {
        let sockets = Sockets::new(&parts.pipeline, http.max_sockets);
        Self { inner: Arc::new(Inner { parts, http, sockets }) }
    }

    /// Closes the WebSockets: waits for the calls in flight and cuts the subscriptions. Stop the runs first.
    ///
    /// A peer that does not read can hold this up; bound it with a timeout.
    pub async fn close_sockets(&self) {
        self.inner.sockets.close().await;
    }
}
