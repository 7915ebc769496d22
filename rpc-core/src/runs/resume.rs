//! A run that begins without a new message.

use super::runner::{self, Work};
use super::start::{Started, announce, as_asked, detached, job, refuse_while_stopping, submission, turn_error};
use crate::core::Core;
use crate::error::Error;
use crate::store::{NewRun, Opening, Submission};
use std::sync::Arc;
use threadline_schema::ErrorCode;
use threadline_schema::call::Origin;
use threadline_schema::chatkit::{InferenceOptions, ThreadItem, ThreadStreamEvent};
use threadline_schema::db::types::Guid;
use uuid::Uuid;

/// Where a run is to begin, and for whose request.
pub(super) struct Resumption {
    pub(super) thread_id: Uuid,
    pub(super) submission: Option<Submission>,
    pub(super) origin: Origin,
    /// What is asked of the model.
    pub(super) options: InferenceOptions,
}

/// Answers a message of the user again. What stands behind it goes when the new answer is whole.
pub(crate) async fn retry_after_item(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    key: Option<String>,
    origin: Origin,
) -> Result<Started, Error> {
    let submission = submission(key, "threads.retry_after_item", Some(thread_id), &item_id)?;
    let options = asked_with(core, user_id, thread_id, item_id).await;
    let resumption = Resumption { thread_id, submission, origin, options };
    resume(core, user_id, Opening::Retry(item_id.into()), Work::Answer, None, resumption).await
}

/// What a message asked of the model. What is no message asks for nothing, and is refused where the run is to begin.
async fn asked_with(core: &Core, user_id: Uuid, thread_id: Uuid, item_id: Uuid) -> InferenceOptions {
    let row = core.store.item_get(user_id.into(), thread_id.into(), item_id.into()).await;
    match row.map(|row| serde_json::from_str(&row.body)) {
        Ok(Ok(ThreadItem::UserMessage(message))) => message.inference_options,
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
    let Resumption { thread_id, submission, origin, options } = resumption;
    let answerer = match as_asked(core, user_id, thread_id, &options).await {
        // What was allowed when it was asked may not be any more.
        Err(error) if error.public().code == ErrorCode::InvalidRequest => {
            as_asked(core, user_id, thread_id, &InferenceOptions::default()).await?
        }
        answerer => answerer?,
    };
    let hold = match work {
        Work::Answer => core.hold(answerer.as_ref())?,
        // No model is asked.
        Work::Act(_) => None,
    };
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let run = NewRun {
            id: Guid::new(),
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
        announce(&entry, replaced.as_slice());
        let answerer = answerer.unwrap_or_else(|| core.agents.roster().answerer(&started.thread));
        runner::spawn(&core, job(entry, &started.run, work, origin, answerer));
        Ok(Started { thread: started.thread, run: Some(started.run), replayed: false })
    })
    .await
}
