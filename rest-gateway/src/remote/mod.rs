//! An [`Upstream`] over WebSockets: a core in another process.
//!
//! Several sockets share the load, because one socket delivers all its subscriptions through one queue. A task keeps
//! each of them open. While no socket is open, calls fail at once with SERVICE_UNAVAILABLE; active subscriptions wait,
//! and resume after the last event that they have seen. Each call carries the token of its caller (in `_meta`), so
//! every socket can serve every user.

mod address;
mod connection;
mod error;
mod feed;
mod handshake_head;
mod meta;
mod pool;
mod subscription_request;
mod tls;

use crate::upstream::{Call, CallError, CallResult, Subscription, Upstream};
use connection::Connection;
use feed::RemoteFeed;
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;
use serde_json::value::to_raw_value;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::Supervisor;
use threadline_schema::auth::AuthMe;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::rpc::RpcMethod;
use threadline_schema::{ErrorCode, RpcError};
use threadline_trace::{InSpan, Span, SpanKind};

/// How to reach a core.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// `ws://host:port` or `wss://host:port`.
    pub url: String,
    /// Number of sockets. 2 to 4 are enough for most loads.
    pub sockets: usize,
    /// Longest wait for the result of a call. It must be longer than the core's own waits, such as for a database
    /// connection.
    pub call_timeout: Duration,
    /// Longest time that a stream tries to resume after its socket was lost.
    pub resume_timeout: Duration,
    /// Largest params that are sent, in bytes. Larger ones are rejected here, and so are those that are larger than
    /// what the core says that it reads: it would close the whole socket.
    pub request_bytes: usize,
    /// The secret that shows the core that this is a gateway; `None` if the core has none.
    pub secret: Option<SecretString>,
}

impl RemoteConfig {
    /// Returns the defaults for a core at this URL: 3 sockets, 35 s per call, 30 s to resume, requests of 1 MiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            sockets: 3,
            call_timeout: Duration::from_secs(35),
            resume_timeout: Duration::from_secs(30),
            request_bytes: 1024 * 1024,
            secret: None,
        }
    }
}

/// The configuration does not allow a connection.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The URL is invalid.
    #[error("the core's URL must look like ws://host:port or wss://host:port: {0}")]
    Url(String),
    /// The secret has characters that no header can have.
    #[error("GATEWAY_SECRET has characters that a header cannot have; use letters and digits")]
    Secret,
    /// TLS cannot be used.
    #[error("no TLS to the core: {0}")]
    Tls(String),
}

/// A core behind WebSockets. Dropping it closes them.
#[derive(Debug)]
pub struct Remote {
    connection: Arc<Connection>,
}

impl Remote {
    /// Starts to connect, and returns without waiting; the core can start later. Must be called in a Tokio runtime.
    ///
    /// # Errors
    /// If the URL is invalid, or if the system has no root certificates for `wss://`.
    pub fn connect(config: RemoteConfig, supervisor: &Supervisor) -> Result<Self, RemoteError> {
        Ok(Self { connection: Arc::new(Connection::open(config, supervisor)?) })
    }

    /// Returns whether at least one socket is open.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }
}

impl Upstream for Remote {
    /// JSON-RPC has no method that only admits a caller. This calls `auth.me`, which costs the core one more query at
    /// most.
    fn admit(&self, caller: Caller) -> BoxFuture<'_, Result<ResponseMeta, CallError>> {
        async move {
            let params = to_raw_value(&serde_json::Map::new())
                .map_err(|error| RpcError::new(ErrorCode::InternalError, error.to_string()))?;
            let call = Call { method: AuthMe::NAME, params, caller };
            Ok(traced(call.method, self.connection.call(&call)).await?.meta)
        }
        .boxed()
    }

    /// Counts as a request, because JSON-RPC has no method that only checks a token.
    fn check_token(&self, caller: Caller) -> BoxFuture<'_, Result<(), RpcError>> {
        async move {
            match self.admit(caller).await {
                // The token of a service may be for other methods.
                Err(CallError { error, .. }) if error.code != ErrorCode::Forbidden => Err(error),
                Ok(_) | Err(_) => Ok(()),
            }
        }
        .boxed()
    }

    fn call(&self, call: Call) -> BoxFuture<'_, Result<CallResult, CallError>> {
        async move { traced(call.method, self.connection.call(&call)).await }.boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Subscription, CallError>> {
        traced(call.method, RemoteFeed::subscribe(self.connection.clone(), call)).boxed()
    }
}

/// Makes a call to the core in a span of its own.
async fn traced<T>(
    method: &'static str,
    call: impl Future<Output = Result<T, CallError>> + Send,
) -> Result<T, CallError> {
    let span = Span::child(SpanKind::Client, || method);
    span.set("rpc.system", "jsonrpc");
    span.set("rpc.method", method);
    span.set("rpc.jsonrpc.version", "2.0");
    let result = call.in_span(span.clone()).await;
    if let Err(CallError { error, .. }) = &result {
        span.set("rpc.jsonrpc.error_code", i64::from(error.code.rpc_code()));
        span.fail(error.code.name());
    }
    span.end();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use serde_json::value::RawValue;
    use std::net::{IpAddr, Ipv4Addr};

    fn caller() -> Caller {
        Caller {
            token: Some("t".into()),
            acts_for: None,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            request_id: "r".into(),
            hints: None,
            trace: None,
        }
    }

    fn call(params: &str) -> Call {
        Call { method: "tasks.list", params: RawValue::from_string(params.to_owned()).unwrap(), caller: caller() }
    }

    /// A core that does not exist: the port was free a moment ago.
    async fn without_core() -> Remote {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        Remote::connect(RemoteConfig::new(format!("ws://{address}")), &Supervisor::default()).unwrap()
    }

    #[tokio::test]
    async fn without_a_core_calls_fail_at_once() {
        let remote = without_core().await;
        assert!(!remote.is_connected());
        assert_eq!(remote.call(call("{}")).await.unwrap_err().error.code, ErrorCode::ServiceUnavailable);
        assert_eq!(remote.admit(caller()).await.unwrap_err().error.code, ErrorCode::ServiceUnavailable);
        let subscribe = Call { method: "runs.subscribe", ..call(&json!({"run_id": uuid::Uuid::nil()}).to_string()) };
        assert_eq!(remote.subscribe(subscribe).await.err().unwrap().error.code, ErrorCode::ServiceUnavailable);
    }

    #[tokio::test]
    async fn params_that_are_too_large_are_not_sent() {
        let remote = without_core().await;
        let large = json!({"title": "x".repeat(1024 * 1024)}).to_string();
        assert_eq!(remote.call(call(&large)).await.unwrap_err().error.code, ErrorCode::PayloadTooLarge);
    }

    #[tokio::test]
    async fn an_invalid_url_is_an_error() {
        for url in ["", "localhost:1", "http://localhost:1", "ws://", "wss://"] {
            assert!(
                matches!(Remote::connect(RemoteConfig::new(url), &Supervisor::default()), Err(RemoteError::Url(_))),
                "{url}"
            );
        }
    }
}
