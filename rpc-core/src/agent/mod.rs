//! The assistant: prompt, model, tools, and again, until it answers in words.

mod act;
mod models;
mod pending;
mod prompt;
mod working;

pub(crate) use act::act;

use crate::agents::Answerer;
use crate::attachments;
use crate::core::Core;
use crate::error::Error;
use crate::model::{Message, ModelError, ToolCall};
use crate::runs::Output;
use crate::store::rows::Claim;
use crate::store::{StoreError, StoreResult};
use crate::tools::{ProgressReporter, ToolContext, ToolResult};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use models::Models;
use threadline_schema::call::RequestContext;
use threadline_schema::ids::ItemId;
use uuid::Uuid;
use working::{News, Working};

/// Whose run it is, and which.
pub(crate) struct Context {
    pub(crate) claim: Claim,
    /// The message that is answered again, as if it were the newest.
    pub(crate) retry_of: Option<ItemId>,
    pub(crate) user_id: Uuid,
    pub(crate) answerer: Answerer,
    /// The request it came from, with what its client said of itself.
    pub(crate) origin: RequestContext,
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

/// Answers the newest message of a thread, or the one that is to be answered again, into `output`.
///
/// Can be dropped at any point: what has been said is in `output`, and dropping closes the connection to the model.
pub(crate) async fn answer(core: &Core, context: &Context, output: &mut Output) -> Result<(), AgentError> {
    let agent = &context.answerer.agent;
    let newest = core.config.agent.history_items;
    let history = core.store.history_to(context.claim.thread_id, context.retry_of, newest).await;
    let mut history = history.map_err(in_thread)?;
    pending::give_up(core, context, &mut history, output).await.map_err(AgentError::Service)?.map_err(in_thread)?;
    let known = prompt::known(&agent.tell, context.origin.hints.as_deref(), core.clock.now());
    let mut messages = prompt::build(&agent.instructions, known, &history).map_err(AgentError::Service)?;
    attachments::load(&core.attachments, &mut messages).await;
    let mut models = Models::of(context);

    for round in 0..agent.max_turns {
        let calls = models.answer(core, round, &messages, output).await?;
        if calls.is_empty() {
            return if output.has_begun {
                Ok(())
            } else {
                Err(ModelError::Broken("an answer without a word".into()).into())
            };
        }
        let text = output.open_text().to_owned();
        // What acts is stored before it does: whoever finds this run without its process knows what it was about to do.
        let waiting = context.answerer.tools.first_pending(&calls);
        let left = waiting.as_ref().map(|(index, _)| *index);
        output.calls_asked(round, &calls, left);
        output.store(&core.store, context.claim).await.map_err(in_thread)?;
        let results = work(core, context, &calls, left, output).await?;
        if let Some((index, pending)) = waiting
            && let Some(call) = calls.get(index)
        {
            // Another run goes on with the answer.
            output.wait_for(index, call, pending);
            return Ok(());
        }
        messages.push(Message::Assistant { text, tool_calls: calls.clone() });
        let result = |done: Option<ToolResult>| done.map(|done| done.content).unwrap_or_default();
        messages.extend(
            calls
                .into_iter()
                .zip(results)
                .map(|(call, done)| Message::Tool { call_id: call.id, content: result(done) }),
        );
    }
    Err(AgentError::TooManyTurns(agent.max_turns))
}

/// What has come of a call.
enum Step<'a> {
    News(Working<'a>, News),
    Stored(ItemId, StoreResult<()>),
}

async fn news(mut working: Working<'_>) -> Step<'_> {
    let news = working.news().await;
    Step::News(working, news)
}

/// Makes the calls side by side, each shown as an entry of the run's workflow, but for the one that is left for somebody
/// else. How they ended is in the calls' order.
///
/// Each result is stored when its call ends: should the run be stopped before the others are done, this one is known.
async fn work(
    core: &Core,
    context: &Context,
    calls: &[ToolCall],
    left: Option<usize>,
    output: &mut Output,
) -> Result<Vec<Option<ToolResult>>, AgentError> {
    let tools = &context.answerer.tools;
    let progress: Vec<ProgressReporter> = calls.iter().map(|_| ProgressReporter::default()).collect();
    let for_whom = |progress| ToolContext {
        user_id: context.user_id,
        thread_id: context.claim.thread_id.0,
        run_id: Some(context.claim.run_id.0),
        request_id: &context.origin.request_id,
        client_hints: context.origin.hints.as_deref(),
        progress,
    };
    let mut steps: FuturesUnordered<BoxFuture<'_, Step<'_>>> = FuturesUnordered::new();
    for (index, (call, progress)) in calls.iter().zip(&progress).enumerate().filter(|(index, _)| Some(*index) != left) {
        let title = tools.title(call, None);
        output.call_began(index, &title);
        let done = tools.execute(for_whom(progress), call).boxed();
        steps.push(news(Working::new(index, call, title, progress, done)).boxed());
    }
    let mut ended: Vec<Option<ToolResult>> = calls.iter().map(|_| None).collect();
    while let Some(step) = steps.next().await {
        match step {
            Step::News(working, News::GoesOn(text)) => {
                output.progress(text);
                steps.push(news(working).boxed());
            }
            Step::News(Working { index, call, .. }, News::Ended(done)) => {
                let title = tools.title(call, Some(&done));
                if let Some((id, body)) = output.call_ended(index, &title, &done) {
                    let stored = core.store.item_complete(context.claim, id, body);
                    steps.push(async move { Step::Stored(id, stored.await) }.boxed());
                }
                if let Some(ended) = ended.get_mut(index) {
                    *ended = Some(done);
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
    Ok(ended)
}

fn in_thread(error: StoreError) -> AgentError {
    AgentError::Service(Error::of_thread(error))
}
