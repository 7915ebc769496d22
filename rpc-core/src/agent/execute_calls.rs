//! Runs the tool calls of one turn at the same time.

use super::AgentError;
use super::in_flight_call::{CallUpdate, InFlightCall};
use super::registry::ResolvedAgent;
use crate::error_counts::FailingPart;
use crate::model::ToolCall;
use crate::store::{Store, StoreError, StoreResult};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use threadline_engine::{FinishedCall, RunContext, RunWriter};
use threadline_schema::error::Chain;
use threadline_schema::ids::ItemId;
use threadline_tools::{CallOutcome, Permission, ProgressReporter, ToolContext, ToolResult};

/// What has happened to a call.
enum Step<'a> {
    Updated(InFlightCall<'a>, CallUpdate),
    ResultStored(ItemId, StoreResult<()>),
}

async fn next_update(mut call: InFlightCall<'_>) -> Step<'_> {
    let update = call.next_update().await;
    Step::Updated(call, update)
}

/// Runs the calls, except the one at `pending`, each shown as an entry of the run's workflow. Returns the results in
/// the order of the calls.
///
/// Each result is stored when its call ends: if the run is stopped before the others end, this one is known.
pub(super) async fn execute_calls(
    store: &Store,
    agent: &ResolvedAgent,
    run: &RunContext,
    calls: &[ToolCall],
    pending: Option<usize>,
    permission: Permission<'_>,
    writer: &mut RunWriter,
) -> Result<Vec<Option<ToolResult>>, AgentError> {
    let tools = &agent.tools;
    let reporters: Vec<ProgressReporter> = calls.iter().map(|_| ProgressReporter::default()).collect();
    let context = |progress| ToolContext {
        user_id: run.user_id,
        thread_id: run.token.thread_id,
        run_id: Some(run.token.run_id),
        request_id: &run.request.request_id,
        client_hints: run.request.hints.as_deref(),
        progress,
    };
    let mut steps: FuturesUnordered<BoxFuture<'_, Step<'_>>> = FuturesUnordered::new();
    for (index, (call, progress)) in calls.iter().zip(&reporters).enumerate() {
        if Some(index) == pending {
            continue;
        }
        let title = tools.title(call, None);
        writer.start_call(index, &title);
        let result = tools.execute(context(progress), call, permission).boxed();
        steps.push(next_update(InFlightCall::new(index, call, title, progress, result)).boxed());
    }
    let mut results: Vec<Option<ToolResult>> = calls.iter().map(|_| None).collect();
    while let Some(step) = steps.next().await {
        match step {
            Step::Updated(call, CallUpdate::Progress(text)) => {
                writer.report_progress(text);
                steps.push(next_update(call).boxed());
            }
            Step::Updated(InFlightCall { index, call, .. }, CallUpdate::Ended(result)) => {
                if result.outcome != CallOutcome::Ok {
                    let code = result.failure.as_ref().map_or("UNKNOWN", |failure| failure.code.name());
                    agent.errors.record(FailingPart::Tool, tools.known_name(&call.name), code);
                }
                let title = tools.title(call, Some(&result));
                if let Some((id, body)) = writer.end_call(index, &title, &finished_call(&result)) {
                    let stored = store.item_complete(run.token, id, body);
                    steps.push(async move { Step::ResultStored(id, stored.await) }.boxed());
                }
                if let Some(slot) = results.get_mut(index) {
                    *slot = Some(*result);
                }
            }
            Step::ResultStored(id, Ok(())) => writer.result_stored(id),
            // It is stored with the end of the run. A crash before that makes the outcome unknown, which is true then.
            Step::ResultStored(_, Err(error @ StoreError::Unavailable { .. })) => {
                tracing::warn!(run_id = %run.token.run_id, error = %Chain(&error), "result of a tool call could not be stored yet");
            }
            Step::ResultStored(_, Err(error)) => return Err(error.into()),
        }
    }
    Ok(results)
}

fn finished_call(result: &ToolResult) -> FinishedCall {
    // The error that the model reads can be the text of a service, which is not for users.
    let failed = result.failure.as_ref().filter(|_| result.outcome == CallOutcome::Error);
    let shown = failed.map(|failure| serde_json::json!({ "error": failure.message }).to_string());
    FinishedCall {
        result: result.content.clone(),
        shown: shown.filter(|shown| *shown != result.content),
        failure: result.failure.clone(),
        is_outcome_unknown: result.outcome == CallOutcome::Unknown,
        widget: result.widget.clone(),
        changes_data: result.may_have_changed_data,
    }
}
