//! Sockets to the core. A task keeps each of them open.

use super::address::{CoreAddress, Socket};
use super::{RemoteConfig, RemoteError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for a connection with its handshakes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the first try to connect again. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Additional pause per socket, so that not all of them connect at once to a core that has restarted.
const PAUSE_PER_SOCKET: Duration = Duration::from_millis(40);

/// The sockets.
pub(super) struct Pool {
    sockets: Vec<watch::Receiver<Option<Arc<Socket>>>>,
    next: AtomicUsize,
    /// Dropping it stops the tasks, which closes the sockets.
    _tasks: JoinSet<()>,
}

impl Pool {
    /// Starts to open the sockets, and returns without waiting.
    ///
    /// # Errors
    /// If URL or TLS can never work.
    pub(super) fn open(config: &RemoteConfig) -> Result<Self, RemoteError> {
        let address = Arc::new(CoreAddress::parse(config)?);
        let (mut sockets, mut tasks) = (Vec::new(), JoinSet::new());
        for index in 0..config.sockets.max(1) {
            let (sender, socket) = watch::channel(None);
            sockets.push(socket);
            let extra_pause = PAUSE_PER_SOCKET * u32::try_from(index).unwrap_or(0);
            tasks.spawn(keep_connected(address.clone(), sender, extra_pause));
        }
        Ok(Self { sockets, next: AtomicUsize::new(0), _tasks: tasks })
    }

    /// Returns an open socket, round robin; `None` if none is open.
    pub(super) fn pick(&self) -> Option<Arc<Socket>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.sockets.len().max(1);
        let (before, from) = self.sockets.split_at_checked(start)?;
        from.iter().chain(before).find_map(|socket| socket.borrow().clone().filter(|socket| socket.is_connected()))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.sockets.iter().filter(|socket| socket.borrow().is_some()).count();
        f.debug_struct("Pool").field("sockets", &self.sockets.len()).field("open", &open).finish()
    }
}

/// Keeps one socket open, and publishes it, until the task is stopped.
async fn keep_connected(address: Arc<CoreAddress>, publish: watch::Sender<Option<Arc<Socket>>>, extra_pause: Duration) {
    let mut pause = FIRST_PAUSE;
    let mut outage_logged = false;
    loop {
        let connected = match tokio::time::timeout(CONNECT_TIMEOUT, address.connect()).await {
            Ok(result) => result,
            Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())),
        };
        match connected {
            Ok(socket) => {
                tracing::info!(core = %address, "connected to the core");
                let socket = Arc::new(socket);
                publish.send_replace(Some(socket.clone()));
                let reason = socket.on_disconnect().await;
                publish.send_replace(None);
                tracing::warn!(core = %address, %reason, "connection to the core was lost");
                (pause, outage_logged) = (FIRST_PAUSE, true);
            }
            // Logged once per outage, not at each of the tries.
            Err(reason) if !outage_logged => {
                tracing::warn!(core = %address, reason, "core cannot be reached, retrying");
                outage_logged = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause + extra_pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
