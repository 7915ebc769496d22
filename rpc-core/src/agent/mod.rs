//! The assistant: prompt, model, tools, and again, until it answers in words.

mod prompt;

use crate::attachments;
use crate::core::Core;
use crate::error::Error;
use crate::model::{FinishReason, Message, ModelError, ModelEvent, ModelRequest, ToolCall};
use crate::runs::Output;
use crate::store::rows::Claim;
use crate::store::{StoreError, StoreResult};
use crate::tools::Done;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use threadline_schema::call::Origin;
use threadline_schema::db::types::Guid;
use uuid::Uuid;

/// Whose run it is, and which.
pub(crate) struct Context {
    pub(crate) claim: Claim,
    pub(crate) user_id: Uuid,
    /// The request it came from, with what its client said of itself.
    pub(crate) origin: Origin,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    #[error(transparent)]
    Model(ModelError),
    #[error("the run took longer than it may")]
    TooLong,
    #[error("no answer within {0} calls of the model")]
    TooManyTurns(u32),
    #[error("{}", .0.log_text())]
    Service(Error),
}

/// Answers the newest message of a thread into `output`.
///
/// Can be dropped at any point: what has been said is in `output`, and dropping closes the connection to the model.
pub(crate) async fn answer(core: &Core, context: &Context, output: &mut Output) -> Result<(), AgentError> {
    let config = &core.config.agent;
    let history = core.store.history(context.claim.thread_id, config.history_items).await;
    let history = history.map_err(in_thread)?;
    let mut messages = prompt::build(&config.instructions, &history).map_err(AgentError::Service)?;
    attachments::load(&core.attachments, &mut messages).await;

    for round in 0..config.max_turns {
        let request = ModelRequest {
            messages: messages.clone(),
            tools: core.tools.specs(),
            request_id: context.origin.request_id.clone(),
        };
        let calls = listen(core, request, output).await?;
        if calls.is_empty() {
            return if output.has_begun {
                Ok(())
            } else {
                Err(ModelError::Broken("an answer without a word".into()).into())
            };
        }
        let text = output.open_text().to_owned();
        // What acts is stored before it does: whoever finds this run without its process knows what it was about to do.
        output.calls_asked(round, &calls);
        output.store(&core.store, context.claim).await.map_err(in_thread)?;
        let results = work(core, context, &calls, output).await?;
        messages.push(Message::Assistant { text, tool_calls: calls.clone() });
        messages
            .extend(calls.into_iter().zip(results).map(|(call, content)| Message::Tool { call_id: call.id, content }));
    }
    Err(AgentError::TooManyTurns(config.max_turns))
}

/// Streams one answer of the model: its words go out, its calls come back.
async fn listen(core: &Core, request: ModelRequest, output: &mut Output) -> Result<Vec<ToolCall>, AgentError> {
    let mut stream = core.model.stream(request);
    let mut calls = Vec::new();
    while let Some(event) = stream.next().await {
        match event? {
            ModelEvent::Text(delta) => output.text(&delta),
            ModelEvent::ToolCall(call) => calls.push(call),
            ModelEvent::Usage(usage) => {
                output.usage.prompt_tokens += usage.prompt_tokens;
                output.usage.completion_tokens += usage.completion_tokens;
            }
            ModelEvent::Finished(reason) => {
                if matches!(reason, FinishReason::Length | FinishReason::ContentFilter) {
                    tracing::debug!(?reason, "the model stopped before it was done");
                }
                return Ok(calls);
            }
        }
    }
    Err(ModelError::Broken("the stream ended without saying so".into()).into())
}

/// What has come of a call.
enum Step<'a> {
    Ended(usize, &'a ToolCall, Done),
    Stored(Guid, StoreResult<()>),
}

/// Makes the calls side by side, each shown as an entry of the run's workflow. Their results are in the calls' order.
///
/// Each result is stored when its call ends: should the run be stopped before the others are done, this one is known.
async fn work(
    core: &Core,
    context: &Context,
    calls: &[ToolCall],
    output: &mut Output,
) -> Result<Vec<String>, AgentError> {
    let tools = &core.tools;
    let mut steps: FuturesUnordered<BoxFuture<'_, Step<'_>>> = FuturesUnordered::new();
    for (index, call) in calls.iter().enumerate() {
        output.call_began(index, &tools.title(call, None));
        let done = tools.run(&core.store, context.user_id, call);
        steps.push(async move { Step::Ended(index, call, done.await) }.boxed());
    }
    let mut results = vec![String::new(); calls.len()];
    while let Some(step) = steps.next().await {
        match step {
            Step::Ended(index, call, done) => {
                let title = tools.title(call, Some(&done));
                if let Some((id, body)) = output.call_ended(index, &title, &done) {
                    let stored = core.store.item_complete(context.claim, id, body);
                    steps.push(async move { Step::Stored(id, stored.await) }.boxed());
                }
                if let Some(result) = results.get_mut(index) {
                    *result = done.result;
                }
            }
            Step::Stored(id, Ok(())) => output.call_stored(id),
            // It is stored with the run's end. Until then a crash would make it unknown, which is the truth by then.
            Step::Stored(_, Err(StoreError::Unavailable(error))) => {
                tracing::warn!(run_id = %context.claim.run_id.0, error, "the result of a call could not be stored yet");
            }
            Step::Stored(_, Err(error)) => return Err(in_thread(error)),
        }
    }
    Ok(results)
}

fn in_thread(error: StoreError) -> AgentError {
    AgentError::Service(Error::of_thread(error))
}
