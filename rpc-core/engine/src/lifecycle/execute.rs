//! Executes one run, in a task of its own.

use super::finish::finish_run;
use super::state::RunOutcome;
use crate::driver::{DriverError, RunContext, RunDriver, RunProgress};
use crate::hub::RunGuard;
use crate::output::{CANCEL_NOTE, ResumedOutput, RunWriter};
use crate::shared::Shared;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use threadline_runtime::TaskKind;
use threadline_schema::ErrorCode;
use threadline_schema::call::RequestContext;
use threadline_schema::error::Failure;
use threadline_schema::ids::ItemId;
use threadline_schema::runs::{RunStatus, Usage};
use threadline_store::rows::{FencingToken, RunRow};
use threadline_trace::{InSpan, Span, SpanKind};
use tokio::time::Instant;

/// A stored run that is to be executed.
pub(crate) struct RunTask {
    pub(super) guard: RunGuard,
    pub(super) token: FencingToken,
    /// The user message that is answered again.
    pub(super) retry_of: Option<ItemId>,
    pub(super) created_at: DateTime<Utc>,
    request: RequestContext,
    driver: Box<dyn RunDriver>,
    /// What the former owner has done of it.
    resumed: Option<Box<ResumedRun>>,
}

/// A run that continues after its process has died.
struct ResumedRun {
    age: Duration,
    progress: RunProgress,
    output: ResumedOutput,
}

impl RunTask {
    pub(crate) fn new(guard: RunGuard, run: &RunRow, request: RequestContext, driver: Box<dyn RunDriver>) -> Self {
        Self {
            guard,
            token: run.fencing_token(),
            retry_of: run.retry_of,
            created_at: run.created_at.utc(),
            request,
            driver,
            resumed: None,
        }
    }

    /// Continues a run that was created `age` ago, from where its former owner left it.
    pub(crate) fn resume(self, age: Duration, progress: RunProgress, output: ResumedOutput) -> Self {
        Self { resumed: Some(Box::new(ResumedRun { age, progress, output })), ..self }
    }
}

/// Starts the execution. The caller holds a permit, so a shutdown waits for the run.
pub(crate) fn spawn_run(shared: &Arc<Shared>, task: RunTask) {
    task.guard.activate();
    shared.signals.began(task.token.thread_id, task.token.run_id);
    let hold = shared.hub.hold_shutdown();
    let task_shared = shared.clone();
    let span = task.start_span();
    let work = async move {
        task.execute(&task_shared).await;
        drop(hold);
    };
    shared.supervisor.spawn(TaskKind::Run, work.in_span(span));
}

impl RunTask {
    /// Starts the span of the run, with the semantic conventions of agents. It belongs to the trace of the request that
    /// started the run, and outlives that request.
    fn start_span(&self) -> Span {
        let agent = self.driver.agent();
        let span = Span::root(SpanKind::Internal, self.request.trace.as_deref(), || format!("invoke_agent {agent}"));
        if span.is_recording() {
            span.set("gen_ai.operation.name", "invoke_agent");
            span.set("gen_ai.agent.name", agent.to_owned());
            span.set("gen_ai.conversation.id", self.token.thread_id.to_string());
            span.set("threadline.run.id", self.token.run_id.to_string());
            span.set("threadline.run.resumed", self.resumed.is_some());
            span.set("threadline.request_id", self.request.request_id.to_string());
        }
        span
    }

    /// From the first request to the model to the stored end. Whatever happens in here, dropping the guard ends the run
    /// in this process.
    async fn execute(mut self, shared: &Arc<Shared>) {
        let (age, progress, output) = match self.resumed.take().map(|resumed| *resumed) {
            Some(ResumedRun { age, progress, output }) => (age, Some(progress), Some(output)),
            None => Default::default(),
        };
        let started = Instant::now();
        let handle = self.guard.handle().clone();
        let mut writer = RunWriter::new(
            handle.log.clone(),
            shared.clock.clone(),
            shared.supervisor.clone(),
            self.token.thread_id,
            self.retry_of.is_some(),
        );
        if let Some(output) = output {
            writer.resume(output);
        }
        let time_left = shared.config.run_timeout.saturating_sub(age);
        let outcome = {
            let drive = AssertUnwindSafe(self.drive(shared, progress, &mut writer)).catch_unwind();
            tokio::select! {
                biased;
                reason = handle.stopped() => RunOutcome::Stopped(reason),
                driven = tokio::time::timeout(time_left, drive) => match driven {
                    Ok(Ok(Ok(()))) => RunOutcome::Answered,
                    Ok(Ok(Err(error))) => RunOutcome::Failed(error),
                    Ok(Err(_panic)) => RunOutcome::Panicked,
                    Err(_elapsed) => RunOutcome::TimedOut,
                },
            }
        };
        // Boxed: it is large, and a run spends nearly all its time before it.
        Box::pin(self.end(shared, writer, outcome, age + started.elapsed())).await;
    }

