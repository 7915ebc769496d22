//! Maintenance jobs: remove old data and record gauges.

use crate::attachments::Attachments;
use crate::budget::Budgets;
use crate::error_counts::ErrorCounts;
use crate::limits::{RateLimits, RegistrationLimit};
use crate::process_report::ProcessReport;
use crate::retention::ThreadRetention;
use crate::store::{Clock, Store, hour_of};
use std::sync::Arc;
use std::time::Duration;
use threadline_engine::Engine;
use threadline_runtime::{Supervisor, TaskKind};
use threadline_schema::error::Chain;
use tokio::time::MissedTickBehavior;

/// How often memory is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often gauges are recorded: several times per scrape of Prometheus.
const GAUGES_EVERY: Duration = Duration::from_secs(5);
/// How often old logs and unused attachments are removed.
const REMOVE_EVERY: Duration = Duration::from_secs(60);
/// How long the records of changes of access are kept. A process that could not read them for longer checks all
/// accounts that it knows.
const KEEP_ACCESS_CHANGES: chrono::TimeDelta = chrono::TimeDelta::minutes(2);
/// How long the hashes of erased identities are kept: longer than tokens of identity providers are valid.
const KEEP_ERASED_IDENTITIES: chrono::TimeDelta = chrono::TimeDelta::days(7);
/// How often the sums of usage are completed, and for how many days: processes of the release before may run beside
/// this one during an upgrade, or for a while after a rollback.
const CATCH_UP_EVERY: Duration = Duration::from_secs(3600);
const CATCH_UP_DAYS: i64 = 7;
/// How often what has failed is written to the database.
const ERRORS_EVERY: Duration = Duration::from_secs(10);
/// How many hours counts of failures are kept.
const KEEP_ERRORS: i64 = 720;
/// How often this process writes to the database that it is alive, for `admin.list_processes`.
const REPORT_EVERY: Duration = Duration::from_secs(15);
/// How often idle threads are archived.
const ARCHIVE_EVERY: Duration = Duration::from_secs(3600);
/// How often threads are deleted that are not kept any longer.
const RETENTION_EVERY: Duration = Duration::from_secs(3600);

/// What the maintenance jobs work on.
pub(crate) struct Maintenance {
    pub(crate) engine: Engine,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) attachments: Arc<Attachments>,
    pub(crate) limits: Arc<RateLimits>,
    pub(crate) registrations: Arc<RegistrationLimit>,
    pub(crate) errors: Arc<ErrorCounts>,
    pub(crate) process: Arc<ProcessReport>,
    /// How long entries of the audit log are kept; `None` is without end.
    pub(crate) audit_retention: Option<Duration>,
    /// Threads that were not used for this time are archived; `None` never.
    pub(crate) max_idle: Option<Duration>,
    pub(crate) retention: ThreadRetention,
}

impl Maintenance {
    /// Starts the jobs. They run until the supervisor shuts down.
    pub(crate) fn spawn(self, supervisor: &Supervisor) {
        let this = Arc::new(self);
        this.every(supervisor, REMOVE_EVERY, |this| async move {
            this.engine.remove_expired_logs().await;
            this.attachments.delete_unused().await;
            this.attachments.delete_late_uploads().await;
            this.forget_login_failures().await;
            this.trim_access_changes().await;
            this.retention.delete_temporary().await;
        });
        this.every(supervisor, SWEEP_EVERY, |this| async move {
            this.limits.sweep();
            this.registrations.sweep();
            this.engine.sweep();
            this.budgets.watch().await;
        });
        this.every(supervisor, CATCH_UP_EVERY, |this| async move {
            this.complete_sums().await;
            this.trim_errors().await;
        });
        this.every(supervisor, ERRORS_EVERY, |this| async move { this.errors.flush(&this.store, &this.clock).await });
        this.every(supervisor, REPORT_EVERY, |this| async move { this.process.write().await });
        this.every(supervisor, GAUGES_EVERY, |this| async move { this.record_gauges() });
        this.every(supervisor, RETENTION_EVERY, |this| async move { this.retention.delete_unused().await });
        if let Some(max_idle) = this.max_idle {
            let archive = move |this: Arc<Self>| async move { this.engine.archive_idle_threads(max_idle).await };
            this.every(supervisor, ARCHIVE_EVERY, archive);
        }
    }

    /// Repeats `work`, the first time at once.
    fn every<W, F>(self: &Arc<Self>, supervisor: &Supervisor, period: Duration, work: W)
    where
        W: Fn(Arc<Self>) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let this = self.clone();
        supervisor.spawn(TaskKind::Maintenance, async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                work(this.clone()).await;
            }
        });
    }

    /// Adds to the sums of usage what was booked by processes that do not know them.
    async fn complete_sums(&self) {
        let today = self.budgets.today();
        for day in today - CATCH_UP_DAYS + 1..=today {
            if let Err(error) = self.store.usage_sums_catch_up(day).await {
                return tracing::warn!(error = %Chain(&error), "the sums of usage could not be completed");
            }
        }
    }

    async fn trim_errors(&self) {
        if let Err(error) = self.store.errors_trim(hour_of(self.clock.now()) - KEEP_ERRORS).await {
            tracing::warn!(error = %Chain(&error), "old counts of failures could not be deleted");
        }
    }

    async fn forget_login_failures(&self) {
        if let Err(error) = self.store.login_failures_forget(self.clock.now()).await {
            tracing::warn!(error = %Chain(&error), "old login failures could not be removed");
        }
    }

    /// Deletes the records of access changes that all processes have read.
    async fn trim_access_changes(&self) {
        let before = (self.clock.now().utc() - KEEP_ACCESS_CHANGES).into();
        let trimmed = async {
            self.store.access_changes_trim(before).await?;
            self.store.cancelled_client_tokens_trim(before).await?;
            // `None` also if the calendar does not reach that far back.
            let oldest = self.audit_retention.and_then(|retention| {
                self.clock.now().utc().checked_sub_signed(chrono::TimeDelta::from_std(retention).ok()?)
            });
            if let Some(oldest) = oldest {
                self.store.audit_trim(oldest.into()).await?;
            }
            self.store.erased_identities_trim((self.clock.now().utc() - KEEP_ERASED_IDENTITIES).into()).await
        };
        if let Err(error) = trimmed.await {
            tracing::warn!(error = %Chain(&error), "old records about access could not be deleted");
        }
    }

    /// Records the gauges that are measured at an interval instead of at every change.
    fn record_gauges(&self) {
        let pool = self.store.pool_status();
        #[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
        for (state, count) in [("open", pool.size), ("in_use", pool.in_use), ("waiting", pool.waiting)] {
            metrics::gauge!("threadline_db_connections", "state" => state).set(count as f64);
        }
        #[allow(clippy::cast_precision_loss, reason = "a gauge holds floats")]
        metrics::gauge!("threadline_rate_limit_keys").set(self.limits.len() as f64);
    }
}
