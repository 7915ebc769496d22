//! Sockets to the core. A task keeps each of them open.

use super::address::{CoreAddress, Socket};
use super::{RemoteConfig, RemoteError};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use threadline_runtime::{Supervisor, TaskKind};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Longest wait for a connection with its handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the first try to connect again. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Additional pause per socket, so that not all of them connect at once to a core that has restarted.
const PAUSE_PER_SOCKET: Duration = Duration::from_millis(40);

/// Opens one socket.
type Connect = Arc<dyn Fn() -> BoxFuture<'static, Result<Socket, String>> + Send + Sync>;

/// The sockets.
pub(super) struct Pool {
    sockets: Vec<watch::Receiver<Option<Arc<Socket>>>>,
    next: AtomicUsize,
    /// Dropping it stops the tasks, which closes the sockets.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Pool {
    /// Starts to open the sockets, and returns without waiting.
    ///
    /// # Errors
    /// If URL or TLS can never work.
    pub(super) fn open(config: &RemoteConfig, supervisor: &Supervisor) -> Result<Self, RemoteError> {
        let address = Arc::new(CoreAddress::parse(config)?);
        let core = address.to_string().into();
        let connect: Connect = Arc::new(move || {
            let address = address.clone();
            async move { address.connect().await }.boxed()
        });
        Ok(Self::keep_open(config.sockets.max(1), core, &connect, supervisor))
    }

    /// Keeps `count` sockets open. `core` is the address for the log.
    fn keep_open(count: usize, core: Arc<str>, connect: &Connect, supervisor: &Supervisor) -> Self {
        let (mut sockets, mut tasks) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (publish, socket) = watch::channel(None);
            sockets.push(socket);
            let (core, connect, publish) = (core.clone(), connect.clone(), Arc::new(publish));
            let extra_pause = PAUSE_PER_SOCKET * u32::try_from(index).unwrap_or(0);
            let task = supervisor.spawn_restarting(TaskKind::CoreSocket, FIRST_PAUSE + extra_pause, move || {
                keep_connected(core.clone(), connect.clone(), publish.clone(), extra_pause)
            });
            tasks.push(AbortOnDropHandle::new(task));
        }
        Self { sockets, next: AtomicUsize::new(0), _tasks: tasks }
    }

    /// Returns an open socket, round robin; `None` if none is open.
    pub(super) fn pick(&self) -> Option<Arc<Socket>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.sockets.len().max(1);
        let (before, from) = self.sockets.split_at_checked(start)?;
        from.iter()
            .chain(before)
            .find_map(|socket| socket.borrow().clone().filter(|socket| socket.client.is_connected()))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.sockets.iter().filter(|socket| socket.borrow().is_some()).count();
        f.debug_struct("Pool").field("sockets", &self.sockets.len()).field("open", &open).finish()
    }
}

/// Keeps one socket open, and publishes it, until the task is stopped.
async fn keep_connected(
    core: Arc<str>,
    connect: Connect,
    publish: Arc<watch::Sender<Option<Arc<Socket>>>>,
    extra_pause: Duration,
) {
    // A socket that a task before this one has left.
    publish.send_replace(None);
    let mut pause = FIRST_PAUSE;
    let mut outage_logged = false;
    loop {
        let connected = match tokio::time::timeout(CONNECT_TIMEOUT, connect()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        };
        match connected {
            Ok(socket) => {
                tracing::info!(%core, "connected to the core");
                let socket = Arc::new(socket);
                publish.send_replace(Some(socket.clone()));
                let reason = socket.client.on_disconnect().await;
                publish.send_replace(None);
                tracing::warn!(%core, %reason, "connection to the core was lost");
                (pause, outage_logged) = (FIRST_PAUSE, true);
            }
            // Logged once per outage, not at each of the tries.
            Err(reason) if !outage_logged => {
                tracing::warn!(%core, reason, "core cannot be reached, retrying");
                outage_logged = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause + extra_pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    /// A core that opens WebSockets and answers nothing.
    async fn core() -> (RemoteConfig, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut sockets = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                sockets.spawn(async move {
                    let mut socket = tokio_tungstenite::accept_async(connection).await.unwrap();
                    while socket.next().await.is_some() {}
                });
            }
        });
        (RemoteConfig::new(url), AbortOnDropHandle::new(task))
    }

    async fn wait_for_socket(pool: &Pool) -> Arc<Socket> {
        let opened = async {
            loop {
                if let Some(socket) = pool.pick() {
                    return socket;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), opened).await.expect("a socket")
    }

    // One thread, so that the recorder of this thread sees the metrics of all tasks.
    #[tokio::test]
    async fn a_socket_task_that_panics_is_noticed_and_replaced() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let (config, _core) = core().await;
        let address = Arc::new(CoreAddress::parse(&config).unwrap());
        let attempts = Arc::new(AtomicUsize::new(0));
        let connect: Connect = Arc::new({
            let attempts = attempts.clone();
            move || {
                let (address, attempt) = (address.clone(), attempts.fetch_add(1, Ordering::Relaxed));
                async move {
                    assert!(attempt > 0, "a bug in the task of a socket");
                    address.connect().await
                }
                .boxed()
            }
        });
        let supervisor = Supervisor::default();
        let pool = Pool::keep_open(1, "core".into(), &connect, &supervisor);
        assert!(wait_for_socket(&pool).await.client.is_connected());
        assert_eq!(attempts.load(Ordering::Relaxed), 2);
        assert!(page.render().contains(r#"threadline_task_failures_total{task="core_socket"} 1"#), "{}", page.render());
        assert_eq!(supervisor.failure(), None, "the gateway goes on");
    }

    #[tokio::test]
    async fn dropping_the_pool_closes_its_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = RemoteConfig::new(format!("ws://{}", listener.local_addr().unwrap()));
        let pool = Pool::open(&RemoteConfig { sockets: 1, ..config }, &Supervisor::default()).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        drop(pool);
        let closed = async {
            let mut byte = [0];
            loop {
                socket.readable().await.unwrap();
                // The request of the handshake, then the end.
                match socket.try_read(&mut byte) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), closed).await.expect("the socket is closed");
    }
}
