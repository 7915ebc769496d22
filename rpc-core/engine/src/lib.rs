//! The run engine: starts, executes, cancels, recovers and streams runs.
//!
//! The engine knows the store, the clock, the signals between processes, and a [`RunDriver`] that produces the output
//! of a run. It does not know JSON-RPC, HTTP, or a model.
//!
//! | folder | holds |
//! | --- | --- |
//! | `log/` | the events of one run in memory, and their form in the database |
//! | `hub/` | the runs of this process, and the wake-ups of the feeds of threads |
//! | `output/` | the [`RunWriter`]: a driver's text and tool calls become events and items |
//! | `durability/` | the journal, and reading events back: replay of ended runs, mirrors of runs of other processes |
//! | `subscribe/` | feeds of runs and of threads |
//! | `lifecycle/` | a run from its start to its end, and its cancellation |
//! | `recovery/` | leases; runs whose process died continue in another, or end |
//!
//! Each folder uses only folders above it in this table. Beside them: `engine.rs` is the public interface, `shared.rs`
//! what its parts share, `driver.rs` the port to what produces output, `background.rs` starts the background tasks,
//! `maintenance.rs` removes old data, `holds.rs` books work that has no row of an active run, and `leases.rs` and
//! `presences.rs` say which processes are believed to be alive.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests make times and ids of their own, and await what they spawn")
)]

mod background;
mod driver;
mod durability;
mod engine;
mod error;
mod holds;
mod hub;
mod leases;
mod lifecycle;
mod log;
mod maintenance;
mod output;
mod presences;
mod recovery;
mod shared;
mod subscribe;
#[doc(hidden)]
pub mod testing;
pub mod wire;

pub use driver::{DriverError, DriverSource, MakeDriver, RunContext, RunDriver, RunProgress, StoredRun};
pub use engine::{Engine, EngineConfig};
pub use error::EngineError;
pub use hub::RunHandle;
pub use lifecycle::{NewThreadInput, ResumeInput, RunRequest, StartPermit, StartedRun, UserMessageInput, count_tokens};
pub use output::{
    AskedModel, Citation, FinishedCall, ModelPrices, PendingCall, RequestedCall, RunWriter, UsageMeter, WaitingCall,
    cost_micros,
};
pub use subscribe::{FeedEnd, RunFeed, ThreadFeed, error_event};
