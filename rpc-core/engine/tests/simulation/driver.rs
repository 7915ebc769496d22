//! A driver that follows a random plan.

use super::process::ProcessFaults;
use fastrand::Rng;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_engine::wire::ToolCallBody;
use threadline_engine::{
    DriverError, DriverSource, FinishedCall, RequestedCall, RunContext, RunDriver, RunWriter, UsageMeter,
};
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;
use threadline_schema::ids::{ItemId, RunId};
use threadline_schema::runs::Usage;
use threadline_store::rows::{ItemRow, RunRow, ThreadRow};
use threadline_store::{Store, StoreResult};

/// A tool whose calls may be made twice.
const IDEMPOTENT: &str = "look";
/// A tool whose calls may be made once.
const ACTING: &str = "act";

/// What drivers have done.
#[derive(Default)]
pub(crate) struct Executions {
    /// How often each tool call was executed, by its id. The id begins with the name of the tool.
    pub(crate) calls: Mutex<BTreeMap<String, u32>>,
    /// The processes that have executed each epoch of each run.
    pub(crate) owners: Mutex<BTreeMap<(RunId, i64), BTreeSet<u32>>>,
}

impl Executions {
    /// Returns how often a call may be executed.
    pub(crate) fn limit_of(call: &str) -> u32 {
        // Each of its owners: the first, and those that continue the run.
        if call.starts_with(IDEMPOTENT) { 4 } else { 1 }
    }

    /// Returns how many runs continued after their process had died.
    pub(crate) fn continued(&self) -> u64 {
        let owners = self.owners.lock().unwrap();
        let continued: BTreeSet<RunId> = owners.keys().filter(|(_, epoch)| *epoch > 1).map(|(run, _)| *run).collect();
        continued.len() as u64
    }
}

/// What the drivers of one process use.
#[derive(Clone)]
pub(crate) struct DriverDeps {
    pub(crate) process: Arc<ProcessFaults>,
    pub(crate) store: Store,
    pub(crate) executions: Arc<Executions>,
}

pub(crate) struct PlannedDriver {
    pub(crate) deps: DriverDeps,
    pub(crate) rng: Rng,
}

/// Makes drivers for runs that this process continues.
pub(crate) struct PlannedDrivers {
    pub(crate) deps: DriverDeps,
    pub(crate) rng: Mutex<Rng>,
}

impl DriverSource for PlannedDrivers {
    fn driver_to_continue<'a>(
        &'a self,
        _: &'a ThreadRow,
        _: &'a RunRow,
        _: &'a [ItemRow],
    ) -> BoxFuture<'a, StoreResult<Result<Box<dyn RunDriver>, &'static str>>> {
        let mut rng = self.rng.lock().unwrap().fork();
        let driver: Result<Box<dyn RunDriver>, _> = match rng.u8(0..100) {
            0..10 => Err("its agent ends with its process"),
            _ => Ok(Box::new(PlannedDriver { deps: self.deps.clone(), rng })),
        };
        futures::future::ready(Ok(driver)).boxed()
    }
}

impl PlannedDriver {
    async fn run(&mut self, run: &RunContext, writer: &mut RunWriter) -> Result<(), DriverError> {
        let owner = (run.token.run_id, run.token.epoch);
        self.deps.executions.owners.lock().unwrap().entry(owner).or_default().insert(self.deps.process.name);
        let open = writer.open_calls();
        // It makes whatever it is given: an assertion here would panic into the engine, which ends the run and
        // continues. The invariants count the executions.
        for (index, (_, ToolCallBody { id, .. })) in open.iter().enumerate() {
            self.make_call(index, id, run, writer).await;
        }
        let first = run.progress.map_or(0, |progress| progress.next_turn);
        let turns = first + self.rng.u32(1..=3);
        for turn in first..turns {
            if self.rng.u8(0..100) < 10 {
                writer.write_thought("I should think about it. ".repeat(8).as_str());
                self.pause(120).await;
            }
            for word in 0..self.rng.u32(0..12) {
                self.pause(120).await;
                writer.write_text(&format!("{turn}.{word} "));
            }
            if self.rng.u8(0..100) < 10 {
                writer.write_thought("I should think about it. ".repeat(8).as_str());
            }
            if turn + 1 == turns {
                break;
            }
            self.call_tools(turn, run, writer).await?;
        }
        match self.rng.u8(0..100) {
            0..8 => Err(failure("the model broke off")),
            8..12 => panic!("a fault of ours"),
            _ => {
                writer.write_text("Done.");
                Ok(())
            }
        }
    }

    async fn call_tools(&mut self, turn: u32, run: &RunContext, writer: &mut RunWriter) -> Result<(), DriverError> {
        let calls: Vec<RequestedCall> = (0..self.rng.usize(1..=2))
            .map(|index| {
                let name = self.rng.choice([IDEMPOTENT, ACTING]).unwrap();
                RequestedCall {
                    id: format!("{name}-{}-{turn}-{index}", run.token.run_id),
                    name: name.to_owned(),
                    arguments: "{}".to_owned(),
                    echo: None,
                    is_idempotent: name == IDEMPOTENT,
                }
            })
            .collect();
        writer.begin_calls(turn, &calls, None);
        writer.store_items(&self.deps.store, run.token).await.map_err(|error| failure(&error.to_string()))?;
        for (index, call) in calls.iter().enumerate() {
            self.make_call(index, &call.id, run, writer).await;
        }
        Ok(())
    }

    async fn make_call(&mut self, index: usize, id: &str, run: &RunContext, writer: &mut RunWriter) {
        writer.start_call(index, "Tool");
        self.pause(50).await;
        *self.deps.executions.calls.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        // Some calls take long, so that crashes fall into them.
        let most_ms = if self.rng.u8(0..100) < 25 { 4_000 } else { 300 };
        self.pause(most_ms).await;
        let finished = FinishedCall {
            result: r#"{"ok":true}"#.to_owned(),
            shown: None,
            failure: None,
            is_outcome_unknown: false,
            widget: None,
            changes_data: true,
        };
        if let Some((item_id, body)) = writer.end_call(index, "Tool", &finished) {
            self.store_result(item_id, body, run, writer).await;
        }
    }

    async fn store_result(&self, item_id: ItemId, body: String, run: &RunContext, writer: &mut RunWriter) {
        if self.deps.store.item_complete(run.token, item_id, body).await.is_ok() {
            writer.result_stored(item_id);
        }
    }

    /// Waits. A frozen process does not continue, and neither does a dead one.
    async fn pause(&mut self, limit_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=limit_ms))).await;
        if !self.deps.process.is_alive().await {
            std::future::pending::<()>().await;
        }
    }
}

fn failure(cause: &str) -> DriverError {
    let message = "The model cannot be reached.".to_owned();
    DriverError { failure: Failure { code: ErrorCode::UpstreamError, message }, source: cause.into() }
}

impl RunDriver for PlannedDriver {
    fn agent(&self) -> &str {
        "planned"
    }

    fn drive<'a>(
        &'a mut self,
        run: &'a RunContext,
        writer: &'a mut RunWriter,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        self.run(run, writer).boxed()
    }

    fn finish(&mut self) -> Option<(Usage, UsageMeter)> {
        assert!(self.rng.u8(0..100) >= 3, "a fault of ours after the answer");
        None
    }
}
