//! One run from its start to its end.

use super::actions::Acting;
use super::feed::error_event;
use super::hub::{Entry, StopReason};
use super::mirror;
use super::output::{CANCEL_NOTE, Output};
use super::packing::{pack, signed};
use super::titles::Titling;
use crate::agent::{self, AgentError};
use crate::agents::Answerer;
use crate::core::Core;
use crate::error::Error;
use crate::model::ModelError;
use crate::store::rows::{Claim, NewItem};
use crate::store::{Conflict, RunEnd, StoreError};
use crate::wire;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use threadline_schema::ErrorCode;
use threadline_schema::call::RequestContext;
use threadline_schema::db::types::UtcTime;
use threadline_schema::error::Failure;
use threadline_schema::event::RunLifecycleEvent;
use threadline_schema::ids::ItemId;
use threadline_schema::runs::{Run, RunStatus, ToolCallRecord, Usage};

/// A stored run that is to be answered.
pub(super) struct Job {
    pub(super) entry: Arc<Entry>,
    pub(super) claim: Claim,
    /// The message that is answered again.
    pub(super) retry_of: Option<ItemId>,
    pub(super) work: Work,
    pub(super) created_at: DateTime<Utc>,
    /// What it holds of its user's budget: tokens, and millionths of the currency.
    pub(super) held: (i64, i64),
    pub(super) origin: RequestContext,
    pub(super) answerer: Answerer,
    /// The title that is being thought of meanwhile.
    pub(super) titling: Option<Arc<Titling>>,
}

/// What a run does.
pub(super) enum Work {
    /// Has the model answer.
    Answer,
    /// Carries an action of the user's out.
    Act(Acting),
}

/// How often the last write of a run is tried again while the database is away, and how long apart.
const LAST_WRITE_TRIES: u32 = 20;
const LAST_WRITE_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Starts answering, in a task of its own.
pub(super) fn spawn(core: &Arc<Core>, job: Job) {
    core.hub.answers(&job.entry);
    core.signals.began(job.claim.thread_id.0, job.entry.run_id);
    let tasks = core.hub.tasks.clone();
    let core = core.clone();
    tasks.spawn(async move { job.run(&core).await });
}

/// How a run came to its end.
struct Ending {
    status: RunStatus,
    failure: Option<Failure>,
    /// For the log.
    cause: Option<String>,
}

impl Job {
    async fn run(self, core: &Arc<Core>) {
        let started = Instant::now();
        let mut output = Output::new(self.entry.log.clone(), self.claim.thread_id.0).replacing(self.retry_of.is_some());
        let ending = {
            let context = self.context();
            // A panic ends the run like any other fault: its log is closed and its thread free again.
            let answer = AssertUnwindSafe(self.answer(core, &context, &mut output)).catch_unwind();
            tokio::select! {
                biased;
                reason = self.entry.stopped() => Ending::stopped(reason),
                answered = tokio::time::timeout(core.config.agent.run_timeout, answer) => match answered {
                    Ok(Ok(Ok(()))) => Ending::completed(),
                    Ok(Ok(Err(error))) => Ending::failed(error),
                    Ok(Err(_panic)) => Ending::failed(AgentError::Service(Error::internal("the agent panicked"))),
                    Err(_elapsed) => Ending::failed(AgentError::TooLong),
                },
            }
        };
        output.settle(&core.store, self.claim.run_id).await;
        output.close();
        if ending.status != RunStatus::Completed && self.retry_of.is_some() {
            output.withdraw();
        } else if ending.status == RunStatus::Cancelled {
            output.keep_note(CANCEL_NOTE);
        }
        self.finish(core, &mut output, &ending).await;
        core.hub.end(&self.entry);
        self.report(&ending, output.usage, started);
    }

    /// Answers; an answer that takes the place of another then says what goes.
    async fn answer(&self, core: &Core, context: &agent::Context, output: &mut Output) -> Result<(), AgentError> {
        match &self.work {
            Work::Answer => agent::answer(core, context, output).await?,
            Work::Act(acting) => agent::act(core, context, acting, output).await?,
        }
        if let Some(message) = self.retry_of {
            let replaced = core.store.retry_replaces(message, self.claim.run_id).await;
            output.replace(replaced.map_err(|error| AgentError::Service(Error::of_thread(error)))?);
        }
        Ok(())
    }

