//! The log and the metrics.

mod disk;
mod log;
mod metrics;

pub use self::disk::{Volume, volumes};
pub use self::log::{install as install_log, write_failure};
pub use self::metrics::{METRICS, Metric, MetricKind, MetricsPage, install as install_metrics};
