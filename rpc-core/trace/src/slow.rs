//! Log lines about work that takes long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// From which duration on work is logged; `None` is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlowLimits {
    /// Units of work in the database, with their wait for a connection.
    pub query: Option<Duration>,
    /// Calls of tools.
    pub tool: Option<Duration>,
}

/// In microseconds. The maximum is never.
static QUERY: AtomicU64 = AtomicU64::new(u64::MAX);
static TOOL: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets the limits of the process.
pub fn set_slow_limits(limits: SlowLimits) {
    for (limit, of_process) in [(limits.query, &QUERY), (limits.tool, &TOOL)] {
        of_process.store(limit.map_or(u64::MAX, micros), Ordering::Relaxed);
    }
}

/// Logs a unit of work in the database that took long. `name` is the operation, and never has values.
pub fn log_slow_query(name: impl FnOnce() -> &'static str, took: Duration) {
    if micros(took) >= QUERY.load(Ordering::Relaxed) {
        tracing::warn!(target: "threadline::slow", operation = name(), ms = milliseconds(took), "slow query");
    }
}

/// Logs a call of a tool that took long.
pub fn log_slow_tool(tool: &str, took: Duration) {
    if micros(took) >= TOOL.load(Ordering::Relaxed) {
        tracing::warn!(target: "threadline::slow", tool, ms = milliseconds(took), "slow tool");
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
