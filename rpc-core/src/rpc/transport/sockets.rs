//! What the WebSockets of this process share.

use crate::rpc::pipeline::Pipeline;
use crate::rpc::registry::Registry;
use std::collections::HashSet;
use std::sync::Arc;
use threadline_schema::Kind;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All WebSockets of this process.
pub(super) struct Sockets {
    pub(super) unsubscribes: Unsubscribes,
    pub(super) permits: Arc<Semaphore>,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

/// The methods that end subscriptions.
pub(super) struct Unsubscribes(HashSet<&'static str>);

impl Sockets {
    pub(super) fn new(pipeline: &Pipeline, max_sockets: usize) -> Self {
        Self {
            unsubscribes: Unsubscribes::of(pipeline.registry()),
            permits: Arc::new(Semaphore::new(max_sockets)),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Closes all sockets and waits for them.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Unsubscribes {
    fn of(registry: &Registry) -> Self {
        let names = registry.methods().filter_map(|method| match method.kind {
            Kind::Subscription { unsubscribe, .. } => Some(unsubscribe),
            Kind::Command => None,
        });
        Self(names.collect())
    }

    pub(super) fn find(&self, method: &str) -> Option<&'static str> {
        self.0.get(method).copied()
    }
}