    fn context(&self) -> agent::Context {
        agent::Context {
            claim: self.claim,
            retry_of: self.retry_of,
            user_id: self.entry.user_id,
            answerer: self.answerer.clone(),
            origin: self.origin.clone(),
        }
    }

    /// Stores the end, with all that is not stored yet, and says so.
    async fn finish(&self, core: &Arc<Core>, output: &mut Output, ending: &Ending) {
        let log = &self.entry.log;
        // From here on the log is nobody else's.
        if let Some((usage, bill)) = self.titling.as_ref().and_then(|titling| titling.leave()) {
            output.include(usage, bill);
        }
        let mut unsaved = log.seal().await;
        let (items, results) = (output.take_finished(), output.take_results());
        let error_event = ending.failure.as_ref().map(|failure| error_event(&failure.message));
        let mut last: Vec<Arc<str>> = output.take_announcements().chain(error_event.clone()).collect();
        let bill = output.bill();
        let run = Run {
            id: self.entry.run_id,
            thread_id: self.claim.thread_id.0,
            status: ending.status,
            created_at: self.created_at,
            finished_at: Some(UtcTime::now().utc()),
            last_seq: log.last_seq() + last.len() as u64 + 1,
            retry_of: self.retry_of.map(|id| id.0),
            error: ending.failure.clone(),
            usage: (output.usage != Usage::default()).then_some(output.usage),
            cost_micros: bill.cost_micros.and_then(|cost| u64::try_from(cost).ok()),
            message_id: output.message_id,
            tool_calls: self.tool_calls(core, output, &items, &results).await,
        };
        last.extend(terminal(run.clone()));
        unsaved.events.extend(last.iter().cloned());
        let end = RunEnd {
            status: run.status,
            error: run.error.clone(),
            usage: output.usage,
            bill,
            last_seq: signed(run.last_seq),
            message_id: run.message_id.map(Into::into),
            finished_at: run.finished_at.map_or_else(UtcTime::now, Into::into),
            results,
            events: pack(run.id, unsaved.first, &unsaved.events),
        };
        match self.store_end(core, end, items).await {
            Ok(()) => {
                metrics::counter!("threadline_model_cost_micros_total").increment(run.cost_micros.unwrap_or_default());
                core.signals.grown(run.id, run.last_seq, true, &[]);
                log.close(last);
            }
            Err(StoreError::Conflict(Conflict::RunSuperseded)) => {
                // Whoever took it over says how it ended; what was said here and not made durable was never said.
                tracing::warn!(run_id = %run.id, "another process has taken the run over");
                mirror::adopt(core, log.clone(), run);
            }
            Err(StoreError::NotFound) => {
                tracing::warn!(run_id = %run.id, "a run has lost its thread");
                let (user_id, began) = (self.entry.user_id.into(), self.created_at.into());
                if let Err(error) = core.store.usage_settle(user_id, began, bill, self.held).await {
                    tracing::error!(run_id = %run.id, %error, "what a run used could not be booked");
                }
                let told = unkept(run, log.last_seq() + u64::from(error_event.is_some()) + 1);
                log.close(error_event.into_iter().chain(terminal(told)));
            }
            Err(error) => {
                // It may be stored all the same, or it is among the lost runs of this process: either way there is one
                // end, and it will be read.
                tracing::error!(run_id = %run.id, %error, "the end of a run could not be stored");
                mirror::adopt(core, log.clone(), run);
            }
        }
    }

