//! One connection from accept to close.

use super::activity::{Activity, Phase};
use super::addresses::Addresses;
use super::guard::{Deadlines, GuardedSocket};
use super::limits::ConnectionLimits;
use super::overload;
use super::slot::ConnectionSlot;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The connections of one listener.
pub(super) struct Connections {
    name: &'static str,
    limits: ConnectionLimits,
    http: http1::Builder,
    slots: Arc<Semaphore>,
    addresses: Addresses,
    refusals: Arc<Semaphore>,
    open: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
    supervisor: Supervisor,
}

/// What the task of a connection needs besides its socket.
struct Server<H> {
    http: http1::Builder,
    handler: H,
    peer: SocketAddr,
    stop: CancellationToken,
    kill: CancellationToken,
}

pin_project_lite::pin_project! {
    /// A response body. When it is dropped, the request is finished: the body is sent or abandoned.
    struct TrackedBody<B> {
        #[pin]
        body: B,
        request: ActiveRequest,
    }
}

/// A request in progress. When it is dropped, the connection is idle.
struct ActiveRequest(Activity);

impl Connections {
    pub(super) fn new(
        name: &'static str,
        limits: ConnectionLimits,
        stop: CancellationToken,
        supervisor: Supervisor,
    ) -> Self {
        let mut http = http1::Builder::new();
        // GuardedSocket has the deadlines: hyper's timer does not distinguish a slow head from an idle peer.
        http.header_read_timeout(None)
            .max_header_size(limits.head_bytes)
            // It also limits the bytes that wait to be written, which is the memory of a slow reader. hyper's minimum
            // is 8 KiB, its default 400 KiB.
            .max_buf_size(limits.head_bytes.max(64 * 1024));
        Self {
            name,
            http,
            slots: Arc::new(Semaphore::new(limits.connections)),
            addresses: Addresses::new(limits.per_address, limits.proxies.clone()),
            refusals: Arc::new(Semaphore::new(overload::MAX_CONCURRENT)),
            open: TaskTracker::new(),
            stop,
            kill: CancellationToken::new(),
            supervisor,
            limits,
        }
    }

    /// Starts a task for the connection, or refuses it.
    pub(super) fn start<H, F, B>(&self, stream: TcpStream, peer: SocketAddr, tls: Option<&TlsAcceptor>, handler: H)
    where
        H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some(place) = self.addresses.enter(peer.ip()) else {
            return self.refuse(stream, tls.is_some(), "address");
        };
        let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.refuse(stream, tls.is_some(), "all");
        };
        tune(&stream, self.limits.stall_timeout);
        let slot = ConnectionSlot::new(self.name, (permit, place), self.open.token());
        let activity = Activity::new();
        let deadlines = Deadlines {
            head: self.limits.head_timeout,
            idle: self.limits.idle_timeout,
            stall: self.limits.stall_timeout,
        };
        let socket = GuardedSocket::new(stream, slot, activity.clone(), deadlines);
        let server =
            Server { http: self.http.clone(), handler, peer, stop: self.stop.clone(), kill: self.kill.clone() };
        match tls.cloned() {
            None => self.supervisor.spawn(TaskKind::Connection, server.serve(socket, activity)),
            Some(tls) => self.supervisor.spawn(TaskKind::Connection, async move {
                match tokio::time::timeout(deadlines.head, tls.accept(socket)).await {
                    Ok(Ok(socket)) => Box::pin(server.serve(socket, activity)).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
                }
            }),
        }
    }

    /// Waits until all sockets are closed. Returns the number of those that were not closed in time.
    pub(super) async fn finish(self) -> usize {
        self.open.close();
        if tokio::time::timeout(self.limits.drain, self.open.wait()).await.is_ok() {
            return 0;
        }
        let left = self.open.len();
        tracing::warn!(listener = self.name, connections = left, "connections closed by force at the end of the drain");
        self.kill.cancel();
        left
    }

    fn refuse(&self, stream: TcpStream, tls: bool, limit: &'static str) {
        metrics::counter!("threadline_connections_refused_total", "listener" => self.name, "limit" => limit)
            .increment(1);
        // Over TLS there is no response: the handshake would need the resources that are missing.
        if !tls && let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            self.supervisor.spawn(TaskKind::Connection, async move {
                overload::refuse(stream).await;
                drop(permit);
            });
        }
    }
}

impl<H, F, B> Server<H>
where
    H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    async fn serve<T>(self, socket: T, activity: Activity)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Self { http, handler, peer, stop, kill } = self;
        activity.enter(Phase::Fresh);
        let service = service_fn(move |request| {
            let active = ActiveRequest::begin(&activity);
            // Boxed: hyper reserves room for this future as long as the connection exists, also while a body is
            // streamed.
            let response = Box::pin(handler(peer, request));
            async move { Ok::<_, Infallible>(active.track(response.await)) }
        });
        let connection = pin!(http.serve_connection(TokioIo::new(socket), service).with_upgrades());
        let drive = async {
            let mut connection = connection;
            tokio::select! {
                biased;
                result = connection.as_mut() => return result,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        };
        if let Some(Err(error)) = kill.run_until_cancelled(drive).await {
            tracing::debug!(%peer, %error, "connection failed");
        }
    }
}

impl ActiveRequest {
    fn begin(activity: &Activity) -> Self {
        activity.enter(Phase::Busy);
        Self(activity.clone())
    }

    /// Keeps the request active until the body is sent.
    fn track<B>(self, response: Response<B>) -> Response<TrackedBody<B>> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.enter(Phase::Upgraded);
        }
        response.map(|body| TrackedBody { body, request: self })
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sets the socket options: small writes are sent at once, and a peer that disappeared is noticed, also on an idle
/// stream.
fn tune(stream: &TcpStream, stall: Duration) {
    const PROBE_AFTER: Duration = Duration::from_secs(60);
    const PROBE_EVERY: Duration = Duration::from_secs(15);
    // Without this limit the kernel buffers megabytes for a peer that does not read, and wakes a task to write them.
    // Bytes in flight do not count, so a peer that reads is not slowed down.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const MAX_UNSENT: u32 = 128 * 1024;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let tuned = stream.set_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&probes));
    // Unacknowledged bytes end the connection after this time, and not after 15 minutes. The write deadline does not
    // help here: the kernel accepts heartbeats for a peer that is gone, so the writes succeed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let tuned = tuned
        .and_then(|()| socket.set_tcp_user_timeout(Some(stall)))
        .and_then(|()| socket.set_tcp_notsent_lowat(MAX_UNSENT));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stall;
    if let Err(error) = tuned {
        tracing::debug!(%error, "cannot set socket options");
    }
}
