//! Spawns background tasks and watches them.

use crate::task_kind::{OnFailure, OnShutdown, TaskKind};
use futures::FutureExt;
use parking_lot::Mutex;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
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
    /// Cancelled when a task has failed without which the service cannot continue.
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
        // The layers around the task hold a pointer and not a copy of it each: connections have large tasks.
        let task = Box::pin(task);
        spawn(async move { supervisor.watch(kind, task).await })
    }

    /// Spawns a task that starts again, `pause` later, whenever it ends or panics. It ends with the shutdown.
    pub fn spawn_restarting<F>(
        &self,
        kind: TaskKind,
        pause: Duration,
        start: impl Fn() -> F + Send + Sync + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send,
    {
        let supervisor = self.clone();
        spawn(async move {
            while !supervisor.is_shutting_down() {
                // `start` is called inside, so that its own panic is caught too.
                supervisor.watch(kind, Box::pin(async { start().await })).await;
                let _ = tokio::time::timeout(pause, supervisor.shared.shutdown.cancelled()).await;
            }
        })
    }

    async fn watch<T>(&self, kind: TaskKind, task: impl Future<Output = T> + Unpin) -> Option<T> {
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

    /// Waits until a task has failed without which the service cannot continue. Returns the failure.
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

#[expect(clippy::disallowed_methods, reason = "the one place where the service spawns: what it spawns is watched")]
fn spawn<T: Send + 'static>(watched: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(watched)
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

    #[tokio::test(start_paused = true)]
    async fn a_restarting_task_starts_again_after_a_panic_and_after_its_end_until_the_shutdown() {
        let supervisor = Supervisor::default();
        let starts = Arc::new(Mutex::new(0));
        let task = supervisor.spawn_restarting(TaskKind::CoreSocket, Duration::from_secs(1), {
            let starts = starts.clone();
            move || {
                *starts.lock() += 1;
                let start = *starts.lock();
                async move {
                    match start {
                        1 => panic!("a bad first time"),
                        2 => {}
                        _ => std::future::pending().await,
                    }
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(*starts.lock(), 3);
        supervisor.shut_down();
        task.await.unwrap();
        assert_eq!(*starts.lock(), 3);
    }

    #[tokio::test]
    async fn a_listener_ends_before_the_shutdown_and_must_not_panic() {
        let supervisor = Supervisor::default();
        supervisor.spawn_with_result(TaskKind::Listener, async {}).await.unwrap();
        assert_eq!(supervisor.failure(), None, "it has been told to stop");
        supervisor.spawn(TaskKind::Listener, async { panic!("no more sockets") });
        assert_eq!(supervisor.failed().await.task, TaskKind::Listener);
    }
}
