//! The address of the core, and how a socket to it is opened.

use super::handshake_head::inspect_head;
use super::{RemoteConfig, RemoteError, tls};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::async_client::{Client, ClientBuilder, PingConfig, RpcService};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use secrecy::ExposeSecret;
use std::fmt::Display;
use std::time::Duration;
use threadline_schema::head::GATEWAY_HEADER;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Events that can wait in one subscription before jsonrpsee ends it.
const SUBSCRIPTION_BUFFER: usize = 4096;
/// Requests that can wait for the writer of a socket.
const QUEUED_REQUESTS: usize = 1024;
/// Largest response of the core. A transcript of a thousand long messages is much smaller.
const MAX_RESPONSE_BYTES: u32 = 64 * 1024 * 1024;
/// How often the core is pinged, and after how much time without any bytes from it a socket counts as broken.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const INACTIVE_LIMIT: Duration = Duration::from_secs(25);

/// An open socket.
pub(super) struct Socket {
    /// Without the logging of jsonrpsee, which would write params, and with them tokens, to the log.
    pub(super) client: Client<RpcService>,
    /// How large a message the core reads, in bytes; `None` if it has not said it.
    pub(super) message_bytes: Option<usize>,
}

/// The address of the core.
pub(super) struct CoreAddress {
    /// The URL for the WebSocket handshake. Its scheme is always `ws`: TLS is a layer below.
    url: Url,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    call_timeout: Duration,
    /// Shows the core that this is a gateway.
    headers: HeaderMap,
}

impl CoreAddress {
    pub(super) fn parse(config: &RemoteConfig) -> Result<Self, RemoteError> {
        let invalid = |reason: &dyn Display| RemoteError::Url(reason.to_string());
        let mut url = Url::parse(&config.url).map_err(|error| invalid(&error))?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(invalid(&format_args!("its scheme is {other}"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid(&"it has no host"))?;
        // Only a URL has an IPv6 address in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().ok_or_else(|| invalid(&"it has no port"))?;
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|error| invalid(&error))?;
            url.set_port(Some(port)).and_then(|()| url.set_scheme("ws")).map_err(|()| invalid(&"it has no port"))?;
            Some((tls::connector()?, name))
        } else {
            None
        };
        let secret = config.secret.as_ref().map_or("1", ExposeSecret::expose_secret);
        let mut claim = HeaderValue::try_from(secret).map_err(|_| RemoteError::Secret)?;
        claim.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static(GATEWAY_HEADER), claim)]);
        Ok(Self { url, host, port, tls, call_timeout: config.call_timeout, headers })
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// The reason, for the log.
    pub(super) async fn connect(&self) -> Result<Socket, String> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.handshake(tcp).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(|error| error.to_string())?;
                self.handshake(tls).await
            }
        }
    }

    async fn handshake<T>(&self, stream: T) -> Result<Socket, String>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let transport =
            WsTransportClientBuilder::default().max_response_size(MAX_RESPONSE_BYTES).set_headers(self.headers.clone());
        let (stream, message_bytes) = inspect_head(stream);
        let built = transport.build_with_stream(self.url.clone(), stream).await;
        let (sender, receiver) = built.map_err(|error| error.to_string())?;
        let pings = PingConfig::new().ping_interval(PING_INTERVAL).inactive_limit(INACTIVE_LIMIT).max_failures(1);
        let client = ClientBuilder::default()
            .set_rpc_middleware(RpcServiceBuilder::new())
            .request_timeout(self.call_timeout)
            .max_concurrent_requests(QUEUED_REQUESTS)
            .max_buffer_capacity_per_subscription(SUBSCRIPTION_BUFFER)
            .enable_ws_ping(pings)
            .build_with_tokio(sender, receiver);
        Ok(Socket { client, message_bytes: message_bytes.get().copied() })
    }
}

/// Host and port, for logs. The URL could have a password.
impl Display for CoreAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
