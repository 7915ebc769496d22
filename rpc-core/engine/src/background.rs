//! The background tasks of the engine.

use crate::durability::run_journal;
use crate::leases::RENEW_EVERY;
use crate::lifecycle::{apply_cancel_request, apply_cancel_requests};
use crate::recovery::{
    hold_presence, poll_threads, recover_dead_runs, recover_lost_runs, recover_runs_of_gone_processes, renew_leases,
};
use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::TaskKind;
use threadline_signals::Command;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

/// Poll interval for lost and dead runs.
const RECOVER_EVERY: Duration = Duration::from_secs(5);
/// Poll interval for processes that are gone.
const GONE_POLL_EVERY: Duration = Duration::from_millis(400);
/// Poll interval for cancel requests that were made on another process, in case the signal was lost.
const CANCEL_POLL_EVERY: Duration = Duration::from_secs(1);
/// Poll interval for runs that other processes have started, in case the signal was lost.
const THREAD_POLL_EVERY: Duration = Duration::from_secs(5);

/// Starts the background tasks. They run until the supervisor shuts down.
pub(crate) fn spawn_background_tasks(shared: &Arc<Shared>) {
    // A task of its own: however long recovery takes, the leases of this process must not expire meanwhile.
    every(shared, TaskKind::LeaseRenewal, RENEW_EVERY, |shared| async move { renew_leases(&shared).await });
    every(shared, TaskKind::Recovery, RECOVER_EVERY, |shared| async move {
        recover_lost_runs(&shared).await;
        recover_dead_runs(&shared).await;
    });
    if shared.store.is_shared() {
        every(shared, TaskKind::CancelRequests, CANCEL_POLL_EVERY, |shared| async move {
            apply_cancel_requests(&shared).await
        });
        every(shared, TaskKind::ThreadPoll, THREAD_POLL_EVERY, |shared| async move { poll_threads(&shared).await });
    }
    if shared.store.presence(shared.process_id).is_some() {
        every(shared, TaskKind::Recovery, GONE_POLL_EVERY, |shared| async move {
            recover_runs_of_gone_processes(&shared).await;
        });
        let task_shared = shared.clone();
        shared.supervisor.spawn(TaskKind::Presence, async move { hold_presence(&task_shared).await });
    }
    if let Some(interval) = shared.config.journal_interval {
        shared.supervisor.spawn(TaskKind::Journal, run_journal(shared.clone(), interval));
    }
    if shared.signals.has_carrier() {
        shared.supervisor.spawn(TaskKind::SignalListener, listen(shared.clone()));
    }
}

/// Repeats `work`, the first time at once.
fn every<W, F>(shared: &Arc<Shared>, kind: TaskKind, period: Duration, work: W)
where
    W: Fn(Arc<Shared>) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let task_shared = shared.clone();
    shared.supervisor.spawn(kind, async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            work(task_shared.clone()).await;
        }
    });
}

/// Applies the signals of other processes.
async fn listen(shared: Arc<Shared>) {
    let mut commands = shared.signals.commands();
    loop {
        match commands.recv().await {
            Ok(Command::Began { thread_id, .. }) => shared.hub.notifier.notify(thread_id),
            Ok(Command::Changed { thread_id, item_id }) => {
                shared.hub.notifier.notify_changed(thread_id, item_id);
            }
            Ok(Command::Cancel { run_id }) => apply_cancel_request(&shared, run_id),
            // What was missed is found by the polls.
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "missed signals of other processes"),
            Err(RecvError::Closed) => return,
        }
    }
}
