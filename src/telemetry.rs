//! The log and the metrics.

mod disk;
mod log;
mod metrics;

pub use self::disk::{Volume, volumes};
pub use self::log::{LogWriter, install as install_log, write_failure};
pub use self::metrics::{METRICS, Metric, MetricKind, MetricsPage, install as install_metrics};

/// The log and the metrics of a running process.
pub struct Telemetry {
    /// The page of the metrics.
    pub metrics: MetricsPage,
    /// Writes the log until it is dropped.
    pub _log: LogWriter,
}
