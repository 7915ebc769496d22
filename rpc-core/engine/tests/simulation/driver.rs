//! A driver that follows a random plan.

use super::process::Process;
use fastrand::Rng;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use threadline_engine::{DriverError, FinishedCall, RequestedCall, RunContext, RunDriver, RunWriter};
use threadline_schema::ErrorCode;
use threadline_schema::error::Failure;
use threadline_schema::runs::Usage;
use threadline_store::Charge;

/// How often each tool call was executed, by its id.
pub(crate) type Executions = Arc<Mutex<BTreeMap<String, u32>>>;

pub(crate) struct PlannedDriver {
    pub(crate) process: Arc<Process>,
    pub(crate) rng: Rng,
    pub(crate) executions: Executions,
}

impl PlannedDriver {
    async fn run(&mut self, run: &RunContext, writer: &mut RunWriter) -> Result<(), DriverError> {
        let turns = self.rng.u32(1..=3);
        for turn in 0..turns {
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
            .map(|index| RequestedCall {
                id: format!("{}-{turn}-{index}", run.token.run_id),
                name: "tool".to_owned(),
                arguments: "{}".to_owned(),
                echo: None,
            })
            .collect();
        writer.begin_calls(turn, &calls, None);
        let store = self.process.store.clone();
        writer.store_items(&store, run.token).await.map_err(|error| failure(&error.to_string()))?;
        for (index, call) in calls.iter().enumerate() {
            writer.start_call(index, "Tool");
            self.pause(50).await;
            *self.executions.lock().unwrap().entry(call.id.clone()).or_default() += 1;
            self.pause(300).await;
            let finished = FinishedCall {
                result: r#"{"ok":true}"#.to_owned(),
                failure: None,
                is_outcome_unknown: false,
                widget: None,
                changes_data: true,
            };
            if let Some((id, body)) = writer.end_call(index, "Tool", &finished)
                && store.item_complete(run.token, id, body).await.is_ok()
            {
                writer.result_stored(id);
            }
        }
        Ok(())
    }

    /// Waits. A frozen process does not go on, and neither does a dead one.
    async fn pause(&mut self, limit_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.rng.u64(0..=limit_ms))).await;
        if !self.process.is_alive().await {
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

    fn finish(&mut self) -> Option<(Usage, Charge)> {
        assert!(self.rng.u8(0..100) >= 3, "a fault of ours after the answer");
        None
    }
}
