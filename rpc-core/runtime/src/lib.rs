//! Background tasks that are supervised, gauges that cannot leak, and budgets of memory.
//!
//! Every task of the service is spawned here, with a [`TaskKind`] that says what its end, its failure and a shutdown
//! mean. A bare `tokio::spawn` is refused by clippy: a task that nothing watches can die without a trace.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod byte_budget;
mod gauge;
mod supervisor;
mod task_kind;

pub use byte_budget::{ByteBudget, ByteHold};
pub use gauge::GaugeGuard;
pub use supervisor::{Supervisor, TaskFailure};
pub use task_kind::{OnFailure, OnShutdown, TaskKind};
