//! Background tasks that are supervised, and gauges that cannot leak.
//!
//! Every task of the service is spawned here, with a [`TaskKind`] that says what its end, its failure and a shutdown
//! mean. A bare `tokio::spawn` is refused by clippy: a task that nothing watches can die without a trace.

mod gauge;
mod supervisor;
mod task_kind;

pub use gauge::GaugeGuard;
pub use supervisor::{Supervisor, TaskFailure};
pub use task_kind::{OnFailure, OnShutdown, TaskKind};
