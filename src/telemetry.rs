//! The log and the metrics.

mod log;
mod metrics;

pub use self::log::{install as install_log, write_failure};
pub use self::metrics::{METRICS, Metric, MetricKind, MetricsPage, install as install_metrics};