    /// Stores the end and reports it. `took` is how long the run took.
    async fn end(mut self, shared: &Arc<Shared>, mut writer: RunWriter, outcome: RunOutcome, took: Duration) {
        writer.settle(&shared.store, self.token.run_id).await;
        writer.close();
        let status = outcome.status();
        if status != RunStatus::Completed && self.retry_of.is_some() {
            writer.withdraw_answer();
        } else if status == RunStatus::Cancelled {
            writer.add_hidden_note(CANCEL_NOTE);
        }
        if let Some((usage, meter)) = self.driver.finish() {
            writer.include_usage(usage, &meter);
        }
        finish_run(shared, &self, &mut writer, &outcome).await;
        self.report(&outcome, writer.usage, took);
        self.driver.after_end();
    }

    /// Runs the driver. An answer that replaces another then announces what it replaces.
    async fn drive(
        &mut self,
        shared: &Shared,
        progress: Option<RunProgress>,
        writer: &mut RunWriter,
    ) -> Result<(), DriverError> {
        let context = RunContext {
            token: self.token,
            retry_of: self.retry_of,
            user_id: self.guard.handle().user_id,
            request: self.request.clone(),
            progress,
        };
        self.driver.drive(&context, writer).await?;
        if let Some(message) = self.retry_of {
            // Boxed: a query of the store is large, and this one comes last.
            let replaced = Box::pin(shared.store.retry_replaces(message, self.token.run_id));
            writer.replace_items(replaced.await.map_err(|error| DriverError {
                failure: Failure {
                    code: ErrorCode::ServiceUnavailable,
                    message: "The database cannot be reached right now. Please try again in a moment.".to_owned(),
                },
                source: error.into(),
            })?);
        }
        Ok(())
    }

    fn report(&self, outcome: &RunOutcome, usage: Usage, took: Duration) {
        let status = outcome.status().name();
        let handle = self.guard.handle();
        let events = handle.log.last_seq();
        let seconds = took.as_secs_f64();
        metrics::counter!("threadline_runs_total", "status" => status).increment(1);
        metrics::histogram!("threadline_run_seconds", "status" => status).record(seconds);
        #[allow(clippy::cast_precision_loss, reason = "a histogram holds floats")]
        metrics::histogram!("threadline_run_events").record(events as f64);
        count_tokens(usage);
        end_span(outcome, status, usage);
        let (run_id, thread_id, user_id) = (handle.run_id, handle.thread_id, handle.user_id);
        let (request_id, agent, ms) = (&self.request.request_id, self.driver.agent(), seconds * 1e3);
        let Usage { prompt_tokens, completion_tokens } = usage;
        match outcome.cause() {
            Some(cause) => tracing::warn!(
                target: "threadline::run", %request_id, %run_id, %thread_id, %user_id, status, events, ms,
                agent, prompt_tokens, completion_tokens, cause, "run ended"
            ),
            None => tracing::info!(
                target: "threadline::run", %request_id, %run_id, %thread_id, %user_id, status, events, ms,
                agent, prompt_tokens, completion_tokens, "run ended"
            ),
        }
    }
}

/// Ends the span of a run, which is the current one.
fn end_span(outcome: &RunOutcome, status: &'static str, usage: Usage) {
    let span = Span::current();
    if span.is_recording() {
        span.set("threadline.run.status", status);
        span.set("gen_ai.usage.input_tokens", i64::try_from(usage.prompt_tokens).unwrap_or(i64::MAX));
        span.set("gen_ai.usage.output_tokens", i64::try_from(usage.completion_tokens).unwrap_or(i64::MAX));
        match outcome {
            RunOutcome::Answered | RunOutcome::Stopped(_) => {}
            RunOutcome::Failed(error) => span.fail(error.failure.code.name()),
            RunOutcome::Panicked => span.fail("panic"),
            RunOutcome::TimedOut => span.fail("timeout"),
        }
    }
    span.end();
}

/// Counts the tokens that models have read and written.
pub fn count_tokens(usage: Usage) {
    metrics::counter!("threadline_model_tokens_total", "direction" => "prompt").increment(usage.prompt_tokens);
    metrics::counter!("threadline_model_tokens_total", "direction" => "completion").increment(usage.completion_tokens);
}
