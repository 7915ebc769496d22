//! The log, the metrics, the traces and the error reports.

mod disk;
mod error_reports;
mod ids;
mod log;
mod metrics;
mod traces;

pub use self::disk::{Volume, volumes};
pub use self::error_reports::{ErrorReports, ReportLayer, ReportQueue, error_reports};
pub use self::log::{LogWriter, install as install_log, write_failure};
pub use self::metrics::{METRICS, Metric, MetricKind, MetricsPage, install as install_metrics};
pub use self::traces::Traces;

/// The log, the metrics, the traces and the error reports of a running process.
pub struct Telemetry {
    /// The page of the metrics.
    pub metrics: MetricsPage,
    /// Exports traces, if a collector is configured.
    pub traces: Option<Traces>,
    /// Reports errors, if an endpoint is configured.
    pub error_reports: Option<ErrorReports>,
    /// Writes the log until it is dropped.
    pub _log: LogWriter,
}

impl Telemetry {
    /// Sends the traces and reports that wait, for a few seconds at most. The log is written until the returned writer
    /// is dropped.
    pub async fn finish(self) -> LogWriter {
        let traces = async {
            if let Some(traces) = self.traces {
                traces.finish().await;
            }
        };
        let error_reports = async {
            if let Some(error_reports) = self.error_reports {
                error_reports.finish().await;
            }
        };
        tokio::join!(traces, error_reports);
        self._log
    }
}
