//! The transports: in process, HTTP POST, WebSocket. Each turns its requests into calls and gives them to the pipeline.

mod codec;
mod connection;
mod envelope;
mod http;
mod in_process;
mod response;
mod websocket;

pub(in crate::rpc) use envelope::Members;

use super::methods;
use super::pipeline::{Authenticator, CallLimiter, Pipeline, Steps};
use super::registry::DuplicateMethod;
use crate::auth::token::Tokens;
use crate::core::Core;
use ipnet::IpNet;
use std::sync::Arc;
use std::time::Duration;
use websocket::Sockets;

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
    pipeline: Pipeline,
    /// Checks the token of a WebSocket before it opens.
    tokens: Arc<Tokens>,
    trusted_proxies: Arc<[IpNet]>,
    /// Most entries of one batch.
    max_batch_entries: usize,
    http: RpcHttpConfig,
    sockets: Sockets,
}

/// Why the methods cannot be served: the contract names two of them alike.
#[derive(Debug, thiserror::Error)]
pub enum RpcServerError {
    /// Two handlers have one method name.
    #[error(transparent)]
    Method(#[from] DuplicateMethod),
}

impl RpcServer {
    /// Creates a server for all methods of this core.
    ///
    /// # Errors
    /// If two methods have one name, which a test of the contract rules out.
    pub fn new(core: Arc<Core>, http: RpcHttpConfig) -> Result<Self, RpcServerError> {
        let (tokens, trusted_proxies) = (core.tokens.clone(), core.config.trusted_proxies.clone());
        let limits = core.config.limits;
        let pipeline = Pipeline::new(Steps {
            registry: methods::registry(&core)?,
            authenticator: Authenticator::new(tokens.clone(), core.attachments.clone(), core.store.clone()),
            limiter: CallLimiter::new(
                core.limits.clone(),
                Box::new(move |run_id, user_id| core.engine.take_free_subscribe(user_id.into(), run_id.into())),
            ),
            max_params_bytes: limits.body_bytes,
        });
        let sockets = Sockets::new(&pipeline, http.max_sockets);
        let max_batch_entries = limits.batch_entries;
        Ok(Self { inner: Arc::new(Inner { pipeline, tokens, trusted_proxies, max_batch_entries, http, sockets }) })
    }

    /// Closes the WebSockets: waits for the calls in flight and cuts the subscriptions. Stop the runs first.
    ///
    /// A peer that does not read can hold this up; bound it with a timeout.
    pub async fn close_sockets(&self) {
        self.inner.sockets.close().await;
    }
}
