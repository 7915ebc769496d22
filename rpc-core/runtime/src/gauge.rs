//! Gauges that go down by themselves.

use metrics::Gauge;

/// Adds one to a gauge, and subtracts it when dropped: also after an error, a cancellation or a panic.
#[must_use = "the gauge goes down again when this is dropped"]
#[derive(Debug)]
pub struct GaugeGuard(Gauge);

impl GaugeGuard {
    /// Adds one to `gauge`.
    pub fn new(gauge: Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
