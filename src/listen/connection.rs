//! One connection from accept to close.

use super::ConnectionLimits;
use super::activity::{Activity, Phase};
use super::guard::{Deadlines, Guard};
use super::overload;
use super::slot::Slot;
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
    refusals: Arc<Semaphore>,
    open: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

/// What a connection's task needs besides its socket.
struct Server<H> {
    http: http1::Builder,
    handler: H,
    peer: SocketAddr,
    stop: CancellationToken,
    kill: CancellationToken,
}

pin_project_lite::pin_project! {
    /// A body that says when it is sent, or given up.
    struct Answering<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

/// A request that is being answered.
struct InFlight(Activity);

impl Connections {
    pub(super) fn new(name: &'static str, limits: ConnectionLimits, stop: CancellationToken) -> Self {
        let mut http = http1::Builder::new();
        // The guard keeps the deadlines: hyper's own timer knows no difference between a slow head and an idle peer.
        http.header_read_timeout(None)
            .max_header_size(limits.head_bytes)
            // Also what may wait to be written, so the memory of a slow reader. hyper starts with 8 KiB and takes no
            // less; its default is 400 KiB.
            .max_buf_size(limits.head_bytes.max(64 * 1024));
        Self {
            name,
            limits,
            http,
            slots: Arc::new(Semaphore::new(limits.connections)),
            refusals: Arc::new(Semaphore::new(overload::AT_A_TIME)),
            open: TaskTracker::new(),
            stop,
            kill: CancellationToken::new(),
        }
    }

    /// Gives the connection a task of its own, or refuses it.
    pub(super) fn start<H, F, B>(&self, stream: TcpStream, peer: SocketAddr, tls: Option<&TlsAcceptor>, handler: H)
    where
        H: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.refuse(stream, tls.is_some());
        };
        tune(&stream, self.limits.stall_timeout);
        let slot = Slot::take(self.name, permit, self.open.token());
        let activity = Activity::new();
        let deadlines = Deadlines {
            head: self.limits.head_timeout,
            idle: self.limits.idle_timeout,
            stall: self.limits.stall_timeout,
        };
        let socket = Guard::new(stream, slot, activity.clone(), deadlines);
        let server =
            Server { http: self.http.clone(), handler, peer, stop: self.stop.clone(), kill: self.kill.clone() };
        match tls.cloned() {
            None => drop(tokio::spawn(server.serve(socket, activity))),
            Some(tls) => drop(tokio::spawn(async move {
                match tokio::time::timeout(deadlines.head, tls.accept(socket)).await {
                    Ok(Ok(socket)) => Box::pin(server.serve(socket, activity)).await,
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS session"),
                    Err(_) => tracing::debug!(%peer, "no TLS session in time"),
                }
            })),
        }
    }

    /// Waits until every socket is closed; returns how many were not in time.
    pub(super) async fn finish(self) -> usize {
        self.open.close();
        if tokio::time::timeout(self.limits.drain, self.open.wait()).await.is_ok() {
            return 0;
        }
        let left = self.open.len();
        tracing::warn!(listener = self.name, connections = left, "connections cut at the end of the drain");
        self.kill.cancel();
        left
    }

    fn refuse(&self, stream: TcpStream, tls: bool) {
        metrics::counter!("threadline_connections_refused_total", "listener" => self.name).increment(1);
        // A handshake would cost what there is too little of, so over TLS there is no answer.
        if !tls && let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            tokio::spawn(async move {
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
            let in_flight = InFlight::begin(&activity);
            // Boxed, since hyper keeps the place of this future as long as the connection: a stream would hold it for
            // nothing.
            let answer = Box::pin(handler(peer, request));
            async move { Ok::<_, Infallible>(in_flight.answer(answer.await)) }
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
            tracing::debug!(%peer, %error, "connection ended by an error");
        }
    }
}

impl InFlight {
    fn begin(activity: &Activity) -> Self {
        activity.enter(Phase::Busy);
        Self(activity.clone())
    }

    /// Keeps the request in flight until the body is sent.
    fn answer<B>(self, response: Response<B>) -> Response<Answering<B>> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.enter(Phase::Upgraded);
        }
        response.map(|body| Answering { body, in_flight: self })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

impl<B: Body> Body for Answering<B> {
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

/// Small writes go out at once; a peer that vanished without a word is noticed, also on a stream with nothing to say.
fn tune(stream: &TcpStream, stall: Duration) {
    const PROBE_AFTER: Duration = Duration::from_secs(60);
    const PROBE_EVERY: Duration = Duration::from_secs(15);
    // What the kernel keeps for a peer that does not read would otherwise be megabytes, and each of them is written by
    // a task that was woken for it. What is on its way is not counted, so this slows nobody who reads.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const MOST_UNSENT: u32 = 128 * 1024;
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY);
    let tuned = stream.set_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&probes));
    // What the peer does not acknowledge ends the connection after this time instead of a quarter of an hour: the
    // kernel takes a heartbeat for a peer that is gone, so the guard sees a write that succeeds.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let tuned = tuned
        .and_then(|()| socket.set_tcp_user_timeout(Some(stall)))
        .and_then(|()| socket.set_tcp_notsent_lowat(MOST_UNSENT));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stall;
    if let Err(error) = tuned {
        tracing::debug!(%error, "socket options not set");
    }
}
