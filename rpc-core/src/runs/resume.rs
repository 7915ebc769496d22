//! A run that begins without a new message.

use super::runner;
use super::start::{Started, announce, detached, job, refuse_while_stopping, submission};
use crate::core::Core;
use crate::error::Error;
use crate::store::NewRun;
use std::sync::Arc;
use threadline_schema::db::types::{Guid, UtcTime};
use uuid::Uuid;

/// Answers a message of the user again. What stands behind it goes when the new answer is whole.
pub(crate) async fn retry_after_item(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    key: Option<String>,
    request_id: Arc<str>,
) -> Result<Started, Error> {
    let beginning = core.hub.tasks.token();
    refuse_while_stopping(core)?;
    let submission = submission(key, "threads.retry_after_item", Some(thread_id), &item_id)?;
    let core = core.clone();
    detached(async move {
        let _beginning = beginning;
        let run = new_run(&core);
        let entry = core.hub.begin(run.id.0, user_id, thread_id);
        let stored = core.store.turn_retry(user_id.into(), thread_id.into(), item_id.into(), run, submission).await;
        let started = match stored {
            Ok(started) if !started.replayed => started,
            other => {
                core.hub.discard(&entry);
                let replay = other.map_err(Error::of_thread)?;
                core.hub.give_first_look(replay.run.id.0);
                return Ok(Started { thread: replay.thread, run: Some(replay.run), replayed: true });
            }
        };
        announce(&entry, &[]);
        runner::spawn(&core, job(entry, &started.run, request_id));
        Ok(Started { thread: started.thread, run: Some(started.run), replayed: false })
    })
    .await
}

fn new_run(core: &Core) -> NewRun {
    NewRun { id: Guid::new(), owner: core.id, lease_expires_at: core.lease_until(), created_at: UtcTime::now() }
}
