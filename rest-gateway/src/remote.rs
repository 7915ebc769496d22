//! An [`Upstream`] over WebSockets: a core in another process.
//!
//! Several sockets share the load, since one socket delivers its subscriptions through one queue. Each is kept open
//! by a task of its own; while none is, calls answer SERVICE_UNAVAILABLE at once and subscriptions that were alive
//! wait and go on after the last event they saw. Every user's token rides in the call itself (`_meta`), so any socket
//! serves anyone.

mod feed;
mod followed;
mod meta;
mod pool;
mod tls;

use crate::upstream::{Answer, Call, Opened, Refusal, Upstream};
use feed::Feed;
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::core::traits::ToRpcParams;
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::types::error::{ErrorCode as JsonRpcCode, TOO_MANY_SUBSCRIPTIONS_CODE};
use meta::{splice, strip, strip_error};
use pool::Pool;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use threadline_schema::call::{Caller, ResponseMeta};
use threadline_schema::{ErrorCode, RpcError};

/// Room in a request for what stands around the params: version, id and method.
const ENVELOPE_BYTES: usize = 256;

/// How to reach a core.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// `ws://host:port` or `wss://host:port`.
    pub url: String,
    /// Sockets to hold; 2 to 4 serve most.
    pub sockets: usize,
    /// Longest wait for an answer. Must exceed what the core itself may wait, such as for a database connection.
    pub call_timeout: Duration,
    /// Longest time a stream tries to go on after its socket was lost, before it gives up.
    pub resume_timeout: Duration,
    /// Bytes of params the core takes: its `MAX_BODY_BYTES`. More would cost the whole socket, so they are refused here.
    pub request_bytes: usize,
}

impl RemoteConfig {
    /// The defaults for a core at this URL: 3 sockets, 35 s for a call, 30 s for going on, requests of 1 MiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            sockets: 3,
            call_timeout: Duration::from_secs(35),
            resume_timeout: Duration::from_secs(30),
            request_bytes: 1024 * 1024,
        }
    }
}

/// Why a core cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The URL.
    #[error("the core's URL must look like ws://host:port or wss://host:port: {0}")]
    Url(String),
    /// The certificates to check the core's against.
    #[error("no TLS to the core: {0}")]
    Tls(String),
}

/// A core behind WebSockets. Dropping it closes them.
#[derive(Debug)]
pub struct Remote {
    link: Arc<Link>,
}

impl Remote {
    /// Begins to connect and returns; the core may come later. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is none, or for `wss://` the system has no root certificates.
    pub fn connect(config: RemoteConfig) -> Result<Self, RemoteError> {
        let pool = Pool::open(&config)?;
        Ok(Self { link: Arc::new(Link { pool, config }) })
    }

    /// Whether any socket is open right now.
    pub fn is_connected(&self) -> bool {
        self.link.pool.pick().is_some()
    }
}

impl Upstream for Remote {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Refusal>> {
        async move {
            let params = self.link.params(&call.params, &call.caller)?;
            let client = self.link.pool.pick().ok_or_else(unreachable)?;
            let answered = client.request::<Box<RawValue>, _>(call.method, params).await;
            let result = answered.map_err(|error| refusal(error, call.method, &call.caller))?;
            strip(result).map_err(|error| {
                tracing::error!(request_id = %call.caller.request_id, %error, "the core's answer cannot be read");
                RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be read.").into()
            })
        }
        .boxed()
    }

    fn subscribe(&self, call: Call) -> BoxFuture<'_, Result<Opened, Refusal>> {
        async move {
            let (feed, facts, begins_after) = Feed::open(self.link.clone(), call).await?;
            Ok(Opened { frames: feed.into_frames(), facts, begins_after })
        }
        .boxed()
    }
}

/// What calls and streams share.
#[derive(Debug)]
struct Link {
    pool: Pool,
    config: RemoteConfig,
}

impl Link {
    /// Params with the caller in them, if they are not too large to send.
    fn params(&self, params: &RawValue, caller: &Caller) -> Result<RawParams, Refusal> {
        let params = splice(params, caller)
            .map_err(|_| RpcError::new(ErrorCode::InvalidRequest, "The params must be a JSON object."))?;
        if params.get().len() + ENVELOPE_BYTES > self.config.request_bytes {
            let message = format!("A request to the service may have {} bytes at most.", self.config.request_bytes);
            return Err(RpcError::new(ErrorCode::PayloadTooLarge, message).into());
        }
        Ok(RawParams(params))
    }
}

