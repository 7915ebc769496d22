//! A gauge that counts what exists.

use metrics::Gauge;

/// Counts one thing for as long as the guard lives, also if its task panics or is dropped.
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Adds one to the gauge; dropping the guard takes it back.
    pub(crate) fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
