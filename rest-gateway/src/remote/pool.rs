//! Sockets to the core, each kept open by a task.

use super::{RemoteConfig, RemoteError, tls};
use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::async_client::{Client, ClientBuilder, PingConfig, RpcService};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for a connection with its handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the first try to connect again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Spreads the tries of the sockets, so that a core that comes back is not hit by all at once.
const SPREAD: Duration = Duration::from_millis(40);
/// Events that may wait in one subscription before the client library drops it.
const SUBSCRIPTION_BUFFER: usize = 4096;
/// Requests that may wait for a socket's writer.
const QUEUED_REQUESTS: usize = 1024;
/// Largest answer: a transcript of a thousand long messages fits many times over.
const ANSWER_BYTES: u32 = 64 * 1024 * 1024;
/// How often a silent core is asked for life, and how long it may keep silent.
const PING_EVERY: Duration = Duration::from_secs(10);
const PONG_WITHIN: Duration = Duration::from_secs(25);

/// One open socket. Without the library's own logger, which would write params — and tokens with them — to the log.
pub(super) type Socket = Client<RpcService>;

/// The sockets.
pub(super) struct Pool {
    slots: Vec<watch::Receiver<Option<Arc<Socket>>>>,
    next: AtomicUsize,
    _keepers: Vec<AbortOnDropHandle<()>>,
}

impl Pool {
    /// Begins to open the sockets.
    ///
    /// # Errors
    /// When the URL or TLS cannot work whatever happens.
    pub(super) fn open(config: &RemoteConfig) -> Result<Self, RemoteError> {
        let target = Arc::new(Target::parse(config)?);
        let (mut slots, mut keepers) = (Vec::new(), Vec::new());
        for index in 0..config.sockets.max(1) {
            let (slot, reader) = watch::channel(None);
            slots.push(reader);
            let spread = SPREAD * u32::try_from(index).unwrap_or(0);
            keepers.push(AbortOnDropHandle::new(tokio::spawn(keep(target.clone(), slot, spread))));
        }
        Ok(Self { slots, next: AtomicUsize::new(0), _keepers: keepers })
    }

    /// An open socket, another one each time.
    pub(super) fn pick(&self) -> Option<Arc<Socket>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len().max(1);
        let (before, from) = self.slots.split_at_checked(start)?;
        from.iter().chain(before).find_map(|slot| slot.borrow().clone().filter(|socket| socket.is_connected()))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.slots.iter().filter(|slot| slot.borrow().is_some()).count();
        f.debug_struct("Pool").field("sockets", &self.slots.len()).field("open", &open).finish()
    }
}

/// Keeps one socket open for as long as the task lives.
async fn keep(target: Arc<Target>, slot: watch::Sender<Option<Arc<Socket>>>, spread: Duration) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        match tokio::time::timeout(CONNECT_TIMEOUT, target.connect()).await {
            Ok(Ok(socket)) => {
                tracing::info!(core = %target.shown, "connected to the core");
                let socket = Arc::new(socket);
                slot.send_replace(Some(socket.clone()));
                let reason = socket.on_disconnect().await;
                slot.send_replace(None);
                tracing::warn!(core = %target.shown, %reason, "the connection to the core was lost");
                (pause, told) = (FIRST_PAUSE, true);
            }
            failed => {
                let reason = match failed {
                    Ok(Err(reason)) => reason,
                    _ => "no connection in time".to_owned(),
                };
                // Once per outage: the tries go on every few seconds.
                if !told {
                    tracing::warn!(core = %target.shown, reason, "the core cannot be reached; trying on");
                    told = true;
                }
            }
        }
        tokio::time::sleep(pause + spread).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where the core is.
struct Target {
    /// The URL for the WebSocket's handshake; TLS is below it and not its business.
    url: Url,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    call_timeout: Duration,
    /// Host and port, for logs: a URL may hold a password.
    shown: String,
}

impl Target {
    fn parse(config: &RemoteConfig) -> Result<Self, RemoteError> {
        let wrong = |why: &dyn std::fmt::Display| RemoteError::Url(why.to_string());
        let mut url = Url::parse(&config.url).map_err(|error| wrong(&error))?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(wrong(&format_args!("its scheme is {other}"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong(&"it names no host"))?;
        // The brackets of an IPv6 address belong to the URL alone.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().ok_or_else(|| wrong(&"it names no port"))?;
        let tls = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|error| wrong(&error))?;
            url.set_port(Some(port)).and_then(|()| url.set_scheme("ws")).map_err(|()| wrong(&"it names no port"))?;
            Some((tls::connector()?, name))
        } else {
            None
        };
        let shown = format!("{host}:{port}");
        Ok(Self { url, host, port, tls, call_timeout: config.call_timeout, shown })
    }

    async fn connect(&self) -> Result<Socket, String> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| error.to_string())?;
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.shake_hands(tcp).await,
            Some((connector, name)) => {
                let tls = connector.connect(name.clone(), tcp).await.map_err(|error| error.to_string())?;
                self.shake_hands(tls).await
            }
        }
    }

    async fn shake_hands<T>(&self, stream: T) -> Result<Socket, String>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let transport = WsTransportClientBuilder::default().max_response_size(ANSWER_BYTES);
        let built = transport.build_with_stream(self.url.clone(), stream).await;
        let (sender, receiver) = built.map_err(|error| error.to_string())?;
        Ok(ClientBuilder::default()
            .set_rpc_middleware(RpcServiceBuilder::new())
            .request_timeout(self.call_timeout)
            .max_concurrent_requests(QUEUED_REQUESTS)
            .max_buffer_capacity_per_subscription(SUBSCRIPTION_BUFFER)
            .enable_ws_ping(PingConfig::new().ping_interval(PING_EVERY).inactive_limit(PONG_WITHIN).max_failures(1))
            .build_with_tokio(sender, receiver))
    }
}
