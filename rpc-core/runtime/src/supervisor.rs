//! Spawns background tasks and watches them.

use crate::task_kind::{OnFailure, OnShutdown, TaskKind};
use futures::FutureExt;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Why the service has to shut down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    /// The task that failed.
    pub task: TaskKind,
    /// What happened, for the log.
    pub cause: String,
}

/// Spawns background tasks and watches them. Clones share one set of tasks.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

impl std::fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the background task {} has failed: {}", self.task.name(), self.cause)
    }
}

impl std::error::Error for TaskFailure {}

#[derive(Debug, Default)]
struct Shared {
    /// Cancelled when the service shuts down.
    shutdown: CancellationToken,
    /// Cancelled when a task has failed without which the service cannot go on.
    failed: CancellationToken,
    failure: Mutex<Option<TaskFailure>>,
}

impl Supervisor {
    /// Spawns a task. Its result is lost: use [`spawn_with_result`](Self::spawn_with_result) where it matters.
    pub fn spawn(&self, kind: TaskKind, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.spawn_with_result(kind, task));
    }

    /// Spawns a task whose result the caller awaits. `None` means that it panicked, or was cancelled by the shutdown.
    pub fn spawn_with_result<T: Send + 'static>(
        &self,
        kind: TaskKind,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        let supervisor = self.clone();
        let watched = async move { supervisor.watch(kind, task).await };
        tokio::spawn(watched)
    }

    async fn watch<T>(&self, kind: TaskKind, task: impl Future<Output = T>) -> Option<T> {
        let task = AssertUnwindSafe(task).catch_unwind();
        let ended = match kind.on_shutdown() {
            OnShutdown::Wait => task.await,
            OnShutdown::Cancel => tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => return None,
                ended = task => ended,
            },
        };
        match ended {
            Ok(result) => {
                if kind.runs_until_shutdown() && !self.is_shutting_down() {
                    self.fail(kind, "the task ended before the shutdown".to_owned());
                }
                Some(result)
            }
            Err(panic) => {
                self.fail(kind, format!("the task panicked: {}", message_of(&*panic)));
                None
            }
        }
    }

    fn fail(&self, kind: TaskKind, cause: String) {
        metrics::counter!("threadline_task_failures_total", "task" => kind.name()).increment(1);
        tracing::error!(task = kind.name(), cause, "background task failed");
        if kind.on_failure() == OnFailure::ShutDown {
            self.shared.failure.lock().get_or_insert(TaskFailure { task: kind, cause });
            self.shared.failed.cancel();
        }
    }

    /// Returns the failure that makes the service shut down, if there is one.
    pub fn failure(&self) -> Option<TaskFailure> {
        self.shared.failure.lock().clone()
    }

    /// Waits until a task has failed without which the service cannot go on. Returns the failure.
    pub async fn failed(&self) -> TaskFailure {
        self.shared.failed.cancelled().await;
        let unknown = TaskFailure { task: TaskKind::Maintenance, cause: "unknown".to_owned() };
        self.failure().unwrap_or(unknown)
    }

    /// Cancels the tasks that run until the shutdown. Runs and requests finish by themselves; wait for those first.
    pub fn shut_down(&self) {
        self.shared.shutdown.cancel();
    }

    /// Returns whether [`shut_down`](Self::shut_down) was called.
    pub fn is_shutting_down(&self) -> bool {
        self.shared.shutdown.is_cancelled()
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_critical_task_is_a_failure_of_the_service() {
        let supervisor = Supervisor::default();
        supervisor.spawn(TaskKind::Journal, async { panic!("out of ink") });
        supervisor.failed().await;
        let failure = supervisor.failure().unwrap();
        assert_eq!(failure.task, TaskKind::Journal);
        assert!(failure.cause.contains("out of ink"), "{failure:?}");
    }

    #[tokio::test]
    async fn a_critical_task_that_ends_too_early_is_a_failure_of_the_service() {
        let supervisor = Supervisor::default();
        supervisor.spawn(TaskKind::LeaseRenewal, async {});
        supervisor.failed().await;
        assert_eq!(supervisor.failure().unwrap().task, TaskKind::LeaseRenewal);
    }

    #[tokio::test]
    async fn a_panic_in_one_run_does_not_stop_the_service() {
        let supervisor = Supervisor::default();
        let run = supervisor.spawn_with_result(TaskKind::Run, async { panic!("one bad run") });
        assert_eq!(run.await.unwrap(), None::<()>);
        assert_eq!(supervisor.failure(), None);
    }

    #[tokio::test]
    async fn the_shutdown_cancels_loops_and_lets_requests_finish() {
        let supervisor = Supervisor::default();
        let endless = supervisor.spawn_with_result(TaskKind::Recovery, std::future::pending::<()>());
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let request = supervisor.spawn_with_result(TaskKind::Request, async { wait.await.is_ok() });
        supervisor.shut_down();
        assert_eq!(endless.await.unwrap(), None);
        go_on.send(()).unwrap();
        assert_eq!(request.await.unwrap(), Some(true));
        assert_eq!(supervisor.failure(), None);
    }
}
