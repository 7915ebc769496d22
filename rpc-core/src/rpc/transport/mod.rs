//! The ways in: from the same process, by HTTP POST, by WebSocket. All three lead through the pipeline.

mod codec;
mod http;
mod in_process;

pub use http::RpcHttpConfig;
pub use in_process::Answer;

use crate::core::Core;
use crate::rpc::methods;
use crate::rpc::pipeline::{Pipeline, Shared};
use jsonrpsee::server::{ServerHandle, StopHandle, stop_channel};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The most bytes one answer may have: a page of a thousand long items, with room to spare.
pub(crate) const MAX_RESPONSE_BYTES: usize = 64 * 1024 * 1024;

/// The service as its callers see it. Cheap to clone.
#[derive(Clone)]
pub struct RpcServer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    local: Pipeline<in_process::LocalService>,
    http: RpcHttpConfig,
    sockets: Sockets,
}

/// What the WebSockets share.
struct Sockets {
    permits: Arc<Semaphore>,
    next_id: AtomicU32,
    tracker: TaskTracker,
    stop: StopHandle,
    handle: ServerHandle,
}

impl RpcServer {
    /// Every method of this core, behind the pipeline.
    ///
    /// # Errors
    /// When a method is registered twice, which a test of the contract rules out.
    pub fn new(core: Arc<Core>, http: RpcHttpConfig) -> Result<Self, String> {
        let registered = methods::register_all(core.clone())?;
        let shared = Arc::new(Shared { core, registered });
        let local = Pipeline::new(in_process::LocalService::new(shared.clone()), shared.clone());
        let (stop, handle) = stop_channel();
        let sockets = Sockets {
            permits: Arc::new(Semaphore::new(http.max_sockets)),
            next_id: AtomicU32::new(0),
            tracker: TaskTracker::new(),
            stop,
            handle,
        };
        Ok(Self { inner: Arc::new(Inner { shared, local, http, sockets }) })
    }

    /// The core behind it.
    pub fn core(&self) -> &Arc<Core> {
        &self.inner.shared.core
    }

    /// Names of the methods that can be called.
    pub fn method_names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.inner.shared.registered.names().collect();
        names.sort_unstable();
        names
    }

    /// Closes the WebSockets: calls that are being answered are finished, subscriptions are cut. Stop the runs first.
    ///
    /// Waits for the peers, but not for one that does not read; bound it.
    pub async fn close_sockets(&self) {
        // Fails only when it was stopped before.
        let _ = self.inner.sockets.handle.stop();
        self.inner.sockets.tracker.close();
        self.inner.sockets.tracker.wait().await;
    }
}
