//! A run that begins without a new message.

use super::runner::{self, Work};
use super::start::{Started, announce, detached, job, options, refuse_while_stopping, turn_error};
use super::submission::submission;
use crate::agents::Answerer;
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::ItemRow;
use crate::store::{NewRun, Opening, Submission};
use std::sync::Arc;
use threadline_schema::call::RequestContext;
use threadline_schema::chatkit::{InferenceOptions, ThreadItem, ThreadStreamEvent};
use uuid::Uuid;

/// Where a run is to begin, and for whose request.
pub(super) struct Resumption {
    pub(super) thread_id: Uuid,
    pub(super) submission: Option<Submission>,
    pub(super) origin: RequestContext,
    /// What the message asked for that is answered.
    pub(super) asked: InferenceOptions,
}

/// Answers a message of the user again. What stands behind it goes when the new answer is whole.
pub(crate) async fn retry_after_item(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    key: Option<String>,
    origin: RequestContext,
) -> Result<Started, Error> {
    let submission = submission(key, "threads.retry_after_item", Some(thread_id), &item_id)?;
    // What is no message of this user's is told by the transaction.
    let message = core.store.item_get(user_id.into(), thread_id.into(), item_id.into()).await.ok();
    let asked = message.as_ref().map(asked_by).unwrap_or_default();
    let resumption = Resumption { thread_id, submission, origin, asked };
    resume(core, user_id, Opening::Retry(item_id.into()), Work::Answer, None, resumption).await
}

/// What a message asked for of its answer.
pub(super) fn asked_by(message: &ItemRow) -> InferenceOptions {
    match serde_json::from_str(&message.body) {
        Ok(ThreadItem::UserMessage(message)) => message.inference_options,
        _ => InferenceOptions::default(),
    }
}

/// Begins a run. `replaced` is the item that is another from now on.
pub(super) async fn resume(
    core: &Arc<Core>,
    user_id: Uuid,
    opening: Opening,
    work: Work,
    replaced: Option<ThreadItem>,
    resumption: Resumption,
) -> Result<Started, Error> {
    let beginning = core.hub.tasks.token();
    refuse_while_stopping(core)?;
    let Resumption { thread_id, submission, origin, asked } = resumption;
    let (answerer, hold) = match &work {
        Work::Answer => {
            let answerer = beforehand(core, user_id, thread_id, &asked).await?;
            let hold = core.hold(answerer.as_ref())?;
            (answerer, hold)
        }
        // No model is asked.
        Work::Act(acting) => (Some(acting.actor.clone()), None),
    };
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let run = NewRun {
            id: Uuid::now_v7().into(),
            owner: core.id,
            lease_expires_at: core.lease_until(),
            created_at: core.clock.now(),
            hold,
        };
        let entry = core.hub.begin(run.id.0, user_id, thread_id);
        let started = match core.store.turn_resume(user_id.into(), thread_id.into(), opening, run, submission).await {
            Ok(started) if !started.replayed => started,
            other => {
                core.hub.discard(&entry);
                return Ok(Started::again(&core, other.map_err(|error| turn_error(&core, error))?));
            }
        };
        let replaced = replaced.map(|item| ThreadStreamEvent::ItemReplaced { item: Box::new(item) });
        announce(&entry, &[options()].into_iter().chain(replaced).collect::<Vec<_>>());
        let answerer = answerer.unwrap_or_else(|| core.agents.roster().answerer_again(&started.thread, &asked));
        runner::spawn(&core, job(entry, &started.run, work, origin, answerer));
        Ok(Started { thread: started.thread, run: Some(started.run), replayed: false })
    })
    .await
}

/// Who answers, where that has to be known before the run is stored: what it costs is held of a budget of money.
async fn beforehand(
    core: &Core,
    user_id: Uuid,
    thread_id: Uuid,
    asked: &InferenceOptions,
) -> Result<Option<Answerer>, Error> {
    if core.config.budget.cost_micros.is_none() {
        return Ok(None);
    }
    let thread = core.store.thread_get(user_id.into(), thread_id.into()).await.map_err(Error::of_thread)?;
    Ok(Some(core.agents.roster().answerer_again(&thread, asked)))
}
