//! Actions: what a user does by using a widget.

use super::resume::{Resumption, resume};
use super::runner::Work;
use super::start::Started;
use super::submission::submission;
use crate::core::Core;
use crate::error::Error;
use crate::store::rows::ItemRow;
use crate::store::{Conflict, Opening, Rewrite, Store, StoreError};
use crate::todo;
use crate::tools::UserAction;
use std::sync::Arc;
use threadline_schema::call::Origin;
use threadline_schema::chatkit::{Action, InferenceOptions, ThreadItem, WidgetItem};
use uuid::Uuid;

/// How often a widget is tried to be changed that others change at the same time.
const TRIES: u32 = 10;

/// An action that is to be carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acting {
    pub(crate) action: UserAction,
    /// The widget that was used.
    pub(crate) sender: Option<Uuid>,
}

/// Carries an action out in a run.
pub(crate) async fn custom_action(
    core: &Arc<Core>,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: Action,
    key: Option<String>,
    origin: Origin,
) -> Result<Started, Error> {
    let submission = submission(key, "threads.custom_action", Some(thread_id), &(sender, &action))?;
    if let Some(submission) = &submission
        && let Some(earlier) = core.store.submission_replay(user_id.into(), submission.clone()).await?
    {
        return Ok(Started::again(core, earlier));
    }
    let acting = check(core, user_id, thread_id, sender, &action).await?;
    let resumption = Resumption { thread_id, submission, origin, asked: InferenceOptions::default() };
    resume(core, user_id, Opening::Action, Work::Act(acting), None, resumption).await
}

/// Carries an action out at once. Gives the widget that was used, if it looks another now.
pub(crate) async fn sync_custom_action(
    core: &Core,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: Action,
) -> Result<Option<WidgetItem>, Error> {
    let Acting { action, sender } = check(core, user_id, thread_id, sender, &action).await?;
    let UserAction::CompleteTask(task_id) = action;
    todo::complete(&core.store, user_id, task_id).await?;
    match sender {
        Some(item_id) => show_done(&core.store, user_id, thread_id, item_id, action).await,
        None => Ok(None),
    }
}

/// Shows in a stored widget that an action has been carried out. Gives the widget, if it shows that. It is no run's to
/// write: what it shows has happened, whoever owns which run.
pub(crate) async fn show_done(
    store: &Store,
    user_id: Uuid,
    thread_id: Uuid,
    item_id: Uuid,
    action: UserAction,
) -> Result<Option<WidgetItem>, Error> {
    for _ in 0..TRIES {
        let row = store.item_get(user_id.into(), thread_id.into(), item_id.into()).await.map_err(Error::of_thread)?;
        let mut item = widget(&row)?;
        if !action.show_done(&mut item.widget) {
            return Ok(None);
        }
        let new = serde_json::to_string(&ThreadItem::Widget(item.clone()))?;
        match store.item_rewrite(thread_id.into(), Rewrite { id: row.id, old: row.body, new }).await {
            Ok(()) => return Ok(Some(item)),
            // Somebody else has used it at the same time.
            Err(StoreError::Conflict(Conflict::AnsweredAlready)) => {}
            Err(error) => return Err(Error::of_thread(error)),
        }
    }
    Err(Error::internal("a widget was changed by others all the time"))
}

async fn check(
    core: &Core,
    user_id: Uuid,
    thread_id: Uuid,
    sender: Option<Uuid>,
    action: &Action,
) -> Result<Acting, Error> {
    match sender {
        None => {
            core.store.thread_get(user_id.into(), thread_id.into()).await.map_err(Error::of_thread)?;
        }
        Some(id) => {
            let row = core.store.item_get(user_id.into(), thread_id.into(), id.into()).await;
            widget(&row.map_err(Error::of_thread)?)?;
        }
    }
    Ok(Acting { action: UserAction::of(action)?, sender })
}

fn widget(row: &ItemRow) -> Result<WidgetItem, Error> {
    match serde_json::from_str(&row.body)? {
        ThreadItem::Widget(item) => Ok(item),
        _ => Err(Error::invalid("`item_id` must name a widget.")),
    }
}
