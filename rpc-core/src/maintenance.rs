//! Maintenance jobs: remove old data and record gauges.

use crate::core::Core;
use std::sync::{Arc, Weak};
use std::time::Duration;
use threadline_runtime::TaskKind;
use tokio::time::MissedTickBehavior;

/// How often memory is swept and gauges are recorded.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often old logs and unused attachments are removed.
const REMOVE_EVERY: Duration = Duration::from_secs(60);
/// How often idle threads are archived.
const ARCHIVE_EVERY: Duration = Duration::from_secs(3600);

/// Starts the maintenance jobs. They run until the supervisor shuts down.
pub(crate) fn spawn(core: &Arc<Core>) {
    every(core, REMOVE_EVERY, |core| async move {
        core.engine.remove_expired_logs().await;
        core.attachments.delete_unused().await;
    });
    every(core, SWEEP_EVERY, |core| async move {
        core.limits.sweep();
        core.engine.sweep();
        core.record_gauges();
    });
    if let Some(max_idle) = core.config.session_max_idle {
        every(core, ARCHIVE_EVERY, move |core| async move { core.engine.archive_idle_threads(max_idle).await });
    }
}

/// Repeats `work`, the first time at once. Holds the core weakly between two rounds, so that it can be dropped.
fn every<W, F>(core: &Arc<Core>, period: Duration, work: W)
where
    W: Fn(Arc<Core>) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let weak: Weak<Core> = Arc::downgrade(core);
    core.supervisor.spawn(TaskKind::Maintenance, async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(core) = weak.upgrade() else { return };
            work(core).await;
        }
    });
}