struct RawParams(Box<RawValue>);

impl ToRpcParams for RawParams {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        Ok(Some(self.0))
    }
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self { error, facts: ResponseMeta::default() }
    }
}

fn unreachable() -> Refusal {
    RpcError::new(ErrorCode::ServiceUnavailable, "The service cannot be reached right now. Please try again.").into()
}

/// What a failed call means to its caller. Failures of the link are logged here, as nobody else sees them.
fn refusal(error: ClientError, method: &str, caller: &Caller) -> Refusal {
    let error = match error {
        ClientError::Call(object) => return told_by_core(&object),
        other => other,
    };
    tracing::warn!(request_id = %caller.request_id, method, %error, "a call of the core failed");
    match error {
        ClientError::RequestTimeout => {
            RpcError::new(ErrorCode::ServiceUnavailable, "The service did not answer in time. Please try again.").into()
        }
        ClientError::ParseError(_) | ClientError::InvalidRequestId(_) | ClientError::InvalidSubscriptionId => {
            RpcError::new(ErrorCode::InternalError, "The service gave an answer that cannot be read.").into()
        }
        _ => unreachable(),
    }
}

fn told_by_core(object: &ErrorObjectOwned) -> Refusal {
    let data = object.data().and_then(|data| serde_json::from_str(data.get()).ok());
    let named = data.as_ref().and_then(|data: &serde_json::Value| data.get("code")).is_some();
    // Without a name it is the JSON-RPC library that speaks: its numbers for "full" are ours for other things.
    if !named && [JsonRpcCode::ServerIsBusy.code(), TOO_MANY_SUBSCRIPTIONS_CODE].contains(&object.code()) {
        return unreachable();
    }
    strip_error(object.code(), object.message(), data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::net::{IpAddr, Ipv4Addr};

    fn caller() -> Caller {
        Caller { token: Some("t".into()), ip: IpAddr::V4(Ipv4Addr::LOCALHOST), request_id: "r".into(), hints: None }
    }

    fn call(params: &str) -> Call {
        Call { method: "tasks.list", params: RawValue::from_string(params.to_owned()).unwrap(), caller: caller() }
    }

    /// A core that is not there: the port was free a moment ago.
    async fn nowhere() -> Remote {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        Remote::connect(RemoteConfig::new(format!("ws://{address}"))).unwrap()
    }

    #[tokio::test]
    async fn without_a_core_calls_say_so_at_once() {
        let remote = nowhere().await;
        assert!(!remote.is_connected());
        assert_eq!(remote.call(call("{}")).await.unwrap_err().error.code, ErrorCode::ServiceUnavailable);
        let subscribe = Call { method: "runs.subscribe", ..call(&json!({"run_id": uuid::Uuid::nil()}).to_string()) };
        assert_eq!(remote.subscribe(subscribe).await.err().unwrap().error.code, ErrorCode::ServiceUnavailable);
    }

    #[tokio::test]
    async fn what_would_cost_the_socket_is_not_sent() {
        let remote = nowhere().await;
        let large = json!({"title": "x".repeat(1024 * 1024)}).to_string();
        assert_eq!(remote.call(call(&large)).await.unwrap_err().error.code, ErrorCode::PayloadTooLarge);
    }

    #[tokio::test]
    async fn a_wrong_url_is_told_before_anything_starts() {
        for url in ["", "localhost:1", "http://localhost:1", "ws://", "wss://"] {
            assert!(matches!(Remote::connect(RemoteConfig::new(url)), Err(RemoteError::Url(_))), "{url}");
        }
    }

    #[test]
    fn errors_of_the_library_are_not_mistaken_for_ours() {
        let object = |code: i32, data: Option<serde_json::Value>| ErrorObjectOwned::owned(code, "m", data);
        let busy = told_by_core(&object(-32009, None));
        assert_eq!(busy.error.code, ErrorCode::ServiceUnavailable);
        let thread_busy = told_by_core(&object(-32009, Some(json!({"code": "THREAD_BUSY"}))));
        assert_eq!(thread_busy.error.code, ErrorCode::ThreadBusy);
        let limited = json!({"code": "RATE_LIMITED", "retry_after": 3, "_meta": {"rate": [30, 0, 60], "db_us": 5}});
        let limited = told_by_core(&object(-32029, Some(limited)));
        assert_eq!(limited.error, RpcError::new(ErrorCode::RateLimited, "m").with("retry_after", 3));
        assert_eq!(limited.facts.rate_limit.unwrap().limit, 30);
    }
}