    /// Ends the run in the database, with patience while that is away: the answer exists, here and on screens.
    async fn store_end(&self, core: &Core, end: RunEnd, items: Vec<NewItem>) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            match core.store.run_finish(self.claim, end.clone(), items.clone()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Unavailable(error)) if tries < LAST_WRITE_TRIES && !core.hub.is_stopping() => {
                    tries += 1;
                    tracing::warn!(run_id = %self.entry.run_id, %error, tries, "the end of a run could not be stored; trying again");
                    tokio::time::sleep(LAST_WRITE_PAUSE).await;
                }
                // An earlier try may have been stored after all, and only its answer was lost.
                Err(superseded @ StoreError::Conflict(Conflict::RunSuperseded)) if tries > 0 => {
                    let row = core.store.run_get(self.entry.user_id.into(), self.entry.run_id.into()).await?;
                    let ours = row.epoch == self.claim.epoch && row.status == end.status;
                    return if ours { Ok(()) } else { Err(superseded) };
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The calls of the run, those included that are about to be stored. Without those that cannot be read now: it has
    /// ended, and that is the news.
    async fn tool_calls(
        &self,
        core: &Core,
        output: &Output,
        new: &[NewItem],
        results: &[(ItemId, String)],
    ) -> Option<Vec<ToolCallRecord>> {
        if !output.has_called {
            return None;
        }
        let stored = core.store.run_items(self.entry.run_id.into()).await.map_err(Error::from);
        let calls = stored.and_then(|mut items| {
            let new = new.iter().cloned().zip(0..);
            items.extend(new.map(|(item, place)| item.at(place, self.claim.thread_id, Some(self.claim.run_id))));
            wire::rewrite(&mut items, results);
            wire::tool_calls(&items)
        });
        calls.unwrap_or_else(|error| {
            tracing::warn!(run_id = %self.entry.run_id, error = error.log_text(), "the calls of a run could not be read");
            None
        })
    }

    fn report(&self, ending: &Ending, usage: Usage, started: Instant) {
        let status = ending.status.name();
        let events = self.entry.log.last_seq();
        let seconds = started.elapsed().as_secs_f64();
        metrics::counter!("threadline_runs_total", "status" => status).increment(1);
        metrics::histogram!("threadline_run_seconds", "status" => status).record(seconds);
        #[allow(clippy::cast_precision_loss, reason = "a histogram holds floats")]
        metrics::histogram!("threadline_run_events").record(events as f64);
        count_tokens(usage);
        let (run_id, thread_id, user_id) = (self.entry.run_id, self.claim.thread_id.0, self.entry.user_id);
        let request_id = &self.origin.request_id;
        let ms = seconds * 1e3;
        match &ending.cause {
            Some(cause) => tracing::warn!(
                target: "threadline::run", %request_id, %run_id, %thread_id, %user_id, status, events, ms,
                agent = %self.answerer.agent.name,
                prompt_tokens = usage.prompt_tokens, completion_tokens = usage.completion_tokens, cause, "run ended"
            ),
            None => tracing::info!(
                target: "threadline::run", %request_id, %run_id, %thread_id, %user_id, status, events, ms,
                agent = %self.answerer.agent.name,
                prompt_tokens = usage.prompt_tokens, completion_tokens = usage.completion_tokens, "run ended"
            ),
        }
    }
}

impl Ending {
    fn completed() -> Self {
        Self { status: RunStatus::Completed, failure: None, cause: None }
    }

    fn stopped(reason: StopReason) -> Self {
        let status = match reason {
            StopReason::Cancelled => RunStatus::Cancelled,
            StopReason::Interrupted | StopReason::Superseded => RunStatus::Interrupted,
        };
        Self { status, failure: None, cause: None }
    }

    fn failed(error: AgentError) -> Self {
        let cause = Some(error.to_string());
        let (code, message) = match error {
            AgentError::Model(error) => {
                metrics::counter!("threadline_upstream_failures_total", "code" => error.code().name()).increment(1);
                (error.code(), error.public().to_owned())
            }
            AgentError::TooLong => (ErrorCode::UpstreamTimeout, "The answer took too long and was stopped.".to_owned()),
            AgentError::TooManyTurns(turns) => {
                (ErrorCode::UpstreamError, format!("The assistant did not come to an answer within {turns} steps."))
            }
            AgentError::Service(error) => {
                let (public, _) = error.into_parts();
                (public.code, public.message)
            }
        };
        Self { status: RunStatus::Failed, failure: Some(Failure { code, message }), cause }
    }
}

impl From<ModelError> for AgentError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

/// A run whose thread was deleted under it, and which went with it, as its subscribers are told of it.
fn unkept(run: Run, last_seq: u64) -> Run {
    Run { last_seq, usage: None, cost_micros: None, message_id: None, tool_calls: None, ..run }
}

/// Counts what models have read and written.
pub(super) fn count_tokens(used: Usage) {
    metrics::counter!("threadline_model_tokens_total", "direction" => "prompt").increment(used.prompt_tokens);
    metrics::counter!("threadline_model_tokens_total", "direction" => "completion").increment(used.completion_tokens);
}

fn terminal(run: Run) -> Option<Arc<str>> {
    let event = RunLifecycleEvent::of(run)?;
    serde_json::to_string(&event)
        .map(Arc::from)
        .inspect_err(|error| tracing::error!(%error, "an end cannot be written"))
        .ok()
}
