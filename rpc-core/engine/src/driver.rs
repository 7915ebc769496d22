//! The port through which the engine gets the output of a run.

use crate::hub::RunHandle;
use crate::output::{RunWriter, UsageMeter};
use futures::future::BoxFuture;
use std::error::Error;
use std::sync::Arc;
use threadline_schema::call::RequestContext;
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, UserId};
use threadline_schema::runs::Usage;
use threadline_store::StoreResult;
use threadline_store::rows::{FencingToken, ItemRow, RunRow, ThreadRow};

/// Produces the output of one run: the agent loop around a model, or one action of a widget.
///
/// The engine calls [`drive`](Self::drive) once, in the task of the run. It may drop the future at any await: the user
/// cancelled, the run took too long, or the process shuts down. Everything said so far is in the writer.
pub trait RunDriver: Send + Sync + 'static {
    /// Returns the name of the agent, for the log.
    fn agent(&self) -> &str;

    /// Writes the output of the run. When the future is dropped, connections to models are closed.
    fn drive<'a>(
        &'a mut self,
        run: &'a RunContext,
        writer: &'a mut RunWriter,
    ) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Called once, when the run has ended and its last events are about to be stored. Returns what was used beside the
    /// run's own requests to models, to be charged with them.
    fn finish(&mut self) -> Option<(Usage, UsageMeter)> {
        None
    }

    /// Called once, when the end of the run has been stored. Starts work that the run does not wait for.
    fn after_end(&mut self) {}
}

/// Which run a driver works for.
#[derive(Clone)]
pub struct RunContext {
    /// Run, thread and epoch: every write of the run names it.
    pub token: FencingToken,
    /// The user message that is answered again, as if it were the newest.
    pub retry_of: Option<ItemId>,
    /// The user who owns the thread.
    pub user_id: UserId,
    /// The request that started the run.
    pub request: RequestContext,
    /// How far the run has come, if it continues after its process has died.
    pub progress: Option<RunProgress>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunProgress {
    /// The next turn: the one after the last that has stored a tool call.
    pub next_turn: u32,
    /// Whether its first turn is a call that the user had approved, and not an answer of a model.
    pub began_with_approved_call: bool,
}

/// Makes drivers for runs that continue after their process has died.
pub trait DriverSource: Send + Sync + 'static {
    /// Returns the driver that continues a run, or why the run should not continue. `items` are those that the run has
    /// stored.
    ///
    /// [`RunContext::progress`] says how far the run has come. The driver first makes the writer's
    /// [open calls](RunWriter::open_calls): making them again does no harm.
    fn driver_to_continue<'a>(
        &'a self,
        thread: &'a ThreadRow,
        run: &'a RunRow,
        items: &'a [ItemRow],
    ) -> BoxFuture<'a, StoreResult<Result<Box<dyn RunDriver>, &'static str>>>;
}

/// A run that has just been stored, for making its driver.
pub struct StoredRun<'a> {
    /// The thread, with the input.
    pub thread: &'a ThreadRow,
    /// The run.
    pub run: &'a RunRow,
    /// Whether the input is the first message of the thread, and the user has set no title.
    pub is_first_message: bool,
    /// The run in memory.
    pub handle: &'a Arc<RunHandle>,
}

/// Makes the driver of a run that has just been stored.
pub type MakeDriver = Box<dyn FnOnce(StoredRun<'_>) -> Box<dyn RunDriver> + Send>;

/// Why a driver could not finish a run.
#[derive(Debug)]
pub struct DriverError {
    /// The error that the user sees: a row of the error table and a sentence.
    pub failure: Failure,
    /// The cause, for the log.
    pub source: Box<dyn Error + Send + Sync>,
}

impl std::fmt::Display for DriverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for DriverError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
